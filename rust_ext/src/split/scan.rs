//! Hand-written scanners for the split patterns people use, each equal to its regex (see `named.rs`).
//!
//! A scanner is a function from a position, where a pretoken starts, to the position where it ends. It walks the text
//! once, looks at most one run of characters ahead, and never backtracks over more than the run in hand, so splitting
//! is linear. The comments give the part of the regex that each branch stands for.

use super::classes::{
    CASELESS, Class, HAN_RANGES, LETTER, LOWER, MARK, NUMBER, OTHER, PUNCTUATION, SPACE, Tables, UPPER,
};

/// Text under a scanner. `bytes` is valid UTF-8.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub tables: &'a Tables,
}

/// Which ASCII letters a run may be skipped over quickly.
#[derive(Clone, Copy)]
enum AsciiLetters {
    Any,
    Lower,
}

/// Text is cut where one of these says so.
pub trait Scanner {
    /// The end of the pretoken that starts at `start`; `start` is a character boundary before the end of the text.
    fn end(text: Cursor<'_>, start: usize) -> usize;
}

impl Cursor<'_> {
    #[inline(always)]
    pub(super) fn byte(self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// The class and the length in bytes of the character at `at`; `(0, 0)` at the end of the text.
    #[inline(always)]
    pub(super) fn at(self, at: usize) -> (Class, usize) {
        match self.bytes.get(at) {
            None => (0, 0),
            Some(&byte) if byte < 0x80 => (self.tables.ascii(byte), 1),
            Some(&byte) => self.wide(byte, at),
        }
    }

    #[inline(always)]
    fn wide(self, first: u8, at: usize) -> (Class, usize) {
        let (code_point, length) = self.decode(first, at);
        (self.tables.of(code_point), length)
    }

    #[inline(always)]
    fn decode(self, first: u8, at: usize) -> (u32, usize) {
        let tail = |offset: usize| u32::from(self.byte(at + offset) & 0x3F);
        let first = u32::from(first);
        if first < 0xE0 {
            ((first & 0x1F) << 6 | tail(1), 2)
        } else if first < 0xF0 {
            ((first & 0x0F) << 12 | tail(1) << 6 | tail(2), 3)
        } else {
            ((first & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4)
        }
    }

    /// The end of the run of characters in `mask` that starts at `at`.
    #[inline(always)]
    fn run(self, mut at: usize, mask: Class) -> usize {
        while let Some(&byte) = self.bytes.get(at) {
            if byte < 0x80 {
                if self.tables.ascii(byte) & mask == 0 {
                    break;
                }
                at += 1;
            } else {
                let (class, length) = self.wide(byte, at);
                if class & mask == 0 {
                    break;
                }
                at += length;
            }
        }
        at
    }

    /// How many ASCII letters of one case class follow `at`, up to eight: no loop, so no branch to mispredict.
    #[inline(always)]
    fn ascii_letters(self, at: usize, kind: AsciiLetters) -> usize {
        const ONES: u64 = 0x0101_0101_0101_0101;
        let window = self.bytes.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        let Some(word) = window.map(u64::from_le_bytes) else { return 0 };
        let (word, first) = match kind {
            AsciiLetters::Any => (word | (ONES * 0x20), b'a'),
            AsciiLetters::Lower => (word, b'a'),
        };
        // In each byte below 0x80, the top bit says whether the byte is in first..=first + 25.
        let low = word & (ONES * 0x7F);
        let at_least = low + ONES * u64::from(0x80 - first);
        let beyond = low + ONES * u64::from(0x80 - first - 26);
        let letters = at_least & !beyond & !word & (ONES * 0x80);
        ((letters ^ (ONES * 0x80)).trailing_zeros() / 8) as usize
    }

    /// The end of a run of letters that starts at `at`, where `mask` holds at least the class of `kind`.
    #[inline(always)]
    fn letters(self, mut at: usize, mask: Class, kind: AsciiLetters) -> usize {
        loop {
            let count = self.ascii_letters(at, kind);
            at += count;
            if count < 8 {
                return self.run(at, mask);
            }
        }
    }

    /// The end of a run of at most `most` numbers.
    #[inline(always)]
    fn numbers(self, mut at: usize, most: usize) -> usize {
        for _ in 0..most {
            let (class, length) = self.at(at);
            if class & NUMBER == 0 {
                break;
            }
            at += length;
        }
        at
    }

    /// The end of a run of bytes of an ASCII set.
    #[inline(always)]
    fn ascii_run(self, mut at: usize, set: &[u8]) -> usize {
        while self.bytes.get(at).is_some_and(|byte| set.contains(byte)) {
            at += 1;
        }
        at
    }

    /// The end of `'(?:s|t|re|ve|m|ll|d)` at `at`, with or without case, or `None`.
    #[inline(always)]
    pub(super) fn contraction<const ANY_CASE: bool>(self, at: usize) -> Option<usize> {
        if self.byte(at) != b'\'' {
            return None;
        }
        let fold = |byte: u8| if ANY_CASE { byte.to_ascii_lowercase() } else { byte };
        let (first, second) = (fold(self.byte(at + 1)), fold(self.byte(at + 2)));
        match (first, second) {
            (b's' | b't' | b'm' | b'd', _) => Some(at + 2),
            (b'r' | b'v', b'e') | (b'l', b'l') => Some(at + 3),
            // The long s, U+017F, folds to s.
            (0xC5, 0xBF) if ANY_CASE => Some(at + 3),
            _ => None,
        }
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`, the first alternative only if `NEWLINES`; with `TAIL`, `\s+$` before all.
    #[inline(always)]
    fn white_space<const NEWLINES: bool, const TAIL: bool>(self, start: usize) -> usize {
        let (mut at, mut last, mut after_newline) = (start, start, None);
        while let Some(&byte) = self.bytes.get(at) {
            let (class, length) = self.at(at);
            if class & SPACE == 0 {
                break;
            }
            last = at;
            at += length;
            if byte == b'\n' || byte == b'\r' {
                after_newline = Some(at);
            }
        }
        let at_end = at >= self.bytes.len();
        if TAIL && at_end {
            return at;
        }
        if let (true, Some(end)) = (NEWLINES, after_newline) {
            return end;
        }
        // `\s+(?!\S)` gives back the last white space of a longer run, for the pretoken that follows.
        if at_end || last == start { at } else { last }
    }
}

const NEWLINE_BYTES: &[u8] = b"\r\n";

#[inline(always)]
fn is_newline(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

/// GPT-2: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
pub struct Gpt2;

impl Scanner for Gpt2 {
    #[inline(always)]
    fn end(text: Cursor<'_>, start: usize) -> usize {
        let (class, length) = text.at(start);
        let (class, at) = match text.byte(start) {
            b' ' => match text.at(start + 1) {
                (next, width) if next & SPACE == 0 && width > 0 => (next, start + 1 + width),
                _ => (class, start + length),
            },
            b'\'' => match text.contraction::<false>(start) {
                Some(end) => return end,
                None => (class, start + length),
            },
            _ => (class, start + length),
        };
        if class & LETTER != 0 {
            text.letters(at, LETTER, AsciiLetters::Any)
        } else if class & NUMBER != 0 {
            text.run(at, NUMBER)
        } else if class & OTHER != 0 {
            text.run(at, OTHER)
        } else {
            text.white_space::<false, false>(start)
        }
    }
}

/// The family of cl100k: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,DIGITS}|
/// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, with `\s+$` before `\s*[\r\n]+` if `TAIL`.
pub struct Cl100k<const DIGITS: usize, const TAIL: bool>;

impl<const DIGITS: usize, const TAIL: bool> Scanner for Cl100k<DIGITS, TAIL> {
    #[inline(always)]
    fn end(text: Cursor<'_>, start: usize) -> usize {
        let (class, length) = text.at(start);
        let after = start + length;
        if class & LETTER != 0 {
            return text.letters(after, LETTER, AsciiLetters::Any);
        }
        if class & NUMBER != 0 {
            return text.numbers(after, DIGITS - 1);
        }
        let first = text.byte(start);
        if let Some(end) = text.contraction::<true>(start) {
            return end;
        }
        let (next, width) = text.at(after);
        if next & LETTER != 0 && !is_newline(first) {
            return text.letters(after + width, LETTER, AsciiLetters::Any);
        }
        if class & OTHER != 0 {
            return text.ascii_run(text.run(after, OTHER), NEWLINE_BYTES);
        }
        if first == b' ' && next & OTHER != 0 {
            return text.ascii_run(text.run(after + width, OTHER), NEWLINE_BYTES);
        }
        text.white_space::<true, TAIL>(start)
    }
}

/// The letters that may start a word of o200k, `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`.
const WORD_HEAD: Class = UPPER | CASELESS | MARK;
/// The letters that may end it, `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
const WORD_TAIL: Class = LOWER | CASELESS | MARK;

/// The family of o200k: a number is `\p{N}{1,DIGITS}`, with `[^\r\n\p{L}\p{N}]?` before it if `PREFIXED`, and a word takes
/// a contraction suffix if `SUFFIX`. o200k, finance and tekken; see `named.rs`.
pub struct O200k<const DIGITS: usize, const SUFFIX: bool, const PREFIXED: bool>;

impl<const DIGITS: usize, const SUFFIX: bool, const PREFIXED: bool> O200k<DIGITS, SUFFIX, PREFIXED> {
    /// The end of a word whose letters end at `end`.
    #[inline(always)]
    fn suffixed(text: Cursor<'_>, end: usize) -> usize {
        if SUFFIX { text.contraction::<true>(end).unwrap_or(end) } else { end }
    }

    /// `HEAD*TAIL+` at `start`, or `None`.
    #[inline(always)]
    fn head_tail(text: Cursor<'_>, start: usize) -> Option<usize> {
        let (mut at, mut back) = (start, None);
        loop {
            let (class, length) = text.at(at);
            if class & WORD_HEAD == 0 {
                // What is in TAIL and not in HEAD is a lower-case letter: the usual end of a capitalized word.
                return if class & LOWER != 0 {
                    Some(text.letters(at + length, WORD_TAIL, AsciiLetters::Lower))
                } else {
                    back
                };
            }
            at += length;
            if class & WORD_TAIL != 0 {
                // HEAD* may give back down to here and leave this character to TAIL+, which then ends at once,
                // because what follows in the run is upper case.
                back = Some(at);
            }
        }
    }

    /// The whole word alternatives without their optional first character.
    #[inline(always)]
    fn word(text: Cursor<'_>, start: usize, prefixed: Option<usize>) -> Option<usize> {
        // A mark counts as prefix and as letter: the regex tries it as prefix first, in each alternative.
        let first = prefixed.and_then(|after| Self::head_tail(text, after));
        let end = first.or_else(|| Self::head_tail(text, start)).or_else(|| {
            // HEAD+TAIL*: no character of the run is in TAIL here, or the first alternative had matched.
            let upper = |from: usize| Some(text.run(from, UPPER)).filter(|&end| end > from);
            prefixed.and_then(upper).or_else(|| upper(start))
        })?;
        Some(Self::suffixed(text, end))
    }
}

impl<const DIGITS: usize, const SUFFIX: bool, const PREFIXED: bool> Scanner for O200k<DIGITS, SUFFIX, PREFIXED> {
    #[inline(always)]
    fn end(text: Cursor<'_>, start: usize) -> usize {
        let (class, length) = text.at(start);
        let after = start + length;
        let first = text.byte(start);
        if class & NUMBER != 0 {
            return text.numbers(after, DIGITS - 1);
        }
        if class & LOWER != 0 {
            return Self::suffixed(text, text.letters(after, WORD_TAIL, AsciiLetters::Lower));
        }
        let (next, width) = text.at(after);
        let prefixed = (class & LETTER == 0 && !is_newline(first)).then_some(after);
        if (class | next) & (LETTER | MARK) != 0
            && let Some(end) = Self::word(text, start, prefixed)
        {
            return end;
        }
        if PREFIXED && prefixed.is_some() && next & NUMBER != 0 {
            return text.numbers(after, DIGITS);
        }
        if class & OTHER != 0 {
            return text.ascii_run(text.run(after, OTHER), b"\r\n/");
        }
        if first == b' ' && next & OTHER != 0 {
            return text.ascii_run(text.run(after + width, OTHER), b"\r\n/");
        }
        text.white_space::<true, false>(start)
    }
}

/// The first stage of DeepSeek-V3, and `digits`: `\p{N}{1,MOST}`, the text between in one piece.
pub struct Numbers<const MOST: usize>;

impl<const MOST: usize> Scanner for Numbers<MOST> {
    #[inline(always)]
    fn end(text: Cursor<'_>, start: usize) -> usize {
        let (class, length) = text.at(start);
        if class & NUMBER != 0 { text.numbers(start + length, MOST - 1) } else { text.run(start, !NUMBER) }
    }
}

/// The second stage of DeepSeek-V3: `[一-龥぀-ゟ゠-ヿ]+`, the text between in one piece.
pub struct Han;

impl Han {
    /// The length of the character at `at` if it is in the set.
    #[inline(always)]
    fn inside(text: Cursor<'_>, at: usize) -> Option<usize> {
        let first = text.byte(at);
        if !HAN_LEADS.contains(&first) {
            return None;
        }
        let (code_point, length) = text.decode(first, at);
        HAN_RANGES.iter().any(|range| range.contains(&code_point)).then_some(length)
    }
}

/// The first bytes of the characters in the set, and of a few others.
const HAN_LEADS: std::ops::Range<u8> = 0xE3..0xEA;

impl Scanner for Han {
    #[inline(always)]
    fn end(text: Cursor<'_>, start: usize) -> usize {
        let mut at = start;
        while let Some(length) = Self::inside(text, at) {
            at += length;
        }
        if at > start {
            return at;
        }
        loop {
            let rest = text.bytes.get(at..).unwrap_or_default();
            let Some(next) = rest.iter().position(|byte| HAN_LEADS.contains(byte)) else { return text.bytes.len() };
            at += next;
            if Self::inside(text, at).is_some() {
                return at;
            }
            at += 3; // every character that starts with such a byte has three
        }
    }
}

/// The third stage of DeepSeek-V3; see `named.rs` for the regex.
pub struct DeepSeek;

impl DeepSeek {
    /// The end of the match at `start`, or `None` where no alternative matches.
    #[inline(always)]
    fn matched(text: Cursor<'_>, start: usize) -> Option<usize> {
        const WORD: Class = LETTER | MARK;
        let (class, length) = text.at(start);
        let (first, after) = (text.byte(start), start + length);
        if class & WORD != 0 {
            return Some(text.letters(after, WORD, AsciiLetters::Any));
        }
        let (next, width) = text.at(after);
        if first.is_ascii_punctuation() && text.byte(after).is_ascii_alphabetic() {
            let letters = text.bytes.get(after..).unwrap_or_default();
            return Some(after + letters.iter().take_while(|byte| byte.is_ascii_alphabetic()).count());
        }
        if next & WORD != 0 && class & PUNCTUATION == 0 && !is_newline(first) {
            return Some(text.letters(after + width, WORD, AsciiLetters::Any));
        }
        if class & PUNCTUATION != 0 {
            return Some(text.ascii_run(text.run(after, PUNCTUATION), NEWLINE_BYTES));
        }
        if first == b' ' && next & PUNCTUATION != 0 {
            return Some(text.ascii_run(text.run(after + width, PUNCTUATION), NEWLINE_BYTES));
        }
        (class & SPACE != 0).then(|| text.white_space::<true, false>(start))
    }
}

impl Scanner for DeepSeek {
    #[inline(always)]
    fn end(text: Cursor<'_>, start: usize) -> usize {
        // Numbers, controls and unassigned characters match nothing; a run of them is a piece of its own.
        Self::matched(text, start).unwrap_or_else(|| {
            let mut at = start;
            loop {
                at += text.at(at).1;
                if at >= text.bytes.len() || Self::matched(text, at).is_some() {
                    return at;
                }
            }
        })
    }
}

/// Words with the space before them: ` ?\S+|\s+(?!\S)|\s+`.
pub struct WhiteSpace;

impl Scanner for WhiteSpace {
    #[inline(always)]
    fn end(text: Cursor<'_>, start: usize) -> usize {
        let (class, _) = text.at(start);
        if class & SPACE == 0 {
            return text.run(start, !SPACE);
        }
        let (next, width) = text.at(start + 1);
        if text.byte(start) == b' ' && width > 0 && next & SPACE == 0 {
            return text.run(start + 1, !SPACE);
        }
        text.white_space::<false, false>(start)
    }
}

/// Lines: `[^\r\n]+[\r\n]*|[\r\n]+`.
pub struct Lines;

impl Scanner for Lines {
    #[inline(always)]
    fn end(text: Cursor<'_>, start: usize) -> usize {
        let rest = text.bytes.get(start..).unwrap_or_default();
        let line = memchr::memchr2(b'\r', b'\n', rest).map_or(text.bytes.len(), |length| start + length);
        text.ascii_run(line, NEWLINE_BYTES)
    }
}

/// The whole text: `[\s\S]+`.
pub struct Whole;

impl Scanner for Whole {
    #[inline(always)]
    fn end(text: Cursor<'_>, _start: usize) -> usize {
        text.bytes.len()
    }
}
