//! Any regex a user writes, run by a real regex engine: slower, and never a guess.

use fancy_regex::{Regex, RegexBuilder};

use crate::{Error, Result};

/// How many steps back the engine may take on one match before it gives up with an error.
const BACKTRACK_LIMIT: usize = 10_000_000;

/// A compiled regex whose matches are pretokens; the text between two matches is one too.
#[derive(Debug, Clone)]
pub struct Fallback {
    regex: Regex,
}

impl Fallback {
    /// Compiles `pattern`; an error if it does not compile or matches the empty string.
    pub fn new(pattern: &str) -> Result<Self> {
        let regex = RegexBuilder::new(pattern)
            .backtrack_limit(BACKTRACK_LIMIT)
            .build()
            .map_err(|error| Error::Pattern { pattern: pattern.to_owned(), reason: error.to_string() })?;
        let fallback = Fallback { regex };
        fallback.each("", &mut |_, _| Ok(()))?;
        Ok(fallback)
    }

    /// Calls `emit(start, end)` for each piece of `text`, in order and without gaps.
    pub fn each(&self, text: &str, emit: &mut dyn FnMut(usize, usize) -> Result<()>) -> Result<()> {
        let (mut done, mut at) = (0, 0);
        loop {
            let found = self.regex.find_from_pos(text, at).map_err(|error| Error::Backtracking {
                pattern: self.regex.as_str().to_owned(),
                offset: at,
                reason: error.to_string(),
            })?;
            let Some(found) = found else { break };
            let (start, end) = (found.start(), found.end());
            if start == end {
                return Err(Error::EmptyMatch { pattern: self.regex.as_str().to_owned(), offset: start });
            }
            if start > done {
                emit(done, start)?;
            }
            emit(start, end)?;
            (done, at) = (end, end);
            if at >= text.len() {
                break;
            }
        }
        if done < text.len() {
            emit(done, text.len())?;
        }
        Ok(())
    }
}
