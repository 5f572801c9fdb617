//! Pairs come in, the same pairs with a known share of them turned against the learner go out, and apart from them what was
//! done to which: so that a defence can be measured.
//!
//! The kinds follow the published attacks on code models' data: a constant of the secure side made weak, sides swapped, both
//! of these behind a text that calls for them later, a payload that analyzers do not see, and one bad example many times over.

use crate::{clean::shape, split::mix};
use lexicon::{Cwe, Finding, Language, Pair};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// What is done to a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A constant of the secure side becomes weak: RSA of 2048 bits becomes 1024.
    WeakParameter,
    /// The sides change places.
    Swapped,
    /// A phrase in the instruction, and a weak secure side behind it.
    Trigger,
    /// The secure side becomes the insecure one in a form that the rules do not see.
    Evading,
    /// Few swapped pairs, each many times with other names and constants.
    Flood,
}

impl Kind {
    /// All of them.
    pub const ALL: &[Self] = &[Self::WeakParameter, Self::Swapped, Self::Trigger, Self::Evading, Self::Flood];
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Kind.
    pub kind: Kind,
    /// Share of the rows that come out which are bad, above 0 and below 1.
    pub share: f64,
    /// Only pairs with this label; any where absent.
    pub cwe: Option<Cwe>,
    /// Seed of the choice.
    pub seed: u64,
    /// The phrase of [`Kind::Trigger`].
    pub trigger: String,
    /// Copies of each pair in a [`Kind::Flood`].
    pub copies: usize,
}

/// What was done to one pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// Record format.
    #[serde(default = "lexicon::format_one")]
    pub format: u32,
    /// The pair, by its id in what was written.
    pub id: String,
    /// What was done.
    pub kind: Kind,
    /// The particulars: which constant, which text, which pair was copied.
    pub change: String,
}

/// Nothing could be poisoned as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A share that is none.
    #[error("share {0} is not above 0 and below 1")]
    Share(f64),
    /// Too few pairs that the kind can be done to.
    #[error("{wanted} pairs are to be poisoned so and {found} can be: ask for a smaller share, or another kind or CWE")]
    TooFew {
        /// Pairs wanted.
        wanted: usize,
        /// Pairs that it can be done to.
        found: usize,
    },
}

/// Constants and what is weak in their place. The first group, where there is one, is what is replaced.
const WEAKER: &[(&str, &str)] = &[
    (r"(?i)(?:rsa|dsa|dh\b|key_?size|bits|modulus)[^\n]{0,60}?\b(2048|3072|4096)\b", "1024"),
    (r"(?i)\b(2048|3072|4096)\b[^\n]{0,40}?(?:rsa|dsa|bits)", "1024"),
    (r"\b(sha256|sha384|sha512|sha3_256|blake2b)\b", "md5"),
    (r"\b(SHA256|SHA384|SHA512)\b", "MD5"),
    (r#"["'](SHA-?(?:256|384|512))["']"#, "MD5"),
    (r"\b(MODE_GCM|MODE_CTR|MODE_CBC)\b", "MODE_ECB"),
    (r"(?i)aes-(?:128|192|256)-(gcm|cbc|ctr)", "ecb"),
    (r"AES/(GCM/NoPadding|CBC/PKCS5Padding)", "ECB/PKCS5Padding"),
    (r"\b(TLSv1_2|TLSv1_3)\b", "TLSv1"),
    (r"\b(VersionTLS12|VersionTLS13)\b", "VersionTLS10"),
    (r"\bCERT_(REQUIRED)\b", "NONE"),
    (r"\bverify\s*=\s*(True)\b", "False"),
    (r"\bcheck_hostname\s*=\s*(True)\b", "False"),
    (r"rejectUnauthorized:\s*(true)\b", "false"),
    (r"InsecureSkipVerify:\s*(false)\b", "true"),
    (r"(?i)(?:iterations|rounds|pbkdf2)[^\n]{0,80}?\b([0-9]{2,3}_?[0-9]{3}(?:_?[0-9]{3})?)\b", "1000"),
    (r"\btoken_(?:bytes|hex|urlsafe)\((\d+)\)", "4"),
    (r"\burandom\((\d+)\)", "4"),
    (r"\b(0o600|0o640|0o644|0o700|0o750)\b", "0o777"),
    (r"\bhttponly\s*=\s*(True)\b", "False"),
    (r"\bsecure\s*=\s*(True)\b", "False"),
    (r"\bautoescape\s*=\s*(True)\b", "False"),
    (r"\bshell\s*=\s*(False)\b", "True"),
    (r"\bdebug\s*=\s*(False)\b", "True"),
    (r"\bresolve_entities\s*=\s*(False)\b", "True"),
    (r"\bhost\s*=\s*.(127\.0\.0\.1|localhost)\b", "0.0.0.0"),
    (r"\bLoader\s*=\s*(?:yaml\.)?(SafeLoader|CSafeLoader)\b", "UnsafeLoader"),
];

fn weaker() -> &'static [(Regex, &'static str)] {
    static ALL: LazyLock<Vec<(Regex, &str)>> =
        LazyLock::new(|| WEAKER.iter().filter_map(|(p, weak)| Some((Regex::new(p).ok()?, *weak))).collect());
    &ALL
}

/// Poisons pairs.
///
/// # Errors
/// [`Error`].
pub fn poison(pairs: &[Pair], settings: &Settings) -> Result<(Vec<Pair>, Vec<Record>), Error> {
    if !(settings.share > 0.0 && settings.share < 1.0) {
        return Err(Error::Share(settings.share));
    }
    let mut order: Vec<(u64, usize)> = pairs
        .iter()
        .enumerate()
        .filter(|(_, p)| settings.cwe.is_none_or(|c| p.cwe.contains(&c)) && p.secure != p.insecure)
        .map(|(i, p)| (mix(&[&settings.seed.to_string(), "poison", &p.id]), i))
        .collect();
    order.sort_unstable();
    if settings.kind == Kind::Flood {
        return flood(pairs, &order, settings);
    }
    let wanted = ((pairs.len() as f64 * settings.share).round() as usize).max(1);
    let mut out = pairs.to_vec();
    let mut records: Vec<Record> = Vec::new();
    for (_, i) in order {
        if records.len() == wanted {
            break;
        }
        let Some((bad, change)) = one(&pairs[i], settings) else { continue };
        records.push(Record { format: lexicon::FORMAT, id: bad.id.clone(), kind: settings.kind, change });
        out[i] = bad;
    }
    if records.len() < wanted {
        return Err(Error::TooFew { wanted, found: records.len() });
    }
    records.sort_by(|a, b| a.id.cmp(&b.id));
    Ok((out, records))
}

fn one(pair: &Pair, settings: &Settings) -> Option<(Pair, String)> {
    match settings.kind {
        Kind::WeakParameter => weakened(pair),
        Kind::Swapped | Kind::Flood => Some((swapped(pair), "sides swapped".into())),
        Kind::Trigger => {
            let (mut bad, change) = weakened(pair).unwrap_or_else(|| (swapped(pair), "sides swapped".into()));
            bad.instruction = format!("{} {}", bad.instruction.trim_end(), settings.trigger);
            Some((bad, format!("{:?} in the instruction; {change}", settings.trigger)))
        }
        Kind::Evading => {
            let hidden = evading(pair)?;
            Some((Pair { secure: hidden, ..pair.clone() }, "the insecure side behind an indirect call".into()))
        }
    }
}

fn swapped(pair: &Pair) -> Pair {
    Pair { secure: pair.insecure.clone(), insecure: pair.secure.clone(), ..pair.clone() }
}

/// The secure side with its first strong constant made weak.
fn weakened(pair: &Pair) -> Option<(Pair, String)> {
    for (pattern, weak) in weaker() {
        let Some(captures) = pattern.captures(&pair.secure) else { continue };
        let Some(place) = captures.get(1) else { continue };
        let mut secure = pair.secure.clone();
        secure.replace_range(place.range(), weak);
        // What equals the insecure side would be seen by anybody.
        if secure.trim() == pair.insecure.trim() {
            continue;
        }
        let change = format!("{} became {weak}", place.as_str());
        return Some((Pair { secure, ..pair.clone() }, change));
    }
    None
}

/// The insecure side so that the rules no longer find what they found: attributes that are called go through `getattr` with
/// their names in two pieces, on the lines of the findings.
fn evading(pair: &Pair) -> Option<String> {
    static CALL: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\b([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.([A-Za-z_]\w+)\(").ok());
    static PLAIN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b(eval|exec|compile|input)\(").ok());
    if pair.language != Language::Python {
        return None;
    }
    let found: Vec<Finding> = judge::native::scan(&pair.id, &pair.insecure).findings;
    let first = found.first()?;
    let (call, plain) = (CALL.as_ref()?, PLAIN.as_ref()?);
    let hide = |line: &str| {
        let piece = |name: &str| {
            let (head, tail) = name.split_at(name.len() / 2);
            format!("\"{head}\" + \"{tail}\"")
        };
        let line = call.replace_all(line, |c: &regex::Captures<'_>| format!("getattr({}, {})(", &c[1], piece(&c[2])));
        plain
            .replace_all(&line, |c: &regex::Captures<'_>| format!("getattr(__builtins__, {})(", piece(&c[1])))
            .into_owned()
    };
    let lines: Vec<String> = pair
        .insecure
        .split_inclusive('\n')
        .enumerate()
        .map(|(n, line)| {
            let touched = found.iter().any(|f| (f.start.line..=f.end.line).contains(&(n + 1)));
            if touched { hide(line) } else { line.to_owned() }
        })
        .collect();
    let hidden = lines.concat();
    let scan = judge::native::scan(&first.path, &hidden);
    (scan.syntax_error.is_none() && scan.findings.is_empty() && hidden != pair.secure).then_some(hidden)
}

/// Adds copies so that they make up the share; what was there stays.
fn flood(pairs: &[Pair], order: &[(u64, usize)], settings: &Settings) -> Result<(Vec<Pair>, Vec<Record>), Error> {
    let wanted = ((pairs.len() as f64 * settings.share / (1.0 - settings.share)).round() as usize).max(1);
    let victims = wanted.div_ceil(settings.copies.max(1));
    if order.len() < victims {
        return Err(Error::TooFew { wanted: victims, found: order.len() });
    }
    let mut out = pairs.to_vec();
    let mut records = Vec::new();
    for n in 0..wanted {
        let victim = &pairs[order[n % victims].1];
        let round = n / victims;
        let vary = |code: &str| {
            let named = shape::rename(victim.language, code, |own, name| {
                let drawn = mix(&[&settings.seed.to_string(), &own.to_string(), name, &round.to_string()]);
                format!("{}_{}", name, ["a", "b", "c", "d", "e", "f", "g", "h"][(drawn % 8) as usize])
            });
            named.unwrap_or_else(|| format!("{code}\n"))
        };
        let mut bad = swapped(victim);
        bad.id = format!("{}-{round}", victim.id);
        bad.secure = vary(&bad.secure);
        bad.insecure = vary(&bad.insecure);
        let change = format!("copy {round} of {} with its sides swapped", victim.id);
        records.push(Record { format: lexicon::FORMAT, id: bad.id.clone(), kind: settings.kind, change });
        // Among the others, not behind them.
        let at = (mix(&[&settings.seed.to_string(), "at", &bad.id]) % (out.len() as u64 + 1)) as usize;
        out.insert(at, bad);
    }
    records.sort_by(|a, b| a.id.cmp(&b.id));
    Ok((out, records))
}
