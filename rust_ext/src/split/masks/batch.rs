//! Ends of pretokens, gathered into batches.

use super::simd::Level;
use crate::{Error, Result};

/// The most pretokens in a batch.
pub const BATCH: usize = 1024;

/// The most that one block adds.
const BLOCK: usize = 64;

/// What takes a batch: the offset where it starts, and the ends of its pretokens from there.
pub type Emit<'e> = &'e mut dyn FnMut(usize, &[u32]) -> Result<()>;

/// The batch in hand.
pub struct Batch<'e> {
    base: usize,
    count: usize,
    ends: [u32; BATCH + BLOCK],
    emit: Emit<'e>,
}

impl<'e> Batch<'e> {
    pub fn new(emit: Emit<'e>) -> Self {
        Batch { base: 0, count: 0, ends: [0; BATCH + BLOCK], emit }
    }

    /// The end of the last pretoken, which is the start of the next one.
    pub fn last(&self) -> usize {
        let end = self.count.checked_sub(1).and_then(|index| self.ends.get(index));
        self.base + end.map_or(0, |&end| end as usize)
    }

    /// Hands the batch over.
    #[inline(never)]
    pub fn flush(&mut self) -> Result<()> {
        let last = self.last();
        let ends = self.ends.get(..self.count).unwrap_or_default();
        if !ends.is_empty() {
            (self.emit)(self.base, ends)?;
        }
        (self.base, self.count) = (last, 0);
        Ok(())
    }

    /// Makes room for the ends of one block, the last at most at `end`.
    #[inline(always)]
    fn make_room(&mut self, end: usize) -> Result<()> {
        if self.count > BATCH - BLOCK || end - self.base > u32::MAX as usize {
            self.flush()?;
            let size = end - self.base;
            if size > u32::MAX as usize {
                let (size, limit) = (size as u64, u64::from(u32::MAX));
                return Err(Error::TooLarge { what: "a pretoken in bytes", size, limit });
            }
        }
        Ok(())
    }

    /// Adds one end.
    #[inline(always)]
    pub fn push(&mut self, end: usize) -> Result<()> {
        self.make_room(end)?;
        if let Some(slot) = self.ends.get_mut(self.count) {
            *slot = (end - self.base) as u32;
            self.count += 1;
        }
        Ok(())
    }

    /// Adds an end at each bit of `mask`, counted from `at`.
    #[inline(always)]
    pub fn push_mask<L: Level>(&mut self, at: usize, mask: u64) -> Result<()> {
        self.make_room(at + BLOCK)?;
        // The block may start before the batch does: then its first bits are clear, and the sums wrap to the right.
        let offset = (at as u32).wrapping_sub(self.base as u32);
        if let Some(slots) = self.ends.get_mut(self.count..).and_then(|slots| slots.first_chunk_mut()) {
            L::positions(mask, offset, slots);
            self.count += mask.count_ones() as usize;
        }
        Ok(())
    }
}
