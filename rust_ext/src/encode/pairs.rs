//! Which two tokens merge: a hash table in flat arrays, with a small filter before it, because most pairs do not.

use super::flat::Flat;

const VACANT: u32 = u32::MAX;

/// Pairs of tokens and the token that each makes.
#[derive(Clone)]
pub struct Pairs {
    /// `[left, right, made]`, open addressing; a power of two of them, at most half in use.
    pub slots: Flat<[u32; 3]>,
    /// One bit a pair, by another part of its hash; a power of two of words.
    pub filter: Flat<u64>,
}

/// The table under construction, or a view of the finished one for the time of a call.
#[derive(Clone, Copy)]
pub struct PairsView<'a> {
    slots: &'a [[u32; 3]],
    filter: &'a [u64],
}

#[inline(always)]
fn hash(left: u32, right: u32) -> u64 {
    let key = u64::from(left) << 32 | u64::from(right);
    let wide = u128::from(key ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93_u128;
    (wide >> 64) as u64 ^ wide as u64
}

impl Pairs {
    /// An empty table for up to `most` pairs.
    pub fn with_capacity(most: usize) -> Self {
        let slots = (2 * most.max(8)).next_power_of_two();
        Pairs { slots: vec![[VACANT; 3]; slots].into(), filter: vec![0; (slots / 8).max(1)].into() }
    }

    /// Adds a pair that is not there yet; a full table takes no more.
    pub fn insert(&mut self, left: u32, right: u32, made: u32) {
        let (Flat::Owned(slots), Flat::Owned(filter)) = (&mut self.slots, &mut self.filter) else { return };
        let hash = hash(left, right);
        let word = (hash >> 38) as usize & filter.len().wrapping_sub(1);
        if let Some(word) = filter.get_mut(word) {
            *word |= 1 << (hash >> 32 & 63);
        }
        let mask = slots.len() - 1;
        for step in 0..slots.len() {
            if let Some(slot) = slots.get_mut((hash as usize + step) & mask)
                && slot[2] == VACANT
            {
                *slot = [left, right, made];
                return;
            }
        }
    }

    /// The arrays at hand.
    #[inline(always)]
    pub fn view(&self) -> PairsView<'_> {
        PairsView { slots: &self.slots, filter: &self.filter }
    }
}

impl PairsView<'_> {
    /// The token that `left` and `right` make.
    #[inline(always)]
    pub fn get(self, left: u32, right: u32) -> Option<u32> {
        let hash = hash(left, right);
        let word = self.filter.get((hash >> 38) as usize & (self.filter.len().wrapping_sub(1)))?;
        if word >> (hash >> 32 & 63) & 1 == 0 {
            return None;
        }
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            let &[first, second, made] = self.slots.get(at)?;
            if first == left && second == right {
                return Some(made);
            }
            if made == VACANT {
                return None;
            }
            at = (at + 1) & mask;
        }
    }
}
