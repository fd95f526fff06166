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
    from bytetok.sampling.live import Live
    from bytetok.sampling.sampler import ByteSampler
from bytetok.sampling.state import TokenByteState

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

    One model call for each 1,024 bytes, with about one position a byte: exact, also where ``epsilon`` would allow less.
    But under law "all", where what is forgotten depends on the model's answers, the bytes are pushed one by one.

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
        if sampler.forgets > 0:
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
    states = []
    for byte in piece:
        state = state.push(byte)
        states.append(state)
    # Where each node is alive: the states it belongs to, and its number there.
    alive: dict[int, list[tuple[int, int]]] = {}
    lives: dict[int, Live] = {}
    for at, one in enumerate(states):
        for number, live in enumerate(one.lives):
            alive.setdefault(id(live), []).append((at, number))
            lives[id(live)] = live
    nodes = [live for live in lives.values() if live.context is None]
    places = {id(live): place for place, live in enumerate(nodes)}
    children: dict[int, list[Live]] = {}
    items: list[tuple[Context | int, int]] = []
    for live in nodes:
        parent = live.before
        items.append((places[id(parent)] if parent.context is None else parent.context, live.token))
        children.setdefault(id(parent), []).append(live)
    masses = np.full((len(piece), SYMBOLS), -np.inf)
    ends = [one.core.may_end() for one in states]
    stops = sampler.stops

    last = {id(live) for live in state.lives}

    def add(live: Live) -> None:
        for at, number in alive[id(live)]:
            count = len(states[at].lives)
            only = [live.weights if other == number else None for other in range(count)]
            data, _ = states[at].core.masses(only, [1.0] * count)
            log_weight = live.log_weight if live.log_weight is not None else -np.inf
            with np.errstate(divide="ignore"):
                masses[at, :STOP] = np.logaddexp(masses[at, :STOP], log_weight + np.log(np.frombuffer(data)))
                if len(stops) and ends[at][number]:
                    stop = np.log(np.exp(live.logs[stops].astype(np.float64)).sum())
                    masses[at, STOP] = np.logaddexp(masses[at, STOP], log_weight + stop)
        if id(live) in places and id(live) not in last:
            live.forget()

    def learn(place: int, row: NDArray[np.floating]) -> None:
        live = nodes[place]
        live.learn(row)
        for child in children.get(id(live), ()):
            child.weigh()
        add(live)

    if nodes:
        for live, context in zip(nodes, sampler.lm.extend(items, reduce=learn), strict=True):
            live.settle(context)
    for live in lives.values():
        if id(live) not in places:
            for child in children.get(id(live), ()):
                child.weigh()
            add(live)
    with np.errstate(invalid="ignore", divide="ignore"):
        top = masses.max(axis=1, keepdims=True)
        tables[: len(piece)] = masses - top - np.log(np.exp(masses - top).sum(axis=1, keepdims=True))
    return state
