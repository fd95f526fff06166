//! Coverings for Python.

use std::sync::Arc;

use pyo3::buffer::{Element, PyBuffer};
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

/// The probabilities of the tokens behind a node.
#[pyclass(frozen, module = "bytetok._core")]
pub struct CoverWeights {
    weights: Vec<f64>,
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

    /// The nodes whose next token holds the last byte, and one for each that may end here.
    fn nodes(&self) -> Vec<CoverNode> {
        let node = |head: &cover::Head| CoverNode { engine: Arc::clone(&self.engine), node: Arc::clone(&head.node) };
        self.state.heads.iter().map(node).collect()
    }

    /// Whether the text may end with just the tokens of each node.
    fn may_end(&self) -> PyResult<Vec<bool>> {
        Ok(self.state.heads.iter().map(|head| self.engine.may_end(head)).collect::<crate::Result<_>>()?)
    }

    /// For each node how probable it is that the text since is spelled by the next token: 1 if there is none since.
    fn shares(&self, weights: Vec<PyRef<'_, CoverWeights>>) -> Vec<f64> {
        let heads = self.state.heads.iter().zip(&weights);
        heads.map(|(head, weights)| self.engine.share(head, &weights.weights)).collect()
    }

    /// A token behind the node of a number, as probable as its weight is, and how many of its bytes the text has; for a
    /// number between 0 and 1.
    fn pick(&self, index: usize, weights: PyRef<'_, CoverWeights>, number: f64) -> Option<(u32, usize)> {
        let head = self.state.heads.get(index)?;
        Some((self.engine.pick(head, &weights.weights, number)?, self.state.length - head.node.end))
    }

    /// The same coverings without those of some nodes; `keep` says which stay, in their order.
    fn only(&self, keep: Vec<bool>) -> Self {
        let kept = self.state.heads.iter().zip(keep).filter(|(_, keep)| *keep).map(|(head, _)| head.clone());
        let state = cover::State { length: self.state.length, heads: kept.collect() };
        CoverState { engine: Arc::clone(&self.engine), state }
    }

    /// The sum over nodes of what each next byte has there: 256 doubles. `weights` and `times` are in the order of nodes.
    fn masses<'py>(
        &self,
        py: Python<'py>,
        weights: Vec<PyRef<'py, CoverWeights>>,
        times: Vec<f64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        if weights.len() != self.state.heads.len() || times.len() != weights.len() {
            return Err(PyValueError::new_err(format!(
                "{} weights and {} factors for {} nodes",
                weights.len(),
                times.len(),
                self.state.heads.len()
            )));
        }
        let mut masses = [0.0; 256];
        for ((head, weights), times) in self.state.heads.iter().zip(&weights).zip(times) {
            self.engine.spread(head, &weights.weights, times, &mut masses);
        }
        Ok(PyBytes::new(py, bytemuck::cast_slice(&masses)))
    }
}

fn probabilities<T: Element + Copy>(
    node: &CoverNode,
    log: &Bound<'_, PyAny>,
    exp: impl Fn(T) -> f64,
) -> Option<crate::Result<Vec<f64>>> {
    let log = PyBuffer::<T>::get(log).ok()?.to_vec(log.py()).ok()?;
    Some(node.engine.weights(&node.node, |token| log.get(token as usize).map_or(0.0, |&value| exp(value))))
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

    /// The node without the last token.
    #[getter]
    fn parent(&self) -> Option<Self> {
        let parent = self.node.parent.as_ref()?;
        Some(CoverNode { engine: Arc::clone(&self.engine), node: Arc::clone(parent) })
    }

    /// How many bytes of the text it spells.
    #[getter]
    fn end(&self) -> usize {
        self.node.end
    }

    /// The probabilities of the tokens that may follow, from the natural logarithms of all (float32 or float64).
    fn weights(&self, log: &Bound<'_, PyAny>) -> PyResult<CoverWeights> {
        let single = probabilities::<f32>(self, log, |value| f64::from(value.exp()));
        let weights = match single.or_else(|| probabilities::<f64>(self, log, f64::exp)) {
            Some(weights) => weights?,
            None => return Err(PyValueError::new_err("log-probabilities must be one row of float32 or float64")),
        };
        Ok(CoverWeights { weights })
    }
}
