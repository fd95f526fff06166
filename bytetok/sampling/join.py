"""Infilling without infilling tokens: search for the middle that makes prefix, middle and suffix most probable."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import ImpossibleByteError, SamplingError
from bytetok.sampling.constraints import Automaton
from bytetok.sampling.protocol import STOP, ByteModel, ByteState, as_bytes, normalized
from bytetok.sampling.utf8 import Utf8, unfinished


@dataclass(frozen=True)
class Middle:
    """A text that stands between prefix and suffix."""

    bytes: bytes
    logprobs: NDArray[np.float64] = field(compare=False)
    """Natural log of the probability of each of its bytes, ``(len(bytes),)``."""
    logprob: float
    """Natural log of P(middle + suffix | prefix), of as much of the suffix as was asked for."""


@dataclass(frozen=True)
class Joined:
    """The result of a search."""

    middles: tuple[Middle, ...]
    """The most probable middles, best first."""
    is_exact: bool
    """Whether no other middle of up to ``max_bytes`` is more probable: nothing was left out for the beam or the
    budget."""
    evaluations: int
    """How many next-byte tables the search asked the model for."""


def join(
    model: ByteModel,
    prefix: str | bytes,
    suffix: str | bytes,
    *,
    max_bytes: int = 32,
    n: int = 1,
    beam: int | None = None,
    max_evaluations: int = 10_000,
    join_bytes: int | None = 64,
    constraint: Automaton | None = None,
    valid_utf8: bool = True,
) -> Joined:
    """Find the ``n`` middles of up to ``max_bytes`` that maximize P(prefix + middle + suffix).

    Best-first search. The cost of a text, -log P, only grows with every byte, so the first middle that has reached the
    end of the suffix is the best of all, the next one the second best, and so on: exact, whatever the model. How many
    texts there are to look at grows exponentially with the middle, so two limits bound the work, and ``is_exact`` says
    whether they did. ``beam``: of each length, only so many middles are continued, the most probable ones; what is lost
    are middles that begin improbably. ``max_evaluations``: after so many tables, the middle that has gone furthest into
    the suffix is taken to its end (which may take ``join_bytes`` more), and is what is returned if no other was found.

    Only the first ``join_bytes`` of the suffix count; None for all. An empty suffix is the end of the text. A short
    middle has an advantage where the suffix says little, as every byte costs something. With ``valid_utf8``, only
    middles are tried that make whole characters with what is around them, and with ``constraint``, only those that it
    accepts; probabilities are the model's own, not renormalized.

    Raises SamplingError for a limit out of range, and ImpossibleByteError if no middle has a probability above 0.
    """
    for name, value, least in (("max_bytes", max_bytes, 0), ("n", n, 1), ("max_evaluations", max_evaluations, 1)):
        if value < least:
            raise SamplingError(f"{name} is {value}; expected a number from {least} up")
    if beam is not None and beam < 1:
        raise SamplingError(f"beam is {beam}; expected a number of middles from 1 up, or None for all")
    if join_bytes is not None and join_bytes < 1:
        raise SamplingError(f"join_bytes is {join_bytes}; expected a number from 1 up, or None for all")
    limits = _Limits(max_bytes, n, beam, max_evaluations)
    checks = _Checks(as_bytes(prefix), as_bytes(suffix), constraint, valid_utf8)
    return _Search(model, as_bytes(prefix), as_bytes(suffix)[:join_bytes], limits, checks).run()


class _Limits(NamedTuple):
    max_bytes: int
    n: int
    beam: int | None
    max_evaluations: int


Place = tuple[Any, Any]
"""The states of the UTF-8 automaton and of the constraint."""


class _Checks:
    """What middles are allowed, beside their probability."""

    def __init__(self, prefix: bytes, suffix: bytes, constraint: Automaton | None, valid_utf8: bool) -> None:
        self._utf8 = Utf8(unfinished(prefix)) if valid_utf8 else None
        self._constraint = constraint
        self._suffix = suffix
        self.start: Place = (
            self._utf8.start if self._utf8 is not None else None,
            constraint.start if constraint is not None else None,
        )

    def step(self, place: Place, byte: int) -> Place | None:
        """The place behind a byte of the middle, or None if it is not allowed."""
        text, limit = place
        if self._utf8 is not None:
            text = self._utf8.step(text, byte)
            if text is None:
                return None
        if self._constraint is not None:
            limit = self._constraint.step(limit, byte)
            if limit is None or not self._constraint.can_finish(limit):
                return None
        return text, limit

    def may_end(self, place: Place) -> bool:
        """Whether the middle may end here, with the suffix behind it."""
        text, limit = place
        if self._constraint is not None and not self._constraint.accepts(limit):
            return False
        if self._utf8 is None:
            return True
        # A suffix may begin inside a character, which the middle then has begun. The rest of it is what it is.
        for byte in self._suffix:
            text = self._utf8.step(text, byte)
            if text is None or self._utf8.accepts(text):
                break
        return text is not None and (bool(self._suffix) or self._utf8.accepts(text))


class _Item(NamedTuple):
    """A middle, and how much of the suffix stands behind it. In order of cost; at a tie, what is nearer to the end."""

    cost: float
    missing: int
    """Symbols of the suffix that have not been read."""
    middle: bytes
    rank: int
    """Which of its siblings it is, in order of probability; to find the next one. -1 behind the middle."""


class _Search:
    def __init__(self, model: ByteModel, prefix: bytes, suffix: bytes, limits: _Limits, checks: _Checks) -> None:
        self._ending = [*suffix] if suffix else [STOP]
        self._limits = limits
        self._checks = checks
        self._states: dict[bytes, ByteState] = {b"": model.state(prefix)}
        self._tables: dict[bytes, NDArray[np.float64]] = {}
        self._orders: dict[bytes, NDArray[np.intp]] = {}
        self._places: dict[bytes, Place] = {b"": checks.start}
        self._costs: dict[bytes, float] = {b"": 0.0}
        self._heap = [_Item(0.0, len(self._ending), b"", -1)]
        self._expanded: Counter[int] = Counter()
        self._is_exact = True

    def run(self) -> Joined:
        limits, found = self._limits, list[_Item]()
        while self._heap and len(found) < limits.n:
            item = heappop(self._heap)
            if not item.missing:
                found.append(item)
            elif len(self._tables) >= limits.max_evaluations and self._text(item) not in self._tables:
                self._is_exact = False
                heappush(self._heap, item)
                break
            elif item.missing < len(self._ending):
                self._read_on(item)
            else:
                self._expand(item)
        if len(found) < limits.n and not self._is_exact:
            found += self._hurry(limits.n - len(found))
        if not found:
            suffix = "the end of the text" if self._ending == [STOP] else repr(bytes(self._ending))
            raise ImpossibleByteError(
                f"no middle of up to {limits.max_bytes} bytes joins {suffix}: all have the probability 0 or are not "
                "allowed"
            )
        return Joined(tuple(map(self._middle, found)), self._is_exact, len(self._tables))

    def _expand(self, item: _Item) -> None:
        """Let a middle end here, and let it go on."""
        self._next_sibling(item)
        size, beam = len(item.middle), self._limits.beam
        if beam is not None and self._expanded[size] >= beam:
            self._is_exact = False
            return
        self._expanded[size] += 1
        self._costs[item.middle] = item.cost
        if self._checks.may_end(self._places[item.middle]):
            self._read_on(item)
        if size < self._limits.max_bytes:
            self._push_child(item.middle, 0)

    def _read_on(self, item: _Item) -> None:
        """One more symbol of the suffix."""
        symbol = self._ending[len(self._ending) - item.missing]
        cost = item.cost - float(self._table(self._text(item))[symbol])
        if cost < np.inf:
            heappush(self._heap, _Item(cost, item.missing - 1, item.middle, -1))

    def _next_sibling(self, item: _Item) -> None:
        # Only when a child is looked at does the next best one come up: the heap stays as small as the search.
        if item.rank >= 0:
            self._push_child(item.middle[:-1], item.rank + 1)

    def _push_child(self, parent: bytes, rank: int) -> None:
        """Put up the best child from ``rank`` on that is possible and allowed, if its length is still open."""
        beam, size = self._limits.beam, len(parent) + 1
        table = self._table(parent)
        order = self._orders.get(parent)
        if order is None:
            self._orders[parent] = order = np.argsort(-table[:STOP], kind="stable")
        for at in range(rank, STOP):
            byte = int(order[at])
            if table[byte] == -np.inf:
                return
            place = self._checks.step(self._places[parent], byte)
            if place is not None and beam is not None and self._expanded[size] >= beam:
                self._is_exact = False
                return
            if place is not None:
                child = parent + bytes([byte])
                self._places[child] = place
                cost = self._costs[parent] - float(table[byte])
                heappush(self._heap, _Item(cost, len(self._ending), child, at))
                return

    def _hurry(self, count: int) -> list[_Item]:
        """The budget is spent: what has reached the end, or else what is nearest to it, taken there."""
        done = sorted(item for item in self._heap if not item.missing)[:count]
        for item in sorted(self._heap, key=lambda one: (one.missing, one.cost)):
            if done:
                break
            if not self._checks.may_end(self._places[item.middle]):
                continue
            cost = item.cost
            for missing in range(item.missing, 0, -1):
                text = self._text(item._replace(missing=missing))
                cost -= float(self._table(text)[self._ending[len(self._ending) - missing]])
                if cost == np.inf:
                    break
            else:
                done.append(_Item(cost, 0, item.middle, -1))
        return done

    def _text(self, item: _Item) -> bytes:
        """What stands behind the prefix. Middles that begin like the suffix share texts, and so tables."""
        return item.middle + bytes(self._ending[: len(self._ending) - item.missing])

    def _table(self, text: bytes) -> NDArray[np.float64]:
        table = self._tables.get(text)
        if table is None:
            self._tables[text] = table = normalized(self._state(text).next_byte(), "the model")
        return table

    def _state(self, text: bytes) -> ByteState:
        state = self._states.get(text)
        if state is None:
            self._states[text] = state = self._state(text[:-1]).push(text[-1])
        return state

    def _middle(self, item: _Item) -> Middle:
        logs = [float(self._table(item.middle[:at])[byte]) for at, byte in enumerate(item.middle)]
        return Middle(item.middle, np.array(logs, dtype=np.float64), -item.cost)
