//! The family of cl100k; its regex is in `named.rs`, and `scan::Cl100k` is the same character by character.

use super::block::{Block, after, ahead, bit, bits};
use super::common::{Phase, Single, attached_newlines, character_end, numbers, white_space};
use super::{Marks, Rules, View};

/// What the blocks before leave for the next one.
#[derive(Default)]
pub struct Cl100k<const DIGITS: u32, const TAIL: bool> {
    before: Block,
    attached: u64,
    single: Single,
    phase: Phase,
    cut: u64,
}

impl<const DIGITS: u32, const TAIL: bool> Rules for Cl100k<DIGITS, TAIL> {
    const TAIL: bool = TAIL;

    #[inline(always)]
    fn marks(&mut self, view: &View<'_>, now: &Block, next: &Block) -> Marks {
        let before = &self.before;
        let after_other = after(now.other, before.other);
        let after_space = after(now.space, before.space);
        let attached = attached_newlines(now.newline, now.newline, after_other, self.attached);

        // ` ?[^\s\p{L}\p{N}]+`, and the same character as the first of a word if it is the only one.
        let other = now.other & !after_other & !after_space;
        let joins = character_end(other, now.inner, &mut self.single);
        let after_blank = after(now.white & !now.newline, before.white & !before.newline);
        let word = now.letter & !after(now.letter, before.letter) & !after_blank & !joins;

        let mut starts = word | other | numbers::<DIGITS>(now, before, &mut self.phase);
        let solid = [!now.white, !next.white];
        starts |= white_space(view, now, next, before, [attached, self.attached], solid);

        // A contraction at the start of a pretoken ends it; letters that follow start anew.
        let mut cut = self.cut;
        self.cut = 0;
        let quotes = now.apostrophe & other & ahead::<1>(now.letter, next.letter);
        for quote in bits(quotes) {
            if let Some(end) = view.cursor.contraction::<true>(view.at + quote) {
                let end = end - view.at;
                cut |= bit(end);
                self.cut |= end.checked_sub(64).map_or(0, bit);
            }
        }
        starts |= cut & now.letter;

        self.attached = attached;
        self.before = *now;
        Marks { starts, unclear: 0 }
    }
}
