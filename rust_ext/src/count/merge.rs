//! Merges sorted sources into one sorted stream, adding the counts of equal pretokens.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::spill::{Run, Source};
use super::table::Counts;
use crate::{Error, Result};

/// Counts in the order of their bytes, streamed from memory and disk.
pub struct SortedCounts {
    sources: Vec<Source>,
    heads: BinaryHeap<Reverse<(Vec<u8>, usize, u64)>>,
}

impl SortedCounts {
    pub(super) fn new(tables: Vec<Counts>, runs: Vec<Run>) -> Result<Self> {
        let mut sources: Vec<Source> =
            tables.into_iter().map(|table| Source::Memory(Box::new(table.into_sorted()))).collect();
        for run in runs {
            sources.push(Source::Disk(Box::new(run.reader()?)));
        }
        let mut merged = SortedCounts { sources, heads: BinaryHeap::new() };
        for index in 0..merged.sources.len() {
            merged.advance(index, Vec::new())?;
        }
        Ok(merged)
    }

    /// The counts of one table in order.
    pub fn of(counts: Counts) -> Result<Self> {
        Self::new(vec![counts], Vec::new())
    }

    /// Refills the head of a source, reusing the buffer of the one just taken.
    fn advance(&mut self, index: usize, mut buffer: Vec<u8>) -> Result<()> {
        if let Some(source) = self.sources.get_mut(index)
            && let Some(count) = source.next_into(&mut buffer)?
        {
            self.heads.push(Reverse((buffer, index, count)));
        }
        Ok(())
    }

    /// Moves to the next pretoken: its bytes go to `pretoken`, its count is returned; `None` at the end.
    pub fn next_into(&mut self, pretoken: &mut Vec<u8>) -> Result<Option<u64>> {
        let Some(Reverse((bytes, index, mut total))) = self.heads.pop() else { return Ok(None) };
        pretoken.clear();
        pretoken.extend_from_slice(&bytes);
        self.advance(index, bytes)?;
        while self.heads.peek().is_some_and(|Reverse((bytes, _, _))| bytes == pretoken) {
            let Some(Reverse((bytes, index, count))) = self.heads.pop() else { break };
            total = total.checked_add(count).ok_or_else(|| Error::overflow(pretoken))?;
            self.advance(index, bytes)?;
        }
        Ok(Some(total))
    }

    /// Up to `most` pretokens: their bytes joined, the offset at which each ends, and their counts.
    pub fn batch(&mut self, most: usize) -> Result<(Vec<u8>, Vec<u64>, Vec<u64>)> {
        let (mut data, mut ends, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let mut pretoken = Vec::new();
        // Arrow's 32-bit offsets must hold a batch.
        while counts.len() < most && data.len() < 1 << 30 {
            let Some(count) = self.next_into(&mut pretoken)? else { break };
            data.extend_from_slice(&pretoken);
            ends.push(data.len() as u64);
            counts.push(count);
        }
        Ok((data, ends, counts))
    }
}
