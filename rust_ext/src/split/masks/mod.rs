//! Splitting 64 bytes at a time.
//!
//! A block of 64 bytes becomes a handful of 64-bit masks, one a character class ([`classify`]); a pattern's rules are
//! then a few operations on masks that give the starts of all pretokens of the block at once ([`Rules`]); and the bits
//! become numbers ([`batch`]). No step looks at one character after the other, so nothing is there to mispredict.
//!
//! What the rules of a pattern do not cover, they call unclear: there its scanner takes over for a pretoken or two. No
//! pattern here looks behind, so blocks may go on at any start of a pretoken.
//!
//! The results are those of the scanners, on every text; the tests hold every level of vector instructions to that.
//! Processors without such a level run the scanners.

// Elsewhere there is no level, and nothing here runs.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]

mod batch;
mod block;
mod cl100k;
mod classify;
mod common;
mod deepseek;
mod gpt2;
mod o200k;
mod simd;

pub use batch::{BATCH, Batch};
use block::{Block, below};
use classify::{classify, window};
use simd::{Available, Level};

use super::classes::{SPACE, TABLES, Tables};
use super::scan::Cursor;
use crate::Result;

/// Where the rules are at, for what masks do not say.
pub struct View<'t> {
    /// The offset of the block.
    pub at: usize,
    /// The text.
    pub cursor: Cursor<'t>,
}

/// What the rules say of a block.
pub struct Marks {
    /// The first byte of each pretoken that starts in the block.
    pub starts: u64,
    /// Bytes that the rules do not cover. Starts before the first one are certain.
    pub unclear: u64,
}

/// A split pattern over masks. The state is what is known of the bytes before; the default is the start of a pretoken.
pub trait Rules: Default {
    /// Whether white space at the end of the text is one pretoken.
    const TAIL: bool = false;
    /// Whether characters of DeepSeek-V3's second stage are a class.
    const HAN: bool = false;

    /// The classes.
    fn tables() -> &'static Tables {
        &TABLES
    }

    /// The starts in the block `now`, which `next` follows.
    fn marks(&mut self, view: &View<'_>, now: &Block, next: &Block) -> Marks;

    /// The end of the pretoken that starts at `start`, from the scanner; for patterns with unclear bytes.
    fn end(_cursor: Cursor<'_>, start: usize) -> usize {
        start + 1
    }
}

/// The patterns that split this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    Cl100k,
    Llama3,
    Qwen2,
    O200k,
    Finance,
    Tekken,
    Gpt2,
    DigitsGpt2,
    DeepSeek,
}

/// Splits `text` if the processor can; `false`, and nothing done, if not.
pub fn split(pattern: Pattern, text: &str, batch: &mut Batch<'_>) -> Result<bool> {
    simd::best().map_or(Ok(false), |level| split_at(level, pattern, text, batch))
}

fn split_at(level: Available, pattern: Pattern, text: &str, batch: &mut Batch<'_>) -> Result<bool> {
    match pattern {
        Pattern::Cl100k => simd::run::<cl100k::Cl100k<3, true>>(level, text, batch),
        Pattern::Llama3 => simd::run::<cl100k::Cl100k<3, false>>(level, text, batch),
        Pattern::Qwen2 => simd::run::<cl100k::Cl100k<1, false>>(level, text, batch),
        Pattern::O200k => simd::run::<o200k::O200k<3, true, false>>(level, text, batch),
        Pattern::Finance => simd::run::<o200k::O200k<4, true, true>>(level, text, batch),
        Pattern::Tekken => simd::run::<o200k::O200k<1, false, false>>(level, text, batch),
        Pattern::Gpt2 => simd::run::<gpt2::Gpt2<false>>(level, text, batch),
        Pattern::DigitsGpt2 => simd::run::<gpt2::Gpt2<true>>(level, text, batch),
        Pattern::DeepSeek => simd::run::<deepseek::DeepSeek>(level, text, batch),
    }
}

/// All blocks of `text`. Inlined into one function a level, which is compiled for its instructions.
#[inline(always)]
fn drive<L: Level, R: Rules>(text: &str, batch: &mut Batch<'_>) -> Result<()> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Ok(());
    }
    let tables = R::tables();
    let mut view = View { at: 0, cursor: Cursor { bytes, tables } };
    let mut rules = R::default();
    let (mut room, mut spill) = ([0; 68], [0; 4]);
    let mut now = classify::<L, R>(window(bytes, 0, &mut room), tables, &mut spill);
    // The first start of all is the end of no pretoken.
    let mut first = 1;
    let mut tail = if R::TAIL { Tail::new(view.cursor) } else { Tail { start: usize::MAX, done: false } };
    while view.at < bytes.len() {
        let mut next_spill = spill;
        let next = classify::<L, R>(window(bytes, view.at + 64, &mut room), tables, &mut next_spill);
        let mut marks = rules.marks(&view, &now, &next);
        if bytes.len() - view.at <= 64 {
            marks.starts &= below(bytes.len() - view.at);
            marks.unclear &= below(bytes.len() - view.at);
        }
        if R::TAIL && view.at + 64 > tail.start {
            marks.starts = tail.one_start(marks.starts, view.at);
        }
        marks.starts &= !first;
        first = 0;
        if marks.unclear != 0 {
            let unclear = marks.unclear.trailing_zeros() as usize;
            batch.push_mask::<L>(view.at, marks.starts & below(unclear))?;
            let end = scan_past::<R>(view.cursor, view.at + unclear, batch)?;
            // The blocks stay where they are; the one that holds `end` goes on as if the text started there.
            let (block, offset) = (end & !63, end & 63);
            now = if block == view.at {
                now
            } else if block == view.at + 64 {
                spill = next_spill;
                next
            } else {
                classify::<L, R>(window(bytes, block, &mut room), tables, &mut spill)
            };
            now = now.starting_at(offset);
            view.at = block;
            rules = R::default();
            first = 1 << offset;
            continue;
        }
        batch.push_mask::<L>(view.at, marks.starts)?;
        view.at += 64;
        (now, spill) = (next, next_spill);
    }
    if batch.last() < bytes.len() {
        batch.push(bytes.len())?;
    }
    Ok(())
}

/// Scans from the last certain start until a pretoken ends behind `unclear`.
#[cold]
#[inline(never)]
fn scan_past<R: Rules>(cursor: Cursor<'_>, unclear: usize, batch: &mut Batch<'_>) -> Result<usize> {
    let mut end = batch.last();
    while end <= unclear {
        end = R::end(cursor, end).max(end + 1);
        batch.push(end)?;
    }
    Ok(end)
}

/// White space at the end of the text that is one pretoken, but for newlines that belong to what is before it.
struct Tail {
    start: usize,
    done: bool,
}

impl Tail {
    fn new(cursor: Cursor<'_>) -> Self {
        let bytes = cursor.bytes;
        let mut start = bytes.len();
        while start > 0 {
            let mut last = start - 1;
            while last > 0 && cursor.byte(last) & 0xC0 == 0x80 {
                last -= 1;
            }
            if cursor.at(last).0 & SPACE == 0 {
                break;
            }
            start = last;
        }
        Tail { start, done: false }
    }

    /// Leaves the first start in the tail only.
    fn one_start(&mut self, starts: u64, at: usize) -> u64 {
        let before = below(self.start.saturating_sub(at));
        let inside = starts & !before;
        let kept = if self.done { 0 } else { inside & inside.wrapping_neg() };
        self.done |= inside != 0;
        starts & before | kept
    }
}

#[cfg(test)]
mod tests;
