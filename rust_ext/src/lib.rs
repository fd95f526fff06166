//! The compiled engine of bytetok.
//!
//! | module     | what it does                                                                      |
//! |------------|-----------------------------------------------------------------------------------|
//! | [`split`]  | cuts text into pretokens, as a split pattern says                                 |
//! | [`count`]  | counts pretokens in 64 bits, in bounded memory                                    |
//! | [`train`]  | learns BPE merges from counts                                                     |
//! | [`encode`] | turns text into token ids, exactly as the merges say                              |
//! | [`cover`]  | which token sequences a text, cut anywhere, may be the beginning of               |
//! | `py`       | the Python binding, and the only file that names pyo3                             |
//!
//! The algorithms know nothing of Python: `cargo test` needs no interpreter. Every function that can meet bad input
//! returns [`Result`]; nothing here panics on purpose, and clippy denies what would.

pub mod count;
pub mod cover;
pub mod encode;
pub mod split;
pub mod train;

#[cfg(feature = "python")]
mod py;

/// Everything that can go wrong in the engine. The binding turns each kind into one Python exception.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A regex that does not compile.
    #[error("split pattern {pattern:?} does not compile: {reason}")]
    Pattern { pattern: String, reason: String },
    /// A regex that can match nothing, which would cut text between any two characters.
    #[error("split pattern {pattern:?} matches the empty string at byte {offset}; every match must hold a character")]
    EmptyMatch { pattern: String, offset: usize },
    /// A regex that gave up: its backtracking exceeds the limit on this text.
    #[error("split pattern {pattern:?} needs too much backtracking at byte {offset}: {reason}")]
    Backtracking { pattern: String, offset: usize, reason: String },
    /// Text that is not UTF-8 where UTF-8 was promised.
    #[error("{place} is not valid UTF-8 at byte {offset}")]
    Utf8 { place: String, offset: u64 },
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    /// A count passed 2^64.
    #[error("{what} passes 2^64")]
    CountOverflow { what: String },
    /// More than the engine's 32-bit positions can address.
    #[error("{what}: {size} is more than the engine's limit of {limit}")]
    TooLarge { what: &'static str, size: u64, limit: u64 },
    /// Text that looks like a special token where none is allowed.
    #[error(
        "the text holds the special token {token:?} at byte {offset}; pass special=\"allow\" to encode it as that token, or special=\"text\" to encode it as ordinary text"
    )]
    SpecialInText { token: String, offset: u64 },
    /// Parameters or vocabularies that contradict themselves.
    #[error("{0}")]
    Invalid(String),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// A result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A count that passes 2^64, of one pretoken.
    pub(crate) fn overflow(pretoken: &[u8]) -> Self {
        let shown = String::from_utf8_lossy(pretoken.get(..80).unwrap_or(pretoken)).into_owned();
        Error::CountOverflow { what: format!("the count of pretoken {shown:?}") }
    }

    /// An input or output error that names its file.
    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Error::Io { path: path.display().to_string(), source }
    }
}

/// Asks the processor to bring the cache line of `slice[index]` nearer; out of bounds it does nothing.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T], index: usize) {
    if let Some(item) = slice.get(index) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch of a valid reference has no effect but on the cache.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast::<i8>());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = item;
    }
}
