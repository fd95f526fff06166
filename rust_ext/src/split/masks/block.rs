//! The classes of 64 bytes of text, one bit a byte, and the few operations on such masks that the rules are made of.

/// What 64 bytes are. Bit `i` is byte `i`; every byte of a character has the class of the character.
#[derive(Clone, Copy, Default)]
pub struct Block {
    /// `[\p{Lu}\p{Lt}]`.
    pub upper: u64,
    /// `\p{Ll}`.
    pub lower: u64,
    /// `\p{L}`.
    pub letter: u64,
    /// `\p{M}`.
    pub mark: u64,
    /// `\p{N}`.
    pub number: u64,
    /// `\s`.
    pub white: u64,
    /// `[^\s\p{L}\p{N}]`.
    pub other: u64,
    /// `[\p{P}\p{S}]`.
    pub punctuation: u64,
    /// The second stage of DeepSeek-V3; only its own rules ask for it, and have its marks among the letters.
    pub han: u64,
    /// `[\r\n]`.
    pub newline: u64,
    /// The space, U+0020.
    pub space: u64,
    /// `'`.
    pub apostrophe: u64,
    /// `/`.
    pub slash: u64,
    /// Bytes of characters outside ASCII.
    pub high: u64,
    /// Bytes within a character: all but the first.
    pub inner: u64,
}

impl Block {
    /// The block without the bytes before `first`, as if the text started there.
    pub fn starting_at(self, first: usize) -> Self {
        let keep = u64::MAX.checked_shl(first as u32).unwrap_or(0);
        Block {
            upper: self.upper & keep,
            lower: self.lower & keep,
            letter: self.letter & keep,
            mark: self.mark & keep,
            number: self.number & keep,
            white: self.white & keep,
            other: self.other & keep,
            punctuation: self.punctuation & keep,
            han: self.han & keep,
            newline: self.newline & keep,
            space: self.space & keep,
            apostrophe: self.apostrophe & keep,
            slash: self.slash & keep,
            high: self.high & keep,
            inner: self.inner & keep,
        }
    }
}

/// The bytes after those of `mask`; `before` is the same mask of the block before.
#[inline(always)]
pub fn after(mask: u64, before: u64) -> u64 {
    mask << 1 | before >> 63
}

/// The bytes that have one of `mask` `BY` bytes ahead; `next` is the same mask of the block after.
#[inline(always)]
pub fn ahead<const BY: u32>(mask: u64, next: u64) -> u64 {
    mask >> BY | next << (64 - BY)
}

/// What a marker reaches by stepping over bytes of `set`, itself and the first byte outside included. The carries of the
/// addition walk through each run at once.
#[inline(always)]
pub fn reach(markers: u64, set: u64) -> u64 {
    ((markers & set).wrapping_add(set) ^ set) | markers
}

/// The positions of the bits, lowest first.
#[inline(always)]
pub fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let bit = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            bit
        })
    })
}

/// The bit of `byte`, where a block may end before it: none then.
#[inline(always)]
pub fn bit(byte: usize) -> u64 {
    1u64.checked_shl(byte as u32).unwrap_or(0)
}

/// The bits below that of `byte`.
#[inline(always)]
pub fn below(byte: usize) -> u64 {
    bit(byte).wrapping_sub(1)
}
