//! Python's difflib as the peer of `token_diff`: pairs to compare on, and what Python makes of them.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use tokenizers::Tokenizer;

/// Token ids before and after.
pub(crate) type Pair = (Vec<u32>, Vec<u32>);

/// Mask before, mask after, and the processor time in seconds that they took.
pub(crate) type Masked = (Vec<u8>, Vec<u8>, f64);

/// Longest side of a pair that the published data sets give a mask to.
const MOST_TOKENS: usize = 4000;

/// SplitMix64, so that a seed means the same pairs everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// An index below `n`, the small ones far more often: code repeats its tokens so.
    fn skewed(&mut self, n: usize) -> usize {
        let once = self.below(n) + 1;
        self.below(once)
    }
}

/// Random pairs made to hurt: few distinct ids, ids with similar digits, lengths about 200, moved and doubled runs.
pub(crate) fn random_pairs(seed: u64, count: usize) -> Vec<Pair> {
    let mut r = Random(seed);
    (0..count).map(|_| random_pair(&mut r)).collect()
}

fn alphabet(r: &mut Random) -> Vec<u32> {
    match r.below(7) {
        0 => (100..131).collect(),
        1 => vec![1234, 1243, 1324, 2134, 4321, 1235, 12345, 12354, 123, 124, 1245],
        2 => (0..1 + r.below(6) as u32).collect(),
        3 => (0..2 + r.below(80)).map(|_| r.below(50_000) as u32).collect(),
        4 => (9990..10_020).collect(),
        5 => vec![11, 111, 1111, 11_111, 1, 10, 101, 110, 1011, 1101, u32::MAX, u32::MAX - 1],
        _ => (0..200).collect(),
    }
}

fn random_pair(r: &mut Random) -> Pair {
    let ids = alphabet(r);
    let mut length = [0, 1, 3, 8, 15, 25, 40, 60][r.below(8)];
    // From 200 on elements are popular. Where few ids make up the whole, all of them are, the whole is one replaced
    // block, and Python takes seconds: that case is rare here.
    if r.below(if ids.len() > 60 { 3 } else { 60 }) == 0 {
        length = [199, 200, 201, 240][r.below(4)];
    }
    let token = |r: &mut Random| ids[r.skewed(ids.len())];
    let before: Vec<u32> = if r.below(4) == 0 {
        ids.iter().copied().cycle().take(length).collect()
    } else {
        (0..length).map(|_| token(r)).collect()
    };
    // Blocks that differ altogether cost Python cubic time: they stay short.
    if length <= 40 && r.below(3) == 0 {
        let after = (0..r.below(40)).map(|_| token(r)).collect();
        return (before, after);
    }
    let mut after = before.clone();
    for _ in 0..[0, 1, 2, 5, 12][r.below(5)] {
        let at = r.below(after.len() + 1);
        let end = (at + [1, 1, 2, 3, 10][r.below(5)]).min(after.len());
        match r.below(5) {
            0 => drop(after.drain(at..end)),
            1 => drop(after.splice(at..at, (at..end).map(|_| token(r)).collect::<Vec<_>>())),
            2 => drop(after.splice(at..end, (at..end).map(|_| token(r)).collect::<Vec<_>>())),
            3 => {
                let run: Vec<u32> = after.drain(at..end).collect();
                let to = r.below(after.len() + 1);
                after.splice(to..to, run);
            }
            _ => {
                let run = after[at..end].to_vec();
                after.splice(at..at, run);
            }
        }
    }
    (before, after)
}

/// Every real pair of the public data beside the repository whose sides both have at most 4,000 tokens; none where
/// the data is absent.
pub(crate) fn corpus_pairs() -> Option<Vec<Pair>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.is_dir() {
        eprintln!("skipped: {} is not here", data.display());
        return None;
    }
    let tokenizer = Tokenizer::from_file(data.join("codegen-tokenizer/tokenizer.json")).expect("the tokenizer loads");
    let mut files = vec![data.join("safecoder/sec-new-desc.train.jsonl")];
    let sven = std::fs::read_dir(data.join("sven/train")).expect("sven/train is a folder");
    files.extend(sven.map(|entry| entry.expect("a folder entry").path()));
    files.sort();
    let mut pairs = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a text file");
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).expect("a row is JSON");
            let ids = |key: &str| {
                let code = row[key].as_str().expect("code is a string");
                tokenizer.encode(code, false).expect("code can be encoded").get_ids().to_vec()
            };
            let pair = (ids("func_src_before"), ids("func_src_after"));
            if pair.0.len().max(pair.1.len()) <= MOST_TOKENS {
                pairs.push(pair);
            }
        }
    }
    Some(pairs)
}

/// Python's masks of the pairs; none where there is no python3.
pub(crate) fn python(pairs: &[Pair]) -> Option<Vec<Masked>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/masks_reference.py");
    #[expect(clippy::disallowed_methods, reason = "Python itself is the referee of this test")]
    let child = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no python3 here");
        return None;
    };
    let mut input = BufWriter::new(child.stdin.take().expect("stdin is piped"));
    let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let rows = std::thread::scope(|scope| {
        scope.spawn(move || {
            for pair in pairs {
                let row = serde_json::to_string(pair).expect("numbers are JSON");
                writeln!(input, "{row}").expect("python reads its input");
            }
        });
        let row = |line: std::io::Result<String>| {
            serde_json::from_str(&line.expect("python prints text")).expect("python prints JSON")
        };
        output.lines().map(row).collect::<Vec<_>>()
    });
    assert!(child.wait().expect("python ends").success(), "masks_reference.py failed");
    assert_eq!(rows.len(), pairs.len());
    Some(rows)
}
