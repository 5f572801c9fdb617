use super::{log::Log, *};
use lexicon::{Cwe, Language, Origin, Pair};
use std::io::Write;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn item(i: usize) -> Judged {
    Judged {
        format: FORMAT,
        pair: Pair {
            format: FORMAT,
            id: format!("p-{i}"),
            language: Language::Python,
            cwe: vec![Cwe(95)],
            instruction: "i".into(),
            reasoning: String::new(),
            secure: format!("x = {i}\n"),
            insecure: if i == 9 { String::new() } else { format!("x = eval('{i}')\n") },
            origin: Origin { licence: "MIT".into(), ..Origin::default() },
        },
        voices: Vec::new(),
        reasons: vec!["r".into()],
    }
}

fn decide(i: usize, who: &str, verdict: Verdict, secure: Option<&str>) -> Decision {
    let fixed = secure.map(|s| Fixed { instruction: "i".into(), insecure: "y".into(), secure: s.into() });
    decision(1, who, &item(i), verdict, if verdict == Verdict::Reject { " no " } else { "" }, fixed)
}

#[test]
fn what_follows_from_decisions() {
    use Verdict::{Accept, Fix, Reject};
    let queue = Queue::new(
        (0..10).map(item).collect(),
        [
            decide(0, "a", Accept, None),
            decide(0, "b", Accept, None),
            decide(1, "a", Accept, None),
            decide(1, "b", Reject, None),
            decide(2, "a", Accept, None),
            decide(3, "a", Reject, None),
            // A later decision counts instead.
            decide(3, "b", Accept, None),
            decide(3, "b", Reject, None),
            decide(4, "a", Fix, Some("z = 1\n")),
            decide(4, "b", Fix, Some("z = 1\n")),
            decide(5, "a", Fix, Some("z = 1\n")),
            decide(5, "b", Fix, Some("z = 2\n")),
            decide(9, "a", Accept, None),
            decide(9, "b", Accept, None),
            decide(77, "a", Accept, None),
        ],
    );
    let told: Vec<String> = (0..10)
        .map(|i| match queue.settled(i, 2) {
            Settled::Open => "open".into(),
            Settled::Disputed => "disputed".into(),
            Settled::Rejected => "rejected".into(),
            Settled::Taken(row) => match *row {
                Row::Pair(p) => {
                    format!("pair {} {:?} {}", p.secure.trim(), p.origin.verified, p.origin.extra["review"])
                }
                Row::Text { text, .. } => format!("text {}", text.trim()),
            },
        })
        .collect();
    let both = r#"["review: a", "review: b"]"#;
    let taken = [format!("pair x = 0 {both} accept"), format!("pair z = 1 {both} fix")];
    assert_eq!(
        told,
        [&taken[0], "disputed", "open", "rejected", &taken[1], "disputed", "open", "open", "open", "text x = 9"]
    );
    assert!(matches!(queue.settled(2, 1), Settled::Taken(_)));
    assert_eq!((queue.stale, queue.done("a"), queue.done("c")), (1, 7, 0));
    assert_eq!(
        (queue.next_open(0, "a"), queue.next_open(9, "a"), queue.next_open(0, "c")),
        (Some(6), Some(6), Some(0))
    );
    let agreement = &queue.agreements()[0];
    assert_eq!((agreement.both, agreement.alike), (6, 5));
    assert!(agreement.said().starts_with("a and b: 5 of 6 alike, kappa 0.7"), "{}", agreement.said());
}

#[test]
fn half_a_line_harms_no_other() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("decisions.jsonl");
    let whole = serde_json::to_string(&decide(1, "a", Verdict::Accept, None))?;
    // Every way in which a process may die while it writes, with and without something before.
    for before in ["", &format!("{whole}\n")] {
        for cut in 0..=whole.len() {
            std::fs::write(&path, format!("{before}{}", &whole[..cut]))?;
            let kept = usize::from(!before.is_empty()) + usize::from(cut == whole.len());
            let (mut log, held) = Log::open(&path)?;
            assert_eq!(held.decisions.len(), kept, "{cut}");
            assert_eq!(held.bad.len(), usize::from(cut > 0 && cut < whole.len()), "{cut}");
            log.append(&decide(2, "b", Verdict::Reject, None))?;
            drop(log);
            let (_, held) = Log::open(&path)?;
            assert_eq!(held.decisions.len(), kept + 1, "{cut}");
            assert_eq!(held.decisions[kept].reviewer, "b");
        }
    }
    // Only one process may write.
    let (mut log, _) = Log::open(&path)?;
    let busy = Log::open(&path).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(busy.contains("is in use"), "{busy}");
    // What others append is not overwritten.
    std::fs::OpenOptions::new().append(true).open(&path)?.write_all(b"nonsense\n")?;
    log.append(&decide(3, "a", Verdict::Accept, None))?;
    drop(log);
    let (_, held) = Log::open(&path)?;
    assert_eq!((held.bad.len(), held.decisions.last().map(|d| d.id.as_str())), (1, Some("p-3")));
    Ok(())
}
