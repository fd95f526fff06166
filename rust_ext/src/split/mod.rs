//! Cuts text into pretokens, as a split pattern says.
//!
//! A pattern with a name runs as a hand-written scanner over the bytes, any other regex on a real regex engine. Both give
//! the same pieces as the regex would; `tests/` and the property tests of the Python package hold them to it.

mod classes;
mod cut;
mod fallback;
mod masks;
mod named;
mod scan;

use std::ops::Range;

use classes::TABLES;
use fallback::Fallback;
pub use masks::BATCH;
use masks::{Batch, Pattern};
pub use named::NAMED;
use scan::{Cl100k, Cursor, DeepSeek, Gpt2, Han, Lines, Numbers, O200k, Scanner, WhiteSpace, Whole};

use crate::Result;

/// The Unicode version of the character classes in every split pattern.
pub const UNICODE_VERSION: &str = "16.0.0";

/// One stage: a scanner written by hand, or a regex.
#[derive(Debug, Clone)]
enum Stage {
    Gpt2,
    Cl100k,
    Llama3,
    Qwen2,
    O200k,
    Finance,
    Tekken,
    Numbers1,
    Numbers3,
    Han,
    DeepSeek,
    WhiteSpace,
    Lines,
    Whole,
    Regex(Box<Fallback>),
}

impl Stage {
    fn new(pattern: &str) -> Result<Self> {
        // A line end in a published file may be written as the character that it is.
        let spelled = pattern.replace('\r', r"\r").replace('\n', r"\n");
        let known = named::ALIASES.iter().find(|(alias, _)| *alias == spelled);
        Ok(match known.map_or(spelled.as_str(), |(_, name)| name) {
            named::GPT2 => Stage::Gpt2,
            named::CL100K => Stage::Cl100k,
            named::LLAMA3 => Stage::Llama3,
            named::QWEN2 => Stage::Qwen2,
            named::O200K => Stage::O200k,
            named::FINANCE => Stage::Finance,
            named::TEKKEN => Stage::Tekken,
            named::DIGITS => Stage::Numbers1,
            named::DEEPSEEK_NUMBERS => Stage::Numbers3,
            named::DEEPSEEK_HAN => Stage::Han,
            named::DEEPSEEK => Stage::DeepSeek,
            named::WHITESPACE => Stage::WhiteSpace,
            named::LINES => Stage::Lines,
            named::NONE => Stage::Whole,
            _ => Stage::Regex(Box::new(Fallback::new(pattern)?)),
        })
    }

    #[inline(always)]
    fn each<F: FnMut(usize, usize) -> Result<()>>(&self, text: &str, mut emit: F) -> Result<()> {
        match self {
            Stage::Gpt2 => scan::<Gpt2, F>(text, emit),
            Stage::Cl100k => scan::<Cl100k<3, true>, F>(text, emit),
            Stage::Llama3 => scan::<Cl100k<3, false>, F>(text, emit),
            Stage::Qwen2 => scan::<Cl100k<1, false>, F>(text, emit),
            Stage::O200k => scan::<O200k<3, true, false>, F>(text, emit),
            Stage::Finance => scan::<O200k<4, true, true>, F>(text, emit),
            Stage::Tekken => scan::<O200k<1, false, false>, F>(text, emit),
            Stage::Numbers1 => scan::<Numbers<1>, F>(text, emit),
            Stage::Numbers3 => scan::<Numbers<3>, F>(text, emit),
            Stage::Han => scan::<Han, F>(text, emit),
            Stage::DeepSeek => scan::<DeepSeek, F>(text, emit),
            Stage::WhiteSpace => scan::<WhiteSpace, F>(text, emit),
            Stage::Lines => scan::<Lines, F>(text, emit),
            Stage::Whole => scan::<Whole, F>(text, emit),
            Stage::Regex(fallback) => fallback.each(text, &mut emit),
        }
    }
}

fn scan<S: Scanner, F: FnMut(usize, usize) -> Result<()>>(text: &str, mut emit: F) -> Result<()> {
    let cursor = Cursor { bytes: text.as_bytes(), tables: &TABLES };
    let mut start = 0;
    while start < text.len() {
        // A scanner always moves on; the max guards against an endless loop should one ever not.
        let end = S::end(cursor, start).max(start + 1);
        emit(start, end)?;
        start = end;
    }
    Ok(())
}

/// The three stages of DeepSeek-V3, nested without indirect calls.
fn deepseek<F: FnMut(usize, usize) -> Result<()>>(text: &str, mut emit: F) -> Result<()> {
    scan::<Numbers<3>, _>(text, |start, end| {
        let numbers = text.get(start..end).unwrap_or_default();
        scan::<Han, _>(numbers, |from, to| {
            let han = numbers.get(from..to).unwrap_or_default();
            scan::<DeepSeek, _>(han, |first, last| emit(start + from + first, start + from + last))
        })
    })
}

/// A split pattern, compiled.
#[derive(Debug, Clone)]
pub struct Splitter {
    stages: Vec<Stage>,
    patterns: Vec<String>,
}

impl Splitter {
    /// Compiles the stages of a pattern; each isolates its matches within the pieces of the stage before.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self> {
        let stages = patterns.iter().map(|pattern| Stage::new(pattern.as_ref())).collect::<Result<_>>()?;
        Ok(Splitter { stages, patterns: patterns.iter().map(|pattern| pattern.as_ref().to_owned()).collect() })
    }

    /// The stages of a pattern that has a name.
    pub fn named(name: &str) -> Option<&'static [&'static str]> {
        NAMED.iter().find(|(known, _)| *known == name).map(|(_, stages)| *stages)
    }

    /// The regexes this was made from.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Whether every stage is a scanner, so that no text is slow and none can fail.
    pub fn is_linear(&self) -> bool {
        !self.stages.iter().any(|stage| matches!(stage, Stage::Regex(_)))
    }

    /// Calls `emit(start, end)` for each pretoken of `text`, in order and without gaps.
    #[inline]
    pub fn each<F: FnMut(usize, usize) -> Result<()>>(&self, text: &str, mut emit: F) -> Result<()> {
        match self.stages.as_slice() {
            [] => {
                if text.is_empty() {
                    return Ok(());
                }
                emit(0, text.len())
            }
            [only] => only.each(text, emit),
            [Stage::Numbers3, Stage::Han, Stage::DeepSeek] => deepseek(text, emit),
            [first, rest @ ..] => first.each(text, |start, end| Self::nested(rest, text, start, end, &mut emit)),
        }
    }

    fn nested(
        stages: &[Stage],
        text: &str,
        start: usize,
        end: usize,
        emit: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<()> {
        let Some(piece) = text.get(start..end) else { return emit(start, end) };
        match stages {
            [] => emit(start, end),
            [last] => last.each(piece, |from, to| emit(start + from, start + to)),
            [first, rest @ ..] => {
                first.each(piece, |from, to| Self::nested(rest, text, start + from, start + to, emit))
            }
        }
    }

    /// The pattern as one that splits 64 bytes at a time, if it is.
    fn masks(&self) -> Option<Pattern> {
        Some(match self.stages.as_slice() {
            [Stage::Cl100k] => Pattern::Cl100k,
            [Stage::Llama3] => Pattern::Llama3,
            [Stage::Qwen2] => Pattern::Qwen2,
            [Stage::O200k] => Pattern::O200k,
            [Stage::Finance] => Pattern::Finance,
            [Stage::Tekken] => Pattern::Tekken,
            [Stage::Gpt2] => Pattern::Gpt2,
            [Stage::Numbers1, Stage::Gpt2] => Pattern::DigitsGpt2,
            [Stage::Numbers3, Stage::Han, Stage::DeepSeek] => Pattern::DeepSeek,
            _ => return None,
        })
    }

    /// Calls `emit(base, ends)` for batches of the same pretokens, in order and without gaps: the first of a batch starts
    /// at byte `base` of the text, and `ends` are the ends of its at most [`BATCH`] pretokens, counted from there. The
    /// popular patterns are several times faster this way where the processor has AVX-512 or AVX2. A pretoken beyond
    /// 4 GiB is an error.
    pub fn each_batch<F: FnMut(usize, &[u32]) -> Result<()>>(&self, text: &str, mut emit: F) -> Result<()> {
        let mut batch = Batch::new(&mut emit);
        let done = match self.masks() {
            Some(pattern) => masks::split(pattern, text, &mut batch)?,
            None => false,
        };
        if !done {
            self.each(text, |_, end| batch.push(end))?;
        }
        batch.flush()
    }

    /// The same over bytes: a byte that is not part of UTF-8 splits as U+FFFD would, and stays the byte it is.
    pub fn each_of_bytes<F: FnMut(usize, usize) -> Result<()>>(&self, bytes: &[u8], mut emit: F) -> Result<()> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.each(text, emit),
            Err(_) => {
                let (text, origin) = replace_invalid(bytes);
                let place = |at: usize| origin.get(at).copied().unwrap_or(bytes.len());
                self.each(&text, |start, end| emit(place(start), place(end)))
            }
        }
    }

    /// The pretokens of `text` as ranges.
    pub fn ranges(&self, bytes: &[u8]) -> Result<Vec<Range<usize>>> {
        let mut ranges = Vec::new();
        self.each_of_bytes(bytes, |start, end| {
            ranges.push(start..end);
            Ok(())
        })?;
        Ok(ranges)
    }
}

/// `bytes` with each invalid byte replaced by U+FFFD, and for each byte of that text the offset it came from.
fn replace_invalid(bytes: &[u8]) -> (String, Vec<usize>) {
    let (mut text, mut origin) = (String::with_capacity(bytes.len()), Vec::with_capacity(bytes.len() + 1));
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        origin.extend(at..at + chunk.valid().len());
        at += chunk.valid().len();
        for _ in chunk.invalid() {
            text.push(char::REPLACEMENT_CHARACTER);
            origin.extend([at; char::REPLACEMENT_CHARACTER.len_utf8()]);
            at += 1;
        }
    }
    origin.push(at);
    (text, origin)
}

#[cfg(test)]
mod tests;
