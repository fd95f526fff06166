//! The table of counts: short pretokens packed into 16 bytes, longer ones in an arena.

use hashbrown::HashTable;

use crate::split::Splitter;
use crate::{Error, Result, prefetch};

/// The longest pretoken that fits a packed key; nine in ten are shorter.
const PACKED: usize = 15;
/// How many lookups are in flight at once, so that their cache misses overlap.
const BATCH: usize = 64;
/// Slots fill up to 13/16 before the table grows.
const FULL: (usize, usize) = (13, 16);
/// How many recent pretokens are kept close.
const RECENT: usize = 1 << 13;

/// A pretoken of at most 15 bytes: its bytes little-endian, its length in the top byte. Zero is no pretoken.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    low: u64,
    high: u64,
}

impl Key {
    const NONE: Key = Key { low: 0, high: 0 };

    #[inline(always)]
    fn from_u128(bytes: u128, length: usize) -> Self {
        let packed = (bytes & mask(length)) | (length as u128) << 120;
        Key { low: packed as u64, high: (packed >> 64) as u64 }
    }

    /// Packs `text[start..end]`, which holds 1 to 15 bytes.
    #[inline(always)]
    fn pack(text: &[u8], start: usize, end: usize) -> Self {
        let wide = text.get(start..start + 16).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        let bytes = wide.unwrap_or_else(|| {
            let mut padded = [0; 16];
            let tail = text.get(start..end).unwrap_or_default();
            for (slot, byte) in padded.iter_mut().zip(tail) {
                *slot = *byte;
            }
            padded
        });
        Self::from_u128(u128::from_le_bytes(bytes), end - start)
    }

    #[inline(always)]
    fn hash(self) -> u64 {
        // A folded multiply: the two halves of a 128-bit product mixed into each other.
        let product = u128::from(self.low ^ 0x9E37_79B9_7F4A_7C15) * u128::from(self.high ^ 0xD6E8_FEB8_6659_FD93);
        (product >> 64) as u64 ^ product as u64
    }

    fn length(self) -> usize {
        (self.high >> 56) as usize
    }

    fn bytes(self) -> [u8; 16] {
        ((u128::from(self.high) << 64) | u128::from(self.low)).to_le_bytes()
    }

    /// Orders as the bytes do: big-endian, and the shorter of two that agree first.
    fn order(self) -> (u128, usize) {
        let bytes = (u128::from(self.high) << 64 | u128::from(self.low)) & mask(PACKED);
        (bytes.swap_bytes(), self.length())
    }
}

#[inline(always)]
fn mask(length: usize) -> u128 {
    (1u128 << (8 * length)) - 1
}

#[derive(Clone, Copy)]
struct Slot {
    key: Key,
    count: u64,
}

const EMPTY: Slot = Slot { key: Key::NONE, count: 0 };

#[derive(Clone)]
struct Long {
    hash: u64,
    start: usize,
    length: usize,
    count: u64,
}

/// A multiset of pretokens with 64-bit counts.
#[derive(Clone)]
pub struct Counts {
    slots: Vec<Slot>,
    used: usize,
    arena: Vec<u8>,
    longs: Vec<Long>,
    long_index: HashTable<u32>,
    /// Recent pretokens, each at the place its hash gives it, with counts that are not in `slots` yet. Most of a text is
    /// a few thousand pretokens, and these stay in the processor's cache.
    recent: Vec<Slot>,
    /// What had to make room there, on its way to `slots`.
    waiting: Vec<(Slot, u64)>,
}

impl Default for Counts {
    fn default() -> Self {
        Self::new()
    }
}

impl Counts {
    /// An empty multiset.
    pub fn new() -> Self {
        Counts {
            slots: vec![EMPTY; 1 << 10],
            used: 0,
            arena: Vec::new(),
            longs: Vec::new(),
            long_index: HashTable::new(),
            recent: Vec::new(),
            waiting: Vec::with_capacity(BATCH),
        }
    }

    /// How many distinct pretokens there are; call [`Counts::settle`] first.
    pub fn len(&self) -> usize {
        self.used + self.longs.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.waiting.is_empty()
    }

    /// The sum of all counts, or an error past 2^64.
    pub fn total(&self) -> Result<u64> {
        let counts = self.slots.iter().map(|slot| slot.count).chain(self.longs.iter().map(|long| long.count));
        counts
            .into_iter()
            .try_fold(0u64, |sum, count| sum.checked_add(count))
            .ok_or_else(|| Error::CountOverflow { what: "the count of all pretokens together".to_owned() })
    }

    /// Bytes of memory in use, and the bytes that would be in use while the table grows once more.
    pub fn memory(&self) -> (usize, usize) {
        let slots = self.slots.capacity() * size_of::<Slot>();
        let longs = self.arena.capacity() + self.longs.capacity() * size_of::<Long>() + self.long_index.capacity() * 5;
        // Vectors double too, but not all in the same moment.
        (slots + longs, slots * 3 + longs * 2)
    }

    /// Whether the next new pretoken makes the table grow.
    pub fn about_to_grow(&self) -> bool {
        (self.used + BATCH) * FULL.1 > self.slots.len() * FULL.0
    }

    /// Counts `text[start..end]` once, and says whether a [`Counts::flush`] is due.
    #[inline(always)]
    pub fn add_once(&mut self, text: &[u8], start: usize, end: usize) -> Result<bool> {
        if end - start <= PACKED {
            let key = Key::pack(text, start, end);
            let hash = key.hash();
            // The low bits choose a slot in the table, so others choose the place here.
            let Some(recent) = self.recent.get_mut((hash >> 40) as usize % RECENT) else {
                self.recent = vec![EMPTY; RECENT];
                return self.add_once(text, start, end);
            };
            if recent.key == key {
                recent.count += 1;
                return Ok(false);
            }
            let old = std::mem::replace(recent, Slot { key, count: 1 });
            if old.count == 0 {
                return Ok(false);
            }
            let hash = old.key.hash();
            prefetch(&self.slots, hash as usize & (self.slots.len() - 1));
            self.waiting.push((old, hash));
            Ok(self.waiting.len() >= BATCH)
        } else {
            self.add_long(text.get(start..end).unwrap_or_default(), 1)?;
            Ok(true)
        }
    }

    /// Moves what is waiting into the table.
    pub fn flush(&mut self) -> Result<()> {
        if self.about_to_grow() {
            self.grow();
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        for (slot, hash) in waiting.drain(..) {
            self.add_key(slot.key, hash, slot.count)?;
        }
        self.waiting = waiting;
        Ok(())
    }

    /// Brings the counts up to date with all that was added, before they are read.
    pub fn settle(&mut self) -> Result<()> {
        self.flush()?;
        for slot in std::mem::take(&mut self.recent).into_iter().filter(|slot| slot.count > 0) {
            if self.about_to_grow() {
                self.grow();
            }
            self.add_key(slot.key, slot.key.hash(), slot.count)?;
        }
        Ok(())
    }

    /// Takes out what is in the table, to be written to disk; what is on its way there goes to the next table, since
    /// making room for it here would be the growth that writing to disk avoids.
    pub(super) fn take_table(&mut self) -> Counts {
        let mut full = std::mem::take(self);
        std::mem::swap(&mut self.recent, &mut full.recent);
        std::mem::swap(&mut self.waiting, &mut full.waiting);
        full
    }

    /// Adds `count` occurrences of `pretoken`; an empty pretoken is nothing.
    pub fn add(&mut self, pretoken: &[u8], count: u64) -> Result<()> {
        if pretoken.is_empty() || count == 0 {
            return Ok(());
        }
        if pretoken.len() > PACKED {
            return self.add_long(pretoken, count);
        }
        if self.about_to_grow() {
            self.grow();
        }
        let key = Key::pack(pretoken, 0, pretoken.len());
        self.add_key(key, key.hash(), count)
    }

    /// Adds all of `other`.
    pub fn add_all(&mut self, other: &Counts) -> Result<()> {
        for (ahead, slot) in other.slots.iter().enumerate() {
            if let Some(next) = other.slots.get(ahead + 16) {
                prefetch(&self.slots, next.key.hash() as usize & (self.slots.len() - 1));
            }
            if slot.count > 0 {
                if self.about_to_grow() {
                    self.grow();
                }
                self.add_key(slot.key, slot.key.hash(), slot.count)?;
            }
        }
        for long in &other.longs {
            self.add_long(other.long_bytes(long), long.count)?;
        }
        Ok(())
    }

    /// There is room for one more key when this is called.
    #[inline(always)]
    fn add_key(&mut self, key: Key, hash: u64, count: u64) -> Result<()> {
        let last = self.slots.len() - 1;
        let mut at = hash as usize & last;
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.key == key {
                slot.count = slot
                    .count
                    .checked_add(count)
                    .ok_or_else(|| Error::overflow(key.bytes().get(..key.length()).unwrap_or_default()))?;
                return Ok(());
            }
            if slot.key == Key::NONE {
                *slot = Slot { key, count };
                self.used += 1;
                return Ok(());
            }
            at = (at + 1) & last;
        }
        Ok(())
    }

    fn grow(&mut self) {
        let bigger = vec![EMPTY; self.slots.len() * 2];
        let last = bigger.len() - 1;
        let old = std::mem::replace(&mut self.slots, bigger);
        for slot in old.into_iter().filter(|slot| slot.count > 0) {
            let mut at = slot.key.hash() as usize & last;
            while let Some(place) = self.slots.get_mut(at) {
                if place.key == Key::NONE {
                    *place = slot;
                    break;
                }
                at = (at + 1) & last;
            }
        }
    }

    #[cold]
    fn add_long(&mut self, pretoken: &[u8], count: u64) -> Result<()> {
        let hash = hash_long(pretoken);
        let (longs, arena) = (&mut self.longs, &mut self.arena);
        let bytes = |long: &Long| -> std::ops::Range<usize> { long.start..long.start + long.length };
        let same = |&index: &u32| {
            longs.get(index as usize).is_some_and(|long| long.hash == hash && arena.get(bytes(long)) == Some(pretoken))
        };
        if let Some(&index) = self.long_index.find(hash, same) {
            if let Some(long) = longs.get_mut(index as usize) {
                long.count = long.count.checked_add(count).ok_or_else(|| Error::overflow(pretoken))?;
            }
            return Ok(());
        }
        let index = u32::try_from(longs.len()).map_err(|_| Error::TooLarge {
            what: "number of distinct pretokens over 15 bytes",
            size: longs.len() as u64,
            limit: u64::from(u32::MAX),
        })?;
        longs.push(Long { hash, start: arena.len(), length: pretoken.len(), count });
        arena.extend_from_slice(pretoken);
        let longs = &self.longs;
        self.long_index.insert_unique(hash, index, |&other| longs.get(other as usize).map_or(0, |long| long.hash));
        Ok(())
    }

    fn long_bytes(&self, long: &Long) -> &[u8] {
        self.arena.get(long.start..long.start + long.length).unwrap_or_default()
    }

    /// Calls `visit(pretoken, count)` for each pretoken, in no particular order.
    pub fn each<F: FnMut(&[u8], u64)>(&self, mut visit: F) {
        for slot in self.slots.iter().filter(|slot| slot.count > 0) {
            visit(slot.key.bytes().get(..slot.key.length()).unwrap_or_default(), slot.count);
        }
        for long in &self.longs {
            visit(self.long_bytes(long), long.count);
        }
    }

    /// The counts of the pieces into which `splitter` cuts each pretoken: one more stage of splitting, after counting.
    pub fn resplit(&self, splitter: &Splitter) -> Result<Counts> {
        let (mut pieces, mut outcome) = (Counts::new(), Ok(()));
        self.each(|pretoken, count| {
            if outcome.is_ok() {
                outcome = splitter.each_of_bytes(pretoken, |start, end| {
                    pieces.add(pretoken.get(start..end).unwrap_or_default(), count)
                });
            }
        });
        outcome.map(|()| pieces)
    }

    /// Sorts the pretokens in place, by their bytes; nothing can be looked up any more.
    pub(super) fn into_sorted(mut self) -> Sorted {
        self.waiting = Vec::new();
        self.recent = Vec::new();
        self.long_index = HashTable::new();
        self.slots.retain(|slot| slot.count > 0);
        self.slots.sort_unstable_by_key(|slot| slot.key.order());
        let arena = std::mem::take(&mut self.arena);
        let bytes = |long: &Long| arena.get(long.start..long.start + long.length).unwrap_or_default();
        self.longs.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
        Sorted { slots: self.slots, longs: self.longs, arena, next_slot: 0, next_long: 0, buffer: [0; 16] }
    }
}

fn hash_long(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// The pretokens of one table in the order of their bytes.
pub(super) struct Sorted {
    slots: Vec<Slot>,
    longs: Vec<Long>,
    arena: Vec<u8>,
    next_slot: usize,
    next_long: usize,
    buffer: [u8; 16],
}

impl Sorted {
    /// Moves to the next pretoken and gives it with its count.
    pub(super) fn next(&mut self) -> Option<(&[u8], u64)> {
        let slot = self.slots.get(self.next_slot);
        let long = self.longs.get(self.next_long);
        let long_bytes = |long: &Long| self.arena.get(long.start..long.start + long.length).unwrap_or_default();
        if let Some(slot) = slot {
            self.buffer = slot.key.bytes();
            let short = self.buffer.get(..slot.key.length()).unwrap_or_default();
            if long.is_none_or(|long| short < long_bytes(long)) {
                self.next_slot += 1;
                return Some((short, slot.count));
            }
        }
        let long = long?;
        self.next_long += 1;
        Some((long_bytes(long), long.count))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_table_is_a_map(words in prop::collection::vec((prop::collection::vec(0u8..3, 1..40), 1u64..u64::MAX / 4096), 0..400)) {
            let (mut counts, mut map) = (Counts::new(), BTreeMap::new());
            for (word, count) in &words {
                counts.add(word, *count).unwrap();
                *map.entry(word.clone()).or_insert(0) += count;
                let padded = [word.as_slice(), &[7; 16]].concat();
                if counts.add_once(&padded, 0, word.len()).unwrap() {
                    counts.flush().unwrap();
                }
                *map.entry(word.clone()).or_insert(0) += 1;
            }
            counts.settle().unwrap();
            prop_assert_eq!(counts.len(), map.len());
            let mut twice = counts.clone();
            twice.add_all(&counts).unwrap();
            for (times, table) in [(1, counts), (2, twice)] {
                let mut sorted = table.into_sorted();
                for (word, count) in &map {
                    prop_assert_eq!(sorted.next(), Some((word.as_slice(), count * times)));
                }
                prop_assert_eq!(sorted.next(), None);
            }
        }
    }

    #[test]
    fn a_count_past_64_bits_is_an_error() {
        let mut counts = Counts::new();
        counts.add(b"the", u64::MAX).unwrap();
        assert!(matches!(counts.add(b"the", 1), Err(Error::CountOverflow { .. })));
        counts.add(b"a pretoken of more than fifteen bytes", u64::MAX).unwrap();
        assert!(counts.add(b"a pretoken of more than fifteen bytes", 1).is_err());
    }
}
