//! Byte-pair encoding of one pretoken, exactly and in linear time.
//!
//! Take the longest token that the text starts with; then the longest that may follow it, and so on. Where none may
//! follow, take the last one back and try the next shorter. What leads to a border between two characters is always the
//! same (the encoding of what is before it), so a border that failed once need not be tried again: every border is
//! entered at most once, and costs no more than the longest token of the vocabulary has beginnings.

use super::lexicon::View;
use super::trie::{NONE, Trie};

/// Where encoding stopped: the offset of a character that no token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown(pub usize);

/// Borders that lead nowhere, one bit each.
#[derive(Default)]
struct Dead {
    first: u64,
    more: Vec<u64>,
}

impl Dead {
    #[inline(always)]
    fn has(&self, at: usize) -> bool {
        if at < 64 {
            return self.first >> at & 1 == 1;
        }
        self.more.get(at / 64 - 1).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    #[cold]
    fn add(&mut self, at: usize) {
        if at < 64 {
            self.first |= 1 << at;
            return;
        }
        if self.more.len() < at / 64 {
            self.more.resize((at / 64).max(2 * self.more.len()), 0);
        }
        if let Some(word) = self.more.get_mut(at / 64 - 1) {
            *word |= 1 << (at % 64);
        }
    }
}

impl View<'_> {
    /// Appends the ids of `pretoken`, which is no token as a whole that merges never make.
    ///
    /// On an error the ids of what is before the unknown character are there: no token reaches across it.
    pub fn encode(&self, pretoken: &[u8], ids: &mut Vec<u32>) -> Result<(), Unknown> {
        let first = ids.len();
        let mut dead = Dead::default();
        let mut at = 0;
        let mut last = NONE;
        while at < pretoken.len() {
            let (mut next, mut length) = Trie::longest(self.nodes, pretoken.get(at..).unwrap_or_default());
            if next == NONE {
                return Err(Unknown(at));
            }
            loop {
                let end = at + length;
                if next != NONE && !dead.has(end) && (last == NONE || self.pairs.meet(self.derivations, last, next)) {
                    ids.push(next);
                    (last, at) = (next, end);
                    break;
                }
                if next == NONE {
                    // Nothing may follow here: this border is no border of the encoding.
                    dead.add(at);
                    let Some(taken) = (if ids.len() > first { ids.pop() } else { None }) else {
                        return Err(Unknown(at)); // cannot be: the encoding exists
                    };
                    at -= self.length(taken);
                    last = if ids.len() > first { ids.last().copied().unwrap_or(NONE) } else { NONE };
                    next = taken;
                }
                next = self.shorter.get(next as usize).copied().unwrap_or(NONE);
                length = self.length(next);
            }
        }
        Ok(())
    }
}

impl View<'_> {
    /// Appends the bytes of `ids`; an error is the place of an id that no token has.
    pub fn decode(&self, ids: &[u32], out: &mut Vec<u8>) -> Result<(), usize> {
        /// Copying this many bytes at once is quicker than finding out how many are needed.
        const WIDE: usize = 16;
        let mut at = out.len();
        for (place, &id) in ids.iter().enumerate() {
            let (Some(&start), Some(&end)) = (self.starts.get(id as usize), self.starts.get(id as usize + 1)) else {
                out.truncate(at);
                return Err(place);
            };
            let (start, end) = (start as usize, end as usize);
            let length = end.saturating_sub(start);
            if length == 0 {
                out.truncate(at);
                return Err(place);
            }
            if out.len() < at + length + WIDE {
                out.resize((at + length + WIDE) * 2, 0);
            }
            match (self.bytes.get(start..start + WIDE), out.get_mut(at..at + WIDE)) {
                (Some(from), Some(to)) if length <= WIDE => to.copy_from_slice(from),
                _ => {
                    if let (Some(from), Some(to)) = (self.bytes.get(start..end), out.get_mut(at..at + length)) {
                        to.copy_from_slice(from);
                    }
                }
            }
            at += length;
        }
        out.truncate(at);
        Ok(())
    }
}
