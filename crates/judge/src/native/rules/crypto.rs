//! Hashes, ciphers, keys, nonces, tokens and comparisons.

use crate::native::{
    engine::Engine,
    names,
    rule::{Call, Check, Compare},
    value::{Value, taint},
};
use ruff_python_ast::{CmpOp, Expr};
use ruff_text_size::Ranged;

rule!(WEAK_HASH, "weak-hash", [328, 327, 916], Medium, Medium,
    what: "Looks for MD5, SHA-1 and their kin.",
    why: "Two texts with one digest can be made, so the digest proves nothing.",
    remedy: "use SHA-256, or say `usedforsecurity=False` where the digest only tells files apart",
    [Check::Call(HASHES, hashed)]);

rule!(KEYED_HASH, "hash-of-secret", [327, 328, 916], High, High,
    what: "Looks for signatures made by hashing a secret together with a message.",
    why: "A digest of `secret + message` can be continued without the secret.",
    remedy: "use `hmac.new(key, message, hashlib.sha256)`",
    [Check::Call(HASHES, keyed)]);

rule!(WEAK_CIPHER, "weak-cipher", [327, 326, 323, 696], High, High,
    what: "Looks for DES, RC4, Blowfish and block ciphers in ECB mode.",
    why: "They can be broken, or show equal blocks as equal.",
    remedy: "use AES-GCM or ChaCha20-Poly1305 with a fresh nonce",
    [Check::Call(CIPHERS, cipher)]);

rule!(WEAK_KEY, "short-key", [326, 310], High, High,
    what: "Looks for keys that are too short.",
    why: "Short RSA keys can be factored, small curves and keys searched.",
    remedy: "use RSA of at least 2048 bits (better 3072), curves of at least 256 bits, symmetric keys of at least 128",
    [Check::Call(KEYS, key)]);

rule!(FIXED_IV, "fixed-nonce", [329, 323, 1204, 330, 760], High, High,
    what: "Looks for constant initialization vectors and nonces.",
    why: "Equal texts become equal ciphertexts; with GCM and stream ciphers a repeated nonce gives away the key stream.",
    remedy: "draw a fresh one with `os.urandom` for every message",
    [Check::Call(NONCES, nonce)]);

rule!(PADDING, "rsa-padding", [780, 327], High, High,
    what: "Looks for RSA encryption with PKCS#1 v1.5 padding.",
    why: "Answers about bad padding let an attacker decrypt, question by question.",
    remedy: "use OAEP with SHA-256",
    [Check::Call(&["encrypt", "decrypt", "PKCS1_v1_5", "new"], padding)]);

rule!(JWT, "jwt-unverified", [347, 345, 287, 327], High, High,
    what: "Looks for tokens whose signature is not checked.",
    why: "Anybody can write a token that says they are the administrator.",
    remedy: "pass the key and `algorithms=[..]`, and leave verification on",
    [Check::Call(&["decode", "get_unverified_claims", "process_jwt", "encode"], jwt)]);

rule!(JWT_EXPIRY, "jwt-without-expiry", [613], Medium, Medium,
    what: "Looks for tokens that never expire.",
    why: "A token that leaks works for ever.",
    remedy: "add an `exp` claim of some minutes",
    [Check::Call(&["encode"], expiry)]);

rule!(TIMING, "timing-comparison", [208, 347, 385, 203], Medium, Medium,
    what: "Looks for secrets and signatures compared with `==`.",
    why: "The comparison stops at the first difference, and its duration tells how far it came.",
    remedy: "use `hmac.compare_digest`",
    [Check::Compare(compared)]);

const HASHES: &[&str] = &[
    "md5",
    "sha1",
    "md4",
    "md2",
    "new",
    "MD5",
    "SHA1",
    "SHA",
    "sha256",
    "sha512",
    "sha",
    "sha224",
    "sha384",
    "MD4",
    "MD2",
    "sign",
    "verify",
    "pbkdf2_hmac",
    "PBKDF2",
    "PBKDF2HMAC",
];

fn is_digest_constructor(call: &Call<'_>) -> Option<String> {
    let path = call.path;
    if path == "hashlib.new" {
        return call.args.first().and_then(|a| a.as_str()).map(|s| s.to_ascii_lowercase().replace('-', ""));
    }
    if let Some(name) = path.strip_prefix("hashlib.") {
        return Some(name.to_owned());
    }
    if let Some(rest) = path.strip_prefix("Crypto.Hash.").or_else(|| path.strip_prefix("Cryptodome.Hash.")) {
        return rest.strip_suffix(".new").map(str::to_ascii_lowercase);
    }
    if matches!(path, "md5.new" | "sha.new" | "MD5.new" | "SHA.new" | "SHA1.new" | "md5" | "md5.md5") {
        return Some(if path.to_ascii_lowercase().starts_with("md5") { "md5" } else { "sha1" }.to_owned());
    }
    None
}

fn weak(name: &str) -> bool {
    matches!(name, "md5" | "sha1" | "md4" | "md2" | "sha" | "ripemd160")
}

fn hashed<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let path = call.path;
    let constructor = is_digest_constructor(call).is_some_and(|n| weak(&n));
    let cryptography = path.ends_with("hashes.MD5") || path.ends_with("hashes.SHA1");
    let marked = call.keyword("usedforsecurity").is_some_and(|u| u.is_bool(false));
    let hmac_weak = path == "hmac.new"
        && call
            .arg(2, "digestmod")
            .is_some_and(|d| weak(d.path().rsplit('.').next().unwrap_or("")) || d.as_str().is_some_and(weak));
    let derived = matches!(call.name, "pbkdf2_hmac")
        && call.args.first().and_then(|a| a.as_str()).is_some_and(|a| weak(&a.to_ascii_lowercase()));
    if (constructor || cryptography || hmac_weak || derived) && !marked {
        cx.report(&WEAK_HASH, call.range);
    }
}

fn keyed<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if is_digest_constructor(call).is_none() {
        return;
    }
    let signs = names::mentions(cx.function_name(), &["sign", "signature", "mac", "hmac", "authenticate"]);
    let Some(first) = call.expr.arguments.args.first() else { return };
    let joined = match first {
        Expr::Call(c) => c.func.as_attribute_expr().map_or(first, |a| a.value.as_ref()),
        other => other,
    };
    let Expr::BinOp(op) = cx.resolve(joined) else { return };
    let secret = names::mentions(names::last(&op.left), &["secret", "key", "apikey", "token", "salt"]);
    if signs && secret && !names::mentions(names::last(&op.left), &["salt"]) {
        cx.report(&KEYED_HASH, call.range);
    }
}

const CIPHERS: &[&str] = &[
    "new",
    "ECB",
    "ARC4",
    "TripleDES",
    "Blowfish",
    "IDEA",
    "CAST5",
    "SEED",
    "DES",
    "DES3",
    "RC2",
    "des",
    "triple_des",
    "ARC2",
    "Cipher",
];

fn cipher<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let path = call.path;
    let algorithms = path.contains("algorithms.")
        && matches!(call.name, "ARC4" | "TripleDES" | "Blowfish" | "IDEA" | "CAST5" | "SEED" | "RC2");
    let ecb = path.ends_with("modes.ECB");
    let pycrypto = ["Crypto.Cipher.", "Cryptodome.Cipher."].iter().find_map(|p| path.strip_prefix(p)).or_else(|| {
        (call.name == "new"
            && matches!(
                path,
                "DES.new" | "ARC4.new" | "DES3.new" | "Blowfish.new" | "AES.new" | "ARC2.new" | "CAST.new"
            ))
        .then_some(path)
    });
    let weak = pycrypto.is_some_and(|p| {
        matches!(p, "DES.new" | "ARC4.new" | "DES3.new" | "Blowfish.new" | "ARC2.new" | "CAST.new" | "XOR.new")
    });
    let aes_ecb =
        pycrypto.is_some_and(|p| p == "AES.new") && call.arg(1, "mode").is_some_and(|m| m.path().ends_with("MODE_ECB"));
    if algorithms || ecb || weak || aes_ecb || path.starts_with("pyDes.") {
        cx.report(&WEAK_CIPHER, call.range);
    }
}

const KEYS: &[&str] = &[
    "generate_private_key",
    "generate",
    "SECP192R1",
    "SECT163K1",
    "SECT163R2",
    "generate_parameters",
    "urandom",
    "token_bytes",
    "BrainpoolP192R1",
    "SECT233K1",
    "SECP224R1",
    "generate_key",
    "newkeys",
];

fn key<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let path = call.path;
    let size = match call.name {
        "generate_private_key" if path.contains("rsa") => call.arg(1, "key_size"),
        "generate_private_key" if path.contains("dsa") => call.arg(0, "key_size"),
        "generate_parameters" if path.contains("dh") || path.contains("dsa") => {
            call.keyword("key_size").or_else(|| call.args.get(1))
        }
        "generate"
            if path.contains("RSA")
                || path.contains("DSA")
                || path.contains("ElGamal")
                || path.starts_with("paramiko.") =>
        {
            call.args.first().or_else(|| call.keyword("bits"))
        }
        "newkeys" => call.args.first(),
        "generate_key" if path.contains("PKey") => call.args.get(1),
        _ => None,
    };
    let short = size.and_then(Value::as_int).is_some_and(|s| s < 2048);
    let curve = (call.name.starts_with("SECP") || call.name.starts_with("SECT") || call.name.starts_with("Brainpool"))
        && path.contains("ec.");
    if short || curve {
        cx.report(&WEAK_KEY, call.range);
    }
}

const NONCES: &[&str] = &["CBC", "CTR", "GCM", "CFB", "OFB", "encrypt", "new", "ChaCha20", "CFB8"];

fn nonce<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let path = call.path;
    let value = match call.name {
        "CBC" | "CTR" | "GCM" | "CFB" | "OFB" | "CFB8" if path.contains("modes.") => call.args.first(),
        "ChaCha20" if path.contains("algorithms.") => call.args.get(1),
        "encrypt"
            if ["AESGCM()", "ChaCha20Poly1305()", "AESCCM()", "AESOCB3()", "AESSIV()"]
                .iter()
                .any(|a| path.contains(a)) =>
        {
            call.args.first()
        }
        "new" if path.contains("AES") || path.contains("DES") || path.contains("ChaCha20") => call
            .keyword("iv")
            .or_else(|| call.keyword("nonce"))
            .or_else(|| call.keyword("IV"))
            .or_else(|| call.args.get(2)),
        _ => None,
    };
    // A parameter is its caller's business; a constant is not.
    let fixed = |v: &Value<'a>| !v.dynamic() && v.literal == crate::native::value::Literal::Unknown;
    if value.is_some_and(|v| fixed(v) || v.from(taint::RANDOM)) {
        cx.report(&FIXED_IV, call.range);
    }
}

fn padding<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let weak = match call.name {
        "encrypt" | "decrypt" => call.args.get(1).is_some_and(|p| p.path().contains("padding.PKCS1v15")),
        "new" => call.path.contains("PKCS1_v1_5.new") && !call.path.contains("Signature"),
        _ => false,
    };
    if weak {
        cx.report(&PADDING, call.range);
    }
}

fn is_jwt(call: &Call<'_>) -> bool {
    call.path.starts_with("jwt.") || call.path.starts_with("jose.jwt.") || call.path.starts_with("authlib.jose.jwt.")
}

fn jwt<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if !is_jwt(call) {
        return;
    }
    let off = call.keyword("verify").is_some_and(|v| v.is_bool(false));
    let option = call.keyword("options").and_then(|o| o.expr);
    let unverified = match option {
        Some(Expr::Dict(d)) => d.items.iter().any(|i| {
            let key = i.key.as_ref().map(|k| cx.peek(k)).unwrap_or_default();
            key.as_str() == Some("verify_signature") && cx.peek(&i.value).is_bool(false)
        }),
        _ => false,
    };
    let none =
        call.keyword("algorithms").or_else(|| call.keyword("algorithm")).or_else(|| call.args.get(2)).is_some_and(
            |a| {
                let listed = match a.expr {
                    Some(Expr::List(l)) => {
                        l.elts.iter().any(|e| cx.peek(e).as_str().is_some_and(|s| s.eq_ignore_ascii_case("none")))
                    }
                    _ => false,
                };
                listed || a.as_str().is_some_and(|s| s.eq_ignore_ascii_case("none"))
            },
        );
    let any = call.name == "decode"
        && call.path.starts_with("jwt.")
        && call.keyword("algorithms").is_none()
        && call.args.len() == 2
        && option.is_none()
        && !call.open_ended();
    if (call.name == "decode" && (off || unverified || any)) || none || call.name == "get_unverified_claims" {
        cx.report(&JWT, call.range);
    }
}

fn expiry<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let Some(Expr::Dict(claims)) = call.args.first().and_then(|c| c.expr) else { return };
    let spread = claims.items.iter().any(|i| i.key.is_none());
    let mut limited = spread;
    for item in &claims.items {
        if let Some(key) = &item.key {
            limited |= cx.peek(key).as_str() == Some("exp");
        }
    }
    let later = cx.function_text().contains("\"exp\"") || cx.function_text().contains("'exp'");
    if is_jwt(call) && !limited && !later {
        cx.report(&JWT_EXPIRY, call.range);
    }
}

const PROOFS: &[&str] = &[
    "token",
    "signature",
    "digest",
    "hmac",
    "mac",
    "secret",
    "apikey",
    "password",
    "passwd",
    "hexdigest",
    "sig",
    "csrf",
    "otp",
    "passcode",
    "authkey",
    "checksum",
    "pin",
    "hash",
];

fn compared<'a>(cx: &mut Engine<'a>, compare: &Compare<'a>) {
    if !matches!(compare.op, CmpOp::Eq | CmpOp::NotEq) {
        return;
    }
    let (left, right) = (&compare.left, &compare.right);
    let constant = |v: &Value<'a>| !v.dynamic();
    if constant(left) || constant(right) {
        return;
    }
    let name = |e: &'a Expr| match e {
        Expr::Name(_) | Expr::Attribute(_) | Expr::Subscript(_) | Expr::Call(_) => names::last(e),
        _ => "",
    };
    let (a, b) = (name(compare.left_expr), name(compare.right_expr));
    let kind = |n: &str| names::mentions(n, &["type", "id", "len", "count", "length", "kind", "name", "index", "pos"]);
    let proof = |n: &str| names::mentions(n, PROOFS) && !kind(n);
    let signed = left.path().contains("hmac.new()") || right.path().contains("hmac.new()");
    let foreign = left.from(taint::FOREIGN) || right.from(taint::FOREIGN);
    if !signed && !foreign {
        return;
    }
    let checks = names::mentions(cx.function_name(), &["token", "signature", "webhook", "apikey", "hmac", "csrf"])
        || names::words(cx.function_name()).any(|w| matches!(w.as_str(), "authorized" | "authenticate" | "key"));
    let loop_item = compare.left_expr.is_subscript_expr() && !proof(a);
    let both_plain = compare.left_expr.is_name_expr() && compare.right_expr.is_name_expr();
    // A digest of a file is public; comparing it leaks nothing.
    let file = names::mentions(
        cx.function_name(),
        &["file", "download", "package", "archive", "checksum", "etag", "update", "release"],
    );
    let public = || {
        let text = cx.function_text();
        text.contains("open(") || text.contains("read_bytes") || text.contains("requests.get")
    };
    let confirm = [a, b].iter().any(|n| {
        names::mentions(n, &["confirm", "confirmation", "confirmed", "repeat", "password2", "again", "retype"])
    });
    if signed || !file && !confirm && !loop_item && (proof(a) || proof(b) || checks && both_plain) && !public() {
        cx.report(&TIMING, compare.left_expr.range().cover(compare.right_expr.range()));
    }
}
