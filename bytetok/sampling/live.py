"""A node of the coverings, and asking the model about such nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bytetok import _core
from bytetok.errors import SamplingError
from bytetok.lm import Context

if TYPE_CHECKING:
    from bytetok.sampling.sampler import ByteSampler


class Live:
    """A node of the coverings and what the model says about it, shared by all states that hold it."""

    __slots__ = ("_log_weight", "_logs", "_weights", "context", "node", "parent")

    def __init__(self, node: _core.CoverNode, parent: Live | None, log_weight: float | None = None) -> None:
        self.node = node
        self.parent = parent
        """The node without the last token, as long as the model was not asked about this one."""
        self.context: Context | None = None
        self._log_weight = log_weight
        self._logs: NDArray[np.floating] | None = None
        self._weights: _core.CoverWeights | None = None

    @property
    def log_weight(self) -> float | None:
        """Natural log of the probability of its tokens; None if the model was not asked about its parent either."""
        if self._log_weight is None:
            self.weigh()
        return self._log_weight

    def weigh(self) -> None:
        """Compute :attr:`log_weight` as long as it is known what the model says behind the parent."""
        if self._log_weight is not None:
            return
        parent = self.before
        is_asked = parent._logs is not None or parent.context is not None
        if is_asked and parent.log_weight is not None:
            self._log_weight = parent.log_weight + float(parent.logs[self.token])

    @property
    def token(self) -> int:
        """The last token of a node that is not the start."""
        token = self.node.token
        if token is None:
            raise SamplingError("a covering without tokens; please report it")  # cannot be: the start is known
        return token

    @property
    def before(self) -> Live:
        """The parent of a node that the model was not asked about."""
        if self.parent is None:
            raise SamplingError("a covering without a beginning; please report it")  # cannot be: the start is known
        return self.parent

    @property
    def weights(self) -> _core.CoverWeights:
        """The probabilities of the tokens that may follow."""
        if self._weights is None:
            self._weights = self.node.weights(np.exp(self.logs))
        return self._weights

    @property
    def chain(self) -> list[Live]:
        """The nodes from this one back that the model was not asked about, this one first."""
        chain: list[Live] = []
        at: Live | None = self
        while at is not None and at.context is None:
            chain.append(at)
            at = at.parent
        return chain

    @property
    def logs(self) -> NDArray[np.floating]:
        """Natural logs of the probabilities of the next token, once the model was asked."""
        if self._logs is None:
            if self.context is None:
                raise SamplingError("a node that the model was not asked about; please report it")  # cannot be
            self._logs = self.context.logprobs
        return self._logs

    def learn(self, row: NDArray[np.floating]) -> None:
        """Take in what the model says behind this node; a row that is part of a block is copied."""
        self._logs = row.copy() if row.base is not None else row

    def forget(self) -> None:
        """Let go of what the model said: of a long text, all of it would be gigabytes."""
        self._logs = self._weights = None

    def settle(self, context: Context) -> None:
        """The model was asked: from here on no parent is needed, and long texts do not keep all of theirs."""
        self.weigh()
        self.context, self.parent = context, None


def evaluate(sampler: ByteSampler, new: list[Live]) -> None:
    """One model call for new nodes, of which parents come before children."""
    if not new:
        return
    places = {id(live): place for place, live in enumerate(new)}
    items: list[tuple[Context | int, int]] = []
    for live in new:
        context = live.before.context
        items.append((places[id(live.parent)] if context is None else context, live.token))
    contexts = sampler.lm.extend(items, reduce=lambda place, row: new[place].learn(row))
    for live, made in zip(new, contexts, strict=True):
        live.settle(made)
