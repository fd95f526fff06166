//! The Python binding: argument checks, the GIL, and one exception for each error. No algorithms. The only folder that
//! names pyo3.

mod cover;
mod encoder;
mod ints;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyKeyboardInterrupt, PyUnicodeEncodeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use crate::count::{self, SortedCounts};
use crate::encode::{self, Atoms, Lexicon, Order};
use crate::split::{self, NAMED, UNICODE_VERSION};
use crate::train::{self, Params, Unit, Words};
use crate::{Error, Result};

mod raised {
    pyo3::import_exception!(bytetok.errors, BytetokError);
    pyo3::import_exception!(bytetok.errors, CorpusError);
    pyo3::import_exception!(bytetok.errors, EncodingError);
    pyo3::import_exception!(bytetok.errors, FormatError);
    pyo3::import_exception!(bytetok.errors, InvalidPatternError);
    pyo3::import_exception!(bytetok.errors, SpecialTokenError);
    pyo3::import_exception!(bytetok.errors, TrainingError);
    pyo3::import_exception!(bytetok.errors, UnknownTokenError);
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Pattern { .. } | Error::EmptyMatch { .. } | Error::Backtracking { .. } => {
                raised::InvalidPatternError::new_err(message)
            }
            Error::Utf8 { .. } => raised::EncodingError::new_err(format!(
                "{message}; read it with errors=\"replace\", or with errors=\"bytes\" to keep the bytes"
            )),
            Error::Io { .. } => raised::CorpusError::new_err(message),
            Error::CountOverflow { .. } | Error::TooLarge { .. } => raised::TrainingError::new_err(message),
            Error::SpecialInText { .. } => raised::SpecialTokenError::new_err(message),
            Error::Invalid(_) => raised::FormatError::new_err(message),
            Error::Interrupted => PyKeyboardInterrupt::new_err(()),
        }
    }
}

/// The UTF-8 of a str or the bytes of a bytes object, without a copy.
fn text_of<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(bytes.as_bytes());
    }
    let string = object.cast::<PyString>().map_err(|_| {
        let kind = object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        pyo3::exceptions::PyTypeError::new_err(format!("expected str or bytes, got {kind}"))
    })?;
    string.to_str().map(str::as_bytes).map_err(|error| {
        let py = object.py();
        if !error.is_instance_of::<PyUnicodeEncodeError>(py) {
            return error;
        }
        let place = error.value(py).getattr("start").and_then(|start| start.extract::<usize>()).unwrap_or(0);
        raised::EncodingError::new_err(format!(
            "the str holds a lone surrogate at character {place}, which has no UTF-8; decode the text with \
             errors=\"replace\", or pass bytes"
        ))
    })
}

/// Calls back at most ten times a second, and looks for Ctrl-C.
struct Ticker {
    callback: Option<Py<PyAny>>,
    last: Instant,
    raised: Option<PyErr>,
    sum: u64,
}

impl Ticker {
    fn new(callback: Option<Py<PyAny>>) -> Self {
        Ticker { callback, last: Instant::now(), raised: None, sum: 0 }
    }

    fn tick(&mut self, value: u64) -> Result<()> {
        if self.last.elapsed() < Duration::from_millis(100) {
            return Ok(());
        }
        self.last = Instant::now();
        let outcome = Python::attach(|py| {
            py.check_signals()?;
            if let Some(callback) = &self.callback {
                callback.call1(py, (value,))?;
            }
            Ok(())
        });
        outcome.map_err(|error| {
            self.raised = Some(error);
            Error::Interrupted
        })
    }

    fn add(&mut self, amount: u64) -> Result<()> {
        self.sum += amount;
        self.tick(self.sum)
    }

    fn finish<T>(self, result: Result<T>) -> PyResult<T> {
        result.map_err(|error| self.raised.unwrap_or_else(|| error.into()))
    }
}

/// A compiled split pattern.
#[pyclass(frozen, module = "bytetok._core")]
#[derive(Clone)]
pub struct Splitter(split::Splitter);

#[pymethods]
impl Splitter {
    #[new]
    fn new(stages: Vec<String>) -> PyResult<Self> {
        Ok(Splitter(split::Splitter::new(&stages)?))
    }

    #[getter]
    fn stages(&self) -> Vec<String> {
        self.0.patterns().to_vec()
    }

    #[getter]
    fn is_linear(&self) -> bool {
        self.0.is_linear()
    }

    fn split<'py>(&self, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let (py, bytes) = (text.py(), text_of(text)?);
        let ranges = py.detach(|| self.0.ranges(bytes))?;
        PyList::new(py, ranges.into_iter().map(|range| PyBytes::new(py, bytes.get(range).unwrap_or_default())))
    }
}

/// Pretoken counts in memory.
#[pyclass(frozen, module = "bytetok._core")]
struct Counts(Mutex<count::Counts>);

impl Counts {
    fn with<T>(&self, job: impl FnOnce(&mut count::Counts) -> T) -> T {
        job(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[pymethods]
impl Counts {
    #[new]
    fn new() -> Self {
        Counts(Mutex::new(count::Counts::new()))
    }

    fn __len__(&self) -> usize {
        self.with(|counts| counts.len())
    }

    fn total(&self) -> PyResult<u64> {
        Ok(self.with(|counts| counts.total())?)
    }

    /// Adds pretokens given as joined bytes, the offsets where each ends (u64), and counts (u64).
    fn add_batch(&self, py: Python<'_>, data: &[u8], ends: &[u8], counts: &[u8]) -> PyResult<()> {
        let number = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).map_or(0, u64::from_le_bytes);
        Ok(py.detach(|| {
            self.with(|table| {
                let mut start = 0;
                for (end, count) in ends.chunks(8).zip(counts.chunks(8)) {
                    let end = number(end) as usize;
                    let pretoken = data.get(start..end).ok_or_else(|| {
                        Error::Invalid(format!("offsets {start}..{end} are outside {} bytes of pretokens", data.len()))
                    })?;
                    table.add(pretoken, number(count))?;
                    start = end;
                }
                Ok::<(), Error>(())
            })
        })?)
    }

    fn add_all(&self, py: Python<'_>, other: &Counts) -> PyResult<()> {
        let other = other.with(|counts| counts.clone());
        Ok(py.detach(|| self.with(|counts| counts.add_all(&other)))?)
    }

    fn copy(&self) -> Self {
        Counts(Mutex::new(self.with(|counts| counts.clone())))
    }

    /// The counts of the pieces into which `splitter` cuts each pretoken.
    fn resplit(&self, py: Python<'_>, splitter: &Splitter) -> PyResult<Self> {
        let pieces = py.detach(|| self.with(|counts| counts.resplit(&splitter.0)))?;
        Ok(Counts(Mutex::new(pieces)))
    }

    /// A sorted copy, to be read in batches.
    fn sorted(&self, py: Python<'_>) -> PyResult<Sorted> {
        let counts = self.with(|counts| counts.clone());
        Ok(Sorted(py.detach(|| SortedCounts::of(counts))?))
    }
}

/// Joined pretokens, the offset where each ends (u64), and counts (u64).
type BatchTuple<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

/// Pretoken counts as a stream in the order of their bytes.
#[pyclass(module = "bytetok._core")]
struct Sorted(SortedCounts);

#[pymethods]
impl Sorted {
    /// Up to `most` pretokens as joined bytes, ends (u64) and counts (u64); `None` at the end.
    fn batch<'py>(&mut self, py: Python<'py>, most: usize) -> PyResult<Option<BatchTuple<'py>>> {
        let (data, ends, counts) = py.detach(|| self.0.batch(most))?;
        if counts.is_empty() {
            return Ok(None);
        }
        let numbers =
            |list: Vec<u64>| PyBytes::new(py, &list.into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>());
        Ok(Some((PyBytes::new(py, &data), numbers(ends), numbers(counts))))
    }
}

/// Counts the pretokens of a stream of documents.
#[pyclass(module = "bytetok._core")]
struct Counter(Option<count::Counter>);

impl Counter {
    fn open(&mut self) -> PyResult<&mut count::Counter> {
        self.0.as_mut().ok_or_else(|| raised::BytetokError::new_err("this counter is finished"))
    }

    fn take(&mut self) -> PyResult<count::Counter> {
        self.0.take().ok_or_else(|| raised::BytetokError::new_err("this counter is finished"))
    }
}

#[pymethods]
impl Counter {
    #[new]
    #[pyo3(signature = (splitter, *, threads=1, memory=None, spill_dir=PathBuf::new(), strict=true))]
    fn new(splitter: &Splitter, threads: usize, memory: Option<usize>, spill_dir: PathBuf, strict: bool) -> Self {
        let options = count::Options { threads, memory, spill_dir, strict };
        Counter(Some(count::Counter::new(splitter.0.clone(), &options)))
    }

    fn add_documents(&mut self, py: Python<'_>, documents: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        let texts = documents.iter().map(text_of).collect::<PyResult<Vec<_>>>()?;
        let counter = self.open()?;
        Ok(py.detach(|| counter.add_documents(&texts))?)
    }

    fn feed(&mut self, py: Python<'_>, chunk: &Bound<'_, PyAny>) -> PyResult<()> {
        let (text, counter) = (text_of(chunk)?, self.open()?);
        Ok(py.detach(|| counter.feed(text))?)
    }

    fn end_document(&mut self, py: Python<'_>, place: &str) -> PyResult<()> {
        let counter = self.open()?;
        Ok(py.detach(|| counter.end_document(place))?)
    }

    #[pyo3(signature = (path, progress=None))]
    fn add_file(&mut self, py: Python<'_>, path: PathBuf, progress: Option<Py<PyAny>>) -> PyResult<()> {
        let counter = self.open()?;
        let mut ticker = Ticker::new(progress);
        let result = py.detach(|| counter.add_file(&path, &mut |read| ticker.add(read)));
        ticker.finish(result)
    }

    #[getter]
    fn documents(&mut self) -> PyResult<u64> {
        Ok(self.open()?.documents())
    }

    #[getter]
    fn bytes(&mut self) -> PyResult<u64> {
        Ok(self.open()?.bytes())
    }

    #[getter]
    fn spilled(&mut self) -> PyResult<usize> {
        Ok(self.open()?.spilled())
    }

    fn finish(&mut self, py: Python<'_>) -> PyResult<Counts> {
        let counter = self.take()?;
        Ok(Counts(Mutex::new(py.detach(|| counter.finish())?)))
    }

    fn finish_sorted(&mut self, py: Python<'_>) -> PyResult<Sorted> {
        let counter = self.take()?;
        Ok(Sorted(py.detach(|| counter.finish_sorted())?))
    }
}

/// Where the trainer's words start from.
#[derive(FromPyObject)]
enum Start {
    /// The merges of an existing vocabulary.
    Merges(Vec<[u32; 3]>),
    /// An id for each byte, or none for bytes that are left out.
    Bytes(Vec<Option<u32>>),
}

/// Tokens by id, and merges as `(left, right, token, count)`.
type TrainedTuple<'py> = (Vec<Bound<'py, PyBytes>>, Vec<(u32, u32, u32, u64)>);

/// Learns merges; returns the tokens by id and the merges as `(left, right, token, count)`.
#[pyfunction]
#[pyo3(signature = (counts, *, tokens, ordinary, start, vocab_size, min_count, max_length=None, characters=false, forbidden=Vec::new(), ranked=false, consume=false, progress=None))]
#[allow(clippy::too_many_arguments, reason = "each is a keyword of the Python function")]
fn train_bpe<'py>(
    py: Python<'py>,
    counts: &Counts,
    tokens: Vec<Vec<u8>>,
    ordinary: Vec<bool>,
    start: Start,
    vocab_size: usize,
    min_count: u64,
    max_length: Option<usize>,
    characters: bool,
    forbidden: Vec<Vec<u8>>,
    ranked: bool,
    consume: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<TrainedTuple<'py>> {
    let unit = if characters { Unit::Characters } else { Unit::Bytes };
    let params = Params { vocab_size, min_count, max_length: max_length.map(|most| (most, unit)), forbidden };
    let counts = counts.with(|counts| if consume { std::mem::take(counts) } else { counts.clone() });
    let mut ticker = Ticker::new(progress);
    let result = py.detach(|| {
        let words = match start {
            Start::Bytes(ids) => Words::new(counts, &[], |word, out| {
                out.extend(word.iter().filter_map(|&byte| ids.get(usize::from(byte)).copied().flatten()));
            })?,
            Start::Merges(merges) => {
                let slices: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
                let by_id: Vec<u32> = (0..slices.len() as u32).collect();
                let order = if ranked { Order::Ranks(&by_id) } else { Order::Merges(&merges) };
                let lexicon = Lexicon::new(&slices, &ordinary, &order, Atoms::Bytes, false)?;
                let lengths: Vec<u32> = slices.iter().map(|token| token.len() as u32).collect();
                Words::new(counts, &lengths, |word, out| {
                    // A byte that the vocabulary lacks ends the word for good.
                    if lexicon.view().encode(word, out).is_err() {
                        out.clear();
                    }
                })?
            }
        };
        train::train(words, tokens, &params, &mut |made| ticker.tick(made as u64))
    });
    let trained = ticker.finish(result)?;
    let tokens = trained.tokens.iter().map(|token| PyBytes::new(py, token)).collect();
    let merges = trained.merges.iter().map(|merge| (merge.left, merge.right, merge.token, merge.count)).collect();
    Ok((tokens, merges))
}

/// All pairs of tokens that join to a token, as `(left, right, token)` in the order of that token's id.
#[pyfunction]
fn merges_of_ranks(py: Python<'_>, tokens: Vec<Vec<u8>>) -> Vec<(u32, u32, u32)> {
    py.detach(|| encode::merges_of_ranks(&tokens))
        .into_iter()
        .map(|[left, right, token]| (left, right, token))
        .collect()
}

/// The compiled engine of bytetok.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::cover::{Cover, CoverNode, CoverState, CoverWeights};
    #[pymodule_export]
    use super::encoder::{Encoder, StoredEncoder};
    #[pymodule_export]
    use super::{Counter, Counts, Sorted, Splitter, merges_of_ranks, train_bpe};

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let named: Vec<(&str, Vec<&str>)> = NAMED.iter().map(|(name, stages)| (*name, stages.to_vec())).collect();
        module.add("NAMED_PATTERNS", named)?;
        module.add("UNICODE_VERSION", UNICODE_VERSION)
    }
}
