//! Vocabularies of characters with a token for each byte, which spell the characters that have no token.

use crate::encode::{Derived, Lexicon};

/// What is known about the tokens of bytes.
pub struct Fallback {
    /// The token of each byte.
    byte_ids: [u32; 256],
    /// The characters that are not spelled in bytes.
    known: std::collections::HashSet<char>,
}

impl Fallback {
    pub fn new(lexicon: &Lexicon, byte_ids: [u32; 256]) -> Self {
        let derived = lexicon.derived();
        let one = |bytes: &[u8]| {
            let mut characters = std::str::from_utf8(bytes).ok()?.chars();
            let first = characters.next()?;
            characters.next().is_none().then_some(first)
        };
        let made = (0..derived.len() as u32).filter(|&token| derived.is_made(token));
        // The mark of a space in a text is a space to the encoder, and never spelled.
        let known = made.filter_map(|token| one(derived.token(token))).chain(['\u{2581}']).collect();
        Fallback { byte_ids, known }
    }

    /// The tokens of bytes.
    pub fn ids(&self) -> &[u32; 256] {
        &self.byte_ids
    }

    /// Whether a token is that of a byte.
    pub fn is_byte(&self, derived: &Derived<'_>, token: u32) -> bool {
        matches!(derived.token(token), [byte] if self.byte_ids.get(usize::from(*byte)) == Some(&token))
    }

    /// What is unfinished behind a byte that follows something unfinished; `None` if the byte may not stand there,
    /// because the character that it finishes has a token.
    pub fn behind(&self, open: &[u8], byte: u8) -> Option<Vec<u8>> {
        let joined = [open, &[byte]].concat();
        for bytes in [joined.as_slice(), &[byte]] {
            match std::str::from_utf8(bytes) {
                Ok(text) => {
                    let is_known = text.chars().next().is_some_and(|c| self.known.contains(&c));
                    return if is_known { None } else { Some(Vec::new()) };
                }
                Err(error) if error.error_len().is_none() => return Some(bytes.to_vec()),
                Err(_) => {}
            }
        }
        Some(Vec::new())
    }
}
