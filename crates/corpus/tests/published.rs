//! Published data through the whole way from rows to masks: the counts are those that the authors' own code gives.
//!
//! Reads `../shared/data` beside the repository; where it is absent the tests say so and check nothing.

use corpus::{
    Template, Tokenizer,
    mask_rows::{self, Kind},
    rows, stats,
};
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn data() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not here", folder.display());
        return None;
    }
    Some(folder)
}

/// What became of one side of a set.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fates {
    valid: usize,
    unchanged: usize,
    too_long: usize,
    no_mask: usize,
}

/// SafeCoder's samples: code cut after its last changed token, at most 1,024 tokens with the prompt.
#[test]
fn safecoder_keeps_the_samples_its_authors_keep() -> Outcome {
    let Some(data) = data() else { return Ok(()) };
    let tokenizer = Tokenizer::load(&data.join("codegen-tokenizer"))?;
    let read = rows::read(&data.join("safecoder/sec-new-desc.train.jsonl"))?;
    assert!(read.bad.is_empty());
    let pairs = read.pairs();
    let (mut secure, mut insecure) = (Fates::default(), Fates::default());
    let mut shares = Vec::new();
    for (pair, masked) in pairs.iter().zip(mask_rows::mask_all(&tokenizer, &pairs, Kind::Token, 4000)?) {
        let prompt = tokenizer.encode(&Template::Safecoder.prompt(&pair.instruction))?.len();
        for (fates, mask) in [(&mut secure, masked.row.secure), (&mut insecure, masked.row.insecure)] {
            let Some(mask) = mask else {
                fates.no_mask += 1;
                continue;
            };
            let last = mask.iter().rposition(|&m| m == 1);
            let length = last.map_or(mask.len(), |last| last + 1);
            if prompt + length > 1024 {
                fates.too_long += 1;
            } else if last.is_none() {
                fates.unchanged += 1;
            } else {
                fates.valid += 1;
                shares.push(mask.iter().map(|&m| f64::from(m)).sum::<f64>() / length as f64);
            }
        }
    }
    assert_eq!(secure, Fates { valid: 385, unchanged: 17, too_long: 14, no_mask: 5 });
    assert_eq!(insecure, Fates { valid: 315, unchanged: 80, too_long: 21, no_mask: 5 });
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    assert!((mean - 0.150).abs() < 0.0005, "{mean}");
    Ok(())
}

/// Every row of the published sets is read, none is lost, and the numbers add up.
#[test]
fn published_sets_are_read_whole() -> Outcome {
    let Some(data) = data() else { return Ok(()) };
    let mut all = Vec::new();
    for file in std::fs::read_dir(data.join("sven/train"))? {
        let read = rows::read(&file?.path())?;
        assert!(read.bad.is_empty());
        all.extend(read.rows);
    }
    assert_eq!(all.len(), 720);
    let stats = stats::stats(&all, None);
    assert_eq!((stats.pairs, stats.identical, stats.cwes.len()), (720, 4, 9));
    assert_eq!(stats.languages.values().sum::<usize>(), 720);
    assert_eq!(stats.histogram.iter().map(|b| b.count).sum::<usize>(), 720);
    Ok(())
}
