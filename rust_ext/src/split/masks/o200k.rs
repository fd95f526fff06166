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
    letter: u64,
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
        let ends = now.newline | now.slash;
        let after_space = after(now.space, before.space);
        // A mark is a letter, but for a loose one: behind a run of others that does not start with a single prefix of a
        // word, it is one of them. That may change what the others behind it are, and so what the next mark is.
        let mut loose = 0;
        let (other, attached, joins, single) = loop {
            let other = now.other & !now.mark | loose;
            // ` ?[^\s\p{L}\p{N}]+[\r\n/]*`, where a slash behind a newline is not the first of a run.
            let attached = attached_newlines(now.newline, ends, after(other, self.other), self.attached);
            let other = other & !attached;
            let after_other = after(other, self.other);
            let mut single = self.single;
            let joins = character_end(other & !after_other & !after_space, now.inner, &mut single);
            let more = now.mark & !loose & after_other & !joins;
            if more == 0 {
                break (other, attached, joins, single);
            }
            // One that is loose stays so, and only makes more of them loose; but where a newline belongs to it, slashes
            // behind are not others any more, so there only the first one is certain.
            let certain = if now.slash == 0 { more } else { more & more.wrapping_neg() };
            loose |= reach(certain, now.mark) & now.mark;
        };
        let letter = now.letter | now.mark & !loose;
        let after_letter = after(letter, self.letter);
        let first_other = other & !after(other, self.other) & !after_space;
        let joins = joins | after(now.white & !now.newline, before.white & !before.newline);

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
        let before_head = self.letter & !(before.upper | before.lower);
        let unsure = now.upper & after(head, before_head & !self.tail);
        if unsure != 0 {
            starts |= upper_words(view, unsure, now, letter);
        }

        let mut unclear = 0;
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
            // Letters without case behind a suffix start a word, which the rules above took for a part of the last one.
            unclear = patches.here.set & caseless;
            self.patch = patches.next;
        }

        (self.letter, self.other, self.attached, self.tail) = (letter, other, attached, tail);
        self.single = single;
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
