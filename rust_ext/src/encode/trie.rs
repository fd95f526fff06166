//! All tokens as a trie over their bytes, to find the longest token that a text starts with.
//!
//! A double array (Aoe 1989, with the XOR addressing of later variants): the child of a node by a byte is at
//! `base ^ byte`, and belongs to the node if its label is that byte, because no two nodes share a base.

use super::flat::Flat;
use crate::{Error, Result};

/// No token ends here.
pub const NONE: u32 = (1 << VALUE_BITS) - 1;

const VALUE_BITS: u32 = 24;
const LABEL_BITS: u32 = 9;
/// The label of a place that holds no node.
const VACANT: u64 = (1 << LABEL_BITS) - 1;
const BLOCK: usize = 256;
/// Vacant places are looked for in this many blocks at the end; the ones before are nearly full.
const OPEN_BLOCKS: usize = 16;
/// And at most so many of them: looking further takes longer than the space is worth.
const TRIES: usize = 48;

/// A node: the id of the token that ends here, the base of the children, and the byte that leads here.
#[inline(always)]
fn node(token: u32, base: usize, label: u64) -> u64 {
    (base as u64) << (VALUE_BITS + LABEL_BITS) | u64::from(token) << LABEL_BITS | label
}

#[inline(always)]
fn token_of(node: u64) -> u32 {
    (node >> LABEL_BITS) as u32 & NONE
}

#[inline(always)]
fn base_of(node: u64) -> usize {
    (node >> (VALUE_BITS + LABEL_BITS)) as usize
}

/// The trie. Node 0 is the root.
#[derive(Clone)]
pub struct Trie {
    pub nodes: Flat<u64>,
}

impl Trie {
    /// Builds the trie of `tokens`, `(bytes, id)` sorted by bytes, without empty or equal ones.
    pub fn new(tokens: &[(&[u8], u32)]) -> Result<Self> {
        let mut builder = Builder::new();
        builder.place(tokens)?;
        Ok(Trie { nodes: builder.nodes.into() })
    }

    /// The token that ends at a node, or [`NONE`].
    pub fn value(node: u64) -> u32 {
        if node & VACANT == VACANT { NONE } else { token_of(node) }
    }

    /// The id of the longest token that `text` starts with, and its length.
    #[inline(always)]
    pub fn longest(nodes: &[u64], text: &[u8]) -> (u32, usize) {
        let mut base = base_of(nodes.first().copied().unwrap_or(0));
        let mut best = (NONE, 0);
        for (at, &byte) in text.iter().enumerate() {
            let Some(&child) = nodes.get(base ^ usize::from(byte)) else { break };
            if child & VACANT != u64::from(byte) {
                break;
            }
            let token = token_of(child);
            best = if token == NONE { best } else { (token, at + 1) };
            base = base_of(child);
        }
        best
    }
}

impl Trie {
    /// The id of the token that is all of `text`.
    pub fn exactly(nodes: &[u64], text: &[u8]) -> Option<u32> {
        let (token, length) = Self::longest(nodes, text);
        (token != NONE && length == text.len()).then_some(token)
    }
}

struct Builder {
    nodes: Vec<u64>,
    /// Whether a place is the base of a node.
    used: Vec<bool>,
    /// One bit a place: whether no node stands there.
    vacant: Vec<u64>,
}

impl Builder {
    fn new() -> Self {
        // A node without children has base 0, and nothing ever stands in the first block but the root.
        let mut nodes = vec![VACANT; BLOCK];
        if let Some(root) = nodes.first_mut() {
            *root = node(NONE, 0, VACANT);
        }
        Builder { nodes, used: vec![true; BLOCK], vacant: vec![0; BLOCK / 64] }
    }

    /// Places the children of all nodes, one node after the other.
    fn place(&mut self, tokens: &[(&[u8], u32)]) -> Result<()> {
        // A node is a stretch of tokens that agree in `depth` bytes, and its place.
        let mut open = vec![(0usize, tokens.len(), 0usize, 0usize)];
        let mut children: Vec<(u8, usize, usize)> = Vec::new();
        while let Some((from, to, depth, at)) = open.pop() {
            let stretch = tokens.get(from..to).unwrap_or_default();
            children.clear();
            for (offset, (bytes, _)) in stretch.iter().enumerate() {
                let Some(&label) = bytes.get(depth) else { continue };
                match children.last_mut() {
                    Some((last, _, end)) if *last == label => *end = from + offset + 1,
                    _ => children.push((label, from + offset, from + offset + 1)),
                }
            }
            if children.is_empty() {
                continue;
            }
            let base = self.find_base(&children);
            if let Some(used) = self.used.get_mut(base) {
                *used = true;
            }
            if base >= 1 << (64 - VALUE_BITS - LABEL_BITS) {
                return Err(Error::TooLarge { what: "nodes of a vocabulary", size: base as u64, limit: 1 << 31 });
            }
            if let Some(slot) = self.nodes.get_mut(at) {
                *slot = node(token_of(*slot), base, *slot & VACANT);
            }
            for &(label, first, last) in &children {
                let ends = tokens.get(first).filter(|(bytes, _)| bytes.len() == depth + 1);
                let token = ends.map_or(NONE, |(_, id)| *id);
                let place = base ^ usize::from(label);
                if let (Some(slot), Some(word)) = (self.nodes.get_mut(place), self.vacant.get_mut(place / 64)) {
                    *slot = node(token, 0, u64::from(label));
                    *word &= !(1 << (place % 64));
                }
                open.push((first, last, depth + 1, place));
            }
        }
        Ok(())
    }

    /// A base that no node has, at which all children fall on vacant places.
    fn find_base(&mut self, children: &[(u8, usize, usize)]) -> usize {
        let first = children.first().map_or(0, |(label, _, _)| usize::from(*label));
        let words = BLOCK / 64;
        let mut tries = 0;
        'blocks: for index in self.vacant.len().saturating_sub(OPEN_BLOCKS * words)..self.vacant.len() {
            let mut word = self.vacant.get(index).copied().unwrap_or(0);
            while word != 0 {
                let place = index * 64 + word.trailing_zeros() as usize;
                word &= word - 1;
                tries += 1;
                if tries > TRIES {
                    break 'blocks;
                }
                let base = place ^ first;
                let vacant = |(label, _, _): &(u8, usize, usize)| {
                    self.nodes.get(base ^ usize::from(*label)).is_some_and(|node| *node == VACANT)
                };
                if !self.used.get(base).copied().unwrap_or(true) && children.iter().all(vacant) {
                    return base;
                }
            }
        }
        let base = self.nodes.len();
        self.nodes.resize(base + BLOCK, VACANT);
        self.used.resize(base + BLOCK, false);
        self.vacant.resize((base + BLOCK) / 64, u64::MAX);
        base ^ first
    }
}
