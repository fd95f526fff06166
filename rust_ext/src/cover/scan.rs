//! How the encoder finds added tokens in a text that is not all there yet.
//!
//! It takes the leftmost text of an added token, the longest of several, before anything else; where a flag refuses it
//! (a word character touches it, or it is a control token), all of it is text, and what begins inside is not looked for.
//! So ordinary tokens may not spell an added token, unless as part of one that is refused. Which texts the end of a
//! text is the beginning of, the bytes to come decide: a [`Scan`] keeps every [`Reading`] that is still possible.

use std::collections::HashMap;

use super::prefixes::{Begun, Prefixes};
use crate::encode::Added;

/// Where the text of an added token stays text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refused {
    Never,
    /// Where a word character is before or after it.
    Touched,
    /// Control tokens are text in a text.
    Always,
}

/// The added tokens that are found in texts, and those that hide them.
#[derive(Default)]
pub struct Scanner {
    texts: Prefixes,
    found: Vec<(u32, Refused)>,
    by_id: HashMap<u32, usize>,
    /// By first byte: whether a text begins with it, and whether one that may be refused.
    begins: Vec<(bool, bool)>,
}

/// One way to read a text up to its end.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Reading {
    /// Texts that have begun and must not be completed: nothing was to be found where they begin, or something shorter.
    not: Vec<Begun>,
    /// Texts of which one must be completed and is then refused; the flag says that a word character is before it.
    refused: Option<(Begun, bool)>,
    /// What the next character is: a word character or none, if that matters.
    next: Option<bool>,
    /// The bytes of that character that are there.
    first: Vec<u8>,
}

/// All ways to read a text up to its end, and the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    pub readings: Vec<Reading>,
    /// From the last byte that may begin a character on.
    before: Vec<u8>,
}

impl Default for Scan {
    /// Of the empty text.
    fn default() -> Self {
        Scan { readings: vec![Reading::default()], before: Vec::new() }
    }
}

/// What must follow a text for a reading to be right.
pub enum Next<'a> {
    Anything,
    /// A word character, or none.
    Word(bool),
    /// One of these, each with what must follow it.
    Texts(Vec<(&'a [u8], Option<bool>)>),
}

impl Scan {
    /// Behind one character.
    pub fn behind(c: &[u8]) -> Self {
        Scan { before: c.to_vec(), ..Scan::default() }
    }

    /// Whether a reading is right whatever follows, but for texts that have begun.
    pub fn is_free(&self) -> bool {
        self.readings.iter().any(Reading::is_free)
    }

    /// Whether the text may end here.
    pub fn may_end(&self) -> bool {
        self.readings.iter().any(|reading| reading.refused.is_none() && reading.next != Some(true))
    }

    fn push_before(&mut self, byte: u8) {
        if byte & 0xC0 != 0x80 {
            self.before.clear();
        }
        // No character is that long: so many bytes are none.
        if self.before.len() < 5 {
            self.before.push(byte);
        }
    }

    fn ends_with_word(&self) -> bool {
        is_word(&self.before) == Some(true)
    }
}

impl Reading {
    fn is_free(&self) -> bool {
        self.refused.is_none() && self.next.is_none()
    }

    /// What the next character must be, if that is all that must be and nothing of it is there.
    pub fn wants(&self) -> Option<Option<bool>> {
        (self.refused.is_none() && self.first.is_empty()).then_some(self.next)
    }

    /// The texts that must not be completed.
    pub fn not(&self) -> &[Begun] {
        &self.not
    }

    /// Takes note of a byte; whether the reading is still possible.
    fn read(&mut self, texts: &Prefixes, byte: u8) -> bool {
        if let Some(wanted) = self.next {
            self.first.push(byte);
            match is_word(&self.first) {
                Some(is_word) if is_word != wanted => return false,
                Some(_) => {
                    self.next = None;
                    self.first.clear();
                }
                None => {}
            }
        }
        for begun in &mut self.not {
            *begun = texts.next(*begun, byte);
        }
        self.not.retain(|begun| !begun.is_empty());
        self.not.iter().all(|begun| texts.complete(*begun).is_none())
    }

    fn forbid(&mut self, begun: Begun) {
        if !begun.is_empty() {
            self.not.push(begun);
        }
    }
}

impl Scanner {
    /// Of all added tokens; those of no text do not count unless they hide others.
    pub fn new<'a>(added: impl Iterator<Item = &'a Added>) -> Self {
        let (mut hiding, mut counting): (Vec<_>, Vec<_>) = added.partition(|token| token.special);
        // A control token hides what begins inside it, another control token as well.
        let mut done = 0;
        while let Some(known) = counting.get(done..).filter(|known| !known.is_empty()) {
            let touches = |token: &&Added| {
                known.iter().any(|other| other.normalized == token.normalized && may_overlap(&other.text, &token.text))
            };
            let (new, rest): (Vec<_>, Vec<_>) = hiding.into_iter().partition(touches);
            done = counting.len();
            counting.extend(new);
            hiding = rest;
        }
        let (mut texts, mut found, mut by_id) = (Vec::new(), Vec::new(), HashMap::new());
        let mut begins = vec![(false, false); 256];
        for token in counting {
            let refused = match (token.special, token.single_word) {
                (true, _) => Refused::Always,
                (false, true) => Refused::Touched,
                (false, false) => Refused::Never,
            };
            let first = token.text.as_bytes().first().copied().unwrap_or_default();
            if let Some(begins) = begins.get_mut(usize::from(first)) {
                *begins = (true, begins.1 || refused != Refused::Never);
            }
            if refused != Refused::Always {
                by_id.insert(token.id, found.len());
            }
            texts.push((token.text.clone().into_bytes(), found.len() as u32));
            found.push((token.id, refused));
        }
        Scanner { texts: Prefixes::new(texts), found, by_id, begins }
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether a token is found in texts.
    pub fn has(&self, token: u32) -> bool {
        self.by_id.contains_key(&token)
    }

    /// The ids of those that are.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.by_id.keys().copied()
    }

    /// Whether a token is only found where no word character touches it.
    pub fn is_single_word(&self, token: u32) -> bool {
        self.by_id.get(&token).is_some_and(|&number| self.refused(number as u32) == Refused::Touched)
    }

    /// Whether the text of one may stay text.
    pub fn may_refuse(&self) -> bool {
        self.found.iter().any(|(_, refused)| *refused != Refused::Never)
    }

    /// Whether what is around a text matters to one of them.
    pub fn has_words(&self) -> bool {
        self.found.iter().any(|(_, refused)| *refused == Refused::Touched)
    }

    /// The texts.
    pub fn texts(&self) -> &Prefixes {
        &self.texts
    }

    fn refused(&self, number: u32) -> Refused {
        self.found.get(number as usize).map_or(Refused::Never, |(_, refused)| *refused)
    }

    /// The scan behind the bytes of an ordinary token, if it may stand there.
    pub fn spell(&self, scan: &Scan, bytes: &[u8]) -> Option<Scan> {
        let mut scan = scan.clone();
        for &byte in bytes {
            let touched = scan.ends_with_word();
            let mut readings: Vec<Reading> = Vec::with_capacity(scan.readings.len());
            let mut keep = |reading: Reading| {
                if !readings.contains(&reading) {
                    readings.push(reading);
                }
            };
            for mut reading in scan.readings.drain(..) {
                if !reading.read(&self.texts, byte) {
                    continue;
                }
                if let Some((begun, touched)) = reading.refused.take() {
                    self.refuse(reading, self.texts.next(begun, byte), touched, &mut keep);
                    continue;
                }
                let (begins, may_refuse) = self.begins.get(usize::from(byte)).copied().unwrap_or_default();
                if !begins {
                    keep(reading);
                    continue;
                }
                let begun = self.texts.next(self.texts.all(), byte);
                if may_refuse {
                    self.refuse(reading.clone(), begun, touched, &mut keep);
                }
                // Or nothing is to be found here.
                if self.texts.complete(begun).is_none() {
                    reading.forbid(begun);
                    keep(reading);
                }
            }
            if readings.is_empty() {
                return None;
            }
            scan.readings = readings;
            scan.push_before(byte);
        }
        Some(scan)
    }

    /// The readings in which a text that has begun is completed, now or later, and refused.
    fn refuse(&self, reading: Reading, begun: Begun, touched: bool, keep: &mut impl FnMut(Reading)) {
        let longer = self.texts.longer(begun);
        let refused = self.texts.complete(begun).map(|number| self.refused(number));
        if let Some(refused @ (Refused::Touched | Refused::Always)) = refused {
            let mut reading = reading.clone();
            reading.forbid(longer);
            reading.next = (refused == Refused::Touched && !touched).then_some(true);
            keep(reading);
        }
        if self.texts.rests(longer).any(|(_, number)| self.refused(number) != Refused::Never) {
            keep(Reading { refused: Some((longer, touched)), ..reading });
        }
    }

    /// The scan behind an added token, if it may be found there.
    pub fn find(&self, scan: &Scan, token: u32, bytes: &[u8]) -> Option<Scan> {
        let needs_border = self.is_single_word(token);
        if needs_border && scan.ends_with_word() {
            return None;
        }
        let longer = self.texts.longer(self.texts.follow(self.texts.all(), bytes));
        let mut found = Scan { readings: Vec::new(), before: scan.before.clone() };
        for reading in scan.readings.iter().filter(|reading| reading.refused.is_none()) {
            let mut reading = reading.clone();
            if !bytes.iter().all(|&byte| reading.read(&self.texts, byte)) {
                continue;
            }
            reading.forbid(longer);
            if needs_border {
                reading.next = Some(false);
            }
            if !found.readings.contains(&reading) {
                found.readings.push(reading);
            }
        }
        bytes.iter().for_each(|&byte| found.push_before(byte));
        (!found.readings.is_empty()).then_some(found)
    }

    /// What must follow for a reading to be right.
    pub fn next<'a>(&'a self, reading: &Reading) -> Next<'a> {
        match (reading.refused, reading.next) {
            (None, None) => Next::Anything,
            (None, Some(is_word)) => Next::Word(is_word),
            (Some((begun, touched)), _) => {
                let rests = self.texts.rests(begun).map(|(rest, number)| (rest, self.refused(number)));
                let some = rests.filter_map(|(rest, refused)| match refused {
                    Refused::Never => None,
                    Refused::Touched if !touched => Some((rest, Some(true))),
                    _ => Some((rest, None)),
                });
                Next::Texts(some.collect())
            }
        }
    }
}

/// Whether bytes are a word character; nothing while they are only the beginning of a character.
pub fn is_word(bytes: &[u8]) -> Option<bool> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().next().map(regex_syntax::is_word_character),
        Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => None,
        Err(_) => Some(false),
    }
}

/// Whether both texts may be in a text so that they share a part of it.
fn may_overlap(one: &str, other: &str) -> bool {
    let reaches = |a: &[u8], b: &[u8]| (0..a.len()).any(|start| a.iter().skip(start).zip(b).all(|(a, b)| a == b));
    reaches(one.as_bytes(), other.as_bytes()) || reaches(other.as_bytes(), one.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(texts: &[(&str, bool, bool)]) -> Scanner {
        let added: Vec<Added> = texts
            .iter()
            .enumerate()
            .map(|(id, &(text, special, single_word))| Added {
                text: text.to_owned(),
                id: id as u32,
                special,
                single_word,
                lstrip: false,
                rstrip: false,
                normalized: false,
            })
            .collect();
        Scanner::new(added.iter())
    }

    #[test]
    fn a_single_word_is_text_where_a_word_touches_it() {
        let scanner = scanner(&[("U.S.", false, true)]);
        let spelled = |before: &[u8], text: &[u8]| scanner.spell(&Scan::behind(before), text);
        for (before, text) in [(&b""[..], &b"U.S.a"[..]), (b"x", b"U.S."), (b"x", b"U.S. "), (b"", b"U.S.1")] {
            assert!(spelled(before, text).is_some_and(|scan| scan.is_free() && scan.may_end()), "{before:?} {text:?}");
        }
        for (before, text) in [(&b""[..], &b"U.S. "[..]), (b".", b"U.S. "), (b".", b"U.S..")] {
            assert!(spelled(before, text).is_none(), "{before:?} {text:?}");
        }
        let open = spelled(b"", b"U.S.").unwrap_or_default();
        assert_eq!(open.readings.len(), 1);
        assert!(!open.is_free() && !open.may_end());
        assert!(matches!(open.readings.first().map(|reading| scanner.next(reading)), Some(Next::Word(true))));
    }
}
