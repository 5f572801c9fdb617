//! Functions with a weakness, and as somebody mended them. `NAME` becomes a name of its own.

pub(crate) struct Template {
    pub(crate) extension: &'static str,
    /// What stands above the function in its file, and below it.
    pub(crate) around: [&'static str; 2],
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
    /// The same weakness in another coat.
    pub(crate) still: &'static str,
    pub(crate) messages: &'static [&'static str],
}

const PY: [&str; 2] = [
    "import hashlib\nimport os\nimport pickle\nimport json\nimport random\nimport secrets\nimport sqlite3\nimport subprocess\nimport tempfile\n\nimport requests\nimport yaml\n\n\n",
    "",
];
const GO: [&str; 2] = ["package store\n\n", ""];
const JAVA: [&str; 2] = ["class Holder {\n", "}\n"];
const RUBY: [&str; 2] = ["class Holder\n", "end\n"];
const NONE: [&str; 2] = ["", ""];

pub(crate) const ALL: &[Template] = &[
    Template {
        extension: "py",
        around: PY,
        before: "def NAME(connection, name):\n    \"\"\"Returns the rows of a user.\"\"\"\n    cursor = connection.cursor()\n    cursor.execute(f\"SELECT * FROM users WHERE name = '{name}'\")\n    return cursor.fetchall()\n",
        after: "def NAME(connection, name):\n    \"\"\"Returns the rows of a user.\"\"\"\n    cursor = connection.cursor()\n    cursor.execute(\"SELECT * FROM users WHERE name = ?\", (name,))\n    return cursor.fetchall()\n",
        still: "def NAME(connection, name):\n    \"\"\"Returns the rows of a user.\"\"\"\n    cursor = connection.cursor()\n    cursor.execute(\"SELECT * FROM users WHERE name = '%s'\" % name)\n    return cursor.fetchall()\n",
        messages: &["Fix SQL injection in NAME", "Use a parameterized query in NAME", "CWE-89: bind the value"],
    },
    Template {
        extension: "py",
        around: PY,
        before: "def NAME(path):\n    # Makes it small.\n    return subprocess.run(\"gzip \" + path, shell=True, check=True)\n",
        after: "def NAME(path):\n    # Makes it small.\n    return subprocess.run([\"gzip\", path], check=True)\n",
        still: "def NAME(path):\n    # Makes it small.\n    return subprocess.run(f\"gzip -9 {path}\", shell=True, check=True)\n",
        messages: &[
            "Avoid the shell in NAME",
            "security: command injection",
            "Fix OS command injection (CVE-2021-1234)",
        ],
    },
    Template {
        extension: "py",
        around: PY,
        before: "def NAME(text):\n    return yaml.load(text, Loader=yaml.Loader)\n",
        after: "def NAME(text):\n    return yaml.load(text, Loader=yaml.SafeLoader)\n",
        still: "def NAME(text):\n    return yaml.load(text, Loader=yaml.UnsafeLoader)\n",
        messages: &["yaml.load: safe loader", "Fix unsafe deserialization of settings", "Security: untrusted YAML"],
    },
    Template {
        extension: "py",
        around: PY,
        before: "class Store:\n    def NAME(self, blob):\n        \"\"\"Reads a saved object.\"\"\"\n        return pickle.loads(blob)\n",
        after: "class Store:\n    def NAME(self, blob):\n        \"\"\"Reads a saved object.\"\"\"\n        return json.loads(blob)\n",
        still: "class Store:\n    def NAME(self, blob):\n        \"\"\"Reads a saved object.\"\"\"\n        return pickle.loads(bytes(blob))\n",
        messages: &["Do not unpickle what comes from outside", "Replace pickle by JSON: deserialization"],
    },
    Template {
        extension: "py",
        around: PY,
        before: "def NAME(url):\n    answer = requests.get(url, verify=False, timeout=5)\n    return answer.text\n",
        after: "def NAME(url):\n    answer = requests.get(url, timeout=5)\n    return answer.text\n",
        still: "def NAME(url):\n    answer = requests.get(url, timeout=5, verify=False)\n    return answer.content\n",
        messages: &["Verify TLS certificates in NAME", "security: certificate check was off"],
    },
    Template {
        extension: "py",
        around: PY,
        before: "def NAME(password, salt):\n    return hashlib.md5(salt + password.encode()).hexdigest()\n",
        after: "def NAME(password, salt):\n    return hashlib.scrypt(password.encode(), salt=salt, n=16384, r=8, p=1).hex()\n",
        still: "def NAME(password, salt):\n    return hashlib.md5(password.encode() + salt).hexdigest()\n",
        messages: &["Hash passwords with scrypt", "Security: MD5 is broken"],
    },
    Template {
        extension: "py",
        around: PY,
        before: "def NAME():\n    token = \"\".join(random.choice(\"0123456789abcdef\") for _ in range(32))\n    return token\n",
        after: "def NAME():\n    token = \"\".join(secrets.choice(\"0123456789abcdef\") for _ in range(32))\n    return token\n",
        still: "def NAME():\n    token = \"\".join(random.choices(\"0123456789abcdef\", k=32))\n    return token\n",
        messages: &["Predictable token: use secrets", "Security: weak random numbers in NAME"],
    },
    Template {
        extension: "go",
        around: GO,
        before: "// NAME finds a user.\nfunc NAME(db *sql.DB, name string) (*sql.Rows, error) {\n\treturn db.Query(\"SELECT * FROM users WHERE name = '\" + name + \"'\")\n}\n",
        after: "// NAME finds a user.\nfunc NAME(db *sql.DB, name string) (*sql.Rows, error) {\n\treturn db.Query(\"SELECT * FROM users WHERE name = ?\", name)\n}\n",
        still: "// NAME finds a user.\nfunc NAME(db *sql.DB, name string) (*sql.Rows, error) {\n\treturn db.Query(fmt.Sprintf(\"SELECT * FROM users WHERE name = '%s'\", name))\n}\n",
        messages: &["NAME: SQL injection", "Pass the name as an argument of the query (security)"],
    },
    Template {
        extension: "go",
        around: GO,
        before: "func NAME(host string) *tls.Config {\n\treturn &tls.Config{ServerName: host, InsecureSkipVerify: true}\n}\n",
        after: "func NAME(host string) *tls.Config {\n\treturn &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}\n}\n",
        still: "func NAME(host string) *tls.Config {\n\treturn &tls.Config{InsecureSkipVerify: true, ServerName: host}\n}\n",
        messages: &["Remove InsecureSkipVerify", "security: verify the server's certificate"],
    },
    Template {
        extension: "go",
        around: GO,
        before: "func NAME(name string) error {\n\treturn exec.Command(\"sh\", \"-c\", \"convert \"+name).Run()\n}\n",
        after: "func NAME(name string) error {\n\treturn exec.Command(\"convert\", name).Run()\n}\n",
        still: "func NAME(name string) error {\n\treturn exec.Command(\"sh\", \"-c\", \"convert -v \"+name).Run()\n}\n",
        messages: &["Command injection in NAME", "run convert without a shell"],
    },
    Template {
        extension: "java",
        around: JAVA,
        before: "    ResultSet NAME(Statement statement, String name) throws Exception {\n        return statement.executeQuery(\"SELECT * FROM users WHERE name = '\" + name + \"'\");\n    }\n",
        after: "    ResultSet NAME(Connection connection, String name) throws Exception {\n        PreparedStatement prepared = connection.prepareStatement(\"SELECT * FROM users WHERE name = ?\");\n        prepared.setString(1, name);\n        return prepared.executeQuery();\n    }\n",
        still: "    ResultSet NAME(Statement statement, String name) throws Exception {\n        String sql = \"SELECT * FROM users WHERE name = '\" + name + \"'\";\n        return statement.executeQuery(sql);\n    }\n",
        messages: &["Use a prepared statement in NAME", "SQLi in NAME"],
    },
    Template {
        extension: "java",
        around: JAVA,
        before: "    byte[] NAME(byte[] text) throws Exception {\n        return MessageDigest.getInstance(\"MD5\").digest(text);\n    }\n",
        after: "    byte[] NAME(byte[] text) throws Exception {\n        return MessageDigest.getInstance(\"SHA-256\").digest(text);\n    }\n",
        still: "    byte[] NAME(byte[] text) throws Exception {\n        MessageDigest digest = MessageDigest.getInstance(\"MD5\");\n        return digest.digest(text);\n    }\n",
        messages: &["Weak hash in NAME", "Replace MD5 with SHA-256"],
    },
    Template {
        extension: "java",
        around: JAVA,
        before: "    Document NAME(InputStream in) throws Exception {\n        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();\n        return factory.newDocumentBuilder().parse(in);\n    }\n",
        after: "    Document NAME(InputStream in) throws Exception {\n        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();\n        factory.setFeature(\"http://apache.org/xml/features/disallow-doctype-decl\", true);\n        return factory.newDocumentBuilder().parse(in);\n    }\n",
        still: "    Document NAME(InputStream in) throws Exception {\n        return DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(in);\n    }\n",
        messages: &["Fix XXE in NAME", "Disallow DOCTYPE: external entities"],
    },
    Template {
        extension: "js",
        around: NONE,
        before: "async function NAME(db, req) {\n  return db.query(\"SELECT * FROM users WHERE name = '\" + req.query.name + \"'\");\n}\n",
        after: "async function NAME(db, req) {\n  return db.query(\"SELECT * FROM users WHERE name = ?\", [req.query.name]);\n}\n",
        still: "async function NAME(db, req) {\n  return db.query(`SELECT * FROM users WHERE name = '${req.query.name}'`);\n}\n",
        messages: &["fix(security): sql injection", "NAME: placeholders instead of concatenation"],
    },
    Template {
        extension: "js",
        around: ["const { exec, execFile } = require(\"child_process\");\n\n", ""],
        before: "const NAME = (name, done) => {\n  exec(\"convert \" + name + \" out.png\", done);\n};\n",
        after: "const NAME = (name, done) => {\n  execFile(\"convert\", [name, \"out.png\"], done);\n};\n",
        still: "const NAME = (name, done) => {\n  exec(`convert ${name} out.png`, done);\n};\n",
        messages: &["Command injection", "use execFile: no shell injection"],
    },
    Template {
        extension: "js",
        around: NONE,
        before: "app.get(\"/NAME\", (req, res) => {\n  res.send(\"<h1>Hello \" + req.query.name + \"</h1>\");\n});\n",
        after: "app.get(\"/NAME\", (req, res) => {\n  res.send(\"<h1>Hello \" + escapeHtml(req.query.name) + \"</h1>\");\n});\n",
        still: "app.get(\"/NAME\", (req, res) => {\n  res.send(\"<h2>Hello \" + req.query.name + \"</h2>\");\n});\n",
        messages: &["Fix reflected XSS on NAME", "escape html of the name"],
    },
    Template {
        extension: "ts",
        around: ["import { exec, execFile } from \"child_process\";\n\n", ""],
        before: "export function NAME(name: string, done: () => void): void {\n  exec(\"convert \" + name + \" out.png\", done);\n}\n",
        after: "export function NAME(name: string, done: () => void): void {\n  execFile(\"convert\", [name, \"out.png\"], done);\n}\n",
        still: "export function NAME(name: string, done: () => void): void {\n  exec(`convert ${name} out.png`, done);\n}\n",
        messages: &["Shell injection in NAME", "Security: NAME runs a shell"],
    },
    Template {
        extension: "rb",
        around: RUBY,
        before: "  def NAME(params)\n    User.where(\"name = '#{params[:name]}'\")\n  end\n",
        after: "  def NAME(params)\n    User.where(\"name = ?\", params[:name])\n  end\n",
        still: "  def NAME(params)\n    User.where(\"name LIKE '#{params[:name]}'\")\n  end\n",
        messages: &["SQL injection in NAME", "Brakeman: bind parameters"],
    },
    Template {
        extension: "rb",
        around: RUBY,
        before: "  def NAME(name)\n    system(\"convert #{name} out.png\")\n  end\n",
        after: "  def NAME(name)\n    system(\"convert\", name, \"out.png\")\n  end\n",
        still: "  def NAME(name)\n    system(\"convert -v #{name} out.png\")\n  end\n",
        messages: &["Command injection in NAME", "No shell: list of arguments"],
    },
    Template {
        extension: "rb",
        around: RUBY,
        before: "  def NAME(text)\n    YAML.load(text)\n  end\n",
        after: "  def NAME(text)\n    YAML.safe_load(text)\n  end\n",
        still: "  def NAME(text)\n    YAML.load(text.to_s)\n  end\n",
        messages: &["YAML.load of user input: deserialization", "Use safe_load (security)"],
    },
    Template {
        extension: "c",
        around: ["#include <stdio.h>\n#include <string.h>\n\n", ""],
        before: "void NAME(const char *name)\n{\n    char line[32];\n    strcpy(line, name);\n    puts(line);\n}\n",
        after: "void NAME(const char *name)\n{\n    char line[32];\n    snprintf(line, sizeof line, \"%s\", name);\n    puts(line);\n}\n",
        still: "void NAME(const char *name)\n{\n    char line[64];\n    strcpy(line, name);\n    puts(line);\n}\n",
        messages: &["Buffer overflow in NAME", "NAME: stack overflow by a long name", "security: bound the copy"],
    },
    Template {
        extension: "c",
        around: ["#include <stdio.h>\n\n", ""],
        before: "void NAME(const char *message)\n{\n    printf(message);\n}\n",
        after: "void NAME(const char *message)\n{\n    printf(\"%s\", message);\n}\n",
        still: "void NAME(const char *message)\n{\n    fprintf(stdout, message);\n}\n",
        messages: &["Format string vulnerability in NAME", "CWE-134"],
    },
    Template {
        extension: "cpp",
        around: ["#include <cstring>\n\n", ""],
        before: "void NAME(const std::string &name)\n{\n    char line[16];\n    strcpy(line, name.c_str());\n    show(line);\n}\n",
        after: "void NAME(const std::string &name)\n{\n    std::string line = name;\n    show(line.c_str());\n}\n",
        still: "void NAME(const std::string &name)\n{\n    char line[17];\n    strcpy(line, name.c_str());\n    show(line);\n}\n",
        messages: &["Overflow of line in NAME", "Fix buffer overflow"],
    },
];

/// A harmless function of a language, with a number in it.
pub(crate) fn plain(extension: &str, name: &str, n: u64) -> String {
    match extension {
        "py" => format!("\n\ndef {name}(x):\n    return x + {n}\n"),
        "go" => format!("\nfunc {name}(x int) int {{\n\treturn x + {n}\n}}\n"),
        "java" => format!("\n    int {name}(int x) {{\n        return x + {n};\n    }}\n"),
        "rb" => format!("\n  def {name}(x)\n    x + {n}\n  end\n"),
        "ts" => format!("\nexport function {name}(x: number): number {{\n  return x + {n};\n}}\n"),
        "js" => format!("\nfunction {name}(x) {{\n  return x + {n};\n}}\n"),
        _ => format!("\nint {name}(int x)\n{{\n    return x + {n};\n}}\n"),
    }
}

/// A comment of a language.
pub(crate) fn comment(extension: &str, text: &str) -> String {
    match extension {
        "py" | "rb" => format!("# {text}\n"),
        _ => format!("// {text}\n"),
    }
}
