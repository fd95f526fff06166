"""Byte models small enough to compute by hand: tables, a byte n-gram model, and brute force over all texts."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import ImpossibleByteError
from bytetok.sampling.protocol import STOP, SYMBOLS, as_bytes, pushed_bytes

Table = NDArray[np.float64]


class TableModel:
    """A byte model given by a function: text so far to 257 probabilities, which need not sum to one.

    ``calls`` holds the texts whose table was asked for.
    """

    def __init__(self, probabilities: Callable[[bytes], Table]) -> None:
        self.probabilities = probabilities
        self.calls: list[bytes] = []

    def state(self, prefix: bytes | str = b"") -> TableState:
        state = TableState(self, b"")
        return state.push(as_bytes(prefix))

    def next_byte(self, prefix: bytes | str) -> Table:
        return self.state(prefix).next_byte()

    def table(self, text: bytes) -> Table:
        values = np.asarray(self.probabilities(text), dtype=np.float64)
        with np.errstate(divide="ignore"):
            return np.log(values / values.sum())


class TableState:
    def __init__(self, model: TableModel, prefix: bytes) -> None:
        self.model = model
        self.prefix = prefix

    def next_byte(self) -> Table:
        self.model.calls.append(self.prefix)
        return self.model.table(self.prefix)

    def push(self, byte: int | bytes) -> TableState:
        prefix = self.prefix
        for one in pushed_bytes(byte):
            if self.model.table(prefix)[one] == -np.inf:
                raise ImpossibleByteError(f"{one} after {prefix!r}")
            prefix += bytes([one])
        return TableState(self.model, prefix)

    def fork(self) -> TableState:
        return self


class WithLogPrefix(TableModel):
    """The same, with states that know the probability of their prefix."""

    def state(self, prefix: bytes | str = b"") -> StateWithLogPrefix:
        return StateWithLogPrefix(self, super().state(prefix).prefix)


class StateWithLogPrefix(TableState):
    @property
    def log_prefix(self) -> float:
        return log_prefix(self.model, self.prefix)

    def push(self, byte: int | bytes) -> StateWithLogPrefix:
        return StateWithLogPrefix(self.model, super().push(byte).prefix)


def random_model(
    seed: int, alphabet: bytes = b"ab", *, stop: bool = True, zeros: float = 0.0, kind: type[TableModel] = TableModel
) -> TableModel:
    """Another random table after every text, over an alphabet; ``zeros``: the share of impossible symbols."""
    symbols = [*alphabet, STOP] if stop else [*alphabet]

    @cache
    def probabilities(text: bytes) -> Table:
        rng = np.random.default_rng([seed, zlib.crc32(text), len(text)])
        weights = rng.dirichlet(np.ones(len(symbols)))
        weights[rng.random(len(symbols)) < zeros] = 0.0
        weights[-1] += 1e-3  # something is always possible
        values = np.zeros(SYMBOLS)
        values[symbols] = weights
        return values

    return kind(probabilities)


def ngram_model(text: bytes, order: int = 3) -> TableModel:
    """Counts of bytes after the last ``order`` bytes, with a little of everything."""
    counts: dict[bytes, Table] = {}
    for at in range(len(text) + 1):
        for size in range(order + 1):
            if size <= at:
                row = counts.setdefault(text[at - size : at], np.zeros(SYMBOLS))
                row[text[at] if at < len(text) else STOP] += 1.0

    def probabilities(context: bytes) -> Table:
        values = np.full(SYMBOLS, 1e-4)
        for size in range(order + 1):
            if size <= len(context) and (row := counts.get(context[len(context) - size :])) is not None:
                values = values * 0.05 + row / row.sum()
        return values

    return TableModel(probabilities)


def fixed_model(values: dict[int, float]) -> TableModel:
    """The same probabilities everywhere."""
    table = np.zeros(SYMBOLS)
    table[list(values)] = list(values.values())
    return TableModel(lambda _: table)


def log_prefix(model: TableModel, text: bytes) -> float:
    """Natural log of the probability that a text of the model begins so."""
    return float(sum(model.table(text[:at])[byte] for at, byte in enumerate(text)))


def log_text(model: TableModel, text: bytes) -> float:
    """Natural log of the probability of exactly this text."""
    return log_prefix(model, text) + float(model.table(text)[STOP])


def texts(alphabet: bytes, longest: int) -> Iterator[bytes]:
    """All texts of an alphabet, up to a length."""
    for size in range(longest + 1):
        yield from map(bytes, itertools.product(alphabet, repeat=size))


class AtMostTwo:
    """An automaton of one's own: up to two bytes a, in a way that states beyond that cannot be finished."""

    def __init__(self, start: int = 0) -> None:
        self.start = start

    def step(self, state: int, byte: int) -> int | None:
        return state + 1 if byte == 97 else None

    def accepts(self, state: int) -> bool:
        return state == 2

    def can_finish(self, state: int) -> bool:
        return state <= 2
