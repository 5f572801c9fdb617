//! What each of Bandit's tests is, and the calls and imports that its list tests name.

use lexicon::Severity::{self, High, Low, Medium};

/// A test.
pub(super) struct Test {
    id: &'static str,
    /// The one weakness that Bandit gives it.
    pub(super) cwe: u32,
    /// What it found, in our words.
    pub(super) about: &'static str,
    /// Our own rule for the same weakness, where there is one.
    pub(super) native: &'static [&'static str],
}

const fn t(id: &'static str, cwe: u32, about: &'static str, native: &'static [&'static str]) -> Test {
    Test { id, cwe, about, native }
}

/// Every test, by number.
#[rustfmt::skip]
pub(super) const TESTS: &[Test] = &[
    t("B101", 703, "an assert disappears when Python optimizes", &[]),
    t("B102", 78, "exec runs whatever text it is given", &["code-injection"]),
    t("B103", 732, "the mode lets others write or run the file", &["wide-permissions"]),
    t("B104", 605, "an address that means every interface", &["binds-all-interfaces"]),
    t("B105", 259, "a string that may be a password", &["hardcoded-secret"]),
    t("B106", 259, "an argument that may be a password", &["hardcoded-secret"]),
    t("B107", 259, "a default that may be a password", &["hardcoded-secret"]),
    t("B108", 377, "a fixed path in a shared temporary folder", &["fixed-temporary-path"]),
    t("B110", 703, "a handler that ignores every exception", &["swallowed-exception"]),
    t("B112", 703, "a handler that skips whatever failed", &["swallowed-exception"]),
    t("B113", 400, "a request that may wait for ever", &["request-without-timeout"]),
    t("B201", 94, "Flask in debug mode", &["debug-mode"]),
    t("B202", 22, "an archive unpacked without looking at its members", &["archive-extraction"]),
    t("B301", 502, "data read with pickle or what builds on it", &["unsafe-deserialization"]),
    t("B302", 502, "data read with marshal", &["unsafe-deserialization"]),
    t("B303", 327, "a broken digest", &["weak-hash"]),
    t("B304", 327, "a broken cipher", &["weak-cipher"]),
    t("B305", 327, "a cipher mode that shows equal blocks", &["weak-cipher"]),
    t("B306", 377, "a temporary name that exists before its file", &["predictable-temporary-name"]),
    t("B307", 78, "eval of a text", &["code-injection"]),
    t("B308", 79, "text declared to be safe markup", &["marked-safe"]),
    t("B310", 22, "an address that may be of any scheme", &["server-side-request-forgery"]),
    t("B311", 330, "random numbers that can be predicted", &["weak-random"]),
    t("B312", 319, "telnet sends everything in clear", &["cleartext-transport"]),
    t("B313", 20, "an XML parser that expands entities", &["xml-entities"]),
    t("B314", 20, "an XML parser that expands entities", &["xml-entities"]),
    t("B315", 20, "an XML parser that expands entities", &["xml-entities"]),
    t("B316", 20, "an XML parser that expands entities", &["xml-entities"]),
    t("B317", 20, "an XML parser that expands entities", &["xml-entities"]),
    t("B318", 20, "an XML parser that expands entities", &["xml-entities"]),
    t("B319", 20, "an XML parser that expands entities", &["xml-entities"]),
    t("B321", 319, "FTP sends everything in clear", &["cleartext-transport"]),
    t("B323", 295, "a TLS context that checks nothing", &["certificate-unchecked"]),
    t("B324", 327, "a broken digest", &["weak-hash"]),
    t("B401", 319, "telnet is imported", &[]),
    t("B402", 319, "FTP is imported", &[]),
    t("B403", 502, "pickle or what builds on it is imported", &[]),
    t("B404", 78, "subprocess is imported", &[]),
    t("B405", 20, "an XML parser that expands entities is imported", &[]),
    t("B406", 20, "an XML parser that expands entities is imported", &[]),
    t("B407", 20, "an XML parser that expands entities is imported", &[]),
    t("B408", 20, "an XML parser that expands entities is imported", &[]),
    t("B409", 20, "an XML parser that expands entities is imported", &[]),
    t("B411", 20, "XML-RPC is imported", &[]),
    t("B412", 284, "a CGI handler that trusts the Proxy header is imported", &[]),
    t("B413", 327, "PyCrypto, which nobody maintains, is imported", &[]),
    t("B415", 319, "IPMI, which sends passwords in clear, is imported", &[]),
    t("B501", 295, "a request that accepts any certificate", &["certificate-unchecked"]),
    t("B502", 327, "an old version of TLS", &["old-tls"]),
    t("B503", 327, "an old version of TLS by default", &["old-tls"]),
    t("B504", 327, "whatever version of TLS both sides speak", &["old-tls"]),
    t("B505", 326, "a key that is too short", &["short-key"]),
    t("B506", 20, "YAML read with a loader that builds any object", &["unsafe-deserialization"]),
    t("B507", 295, "an SSH client that accepts any host key", &["host-key-unchecked"]),
    t("B508", 319, "SNMP without authentication", &[]),
    t("B509", 319, "SNMP without encryption", &[]),
    t("B601", 78, "a command run over SSH", &["command-injection", "command-string-building"]),
    t("B602", 78, "a command read by a shell", &["command-injection"]),
    t("B603", 78, "a program started", &["argument-injection"]),
    t("B604", 78, "a function told to use a shell", &["command-injection"]),
    t("B605", 78, "a command read by a shell", &["command-injection"]),
    t("B606", 78, "a program started", &[]),
    t("B607", 78, "a program found by the search path", &["command-by-search-path"]),
    t("B608", 89, "SQL put together from strings", &["sql-injection", "sql-string-building", "sql-number-building"]),
    t("B609", 155, "a wildcard that a shell expands into options", &[]),
    t("B610", 89, "SQL handed to Django's extra()", &["sql-injection"]),
    t("B611", 89, "SQL handed to Django's RawSQL", &["sql-injection"]),
    t("B612", 94, "logging settings accepted from the network", &[]),
    t("B613", 838, "characters that turn the direction of text", &[]),
    t("B614", 502, "a model loaded with pickle", &["unsafe-deserialization"]),
    t("B615", 494, "a model downloaded without a fixed revision", &[]),
    t("B701", 94, "a template engine that does not escape", &["autoescape-off"]),
    t("B702", 80, "a template engine that does not escape", &["autoescape-off"]),
    t("B703", 80, "text declared to be safe markup", &["marked-safe"]),
    t("B704", 79, "text declared to be safe markup", &["marked-safe"]),
];

/// A test by its number.
pub(super) fn test(id: &str) -> Option<&'static Test> {
    TESTS.iter().find(|t| t.id == id)
}

/// Bandit's tests that look for what one of our own rules looks for.
#[must_use]
pub fn tests_of(rule: &str) -> Vec<&'static str> {
    TESTS.iter().filter(|t| t.native.contains(&rule)).map(|t| t.id).collect()
}

/// Bandit's tests: name, the weakness it gives, what was found.
pub fn bandit_tests() -> impl Iterator<Item = (&'static str, u32, &'static str)> {
    TESTS.iter().map(|t| (t.id, t.cwe, t.about))
}

/// Names that a list test reports.
pub(super) struct Listed {
    pub(super) test: &'static str,
    pub(super) severity: Severity,
    pub(super) names: &'static [&'static str],
}

const fn l(test: &'static str, severity: Severity, names: &'static [&'static str]) -> Listed {
    Listed { test, severity, names }
}

/// Calls, by their full name; the first that matches counts.
#[rustfmt::skip]
pub(super) const CALLS: &[Listed] = &[
    l("B301", Medium, &["pickle.loads", "pickle.load", "pickle.Unpickler", "dill.loads", "dill.load", "dill.Unpickler",
        "shelve.open", "shelve.DbfilenameShelf", "jsonpickle.decode", "jsonpickle.unpickler.decode",
        "jsonpickle.unpickler.Unpickler", "pandas.read_pickle"]),
    l("B302", Medium, &["marshal.load", "marshal.loads"]),
    l("B303", Medium, &["Crypto.Hash.MD2.new", "Crypto.Hash.MD4.new", "Crypto.Hash.MD5.new", "Crypto.Hash.SHA.new",
        "Cryptodome.Hash.MD2.new", "Cryptodome.Hash.MD4.new", "Cryptodome.Hash.MD5.new", "Cryptodome.Hash.SHA.new",
        "cryptography.hazmat.primitives.hashes.MD5", "cryptography.hazmat.primitives.hashes.SHA1"]),
    l("B304", High, &["Crypto.Cipher.ARC2.new", "Crypto.Cipher.ARC4.new", "Crypto.Cipher.Blowfish.new",
        "Crypto.Cipher.DES.new", "Crypto.Cipher.XOR.new", "Cryptodome.Cipher.ARC2.new", "Cryptodome.Cipher.ARC4.new",
        "Cryptodome.Cipher.Blowfish.new", "Cryptodome.Cipher.DES.new", "Cryptodome.Cipher.XOR.new",
        "cryptography.hazmat.primitives.ciphers.algorithms.ARC4",
        "cryptography.hazmat.primitives.ciphers.algorithms.Blowfish",
        "cryptography.hazmat.primitives.ciphers.algorithms.CAST5",
        "cryptography.hazmat.primitives.ciphers.algorithms.IDEA",
        "cryptography.hazmat.primitives.ciphers.algorithms.SEED",
        "cryptography.hazmat.primitives.ciphers.algorithms.TripleDES"]),
    l("B305", Medium, &["cryptography.hazmat.primitives.ciphers.modes.ECB"]),
    l("B306", Medium, &["tempfile.mktemp"]),
    l("B307", Medium, &["eval"]),
    l("B308", Medium, &["django.utils.safestring.mark_safe"]),
    l("B310", Medium, &["urllib.request.urlopen", "urllib.request.urlretrieve", "urllib.request.URLopener",
        "urllib.request.FancyURLopener", "six.moves.urllib.request.urlopen", "six.moves.urllib.request.urlretrieve",
        "six.moves.urllib.request.URLopener", "six.moves.urllib.request.FancyURLopener"]),
    l("B311", Low, &["random.Random", "random.random", "random.randrange", "random.randint", "random.choice",
        "random.choices", "random.uniform", "random.triangular", "random.randbytes", "random.sample",
        "random.getrandbits"]),
    l("B312", High, &["telnetlib.Telnet"]),
    l("B313", Medium, &["xml.etree.cElementTree.parse", "xml.etree.cElementTree.iterparse",
        "xml.etree.cElementTree.fromstring", "xml.etree.cElementTree.XMLParser"]),
    l("B314", Medium, &["xml.etree.ElementTree.parse", "xml.etree.ElementTree.iterparse",
        "xml.etree.ElementTree.fromstring", "xml.etree.ElementTree.XMLParser"]),
    l("B315", Medium, &["xml.sax.expatreader.create_parser"]),
    l("B316", Medium, &["xml.dom.expatbuilder.parse", "xml.dom.expatbuilder.parseString"]),
    l("B317", Medium, &["xml.sax.parse", "xml.sax.parseString", "xml.sax.make_parser"]),
    l("B318", Medium, &["xml.dom.minidom.parse", "xml.dom.minidom.parseString"]),
    l("B319", Medium, &["xml.dom.pulldom.parse", "xml.dom.pulldom.parseString"]),
    l("B321", High, &["ftplib.FTP"]),
    l("B323", Medium, &["ssl._create_unverified_context"]),
];

/// Imports, by how their full name begins; calls that import by name, by the whole.
#[rustfmt::skip]
pub(super) const IMPORTS: &[Listed] = &[
    l("B401", High, &["telnetlib"]),
    l("B402", High, &["ftplib"]),
    l("B403", Low, &["pickle", "cPickle", "dill", "shelve"]),
    l("B404", Low, &["subprocess"]),
    l("B405", Low, &["xml.etree.cElementTree", "xml.etree.ElementTree"]),
    l("B406", Low, &["xml.sax"]),
    l("B407", Low, &["xml.dom.expatbuilder"]),
    l("B408", Low, &["xml.dom.minidom"]),
    l("B409", Low, &["xml.dom.pulldom"]),
    l("B411", High, &["xmlrpc"]),
    l("B412", High, &["wsgiref.handlers.CGIHandler", "twisted.web.twcgi.CGIScript", "twisted.web.twcgi.CGIDirectory"]),
    l("B413", High, &["Crypto.Cipher", "Crypto.Hash", "Crypto.IO", "Crypto.Protocol", "Crypto.PublicKey",
        "Crypto.Random", "Crypto.Signature", "Crypto.Util"]),
    l("B415", High, &["pyghmi"]),
];

/// Functions of `subprocess` that start a program.
pub(super) const SUBPROCESS: &[&str] =
    &["subprocess.Popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "subprocess.run"];

/// Functions that hand their text to a shell.
#[rustfmt::skip]
pub(super) const SHELL: &[&str] = &["os.system", "os.popen", "os.popen2", "os.popen3", "os.popen4", "popen2.popen2",
    "popen2.popen3", "popen2.popen4", "popen2.Popen3", "popen2.Popen4", "commands.getoutput",
    "commands.getstatusoutput", "subprocess.getoutput", "subprocess.getstatusoutput"];

/// Functions that start a program without a shell.
#[rustfmt::skip]
pub(super) const NO_SHELL: &[&str] = &["os.execl", "os.execle", "os.execlp", "os.execlpe", "os.execv", "os.execve",
    "os.execvp", "os.execvpe", "os.spawnl", "os.spawnle", "os.spawnlp", "os.spawnlpe", "os.spawnv", "os.spawnve",
    "os.spawnvp", "os.spawnvpe", "os.startfile"];

/// Protocols that a TLS connection must not speak.
#[rustfmt::skip]
pub(super) const OLD_TLS: &[&str] = &["PROTOCOL_SSLv2", "SSLv2_METHOD", "SSLv23_METHOD", "PROTOCOL_SSLv3",
    "PROTOCOL_TLSv1", "SSLv3_METHOD", "TLSv1_METHOD", "PROTOCOL_TLSv1_1", "TLSv1_1_METHOD"];

/// Sizes of curves, by name; one that is not here counts as large enough.
pub(super) const SMALL_CURVES: &[(&str, i64)] = &[("SECP192R1", 192), ("SECT163K1", 163), ("SECT163R2", 163)];
