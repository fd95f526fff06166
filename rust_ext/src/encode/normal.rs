//! What is done to text before it is split: Unicode normalization, and the spaces of a character scheme.

use memchr::memmem;
use unicode_normalization_alignments::IsNormalized;
use unicode_normalization_alignments::{
    UnicodeNormalization, is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};

/// A Unicode normalization form. The tables are those of the crate that `tokenizers` uses, hence of the same version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

impl Form {
    /// The form by its name in the Unicode standard.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "NFC" => Some(Form::Nfc),
            "NFD" => Some(Form::Nfd),
            "NFKC" => Some(Form::Nfkc),
            "NFKD" => Some(Form::Nfkd),
            _ => None,
        }
    }

    /// `text` in this form, or `None` if it is in it already.
    pub fn apply(self, text: &str) -> Option<String> {
        if text.is_ascii() {
            return None;
        }
        let quick = match self {
            Form::Nfc => is_nfc_quick(text.chars()),
            Form::Nfd => is_nfd_quick(text.chars()),
            Form::Nfkc => is_nfkc_quick(text.chars()),
            Form::Nfkd => is_nfkd_quick(text.chars()),
        };
        if quick == IsNormalized::Yes {
            return None;
        }
        Some(match self {
            Form::Nfc => text.nfc().map(|(c, _)| c).collect(),
            Form::Nfd => text.nfd().map(|(c, _)| c).collect(),
            Form::Nfkc => text.nfkc().map(|(c, _)| c).collect(),
            Form::Nfkd => text.nfkd().map(|(c, _)| c).collect(),
        })
    }
}

/// The mark that stands for a space in SentencePiece vocabularies.
const MARK: &[u8] = "▁".as_bytes();

/// Puts `text` after what is in `out`, with a space for each mark.
pub fn with_spaces(text: &[u8], out: &mut Vec<u8>) {
    let mut done = 0;
    for at in memmem::find_iter(text, MARK) {
        out.extend_from_slice(text.get(done..at).unwrap_or_default());
        out.push(b' ');
        done = at + MARK.len();
    }
    out.extend_from_slice(text.get(done..).unwrap_or_default());
}

/// Whether text starts with a space or a mark.
pub fn starts_with_space(text: &[u8]) -> bool {
    text.starts_with(b" ") || text.starts_with(MARK)
}

/// Whether there is a mark in it.
pub fn has_mark(text: &[u8]) -> bool {
    memmem::find(text, MARK).is_some()
}

/// Whether text starts with a mark.
pub fn starts_with_mark(text: &[u8]) -> bool {
    text.starts_with(MARK)
}

/// Whether text ends with a mark.
pub fn ends_with_mark(text: &[u8]) -> bool {
    text.ends_with(MARK)
}
