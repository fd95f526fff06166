//! The family of o200k; its regexes are in `named.rs`, and `scan::O200k` is the same character by character.

use super::block::{Block, after, ahead, bit, bits, reach};
use super::common::{Patch, Patches, Phase, Single, attached_newlines, character_end, numbers, white_space};
use super::{Marks, Rules, View};
use crate::split::classes::{LETTER, MARK, UPPER};
use crate::split::scan::{self, Cursor, Scanner};

/// What the blocks before leave for the next one.
#[derive(Default)]
pub struct O200k<const DIGITS: usize, const SUFFIX: bool, const PREFIXED: bool> {
    before: Block,
    other: u64,
    attached: u64,
    single: Single,
    phase: Phase,
    tail: u64,
    patch: Patch,
    /// The end of the last suffix.
    suffix: usize,
}

impl<const DIGITS: usize, const SUFFIX: bool, const PREFIXED: bool> Rules for O200k<DIGITS, SUFFIX, PREFIXED> {
    #[inline(always)]
    fn marks(&mut self, view: &View<'_>, now: &Block, next: &Block) -> Marks {
        let before = &self.before;
        // A mark is a letter, but for one behind other characters: whether it is one of them depends on how many.
        let letter = now.letter | now.mark;
        let other = now.other & !now.mark;
        let after_letter = after(letter, before.letter | before.mark);
        let after_other = after(other, self.other);
        let mut unclear = now.mark & after_other;

        // ` ?[^\s\p{L}\p{N}]+[\r\n/]*`, where a slash behind a newline is not the first of a run.
        let ends = now.newline | now.slash;
        let attached = attached_newlines(now.newline, ends, after_other, self.attached);
        let other = other & !attached;
        let first_other = other & !after(other, self.other) & !after(now.space, before.space);
        let joins = character_end(first_other, now.inner, &mut self.single)
            | after(now.white & !now.newline, before.white & !before.newline);

        let word = letter & !after_letter & !joins;
        let number = match DIGITS {
            1 => numbers::<1>(now, before, &mut self.phase),
            3 => numbers::<3>(now, before, &mut self.phase),
            _ => numbers::<4>(now, before, &mut self.phase),
        };
        let number = if PREFIXED { number & !joins } else { number };
        let solid = [!now.white, !next.white];
        let mut starts = word | first_other | number;
        starts |= white_space(view, now, next, before, [attached, self.attached], solid);

        // A word ends where upper case follows lower case; between them may be letters without case and marks.
        let caseless = letter & !(now.upper | now.lower);
        let after_lower = after(now.lower, before.lower);
        let tail = reach(caseless & (after_lower | self.tail >> 63), caseless) & caseless;
        starts |= now.upper & (after_lower | after(tail, self.tail));
        let head = caseless & !tail;
        let before_head = before.letter & !(before.upper | before.lower) | before.mark;
        let unsure = now.upper & after(head, before_head & !self.tail);
        if unsure != 0 {
            starts |= upper_words(view, unsure, now, letter);
        }

        if SUFFIX {
            let mut patches = Patches::from(self.patch);
            for quote in bits(now.apostrophe & after_letter & ahead::<1>(now.letter, next.letter)) {
                // Behind a suffix, a quote starts a word.
                if view.at + quote == self.suffix {
                    continue;
                }
                if let Some(end) = view.cursor.contraction::<true>(view.at + quote) {
                    self.suffix = end;
                    patches.replace(quote, end - view.at);
                }
            }
            starts = starts & !patches.here.clear | patches.here.set & letter;
            unclear |= patches.here.set & caseless;
            self.patch = patches.next;
        }

        (self.other, self.attached, self.tail) = (other, attached, tail);
        self.before = *now;
        Marks { starts, unclear }
    }

    fn end(cursor: Cursor<'_>, start: usize) -> usize {
        scan::O200k::<DIGITS, SUFFIX, PREFIXED>::end(cursor, start)
    }
}

/// Those runs of upper case behind letters without case that are words of their own: what follows is no letter, so the
/// regex gives them back.
#[cold]
fn upper_words(view: &View<'_>, starts: u64, now: &Block, letter: u64) -> u64 {
    bits(starts)
        .filter(|&start| {
            let end = start + (now.upper >> start).trailing_ones() as usize;
            if end < 64 { letter & bit(end) == 0 } else { !letter_follows(view, view.at + 64) }
        })
        .fold(0, |found, start| found | bit(start))
}

/// Whether upper case at `at` ends in a letter or mark.
fn letter_follows(view: &View<'_>, mut at: usize) -> bool {
    while view.cursor.byte(at) & 0xC0 == 0x80 {
        at += 1;
    }
    loop {
        let (class, length) = view.cursor.at(at);
        if class & UPPER == 0 {
            return class & (LETTER | MARK) != 0;
        }
        at += length;
    }
}
