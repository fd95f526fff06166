//! The textbook procedure, for pretokens that are short.
//!
//! Of few tokens the two that merge next are found by looking at all of them, and most pairs of bytes are in one small
//! table. That takes fewer steps, and steps in less memory, than searching for the longest tokens ([`super::bpe`]),
//! which is what longer pretokens need because it takes linear time.

use super::lexicon::{Atoms, NEVER, View};
use super::trie::{NONE, Trie};

/// The longest pretoken that is merged here, in bytes: a bit says that a place still holds a token.
pub const SHORT: usize = 32;
/// What no merge makes, and the rank of that.
const NOTHING: (u32, u32) = (u32::MAX, NONE);

/// The tokens of single bytes, and those that two of them make.
pub struct Bytes {
    atoms: [u32; 256],
    /// By the left byte times 256 and the right.
    pairs: Box<[u32]>,
    /// Whether merges go by the ids of what they make, which then need no looking up of their ranks.
    by_id: bool,
}

impl Bytes {
    /// Those of a vocabulary.
    pub fn new(view: &View<'_>) -> Self {
        let mut atoms = [NONE; 256];
        for (byte, atom) in atoms.iter_mut().enumerate() {
            *atom = Trie::longest(view.nodes, &[byte as u8]).0;
        }
        let mut pairs = vec![NONE; 1 << 16].into_boxed_slice();
        let (mut by_id, mut highest) = (true, 0);
        for (id, &[left, right, moment, rank]) in view.derivations.iter().enumerate() {
            if moment == NEVER || moment == 0 {
                continue;
            }
            by_id &= rank > highest;
            highest = rank;
            if let ([left], [right]) = (view.token(left), view.token(right))
                && let Some(slot) = pairs.get_mut(usize::from(*left) << 8 | usize::from(*right))
            {
                *slot = id as u32;
            }
        }
        Bytes { atoms, pairs, by_id }
    }

    /// The rank of the merge that makes a token.
    #[inline(always)]
    fn rank(&self, view: &View<'_>, token: u32) -> u32 {
        if self.by_id { token } else { view.derivations.get(token as usize).map_or(u32::MAX, |made| made[3]) }
    }

    /// The rank of the merge of two tokens, and what it makes.
    #[inline(always)]
    fn merged(&self, view: &View<'_>, left: u32, right: u32) -> (u32, u32) {
        view.pairs.get(view.derivations, left, right).map_or(NOTHING, |token| (self.rank(view, token), token))
    }
}

impl View<'_> {
    /// Appends the ids of a pretoken of at most [`SHORT`] bytes; false if an atom of it is no token.
    pub fn merge(&self, bytes: &Bytes, atoms: Atoms, pretoken: &[u8], ids: &mut Vec<u32>) -> bool {
        let mut row = Row::new(pretoken.len());
        let is_filled = match atoms {
            Atoms::Characters if !pretoken.is_ascii() => row.characters(self, bytes, pretoken).is_some(),
            _ => row.bytes(self, bytes, pretoken),
        };
        if !is_filled {
            return false;
        }
        while let Some((place, token)) = row.first() {
            let after = row.after(place);
            if let Some(gone) = after {
                row.alive &= !(1 << gone);
                row.set(gone, NOTHING);
            }
            row.put(place, token);
            let (before, after) = (row.before(place), row.after(place));
            let right = after.map_or(NOTHING, |after| bytes.merged(self, token, row.token(after)));
            row.set(place, right);
            if let Some(before) = before {
                let left = bytes.merged(self, row.token(before), token);
                row.set(before, left);
            }
        }
        row.each(|token| ids.push(token));
        true
    }
}

/// The tokens of a pretoken while they merge, each at the place of its first byte.
struct Row {
    count: usize,
    /// One bit a place: whether a token begins there.
    alive: u32,
    tokens: [u32; SHORT],
    /// The rank of the merge of the token at a place with the next one, and what they make.
    ranks: [u32; SHORT],
    made: [u32; SHORT],
}

impl Row {
    #[inline(always)]
    fn new(count: usize) -> Self {
        Row { count, alive: 0, tokens: [NONE; SHORT], ranks: [u32::MAX; SHORT], made: [NONE; SHORT] }
    }

    /// Puts the bytes in their places; false if one is no token.
    #[inline(always)]
    fn bytes(&mut self, view: &View<'_>, bytes: &Bytes, pretoken: &[u8]) -> bool {
        let mut missing = false;
        for (token, &byte) in self.tokens.iter_mut().zip(pretoken) {
            *token = bytes.atoms.get(usize::from(byte)).copied().unwrap_or(NONE);
            missing |= *token == NONE;
        }
        self.alive = u32::MAX >> ((SHORT - self.count.clamp(1, SHORT)) as u32);
        for (at, two) in pretoken.windows(2).enumerate() {
            if let [left, right] = *two
                && let Some(&pair) = bytes.pairs.get(usize::from(left) << 8 | usize::from(right))
                && pair != NONE
            {
                self.set(at, (bytes.rank(view, pair), pair));
            }
        }
        !missing
    }

    /// Puts the characters in their places.
    fn characters(&mut self, view: &View<'_>, bytes: &Bytes, pretoken: &[u8]) -> Option<()> {
        let mut last = None;
        for (at, _) in std::str::from_utf8(pretoken).ok()?.char_indices() {
            let rest = pretoken.get(at..)?;
            let length = 1 + rest.iter().skip(1).take_while(|byte| **byte & 0xC0 == 0x80).count();
            let token = Trie::exactly(view.nodes, rest.get(..length)?)?;
            self.alive |= 1 << (at % SHORT);
            self.put(at, token);
            if let Some((before, left)) = last {
                self.set(before, bytes.merged(view, left, token));
            }
            last = Some((at, token));
        }
        Some(())
    }

    /// The place of the merge of the lowest rank, the leftmost of several, and what it makes.
    #[inline(always)]
    fn first(&self) -> Option<(usize, u32)> {
        let (mut best, mut place) = (u32::MAX, 0);
        for (at, &rank) in self.ranks.iter().take(self.count).enumerate() {
            if rank < best {
                (best, place) = (rank, at);
            }
        }
        if best == u32::MAX { None } else { self.made.get(place).map(|&token| (place, token)) }
    }

    #[inline(always)]
    fn token(&self, place: usize) -> u32 {
        self.tokens.get(place).copied().unwrap_or(NONE)
    }

    #[inline(always)]
    fn put(&mut self, place: usize, token: u32) {
        if let Some(slot) = self.tokens.get_mut(place) {
            *slot = token;
        }
    }

    /// Takes note of what the token at a place and the next one make.
    #[inline(always)]
    fn set(&mut self, place: usize, (rank, token): (u32, u32)) {
        if let (Some(slot), Some(made)) = (self.ranks.get_mut(place), self.made.get_mut(place)) {
            (*slot, *made) = (rank, token);
        }
    }

    /// The next place with a token.
    #[inline(always)]
    fn after(&self, place: usize) -> Option<usize> {
        let rest = self.alive & (u32::MAX - 1).unbounded_shl(place as u32);
        (rest != 0).then(|| rest.trailing_zeros() as usize)
    }

    /// The place of the token before.
    #[inline(always)]
    fn before(&self, place: usize) -> Option<usize> {
        let rest = self.alive & ((1 << (place % SHORT)) - 1);
        (rest != 0).then(|| 31 - rest.leading_zeros() as usize)
    }

    #[inline(always)]
    fn each(&self, mut take: impl FnMut(u32)) {
        let mut alive = self.alive;
        while alive != 0 {
            take(self.token(alive.trailing_zeros() as usize));
            alive &= alive - 1;
        }
    }
}
