//! AVX-512 and AVX2.

use std::arch::x86_64::*;

use super::super::batch::Batch;
use super::super::{Rules, drive};
use super::{Ascii, Level, Planes};
use crate::Result;
use crate::split::classes::{CASELESS, LOWER, MARK, NUMBER, PUNCTUATION, SPACE, UPPER};

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

/// AVX2 (Haswell, Zen, and later).
pub struct Avx2;

/// The functions of a level, which are compiled for its instructions and inlined where it runs.
macro_rules! level {
    ($level:ty, $of:ident) => {
        impl Level for $level {
            #[inline(always)]
            fn ascii(block: &[u8; 64]) -> Ascii {
                // SAFETY: a level is only named within the function that `run` calls after it has asked the
                // processor for these instructions.
                unsafe { $of::ascii(block) }
            }

            #[inline(always)]
            fn inner(block: &[u8; 64]) -> u64 {
                // SAFETY: as above.
                unsafe { $of::inner(block) }
            }

            #[inline(always)]
            fn planes(classes: &[u8; 64]) -> Planes {
                // SAFETY: as above.
                unsafe { $of::planes(classes) }
            }

            #[inline(always)]
            fn positions(mask: u64, offset: u32, out: &mut [u32; 64]) {
                // SAFETY: as above.
                unsafe { $of::positions(mask, offset, out) }
            }
        }
    };
}
level!(Avx512, avx512);
level!(Avx2, avx2);

mod avx512 {
    use super::*;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn load(block: &[u8; 64]) -> __m512i {
        // SAFETY: reads the 64 bytes of `block`, and needs no alignment.
        unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn is(bytes: __m512i, byte: u8) -> u64 {
        _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte as i8))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn within(bytes: __m512i, first: u8, count: u8) -> u64 {
        let from_first = _mm512_sub_epi8(bytes, _mm512_set1_epi8(first as i8));
        _mm512_cmplt_epu8_mask(from_first, _mm512_set1_epi8(count as i8))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn ascii(block: &[u8; 64]) -> Ascii {
        let bytes = load(block);
        let space = is(bytes, b' ');
        Ascii {
            upper: within(bytes, b'A', 26),
            lower: within(bytes, b'a', 26),
            number: within(bytes, b'0', 10),
            white: within(bytes, b'\t', 5) | space,
            newline: is(bytes, b'\n') | is(bytes, b'\r'),
            space,
            apostrophe: is(bytes, b'\''),
            slash: is(bytes, b'/'),
            control: within(bytes, 0, 0x20) | is(bytes, 0x7F),
            high: _mm512_movepi8_mask(bytes),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn inner(block: &[u8; 64]) -> u64 {
        _mm512_cmplt_epi8_mask(load(block), _mm512_set1_epi8(-64))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn plane(classes: __m512i, class: u8) -> u64 {
        _mm512_test_epi8_mask(classes, _mm512_set1_epi8(class as i8))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn planes(classes: &[u8; 64]) -> Planes {
        let classes = load(classes);
        Planes {
            upper: plane(classes, UPPER),
            lower: plane(classes, LOWER),
            caseless: plane(classes, CASELESS),
            mark: plane(classes, MARK),
            number: plane(classes, NUMBER),
            punctuation: plane(classes, PUNCTUATION),
            white: plane(classes, SPACE),
        }
    }

    /// Sixteen positions.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn store(out: &mut [u32; 16], positions: __m128i, offset: __m512i) {
        let sums = _mm512_add_epi32(_mm512_cvtepu8_epi32(positions), offset);
        // SAFETY: writes the 64 bytes of `out`, and needs no alignment.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sums) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
    pub fn positions(mask: u64, offset: u32, out: &mut [u32; 64]) {
        // The numbers 0 to 63 as bytes, eight in each word.
        const A: i64 = 0x0706_0504_0302_0100;
        const STEP: i64 = 0x0808_0808_0808_0808;
        const E: i64 = A + 4 * STEP;
        let [a, b, c, d] = [A, A + STEP, A + 2 * STEP, A + 3 * STEP];
        let [e, f, g, h] = [E, E + STEP, E + 2 * STEP, E + 3 * STEP];
        let packed = _mm512_maskz_compress_epi8(mask, _mm512_set_epi64(h, g, f, e, d, c, b, a));
        let offset = _mm512_set1_epi32(offset as i32);
        let (chunks, _) = out.as_chunks_mut();
        let [first, second, third, fourth] = chunks else { return };
        store(first, _mm512_castsi512_si128(packed), offset);
        store(second, _mm512_extracti32x4_epi32::<1>(packed), offset);
        if mask.count_ones() > 32 {
            store(third, _mm512_extracti32x4_epi32::<2>(packed), offset);
            store(fourth, _mm512_extracti32x4_epi32::<3>(packed), offset);
        }
    }
}

mod avx2 {
    use super::*;

    /// 64 bytes.
    type Bytes = (__m256i, __m256i);

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(block: &[u8; 64]) -> Bytes {
        let start = block.as_ptr().cast::<__m256i>();
        // SAFETY: reads the 64 bytes of `block`, and needs no alignment.
        unsafe { (_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))) }
    }

    /// The top bit of every byte.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn tops((low, high): Bytes) -> u64 {
        u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn is((low, high): Bytes, byte: u8) -> u64 {
        let byte = _mm256_set1_epi8(byte as i8);
        tops((_mm256_cmpeq_epi8(low, byte), _mm256_cmpeq_epi8(high, byte)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn within((low, high): Bytes, first: u8, count: u8) -> u64 {
        // The range is moved to the bottom of the signed numbers, the only ones that AVX2 compares.
        let shift = _mm256_set1_epi8(0x80u8.wrapping_sub(first) as i8);
        let end = _mm256_set1_epi8(0x80u8.wrapping_add(count) as i8);
        let (low, high) = (_mm256_add_epi8(low, shift), _mm256_add_epi8(high, shift));
        tops((_mm256_cmpgt_epi8(end, low), _mm256_cmpgt_epi8(end, high)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn ascii(block: &[u8; 64]) -> Ascii {
        let bytes = load(block);
        let space = is(bytes, b' ');
        Ascii {
            upper: within(bytes, b'A', 26),
            lower: within(bytes, b'a', 26),
            number: within(bytes, b'0', 10),
            white: within(bytes, b'\t', 5) | space,
            newline: is(bytes, b'\n') | is(bytes, b'\r'),
            space,
            apostrophe: is(bytes, b'\''),
            slash: is(bytes, b'/'),
            control: within(bytes, 0, 0x20) | is(bytes, 0x7F),
            high: tops(bytes),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn inner(block: &[u8; 64]) -> u64 {
        let (low, high) = load(block);
        let end = _mm256_set1_epi8(-64);
        tops((_mm256_cmpgt_epi8(end, low), _mm256_cmpgt_epi8(end, high)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn plane((low, high): Bytes, class: u8) -> u64 {
        let class = _mm256_set1_epi8(class as i8);
        let (low, high) = (_mm256_and_si256(low, class), _mm256_and_si256(high, class));
        tops((_mm256_cmpeq_epi8(low, class), _mm256_cmpeq_epi8(high, class)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn planes(classes: &[u8; 64]) -> Planes {
        let classes = load(classes);
        Planes {
            upper: plane(classes, UPPER),
            lower: plane(classes, LOWER),
            caseless: plane(classes, CASELESS),
            mark: plane(classes, MARK),
            number: plane(classes, NUMBER),
            punctuation: plane(classes, PUNCTUATION),
            white: plane(classes, SPACE),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,popcnt")]
    pub fn positions(mask: u64, offset: u32, out: &mut [u32; 64]) {
        // Eight at a time without a branch: past the last bit is garbage that the next block overwrites.
        let count = mask.count_ones() as usize;
        let mut rest = mask;
        let (chunks, _) = out.as_chunks_mut::<8>();
        for slots in chunks.iter_mut().take(count.div_ceil(8)) {
            for slot in slots {
                *slot = offset.wrapping_add(rest.trailing_zeros());
                rest &= rest.wrapping_sub(1);
            }
        }
    }
}
