//! A vocabulary as the engine needs it: how each token is made, and which tokens may stand side by side.
//!
//! Three facts carry the exact encoder. (1) Where a border between two characters is still there at some moment, the
//! merges on both sides went as they would have gone alone. So a token that merges make of its own bytes is always made
//! by the same last merge, its *derivation*, and a token that they do not make of its own bytes never appears.
//! (2) For the same reason a sequence of such tokens is the encoding of its bytes if and only if every two neighbors
//! are the encoding of theirs. (3) Whether two tokens are follows from going back in time over their derivations
//! (`PairsView::meet`). The idea of encoding by longest match and validity of neighbors is that of the crate `bpe` of
//! rust-gems; here it is extended to merges in any order, to equal ranks, and to characters.
//!
//! Merges go by rank, but a merge may rank before the merges that make its parts, as some of Llama 3 do; it then happens
//! as soon as the parts are there. So the *moment* of a token is the highest rank in all of its derivation: of two
//! tokens that are made side by side, each without the other, the one of the lower moment is there first, and of equal
//! moments the left one, because whatever has a lower rank on the other side is done before.

use rustc_hash::FxHashMap;

use super::flat::Flat;
use super::pairs::{Pairs, PairsView};
use super::trie::{NONE, Trie};
use crate::{Error, Result};

/// What merges, and in which order.
pub enum Order<'a> {
    /// `(left, right, token)` by rank.
    Merges(&'a [[u32; 3]]),
    /// Any two neighbors that join to a token, the token of the lowest number first: its number by id.
    Ranks(&'a [u32]),
}

/// What merging starts from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Atoms {
    Bytes,
    Characters,
}

/// The last merge that makes a token: its parts, its moment and its rank, both counted from 1. An atom is its own part,
/// at moment 0.
pub type Derivation = [u32; 4];

/// No merge makes this token of its own bytes.
pub const NEVER: u32 = u32::MAX;

/// The vocabulary.
#[derive(Clone)]
pub struct Lexicon {
    /// All token bytes one after the other, and where each begins; one more for the end.
    pub bytes: Flat<u8>,
    pub starts: Flat<u32>,
    pub derivations: Flat<Derivation>,
    /// The longest token that is a beginning of the token, or [`NONE`].
    pub shorter: Flat<u32>,
    pub pairs: Pairs,
    pub trie: Trie,
    /// Tokens that are whole pretokens but that merges never make, sorted by bytes.
    pub odd: Flat<u32>,
}

/// What is needed to encode, at hand as slices for the time of a call.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub bytes: &'a [u8],
    pub starts: &'a [u32],
    pub derivations: &'a [Derivation],
    pub shorter: &'a [u32],
    pub pairs: PairsView<'a>,
    pub nodes: &'a [u64],
    pub odd: &'a [u32],
}

impl Lexicon {
    /// Works out the derivations of `tokens`, of which `ordinary` take part in merging.
    ///
    /// With `whole_first`, a pretoken that is a token as a whole is that token, whatever the merges say.
    pub fn new(
        tokens: &[&[u8]],
        ordinary: &[bool],
        order: &Order<'_>,
        atoms: Atoms,
        whole_first: bool,
    ) -> Result<Self> {
        if tokens.len() >= NONE as usize {
            return Err(Error::TooLarge { what: "tokens", size: tokens.len() as u64, limit: u64::from(NONE) });
        }
        let total: usize = tokens.iter().map(|token| token.len()).sum();
        if u32::try_from(total).is_err() {
            return Err(Error::TooLarge {
                what: "bytes of all tokens",
                size: total as u64,
                limit: u64::from(u32::MAX),
            });
        }
        let is_ordinary = |id: usize| ordinary.get(id).copied().unwrap_or(false);
        let mut building = Building::new(tokens, &is_ordinary, atoms);
        match order {
            Order::Merges(merges) => building.by_merges(merges)?,
            Order::Ranks(ranks) => building.by_ranks(ranks),
        }
        let Building { derivations, pairs, .. } = building;
        let made = |id: usize| derivations.get(id).is_some_and(|made| made[2] != NEVER);
        let mut sorted: Vec<(&[u8], u32)> = tokens
            .iter()
            .enumerate()
            .filter(|(id, token)| made(*id) && !token.is_empty())
            .map(|(id, token)| (*token, id as u32))
            .collect();
        sorted.sort_unstable();
        let mut shorter = vec![NONE; tokens.len()];
        // Of the tokens that are beginnings of the one at hand, the last of the stack is the longest.
        let mut beginnings: Vec<(&[u8], u32)> = Vec::new();
        for &(token, id) in &sorted {
            while beginnings.last().is_some_and(|(beginning, _)| !token.starts_with(beginning)) {
                beginnings.pop();
            }
            if let (Some((_, longest)), Some(slot)) = (beginnings.last(), shorter.get_mut(id as usize)) {
                *slot = *longest;
            }
            beginnings.push((token, id));
        }
        let mut odd: Vec<u32> = Vec::new();
        if whole_first {
            odd = (0..tokens.len()).filter(|&id| is_ordinary(id) && !made(id)).map(|id| id as u32).collect();
            odd.retain(|&id| tokens.get(id as usize).is_some_and(|token| !token.is_empty()));
            odd.sort_unstable_by_key(|&id| tokens.get(id as usize).copied().unwrap_or_default());
        }
        let mut starts = Vec::with_capacity(tokens.len() + 1);
        let mut bytes = Vec::with_capacity(total + 16);
        for token in tokens {
            starts.push(bytes.len() as u32);
            bytes.extend_from_slice(token);
        }
        starts.push(bytes.len() as u32);
        Ok(Lexicon {
            bytes: bytes.into(),
            starts: starts.into(),
            derivations: derivations.into(),
            shorter: shorter.into(),
            pairs,
            trie: Trie::new(&sorted)?,
            odd: odd.into(),
        })
    }

    /// Everything as slices.
    #[inline]
    pub fn view(&self) -> View<'_> {
        View {
            bytes: &self.bytes,
            starts: &self.starts,
            derivations: &self.derivations,
            shorter: &self.shorter,
            pairs: self.pairs.view(),
            nodes: &self.trie.nodes,
            odd: &self.odd,
        }
    }
}

impl Lexicon {
    /// How its tokens are made.
    pub fn derived(&self) -> Derived<'_> {
        Derived { view: self.view() }
    }
}

/// How tokens are made, for who asks which may stand side by side.
#[derive(Clone, Copy)]
pub struct Derived<'a> {
    view: View<'a>,
}

impl<'a> Derived<'a> {
    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.view.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a token; nothing for an id that does not exist.
    #[inline(always)]
    pub fn token(&self, id: u32) -> &'a [u8] {
        self.view.token(id)
    }

    /// The last merge that makes a token, with the moment [`NEVER`] if merges do not make it.
    #[inline(always)]
    pub fn made(&self, id: u32) -> Derivation {
        self.view.derivations.get(id as usize).copied().unwrap_or([0, 0, NEVER, NEVER])
    }

    /// Whether merges make a token of its own bytes, or it is an atom.
    #[inline(always)]
    pub fn is_made(&self, id: u32) -> bool {
        self.made(id)[2] != NEVER
    }

    /// The tokens that are whole pretokens although merges never make them, sorted by bytes.
    pub fn odd(&self) -> &'a [u32] {
        self.view.odd
    }

    /// Whether a token is one of them.
    pub fn is_odd(&self, id: u32) -> bool {
        !self.is_made(id) && self.view.odd_whole(self.token(id)) == Some(id)
    }

    /// Whether two tokens that merges make stay as they are side by side.
    pub fn meet(&self, left: u32, right: u32) -> bool {
        self.view.pairs.meet(self.view.derivations, left, right)
    }
}

/// All pairs of tokens that join to a token, in the order of that token's id: the merges that a rank file means.
pub fn merges_of_ranks(tokens: &[Vec<u8>]) -> Vec<[u32; 3]> {
    let slices: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    let building = Building::new(&slices, &|_| true, Atoms::Bytes);
    let all = (0..tokens.len() as u32).flat_map(|id| building.parts(id).into_iter().map(move |(l, r)| [l, r, id]));
    all.collect()
}

impl<'a> View<'a> {
    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The bytes of a token; nothing for an id that does not exist.
    #[inline(always)]
    pub fn token(&self, id: u32) -> &'a [u8] {
        match (self.starts.get(id as usize), self.starts.get(id as usize + 1)) {
            (Some(&start), Some(&end)) => self.bytes.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    #[inline(always)]
    pub fn length(&self, id: u32) -> usize {
        match (self.starts.get(id as usize), self.starts.get(id as usize + 1)) {
            (Some(&start), Some(&end)) => (end - start) as usize,
            _ => 0,
        }
    }

    /// The token that is all of `pretoken` although merges never make it.
    #[inline(always)]
    pub fn odd_whole(&self, pretoken: &[u8]) -> Option<u32> {
        if self.odd.is_empty() {
            return None;
        }
        let place = self.odd.binary_search_by(|&id| self.token(id).cmp(pretoken)).ok()?;
        self.odd.get(place).copied()
    }
}

impl PairsView<'_> {
    /// Whether `left` and `right`, side by side, stay so: no merge ever joins a part of one with a part of the other.
    ///
    /// Goes back in time, undoing whichever of the two was made later. At each step a last part of the one and a first
    /// part of the other stood side by side; they would have merged if their rank comes before all that takes either of
    /// them away: the merge it takes part in next, or, if that cannot happen yet, the highest rank on the way there. Of
    /// equal ranks the leftmost goes first.
    #[inline]
    pub fn meet(self, derivations: &[Derivation], mut left: u32, mut right: u32) -> bool {
        let of = |token: u32| derivations.get(token as usize).copied().unwrap_or([token, token, 0, 0]);
        let (mut left_made, mut right_made) = (of(left), of(right));
        let (mut left_goes, mut right_goes) = (u32::MAX, u32::MAX);
        loop {
            if let Some(token) = self.get(derivations, left, right)
                && let [_, _, _, rank] = of(token)
                && rank < left_goes
                && rank <= right_goes
            {
                return false;
            }
            if left_made[2] > right_made[2] {
                let [_, last, moment, rank] = left_made;
                (left, left_made) = (last, of(last));
                left_goes = if moment > left_made[2] { moment } else { rank };
            } else if right_made[2] > 0 {
                let [first, second, moment, rank] = right_made;
                (right, right_made) = (first, of(first));
                let waits = moment > right_made[2] || of(second)[2] >= right_made[2];
                right_goes = if waits { moment } else { rank };
            } else {
                return true;
            }
        }
    }
}

/// A vocabulary of which some tokens are worked out.
struct Building<'a> {
    tokens: &'a [&'a [u8]],
    derivations: Vec<Derivation>,
    pairs: Pairs,
    ids: FxHashMap<&'a [u8], u32>,
    /// The lengths that tokens have, ascending: a token may be long, and few of its beginnings are tokens.
    lengths: Vec<usize>,
}

impl<'a> Building<'a> {
    fn new(tokens: &'a [&'a [u8]], is_ordinary: &dyn Fn(usize) -> bool, atoms: Atoms) -> Self {
        let mut ids = FxHashMap::with_capacity_and_hasher(tokens.len(), Default::default());
        let mut derivations = vec![[0, 0, NEVER, NEVER]; tokens.len()];
        for (id, (token, made)) in tokens.iter().zip(&mut derivations).enumerate() {
            if token.is_empty() || !is_ordinary(id) {
                continue;
            }
            ids.insert(*token, id as u32);
            let is_atom = match atoms {
                Atoms::Bytes => token.len() == 1,
                Atoms::Characters => std::str::from_utf8(token).is_ok_and(|text| text.chars().count() == 1),
            };
            if is_atom {
                *made = [id as u32, id as u32, 0, 0];
            }
        }
        let mut lengths: Vec<usize> = ids.keys().map(|token| token.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        Building { tokens, derivations, pairs: Pairs::with_capacity(tokens.len()), ids, lengths }
    }

    fn moment(&self, id: u32) -> u32 {
        self.derivations.get(id as usize).map_or(NEVER, |made| made[2])
    }

    fn token(&self, id: u32) -> &'a [u8] {
        self.tokens.get(id as usize).copied().unwrap_or_default()
    }

    /// Takes note that `left` and `right` make `token` at `moment`, if they do.
    fn derive(&mut self, left: u32, right: u32, token: u32, moment: u32) -> bool {
        let parts_are_there = self.moment(left) < moment && self.moment(right) < moment;
        if !parts_are_there || self.moment(token) != NEVER || !self.pairs.view().meet(&self.derivations, left, right) {
            return false;
        }
        if let Some(made) = self.derivations.get_mut(token as usize) {
            *made = [left, right, moment, moment];
        }
        self.pairs.insert(left, right, token);
        true
    }

    /// The derivations of a list of merges.
    fn by_merges(&mut self, merges: &[[u32; 3]]) -> Result<()> {
        let mut late: Vec<u32> = Vec::new();
        for (rank, &[left, right, token]) in merges.iter().enumerate() {
            self.check_merge(rank, left, right, token)?;
            if !self.derive(left, right, token, rank as u32 + 1) && self.moment(token) == NEVER {
                late.push(token);
            }
        }
        late.retain(|&token| self.moment(token) == NEVER);
        if late.is_empty() {
            return Ok(());
        }
        let mut by_pair = FxHashMap::with_capacity_and_hasher(merges.len(), Default::default());
        for (rank, &[left, right, token]) in merges.iter().enumerate() {
            // Of a pair that is there twice, the first rank counts.
            by_pair.entry((left, right)).or_insert((rank as u32, token));
        }
        let pair = |left, right, _: &[u8]| by_pair.get(&(left, right)).copied();
        if late.iter().any(|&token| self.last_merge(token, pair).is_some()) {
            self.by_textbook(pair);
        }
        Ok(())
    }

    fn check_merge(&self, rank: usize, left: u32, right: u32, token: u32) -> Result<()> {
        let known = |id: u32| self.tokens.get(id as usize).copied();
        let (Some(a), Some(b), Some(c)) = (known(left), known(right), known(token)) else {
            return Err(Error::Invalid(format!(
                "merge {rank} joins ids {left} and {right} to {token}, but ids go up to {}",
                self.tokens.len().saturating_sub(1)
            )));
        };
        if a.is_empty() || b.is_empty() || a.len() + b.len() != c.len() || !c.starts_with(a) || !c.ends_with(b) {
            return Err(Error::Invalid(format!(
                "merge {rank} joins {:?} and {:?} to {:?}, which is not the two together",
                String::from_utf8_lossy(a),
                String::from_utf8_lossy(b),
                String::from_utf8_lossy(c)
            )));
        }
        Ok(())
    }

    /// The derivations where any two neighbors that join to a token merge.
    fn by_ranks(&mut self, ranks: &[u32]) {
        let rank = |id: u32| ranks.get(id as usize).copied().unwrap_or(id).min(NEVER - 2);
        let mut order: Vec<u32> = self.ids.values().copied().filter(|&id| self.moment(id) == NEVER).collect();
        order.sort_unstable_by_key(|&id| rank(id));
        let equal = order.windows(2).any(|two| matches!(*two, [a, b] if rank(a) == rank(b)));
        let mut late = Vec::new();
        for &token in &order {
            let parts = self.parts(token);
            if !parts.iter().any(|&(left, right)| self.derive(left, right, token, rank(token) + 1)) && !parts.is_empty()
            {
                late.push(token);
            }
        }
        if !equal && late.is_empty() {
            return;
        }
        let ids = self.ids.clone();
        let pair = |_, _, both: &[u8]| ids.get(both).map(|&token| (rank(token), token));
        if equal || late.iter().any(|&token| self.last_merge(token, pair).is_some()) {
            self.by_textbook(pair);
        }
    }

    /// Works out all derivations anew, each from the bytes of its token.
    fn by_textbook(&mut self, pair: impl Fn(u32, u32, &[u8]) -> Option<(u32, u32)>) {
        let mut order: Vec<u32> = self.ids.values().copied().filter(|&id| self.moment(id) > 0).collect();
        order.sort_unstable_by_key(|&id| self.token(id).len());
        self.pairs = Pairs::with_capacity(self.tokens.len());
        for &token in &order {
            // The parts are shorter, and worked out by now.
            let found = self.last_merge(token, &pair).map(|([left, right], rank)| {
                let moment = (rank + 1).max(self.moment(left)).max(self.moment(right));
                [left, right, moment, rank + 1]
            });
            if let Some(made) = self.derivations.get_mut(token as usize) {
                *made = found.unwrap_or([0, 0, NEVER, NEVER]);
            }
            if let Some([left, right, ..]) = found {
                self.pairs.insert(left, right, token);
            }
        }
    }

    /// The two tokens that the textbook merges last to make `token`, and the rank of that, if it makes it at all.
    fn last_merge(&self, token: u32, pair: impl Fn(u32, u32, &[u8]) -> Option<(u32, u32)>) -> Option<([u32; 2], u32)> {
        let bytes = self.token(token);
        let (mut atoms, mut starts) = (Vec::new(), Vec::new());
        let mut start = 0;
        for end in 1..=bytes.len() {
            let id = bytes.get(start..end).and_then(|part| self.ids.get(part)).copied();
            if let Some(id) = id.filter(|&id| self.moment(id) == 0) {
                atoms.push(id);
                starts.push(start);
                start = end;
            }
        }
        if start < bytes.len() {
            return None;
        }
        let in_bytes = |left, right, from, to| pair(left, right, bytes.get(from..to).unwrap_or_default());
        let (parts, made) = super::textbook::last_merge(atoms, &starts, bytes.len(), in_bytes)?;
        let [left, right] = parts;
        (made == token).then(|| (parts, pair(left, right, bytes).map_or(0, |(rank, _)| rank)))
    }

    /// All pairs of tokens that join to `token`.
    fn parts(&self, token: u32) -> Vec<(u32, u32)> {
        let bytes = self.token(token);
        let middle = |&middle: &usize| {
            let (left, right) = bytes.split_at_checked(middle)?;
            self.lengths.binary_search(&right.len()).ok()?;
            Some((*self.ids.get(left)?, *self.ids.get(right)?))
        };
        self.lengths.iter().take_while(|&&length| length < bytes.len()).filter_map(middle).collect()
    }
}
