//! Texts of which only the beginning may be there yet: a sorted list, in which those that begin alike are one stretch.

/// Texts by their bytes, each with a number.
#[derive(Default)]
pub struct Prefixes {
    texts: Vec<(Vec<u8>, u32)>,
}

/// Texts that have begun: a stretch of the list, and how many bytes of them are there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Begun {
    from: usize,
    to: usize,
    length: usize,
}

impl Begun {
    /// Whether no text begins so.
    pub fn is_empty(self) -> bool {
        self.from >= self.to
    }
}

impl Prefixes {
    /// Of texts in any order, of which none is empty.
    pub fn new(mut texts: Vec<(Vec<u8>, u32)>) -> Self {
        texts.retain(|(text, _)| !text.is_empty());
        texts.sort();
        Prefixes { texts }
    }

    /// All of them, of which nothing is there.
    pub fn all(&self) -> Begun {
        Begun { from: 0, to: self.texts.len(), length: 0 }
    }

    /// Those that go on with a byte.
    pub fn next(&self, begun: Begun, byte: u8) -> Begun {
        let stretch = self.texts.get(begun.from..begun.to).unwrap_or_default();
        let at = |text: &Vec<u8>| text.get(begun.length).map_or(-1, |&byte| i16::from(byte));
        let from = begun.from + stretch.partition_point(|(text, _)| at(text) < i16::from(byte));
        let to = begun.from + stretch.partition_point(|(text, _)| at(text) <= i16::from(byte));
        Begun { from, to, length: begun.length + 1 }
    }

    /// Those that go on with bytes.
    pub fn follow(&self, mut begun: Begun, bytes: &[u8]) -> Begun {
        for &byte in bytes {
            if begun.is_empty() {
                break;
            }
            begun = self.next(begun, byte);
        }
        begun
    }

    /// The number of the text that is all there, if one is.
    pub fn complete(&self, begun: Begun) -> Option<u32> {
        let (text, number) = self.texts.get(begun.from..begun.to)?.first()?;
        (text.len() == begun.length).then_some(*number)
    }

    /// Those that are longer than what is there.
    pub fn longer(&self, begun: Begun) -> Begun {
        Begun { from: begun.from + usize::from(self.complete(begun).is_some()), ..begun }
    }

    /// What is missing of each text that has begun, and its number.
    pub fn rests(&self, begun: Begun) -> impl Iterator<Item = (&[u8], u32)> {
        let stretch = self.texts.get(begun.from..begun.to).unwrap_or_default();
        stretch.iter().map(move |(text, number)| (text.get(begun.length..).unwrap_or_default(), *number))
    }
}
