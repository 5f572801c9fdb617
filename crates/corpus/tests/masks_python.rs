//! `token_diff` is Python's `difflib.ndiff`, compared with Python itself.

mod masks_peer;

use corpus::masks::token_diff;
use masks_peer::{Pair, corpus_pairs, python, random_pairs};
use proptest::prelude::*;

/// Holds every pair's masks to Python's.
fn agree(pairs: &[Pair]) {
    let Some(expect) = python(pairs) else { return };
    for ((before, after), (mask_before, mask_after, _)) in pairs.iter().zip(expect) {
        let got = token_diff(before, after);
        assert_eq!(got, (mask_before, mask_after), "{before:?} | {after:?}");
    }
}

#[test]
fn random_pairs_agree() {
    agree(&random_pairs(1, 2000));
}

#[test]
fn real_pairs_agree() {
    let Some(pairs) = corpus_pairs() else { return };
    assert!(pairs.len() > 1000, "only {} pairs", pairs.len());
    agree(&pairs);
}

/// A replaced block of thousands of similar ids, cubic in Python, ends here at once and is all change.
#[test]
fn a_large_replaced_block_ends() {
    let before: Vec<u32> = (0..4000).map(|i| 10_000 + i * 2).collect();
    let after: Vec<u32> = (0..4000).map(|i| 10_001 + i * 2).collect();
    assert_eq!(token_diff(&before, &after), (vec![1; 4000], vec![1; 4000]));
}

fn ids() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        proptest::collection::vec(0..4u32, 0..300),
        proptest::collection::vec(100..131u32, 0..80),
        proptest::collection::vec(any::<u32>(), 0..80),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn masks_have_the_shape_of_their_side(before in ids(), after in ids()) {
        let (x, y) = token_diff(&before, &after);
        prop_assert_eq!((x.len(), y.len()), (before.len(), after.len()));
        prop_assert!(x.iter().chain(&y).all(|&m| m <= 1));
    }

    #[test]
    fn nothing_changes_between_a_sequence_and_itself(ids in ids()) {
        prop_assert_eq!(token_diff(&ids, &ids), (vec![0; ids.len()], vec![0; ids.len()]));
    }

    /// What is unmasked is the same text on both sides, but for the tokens a gap fill took from one side only.
    #[test]
    fn what_is_unmasked_is_common(before in ids(), after in ids()) {
        let (x, y) = token_diff(&before, &after);
        let kept = |ids: &[u32], mask: &[u8]| {
            ids.iter().zip(mask).filter(|(_, m)| **m == 0).map(|(id, _)| *id).collect::<Vec<_>>()
        };
        // A token unmasked on one side stands on the other side, masked or not.
        let is_subsequence = |part: &[u32], whole: &[u32]| {
            let mut whole = whole.iter();
            part.iter().all(|id| whole.any(|other| other == id))
        };
        prop_assert!(is_subsequence(&kept(&before, &x), &after));
        prop_assert!(is_subsequence(&kept(&after, &y), &before));
    }
}
