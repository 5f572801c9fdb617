use super::*;
use judge::analyzers::{self, Settings};
use lexicon::Cwe;

const EVAL: &str = "def f(x):\n    return eval(x)\n";
const INT: &str = "def f(x):\n    return int(x)\n";
/// What only our rules know: Bandit has no test of it.
const REDIRECT: &str =
    "from flask import redirect, request\n\n\ndef go():\n    return redirect(request.args['next'])\n";
const HOME: &str = "from flask import redirect, request\n\n\ndef go():\n    return redirect('/')\n";

fn pair(cwe: &[u32], insecure: &str, secure: &str) -> Row {
    Row::Pair(Pair {
        format: FORMAT,
        id: "p".into(),
        language: Language::Python,
        cwe: cwe.iter().copied().map(Cwe).collect(),
        instruction: "Write `f`.".into(),
        reasoning: String::new(),
        secure: secure.into(),
        insecure: insecure.into(),
        origin: Origin { source: "s".into(), licence: "MIT".into(), ..Origin::default() },
    })
}

/// `expect` is a part of a reason, or nothing where the row is agreed upon.
fn check(row: Row, quorum: usize, expect: &str) -> Result<Curated, judge::judge::Error> {
    let names = ["native", "bandit-compat"];
    let settings = Settings { nosec: false, ..Settings::default() };
    let judge = Judge::new(analyzers::open(&names, &settings)?, None);
    let versions = names.map(|n| (n.to_owned(), "1".to_owned()));
    let curated = curate(vec![row], &Panel { judge: &judge, analyzers: &versions, quorum })?;
    let said: Vec<&String> = curated.review.iter().flat_map(|j| &j.reasons).collect();
    let refused = curated.refused.iter().map(|r| r.reason).collect::<String>();
    if expect.is_empty() {
        assert!(curated.agreed.len() == 1, "{said:?} {refused}");
    } else {
        assert!(
            refused.contains(expect) || said.iter().any(|r| r.contains(expect)),
            "{said:?} {refused} should hold {expect}"
        );
        assert!(said.iter().all(|r| kind_of(r) != "other"), "{said:?}");
    }
    Ok(curated)
}

#[test]
fn agreement_passes_and_disagreement_is_for_people() -> Result<(), judge::judge::Error> {
    let agreed = check(pair(&[95], EVAL, INT), 2, "")?;
    let Row::Pair(p) = &agreed.agreed[0] else { return Ok(()) };
    assert_eq!(p.origin.verified, ["parse", "analyzers"]);
    assert_eq!((p.origin.extra["analyzers"].as_str(), p.origin.licence.as_str()), ("native 1, bandit-compat 1", "MIT"));
    // Bandit cannot deny what it does not know.
    check(pair(&[601], REDIRECT, HOME), 1, "")?;
    check(pair(&[601], REDIRECT, HOME), 2, "1 of the 2 analyzers that are wanted")?;
    check(pair(&[95], INT, EVAL), 1, "found on the secure side alone")?;
    check(pair(&[95], EVAL, "def f(y):\n    return eval(y)\n"), 1, "found on the secure side as well")?;
    check(pair(&[95], "def f(x):\n    return x\n", INT), 1, "known there, and found on neither side")?;
    check(pair(&[1], "def f(x):\n    return x\n", INT), 1, "no analyzer here knows this weakness")?;
    check(pair(&[], EVAL, INT), 1, "it has no label")?;
    check(pair(&[95], EVAL, "def f(:\n"), 1, "the secure side does not parse")?;
    check(pair(&[95], EVAL, EVAL), 1, "both sides are the same")?;
    let two = "import hashlib\n\n\ndef f(x):\n    return hashlib.md5(int(x).to_bytes()).hexdigest()\n";
    check(pair(&[95], EVAL, two), 1, "new on the secure side: ")?;
    let Row::Pair(telling) = pair(&[95], EVAL, INT) else { return Ok(()) };
    let telling = Pair { instruction: "Write a secure `f`.".into(), ..telling };
    check(Row::Pair(telling), 1, "gives the weakness away")?;
    Ok(())
}

#[test]
fn what_has_one_side_is_judged_by_it() -> Result<(), judge::judge::Error> {
    let text = |code: &str| Row::Text {
        id: "t".into(),
        text: code.into(),
        origin: Box::new(Origin { extra: BTreeMap::from([("cwe".into(), "CWE-95".into())]), ..Origin::default() }),
    };
    let agreed = check(text(INT), 1, "")?;
    assert!(matches!(&agreed.agreed[0], Row::Text { origin, .. } if origin.verified == ["parse", "analyzers"]));
    check(text(EVAL), 1, "found in what should be secure: ")?;
    Ok(())
}
