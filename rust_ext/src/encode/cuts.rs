//! Where text of a character scheme may be cut although it has no split pattern.
//!
//! No token holds these two bytes side by side, so no merge ever joins what is left of them with what is right. Words,
//! punctuation and numbers then are pretokens of their own, short and often seen, and the result is the same.

use super::flat::Flat;
use super::lexicon::{NEVER, View};
use crate::Result;

const WORDS: usize = 65536 / 64;
/// How many pretokens are handed on at a time.
const BATCH: usize = 1024;

/// One bit for each pair of bytes: whether they stay together.
#[derive(Clone)]
pub struct Cuts {
    pub joined: Flat<u64>,
}

impl Cuts {
    /// Looks through all tokens that merges make.
    pub fn new(view: &View<'_>) -> Self {
        let mut joined = vec![0u64; WORDS];
        let mut join = |first: u8, second: u8| {
            let pair = usize::from(first) << 8 | usize::from(second);
            if let Some(word) = joined.get_mut(pair / 64) {
                *word |= 1 << (pair % 64);
            }
        };
        for first in 0..=255 {
            // Characters are never cut.
            (0x80..=0xBF).for_each(|second| join(first, second));
        }
        for (id, made) in view.derivations.iter().enumerate().filter(|(_, made)| made[2] != NEVER) {
            let _ = made;
            for two in view.token(id as u32).windows(2) {
                if let [first, second] = *two {
                    join(first, second);
                }
            }
        }
        Cuts { joined: joined.into() }
    }

    /// Whether some token holds these two bytes side by side.
    #[inline(always)]
    pub fn together(&self, first: u8, second: u8) -> bool {
        let pair = usize::from(first) << 8 | usize::from(second);
        self.joined.get(pair / 64).is_none_or(|word| word >> (pair % 64) & 1 == 1)
    }

    /// Calls `emit(base, ends)` as [`crate::split::Splitter::each_batch`] does.
    pub fn each_batch<F: FnMut(usize, &[u32]) -> Result<()>>(&self, text: &[u8], mut emit: F) -> Result<()> {
        let joined: &[u64] = &self.joined;
        let mut ends = [0u32; BATCH];
        let mut base = 0;
        let mut count = 0;
        let mut before = match text.first() {
            Some(&first) => first,
            None => return Ok(()),
        };
        for (at, &byte) in text.iter().enumerate().skip(1) {
            let pair = usize::from(before) << 8 | usize::from(byte);
            let together = joined.get(pair / 64).is_none_or(|word| word >> (pair % 64) & 1 == 1);
            before = byte;
            if let Some(end) = ends.get_mut(count) {
                *end = (at - base) as u32;
            }
            count += usize::from(!together);
            if count == BATCH {
                emit(base, &ends)?;
                (base, count) = (at, 0);
            }
        }
        if let Some(end) = ends.get_mut(count) {
            *end = (text.len() - base) as u32;
        }
        emit(base, ends.get(..=count).unwrap_or_default())
    }
}
