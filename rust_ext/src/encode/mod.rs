//! Turns text into token ids, exactly as the vocabulary's merges say.

mod added;
mod bpe;

pub use added::{Added, AddedTokens, Special};
pub use bpe::Bpe;

use rustc_hash::FxHashMap;

use crate::split::Splitter;
use crate::{Error, Result};

/// Pretokens longer than this are not worth remembering: they rarely come again.
const MEMORABLE: usize = 64;
/// The memory of pretokens starts over when it holds this many.
const MEMORY: usize = 1 << 16;

/// Split pattern, merges and added tokens together: text in, ids out.
pub struct Encoder {
    splitter: Splitter,
    bpe: Bpe,
    added: AddedTokens,
}

impl Encoder {
    /// Puts the parts together.
    pub fn new(splitter: Splitter, bpe: Bpe, added: AddedTokens) -> Self {
        Encoder { splitter, bpe, added }
    }

    /// The merges.
    pub fn bpe(&self) -> &Bpe {
        &self.bpe
    }

    /// Appends the ids of `text` to `ids`; bytes that are not UTF-8 split as U+FFFD would, and are encoded as they are.
    pub fn encode(&self, text: &[u8], special: Special, ids: &mut Vec<u32>) -> Result<()> {
        let mut known: FxHashMap<&[u8], (usize, usize)> = FxHashMap::default();
        self.added.each_part(text, special, |part| match part {
            added::Part::Token(id) => {
                ids.push(id);
                Ok(())
            }
            added::Part::Text(start, end) => {
                let part = text.get(start..end).unwrap_or_default();
                self.splitter.each_of_bytes(part, |from, to| {
                    let pretoken = part.get(from..to).unwrap_or_default();
                    if let Some(&(first, last)) = known.get(pretoken) {
                        ids.extend_from_within(first..last);
                        return Ok(());
                    }
                    let first = ids.len();
                    self.bpe.encode(pretoken, ids).map_err(|offset| {
                        Error::Invalid(format!(
                            "byte 0x{:02X} at offset {} is not in the vocabulary, which has no token for it",
                            pretoken.get(offset).copied().unwrap_or(0),
                            start + from + offset,
                        ))
                    })?;
                    if pretoken.len() <= MEMORABLE {
                        if known.len() >= MEMORY {
                            known.clear();
                        }
                        known.insert(pretoken, (first, ids.len()));
                    }
                    Ok(())
                })
            }
        })
    }
}

#[cfg(test)]
mod tests;
