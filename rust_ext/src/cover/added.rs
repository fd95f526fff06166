//! Which tokens may follow as far as added tokens are concerned: see [`super::scan`].

use super::borders::{Borders, Verdict, Wanted};
use super::prefixes::Begun;
use super::scan::{Next, Scan, is_word};
use super::sorted::Sorted;
use super::{Cover, Node, Rules};
use crate::Result;
use crate::encode::Derived;

/// What is known of the sorted vocabulary for the sake of added tokens.
#[derive(Default)]
pub struct Around {
    /// Tokens that hold a text that may be found in them, or that they complete.
    delicate: Vec<u32>,
    /// Stretches of tokens that begin with a word character, and of those that begin with another.
    words: Vec<(usize, usize)>,
    others: Vec<(usize, usize)>,
    /// Tokens whose first character is not all there.
    cut: Vec<u32>,
}

impl Around {
    /// Of a vocabulary, in which `is_delicate` says of a token whether it needs to be looked at.
    pub fn new(derived: &Derived<'_>, sorted: &Sorted, is_delicate: impl Fn(u32) -> bool) -> Self {
        let mut around = Around::default();
        for place in 0..sorted.len() {
            let bytes = derived.token(sorted.token(place));
            if is_delicate(sorted.token(place)) {
                around.delicate.push(place as u32);
            }
            let first = (1..=bytes.len().min(4)).find_map(|length| is_word(bytes.get(..length)?));
            let stretches = match first {
                Some(true) => &mut around.words,
                Some(false) => &mut around.others,
                None => {
                    around.cut.push(place as u32);
                    continue;
                }
            };
            match stretches.last_mut() {
                Some((_, end)) if *end == place => *end += 1,
                _ => stretches.push((place, place + 1)),
            }
        }
        around
    }
}

impl Cover {
    /// The scan behind a node and a token, if that may follow as far as added tokens are concerned.
    pub(super) fn scanned(&self, node: &Node, token: u32) -> Result<Option<Scan>> {
        let bytes = self.derived().token(token);
        if self.added.has(token) {
            return Ok(self.added.find(&node.scan, token, bytes));
        }
        let Some(scan) = self.added.spell(&node.scan, bytes) else { return Ok(None) };
        Ok(match &self.rules {
            // Where everything may follow that the split pattern lets follow, there is no more to ask.
            Rules::Borders(borders) if !scan.is_free() => self.fits(borders, node, token, &scan)?.then_some(scan),
            _ => Some(scan),
        })
    }

    /// Whether what must follow a token lets the pretokens end where they must.
    fn fits(&self, borders: &Borders, node: &Node, token: u32, scan: &Scan) -> Result<bool> {
        let derived = self.derived();
        let bytes = derived.token(token);
        let wanted = Wanted {
            is_whole: derived.is_odd(token),
            never_whole: borders.completed(&node.tail, bytes),
            ..Wanted::default()
        };
        let is_pair = self.is_pair(node.token, token);
        for reading in &scan.readings {
            let next = match self.added.next(reading) {
                Next::Anything => vec![(&[] as &[u8], None)],
                Next::Word(is_word) => vec![(&[] as &[u8], Some(is_word))],
                Next::Texts(texts) => texts,
            };
            for (rest, is_word) in next {
                let wanted = Wanted { rest: rest.to_vec(), is_word, ..wanted.clone() };
                let verdict = borders.verdict_of_bytes(&node.tail, bytes, &wanted)?;
                if verdict == Verdict::Always || verdict == Verdict::IfPair && is_pair {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Calls `exclude` with stretches of the sorted vocabulary that hold all tokens that may not follow a node for the
    /// sake of added tokens.
    pub(super) fn exclude_around(&self, node: &Node, exclude: &mut impl FnMut(usize, usize)) -> Result<()> {
        if self.added.is_empty() {
            return Ok(());
        }
        let mut asked: Vec<(usize, usize)> = Vec::new();
        let one = |&place: &u32| (place as usize, place as usize + 1);
        // All that a reading says, but for tokens that complete something, is what the next character must be.
        let plain = node.scan.readings.iter().filter(|reading| reading.wants().is_some());
        match plain.min_by_key(|reading| reading.wants() != Some(None)) {
            None => asked.push((0, self.sorted.len())),
            Some(reading) => {
                asked.extend(self.around.delicate.iter().map(one));
                if let Some(Some(is_word)) = reading.wants() {
                    asked.extend(self.around.cut.iter().map(one));
                    let wrong = if is_word { &self.around.others } else { &self.around.words };
                    if node.scan.readings.len() == 1 {
                        wrong.iter().for_each(|&(low, high)| exclude(low, high));
                    } else {
                        asked.extend(wrong);
                    }
                }
                for &begun in reading.not() {
                    self.completing(begun, (0, self.sorted.len()), 0, &mut asked);
                }
            }
        }
        for place in asked.into_iter().flat_map(|(low, high)| low..high) {
            if self.scanned(node, self.sorted.token(place))?.is_none() {
                exclude(place, place + 1);
            }
        }
        Ok(())
    }

    /// The stretches of tokens that complete a text that has begun.
    fn completing(&self, begun: Begun, (low, high): (usize, usize), offset: usize, found: &mut Vec<(usize, usize)>) {
        let texts = self.added.texts();
        let mut last = None;
        for byte in texts.rests(begun).filter_map(|(rest, _)| rest.first().copied()) {
            if last.replace(byte) == Some(byte) {
                continue;
            }
            let next = texts.next(begun, byte);
            let (low, high) = self.sorted.narrow(&self.derived(), low, high, offset, byte);
            if low < high {
                if texts.complete(next).is_some() {
                    found.push((low, high));
                } else {
                    self.completing(next, (low, high), offset + 1, found);
                }
            }
        }
    }
}
