//! Turns text into token ids, exactly as the vocabulary's merges say.
//!
//! Added tokens are found first ([`added`]); what is between them is normalized ([`normal`]) and cut into pretokens, by
//! the split pattern or, for characters, where no token reaches across ([`cuts`]); most pretokens are known ([`memo`]),
//! and the others are merged: pair by pair ([`merge`]), or in linear time if they are long ([`bpe`]), as the vocabulary's
//! derivations say ([`lexicon`]).

mod added;
mod bpe;
mod cuts;
mod file;
mod flat;
mod lexicon;
mod memo;
mod merge;
mod normal;
mod pairs;
mod prefix;
mod textbook;
mod trie;

use std::sync::Mutex;

pub use added::{Added, AddedTokens, Special};
pub use bpe::Unknown;
pub use file::Stored;
pub use lexicon::{Atoms, Derived, Lexicon, NEVER, Order, merges_of_ranks};
pub use normal::Form;
pub use prefix::Stable;

use added::Part;
use cuts::Cuts;
use lexicon::View;
use memo::{Key, MANY, Memo, PACKED};
use merge::{Bytes, SHORT};

use crate::split::Splitter;
use crate::{Error, Result};

/// Text to be encoded; a `str` need not be checked for UTF-8 again.
#[derive(Clone, Copy)]
pub enum Text<'a> {
    Valid(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> Text<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Text::Valid(text) => text.as_bytes(),
            Text::Bytes(bytes) => bytes,
        }
    }

    fn part(self, start: usize, end: usize) -> Self {
        match self {
            Text::Valid(text) => match text.get(start..end) {
                Some(part) => Text::Valid(part),
                None => Text::Bytes(text.as_bytes().get(start..end).unwrap_or_default()),
            },
            Text::Bytes(bytes) => Text::Bytes(bytes.get(start..end).unwrap_or_default()),
        }
    }
}

/// Where a character scheme puts a space before the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    None,
    /// Before the text.
    First,
    /// Before each stretch of text between added tokens.
    Each,
}

/// What a vocabulary of characters needs beside its tokens.
pub struct Characters {
    /// The token of each byte, for characters that no token stands for.
    pub byte_ids: [u32; 256],
    pub prefix: Prefix,
    /// Put the space even where there is one already.
    pub prefix_always: bool,
    cuts: Cuts,
}

impl Characters {
    /// For the tokens of `lexicon`.
    pub fn new(lexicon: &Lexicon, byte_ids: [u32; 256], prefix: Prefix, prefix_always: bool) -> Self {
        Characters { byte_ids, prefix, prefix_always, cuts: Cuts::new(&lexicon.view()) }
    }
}

impl Characters {
    /// Whether a space stands before every text, as SentencePiece has it.
    fn has_dummy_prefix(&self) -> bool {
        self.prefix == Prefix::First && self.prefix_always
    }
}

/// How many pretokens are looked up at a time.
const BATCH: usize = 256;
/// How many threads keep their memory between calls.
const KEPT: usize = 16;

/// What one thread needs while it encodes, kept for the next call.
struct Work {
    memo: Memo,
    keys: [(Key, u64); BATCH],
    /// Ids of one pretoken.
    few: Vec<u32>,
    /// Text with its spaces put right.
    spaced: Vec<u8>,
}

impl Work {
    fn new() -> Box<Self> {
        let keys = [(Key::default(), 0); BATCH];
        Box::new(Work { memo: Memo::new(), keys, few: Vec::new(), spaced: Vec::new() })
    }
}

/// Split pattern, vocabulary and added tokens together: text in, ids out. Can be shared between threads.
pub struct Encoder {
    splitter: Splitter,
    lexicon: Lexicon,
    bytes: Bytes,
    /// Added tokens that are looked for in the text as it is, and those looked for after normalization.
    added: [AddedTokens; 2],
    form: Option<Form>,
    characters: Option<Characters>,
    /// Never waited for, so that no fork and no thread can block on it.
    kept: [Mutex<Option<Box<Work>>>; KEPT],
}

impl Encoder {
    /// Puts the parts together.
    pub fn new(
        splitter: Splitter,
        lexicon: Lexicon,
        added: Vec<Added>,
        form: Option<Form>,
        characters: Option<Characters>,
    ) -> Result<Self> {
        let (mut second, first): (Vec<_>, Vec<_>) = added.into_iter().partition(|token| token.normalized);
        if let Some(form) = form {
            for token in &mut second {
                token.text = form.apply(&token.text).unwrap_or(std::mem::take(&mut token.text));
            }
        }
        Ok(Encoder {
            splitter,
            bytes: Bytes::new(&lexicon.view()),
            lexicon,
            added: [AddedTokens::new(first)?, AddedTokens::new(second)?],
            form,
            characters,
            kept: std::array::from_fn(|_| Mutex::new(None)),
        })
    }

    /// The vocabulary.
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// The added tokens.
    pub fn added_tokens(&self) -> impl Iterator<Item = &Added> {
        self.added.iter().flat_map(AddedTokens::tokens)
    }

    /// The ids of those that are found in every text.
    pub fn added_text(&self) -> impl Iterator<Item = u32> {
        self.added_tokens().filter(|token| !token.special).map(|token| token.id)
    }

    /// What a vocabulary of characters needs, if it is one.
    pub fn characters(&self) -> Option<&Characters> {
        self.characters.as_ref()
    }

    /// What cuts its texts.
    pub fn splitter(&self) -> &Splitter {
        &self.splitter
    }

    /// Whether encoding takes linear time on every text.
    pub fn is_linear(&self) -> bool {
        self.splitter.is_linear()
    }

    /// Appends the ids of `text` to `ids`; bytes that are not UTF-8 split as U+FFFD would, and are encoded as they are.
    pub fn encode(&self, text: Text<'_>, special: Special, ids: &mut Vec<u32>) -> Result<()> {
        self.with_work(|work| Job { encoder: self, view: self.lexicon.view(), work }.text(text, special, false, ids))
    }

    /// Appends the ids of many texts, and to `ends` how many ids there are after each.
    pub fn encode_many(
        &self,
        texts: &[Text<'_>],
        special: Special,
        ids: &mut Vec<u32>,
        ends: &mut Vec<usize>,
    ) -> Result<()> {
        self.with_work(|work| {
            let mut job = Job { encoder: self, view: self.lexicon.view(), work };
            for text in texts {
                job.text(*text, special, false, ids)?;
                ends.push(ids.len());
            }
            Ok(())
        })
    }

    fn byte_ids(&self) -> Option<&[u32; 256]> {
        self.characters.as_ref().map(|characters| &characters.byte_ids)
    }

    fn with_work<T>(&self, job: impl FnOnce(&mut Work) -> T) -> T {
        let taken = self.kept.iter().find_map(|place| place.try_lock().ok()?.take());
        let mut work = taken.unwrap_or_else(Work::new);
        let result = job(&mut work);
        for place in &self.kept {
            if let Ok(mut place) = place.try_lock()
                && place.is_none()
            {
                *place = Some(work);
                break;
            }
        }
        result
    }
}

/// One call at work.
struct Job<'a> {
    encoder: &'a Encoder,
    view: View<'a>,
    work: &'a mut Work,
}

impl Job<'_> {
    /// Appends the ids of a text, or of the rest of one whose beginning was encoded before.
    fn text(&mut self, text: Text<'_>, special: Special, is_rest: bool, ids: &mut Vec<u32>) -> Result<()> {
        let [raw, _] = &self.encoder.added;
        let mut first = !is_rest;
        let whole = text.bytes().len();
        if raw.is_empty() {
            return if whole > 0 { self.stretch(text, 0, special, first, ids) } else { Ok(()) };
        }
        raw.each_part(text.bytes(), special, |part| {
            let was_first = std::mem::take(&mut first);
            match part {
                Part::Token { id, special } => {
                    let starts_over = self.encoder.characters.as_ref().is_some_and(Characters::has_dummy_prefix);
                    if starts_over && special {
                        // A control token is no text: what comes after it starts as a text does.
                        first = true;
                    } else if starts_over && was_first {
                        // SentencePiece puts its space before the text even if that starts with a token of its own.
                        self.pretoken(b" ", ids).unwrap_or_default();
                    }
                    ids.push(id);
                    Ok(())
                }
                Part::Text(start, end) => self.stretch(text.part(start, end), start, special, was_first, ids),
            }
        })
    }

    /// A stretch of text without added tokens of the first kind, `offset` bytes into the text.
    fn stretch(
        &mut self,
        text: Text<'_>,
        offset: usize,
        special: Special,
        first: bool,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let normal = match (self.encoder.form, text) {
            (Some(form), Text::Valid(text)) => form.apply(text),
            (Some(form), Text::Bytes(bytes)) => std::str::from_utf8(bytes).ok().and_then(|text| form.apply(text)),
            (None, _) => None,
        };
        let text = normal.as_deref().map_or(text, Text::Valid);
        let [_, second] = &self.encoder.added;
        if second.is_empty() {
            return self.plain(text, offset, first, ids);
        }
        let mut first = first;
        second.each_part(text.bytes(), special, |part| {
            let was_first = std::mem::take(&mut first);
            match part {
                Part::Token { id, .. } => {
                    ids.push(id);
                    Ok(())
                }
                Part::Text(start, end) => self.plain(text.part(start, end), offset + start, was_first, ids),
            }
        })
    }

    /// Text without any added tokens.
    fn plain(&mut self, text: Text<'_>, offset: usize, first: bool, ids: &mut Vec<u32>) -> Result<()> {
        let encoder = self.encoder;
        if let Some(characters) = &encoder.characters {
            return self.spaced(characters, text.bytes(), offset, first, ids);
        }
        let bytes = text.bytes();
        let valid = match text {
            Text::Valid(text) => Ok(text),
            Text::Bytes(bytes) => std::str::from_utf8(bytes),
        };
        match valid {
            Ok(text) => encoder.splitter.each_batch(text, |base, ends| self.batch(bytes, base, ends, offset, ids)),
            Err(_) => encoder.splitter.each_of_bytes(bytes, |start, end| {
                let pretoken = bytes.get(start..end).unwrap_or_default();
                self.pretoken(pretoken, ids).map_err(|unknown| missing(bytes, start + unknown.0, offset))
            }),
        }
    }

    /// Text of a character scheme: with its spaces put right, and cut where no token reaches across.
    fn spaced(
        &mut self,
        characters: &Characters,
        text: &[u8],
        offset: usize,
        first: bool,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        if u32::try_from(text.len()).is_err() {
            let size = text.len() as u64;
            return Err(Error::TooLarge { what: "bytes of a text", size, limit: u64::from(u32::MAX) });
        }
        let wants_prefix = match characters.prefix {
            Prefix::None => false,
            Prefix::First => first,
            Prefix::Each => first || offset > 0,
        } && (characters.prefix_always || !normal::starts_with_space(text));
        if !wants_prefix && !normal::has_mark(text) {
            return characters.cuts.each_batch(text, |base, ends| self.batch(text, base, ends, offset, ids));
        }
        let mut spaced = std::mem::take(&mut self.work.spaced);
        spaced.clear();
        spaced.extend(wants_prefix.then_some(b' '));
        normal::with_spaces(text, &mut spaced);
        let result = characters.cuts.each_batch(&spaced, |base, ends| self.batch(&spaced, base, ends, offset, ids));
        self.work.spaced = spaced;
        result
    }

    /// Appends the ids of the pretokens of `text` that start at `base` and end at `ends` after it.
    fn batch(&mut self, text: &[u8], base: usize, ends: &[u32], offset: usize, ids: &mut Vec<u32>) -> Result<()> {
        let mut start = base;
        for ends in ends.chunks(BATCH) {
            let work = &mut *self.work;
            work.memo.keys(text, base, start, ends, &mut work.keys);
            let mut at = ids.len();
            ids.resize(at + 4 * ends.len(), 0);
            let mut place = 0;
            loop {
                let keys = self.work.keys.get(place..ends.len()).unwrap_or_default();
                let known = self.work.memo.write(keys, ids, &mut at);
                place += known;
                if known > 0 {
                    start = base + ends.get(place - 1).map_or(0, |&end| end as usize);
                }
                let Some(&end) = ends.get(place) else { break };
                let to = base + end as usize;
                let (key, hash) = self.work.keys.get(place).copied().unwrap_or_default();
                place += 1;
                let mut few = std::mem::take(&mut self.work.few);
                few.clear();
                let result = self.unknown(text, start, to, key, hash, &mut few);
                let needed = at + few.len() + 4 * (ends.len() - place);
                if ids.len() < needed {
                    ids.resize(needed, 0);
                }
                if let Some(room) = ids.get_mut(at..at + few.len()) {
                    room.copy_from_slice(&few);
                }
                at += few.len();
                self.work.few = few;
                if let Err(unknown) = result {
                    ids.truncate(at);
                    return Err(missing(text, start + unknown.0, offset));
                }
                start = to;
            }
            ids.truncate(at);
        }
        Ok(())
    }

    /// A pretoken that is not in the table.
    #[inline(never)]
    fn unknown(
        &mut self,
        text: &[u8],
        start: usize,
        end: usize,
        key: Key,
        hash: u64,
        ids: &mut Vec<u32>,
    ) -> std::result::Result<(), Unknown> {
        let pretoken = text.get(start..end).unwrap_or_default();
        if pretoken.len() <= PACKED {
            // It may be in its line after all, with more ids than those hold.
            let mut found = self.work.memo.get(key, hash);
            if found.1 == 0 {
                found = self.work.memo.get_displaced(key, hash);
            }
            let (four, count) = found;
            match count {
                0 => {}
                MANY => {
                    ids.extend_from_slice(self.work.memo.many(four));
                    return Ok(());
                }
                _ => {
                    ids.extend(four.iter().take(count));
                    return Ok(());
                }
            }
            self.pretoken(pretoken, ids)?;
            self.work.memo.put(key, hash, ids);
            return Ok(());
        }
        if let Some(known) = self.work.memo.long(pretoken, hash) {
            ids.extend_from_slice(known);
            return Ok(());
        }
        self.pretoken(pretoken, ids)?;
        self.work.memo.put_long(pretoken, hash, ids);
        Ok(())
    }

    /// Appends the ids of one pretoken.
    fn pretoken(&self, pretoken: &[u8], ids: &mut Vec<u32>) -> std::result::Result<(), Unknown> {
        encode_with(self.encoder, &self.view, pretoken, ids)
    }
}

/// Appends the ids of one pretoken; an unknown character of a character scheme becomes its bytes.
fn encode_with(
    encoder: &Encoder,
    view: &View<'_>,
    pretoken: &[u8],
    ids: &mut Vec<u32>,
) -> std::result::Result<(), Unknown> {
    if let Some(id) = view.odd_whole(pretoken) {
        ids.push(id);
        return Ok(());
    }
    let atoms = if encoder.characters.is_some() { Atoms::Characters } else { Atoms::Bytes };
    if pretoken.len() <= SHORT && view.merge(&encoder.bytes, atoms, pretoken, ids) {
        return Ok(());
    }
    let byte_ids = encoder.byte_ids();
    let mut done = 0;
    while let Err(Unknown(at)) = view.encode(pretoken.get(done..).unwrap_or_default(), ids) {
        let Some(byte_ids) = byte_ids else { return Err(Unknown(done + at)) };
        let rest = pretoken.get(done + at..).unwrap_or_default();
        let length = 1 + rest.iter().skip(1).take_while(|byte| *byte & 0xC0 == 0x80).count().min(3);
        ids.extend(rest.iter().take(length).filter_map(|byte| byte_ids.get(usize::from(*byte))));
        done += at + length;
    }
    Ok(())
}

fn missing(text: &[u8], at: usize, offset: usize) -> Error {
    Error::Invalid(format!(
        "byte 0x{:02X} at offset {} is not in the vocabulary, which has no token for it",
        text.get(at).copied().unwrap_or(0),
        offset + at,
    ))
}

#[cfg(test)]
mod tests;
