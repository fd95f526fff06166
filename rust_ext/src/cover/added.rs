//! Added tokens of a text that is not all there yet.
//!
//! The encoder takes the leftmost added token, the longest of several, before anything else. So ordinary tokens may not
//! spell one together, and an added token may not go on as a longer one. What a text may yet complete is kept as
//! stretches of the sorted list of added tokens.

use std::collections::HashSet;

use super::prefixes::{Begun, Prefixes};
use super::sorted::Sorted;
use crate::encode::Derived;

/// Added tokens by their bytes.
pub struct AddedText {
    texts: Prefixes,
    ids: HashSet<u32>,
    /// Whether one of them begins with a byte.
    begins: [bool; 256],
}

impl AddedText {
    pub fn new(texts: Vec<(Vec<u8>, u32)>) -> Self {
        let ids = texts.iter().map(|(_, id)| *id).collect();
        let mut begins = [false; 256];
        for begin in texts.iter().filter_map(|(text, _)| text.first()) {
            if let Some(begins) = begins.get_mut(usize::from(*begin)) {
                *begins = true;
            }
        }
        AddedText { texts: Prefixes::new(texts), ids, begins }
    }

    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether a token is one of them.
    pub fn has(&self, token: u32) -> bool {
        self.ids.contains(&token)
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.texts.texts().iter().map(|(_, id)| *id)
    }

    /// Goes on with bytes; `None` if an added token is complete on the way.
    fn follow(&self, mut begun: Begun, bytes: &[u8]) -> Option<Begun> {
        for &byte in bytes {
            begun = self.texts.next(begun, byte);
            if begun.is_empty() {
                break;
            }
            if self.texts.complete(begun).is_some() {
                return None;
            }
        }
        Some(begun)
    }

    /// What has begun behind a token; `None` if the token may not stand there.
    pub fn behind(&self, begun: &[Begun], bytes: &[u8], is_added: bool) -> Option<Vec<Begun>> {
        let mut now = Vec::new();
        for &earlier in begun {
            let later = self.follow(earlier, bytes)?;
            if !later.is_empty() {
                now.push(later);
            }
        }
        if is_added {
            let longer = self.texts.longer(self.texts.follow(self.texts.all(), bytes));
            if !longer.is_empty() {
                now.push(longer);
            }
            return Some(now);
        }
        for (start, &byte) in bytes.iter().enumerate() {
            if self.begins.get(usize::from(byte)) != Some(&true) {
                continue;
            }
            let new = self.follow(self.texts.all(), bytes.get(start..).unwrap_or_default())?;
            if !new.is_empty() {
                now.push(new);
            }
        }
        Some(now)
    }

    /// Calls `exclude` with each stretch of the sorted vocabulary whose tokens would complete what has begun.
    pub fn completing(
        &self,
        derived: &Derived<'_>,
        sorted: &Sorted,
        begun: &[Begun],
        exclude: &mut impl FnMut(usize, usize),
    ) {
        for &begun in begun {
            self.descend(derived, sorted, begun, (0, sorted.len()), 0, exclude);
        }
    }

    fn descend(
        &self,
        derived: &Derived<'_>,
        sorted: &Sorted,
        begun: Begun,
        (low, high): (usize, usize),
        offset: usize,
        exclude: &mut impl FnMut(usize, usize),
    ) {
        let mut last = None;
        for byte in self.texts.rests(begun).filter_map(|(rest, _)| rest.first().copied()) {
            if last.replace(byte) == Some(byte) {
                continue;
            }
            let next = self.texts.next(begun, byte);
            let (low, high) = sorted.narrow(derived, low, high, offset, byte);
            if low < high {
                if self.texts.complete(next).is_some() {
                    exclude(low, high);
                } else {
                    self.descend(derived, sorted, next, (low, high), offset + 1, exclude);
                }
            }
        }
    }
}
