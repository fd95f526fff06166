//! Ids as Python ints and back, quickly: making an int takes ten times as long as using one that is there.

use std::sync::Mutex;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::prefetch;

/// The ints that stand for ids, made when they are first needed.
pub struct Ints {
    made: Mutex<Vec<Option<Py<PyAny>>>>,
    size: usize,
}

impl Ints {
    /// For ids below `size`.
    pub fn new(size: usize) -> Self {
        Ints { made: Mutex::new(Vec::new()), size }
    }

    /// A list of ids.
    pub fn list<'py>(&self, py: Python<'py>, ids: &[u32]) -> PyResult<Bound<'py, PyList>> {
        // The list first: making it may collect garbage, which may run anything, this function too.
        // SAFETY: the interpreter's lock is held; the result is a new reference or null with an error set.
        let list = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyList_New(ids.len() as ffi::Py_ssize_t))? };
        // Never contended: it is only taken while the interpreter's lock is held, and nothing below gives that up.
        let mut made = self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if made.is_empty() {
            made.resize_with(self.size, || None);
        }
        // SAFETY: a new list of that length is filled at every place with a strong reference before anyone sees it; on
        // failure it is dropped, and empty places are allowed in a list that is dropped.
        unsafe {
            for (place, &id) in ids.iter().enumerate() {
                // The ints lie all over the memory: ask for each, and before that for where it is, in good time.
                if let Some(&later) = ids.get(place + 24) {
                    prefetch(&made, later as usize);
                }
                if let Some(Some(soon)) = ids.get(place + 10).and_then(|&soon| made.get(soon as usize)) {
                    prefetch(std::slice::from_ref(&*soon.as_ptr().cast::<u64>()), 0);
                }
                let int = match made.get_mut(id as usize) {
                    Some(Some(int)) => int.clone_ref(py).into_ptr(),
                    Some(slot) => slot.insert(id.into_pyobject(py)?.into_any().unbind()).clone_ref(py).into_ptr(),
                    None => id.into_pyobject(py)?.into_any().unbind().into_ptr(),
                };
                ffi::PyList_SetItem(list.as_ptr(), place as ffi::Py_ssize_t, int);
            }
            Ok(list.cast_into_unchecked())
        }
    }
}

/// Numbers of a list, or of anything else that can be iterated. What is no u32 becomes one that no id has, and the first
/// such number is given as it was.
pub fn numbers(ids: &Bound<'_, PyAny>) -> PyResult<(Vec<u32>, Option<String>)> {
    let py = ids.py();
    let mut strange = None;
    let not_int = |place: usize, item: &Bound<'_, PyAny>| {
        let kind = item.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("id at position {place} is a {kind}, expected an int"))
    };
    if let Ok(list) = ids.cast_exact::<PyList>() {
        let mut numbers = Vec::with_capacity(list.len());
        for place in 0..list.len() {
            // SAFETY: the reference is borrowed from the list for the one call that reads it, under the interpreter's
            // lock; `place` is inside the list, or the pointer is null and an error is raised.
            let number = unsafe {
                let item = ffi::PyList_GetItem(list.as_ptr(), place as ffi::Py_ssize_t);
                if item.is_null() {
                    return Err(PyErr::fetch(py));
                }
                ffi::PyLong_AsLong(item)
            };
            if number == -1 && PyErr::occurred(py) {
                let error = PyErr::fetch(py);
                if error.is_instance_of::<PyTypeError>(py) {
                    return Err(not_int(place, &list.get_item(place)?));
                }
                strange = strange.or_else(|| list.get_item(place).ok().map(|item| item.to_string()));
                numbers.push(u32::MAX);
            } else {
                numbers.push(u32::try_from(number).unwrap_or_else(|_| {
                    strange.get_or_insert_with(|| number.to_string());
                    u32::MAX
                }));
            }
        }
        return Ok((numbers, strange));
    }
    let mut numbers = Vec::with_capacity(ids.len().unwrap_or(0));
    for (place, item) in ids.try_iter()?.enumerate() {
        let item = item?;
        let number = match item.extract::<i128>() {
            Ok(number) => u32::try_from(number).ok(),
            Err(error) if error.is_instance_of::<PyTypeError>(py) => return Err(not_int(place, &item)),
            Err(_) => None,
        };
        numbers.push(number.unwrap_or_else(|| {
            strange.get_or_insert_with(|| item.to_string());
            u32::MAX
        }));
    }
    Ok((numbers, strange))
}
