//! Token ids as small consecutive symbols, so that what follows can index arrays with them.

/// Marks a free slot of the table; no symbol reaches it, there are fewer tokens than that.
const FREE: u32 = u32::MAX;

/// The symbols of `before` and of `after`, and the id of every symbol.
pub(super) fn intern(before: &[u32], after: &[u32]) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    // An open table at most half full; the multiplication spreads neighbouring ids, which token ids often are.
    let bits = ((before.len() + after.len()).max(4) * 2).next_power_of_two().trailing_zeros();
    let mut table = vec![FREE; 1 << bits];
    let last = table.len() - 1;
    let mut ids: Vec<u32> = Vec::new();
    let mut symbol = |id: u32| {
        let mut slot = (u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)) as usize;
        loop {
            let symbol = table[slot];
            if symbol == FREE {
                let new = ids.len() as u32;
                table[slot] = new;
                ids.push(id);
                return new;
            }
            if ids[symbol as usize] == id {
                return symbol;
            }
            slot = (slot + 1) & last;
        }
    };
    let a = before.iter().map(|&id| symbol(id)).collect();
    let b = after.iter().map(|&id| symbol(id)).collect();
    (a, b, ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_stand_for_their_ids() {
        let before: Vec<u32> = (0..5000).map(|i: u32| i.wrapping_mul(2_654_435_761) % 700).collect();
        let after: Vec<u32> = before.iter().rev().map(|x| x ^ 1 << 31).chain([0, u32::MAX]).collect();
        let (a, b, ids) = intern(&before, &after);
        let back = |s: &[u32]| s.iter().map(|&s| ids[s as usize]).collect::<Vec<_>>();
        assert_eq!((back(&a), back(&b)), (before, after));
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len());
    }
}
