//! Sorted runs of counts on disk, for when memory is short.
//!
//! A run is a sequence of records: shared prefix length, suffix length, suffix, count, each number a LEB128. Runs are
//! private to a process and deleted with it.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::table::{Counts, Sorted};
use crate::{Error, Result};

/// A run file that is deleted when it is no longer needed.
pub(super) struct Run {
    path: PathBuf,
}

impl Drop for Run {
    fn drop(&mut self) {
        // Nothing can be done about a temporary file that will not go away.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Run {
    /// Sorts `counts` and writes them to `path`.
    pub(super) fn write(counts: Counts, path: PathBuf) -> Result<Self> {
        let file = File::create_new(&path).map_err(|source| Error::io(&path, source))?;
        let run = Run { path };
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let mut sorted = counts.into_sorted();
        let (mut previous, mut record) = (Vec::new(), Vec::new());
        while let Some((pretoken, count)) = sorted.next() {
            let shared = previous.iter().zip(pretoken).take_while(|(a, b)| a == b).count();
            let suffix = pretoken.get(shared..).unwrap_or_default();
            record.clear();
            for number in [shared as u64, suffix.len() as u64] {
                push_leb128(&mut record, number);
            }
            record.extend_from_slice(suffix);
            push_leb128(&mut record, count);
            out.write_all(&record).map_err(|source| Error::io(&run.path, source))?;
            previous.truncate(shared);
            previous.extend_from_slice(suffix);
        }
        out.flush().map_err(|source| Error::io(&run.path, source))?;
        Ok(run)
    }

    pub(super) fn reader(self) -> Result<Reader> {
        let file = File::open(&self.path).map_err(|source| Error::io(&self.path, source))?;
        Ok(Reader { input: BufReader::with_capacity(1 << 18, file), pretoken: Vec::new(), run: self })
    }
}

fn push_leb128(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a run from its start.
pub(super) struct Reader {
    input: BufReader<File>,
    pretoken: Vec<u8>,
    run: Run,
}

impl Reader {
    fn path(&self) -> &Path {
        &self.run.path
    }

    /// A number, or `None` at the end of the file.
    fn number(&mut self) -> Result<Option<u64>> {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let mut byte = [0u8];
            match self.input.read_exact(&mut byte) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && shift == 0 => return Ok(None),
                Err(source) => return Err(Error::io(self.path(), source)),
            }
            let [byte] = byte;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(Some(number));
            }
            shift += 7;
        }
    }

    fn next(&mut self) -> Result<Option<(&[u8], u64)>> {
        let Some(shared) = self.number()? else { return Ok(None) };
        let length = self.number()?.unwrap_or(0) as usize;
        let start = shared as usize;
        self.pretoken.resize(start + length, 0);
        let suffix = self.pretoken.get_mut(start..).unwrap_or_default();
        self.input.read_exact(suffix).map_err(|source| Error::io(&self.run.path, source))?;
        let count = self.number()?.unwrap_or(0);
        Ok(Some((&self.pretoken, count)))
    }
}

/// A sorted source of counts: a table in memory or a run on disk.
pub(super) enum Source {
    Memory(Box<Sorted>),
    Disk(Box<Reader>),
}

impl Source {
    /// Replaces `pretoken` by the next one and returns its count; `None` at the end.
    pub(super) fn next_into(&mut self, pretoken: &mut Vec<u8>) -> Result<Option<u64>> {
        let next = match self {
            Source::Memory(sorted) => sorted.next(),
            Source::Disk(reader) => reader.next()?,
        };
        Ok(next.map(|(bytes, count)| {
            pretoken.clear();
            pretoken.extend_from_slice(bytes);
            count
        }))
    }
}
