//! Which two tokens merge: a hash table in flat arrays, with a small filter before it, because most pairs do not.

use super::flat::Flat;
use super::lexicon::Derivation;

/// A place of the table holds the token that a pair makes, and above it the pair: twenty bits of each, which tell all
/// pairs of up to a million tokens apart. Of more tokens the derivation says whether it is this pair.
const TOKEN_BITS: u32 = 24;
const HALF_BITS: u32 = 20;
const VACANT: u64 = u64::MAX;

/// Pairs of tokens and the token that each makes.
#[derive(Clone)]
pub struct Pairs {
    /// Open addressing; a power of two of them, at most four fifths in use.
    pub slots: Flat<u64>,
    /// One bit a pair, by another part of its hash; a power of two of words.
    pub filter: Flat<u64>,
}

/// The arrays at hand.
#[derive(Clone, Copy)]
pub struct PairsView<'a> {
    slots: &'a [u64],
    filter: &'a [u64],
}

#[inline(always)]
fn hash(left: u32, right: u32) -> u64 {
    let key = u64::from(left) << 32 | u64::from(right);
    let wide = u128::from(key ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93_u128;
    (wide >> 64) as u64 ^ wide as u64
}

/// What a place holds of a pair, and whether that is all of it.
#[inline(always)]
fn tag(left: u32, right: u32) -> (u64, bool) {
    let tag = (u64::from(left) << HALF_BITS ^ u64::from(right)) & ((1 << (2 * HALF_BITS)) - 1);
    (tag, (left | right) >> HALF_BITS == 0)
}

impl Pairs {
    /// An empty table for up to `most` pairs.
    pub fn with_capacity(most: usize) -> Self {
        let slots = (most.max(8) * 5 / 4).next_power_of_two();
        Pairs { slots: vec![VACANT; slots].into(), filter: vec![0; (slots / 4).max(1)].into() }
    }

    /// Adds a pair that is not there yet, which makes `token`; a full table takes no more.
    pub fn insert(&mut self, left: u32, right: u32, token: u32) {
        let (Flat::Owned(slots), Flat::Owned(filter)) = (&mut self.slots, &mut self.filter) else { return };
        let hash = hash(left, right);
        let word = (hash >> 38) as usize & filter.len().wrapping_sub(1);
        if let Some(word) = filter.get_mut(word) {
            *word |= 1 << (hash >> 32 & 63);
        }
        let mask = slots.len() - 1;
        for step in 0..slots.len() {
            if let Some(slot) = slots.get_mut((hash as usize + step) & mask)
                && *slot == VACANT
            {
                *slot = tag(left, right).0 << TOKEN_BITS | u64::from(token);
                return;
            }
        }
    }

    /// Whether a search for a pair that is not there would never end.
    pub fn is_full(&self) -> bool {
        !self.slots.contains(&VACANT)
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
    pub fn get(self, derivations: &[Derivation], left: u32, right: u32) -> Option<u32> {
        let hash = hash(left, right);
        let word = self.filter.get((hash >> 38) as usize & (self.filter.len().wrapping_sub(1)))?;
        if word >> (hash >> 32 & 63) & 1 == 0 {
            return None;
        }
        let (tag, is_whole) = tag(left, right);
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            let &slot = self.slots.get(at)?;
            if slot >> TOKEN_BITS == tag {
                let token = (slot & ((1 << TOKEN_BITS) - 1)) as u32;
                if is_whole || derivations.get(token as usize).is_some_and(|made| made[0] == left && made[1] == right) {
                    return Some(token);
                }
            }
            if slot == VACANT {
                return None;
            }
            at = (at + 1) & mask;
        }
    }
}
