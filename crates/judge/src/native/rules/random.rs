//! Randomness that can be guessed.

use crate::native::{
    engine::Engine,
    names,
    rule::{Assign, Call, Check},
    value::{clean, taint},
};

rule!(WEAK_RANDOM, "weak-random", [338, 330, 335, 340, 331], High, Medium,
    what: "Looks for passwords, tokens and codes drawn from the `random` module.",
    why: "Its state can be computed from some of its outputs, and with it all that follow.",
    remedy: "use the `secrets` module",
    [Check::AnyCall(drawn), Check::Assign(stored)]);

rule!(SHORT_TOKEN, "short-token", [331, 334, 330], Medium, High,
    what: "Looks for tokens of a few random bytes.",
    why: "All values can be tried.",
    remedy: "use at least 16 bytes",
    [Check::Call(&["token_hex", "token_urlsafe", "token_bytes"], short)]);

rule!(PREDICTABLE, "predictable-token", [340, 330, 640, 341, 338], High, Medium,
    what: "Looks for tokens made from the clock, the host, a counter or the user's own data.",
    why: "Whoever knows roughly when, where or for whom it was made can compute it.",
    remedy: "use `secrets.token_urlsafe()`",
    [Check::Call(&["uuid1", "uuid3", "uuid5", "md5", "sha1", "sha256", "sha512", "new"], predictable), Check::Assign(clock)]);

/// Words of things that must not be guessed.
const GUESSED: &[&str] = &[
    "token",
    "password",
    "passwd",
    "pwd",
    "secret",
    "key",
    "apikey",
    "otp",
    "pin",
    "code",
    "nonce",
    "salt",
    "session",
    "sessionid",
    "csrf",
    "captcha",
    "passphrase",
    "voucher",
    "coupon",
    "iv",
    "cookie",
    "activation",
    "confirmation",
    "reset",
    "sid",
    "invite",
    "invitation",
];

/// Words of things that look like those and may be guessed.
const HARMLESS: &[&str] = &[
    "color", "test", "sample", "dice", "quiz", "demo", "seed", "keyboard", "shuffle", "words", "zip", "area",
    "country", "exit", "status", "error",
];

fn guessed(name: &str) -> bool {
    names::mentions(name, GUESSED) && !names::mentions(name, HARMLESS)
}

fn drawn<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let path = call.path;
    let weak = path.strip_prefix("random.").or_else(|| path.strip_prefix("numpy.random.")).is_some_and(|f| {
        matches!(
            f,
            "random"
                | "randint"
                | "randrange"
                | "choice"
                | "choices"
                | "sample"
                | "getrandbits"
                | "shuffle"
                | "uniform"
                | "randbytes"
                | "bytes"
                | "Random().choice"
                | "Random().randint"
                | "Random().choices"
                | "Random().randrange"
                | "Random().getrandbits"
        )
    });
    if weak && guessed(cx.function_name()) {
        cx.report(&WEAK_RANDOM, call.range);
    }
}

fn stored<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    if assign.value.from(taint::RANDOM) && guessed(assign.name) && !guessed(cx.function_name()) && !assign.augmented {
        cx.report_from(&WEAK_RANDOM, assign.range, Some(&assign.value));
    }
}

fn short<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    if call.under(&["secrets."]) && call.args.first().and_then(|n| n.as_int()).is_some_and(|n| n < 8) {
        cx.report(&SHORT_TOKEN, call.range);
    }
}

/// Words of tokens that stand for permission.
const TOKENS: &[&str] = &[
    "token",
    "reset",
    "forgot",
    "recover",
    "recovery",
    "secret",
    "session",
    "sessionid",
    "invite",
    "key",
    "otp",
    "csrf",
    "link",
    "code",
    "nonce",
    "ticket",
];

fn predictable<'a>(cx: &mut Engine<'a>, call: &Call<'a>) {
    let function = cx.function_name();
    let issues = names::mentions(function, TOKENS)
        && !names::mentions(function, &["cache", "hash", "check", "verify", "file", "digest", "sign", "etag"]);
    if matches!(call.path, "uuid.uuid1" | "uuid1") {
        if issues || !cx.imports.any() {
            cx.report(&PREDICTABLE, call.range);
        }
        return;
    }
    if !call.under(&["hashlib.", "uuid."]) || !issues {
        return;
    }
    // A digest of public data is as public as the data. Secrets among the input make it a signature.
    let input: Vec<_> = call.args.iter().filter(|a| a.path.is_some() || a.dynamic()).collect();
    let secret = call.expr.arguments.args.iter().any(|a| {
        let text = cx.text(a).to_ascii_lowercase();
        ["secret", "password", "key", "salt", "token", "urandom", "secrets.", "private"]
            .iter()
            .any(|w| text.contains(w))
    });
    let known = input.iter().any(|a| a.from(taint::PARAM | taint::CLOCK | taint::RANDOM));
    if known && !secret {
        cx.report(&PREDICTABLE, call.range);
    }
}

fn clock<'a>(cx: &mut Engine<'a>, assign: &Assign<'a>) {
    if !assign.value.from(taint::CLOCK) {
        return;
    }
    let token = names::mentions(assign.name, &["token", "sessionid", "otp", "nonce", "secret"]);
    if token && assign.value.clean & clean::OPAQUE != 0 && assign.value.built() {
        cx.report(&PREDICTABLE, assign.range);
    }
}
