//! The distinct pretokens of a corpus, laid out for merging.
//!
//! Every byte of every word has a place in one array. A token that spans places `p..p+n` has its id at `p` and at
//! `p+n-1`; the places between hold [`INSIDE`]. Words are separated by [`BORDER`]. Words are sorted by how often they
//! occur, so the weight of a place is found from a short table of borders between weights.

use rustc_hash::FxHashMap;

use super::Lengths;
use crate::count::Counts;
use crate::{Error, Result};

/// The place between two words.
pub(crate) const BORDER: u32 = u32::MAX;
/// A place inside a token.
pub(crate) const INSIDE: u32 = u32::MAX - 1;

/// log2 of the number of places on a page of the weight index.
const PAGE: usize = 10;

/// Words and their weights.
pub struct Words {
    places: Vec<u32>,
    /// Where each weight begins, and the weight.
    weights: Vec<(u32, u64)>,
    /// For each page of places, the weight in force where it begins.
    pages: Vec<u32>,
}

impl Words {
    /// Lays out `counts`, consuming them; `tokens_of` turns a pretoken into token ids, and `lengths` are in bytes.
    ///
    /// Pretokens of one token are left out: nothing in them can merge.
    pub fn new<F>(counts: Counts, length_of: &[u32], mut tokens_of: F) -> Result<Self>
    where
        F: FnMut(&[u8], &mut Vec<u32>),
    {
        let places_of = |ids: &[u32]| -> u64 {
            ids.iter().map(|&id| u64::from(length_of.get(id as usize).copied().unwrap_or(1))).sum::<u64>() + 1
        };
        let mut ids = Vec::new();
        let mut sizes: FxHashMap<u64, u64> = FxHashMap::default();
        let mut pairs = 0u128;
        counts.each(|pretoken, count| {
            ids.clear();
            tokens_of(pretoken, &mut ids);
            if ids.len() > 1 {
                *sizes.entry(count).or_default() += places_of(&ids);
                pairs += u128::from(count) * (ids.len() as u128 - 1);
            }
        });
        if pairs > u128::from(u64::MAX) {
            return Err(Error::CountOverflow { what: "the count of all pairs of neighboring tokens".to_owned() });
        }
        let mut by_weight: Vec<(u64, u64)> = sizes.into_iter().collect();
        by_weight.sort_unstable_by(|a, b| b.cmp(a));
        let (mut weights, mut cursors, mut size) = (Vec::new(), FxHashMap::default(), 1u64);
        for (weight, places) in by_weight {
            weights.push((size, weight));
            cursors.insert(weight, size as usize);
            size += places;
        }
        let limit = u64::from(INSIDE);
        if size > limit {
            return Err(Error::TooLarge { what: "bytes in all distinct pretokens", size, limit });
        }
        let mut places = vec![INSIDE; size as usize];
        if let Some(first) = places.first_mut() {
            *first = BORDER;
        }
        counts.each(|pretoken, count| {
            ids.clear();
            tokens_of(pretoken, &mut ids);
            let Some(cursor) = cursors.get_mut(&count).filter(|_| ids.len() > 1) else { return };
            for &id in &ids {
                let length = length_of.get(id as usize).copied().unwrap_or(1) as usize;
                set(&mut places, *cursor, id);
                set(&mut places, *cursor + length - 1, id);
                *cursor += length;
            }
            set(&mut places, *cursor, BORDER);
            *cursor += 1;
        });
        drop(counts);
        let weights: Vec<(u32, u64)> = weights.into_iter().map(|(start, weight)| (start as u32, weight)).collect();
        let mut pages = Vec::with_capacity(places.len() >> PAGE);
        let mut index = 0;
        for start in (0..places.len()).step_by(1 << PAGE) {
            while weights.get(index + 1).is_some_and(|&(from, _)| from as usize <= start) {
                index += 1;
            }
            pages.push(index as u32);
        }
        Ok(Words { places, weights, pages })
    }

    /// What is at a place; beyond the last, a border.
    #[inline(always)]
    pub(crate) fn at(&self, place: usize) -> u32 {
        self.places.get(place).copied().unwrap_or(BORDER)
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, place: usize, id: u32) {
        set(&mut self.places, place, id);
    }

    /// Asks for a place that will be needed soon.
    #[inline(always)]
    pub(crate) fn prefetch(&self, place: usize) {
        crate::prefetch(&self.places, place);
    }

    /// How often the word at `place` occurs.
    #[inline(always)]
    pub(crate) fn weight(&self, place: usize) -> u64 {
        let mut index = self.pages.get(place >> PAGE).copied().unwrap_or(0) as usize;
        while self.weights.get(index + 1).is_some_and(|&(from, _)| from as usize <= place) {
            index += 1;
        }
        self.weights.get(index).map_or(0, |&(_, weight)| weight)
    }

    /// Calls `visit(place, left, right, weight)` for each pair of neighbors.
    pub(crate) fn each_pair<F: FnMut(usize, u32, u32, u64)>(&self, lengths: &Lengths, mut visit: F) {
        for (index, &(start, weight)) in self.weights.iter().enumerate() {
            let end = self.weights.get(index + 1).map_or(self.places.len(), |&(next, _)| next as usize);
            let mut place = start as usize;
            while place < end {
                let left = self.at(place);
                if left == BORDER {
                    place += 1;
                    continue;
                }
                let next = place + lengths.of(left);
                let right = self.at(next);
                if right != BORDER {
                    visit(place, left, right, weight);
                }
                place = next;
            }
        }
    }

    /// A guess at how often the last pair to be merged will occur, on the low side.
    ///
    /// Too low costs time on pairs that never merge; too high costs counting all pairs again. Neither costs exactness.
    pub(crate) fn first_floor(&self, vocab_size: usize) -> u64 {
        let mass: u128 = self
            .weights
            .iter()
            .enumerate()
            .map(|(index, &(start, weight))| {
                let end = self.weights.get(index + 1).map_or(self.places.len(), |&(next, _)| next as usize);
                u128::from(weight) * (end - start as usize) as u128
            })
            .sum();
        u64::try_from(mass / (vocab_size as u128 * 128)).unwrap_or(u64::MAX)
    }
}

#[inline(always)]
fn set(places: &mut [u32], place: usize, id: u32) {
    if let Some(slot) = places.get_mut(place) {
        *slot = id;
    }
}
