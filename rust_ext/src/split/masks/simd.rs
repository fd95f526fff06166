//! The vector instructions, and all there is of `unsafe` in this crate's splitting.

use super::batch::Batch;
use super::{Rules, drive};
use crate::Result;
use crate::split::classes::{CASELESS, LOWER, MARK, NUMBER, PUNCTUATION, SPACE, UPPER};

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

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    pub fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2")
            && has_avx2()
    }

    pub fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub fn drive_avx512<R: Rules>(text: &str, batch: &mut Batch<'_>) -> Result<()> {
        drive::<Avx512, R>(text, batch)
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub fn drive_avx2<R: Rules>(text: &str, batch: &mut Batch<'_>) -> Result<()> {
        drive::<Avx2, R>(text, batch)
    }

    /// AVX-512 with byte instructions (Ice Lake, Zen 4, and later).
    pub struct Avx512;

    impl Level for Avx512 {
        #[inline(always)]
        fn ascii(block: &[u8; 64]) -> Ascii {
            // SAFETY: only reached through `drive_avx512`, so the instructions exist; the load reads the 64 bytes of
            // `block`, and needs no alignment.
            unsafe {
                let bytes = _mm512_loadu_si512(block.as_ptr().cast());
                let is = |byte: u8| _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte as i8));
                let within = |first: u8, count: u8| {
                    let from_first = _mm512_sub_epi8(bytes, _mm512_set1_epi8(first as i8));
                    _mm512_cmplt_epu8_mask(from_first, _mm512_set1_epi8(count as i8))
                };
                let space = is(b' ');
                Ascii {
                    upper: within(b'A', 26),
                    lower: within(b'a', 26),
                    number: within(b'0', 10),
                    white: within(b'\t', 5) | space,
                    newline: is(b'\n') | is(b'\r'),
                    space,
                    apostrophe: is(b'\''),
                    slash: is(b'/'),
                    control: within(0, 0x20) | is(0x7F),
                    high: _mm512_movepi8_mask(bytes),
                }
            }
        }

        #[inline(always)]
        fn inner(block: &[u8; 64]) -> u64 {
            // SAFETY: as above.
            unsafe {
                let bytes = _mm512_loadu_si512(block.as_ptr().cast());
                _mm512_cmplt_epi8_mask(bytes, _mm512_set1_epi8(-64))
            }
        }

        #[inline(always)]
        fn planes(classes: &[u8; 64]) -> Planes {
            // SAFETY: as above.
            unsafe {
                let classes = _mm512_loadu_si512(classes.as_ptr().cast());
                let plane = |class: u8| _mm512_test_epi8_mask(classes, _mm512_set1_epi8(class as i8));
                Planes {
                    upper: plane(UPPER),
                    lower: plane(LOWER),
                    caseless: plane(CASELESS),
                    mark: plane(MARK),
                    number: plane(NUMBER),
                    punctuation: plane(PUNCTUATION),
                    white: plane(SPACE),
                }
            }
        }

        #[inline(always)]
        fn positions(mask: u64, offset: u32, out: &mut [u32; 64]) {
            // The numbers 0 to 63 as bytes, eight in each word.
            const FIRST: i64 = 0x0706_0504_0302_0100;
            const STEP: i64 = 0x0808_0808_0808_0808;
            const WORDS: [i64; 4] = [FIRST, FIRST + STEP, FIRST + 2 * STEP, FIRST + 3 * STEP];
            const MORE: i64 = 4 * STEP;
            // SAFETY: the instructions exist as above; the stores write 16 numbers each at 0, 16, 32 and 48 of 64.
            unsafe {
                let [a, b, c, d] = WORDS;
                let all = _mm512_set_epi64(d + MORE, c + MORE, b + MORE, a + MORE, d, c, b, a);
                let packed = _mm512_maskz_compress_epi8(mask, all);
                let offset = _mm512_set1_epi32(offset as i32);
                let out = out.as_mut_ptr();
                let store = |at: usize, positions: __m128i| {
                    let sums = _mm512_add_epi32(_mm512_cvtepu8_epi32(positions), offset);
                    _mm512_storeu_si512(out.add(at).cast(), sums);
                };
                store(0, _mm512_castsi512_si128(packed));
                store(16, _mm512_extracti32x4_epi32::<1>(packed));
                if mask.count_ones() > 32 {
                    store(32, _mm512_extracti32x4_epi32::<2>(packed));
                    store(48, _mm512_extracti32x4_epi32::<3>(packed));
                }
            }
        }
    }

    /// AVX2 (Haswell, Zen, and later).
    pub struct Avx2;

    /// The 64 bytes as two vectors.
    #[inline(always)]
    fn halves(block: &[u8; 64]) -> [__m256i; 2] {
        // SAFETY: only reached through `drive_avx2`, so the instructions exist; the loads read the 64 bytes of `block`.
        unsafe {
            let start = block.as_ptr().cast::<__m256i>();
            [_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))]
        }
    }

    /// The top bit of every byte.
    #[inline(always)]
    fn tops([low, high]: [__m256i; 2]) -> u64 {
        // SAFETY: as above.
        unsafe { u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32 }
    }

    impl Level for Avx2 {
        #[inline(always)]
        fn ascii(block: &[u8; 64]) -> Ascii {
            let bytes = halves(block);
            // SAFETY: as above.
            let is =
                |byte: u8| unsafe { tops(bytes.map(|half| _mm256_cmpeq_epi8(half, _mm256_set1_epi8(byte as i8)))) };
            // The range is moved to the bottom of the signed numbers, the only ones that AVX2 compares.
            let within = |first: u8, count: u8| {
                let shift = 0x80u8.wrapping_sub(first);
                let end = 0x80u8.wrapping_add(count);
                // SAFETY: as above.
                tops(bytes.map(|half| unsafe {
                    let shifted = _mm256_add_epi8(half, _mm256_set1_epi8(shift as i8));
                    _mm256_cmpgt_epi8(_mm256_set1_epi8(end as i8), shifted)
                }))
            };
            let space = is(b' ');
            Ascii {
                upper: within(b'A', 26),
                lower: within(b'a', 26),
                number: within(b'0', 10),
                white: within(b'\t', 5) | space,
                newline: is(b'\n') | is(b'\r'),
                space,
                apostrophe: is(b'\''),
                slash: is(b'/'),
                control: within(0, 0x20) | is(0x7F),
                high: tops(bytes),
            }
        }

        #[inline(always)]
        fn inner(block: &[u8; 64]) -> u64 {
            // SAFETY: as above.
            tops(halves(block).map(|half| unsafe { _mm256_cmpgt_epi8(_mm256_set1_epi8(-64), half) }))
        }

        #[inline(always)]
        fn planes(classes: &[u8; 64]) -> Planes {
            let classes = halves(classes);
            let plane = |class: u8| {
                // SAFETY: as above.
                tops(classes.map(|half| unsafe {
                    let class = _mm256_set1_epi8(class as i8);
                    _mm256_cmpeq_epi8(_mm256_and_si256(half, class), class)
                }))
            };
            Planes {
                upper: plane(UPPER),
                lower: plane(LOWER),
                caseless: plane(CASELESS),
                mark: plane(MARK),
                number: plane(NUMBER),
                punctuation: plane(PUNCTUATION),
                white: plane(SPACE),
            }
        }

        #[inline(always)]
        fn positions(mask: u64, offset: u32, out: &mut [u32; 64]) {
            // Eight at a time without a branch: past the last bit the writes are garbage that the next block overwrites.
            let count = mask.count_ones() as usize;
            let mut rest = mask;
            for slots in out.chunks_exact_mut(8).take(count.div_ceil(8)) {
                for slot in slots {
                    *slot = offset.wrapping_add(rest.trailing_zeros());
                    rest &= rest.wrapping_sub(1);
                }
            }
        }
    }
}
