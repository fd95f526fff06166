//! Byte-pair encoding of one pretoken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use crate::{Error, Result};

/// Pretokens of up to this many bytes are merged by looking for the best pair over and over, longer ones with a heap.
const SHORT: usize = 32;
/// Marks a place that holds no token any more.
const GONE: u32 = u32::MAX;

/// A vocabulary and its merges.
pub struct Bpe {
    byte_ids: [Option<u32>; 256],
    /// `(left, right)` to rank and token.
    merges: FxHashMap<u64, (u32, u32)>,
    /// Pretokens that are one token.
    whole: FxHashMap<Vec<u8>, u32>,
    lengths: Vec<u32>,
}

#[inline(always)]
fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Bpe {
    /// A vocabulary of `tokens` by id, of which `ordinary` take part in BPE, and merges `(left, right, token)` by rank.
    ///
    /// With `whole_first`, a pretoken that is a token as a whole is that token, whatever the merges say (`ignore_merges`
    /// in tokenizer.json; what tiktoken does). With `ranked`, the rank of a merge is the id of the token it makes.
    pub fn new(
        tokens: &[Vec<u8>],
        ordinary: &[bool],
        merges: &[[u32; 3]],
        whole_first: bool,
        ranked: bool,
    ) -> Result<Self> {
        let is_ordinary = |id: usize| ordinary.get(id).copied().unwrap_or(false);
        let mut byte_ids = [None; 256];
        for (id, token) in tokens.iter().enumerate().filter(|(id, _)| is_ordinary(*id)) {
            if let [byte] = token.as_slice()
                && let Some(slot) = byte_ids.get_mut(usize::from(*byte))
            {
                *slot = Some(id as u32);
            }
        }
        let mut map = FxHashMap::with_capacity_and_hasher(merges.len(), Default::default());
        for (rank, &[left, right, token]) in merges.iter().enumerate() {
            let get = |id: u32| tokens.get(id as usize).map(Vec::as_slice);
            let (Some(a), Some(b), Some(c)) = (get(left), get(right), get(token)) else {
                return Err(Error::Invalid(format!(
                    "merge {rank} joins ids {left} and {right} to {token}, but ids go up to {}",
                    tokens.len().saturating_sub(1)
                )));
            };
            if a.len() + b.len() != c.len() || !c.starts_with(a) || !c.ends_with(b) {
                return Err(Error::Invalid(format!(
                    "merge {rank} joins {:?} and {:?} to {:?}, which is not the two together",
                    String::from_utf8_lossy(a),
                    String::from_utf8_lossy(b),
                    String::from_utf8_lossy(c)
                )));
            }
            let rank = if ranked { token } else { rank as u32 };
            map.entry(key(left, right)).or_insert((rank, token));
        }
        let lengths = tokens.iter().map(|token| token.len() as u32).collect();
        let mut bpe = Bpe { byte_ids, merges: map, whole: FxHashMap::default(), lengths };
        // Tokens that the merges make of their own bytes need no merging at all.
        let mut ids = Vec::new();
        for (id, token) in tokens.iter().enumerate().filter(|(id, token)| is_ordinary(*id) && !token.is_empty()) {
            ids.clear();
            if whole_first || (bpe.merge(token, &mut ids).is_ok() && ids == [id as u32]) {
                bpe.whole.entry(token.clone()).or_insert(id as u32);
            }
        }
        Ok(bpe)
    }

    /// All pairs of tokens that join to a token, in the order of that token's id: the merges that a rank file means.
    pub fn merges_of_ranks(tokens: &[Vec<u8>]) -> Vec<[u32; 3]> {
        let ids: FxHashMap<&[u8], u32> = tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| !token.is_empty())
            .map(|(id, token)| (token.as_slice(), id as u32))
            .collect();
        let mut merges = Vec::new();
        for (id, token) in tokens.iter().enumerate() {
            for middle in 1..token.len() {
                let (left, right) = token.split_at(middle);
                if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                    merges.push([left, right, id as u32]);
                }
            }
        }
        merges
    }

    /// Appends the ids of `pretoken`; an error is the offset of a byte that no token stands for.
    #[inline]
    pub fn encode(&self, pretoken: &[u8], ids: &mut Vec<u32>) -> std::result::Result<(), usize> {
        if let Some(&id) = self.whole.get(pretoken) {
            ids.push(id);
            return Ok(());
        }
        self.merge(pretoken, ids)
    }

    /// How long each token is in bytes.
    pub fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    fn merge(&self, pretoken: &[u8], ids: &mut Vec<u32>) -> std::result::Result<(), usize> {
        let first = ids.len();
        for (offset, &byte) in pretoken.iter().enumerate() {
            match self.byte_ids.get(usize::from(byte)).copied().flatten() {
                Some(id) => ids.push(id),
                None => {
                    ids.truncate(first);
                    return Err(offset);
                }
            }
        }
        if pretoken.len() <= SHORT {
            self.merge_short(ids, first)
        } else {
            self.merge_long(ids, first)
        }
        Ok(())
    }

    #[inline(always)]
    fn pair(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        self.merges.get(&key(left, right)).copied()
    }

    /// Merges the pair of the lowest rank, the leftmost first, until none is left.
    fn merge_short(&self, ids: &mut Vec<u32>, first: usize) {
        const NONE: (u32, u32) = (u32::MAX, 0);
        let mut ranks = [NONE; SHORT];
        let pair_at = |ids: &[u32], at: usize| match (ids.get(at), ids.get(at + 1)) {
            (Some(&left), Some(&right)) => self.pair(left, right).unwrap_or(NONE),
            _ => NONE,
        };
        let mut length = ids.len() - first;
        for (offset, rank) in ranks.iter_mut().enumerate().take(length) {
            *rank = pair_at(ids, first + offset);
        }
        loop {
            let live = ranks.get(..length.saturating_sub(1)).unwrap_or_default();
            let Some((at, &(rank, token))) = live.iter().enumerate().min_by_key(|(_, (rank, _))| *rank) else { return };
            if rank == NONE.0 {
                return;
            }
            if let Some(slot) = ids.get_mut(first + at) {
                *slot = token;
            }
            ids.remove(first + at + 1);
            ranks.copy_within(at + 1..length, at);
            length -= 1;
            for offset in [at.wrapping_sub(1), at] {
                if let Some(rank) = ranks.get_mut(offset) {
                    *rank = pair_at(ids, first + offset);
                }
            }
        }
    }

    /// The same with a heap of candidates over a linked list, for long pretokens.
    fn merge_long(&self, ids: &mut Vec<u32>, first: usize) {
        let mut tokens = ids.split_off(first);
        let count = tokens.len();
        let mut next: Vec<usize> = (1..=count).collect();
        let mut previous: Vec<usize> = (0..count).map(|at| at.wrapping_sub(1)).collect();
        let get = |list: &[u32], at: usize| list.get(at).copied().unwrap_or(GONE);
        let mut heap = BinaryHeap::new();
        for (at, pair) in tokens.windows(2).enumerate() {
            if let [left, right] = *pair
                && let Some((rank, _)) = self.pair(left, right)
            {
                heap.push(Reverse((rank, at, left, right)));
            }
        }
        while let Some(Reverse((_, at, left, right))) = heap.pop() {
            let Some(&after) = next.get(at) else { continue };
            if get(&tokens, at) != left || get(&tokens, after) != right {
                continue;
            }
            let Some((_, token)) = self.pair(left, right) else { continue };
            let beyond = next.get(after).copied().unwrap_or(count);
            for (list, place, value) in [(&mut next, at, beyond), (&mut previous, beyond, at)] {
                if let Some(slot) = list.get_mut(place) {
                    *slot = value;
                }
            }
            for (place, value) in [(at, token), (after, GONE)] {
                if let Some(slot) = tokens.get_mut(place) {
                    *slot = value;
                }
            }
            let before = previous.get(at).copied().unwrap_or(usize::MAX);
            for (start, left, right) in [(before, get(&tokens, before), token), (at, token, get(&tokens, beyond))] {
                if left != GONE
                    && right != GONE
                    && let Some((rank, _)) = self.pair(left, right)
                {
                    heap.push(Reverse((rank, start, left, right)));
                }
            }
        }
        ids.extend(tokens.into_iter().filter(|&token| token != GONE));
    }
}
