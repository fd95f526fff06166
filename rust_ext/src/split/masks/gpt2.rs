//! GPT-2, and the same after a stage that isolates every number; its regex is in `named.rs`, and `scan::Gpt2` is the same
//! character by character.

use super::block::{Block, after, ahead, bits};
use super::common::{Patch, Patches, followed_by};
use super::{Marks, Rules, View};

/// What the blocks before leave for the next one. With `DIGITS`, every number is a pretoken, and what is between two of
/// them is split as if it were all the text.
#[derive(Default)]
pub struct Gpt2<const DIGITS: bool> {
    before: Block,
    patch: Patch,
}

impl<const DIGITS: bool> Rules for Gpt2<DIGITS> {
    #[inline(always)]
    fn marks(&mut self, view: &View<'_>, now: &Block, next: &Block) -> Marks {
        let before = &self.before;
        let after_space = after(now.space, before.space);
        let letter = now.letter & !after(now.letter, before.letter);
        let other = now.other & !after(now.other, before.other);
        let (number, solid) = if DIGITS {
            // White space before a number ends its piece, and keeps its last character.
            (now.number & !now.inner, [!(now.white | now.number), !(next.white | next.number)])
        } else {
            (now.number & !after(now.number, before.number) & !after_space, [!now.white, !next.white])
        };
        let white = now.white & !after(now.white, before.white) | followed_by(now.white, solid, now, next);
        let mut starts = (letter | other) & !after_space | number | white;

        // A contraction at the start of a pretoken takes its letters; those that follow start anew.
        let mut patches = Patches::from(self.patch);
        for quote in bits(now.apostrophe & other & !after_space & ahead::<1>(now.letter, next.letter)) {
            if let Some(end) = view.cursor.contraction::<false>(view.at + quote) {
                patches.replace(quote + 1, end - view.at);
            }
        }
        starts = starts & !patches.here.clear | patches.here.set & now.letter;

        self.patch = patches.next;
        self.before = *now;
        Marks { starts, unclear: 0 }
    }
}
