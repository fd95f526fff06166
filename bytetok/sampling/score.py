"""What a text costs: every next-byte distribution of a known text, from packed model calls.

All nodes of the coverings of a text are known before the model is asked, so one call (for a long text, one for each
piece) evaluates them together: one position for each byte, give or take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import ImpossibleByteError
from bytetok.lm import Context
from bytetok.sampling.protocol import STOP, SYMBOLS

if TYPE_CHECKING:
    from bytetok.sampling.sampler import ByteSampler, Live, TokenByteState

_PIECE = 1024
"""Bytes of a text whose nodes go through the model together."""


@dataclass(frozen=True)
class Score:
    """``logprobs``: natural-log probability of each byte behind those before it, shape (n,). ``log_stop``: of the end
    of the text behind all of them. ``marginals``: all next-byte distributions, shape (n, 257), if they were asked for.
    """

    logprobs: NDArray[np.float64]
    log_stop: float
    marginals: NDArray[np.float64] | None = None

    @property
    def bits_per_byte(self) -> float:
        """Mean of the bytes' negative base-2 logarithms, without the end of the text; NaN for an empty text."""
        return float(-self.logprobs.mean() / np.log(2)) if len(self.logprobs) else float("nan")


def score(sampler: ByteSampler, text: bytes, *, marginals: bool = False) -> Score:
    """The probability of each byte of ``text`` under ``sampler``; the same as pushing byte by byte.

    One model call for each 1,024 bytes, with about one position a byte. With ``epsilon`` above 0, where what is
    forgotten depends on the model's answers, the bytes are pushed one by one.

    Raises ImpossibleByteError if the law has no covering of the text, ContextLengthError if it is longer than the
    model can read.
    """
    state = sampler.state()
    table = state.next_byte()
    logprobs, kept = [np.empty(0)], [np.empty((0, SYMBOLS))]
    for start in range(0, len(text), _PIECE):
        piece = text[start : start + _PIECE]
        tables = np.empty((len(piece) + 1, SYMBOLS))
        tables[0] = table
        if sampler.epsilon > 0:
            for at, byte in enumerate(piece):
                state = state.push(byte)
                tables[at + 1] = state.next_byte()
        else:
            state = _piece(sampler, state, piece, tables[1:])
        logprobs.append(tables[np.arange(len(piece)), np.frombuffer(piece, dtype=np.uint8)])
        if np.isneginf(logprobs[-1]).any():
            at = start + int(np.argmax(np.isneginf(logprobs[-1])))
            raise ImpossibleByteError(
                f"byte 0x{text[at]:02X} at offset {at} has probability 0 under law {sampler.law!r}"
            )
        table = tables[-1]
        if marginals:
            kept.append(tables[:-1])
    return Score(np.concatenate(logprobs), float(table[STOP]), np.concatenate(kept) if marginals else None)


def _piece(sampler: ByteSampler, state: TokenByteState, piece: bytes, tables: NDArray[np.float64]) -> TokenByteState:
    """Fills in the tables behind each byte of a piece, and returns the state behind it, evaluated."""
    from bytetok.sampling.sampler import parent_of, row_of

    states = []
    for byte in piece:
        state = state.push(byte)
        states.append(state)
    before = {id(live) for live in states[0]._lives if live.context is not None}
    # Where each node is alive: the states it belongs to, and its number there.
    alive: dict[int, list[tuple[int, int]]] = {}
    new: dict[int, Live] = {}
    old: dict[int, Live] = {}
    for at, one in enumerate(states):
        for number, live in enumerate(one._lives):
            alive.setdefault(id(live), []).append((at, number))
            if id(live) in before:
                old[id(live)] = live
            else:
                new[id(live)] = live
    nodes = list(new.values())
    places = {id(live): place for place, live in enumerate(nodes)}
    children: dict[int, list[Live]] = {}
    items: list[tuple[Context | int, int]] = []
    for live in nodes:
        parent, token = parent_of(live)
        if id(parent) in places:
            items.append((places[id(parent)], token))
            children.setdefault(id(parent), []).append(live)
        elif parent.context is not None:
            items.append((parent.context, token))
            live.log_weight = parent.log_weight + float(row_of(parent)[token])
    last = {id(live) for live in state._lives}
    stops = sampler._stops
    masses = np.full((len(piece), SYMBOLS), -np.inf)
    ends = [one._core.may_end() for one in states]

    def add(live: Live, row: NDArray[np.floating]) -> None:
        live.learn(row, keep=True)
        weights = live.weights
        if weights is None:
            return
        for at, number in alive[id(live)]:
            core = states[at]._core
            only = core.only([other == number for other in range(len(states[at]._lives))])
            with np.errstate(divide="ignore"):
                here = np.log(np.frombuffer(only.masses([weights], [1.0])))
                masses[at, :STOP] = np.logaddexp(masses[at, :STOP], live.log_weight + here)
                if len(stops) and ends[at][number]:
                    stop = np.log(np.exp(row[stops].astype(np.float64)).sum())
                    masses[at, STOP] = np.logaddexp(masses[at, STOP], live.log_weight + stop)
        if id(live) not in last:
            live.row = live.weights = None

    def learn(place: int, row: NDArray[np.floating]) -> None:
        live = nodes[place]
        for child in children.get(id(live), ()):
            child.log_weight = live.log_weight + float(row[parent_of(child)[1]])
        add(live, row)

    if nodes:
        for live, context in zip(nodes, sampler.lm.extend(items, reduce=learn), strict=True):
            live.context = context
    for live in old.values():
        add(live, row_of(live))
    with np.errstate(invalid="ignore", divide="ignore"):
        top = masses.max(axis=1, keepdims=True)
        tables[: len(piece)] = masses - top - np.log(np.exp(masses - top).sum(axis=1, keepdims=True))
    return state
