//! The encoder for Python: text in; lists of ints, bytes of numbers, or counts out.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use super::ints::Ints;
use super::{Splitter, raised, text_of};
use crate::encode::{self, Added, Atoms, Characters, Form, Lexicon, Order, Prefix, Special, Stored, Text};
use crate::{Error, Result};

/// Documents are handed to threads in groups of about this many bytes.
const GROUP: usize = 1 << 16;

/// Exact byte-pair encoding with a split pattern and added tokens.
#[pyclass(frozen, module = "bytetok._core")]
pub struct Encoder {
    engine: encode::Encoder,
    ints: Ints,
}

fn special_of(name: &str) -> PyResult<Special> {
    match name {
        "raise" => Ok(Special::Raise),
        "text" => Ok(Special::Text),
        "allow" => Ok(Special::Allow),
        _ => Err(PyValueError::new_err(format!("special={name:?} is not one of \"raise\", \"text\", \"allow\""))),
    }
}

fn input<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Text<'a>> {
    if let Ok(string) = object.cast::<PyString>()
        && let Ok(text) = string.to_str()
    {
        return Ok(Text::Valid(text));
    }
    text_of(object).map(Text::Bytes)
}

fn size(text: &Text<'_>) -> usize {
    match text {
        Text::Valid(text) => text.len(),
        Text::Bytes(bytes) => bytes.len(),
    }
}

fn form_of(name: Option<&str>) -> PyResult<Option<Form>> {
    let unknown = |name: &str| PyValueError::new_err(format!("normalizer {name:?} is not one of NFC, NFD, NFKC, NFKD"));
    name.map(|name| Form::named(name).ok_or_else(|| unknown(name))).transpose()
}

fn prefix_of(name: &str) -> PyResult<Prefix> {
    match name {
        "none" => Ok(Prefix::None),
        "first" => Ok(Prefix::First),
        "each" => Ok(Prefix::Each),
        _ => Err(PyValueError::new_err(format!("prefix={name:?} is not one of \"none\", \"first\", \"each\""))),
    }
}

/// text, id, special, single_word, lstrip, rstrip, normalized
type AddedTuple = (String, u32, bool, bool, bool, bool, bool);

fn added_of(tokens: Vec<AddedTuple>) -> Vec<Added> {
    let added = |(text, id, special, single_word, lstrip, rstrip, normalized)| Added {
        text,
        id,
        special,
        single_word,
        lstrip,
        rstrip,
        normalized,
    };
    tokens.into_iter().map(added).collect()
}

fn native<T: bytemuck::Pod>(numbers: &[T]) -> &[u8] {
    bytemuck::cast_slice(numbers)
}

/// What a group of documents became: all ids, and where those of each document end.
struct Group {
    index: usize,
    ids: Vec<u32>,
    ends: Vec<usize>,
}

impl Encoder {
    /// What encodes.
    pub(super) fn engine(&self) -> &encode::Encoder {
        &self.engine
    }

    fn with(engine: encode::Encoder) -> Self {
        let ints = Ints::new(engine.lexicon().view().len());
        Encoder { engine, ints }
    }

    fn ids(&self, text: &Bound<'_, PyAny>, special: &str) -> PyResult<Vec<u32>> {
        let (py, text, special) = (text.py(), input(text)?, special_of(special)?);
        let mut ids = Vec::new();
        let mut encode = || {
            ids.reserve(size(&text) / 3 + 8);
            self.engine.encode(text, special, &mut ids)
        };
        // Handing the lock over and back takes longer than a short text.
        if size(&text) < 4096 { encode() } else { py.detach(encode) }?;
        Ok(ids)
    }

    /// Encodes groups of texts on threads and calls `take` with each on this one, in whatever order they get ready; this
    /// thread encodes, too, whenever there is nothing to take.
    fn groups(
        &self,
        py: Python<'_>,
        texts: &[Text<'_>],
        special: Special,
        threads: usize,
        mut take: impl FnMut(Group) -> PyResult<()>,
    ) -> PyResult<()> {
        let mut bounds = vec![0];
        let mut bytes = 0;
        for (index, text) in texts.iter().enumerate() {
            bytes += size(text) + 64;
            if bytes >= GROUP {
                bounds.push(index + 1);
                bytes = 0;
            }
        }
        if bounds.last() != Some(&texts.len()) {
            bounds.push(texts.len());
        }
        let next = AtomicUsize::new(0);
        let encode_next = || -> Option<Result<Group>> {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let group = texts.get(*bounds.get(index)?..*bounds.get(index + 1)?)?;
            let (mut ids, mut ends) = (Vec::with_capacity(GROUP / 3), Vec::with_capacity(group.len()));
            Some(self.engine.encode_many(group, special, &mut ids, &mut ends).map(|()| Group { index, ids, ends }))
        };
        let (sender, mut receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 1..threads.min(bounds.len() - 1) {
                let sender = sender.clone();
                scope.spawn(move || {
                    while let Some(group) = encode_next() {
                        if sender.send(group).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let outcome = (|| {
                loop {
                    while let Ok(group) = receiver.try_recv() {
                        take(group?)?;
                    }
                    py.check_signals()?;
                    let Some(group) = py.detach(encode_next) else { break };
                    take(group?)?;
                }
                let receiver = Mutex::new(&mut receiver);
                let wait = || receiver.lock().ok()?.recv().ok();
                while let Some(group) = py.detach(wait) {
                    take(group?)?;
                }
                Ok(())
            })();
            // Whatever is left to do is not wanted any more if something failed.
            next.store(usize::MAX / 2, Ordering::Relaxed);
            outcome
        })
    }
}

#[pymethods]
impl Encoder {
    /// `merges` by rank; or `ranks` by id, if any two neighbors that join to a token merge. `characters` are the ids of
    /// the 256 bytes, where a space is put before text, and whether always.
    #[new]
    #[allow(clippy::too_many_arguments, reason = "one for each part of a vocabulary")]
    #[pyo3(signature = (splitter, tokens, ordinary, *, merges=None, ranks=None, added=Vec::new(), whole_first=false, normalizer=None, characters=None))]
    fn new(
        py: Python<'_>,
        splitter: &Splitter,
        tokens: Vec<PyBackedBytes>,
        ordinary: Vec<bool>,
        merges: Option<Vec<[u32; 3]>>,
        ranks: Option<Vec<u32>>,
        added: Vec<AddedTuple>,
        whole_first: bool,
        normalizer: Option<&str>,
        characters: Option<(Vec<u32>, String, bool)>,
    ) -> PyResult<Self> {
        let form = form_of(normalizer)?;
        let scheme = match &characters {
            None => None,
            Some((byte_ids, prefix, always)) => {
                let ids = <[u32; 256]>::try_from(byte_ids.as_slice())
                    .map_err(|_| PyValueError::new_err(format!("{} byte tokens; there are 256", byte_ids.len())))?;
                Some((ids, prefix_of(prefix)?, *always))
            }
        };
        let engine = py.detach(|| {
            let slices: Vec<&[u8]> = tokens.iter().map(|token| &**token).collect();
            let by_id: Vec<u32>;
            let order = match (&merges, &ranks) {
                (Some(merges), _) => Order::Merges(merges),
                (None, Some(ranks)) => Order::Ranks(ranks),
                (None, None) => {
                    by_id = (0..slices.len() as u32).collect();
                    Order::Ranks(&by_id)
                }
            };
            let atoms = if scheme.is_some() { Atoms::Characters } else { Atoms::Bytes };
            let lexicon = Lexicon::new(&slices, &ordinary, &order, atoms, whole_first)?;
            let characters = scheme.map(|(ids, prefix, always)| Characters::new(&lexicon, ids, prefix, always));
            encode::Encoder::new(splitter.0.clone(), lexicon, added_of(added), form, characters)
        })?;
        Ok(Encoder::with(engine))
    }

    /// How many ids there are.
    fn __len__(&self) -> usize {
        self.engine.lexicon().view().len()
    }

    #[getter]
    fn is_linear(&self) -> bool {
        self.engine.is_linear()
    }

    /// The ids of a text as a list of ints.
    fn encode<'py>(&self, text: &Bound<'py, PyAny>, special: &str) -> PyResult<Bound<'py, PyList>> {
        self.ints.list(text.py(), &self.ids(text, special)?)
    }

    /// The ids of a text as u32 in native order.
    fn encode_to_bytes<'py>(&self, text: &Bound<'py, PyAny>, special: &str) -> PyResult<Bound<'py, PyBytes>> {
        let ids = self.ids(text, special)?;
        Ok(PyBytes::new(text.py(), native(&ids)))
    }

    /// How many ids a text has.
    fn count(&self, text: &Bound<'_, PyAny>, special: &str) -> PyResult<usize> {
        Ok(self.ids(text, special)?.len())
    }

    /// The ids of a text that may go on, as u32; how many of them stay whatever follows, and the bytes they stand for.
    fn encode_stable<'py>(
        &self,
        text: &Bound<'py, PyString>,
        special: &str,
        is_rest: bool,
    ) -> PyResult<(Bound<'py, PyBytes>, usize, usize)> {
        let (py, special) = (text.py(), special_of(special)?);
        text_of(text)?;
        let text = text.to_str()?;
        let mut ids = Vec::new();
        let stable = py.detach(|| self.engine.encode_stable(text, special, is_rest, &mut ids))?;
        Ok((PyBytes::new(py, native(&ids)), stable.ids, stable.bytes))
    }

    /// The ids of many texts, each as a list of ints.
    fn encode_batch<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<Bound<'py, PyAny>>,
        special: &str,
        threads: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let special = special_of(special)?;
        let texts = texts.iter().map(input).collect::<PyResult<Vec<_>>>()?;
        let mut lists: Vec<(usize, Vec<Bound<'py, PyList>>)> = Vec::new();
        self.groups(py, &texts, special, threads, |group| {
            let mut start = 0;
            let mut made = Vec::with_capacity(group.ends.len());
            for &end in &group.ends {
                made.push(self.ints.list(py, group.ids.get(start..end).unwrap_or_default())?);
                start = end;
            }
            lists.push((group.index, made));
            Ok(())
        })?;
        lists.sort_unstable_by_key(|(index, _)| *index);
        let lists: Vec<_> = lists.into_iter().flat_map(|(_, lists)| lists).collect();
        PyList::new(py, lists)
    }

    /// The ids of many texts one after the other as u32, and as i64 where those of each begin and the last end.
    fn encode_ragged<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<Bound<'py, PyAny>>,
        special: &str,
        threads: usize,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let special = special_of(special)?;
        let texts = texts.iter().map(input).collect::<PyResult<Vec<_>>>()?;
        let mut groups: Vec<Group> = Vec::new();
        self.groups(py, &texts, special, threads, |group| {
            groups.push(group);
            Ok(())
        })?;
        groups.sort_unstable_by_key(|group| group.index);
        let total: usize = groups.iter().map(|group| group.ids.len()).sum();
        let mut offsets = Vec::with_capacity(texts.len() + 1);
        offsets.push(0i64);
        let ids = PyBytes::new_with(py, 4 * total, |bytes| {
            let mut rest = bytes;
            let mut done = 0;
            for group in &groups {
                offsets.extend(group.ends.iter().map(|end| (done + end) as i64));
                done += group.ids.len();
                if let Some((head, tail)) = std::mem::take(&mut rest).split_at_mut_checked(4 * group.ids.len()) {
                    head.copy_from_slice(native(&group.ids));
                    rest = tail;
                }
            }
            Ok(())
        })?;
        Ok((ids, PyBytes::new(py, native(&offsets))))
    }

    /// The bytes of one token.
    fn token<'py>(&self, py: Python<'py>, token_id: u32) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.engine.lexicon().view().token(token_id))
    }

    /// The bytes of all tokens by id.
    fn tokens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let view = self.engine.lexicon().view();
        PyTuple::new(py, (0..view.len()).map(|id| PyBytes::new(py, view.token(id as u32))))
    }

    /// The bytes that ids stand for.
    fn decode<'py>(&self, ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(ids.py(), &self.spelled(ids)?))
    }

    /// The text that ids stand for, after `skip` bytes if these are `b" "`; what is not UTF-8 becomes U+FFFD.
    fn decode_text<'py>(&self, ids: &Bound<'py, PyAny>, strip_space: bool) -> PyResult<Bound<'py, PyString>> {
        let bytes = self.spelled(ids)?;
        let bytes = if strip_space { bytes.strip_prefix(b" ").unwrap_or(&bytes) } else { &bytes };
        // SAFETY: the interpreter's lock is held, pointer and length are those of a slice that outlives the call, and the
        // result is a new reference to a str or null with an error set.
        unsafe {
            let (start, length) = (bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t);
            let text = ffi::PyUnicode_DecodeUTF8(start, length, c"replace".as_ptr());
            Ok(Bound::from_owned_ptr_or_err(ids.py(), text)?.cast_into_unchecked())
        }
    }

    /// The contents of a file from which [`Stored`] makes this encoder again, with `meta` and `more` in it.
    fn to_file<'py>(&self, py: Python<'py>, meta: &[u8], more: &[u8]) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| self.engine.to_file(meta, more)))
    }
}

impl Encoder {
    fn spelled(&self, ids: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let view = self.engine.lexicon().view();
        let (numbers, strange) = super::ints::numbers(ids)?;
        let mut bytes = Vec::with_capacity(numbers.len() * 5 + 16);
        match view.decode(&numbers, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(place) => {
                let number = numbers.get(place).copied().unwrap_or(u32::MAX);
                let id = strange.filter(|_| number == u32::MAX).unwrap_or_else(|| number.to_string());
                let size = view.len();
                let (why, hint) = match id.parse::<usize>() {
                    Ok(number) if number < size => ("a gap: no token has it", "are the ids of another vocabulary?"),
                    _ => ("outside the vocabulary", "is it of another vocabulary, or a padded row of embeddings?"),
                };
                Err(raised::UnknownTokenError::new_err(format!(
                    "id {id} at position {place} is {why}; ids go from 0 to {}; {hint}",
                    size.saturating_sub(1)
                )))
            }
        }
    }
}

/// A file of [`Encoder::to_file`], mapped into memory.
#[pyclass(frozen, module = "bytetok._core")]
pub struct StoredEncoder(Stored);

#[pymethods]
impl StoredEncoder {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        Ok(StoredEncoder(py.detach(|| Stored::open(&path))?))
    }

    #[getter]
    fn meta<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.meta()?))
    }

    #[getter]
    fn more<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.more()?))
    }

    #[pyo3(signature = (splitter, *, added=Vec::new(), normalizer=None, prefix=None, prefix_always=true))]
    fn encoder(
        &self,
        splitter: &Splitter,
        added: Vec<AddedTuple>,
        normalizer: Option<&str>,
        prefix: Option<&str>,
        prefix_always: bool,
    ) -> PyResult<Encoder> {
        let lexicon = self.0.lexicon()?;
        let size = lexicon.view().len();
        if let Some((text, id, ..)) = added.iter().find(|token| token.1 as usize >= size) {
            return Err(Error::Invalid(format!("added token {text:?} has id {id}, outside 0 to {}", size - 1)).into());
        }
        let characters = match prefix {
            Some(prefix) => self.0.characters(prefix_of(prefix)?, prefix_always)?,
            None => None,
        };
        let form = form_of(normalizer)?;
        Ok(Encoder::with(encode::Encoder::new(splitter.0.clone(), lexicon, added_of(added), form, characters)?))
    }
}
