//! What every entry of `ALL` must pass, on random input and at the edges.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use objectives::{ALL, Array, Error, Kl, Objective, PairLoss, Scored, Side, TokenLoss};
use proptest::prelude::*;

/// A sequence that owns its arrays.
#[derive(Clone, Debug)]
struct Sequence {
    logp: Vec<f64>,
    mask: Vec<f64>,
    response: Vec<f64>,
    reference: Vec<f64>,
    kl: Vec<f64>,
}

impl Sequence {
    fn scored(&self) -> Scored<'_> {
        Scored { logp: &self.logp, mask: &self.mask, response: &self.response, reference: Some(&self.reference) }
    }

    fn push(&mut self, logp: f64, mask: f64, response: f64) {
        self.logp.push(logp);
        self.mask.push(mask);
        self.response.push(response);
        self.reference.push(-1.0);
        self.kl.push(0.25);
    }
}

/// Random sequences: a prompt token or two, then at least one masked and one unmasked response token.
fn sequence(tokens: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Sequence> {
    let token = (-4.0..-0.05f64, 0..2u8, 0..8u8, -4.0..-0.05f64, 0.0..1.0f64);
    proptest::collection::vec(token, tokens).prop_map(|tokens| {
        let mut s = Sequence { logp: vec![], mask: vec![], response: vec![], reference: vec![], kl: vec![] };
        for (logp, mask, response, reference, kl) in tokens {
            s.push(logp, f64::from(mask), f64::from(u8::from(response > 0)));
            *s.reference.last_mut().unwrap() = reference;
            *s.kl.last_mut().unwrap() = kl;
        }
        s.push(-0.7, 1.0, 1.0);
        s.push(-0.4, 0.0, 1.0);
        s
    })
}

fn objectives() -> impl Iterator<Item = Objective> {
    ALL.iter().flat_map(|entry| (entry.variants)())
}

fn is_pairwise(o: &Objective) -> bool {
    o.needs().pair || o.needs().controls
}

fn pair(o: &Objective, c: &Sequence, r: &Sequence) -> Result<PairLoss, Error> {
    o.pair_with_kl(c.scored(), r.scored(), Some(Kl { chosen: &c.kl, rejected: &r.kl }))
}

fn single(o: &Objective, s: &Sequence, side: Side) -> Result<TokenLoss, Error> {
    o.single_with_kl(s.scored(), side, Some(&s.kl))
}

/// One array of a pair of sequences, chosen for a small step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Chosen(Array),
    Rejected(Array),
}

fn stepped(c: &Sequence, r: &Sequence, step: Step, t: usize, h: f64) -> (Sequence, Sequence) {
    let (mut c, mut r) = (c.clone(), r.clone());
    let (s, array) = match step {
        Step::Chosen(array) => (&mut c, array),
        Step::Rejected(array) => (&mut r, array),
    };
    if array == Array::Kl {
        s.kl[t] += h
    } else {
        s.logp[t] += h
    }
    (c, r)
}

/// Compares a derivative with the central difference of `loss`. Objectives with a hinge have a kink: where the three
/// losses around the point do not lie on a line, the step is shrunk until they do or the point is the kink itself.
fn agrees(analytic: f64, loss: impl Fn(f64) -> f64, what: &dyn std::fmt::Debug) {
    let mut closest = f64::INFINITY;
    for h in [1e-4, 1e-5, 1e-6] {
        let numeric = (loss(h) - loss(-h)) / (2.0 * h);
        let error = (numeric - analytic).abs() / (1.0 + analytic.abs());
        closest = closest.min(error);
    }
    assert!(closest < 1e-6, "{what:?}: derivative {analytic}, off by {closest}");
}

fn pair_derivatives(o: &Objective, c: &Sequence, r: &Sequence) {
    let l = pair(o, c, r).unwrap();
    assert!(l.loss.is_finite());
    assert_eq!((l.d_chosen.len(), l.d_rejected.len()), (c.logp.len(), r.logp.len()));
    let checks = [
        (Step::Chosen(Array::Logp), &l.d_chosen),
        (Step::Rejected(Array::Logp), &l.d_rejected),
        (Step::Chosen(Array::Kl), &l.d_kl_chosen),
        (Step::Rejected(Array::Kl), &l.d_kl_rejected),
    ];
    for (step, d) in checks {
        for (t, &d) in d.iter().enumerate() {
            let loss = |h| {
                let (c, r) = stepped(c, r, step, t, h);
                pair(o, &c, &r).unwrap().loss
            };
            agrees(d, loss, &(o, step, t));
        }
    }
    assert_eq!(l.d_kl_chosen.is_empty(), !o.needs().kl);
}

fn single_derivatives(o: &Objective, s: &Sequence, side: Side) {
    let l = single(o, s, side).unwrap();
    assert!(l.loss.is_finite());
    assert_eq!(l.d.len(), s.logp.len());
    for (array, d) in [(Array::Logp, &l.d), (Array::Kl, &l.d_kl)] {
        for (t, &d) in d.iter().enumerate() {
            let loss = |h| {
                let (s, _) = stepped(s, s, Step::Chosen(array), t, h);
                single(o, &s, side).unwrap().loss
            };
            agrees(d, loss, &(o, side, array, t));
        }
    }
}

const SIDES: [Side; 3] = [Side::Standard, Side::Secure, Side::Insecure];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn derivatives_are_those_of_the_loss(c in sequence(0..12), r in sequence(0..12), wrong in sequence(9..10), right in sequence(9..10)) {
        for o in objectives() {
            if o.needs().controls {
                pair_derivatives(&o, &right, &Sequence { mask: right.mask.clone(), response: right.response.clone(), ..wrong.clone() });
            } else if o.needs().pair {
                pair_derivatives(&o, &c, &r);
            } else {
                for side in SIDES {
                    single_derivatives(&o, &c, side);
                }
            }
        }
    }

    /// A prompt token never moves, whatever the mask says of it.
    #[test]
    fn prompt_tokens_have_no_gradient(c in sequence(3..9), r in sequence(3..9)) {
        for o in objectives().filter(|o| !o.needs().controls) {
            let check = |d: &[f64], s: &Sequence| {
                for (d, w) in d.iter().zip(&s.response) {
                    assert!(*w > 0.0 || *d == 0.0, "{o:?}: {d}");
                }
            };
            if is_pairwise(&o) {
                let l = pair(&o, &c, &r).unwrap();
                check(&l.d_chosen, &c);
                check(&l.d_rejected, &r);
            } else {
                for side in SIDES {
                    check(&single(&o, &c, side).unwrap().d, &c);
                }
            }
        }
    }

    /// An objective that says it needs no mask gives the same numbers under any mask.
    #[test]
    fn needs_tell_the_truth_about_the_mask(c in sequence(3..9), r in sequence(3..9)) {
        let flipped = |s: &Sequence| Sequence { mask: s.mask.iter().map(|m| 1.0 - m).collect(), ..s.clone() };
        for o in objectives().filter(|o| !o.needs().controls) {
            if is_pairwise(&o) {
                let same = pair(&o, &c, &r).unwrap() == pair(&o, &flipped(&c), &flipped(&r)).unwrap();
                assert!(same || o.needs().focus, "{o:?}");
            } else {
                let same = single(&o, &c, Side::Secure).unwrap() == single(&o, &flipped(&c), Side::Secure).unwrap();
                assert!(same || o.needs().focus, "{o:?}");
            }
        }
    }

    /// What an objective does not look at may be anything: neither its loss nor a derivative moves.
    #[test]
    fn what_is_not_looked_at_has_no_say(c in sequence(3..9), r in sequence(3..9), right in sequence(9..10)) {
        let unseen = |o: &Objective, s: &Sequence, side: Side| {
            let logp = s.logp.iter().zip(&s.mask).zip(&s.response);
            let logp = logp.map(|((l, m), r)| if *r > 0.0 && o.looks(side, *m) { *l } else { 0.0 }).collect();
            Sequence { logp, ..s.clone() }
        };
        for o in objectives() {
            if o.needs().controls {
                let blind = unseen(&o, &right, Side::Insecure);
                assert_eq!(pair(&o, &right, &right), pair(&o, &blind, &blind), "{o:?}");
            } else if is_pairwise(&o) {
                let blind = (unseen(&o, &c, Side::Secure), unseen(&o, &r, Side::Insecure));
                assert_eq!(pair(&o, &c, &r), pair(&o, &blind.0, &blind.1), "{o:?}");
            } else {
                for side in SIDES {
                    assert_eq!(single(&o, &c, side), single(&o, &unseen(&o, &c, side), side), "{o:?} {side:?}");
                }
            }
        }
    }

    /// Exchanging the two arguments turns the margin around, and a step along the gradient favours the chosen side.
    #[test]
    fn arguments_are_not_interchangeable(c in sequence(3..9), r in sequence(3..9)) {
        for o in objectives().filter(|o| o.needs().pair) {
            let (ahead, back) = (pair(&o, &c, &r).unwrap(), pair(&o, &r, &c).unwrap());
            let (m, n) = (ahead.metrics.margin.unwrap(), back.metrics.margin.unwrap());
            assert!((m + n).abs() < 1e-9, "{o:?}: margins {m} and {n}");
            if m.abs() > 1e-9 {
                assert!((ahead.metrics.accuracy.unwrap() - back.metrics.accuracy.unwrap()).abs() == 1.0, "{o:?}");
            }
            // IPO alone pushes back, once its target difference, beta times 1/(2 beta), is passed.
            if o.name() == "ipo" && m > 0.5 {
                continue;
            }
            for (d, s) in [(&ahead.d_chosen, -1.0), (&ahead.d_rejected, 1.0)] {
                assert!(d.iter().all(|d| d * s >= 0.0), "{o:?}: {d:?}");
            }
        }
    }
}

#[test]
fn localised_objectives_leave_unmasked_tokens_alone() {
    let mut s = Sequence { logp: vec![], mask: vec![], response: vec![], reference: vec![], kl: vec![] };
    for (logp, mask) in [(-0.5, 0.0), (-1.0, 1.0), (-0.2, 0.0), (-2.0, 1.0)] {
        s.push(logp, mask, 1.0);
    }
    let configs = [
        r#"{"kind":"lpo","alpha":0.0}"#,
        r#"{"kind":"lpo","compat":"code","alpha":0.0,"mask-value":1.0}"#,
        r#"{"kind":"margin","reduction":"masked-mean"}"#,
        r#"{"kind":"sven","kl-weight":0.0}"#,
    ];
    for config in configs {
        let o: Objective = serde_json::from_str(config).unwrap();
        let l = pair(&o, &s, &s).unwrap();
        for d in [&l.d_chosen, &l.d_rejected] {
            assert_eq!([d[0], d[2]], [0.0, 0.0], "{config}");
            assert!(d[1] != 0.0 && d[3] != 0.0, "{config}: {d:?}");
        }
    }
    let o: Objective = serde_json::from_str(r#"{"kind":"safecoder"}"#).unwrap();
    for side in [Side::Secure, Side::Insecure] {
        let d = single(&o, &s, side).unwrap().d;
        assert_eq!([d[0], d[2]], [0.0, 0.0]);
        assert!(d[1] != 0.0 && d[3] != 0.0);
    }
}

/// Whatever is wrong with the input is named; nothing panics and no NaN comes out.
#[test]
fn bad_input_is_named() {
    let mut good = Sequence { logp: vec![], mask: vec![], response: vec![], reference: vec![], kl: vec![] };
    good.push(-0.7, 1.0, 1.0);
    good.push(-0.4, 0.0, 1.0);
    for o in objectives() {
        let run = |s: &Sequence| {
            if is_pairwise(&o) { pair(&o, s, &good).map(|_| ()) } else { single(&o, s, Side::Secure).map(|_| ()) }
        };
        assert_eq!(run(&good), Ok(()), "{o:?}");
        let side = if is_pairwise(&o) { "chosen" } else { "secure" };
        let broken = |f: &dyn Fn(&mut Sequence)| {
            let mut s = good.clone();
            f(&mut s);
            run(&s)
        };
        let shape = |array| Err(Error::Shape { side, array, got: 1, expected: 2 });
        assert_eq!(broken(&|s| s.mask.truncate(1)), shape(Array::Mask));
        assert_eq!(broken(&|s| s.response.truncate(1)), shape(Array::Response));
        assert_eq!(broken(&|s| s.reference.truncate(1)), shape(Array::Reference));
        if o.needs().kl {
            assert_eq!(broken(&|s| s.kl.truncate(1)), shape(Array::Kl));
        }
        for value in [f64::NEG_INFINITY, f64::INFINITY] {
            let expect = Err(Error::NonFinite { side, array: Array::Logp, index: 1, value });
            assert_eq!(broken(&|s| s.logp[1] = value), expect);
        }
        assert!(matches!(broken(&|s| s.logp[0] = f64::NAN), Err(Error::NonFinite { index: 0, .. })));
        let expect = Err(Error::Positive { side, array: Array::Logp, index: 0, value: 0.5 });
        assert_eq!(broken(&|s| s.logp[0] = 0.5), expect);
        let expect = Err(Error::Weight { side, array: Array::Mask, index: 1, value: 2.0 });
        assert_eq!(broken(&|s| s.mask[1] = 2.0), expect);
        assert!(broken(&|s| s.response.fill(0.0)).is_err(), "{o:?}");
        let empty = Sequence { logp: vec![], mask: vec![], response: vec![], reference: vec![], kl: vec![] };
        assert!(run(&empty).is_err(), "{o:?}");
    }
}

#[test]
fn an_objective_refuses_the_call_it_has_no_meaning_for() {
    let mut s = Sequence { logp: vec![], mask: vec![], response: vec![], reference: vec![], kl: vec![] };
    s.push(-0.7, 1.0, 1.0);
    for o in objectives() {
        if is_pairwise(&o) {
            assert_eq!(single(&o, &s, Side::Secure).unwrap_err(), Error::Pairwise { objective: o.name() });
        } else {
            assert_eq!(pair(&o, &s, &s).unwrap_err(), Error::NotPairwise { objective: o.name() });
        }
    }
}

/// Names are the configuration's, unique, and every setting survives a round trip through it.
#[test]
fn the_list_is_the_configuration() {
    let mut names: Vec<_> = ALL.iter().map(|e| e.name).collect();
    assert_eq!(names, ["sft", "safecoder", "dpo", "ipo", "hinge", "simpo", "lpo", "margin", "sven"]);
    names.dedup();
    assert_eq!(names.len(), ALL.len());
    for entry in ALL {
        let default: Objective = serde_json::from_value(serde_json::json!({ "kind": entry.name })).unwrap();
        assert_eq!(default, (entry.variants)()[0]);
        for o in (entry.variants)() {
            assert_eq!(o.name(), entry.name);
            assert_eq!(o.check(), Ok(()));
            let text = serde_json::to_string(&o).unwrap();
            assert_eq!(serde_json::from_str::<Objective>(&text).unwrap(), o, "{text}");
        }
        let unknown = serde_json::json!({ "kind": entry.name, "bta": 1.0 });
        assert!(serde_json::from_value::<Objective>(unknown).is_err(), "{}", entry.name);
    }
}

#[test]
fn parameters_outside_the_formula_are_refused() {
    let configs = [
        (r#"{"kind":"dpo","beta":0.0}"#, "beta is 0, must be a finite number above 0"),
        (r#"{"kind":"simpo","beta":-1.0}"#, "beta is -1, must be a finite number above 0"),
        (r#"{"kind":"lpo","mask-value":1.5}"#, "mask-value is 1.5, must be above 0 and at most 1"),
        (r#"{"kind":"lpo","alpha":-0.1}"#, "alpha is -0.1, must be a finite number, at least 0"),
        (r#"{"kind":"margin","margin":-1.0}"#, "margin is -1, must be a finite number, at least 0"),
        (r#"{"kind":"sven","kl-weight":-1.0}"#, "kl-weight is -1, must be a finite number, at least 0"),
        (r#"{"kind":"safecoder","kl-weight":-1.0}"#, "kl-weight is -1, must be a finite number, at least 0"),
    ];
    for (config, expect) in configs {
        let o: Objective = serde_json::from_str(config).unwrap();
        assert_eq!(o.check().unwrap_err().to_string(), expect);
    }
}
