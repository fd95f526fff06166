//! The vector instructions; here and in `x86` is all the `unsafe` there is in splitting.

#[cfg(target_arch = "x86_64")]
mod x86;

use super::Rules;
use super::batch::Batch;
use crate::Result;

/// What one look at 64 bytes gives, one bit a byte; all but `high` are about ASCII only.
pub struct Ascii {
    pub upper: u64,
    pub lower: u64,
    pub number: u64,
    pub white: u64,
    pub newline: u64,
    pub space: u64,
    pub apostrophe: u64,
    pub slash: u64,
    pub control: u64,
    pub high: u64,
}

/// The bits of 64 class bytes, turned into one mask a class.
pub struct Planes {
    pub upper: u64,
    pub lower: u64,
    pub caseless: u64,
    pub mark: u64,
    pub number: u64,
    pub punctuation: u64,
    pub white: u64,
}

/// One set of vector instructions. Its functions may only be called where the processor has them, which is within
/// [`run`]; a type of this module is the only way to name one.
pub trait Level {
    fn ascii(block: &[u8; 64]) -> Ascii;
    /// The bytes within a character of UTF-8: all but the first.
    fn inner(block: &[u8; 64]) -> u64;
    fn planes(classes: &[u8; 64]) -> Planes;
    /// Writes the positions of the bits plus `offset`, in order; what is behind the last is undefined.
    fn positions(mask: u64, offset: u32, out: &mut [u32; 64]);
}

/// The levels that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Available {
    Avx512,
    Avx2,
}

/// The best level of this processor.
#[inline]
pub fn best() -> Option<Available> {
    #[cfg(target_arch = "x86_64")]
    {
        if x86::has_avx512() {
            return Some(Available::Avx512);
        }
        if x86::has_avx2() {
            return Some(Available::Avx2);
        }
    }
    None
}

/// Splits `text` at a level; `false`, and nothing done, where the processor does not have it.
pub fn run<R: Rules>(level: Available, text: &str, batch: &mut Batch<'_>) -> Result<bool> {
    #[cfg(target_arch = "x86_64")]
    match level {
        Available::Avx512 if x86::has_avx512() => {
            // SAFETY: the processor has every feature that the function is compiled for; the line above asked it.
            return unsafe { x86::drive_avx512::<R>(text, batch) }.map(|()| true);
        }
        Available::Avx2 if x86::has_avx2() => {
            // SAFETY: as above.
            return unsafe { x86::drive_avx2::<R>(text, batch) }.map(|()| true);
        }
        _ => {}
    }
    let _ = (level, text, batch);
    Ok(false)
}
