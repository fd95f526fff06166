//! Counts pretokens in 64 bits, in bounded memory, on any number of threads.
//!
//! A [`Counter`] takes documents - whole, in chunks, or as files - and gives [`Counts`]: a multiset of pretokens. Counts add
//! exactly, and in sorted order they are the same whatever the order of documents, the number of threads or the memory.

mod merge;
mod spill;
mod stream;
mod table;

pub use merge::SortedCounts;
pub use stream::{Counter, Options};
pub use table::Counts;
