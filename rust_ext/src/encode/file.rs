//! A vocabulary as one file that is mapped into memory: nothing is parsed or built when it is opened.
//!
//! The file holds a header, then arrays of little-endian numbers, each aligned to 64 bytes: the magic word, a checksum of
//! all that follows it, the number of sections, and where each begins and ends. The first section and the last belong to the caller.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

use super::cuts::Cuts;
use super::flat::Flat;
use super::lexicon::{Derivation, Lexicon, NEVER};
use super::pairs::Pairs;
use super::trie::{NONE, Trie};
use super::{Characters, Encoder, Prefix};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"BYTETOK3";
const ALIGN: usize = 64;
const SECTIONS: usize = 12;
const HEADER: usize = (16 + 8 + 16 * SECTIONS).next_multiple_of(ALIGN);

/// A file at hand.
pub struct Stored {
    map: Arc<Mmap>,
    bounds: [(usize, usize); SECTIONS],
    place: String,
}

/// Not meant against an attacker: it finds files that were cut off or damaged.
fn checksum(bytes: &[u8]) -> u64 {
    let mut sums = [0x9E37_79B9_7F4A_7C15_u64; 8];
    let (blocks, rest) = bytes.as_chunks::<64>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = (*sum ^ u64::from_le_bytes(*word)).wrapping_mul(0xD6E8_FEB8_6659_FD93).rotate_left(29);
        }
    }
    let tail = rest.iter().fold(bytes.len() as u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
    sums.iter().fold(tail, |all, sum| (all ^ sum).wrapping_mul(0xD6E8_FEB8_6659_FD93).rotate_left(31))
}

impl Encoder {
    /// The contents of a file for this vocabulary, with `meta` as its first section and `more` as its last.
    pub fn to_file(&self, meta: &[u8], more: &[u8]) -> Vec<u8> {
        let lexicon = self.lexicon();
        let (joined, byte_ids): (&[u64], &[u32]) = match &self.characters {
            Some(characters) => (&characters.cuts.joined, &characters.byte_ids),
            None => (&[], &[]),
        };
        let sections: [&[u8]; SECTIONS] = [
            meta,
            &lexicon.bytes,
            bytemuck::cast_slice(&lexicon.starts),
            bytemuck::cast_slice(&lexicon.derivations),
            bytemuck::cast_slice(&lexicon.shorter),
            bytemuck::cast_slice(&lexicon.pairs.slots),
            bytemuck::cast_slice(&lexicon.pairs.filter),
            bytemuck::cast_slice(&lexicon.trie.nodes),
            bytemuck::cast_slice(&lexicon.odd),
            bytemuck::cast_slice(joined),
            bytemuck::cast_slice(byte_ids),
            more,
        ];
        let mut file = vec![0; HEADER];
        let mut bounds = Vec::new();
        for section in sections {
            bounds.push((file.len(), file.len() + section.len()));
            file.extend_from_slice(section);
            file.resize(file.len().next_multiple_of(ALIGN), 0);
        }
        let numbers = bounds.iter().flat_map(|&(start, end)| [start as u64, end as u64]);
        let header: Vec<u8> = [SECTIONS as u64].into_iter().chain(numbers).flat_map(u64::to_le_bytes).collect();
        for (to, from) in file.iter_mut().skip(16).zip(header) {
            *to = from;
        }
        let sum = checksum(file.get(16..).unwrap_or_default());
        for (to, from) in file.iter_mut().zip(MAGIC.iter().copied().chain(sum.to_le_bytes())) {
            *to = from;
        }
        file
    }
}

impl Stored {
    /// Maps a file and checks that it is whole.
    pub fn open(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        // SAFETY: the file is read as plain numbers, for which any contents are valid; it is written under another name
        // and renamed into place, so it does not change under the map.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::io(path, error))?;
        let broken = |what: &str| Error::Invalid(format!("{place}: not a whole bytetok file: {what}; write it anew"));
        let number = |at: usize| {
            let bytes = map.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
            bytes.map(u64::from_le_bytes)
        };
        if map.get(..8) != Some(MAGIC) {
            let found = map.get(..8.min(map.len())).unwrap_or_default();
            return Err(broken(&format!("it begins with {:?}, expected BYTETOK3", String::from_utf8_lossy(found))));
        }
        if number(8) != Some(checksum(map.get(16..).unwrap_or_default())) {
            return Err(broken(&format!("the checksum of its {} bytes is wrong", map.len())));
        }
        if number(16) != Some(SECTIONS as u64) {
            return Err(broken("it has another number of sections; another version of bytetok wrote it"));
        }
        let mut bounds = [(0, 0); SECTIONS];
        for (index, bound) in bounds.iter_mut().enumerate() {
            let (start, end) = (number(24 + 16 * index), number(32 + 16 * index));
            let (Some(start), Some(end)) = (start, end) else { return Err(broken("its header is cut off")) };
            *bound = (start as usize, end as usize);
        }
        Ok(Stored { map: Arc::new(map), bounds, place })
    }

    fn section<T: Pod>(&self, index: usize) -> Result<Flat<T>> {
        let (start, end) = self.bounds.get(index).copied().unwrap_or_default();
        Flat::mapped(&self.map, start, end).ok_or_else(|| {
            Error::Invalid(format!("{}: section {index} is out of its bounds; write it anew", self.place))
        })
    }

    /// What the caller of [`Encoder::to_file`] put first.
    pub fn meta(&self) -> Result<Vec<u8>> {
        Ok(self.section::<u8>(0)?.to_vec())
    }

    /// What the caller put last, for when it is needed.
    pub fn more(&self) -> Result<Vec<u8>> {
        Ok(self.section::<u8>(11)?.to_vec())
    }

    /// The vocabulary.
    pub fn lexicon(&self) -> Result<Lexicon> {
        let lexicon = Lexicon {
            bytes: self.section(1)?,
            starts: self.section(2)?,
            derivations: self.section::<Derivation>(3)?,
            shorter: self.section(4)?,
            pairs: Pairs { slots: self.section(5)?, filter: self.section(6)? },
            trie: Trie { nodes: self.section(7)? },
            odd: self.section(8)?,
        };
        match lexicon.flaw() {
            None => Ok(lexicon),
            Some(flaw) => Err(Error::Invalid(format!("{}: {flaw}; write it anew", self.place))),
        }
    }

    /// The character scheme, if it is one.
    pub fn characters(&self, prefix: Prefix, prefix_always: bool) -> Result<Option<Characters>> {
        let byte_ids = self.section::<u32>(10)?;
        let cuts = Cuts { joined: self.section(9)? };
        let byte_ids = <[u32; 256]>::try_from(&*byte_ids).ok();
        Ok(byte_ids.map(|byte_ids| Characters { byte_ids, prefix, prefix_always, cuts }))
    }
}

impl Lexicon {
    /// What would make the encoder loop or leave its arrays. Whoever wrote such a file meant harm.
    fn flaw(&self) -> Option<&'static str> {
        let view = self.view();
        let tokens = view.len();
        if self.starts.is_empty() || self.derivations.len() != tokens || self.shorter.len() != tokens {
            return Some("its lists of tokens have different lengths");
        }
        let sizes = [self.pairs.slots.len(), self.pairs.filter.len()];
        if !sizes.iter().all(|size| size.is_power_of_two()) || self.pairs.is_full() {
            return Some("its table of pairs is full");
        }
        if self.starts.windows(2).any(|two| matches!(*two, [start, end] if end < start)) {
            return Some("its tokens overlap");
        }
        let moment = |id: u32| self.derivations.get(id as usize).map_or(NEVER, |made| made[2]);
        for (id, (&[left, right, made, _], &shorter)) in self.derivations.iter().zip(self.shorter.iter()).enumerate() {
            let length = view.length(id as u32);
            if made != NEVER && made > 0 && view.length(left).max(view.length(right)) >= length {
                return Some("a token is not longer than its parts");
            }
            if made != NEVER && made > 0 && moment(left).max(moment(right)) > made {
                return Some("a token is made before its parts");
            }
            if made != NEVER && length == 0 {
                return Some("a token is empty");
            }
            if shorter != NONE && (shorter as usize >= tokens || view.length(shorter) >= length) {
                return Some("a beginning is not shorter than its token");
            }
        }
        if self.trie.nodes.iter().any(|&node| Trie::value(node) != NONE && moment(Trie::value(node)) == NEVER) {
            return Some("its trie holds a token that is none");
        }
        None
    }
}
