//! All pairs of neighbors over the floor: how often each occurs, where, and which is best.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use super::Lengths;
use super::words::Words;

/// A pair's count now, and the places where its left token began when the pair was made; some may be stale.
pub(crate) struct Pair {
    pub count: u64,
    pub places: Vec<u32>,
}

/// The pair to merge next.
pub(crate) enum Best {
    Pair(u32, u32, Pair),
    /// Every pair is under the floor, but not under the least count asked for.
    UnderFloor,
    None,
}

/// Pairs at or over the floor.
pub(crate) struct Pairs {
    map: FxHashMap<u64, Pair>,
    heap: BinaryHeap<(u64, Reverse<u64>)>,
    floor: u64,
    min_count: u64,
}

/// Orders as `(left, right)` does.
#[inline(always)]
fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Pairs {
    pub(crate) fn new(min_count: u64, floor: u64) -> Self {
        Pairs { map: FxHashMap::default(), heap: BinaryHeap::new(), floor, min_count }
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn lower_floor(&mut self) {
        self.floor = (self.floor / 16).max(self.min_count);
    }

    /// Forgets all pairs and counts them anew.
    pub(crate) fn count(&mut self, words: &Words, lengths: &Lengths) {
        self.map = FxHashMap::default();
        self.heap.clear();
        let mut totals: FxHashMap<u64, (u64, u32)> = FxHashMap::default();
        words.each_pair(lengths, |_, left, right, weight| {
            let (count, places) = totals.entry(key(left, right)).or_default();
            *count += weight; // all pairs together fit 64 bits, as `Words::new` makes sure
            *places += 1;
        });
        totals.retain(|&key, (count, _)| *count >= self.floor && lengths.allow((key >> 32) as u32, key as u32));
        self.map.reserve(totals.len());
        for (key, (count, places)) in totals {
            self.map.insert(key, Pair { count, places: Vec::with_capacity(places as usize) });
            self.heap.push((count, Reverse(key)));
        }
        words.each_pair(lengths, |place, left, right, _| {
            if let Some(pair) = self.map.get_mut(&key(left, right)) {
                pair.places.push(place as u32);
            }
        });
    }

    /// Takes out the most frequent pair; of several, the one with the smallest ids.
    pub(crate) fn best(&mut self) -> Best {
        while let Some((count, Reverse(key))) = self.heap.pop() {
            let Some(now) = self.map.get(&key).map(|pair| pair.count) else { continue };
            if now != count {
                // The count fell since this was queued; a pair under the floor is no longer in the map.
                self.heap.push((now, Reverse(key)));
                continue;
            }
            if let Some(pair) = self.map.remove(&key) {
                return Best::Pair((key >> 32) as u32, key as u32, pair);
            }
        }
        if self.floor > self.min_count { Best::UnderFloor } else { Best::None }
    }

    pub(crate) fn insert(&mut self, left: u32, right: u32, count: u64, places: Vec<u32>) {
        self.map.insert(key(left, right), Pair { count, places });
    }

    /// Queues a pair that was inserted, with the count it has by now.
    pub(crate) fn queue(&mut self, left: u32, right: u32) {
        let key = key(left, right);
        if let Some(pair) = self.map.get(&key) {
            self.heap.push((pair.count, Reverse(key)));
        }
    }

    /// Takes `weight` from a pair, and forgets a pair that falls under the floor.
    pub(crate) fn lessen(&mut self, left: u32, right: u32, weight: u64) {
        let key = key(left, right);
        if let Some(pair) = self.map.get_mut(&key) {
            pair.count = pair.count.saturating_sub(weight);
            if pair.count < self.floor {
                self.map.remove(&key);
            }
        }
    }
}
