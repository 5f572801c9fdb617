//! How passwords are chosen, hashed and kept.

use crate::native::{
    engine::Engine,
    names,
    rule::{Call, Check, Compare},
    value::{Value, clean, taint},
};
use ruff_python_ast::{CmpOp, Expr};
use ruff_text_size::Ranged;

rule!(FAST_HASH, "password-fast-hash", [916, 759, 328, 327, 256], High, High,
    what: "Looks for passwords hashed with a fast digest.",
    why: "Billions of guesses a second find most passwords, and without a salt for all users at once.",
    remedy: "use `hashlib.scrypt`, bcrypt or Argon2 with a fresh salt",
    [Check::Call(&["md5", "sha1", "sha256", "sha512", "sha224", "sha384", "new", "sha3_256", "blake2b", "update"], hashed)]);

rule!(FIXED_SALT, "constant-salt", [760, 759, 916], High, High,
    what: "Looks for password hashes with a constant salt.",
    why: "Equal passwords have equal hashes, and one table serves for all users.",
    remedy: "draw the salt with `os.urandom(16)` and store it beside the hash",
    [Check::Call(&["pbkdf2_hmac", "scrypt", "hashpw", "PBKDF2", "PBKDF2HMAC", "Scrypt", "crypt", "hash_secret_raw", "kdf", "hash", "bcrypt"], salted)]);

rule!(FEW_ROUNDS, "few-iterations", [916, 327], Medium, High,
    what: "Looks for key derivation with too few rounds.",
    why: "Every round less makes each guess cheaper.",
    remedy: "use at least 600,000 rounds of PBKDF2-SHA256, or scrypt with n of at least 2**14",
    [Check::Call(&["pbkdf2_hmac", "PBKDF2", "PBKDF2HMAC", "scrypt", "gensalt"], rounds)]);

rule!(LENGTH, "short-password-allowed", [521], Medium, Medium,
    what: "Looks for password rules that accept short passwords.",
    why: "Short passwords are guessed, however they are stored.",
    remedy: "ask for at least 12 characters, and refuse common ones",
    [Check::Compare(length)]);

rule!(STORED, "password-stored-clear", [256, 312, 522, 257, 313], High, High,
    what: "Looks for passwords stored as they are.",
    why: "Whoever reads the table has every password, here and wherever else it is used.",
    remedy: "store a salted scrypt, bcrypt or Argon2 hash",
    [Check::Call(&["execute", "insert", "insert_one", "create", "executemany", "insert_many", "dump", "add"], stored)]);

/// Words of passwords.
const PASSWORD: &[&str] = &["password", "passwd", "pwd", "passphrase", "pin", "passcode", "rawpassword", "plaintext"];

/// Whether an expression reads a password, by the names in it.
pub(super) fn reads_password(expr: &Expr) -> bool {
    password_within(expr, 24)
}

fn password_within(expr: &Expr, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match expr {
        Expr::Name(_) => names::mentions(names::last(expr), PASSWORD) && !super::logs::about(names::last(expr)),
        Expr::Attribute(a) => {
            names::mentions(a.attr.as_str(), PASSWORD) && !super::logs::about(a.attr.as_str())
                || password_within(&a.value, depth)
        }
        Expr::Subscript(s) => {
            s.slice.as_string_literal_expr().is_some_and(|k| names::mentions(k.value.to_str(), PASSWORD))
                || password_within(&s.value, depth)
        }
        Expr::BinOp(op) => password_within(&op.left, depth) || password_within(&op.right, depth),
        Expr::Call(call) => {
            call.arguments.args.iter().any(|a| password_within(a, depth))
                || call.func.as_attribute_expr().is_some_and(|a| password_within(&a.value, depth))
        }
        Expr::FString(f) => f.value.elements().any(|e| match e {
            ruff_python_ast::InterpolatedStringElement::Interpolation(hole) => password_within(&hole.expression, depth),
            ruff_python_ast::InterpolatedStringElement::Literal(_) => false,
        }),
        _ => false,
    }
}

fn hashed<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let fast = call.under(&["hashlib."])
        && call.receiver.as_ref().is_some_and(|r| r.path() == "hashlib" || call.name == "update");
    let Some(data) = call.expr.arguments.args.get(usize::from(call.path == "hashlib.new")) else { return };
    let function = names::mentions(cx.function_name(), &["password", "passwd", "pwd"]);
    // Names may be neutral in a function that says what it does.
    let plain = function && cx.peek(data).from(taint::PARAM);
    let prehash = cx.function_text().contains("pbkdf2")
        || cx.function_text().contains("bcrypt")
        || cx.function_text().contains("scrypt")
        || cx.function_text().contains("argon");
    if fast && !prehash && (reads_password(data) || plain || seems_password(cx, data)) {
        cx.report(&FAST_HASH, call.range);
    }
}

/// A secret hashed with a salt by a function that makes hashes: a password under another name.
fn seems_password<'a>(cx: &mut Engine<'a>, data: &'a Expr) -> bool {
    let function = names::mentions(cx.function_name(), &["hash"])
        && !names::mentions(
            cx.function_name(),
            &["file", "package", "archive", "release", "content", "data", "bytes", "path", "block", "key"],
        );
    let text = cx.text(data);
    let salted = names::words(text).any(|w| w == "salt" || w == "seed");
    function && salted && cx.peek(data).from(taint::PARAM)
}

fn salted<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let salt = match call.name {
        "pbkdf2_hmac" => call.arg(2, "salt"),
        "scrypt" | "PBKDF2HMAC" | "Scrypt" | "hash_secret_raw" => {
            call.keyword("salt").or_else(|| if call.name == "Scrypt" { call.args.first() } else { None })
        }
        "PBKDF2" | "hashpw" | "crypt" => call.args.get(1).or_else(|| call.keyword("salt")),
        "kdf" => call.keyword("salt"),
        _ => call
            .keyword("salt")
            .filter(|_| call.path.contains("argon2") || call.path.contains("pbkdf2") || call.path.contains("bcrypt")),
    };
    if salt.is_some_and(|s| {
        !s.dynamic()
            && (s.text.is_some() || s.path.is_some() || s.expr.is_some_and(|e| e.is_call_expr() || e.is_bin_op_expr()))
    }) {
        cx.report(&FIXED_SALT, call.range);
    }
}

fn rounds<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let few = match call.name {
        "pbkdf2_hmac" => call.arg(3, "iterations").and_then(Value::as_int).is_some_and(|n| n < 100_000),
        "PBKDF2HMAC" => call.keyword("iterations").and_then(Value::as_int).is_some_and(|n| n < 100_000),
        "PBKDF2" => call.arg(3, "count").and_then(Value::as_int).is_some_and(|n| n < 100_000),
        "scrypt" => call.keyword("n").and_then(Value::as_int).is_some_and(|n| n < 8_192),
        "gensalt" => call.arg(0, "rounds").and_then(Value::as_int).is_some_and(|n| n < 10),
        _ => false,
    };
    if few {
        cx.report(&FEW_ROUNDS, call.range);
    }
}

fn length<'a>(cx: &mut Engine<'a>, compare: &Compare<'a>) {
    let (Expr::Call(call), number) = (compare.left_expr, &compare.right) else { return };
    if names::last(&call.func) != "len" {
        return;
    }
    let Some(subject) = call.arguments.args.first() else { return };
    let function = cx.function_name();
    let password = names::mentions(names::last(subject), &["password", "passwd", "pwd", "pw", "passphrase"])
        || names::mentions(function, &["password", "passwd", "pwd", "passphrase"])
        || cx.source.contains("password");
    let weak = match compare.op {
        CmpOp::GtE | CmpOp::Lt => number.as_int().is_some_and(|n| (2..8).contains(&n)),
        CmpOp::Gt | CmpOp::LtE => number.as_int().is_some_and(|n| (1..7).contains(&n)),
        _ => false,
    };
    if password && weak && subject.is_name_expr() {
        cx.report(&LENGTH, compare.left_expr.range().cover(compare.right_expr.range()));
    }
}

fn stored<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let insert = match call.name {
        "execute" | "executemany" => call.args.first().is_some_and(|q| {
            let lower = q.text().to_ascii_lowercase();
            lower.trim_start().starts_with("insert")
                || lower.trim_start().starts_with("update") && lower.contains(" set ")
        }),
        "insert" | "insert_one" | "insert_many" => true,
        "create" => call.path.contains(".objects"),
        "dump" => false,
        _ => return,
    };
    if !insert {
        return;
    }
    let open = |cx: &mut Engine<'a>, e: &'a Expr| {
        let value = cx.peek(e);
        matches!(e, Expr::Name(_) | Expr::Attribute(_) | Expr::Subscript(_))
            && reads_password(e)
            && value.dynamic()
            && value.from(taint::FOREIGN)
            && cx.clean(&value) & clean::OPAQUE == 0
    };
    let mut found = None;
    if let Some(query) = call.args.first() {
        // The column says what the value is: `INSERT INTO users (name, password) VALUES (?, ?)`.
        let columns: Vec<String> = query
            .text()
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(inside, _)| inside.split(',').map(|c| c.trim().to_owned()).collect())
            .unwrap_or_default();
        if let Some(Expr::Tuple(values)) = call.expr.arguments.args.get(1).map(|a| cx.resolve(a))
            && values.elts.len() == columns.len()
        {
            for (column, value) in columns.iter().zip(&values.elts) {
                let password = (names::mentions(column, PASSWORD) || column == "secret") && !super::logs::about(column);
                let known = cx.peek(value);
                if password
                    && value.is_name_expr()
                    && known.from(taint::FOREIGN)
                    && cx.clean(&known) & clean::OPAQUE == 0
                {
                    found = Some(value.range());
                }
            }
        }
    }
    for argument in call.expr.arguments.args.iter().chain(call.expr.arguments.keywords.iter().map(|k| &k.value)) {
        let parts: Vec<&'a Expr> = match cx.resolve(argument) {
            Expr::Tuple(t) => t.elts.iter().collect(),
            Expr::List(l) => l.elts.iter().collect(),
            Expr::Dict(d) => d.items.iter().map(|i| &i.value).collect(),
            _ => vec![argument],
        };
        found = found.or(parts.into_iter().find(|p| open(cx, p)).map(Ranged::range));
    }
    if let Some(range) = found {
        cx.report(&STORED, range);
    }
}
