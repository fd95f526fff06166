//! Tokens that are found in the text before it is split: special tokens, and added tokens of a domain.
//!
//! The rules are those of Hugging Face's added vocabulary: matches are leftmost-longest and do not overlap; a match that
//! a flag refuses is skipped whole.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::{Error, Result};

/// The time to build the automaton grows with the square of this.
const LONGEST: usize = 8192;

/// One added token.
#[derive(Debug, Clone)]
pub struct Added {
    pub text: String,
    pub id: u32,
    pub special: bool,
    /// Only where no word character touches it.
    pub single_word: bool,
    /// Takes the white space before it.
    pub lstrip: bool,
    /// Takes the white space after it.
    pub rstrip: bool,
    /// Looked for in what the others left, after normalization.
    pub normalized: bool,
}

/// What to do with the text of a special token in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// It is an error.
    Raise,
    /// It is text like any other.
    Text,
    /// It is the special token.
    Allow,
}

/// A part of the input.
pub(super) enum Part {
    Text(usize, usize),
    Token { id: u32, special: bool },
}

/// Added tokens that are looked for together.
pub struct AddedTokens {
    tokens: Vec<Added>,
    finder: Option<AhoCorasick>,
    longest: usize,
    all_special: bool,
}

impl AddedTokens {
    /// Builds the automaton that finds them.
    pub fn new(tokens: Vec<Added>) -> Result<Self> {
        if let Some(empty) = tokens.iter().find(|token| token.text.is_empty()) {
            return Err(Error::Invalid(format!("added token {} is empty", empty.id)));
        }
        if let Some(long) = tokens.iter().find(|token| token.text.len() > LONGEST) {
            let start: String = long.text.chars().take(40).collect();
            return Err(Error::Invalid(format!(
                "added token {}, {start:?}..., has {} bytes; more than {LONGEST} cannot be looked for",
                long.id,
                long.text.len()
            )));
        }
        let finder = if tokens.is_empty() {
            None
        } else {
            let texts = tokens.iter().map(|token| token.text.as_str());
            let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts);
            Some(built.map_err(|error| Error::Invalid(format!("added tokens: {error}")))?)
        };
        let longest = tokens.iter().map(|token| token.text.len()).max().unwrap_or(0);
        let all_special = tokens.iter().all(|token| token.special);
        Ok(AddedTokens { tokens, finder, longest, all_special })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens.
    pub fn tokens(&self) -> &[Added] {
        &self.tokens
    }

    /// How many bytes the longest has.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Whether the place `at` is inside the text of a token, taken as one or not, or just behind one that is only taken
    /// where no word goes on there.
    pub fn is_inside(&self, text: &[u8], at: usize) -> bool {
        let mut found = self.finder.iter().flat_map(|finder| finder.find_iter(text));
        found.any(|found| {
            let single_word = self.tokens.get(found.pattern().as_usize()).is_some_and(|token| token.single_word);
            found.start() < at && (at < found.end() || single_word && at == found.end())
        })
    }

    /// Calls `visit` for each stretch of text and each added token in it, in order.
    pub(super) fn each_part<F: FnMut(Part) -> Result<()>>(
        &self,
        text: &[u8],
        special: Special,
        mut visit: F,
    ) -> Result<()> {
        let mut done = 0;
        let none = special == Special::Text && self.all_special;
        for found in self.finder.iter().filter(|_| !none).flat_map(|finder| finder.find_iter(text)) {
            let Some(token) = self.tokens.get(found.pattern().as_usize()) else { continue };
            let (mut start, mut end) = (found.start(), found.end());
            let before = || text.get(..start).unwrap_or_default();
            let after = || text.get(end..).unwrap_or_default();
            if token.special && special == Special::Text {
                continue;
            }
            if token.single_word && (ends_with_word(before()) || starts_with_word(after())) {
                continue;
            }
            if token.special && special == Special::Raise {
                return Err(Error::SpecialInText { token: token.text.clone(), offset: start as u64 });
            }
            if token.lstrip {
                start = white_space_at_end(before()).max(done);
            }
            if token.rstrip {
                let rest = text.get(end..).unwrap_or_default();
                end += white_space_at_start(rest);
            }
            // White space that one token has taken may be taken again, by a token found inside it; what that leaves over
            // is text again. Only a token that takes white space before it must have something left. So `tokenizers` does.
            if done < start {
                visit(Part::Text(done, start))?;
            }
            if start < end {
                visit(Part::Token { id: token.id, special: token.special })?;
            }
            done = end;
        }
        if done < text.len() {
            visit(Part::Text(done, text.len()))?;
        }
        Ok(())
    }
}

/// The last character of `bytes`, if they end in one.
fn last_char(bytes: &[u8]) -> Option<char> {
    let start = bytes.iter().rposition(|byte| byte & 0xC0 != 0x80)?;
    std::str::from_utf8(bytes.get(start..)?).ok()?.chars().next()
}

/// The first character of `bytes`, if they start with one.
fn first_char(bytes: &[u8]) -> Option<char> {
    let head = bytes.get(..bytes.len().min(4))?;
    match std::str::from_utf8(head) {
        Ok(text) => text.chars().next(),
        Err(error) => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?.chars().next(),
    }
}

fn ends_with_word(bytes: &[u8]) -> bool {
    last_char(bytes).is_some_and(regex_syntax::is_word_character)
}

fn starts_with_word(bytes: &[u8]) -> bool {
    first_char(bytes).is_some_and(regex_syntax::is_word_character)
}

/// How many bytes of white space `bytes` start with.
fn white_space_at_start(mut bytes: &[u8]) -> usize {
    let all = bytes.len();
    while let Some(c) = first_char(bytes).filter(|c| c.is_whitespace()) {
        bytes = bytes.get(c.len_utf8()..).unwrap_or_default();
    }
    all - bytes.len()
}

/// Where the white space at the end of `bytes` begins.
fn white_space_at_end(mut bytes: &[u8]) -> usize {
    while let Some(c) = last_char(bytes).filter(|c| c.is_whitespace()) {
        bytes = bytes.get(..bytes.len() - c.len_utf8()).unwrap_or_default();
    }
    bytes.len()
}
