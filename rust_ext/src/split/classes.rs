//! Unicode classes of characters, as bit sets, from the tables of the `regex-syntax` crate (Unicode 16.0).
//!
//! The hand-written scanners and the regex engine read the same tables, so they cannot disagree about a character.

use std::sync::LazyLock;

use regex_syntax::hir::{Class as HirClass, HirKind};

/// A set of classes; `0` is the end of the text.
pub type Class = u8;

/// `\p{Lu}` and `\p{Lt}`.
pub const UPPER: Class = 1;
/// `\p{Ll}`.
pub const LOWER: Class = 2;
/// `\p{Lm}` and `\p{Lo}`.
pub const CASELESS: Class = 4;
/// `\p{M}`.
pub const MARK: Class = 8;
/// `\p{N}`.
pub const NUMBER: Class = 16;
/// `\p{P}` and `\p{S}`.
pub const PUNCTUATION: Class = 32;
/// `\s`.
pub const SPACE: Class = 64;
/// `[^\s\p{L}\p{N}]`: marks, punctuation, symbols, controls, unassigned.
pub const OTHER: Class = 128;
/// `\p{L}`.
pub const LETTER: Class = UPPER | LOWER | CASELESS;

const BLOCK: usize = 256;
const BASIC: usize = 0x1_0000;
const PLANES_END: usize = 0x11_0000;

/// What [`HAN_TABLES`] says of the characters of DeepSeek-V3's second stage, which no other character is: they are words
/// if nothing else is set, else `PUNCTUATION`, or what matches nothing, which is `NUMBER` here.
pub const HAN: Class = UPPER | LOWER;
/// Those characters, `[一-龥぀-ゟ゠-ヿ]`.
pub const HAN_RANGES: [std::ops::RangeInclusive<u32>; 2] = [0x4E00..=0x9FA5, 0x3040..=0x30FF];

/// Classes by code point: a flat table for the basic plane, of which a text touches a few cache lines, and beyond it two
/// levels, where equal blocks of 256 code points are stored once.
#[derive(Clone)]
pub struct Tables {
    ascii: [Class; 256],
    basic: Vec<Class>,
    block_of: Vec<u16>,
    blocks: Vec<Class>,
}

/// The tables, built once a process in about a millisecond.
pub static TABLES: LazyLock<Tables> = LazyLock::new(Tables::build);

/// The same, with the characters of DeepSeek-V3's second stage apart.
pub static HAN_TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = TABLES.clone();
    for range in HAN_RANGES {
        for class in tables.basic.iter_mut().take(*range.end() as usize + 1).skip(*range.start() as usize) {
            *class = match *class {
                class if class & (LETTER | MARK) != 0 => HAN,
                class if class & PUNCTUATION != 0 => HAN | PUNCTUATION,
                _ => HAN | NUMBER,
            };
        }
    }
    tables
});

impl Tables {
    fn build() -> Self {
        let mut flat = vec![0 as Class; PLANES_END];
        let sets: [(&str, Class); 8] = [
            (r"[\p{Lu}\p{Lt}]", UPPER),
            (r"\p{Ll}", LOWER),
            (r"[\p{Lm}\p{Lo}]", CASELESS),
            (r"\p{M}", MARK),
            (r"\p{N}", NUMBER),
            (r"[\p{P}\p{S}]", PUNCTUATION),
            (r"\s", SPACE),
            (r"[^\s\p{L}\p{N}]", OTHER),
        ];
        for (pattern, class) in sets {
            for (start, end) in ranges(pattern) {
                for entry in flat.iter_mut().take(end as usize + 1).skip(start as usize) {
                    *entry |= class;
                }
            }
        }
        let mut ascii = [0; 256];
        for (slot, class) in ascii.iter_mut().zip(flat.iter().take(128)) {
            *slot = *class;
        }
        let mut block_of = Vec::with_capacity(PLANES_END / BLOCK);
        let mut blocks: Vec<Class> = Vec::new();
        for block in flat.chunks(BLOCK) {
            let known = blocks.chunks(BLOCK).position(|seen| seen == block);
            let index = known.unwrap_or_else(|| {
                blocks.extend_from_slice(block);
                blocks.len() / BLOCK - 1
            });
            block_of.push(index as u16);
        }
        flat.truncate(BASIC);
        Tables { ascii, basic: flat, block_of, blocks }
    }

    /// The class of an ASCII byte.
    #[inline(always)]
    pub fn ascii(&self, byte: u8) -> Class {
        self.ascii.get(usize::from(byte)).copied().unwrap_or(0)
    }

    /// The class of a code point below U+10000.
    #[inline(always)]
    pub fn basic_class(&self, code_point: u32) -> Class {
        self.basic.get(code_point as usize).copied().unwrap_or(0)
    }

    /// The class of a code point.
    #[inline(always)]
    pub fn of(&self, code_point: u32) -> Class {
        if let Some(&class) = self.basic.get(code_point as usize) {
            return class;
        }
        let block = self.block_of.get(code_point as usize / BLOCK).copied().unwrap_or(0);
        self.blocks.get(usize::from(block) * BLOCK + code_point as usize % BLOCK).copied().unwrap_or(OTHER)
    }
}

/// The code point ranges of a one-character regex.
fn ranges(pattern: &str) -> Vec<(u32, u32)> {
    match regex_syntax::parse(pattern).map(|hir| hir.into_kind()) {
        Ok(HirKind::Class(HirClass::Unicode(class))) => {
            class.iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect()
        }
        // The patterns above are constants and parse; a test compares every code point with the regex engine.
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_point_has_the_class_the_regex_engine_gives_it() {
        let sets = [
            (r"\p{L}", LETTER),
            (r"[\p{Lu}\p{Lt}]", UPPER),
            (r"\p{M}", MARK),
            (r"\p{N}", NUMBER),
            (r"[\p{P}\p{S}]", PUNCTUATION),
            (r"\s", SPACE),
            (r"[^\s\p{L}\p{N}]", OTHER),
        ];
        for (pattern, class) in sets {
            let regex = fancy_regex::Regex::new(&format!("^{pattern}$")).unwrap();
            for c in (0..=0x10_FFFFu32).filter_map(char::from_u32) {
                let mut buffer = [0; 4];
                let matched = regex.is_match(c.encode_utf8(&mut buffer)).unwrap();
                assert_eq!(TABLES.of(u32::from(c)) & class != 0, matched, "{pattern} on U+{:04X}", u32::from(c));
            }
        }
    }

    #[test]
    fn the_unicode_version_is_16() {
        // U+10D4A became a letter in Unicode 16, U+323B0 in Unicode 17.
        assert_ne!(TABLES.of(0x10D4A) & LETTER, 0);
        assert_eq!(TABLES.of(0x323B0) & LETTER, 0);
    }
}
