//! Coverings for Python.

use std::sync::Arc;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::encoder::Encoder;
use crate::cover::{self, Law, START};

/// A vocabulary, ready to cover texts.
#[pyclass(frozen, module = "bytetok._core")]
pub struct Cover {
    engine: Arc<cover::Cover>,
}

/// All coverings of a text.
#[pyclass(frozen, module = "bytetok._core")]
pub struct CoverState {
    engine: Arc<cover::Cover>,
    state: cover::State,
}

/// A token sequence whose next token is not known.
#[pyclass(frozen, module = "bytetok._core")]
pub struct CoverNode {
    engine: Arc<cover::Cover>,
    node: Arc<cover::Node>,
}

/// The probabilities of the tokens behind a node, by token id.
enum Row {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

/// The probabilities of the tokens that may follow a node.
#[pyclass(frozen, module = "bytetok._core")]
pub struct CoverWeights {
    row: Row,
    impossible: Option<cover::Places>,
}

struct Weights<'a, T> {
    row: &'a [T],
    impossible: Option<&'a cover::Places>,
}

impl<T: Copy + Into<f64>> cover::Follow for Weights<'_, T> {
    #[inline(always)]
    fn probability(&self, place: usize, token: u32) -> f64 {
        if self.impossible.is_some_and(|places| places.has(place)) {
            return 0.0;
        }
        self.row.get(token as usize).map_or(0.0, |&value| value.into())
    }
}

impl CoverWeights {
    fn spread(&self, engine: &cover::Cover, head: &cover::Head, times: f64, masses: &mut [f64; 256]) -> f64 {
        let impossible = self.impossible.as_ref();
        match &self.row {
            Row::Single(row) => engine.spread(head, &Weights { row, impossible }, times, masses),
            Row::Double(row) => engine.spread(head, &Weights { row, impossible }, times, masses),
        }
    }

    fn pick(&self, engine: &cover::Cover, head: &cover::Head, number: f64) -> Option<u32> {
        let impossible = self.impossible.as_ref();
        match &self.row {
            Row::Single(row) => engine.pick(head, &Weights { row, impossible }, number),
            Row::Double(row) => engine.pick(head, &Weights { row, impossible }, number),
        }
    }
}

#[pymethods]
impl Cover {
    #[new]
    fn new(encoder: PyRef<'_, Encoder>, law: &str, excluded: Vec<u32>) -> PyResult<Self> {
        let law = match law {
            "canonical" => Law::Canonical,
            "all" => Law::All,
            _ => return Err(PyValueError::new_err(format!("law={law:?} is not one of \"canonical\", \"all\""))),
        };
        Ok(Cover { engine: Arc::new(cover::Cover::new(encoder.engine(), law, &excluded)?) })
    }

    /// How many tokens are whole pretokens that merges never make.
    #[getter]
    fn odd(&self) -> usize {
        self.engine.odd()
    }

    /// The coverings of the empty text.
    fn start(&self) -> CoverState {
        CoverState { engine: Arc::clone(&self.engine), state: self.engine.start() }
    }
}

#[pymethods]
impl CoverState {
    /// How many bytes the text has.
    #[getter]
    fn length(&self) -> usize {
        self.state.length
    }

    /// The coverings of the text with more bytes behind it.
    fn push(&self, data: &[u8]) -> PyResult<Self> {
        let mut state = self.state.clone();
        for &byte in data {
            state = self.engine.push(&state, byte)?;
        }
        Ok(CoverState { engine: Arc::clone(&self.engine), state })
    }

    /// The numbers of the nodes whose next token holds the last byte, and of those that may end here; in the order in
    /// which they were made, so that the new ones are last.
    fn ids(&self) -> Vec<u64> {
        self.state.heads.iter().map(|head| head.node.id).collect()
    }

    /// The node at an index of [`Self::ids`].
    fn node(&self, index: usize) -> Option<CoverNode> {
        let head = self.state.heads.get(index)?;
        Some(CoverNode { engine: Arc::clone(&self.engine), node: Arc::clone(&head.node) })
    }

    /// How many nodes end with the text.
    fn newest(&self) -> usize {
        self.state.heads.iter().rev().take_while(|head| head.offset == 0).count()
    }

    /// Whether the text may end with just the tokens of each node.
    fn may_end(&self) -> PyResult<Vec<bool>> {
        Ok(self.state.heads.iter().map(|head| self.engine.may_end(head)).collect::<crate::Result<_>>()?)
    }

    /// A token behind the node of a number, as probable as its weight is, and how many of its bytes the text has; for a
    /// number between 0 and 1.
    fn pick(&self, index: usize, weights: PyRef<'_, CoverWeights>, number: f64) -> Option<(u32, usize)> {
        let head = self.state.heads.get(index)?;
        Some((weights.pick(&self.engine, head, number)?, self.state.length - head.node.end))
    }

    /// The same coverings without those of some nodes; `keep` says which stay, in their order.
    fn only(&self, keep: Vec<bool>) -> Self {
        let kept = self.state.heads.iter().zip(keep).filter(|(_, keep)| *keep).map(|(head, _)| head.clone());
        let state = cover::State { length: self.state.length, heads: kept.collect() };
        CoverState { engine: Arc::clone(&self.engine), state }
    }

    /// The sum over nodes of what each next byte has there: 256 doubles. And what all have together, for each node, before
    /// its factor. `weights` (None: not known, counts nothing) and `times` are in the order of nodes.
    fn masses<'py>(
        &self,
        py: Python<'py>,
        weights: Vec<Option<PyRef<'py, CoverWeights>>>,
        times: Vec<f64>,
    ) -> PyResult<(Bound<'py, PyBytes>, Vec<f64>)> {
        if weights.len() != self.state.heads.len() || times.len() != weights.len() {
            return Err(PyValueError::new_err(format!(
                "{} weights and {} factors for {} nodes",
                weights.len(),
                times.len(),
                self.state.heads.len()
            )));
        }
        let mut masses = [0.0; 256];
        let totals = self.state.heads.iter().zip(&weights).zip(times).map(|((head, weights), times)| {
            weights.as_ref().map_or(0.0, |weights| weights.spread(&self.engine, head, times, &mut masses))
        });
        let totals = totals.collect();
        Ok((PyBytes::new(py, bytemuck::cast_slice(&masses)), totals))
    }
}

#[pymethods]
impl CoverNode {
    /// Told apart from all other nodes of the vocabulary by this.
    #[getter]
    fn id(&self) -> u64 {
        self.node.id
    }

    /// The last token, if there is one.
    #[getter]
    fn token(&self) -> Option<u32> {
        (self.node.token != START).then_some(self.node.token)
    }

    /// The number of the node without the last token, if there is one.
    #[getter]
    fn parent_id(&self) -> Option<u64> {
        self.node.parent.as_ref().map(|parent| parent.id)
    }

    /// How many bytes of the text it spells.
    #[getter]
    fn end(&self) -> usize {
        self.node.end
    }

    /// The probabilities of the tokens that may follow, from those of all by token id (float32 or float64).
    fn weights(&self, probabilities: &Bound<'_, PyAny>) -> PyResult<CoverWeights> {
        let py = probabilities.py();
        let single = PyBuffer::<f32>::get(probabilities).and_then(|row| row.to_vec(py)).map(Row::Single);
        let row = single.or_else(|_| PyBuffer::<f64>::get(probabilities)?.to_vec(py).map(Row::Double));
        match row {
            Ok(row) => Ok(CoverWeights { row, impossible: self.engine.impossible(&self.node)? }),
            Err(_) => Err(PyValueError::new_err("probabilities must be one row of float32 or float64")),
        }
    }
}
