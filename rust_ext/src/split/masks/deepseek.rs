//! DeepSeek-V3: its three stages at once. Numbers and Han are pretokens wherever they are, and what is between them is
//! split as if it were all the text: white space before them ends its piece, and nothing reaches over them.

use super::block::{Block, after, reach};
use super::common::{Phase, attached_newlines, followed_by, numbers, white_space};
use super::{Marks, Rules, View};
use crate::split::classes::{HAN_TABLES, Tables};

/// What the blocks before leave for the next one.
#[derive(Default)]
pub struct DeepSeek {
    before: Block,
    attached: u64,
    first_punctuation: u64,
    ascii_word: u64,
    phase: Phase,
}

/// Letters and marks.
fn word(block: &Block) -> u64 {
    block.letter | block.mark
}

/// Characters that match nothing: controls, unassigned ones, and the like.
fn rest(block: &Block) -> u64 {
    block.other & !(block.mark | block.punctuation)
}

/// What takes the white space before it.
fn solid(block: &Block) -> u64 {
    !(block.white | block.number | block.han)
}

impl Rules for DeepSeek {
    const HAN: bool = true;

    fn tables() -> &'static Tables {
        &HAN_TABLES
    }

    #[inline(always)]
    fn marks(&mut self, view: &View<'_>, now: &Block, next: &Block) -> Marks {
        let before = &self.before;
        let words = word(now);
        let others = rest(now);
        // At a border of Han, the character before is none.
        let border = now.han ^ after(now.han, before.han);
        let after_punctuation = after(now.punctuation, before.punctuation) & !border;
        let attached = attached_newlines(now.newline, now.newline, after_punctuation, self.attached);
        let mut starts = border | numbers::<3>(now, before, &mut self.phase);

        // ` ?[\p{P}\p{S}]+[\r\n]*`
        let after_space = after(now.space, before.space) & !border;
        let first_punctuation = now.punctuation & !after_punctuation & !after_space;
        starts |= first_punctuation;

        // `[!-~][A-Za-z]+`: letters outside ASCII behind it start anew.
        let ascii = now.letter & !now.high;
        let first_ascii = first_punctuation & !now.high;
        let joined = after(first_ascii, self.first_punctuation) & ascii;
        let reached = reach(joined | self.ascii_word >> 63, ascii);
        starts |= reached & !ascii & words;

        // `[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+`: the character before may be white space or one that matches nothing, of
        // which it takes the last of a run.
        let blank_or_rest = after(now.white & !now.newline | others, before.white & !before.newline | rest(before));
        starts |= words & !after(words, word(before)) & !blank_or_rest & !joined;
        starts |= others & !after(others, rest(before));
        for side in [u64::MAX, 0] {
            let han = |block: &Block| !(block.han ^ side);
            starts |= followed_by(others & han(now), [words & han(now), word(next) & han(next)], now, next);
        }

        let solids = [solid(now), solid(next)];
        starts |= white_space(view, now, next, before, [attached, self.attached], solids);

        (self.attached, self.first_punctuation, self.ascii_word) = (attached, first_ascii, reached & ascii);
        self.before = *now;
        Marks { starts, unclear: 0 }
    }
}
