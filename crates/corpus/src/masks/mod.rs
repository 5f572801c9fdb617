//! Where two versions of a text differ: token masks, character spans, line spans.
//!
//! [`token_diff`] is the mask SafeCoder and LPO train with: Python's `difflib.ndiff` over the decimal strings of token
//! ids, then a fill of gaps of one token. Published results hang on its every quirk, so this is that algorithm and not
//! a better one. Its stages, a file each:
//!
//! 1. `alphabet`: ids become small consecutive symbols.
//! 2. `blocks`: Ratcliff-Obershelp matching blocks, with the rule that ignores popular elements (`SequenceMatcher`).
//! 3. `similar`: how alike two ids are as digit strings.
//! 4. `synch`: inside a replaced block, similar and identical elements synchronise the two sides (`_fancy_replace`).
//!
//! [`char_diff`] and [`line_diff`] are the spans SVEN trains with (`text`, over the edit scripts of `myers` and `cleanup`), and
//! [`spans_to_tokens`] lays spans over a tokenizer's offsets. Spans are what a data set keeps: they outlive a tokenizer.
//!
//! Everything here is a pure function of its arguments and never panics.

mod alphabet;
mod blocks;
mod cleanup;
mod myers;
mod similar;
mod synch;
mod text;

pub use text::{Changes, char_diff, line_diff, skip_comments, spans_to_tokens};

/// Token masks of a pair: 1 where a token was deleted from `before` or added in `after`, else 0.
///
/// Shapes `[before.len()]` and `[after.len()]`. A token that was replaced is both deleted and added. A gap of exactly
/// one unchanged token between two changed ones counts as changed; a gap of two does not.
///
/// Equal to Python's `difflib.ndiff(before, after, linejunk=None, charjunk=None)` over `str(id)`, versions 3.8 to 3.12,
/// followed by SafeCoder's gap fill.
pub fn token_diff(before: &[u32], after: &[u32]) -> (Vec<u8>, Vec<u8>) {
    if before == after {
        return (vec![0; before.len()], vec![0; after.len()]);
    }
    let (a, b, ids) = alphabet::intern(before, after);
    let mut mask_a = vec![1; a.len()];
    let mut mask_b = vec![1; b.len()];
    let mut synch = synch::Synch::new(&ids);
    let (mut i, mut j) = (0, 0);
    let mut blocks = blocks::matching_blocks(&a, &b, ids.len());
    // The sentinel makes the loop see what follows the last block.
    blocks.push(blocks::Block { a: a.len(), b: b.len(), size: 0 });
    for block in blocks {
        if i < block.a && j < block.b {
            for &(x, y) in synch.replace(&a[i..block.a], &b[j..block.b]) {
                mask_a[i + x] = 0;
                mask_b[j + y] = 0;
            }
        }
        mask_a[block.a..block.a + block.size].fill(0);
        mask_b[block.b..block.b + block.size].fill(0);
        (i, j) = (block.a + block.size, block.b + block.size);
    }
    fill_gaps(&mut mask_a);
    fill_gaps(&mut mask_b);
    (mask_a, mask_b)
}

/// Sets every unset token that stands alone between two set ones. A filled token is no neighbour for further filling.
fn fill_gaps(mask: &mut [u8]) {
    let (mut before, mut here) = (0, 0);
    for t in 0..mask.len() {
        let this = mask[t];
        if before == 1 && here == 0 && this == 1 {
            mask[t - 1] = 1;
        }
        (before, here) = (here, this);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &[u32], after: &[u32], mask_before: &[u8], mask_after: &[u8]) {
        let got = token_diff(before, after);
        assert_eq!(got, (mask_before.to_vec(), mask_after.to_vec()), "{before:?} | {after:?}");
    }

    /// A mask of `n` zeros but for the indices given.
    fn only(n: usize, set: &[usize]) -> Vec<u8> {
        (0..n).map(|t| u8::from(set.contains(&t))).collect()
    }

    #[test]
    fn golden_vectors() {
        check(&[1, 2, 3, 4, 5], &[1, 9, 3, 8, 5], &[0, 1, 1, 1, 0], &[0, 1, 1, 1, 0]);
        check(&[1, 2, 3], &[1, 2, 3, 4], &[0, 0, 0], &[0, 0, 0, 1]);
        check(&[1, 2, 3, 4], &[1, 4], &[0, 1, 1, 0], &[0, 0]);
        check(&[10, 11, 12, 13], &[10, 99, 98, 13], &[0, 1, 1, 0], &[0, 1, 1, 0]);
        check(&[1, 5, 1, 5, 1, 5], &[5, 1, 5, 1, 5, 1], &[0, 0, 0, 0, 0, 1], &[1, 0, 0, 0, 0, 0]);
        check(&[100, 200, 300, 400], &[400, 300, 200, 100], &[0, 1, 1, 1], &[1, 1, 1, 0]);
        let mask = [0, 1, 0, 0, 1, 0, 0];
        check(&[1, 2, 3, 4, 5, 6, 7], &[1, 20, 3, 4, 50, 6, 7], &mask, &mask);
    }

    /// The replaced block holds both sides' whole tail: without synchronisation six tokens a side would be set.
    #[test]
    fn golden_popular_elements_synchronise() {
        let side = |x: u32| [vec![1; 250], vec![x], vec![2; 5]].concat();
        check(&side(7), &side(8), &only(256, &[250]), &only(256, &[250]));
    }

    /// Every element is popular, so there is no matching block at all.
    #[test]
    fn golden_a_period_of_three() {
        let before: Vec<u32> = (0..210).map(|i| i % 3).collect();
        let after: Vec<u32> = (1..211).map(|i| i % 3).collect();
        check(&before, &after, &only(210, &[0]), &only(210, &[209]));
    }

    #[test]
    fn nothing_on_a_side() {
        check(&[], &[], &[], &[]);
        check(&[], &[3, 4], &[], &[1, 1]);
        check(&[3, 4], &[], &[1, 1], &[]);
    }

    #[test]
    fn a_gap_of_one_is_filled_and_a_gap_of_two_is_not() {
        for (mask, expect) in
            [([1, 0, 1, 0, 1, 0, 0, 1], [1, 1, 1, 1, 1, 0, 0, 1]), ([0, 1, 0, 0, 1, 1, 0, 0], [0, 1, 0, 0, 1, 1, 0, 0])]
        {
            let mut got = mask;
            fill_gaps(&mut got);
            assert_eq!(got, expect);
        }
    }
}
