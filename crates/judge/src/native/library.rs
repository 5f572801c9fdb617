//! Names of libraries' functions and methods, and what they are. Looked up in tables: there are many, and every call asks.

use super::value::{Clean, clean};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::LazyLock;

/// What a library's function does to what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Library {
    /// Fresh and unpredictable, or the process's own.
    Fresh,
    /// Asks a person.
    Input,
    /// Reads the environment.
    Environment,
    /// A stack trace as text.
    Trace,
    /// The exception being handled.
    Error,
    /// The clock.
    Clock,
    /// Makes a number.
    Number,
    /// Translates a text, which stays what it is.
    Translation,
    /// Replaces what a pattern matches.
    Replacement,
    /// `len`.
    Length,
    /// `min`.
    Least,
    /// Makes a text.
    Text,
    /// Makes a text that a programmer reads.
    Shown,
    /// Makes bytes.
    Bytes,
    /// A container, or an element, of what it is given.
    Container,
    /// Opens a file.
    File,
    /// Joins parts of a path.
    JoinedPath,
    /// A path, or a part of one, of a path.
    PathPart,
    /// Makes a path object.
    Path,
    /// Escapes for HTML.
    Escape,
    /// Takes back what escaping for HTML did.
    Unescape,
    /// Escapes for a pattern.
    RegexEscape,
    /// Quotes for a shell.
    ShellQuote,
    /// Escapes for an address.
    UrlQuote,
    /// Writes JSON.
    Json,
    /// Reads a text in some format.
    Decoder,
    /// Writes in an alphabet of letters and digits.
    Encoder,
    /// Reads numbers out of bytes.
    Unpacker,
}

/// Functions by their resolved names.
#[rustfmt::skip]
const FUNCTIONS: &[(Library, &[&str])] = &[
    (Library::Fresh, &["os.urandom", "uuid.uuid4", "os.getpid", "os.getcwd", "Fernet.generate_key"]),
    (Library::Input, &["input", "raw_input", "getpass.getpass"]),
    (Library::Environment, &["os.environ.get", "os.getenv"]),
    (Library::Trace, &["traceback.format_exc", "traceback.format_exception", "traceback.format_tb"]),
    (Library::Error, &["sys.exc_info"]),
    (Library::Clock, &["time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow"]),
    (Library::Number, &["int", "float", "bool", "ord", "abs", "round", "hash", "id", "complex", "Decimal"]),
    (Library::Translation, &["_", "gettext", "ugettext", "gettext_lazy", "ugettext_lazy", "gettext_noop", "N_",
        "django.utils.translation.gettext", "django.utils.translation.gettext_lazy",
        "django.utils.translation.ugettext", "flask_babel.gettext", "flask_babel.lazy_gettext"]),
    (Library::Replacement, &["re.sub", "re.subn", "regex.sub"]),
    (Library::Length, &["len"]),
    (Library::Least, &["min"]),
    (Library::Text, &["str", "os.fspath", "os.fsdecode", "sys.intern"]),
    (Library::Shown, &["repr", "ascii"]),
    (Library::Bytes, &["bytes", "bytearray"]),
    (Library::Container, &["list", "tuple", "set", "frozenset", "sorted", "reversed", "iter", "enumerate", "zip",
        "map", "filter", "dict", "next", "sum", "max", "copy.copy", "copy.deepcopy", "bool.__call__"]),
    (Library::File, &["open", "io.open", "codecs.open", "os.fdopen", "gzip.open", "bz2.open", "lzma.open"]),
    (Library::JoinedPath, &["os.path.join", "posixpath.join"]),
    (Library::PathPart, &["os.path.abspath", "os.path.realpath", "os.path.normpath", "os.path.expanduser",
        "os.path.expandvars", "os.path.relpath", "os.path.dirname", "os.path.split", "os.path.splitext"]),
    (Library::Path, &["pathlib.Path", "pathlib.PurePath", "pathlib.PurePosixPath", "pathlib.PosixPath"]),
    (Library::Escape, &["html.escape", "cgi.escape", "markupsafe.escape", "django.utils.html.escape", "escape",
        "xml.sax.saxutils.escape", "flask.escape", "werkzeug.utils.escape", "bleach.clean", "nh3.clean",
        "xml.sax.saxutils.quoteattr", "saxutils.escape", "esc", "tornado.escape.xhtml_escape"]),
    (Library::Unescape, &["html.unescape", "xml.sax.saxutils.unescape", "saxutils.unescape", "unescape"]),
    (Library::RegexEscape, &["re.escape"]),
    (Library::ShellQuote, &["shlex.quote", "pipes.quote", "shlex.join"]),
    (Library::UrlQuote, &["urllib.parse.quote", "urllib.quote", "quote", "requests.utils.quote"]),
    (Library::Json, &["json.dumps"]),
    (Library::Decoder, &["json.loads", "json.load", "yaml.safe_load", "urllib.parse.unquote",
        "urllib.parse.parse_qs", "urllib.parse.urlparse", "urllib.parse.urlsplit", "urllib.parse.urljoin",
        "ast.literal_eval", "base64.b64decode", "base64.urlsafe_b64decode", "bytes.fromhex", "shlex.split",
        "textwrap.dedent", "urllib.parse.parse_qsl", "posixpath.normpath", "unicodedata.normalize", "cgi.parse_qs",
        "email.message_from_string", "os.path.expanduser.__call__"]),
    (Library::Encoder, &["base64.b64encode", "base64.urlsafe_b64encode", "binascii.hexlify"]),
    (Library::Unpacker, &["struct.unpack", "struct.unpack_from", "int.from_bytes"]),
];

/// Functions after which a value is harmless in some contexts, by the last part of their name.
const SANITIZERS: &[(&[&str], Clean)] = &[
    (&["escape_filter_chars", "filter_format", "escape_dn_chars", "escape_rdn"], clean::LDAP),
    (&["escape_string", "quote_ident", "quote_name", "escape_like", "Identifier", "adapt"], clean::SQL),
    (
        &["format_html", "format_html_join", "conditional_escape", "bleach", "strip_tags", "Markup", "escapejs"],
        clean::HTML,
    ),
    (&["secure_filename", "safe_join", "basename", "get_valid_filename", "sanitize_filename"], clean::PATH),
    (&["quote_plus", "urlencode", "urlquote"], clean::URL | clean::HTML | clean::CRLF | clean::ARG),
    (&["url_for", "reverse"], clean::LISTED),
    (&["jsonify", "htmlsafe_json_dumps"], clean::HTML | clean::CRLF),
    (&["literal_eval"], clean::CODE),
    (
        &[
            "hexdigest",
            "digest",
            "hex",
            "sha256",
            "sha512",
            "md5",
            "sha1",
            "blake2b",
            "scrypt",
            "pbkdf2_hmac",
            "hashpw",
            "generate_password_hash",
            "make_password",
            "encrypt",
            "hash",
            "fernet",
            "mask",
            "redact",
            "anonymize",
            "checksum",
        ],
        clean::EVERYTHING & !clean::VERIFIED,
    ),
    (&["min"], clean::LIMIT),
    (&["lower", "upper", "casefold", "normcase"], clean::CASE),
    (&["splitlines"], clean::CRLF),
    (&["translate"], clean::LISTED & !clean::PATH),
];

/// Methods whose result has nothing to do with who chose the object.
const OPAQUE_METHODS: &[&str] = &[
    "execute",
    "executemany",
    "cursor",
    "fetchone",
    "fetchall",
    "fetchmany",
    "commit",
    "connect",
    "scalar",
    "first",
    "isalnum",
    "isdigit",
    "startswith",
    "endswith",
    "exists",
    "is_file",
    "is_dir",
    "count",
    "index",
    "find",
    "save",
    "write",
    "append",
    "add",
    "remove",
    "update",
    "close",
    "bit_length",
    "tell",
    "mkdir",
    "send",
    "sendall",
];

static BY_PATH: LazyLock<FxHashMap<&'static str, Library>> =
    LazyLock::new(|| FUNCTIONS.iter().flat_map(|(what, names)| names.iter().map(|n| (*n, *what))).collect());
static BY_NAME: LazyLock<FxHashMap<&'static str, Clean>> =
    LazyLock::new(|| SANITIZERS.iter().flat_map(|(names, bits)| names.iter().map(|n| (*n, *bits))).collect());
static OPAQUE: LazyLock<FxHashSet<&'static str>> = LazyLock::new(|| OPAQUE_METHODS.iter().copied().collect());

/// What the function of a resolved name is, where it is a known one.
pub(super) fn library(path: &str) -> Option<Library> {
    BY_PATH.get(path).copied()
}

/// Contexts in which the result of a function of this name is harmless, where it makes it so.
pub(super) fn sanitizer(name: &str) -> Option<Clean> {
    BY_NAME.get(name).copied()
}

/// Whether the result of a method of this name has nothing to do with who chose the object.
pub(super) fn opaque_method(name: &str) -> bool {
    OPAQUE.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_two_things() {
        assert_eq!(BY_PATH.len(), FUNCTIONS.iter().map(|(_, names)| names.len()).sum::<usize>());
        assert_eq!(BY_NAME.len(), SANITIZERS.iter().map(|(names, _)| names.len()).sum::<usize>());
    }
}
