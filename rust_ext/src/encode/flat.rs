//! Arrays of plain numbers that are owned, or lie in a file that is mapped into memory.

use std::ops::Deref;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

/// A slice of `T`, from a `Vec` or from a mapped file.
#[derive(Clone)]
pub enum Flat<T: Pod> {
    Owned(Vec<T>),
    Mapped(Mapped, std::marker::PhantomData<T>),
}

/// A stretch of a mapped file, whose bounds and alignment were checked when it was made.
#[derive(Clone)]
pub struct Mapped {
    map: Arc<Mmap>,
    start: usize,
    end: usize,
}

impl<T: Pod> Flat<T> {
    /// The bytes `start..end` of `map` as numbers, or `None` if they are not a whole, aligned array inside it.
    pub fn mapped(map: &Arc<Mmap>, start: usize, end: usize) -> Option<Self> {
        let bytes = map.get(start..end)?;
        bytemuck::try_cast_slice::<u8, T>(bytes).ok()?;
        Some(Flat::Mapped(Mapped { map: Arc::clone(map), start, end }, std::marker::PhantomData))
    }
}

impl<T: Pod> From<Vec<T>> for Flat<T> {
    fn from(list: Vec<T>) -> Self {
        Flat::Owned(list)
    }
}

impl<T: Pod> Deref for Flat<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        match self {
            Flat::Owned(list) => list,
            Flat::Mapped(place, _) => place
                .map
                .get(place.start..place.end)
                .and_then(|bytes| bytemuck::try_cast_slice(bytes).ok())
                .unwrap_or(&[]),
        }
    }
}
