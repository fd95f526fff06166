//! The vocabulary sorted by its bytes, in which the tokens that begin alike are one stretch.

use crate::encode::Derived;

/// Token ids by their bytes.
pub struct Sorted {
    order: Vec<u32>,
    places: Vec<u32>,
    /// Where the tokens of each first byte begin, and the end.
    firsts: Vec<usize>,
}

const NOWHERE: u32 = u32::MAX;

impl Sorted {
    /// Of the tokens that `is_text` names.
    pub fn new(derived: &Derived<'_>, is_text: &[bool]) -> Self {
        let mut order: Vec<u32> =
            (0..derived.len() as u32).filter(|&token| is_text.get(token as usize) == Some(&true)).collect();
        order.sort_by(|&a, &b| derived.token(a).cmp(derived.token(b)));
        let mut places = vec![NOWHERE; derived.len()];
        for (place, &token) in order.iter().enumerate() {
            if let Some(slot) = places.get_mut(token as usize) {
                *slot = place as u32;
            }
        }
        let first = |token: u32| derived.token(token).first().map_or(0, |&byte| usize::from(byte));
        let firsts = (0..=256).map(|byte| order.partition_point(|&token| first(token) < byte)).collect();
        Sorted { order, places, firsts }
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The token at a place; an id that does not exist beyond the last.
    #[inline(always)]
    pub fn token(&self, place: usize) -> u32 {
        self.order.get(place).copied().unwrap_or(NOWHERE)
    }

    /// The place of a token, if it has one.
    pub fn place(&self, token: u32) -> Option<u32> {
        self.places.get(token as usize).copied().filter(|&place| place != NOWHERE)
    }

    /// The byte of the token at a place, counted from 0, or -1 behind its end.
    #[inline(always)]
    fn byte(&self, derived: &Derived<'_>, place: usize, offset: usize) -> i16 {
        derived.token(self.token(place)).get(offset).map_or(-1, |&byte| i16::from(byte))
    }

    /// The stretch of those tokens of a stretch, alike in `offset` bytes, that go on with `byte`.
    pub fn narrow(&self, derived: &Derived<'_>, low: usize, high: usize, offset: usize, byte: u8) -> (usize, usize) {
        if offset == 0 && (low, high) == (0, self.len()) {
            let at = |byte: usize| self.firsts.get(byte).copied().unwrap_or(high);
            return (at(usize::from(byte)), at(usize::from(byte) + 1));
        }
        let stretch = self.order.get(low..high).unwrap_or_default();
        let next = |token: u32| derived.token(token).get(offset).map_or(-1, |&byte| i16::from(byte));
        let start = stretch.partition_point(|&token| next(token) < i16::from(byte));
        let end = stretch.partition_point(|&token| next(token) <= i16::from(byte));
        (low + start, low + end)
    }

    /// Adds what the tokens of a stretch, alike in `offset` bytes, have to the masses of the bytes they go on with, `times`
    /// times; returns the sum of it, once.
    pub fn spread(
        &self,
        derived: &Derived<'_>,
        (low, high): (usize, usize),
        offset: usize,
        follow: &impl Follow,
        times: f64,
        masses: &mut [f64; 256],
    ) -> f64 {
        let mut total = 0.0;
        if offset == 0 && (low, high) == (0, self.len()) {
            for (ends, mass) in self.firsts.windows(2).zip(masses) {
                if let [start, end] = *ends {
                    let sum = self.sum(start, end, follow);
                    *mass += times * sum;
                    total += sum;
                }
            }
            return total;
        }
        let mut start = low;
        while start < high {
            let byte = self.byte(derived, start, offset);
            // The end of the tokens with this byte, by steps that double.
            let mut step = 1;
            while start + step < high && self.byte(derived, start + step, offset) == byte {
                step *= 2;
            }
            let (from, to) = (start + step / 2, (start + step).min(high));
            let stretch = self.order.get(from..to).unwrap_or_default();
            let same = |token: u32| derived.token(token).get(offset).map_or(-1, |&byte| i16::from(byte)) <= byte;
            let end = from + stretch.partition_point(|&token| same(token));
            if let Some(mass) = usize::try_from(byte).ok().and_then(|byte| masses.get_mut(byte)) {
                let sum = self.sum(start, end, follow);
                *mass += times * sum;
                total += sum;
            }
            start = end.max(start + 1);
        }
        total
    }

    /// The probability of the tokens of a stretch together.
    fn sum(&self, start: usize, end: usize, follow: &impl Follow) -> f64 {
        let stretch = self.order.get(start..end).unwrap_or_default();
        // Four sums, so that an addition need not wait for the one before it.
        let mut sums = [0.0; 4];
        let chunks = stretch.chunks_exact(4);
        let rest = chunks.remainder();
        for (at, chunk) in chunks.enumerate() {
            for ((step, sum), &token) in sums.iter_mut().enumerate().zip(chunk) {
                *sum += follow.probability(start + 4 * at + step, token);
            }
        }
        let first = end - rest.len();
        let rest: f64 = rest.iter().enumerate().map(|(step, &token)| follow.probability(first + step, token)).sum();
        sums.iter().sum::<f64>() + rest
    }
}

/// How probable each token is behind a node.
pub trait Follow {
    /// That of the token at a place: 0 if it may not follow.
    fn probability(&self, place: usize, token: u32) -> f64;
}

/// A set of places.
#[derive(Clone)]
pub struct Places {
    bits: Vec<u64>,
}

impl Places {
    /// No place of so many.
    pub fn none(count: usize) -> Self {
        Places { bits: vec![0; count.div_ceil(64)] }
    }

    /// Put a place in or take it out.
    pub fn set(&mut self, place: usize, is_in: bool) {
        if let Some(word) = self.bits.get_mut(place / 64) {
            *word = *word & !(1 << (place % 64)) | u64::from(is_in) << (place % 64);
        }
    }

    /// Put in the places of another set, or only those that are in a third.
    pub fn add(&mut self, others: &Places, only: Option<&Places>) {
        match only {
            None => self.bits.iter_mut().zip(&others.bits).for_each(|(word, other)| *word |= other),
            Some(only) => {
                let both = others.bits.iter().zip(&only.bits).map(|(other, only)| other & only);
                self.bits.iter_mut().zip(both).for_each(|(word, both)| *word |= both);
            }
        }
    }

    /// Whether a place is in it.
    #[inline(always)]
    pub fn has(&self, place: usize) -> bool {
        self.bits.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }
}
