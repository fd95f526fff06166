//! Added tokens of a text that is not all there yet.
//!
//! The encoder takes the leftmost added token, the longest of several, before anything else. So ordinary tokens may not
//! spell one together, and an added token may not go on as a longer one. What a text may yet complete is kept as
//! stretches of the sorted list of added tokens.

use std::collections::HashSet;

use super::sorted::Sorted;
use crate::encode::Derived;

/// Added tokens by their bytes.
pub struct AddedText {
    texts: Vec<(Vec<u8>, u32)>,
    ids: HashSet<u32>,
    /// Whether one of them begins with a byte.
    begins: [bool; 256],
}

/// Added tokens that have begun: a stretch of the list, and how many bytes of them are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begun {
    from: usize,
    to: usize,
    length: usize,
}

impl AddedText {
    pub fn new(mut texts: Vec<(Vec<u8>, u32)>) -> Self {
        texts.retain(|(text, _)| !text.is_empty());
        texts.sort();
        let ids = texts.iter().map(|(_, id)| *id).collect();
        let mut begins = [false; 256];
        for begin in texts.iter().filter_map(|(text, _)| text.first()) {
            if let Some(begins) = begins.get_mut(usize::from(*begin)) {
                *begins = true;
            }
        }
        AddedText { texts, ids, begins }
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
        self.texts.iter().map(|(_, id)| *id)
    }

    fn all(&self) -> Begun {
        Begun { from: 0, to: self.texts.len(), length: 0 }
    }

    /// Those that go on with a byte.
    fn next(&self, begun: Begun, byte: u8) -> Begun {
        let stretch = self.texts.get(begun.from..begun.to).unwrap_or_default();
        let at = |text: &Vec<u8>| text.get(begun.length).map_or(-1, |&byte| i16::from(byte));
        let from = begun.from + stretch.partition_point(|(text, _)| at(text) < i16::from(byte));
        let to = begun.from + stretch.partition_point(|(text, _)| at(text) <= i16::from(byte));
        Begun { from, to, length: begun.length + 1 }
    }

    /// Whether one of them is complete.
    fn is_complete(&self, begun: Begun) -> bool {
        begun.from < begun.to && self.texts.get(begun.from).is_some_and(|(text, _)| text.len() == begun.length)
    }

    /// Goes on with bytes; `None` if an added token is complete on the way.
    fn follow(&self, mut begun: Begun, bytes: &[u8]) -> Option<Begun> {
        for &byte in bytes {
            begun = self.next(begun, byte);
            if begun.from >= begun.to {
                break;
            }
            if self.is_complete(begun) {
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
            if later.from < later.to {
                now.push(later);
            }
        }
        if is_added {
            let mut longer = bytes.iter().fold(self.all(), |begun, &byte| self.next(begun, byte));
            longer.from += usize::from(self.is_complete(longer));
            if longer.from < longer.to {
                now.push(longer);
            }
            return Some(now);
        }
        for (start, &byte) in bytes.iter().enumerate() {
            if self.begins.get(usize::from(byte)) != Some(&true) {
                continue;
            }
            let new = self.follow(self.all(), bytes.get(start..).unwrap_or_default())?;
            if new.from < new.to {
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
        let mut from = begun.from;
        while from < begun.to {
            let byte = self.texts.get(from).and_then(|(text, _)| text.get(begun.length)).copied();
            let Some(byte) = byte else {
                from += 1;
                continue;
            };
            let next = self.next(Begun { from, ..begun }, byte);
            let (low, high) = sorted.narrow(derived, low, high, offset, byte);
            if low < high {
                if self.is_complete(next) {
                    exclude(low, high);
                } else {
                    self.descend(derived, sorted, next, (low, high), offset + 1, exclude);
                }
            }
            from = next.to.max(from + 1);
        }
    }
}
