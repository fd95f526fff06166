"""Several byte models as one: mixtures, products, and the difference of an expert and an anti-expert.

Vocabularies need not agree, as only bytes are shared. Every ensemble is a byte model, so they nest, can be constrained,
and complete texts. Members that are chat models carry their own templates as token ids; only the answer is shared.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import ImpossibleByteError, SamplingError
from bytetok.sampling.protocol import (
    SYMBOLS,
    ByteModel,
    ByteState,
    as_bytes,
    checked_model,
    normalized,
    pushed_bytes,
)

Table = NDArray[np.float64]
Item = TypeVar("Item")
Result = TypeVar("Result")

_NOTHING: Table = np.full(SYMBOLS, -np.inf)
_NOTHING.flags.writeable = False


class _Ensemble(ABC):
    """What all ensembles share: members, threads, and how a state is made of the members' states."""

    def __init__(self, models: Sequence[ByteModel], *, threads: bool = False) -> None:
        if not models:
            raise SamplingError(f"{type(self).__name__} has no members; expected at least one byte model")
        self.models = tuple(models)
        self._pool = ThreadPoolExecutor(len(self.models)) if threads and len(self.models) > 1 else None

    def state(self, prefix: bytes | str = b"", *, prefixes: Sequence[bytes | str] | None = None) -> EnsembleState:
        """Every member behind ``prefix``.

        With ``prefixes``, one for each member, member m stands behind ``prefixes[m] + prefix``: its own prompt, then
        the text that all share. Raises ImpossibleByteError if that is impossible to the ensemble.
        """
        shared = as_bytes(prefix)
        own = [b""] * len(self.models) if prefixes is None else [as_bytes(one) for one in prefixes]
        if len(own) != len(self.models):
            raise SamplingError(f"{len(own)} prefixes for {len(self.models)} members; expected one for each")
        starts = self._each(lambda pair: self._start(*pair, shared), list(zip(self.models, own, strict=True)))
        return self._checked(shared, [member for member, _ in starts], [evidence for _, evidence in starts])

    def next_byte(self, prefix: bytes | str) -> Table:
        """``state(prefix).next_byte()``."""
        return self.state(prefix).next_byte()

    def __repr__(self) -> str:
        return f"{type(self).__name__}([{', '.join(map(repr, self.models))}])"

    # Members are asked for the evidence of what they read only where it decides something.
    _weighs_evidence = False

    @abstractmethod
    def _combine(self, tables: list[Table | None], evidence: Sequence[float]) -> Table:
        """Logs of what comes next, not yet normalized. A table is None where the member is dead."""

    @abstractmethod
    def _is_possible(self, alive: Sequence[bool]) -> bool:
        """Whether the ensemble has an answer with only these members alive."""

    def _start(self, model: ByteModel, own: bytes, shared: bytes) -> tuple[ByteState | None, float]:
        try:
            if not self._weighs_evidence:
                return model.state(own + shared), 0.0
            start = model.state(own)
            if not shared:
                # With prompts of their own, members have read different texts, of which none is evidence.
                return start, 0.0
            return _read(start, shared)
        except ImpossibleByteError:
            return None, -math.inf

    def _checked(self, prefix: bytes, members: Sequence[ByteState | None], evidence: Sequence[float]) -> EnsembleState:
        if not self._is_possible([member is not None for member in members]):
            dead = [index for index, member in enumerate(members) if member is None]
            raise ImpossibleByteError(
                f"after {prefix[-40:]!r} this {type(self).__name__} has no answer: the text is impossible to the "
                f"members {dead} of {len(members)}"
            )
        return EnsembleState(self, prefix, tuple(members), tuple(evidence))

    def _each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        return list(self._pool.map(function, items) if self._pool is not None else map(function, items))


class EnsembleState:
    """An ensemble behind a prefix. Immutable; what the members say is computed once."""

    def __init__(
        self,
        ensemble: _Ensemble,
        prefix: bytes,
        members: tuple[ByteState | None, ...],
        evidence: tuple[float, ...],
    ) -> None:
        self.ensemble = ensemble
        self.prefix = prefix
        self.members = members
        """The members' states; None where the text so far is impossible to the member."""
        self.evidence = evidence
        """Natural log of each member's probability of the shared text, kept by Bayesian mixtures, otherwise zero."""
        self._tables: list[Table | None] | None = None
        self._logprobs: Table | None = None

    @property
    def tables(self) -> list[Table | None]:
        """What each member says: normalized logs ``(257,)``, or None for a dead member."""
        if self._tables is None:
            self._tables = self.ensemble._each(_table, list(enumerate(self.members)))
        return self._tables

    @property
    def weights(self) -> NDArray[np.float64]:
        """The members' shares at this place, shape ``(members,)``; sums to one. Only mixtures have them."""
        if not isinstance(self.ensemble, Mixture):
            raise SamplingError(f"{type(self.ensemble).__name__} has no weights that follow the text")
        alive = [member is not None for member in self.members]
        return np.exp(self.ensemble._log_weights(alive, self.evidence))

    def next_byte(self) -> Table:
        """Natural-log probabilities ``(257,)``; raises ImpossibleByteError if the members agree on nothing."""
        if self._logprobs is None:
            logs = self.ensemble._combine(self.tables, self.evidence)
            self._logprobs = normalized(logs, f"{type(self.ensemble).__name__} after {self.prefix[-40:]!r}")
            self._logprobs.flags.writeable = False
        return self._logprobs

    def push(self, byte: int | bytes) -> EnsembleState:
        """The state behind more bytes; a member to which they are impossible is dead from there on."""
        data = pushed_bytes(byte)
        if not data:
            return self
        ensemble = self.ensemble
        pairs = list(zip(self.members, self.evidence, strict=True))
        # All bytes at once: a member may need its next-byte table for none of them.
        pushed = ensemble._each(lambda pair: _push(*pair, data, ensemble._weighs_evidence), pairs)
        members, evidence = [member for member, _ in pushed], [log for _, log in pushed]
        return ensemble._checked(self.prefix + data, members, evidence)

    def fork(self) -> EnsembleState:
        """This state."""
        return self

    def __repr__(self) -> str:
        return f"<{type(self.ensemble).__name__} of {len(self.members)} behind {self.prefix[-40:]!r}>"


class Mixture(_Ensemble):
    """The arithmetic mean of the members' next-byte probabilities.

    ``weights``: None for equal ones, a list of fixed ones (any numbers from 0 up, made to sum to one), or ``"bayes"``:
    each member's weight is proportional to its start weight times its probability of the text so far, so that the
    probability of a string is exactly the mean of the members' probabilities of the string. ``start`` gives the start
    weights of that. For a member whose states have ``log_prefix``, that is its probability of the text; for another
    one, the product of its next-byte probabilities, which costs a call for each byte of the prompt. The two differ
    under the law "canonical", by what the model leaks.

    A member to which the text is impossible leaves, and the others share its weight; if all left, ImpossibleByteError.
    Members of weight 0 are not asked at all. With ``threads``, members are evaluated at the same time: of use for
    models on different devices.
    """

    def __init__(
        self,
        models: Sequence[ByteModel],
        weights: Sequence[float] | Literal["bayes"] | None = None,
        *,
        start: Sequence[float] | None = None,
        threads: bool = False,
    ) -> None:
        if isinstance(weights, str) and weights != "bayes":
            raise SamplingError(f'weights={weights!r}; expected None, a list of numbers, or "bayes"')
        self._weighs_evidence = isinstance(weights, str)
        if start is not None and not self._weighs_evidence:
            raise SamplingError('start weights belong to weights="bayes"; pass fixed ones as weights')
        given = start if isinstance(weights, str) else weights
        shares = _weights(given, _checked_models(self, models))
        kept = np.flatnonzero(shares > 0)
        super().__init__([models[index] for index in kept.tolist()], threads=threads)
        self._log_start = np.log(shares[kept] / shares.sum())

    def _log_weights(self, alive: Sequence[bool], evidence: Sequence[float]) -> NDArray[np.float64]:
        logs = np.where(alive, self._log_start + np.asarray(evidence), -np.inf)
        # Evidence of long texts is far below what exp can hold; only differences count.
        logs = logs - logs.max()
        return np.asarray(logs - np.log(np.exp(logs).sum()), dtype=np.float64)

    def _combine(self, tables: list[Table | None], evidence: Sequence[float]) -> Table:
        alive = [table is not None for table in tables]
        if not any(alive):
            return _NOTHING
        weights = self._log_weights(alive, evidence)
        stacked = np.stack([_NOTHING if table is None else table for table in tables])
        return np.asarray(np.logaddexp.reduce(weights[:, None] + stacked, axis=0))

    def _is_possible(self, alive: Sequence[bool]) -> bool:
        return any(alive)


class Product(_Ensemble):
    """The weighted geometric mean of the members' next-byte probabilities, renormalized at every byte.

    ``log p = power * sum(weights[m] * log p_m)``, and then normalized; ``weights`` are 1/M each if not given, and are
    used as they are. A byte that is impossible to a member of a weight above 0 is impossible.
    """

    def __init__(
        self,
        models: Sequence[ByteModel],
        weights: Sequence[float] | None = None,
        *,
        power: float = 1.0,
        threads: bool = False,
    ) -> None:
        if not 0 < power < math.inf:
            raise SamplingError(f"power is {power}; expected a number above 0")
        given = _weights(weights, _checked_models(self, models))
        kept = np.flatnonzero(given > 0)
        super().__init__([models[index] for index in kept.tolist()], threads=threads)
        self._exponents = power * (given[kept] if weights is not None else given[kept] / len(models))

    def _combine(self, tables: list[Table | None], evidence: Sequence[float]) -> Table:
        return np.asarray(sum(w * table for w, table in zip(self._exponents, _alive(tables), strict=True)))

    def _is_possible(self, alive: Sequence[bool]) -> bool:
        return all(alive)


class Proxy(_Ensemble):
    """A base model steered by what an expert has over an anti-expert: proxy tuning (Liu et al., 2401.08565), on bytes.

    ``log p = log p_base + alpha * (log p_expert - log p_anti)``, and then normalized. Zeros:

    * What is impossible to the base is impossible; so is what is impossible to the expert, if ``alpha`` is above 0.
    * A probability of the anti-expert below ``anti_floor`` counts as ``anti_floor``. Otherwise a byte that the
      anti-expert cannot spell would take everything, however improbable it is to the others.
    * If the text so far is impossible to the anti-expert, there is nothing left to compare, and the base goes on alone,
      among the bytes that are possible to the expert. To the base or the expert, it is an ImpossibleByteError.
    """

    def __init__(
        self,
        base: ByteModel,
        expert: ByteModel,
        anti: ByteModel,
        alpha: float = 1.0,
        *,
        anti_floor: float = 1e-9,
        threads: bool = False,
    ) -> None:
        if not 0 <= alpha < math.inf:
            raise SamplingError(f"alpha is {alpha}; expected a number from 0 up (to turn it around, swap the experts)")
        if not 0 < anti_floor < 1:
            raise SamplingError(f"anti_floor is {anti_floor}; expected a probability above 0 and below 1")
        _checked_models(self, [base, expert, anti])
        super().__init__([base, expert, anti], threads=threads)
        self.alpha = float(alpha)
        self._log_floor = math.log(anti_floor)

    def _combine(self, tables: list[Table | None], evidence: Sequence[float]) -> Table:
        base, expert = _alive(tables[:2])
        anti = tables[2]
        if self.alpha == 0:
            return base
        if anti is None:
            return np.where(expert > -np.inf, base, -np.inf)
        return base + self.alpha * (expert - np.maximum(anti, self._log_floor))

    def _is_possible(self, alive: Sequence[bool]) -> bool:
        return alive[0] and (alive[1] or self.alpha == 0)


def _checked_models(ensemble: _Ensemble, models: Sequence[ByteModel]) -> int:
    """How many there are; raises SamplingError for what is no list of byte models."""
    if not isinstance(models, (list, tuple)):
        raise SamplingError(f"{type(ensemble).__name__} takes a list of byte models, but got {type(models).__name__}")
    for number, model in enumerate(models):
        checked_model(model, f"member {number}")
    return len(models)


def _weights(weights: Sequence[float] | None, count: int) -> NDArray[np.float64]:
    try:
        values = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise SamplingError(f"weights are {weights!r}; expected a list of {count} numbers") from err
    if values.shape != (count,):
        raise SamplingError(f"weights have shape {values.shape} for {count} members; expected one for each")
    if not np.isfinite(values).all() or (values < 0).any() or (count and not values.any()):
        raise SamplingError(f"weights are {values.tolist()}; expected numbers from 0 up, not all of them 0")
    return values


def _alive(tables: Iterable[Table | None]) -> list[Table]:
    """For ensembles that have no answer without all of these."""
    return [_NOTHING if table is None else table for table in tables]


def _table(numbered: tuple[int, ByteState | None]) -> Table | None:
    index, member = numbered
    try:
        return None if member is None else normalized(member.next_byte(), f"member {index}")
    except ImpossibleByteError:
        # A lazy model may find only now that what it read is impossible.
        return None


def _push(member: ByteState | None, evidence: float, data: bytes, weighs: bool) -> tuple[ByteState | None, float]:
    try:
        if member is None or not weighs:
            return (None, -math.inf) if member is None else (member.push(data), 0.0)
        pushed, log = _read(member, data)
        return pushed, evidence + log
    except ImpossibleByteError:
        return None, -math.inf


def _read(state: ByteState, data: bytes) -> tuple[ByteState | None, float]:
    """The state behind ``data`` and the natural log of the probability of that; None if it is 0.

    From what the states know of their prefixes (:class:`KnowsPrefix`), or else from the next-byte tables.
    """
    log = 0.0
    before: float | None = getattr(state, "log_prefix", None)
    if before is not None:
        state = state.push(data)
        log = float(getattr(state, "log_prefix", -math.inf)) - before
    else:
        for byte in data:
            log += float(normalized(state.next_byte(), "a member")[byte])
            state = state.push(byte)
    return (state, log) if log > -math.inf else (None, -math.inf)
