"""Automata over bytes that read text: character sets as UTF-8, nondeterministic automata, and lazy determinization."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import ConstraintError

Ranges = tuple[tuple[int, int], ...]
"""Sorted, disjoint ranges of code points, ends included."""

MAX_STATES = 100_000
"""States of a nondeterministic automaton; ``\\w{320}`` needs about as many."""

# The code points that UTF-8 writes with 1, 2, 3 and 4 bytes, and the first byte of each kind. Surrogates have no UTF-8.
_KINDS = (
    (0x00, 0x7F, 0, 0x00),
    (0x80, 0x7FF, 1, 0xC0),
    (0x800, 0xD7FF, 2, 0xE0),
    (0xE000, 0xFFFF, 2, 0xE0),
    (0x10000, 0x10FFFF, 3, 0xF0),
)

_Edges = tuple[tuple[int, int, "_Edges | None"], ...]
"""What may follow: a range of bytes and what may follow that; None behind the last byte of a character."""


@lru_cache(maxsize=256)
def utf8_edges(ranges: Ranges) -> _Edges:
    """The UTF-8 sequences of a set of characters. Equal ends are one object, so the result is small."""
    made: dict[tuple[int, Ranges], _Edges] = {}
    edges: list[tuple[int, int, _Edges | None]] = []
    for low, high, more, lead in _KINDS:
        part = _within(ranges, low, high)
        if more == 0:
            edges += [(first, last, None) for first, last in part]
        elif part:
            edges += [(lead + first, lead + last, rest) for first, last, rest in _blocks(part, more, made)]
    return tuple(edges)


def _blocks(ranges: Ranges, more: int, made: dict[tuple[int, Ranges], _Edges]) -> list[tuple[int, int, _Edges | None]]:
    """Ranges by their leading digit, of ``more`` digits of 6 bits below it; neighbors with equal rests are joined."""
    size = 64**more
    by_digit: dict[int, list[tuple[int, int]]] = {}
    edges: list[tuple[int, int, _Edges | None]] = []
    for first, last in ranges:
        for digit in range(first // size, last // size + 1):
            inside = max(first - digit * size, 0), min(last - digit * size, size - 1)
            by_digit.setdefault(digit, []).append(inside)
    for digit, inside_digit in by_digit.items():
        rest = _continuation(tuple(inside_digit), more, made)
        if edges and edges[-1][1] == digit - 1 and edges[-1][2] is rest:
            edges[-1] = (edges[-1][0], digit, rest)
        else:
            edges.append((digit, digit, rest))
    return edges


def _continuation(ranges: Ranges, digits: int, made: dict[tuple[int, Ranges], _Edges]) -> _Edges:
    key = digits, ranges
    if key not in made:
        if digits == 1:
            made[key] = tuple((0x80 + first, 0x80 + last, None) for first, last in ranges)
        else:
            blocks = _blocks(ranges, digits - 1, made)
            made[key] = tuple((0x80 + first, 0x80 + last, rest) for first, last, rest in blocks)
    return made[key]


def _within(ranges: Ranges, low: int, high: int) -> Ranges:
    return tuple((max(first, low), min(last, high)) for first, last in ranges if first <= high and last >= low)


class Nfa:
    """A nondeterministic automaton in the making: states are numbers, edges read a byte or nothing.

    It is built from the end to the beginning: each method takes the state that follows, and gives the one to enter.
    """

    def __init__(self) -> None:
        self.reads: list[list[tuple[int, int, int]]] = []
        """By state: first byte, last byte, target."""
        self.jumps: list[list[int]] = []
        """By state: targets that are reached without reading."""
        self.end = self.state()
        self.start = self.end

    def state(self, jumps: Iterable[int] = ()) -> int:
        """A new state; raises ConstraintError if there are too many."""
        if len(self.reads) >= MAX_STATES:
            raise ConstraintError(
                f"the regex needs more than {MAX_STATES:,} states; shorten its counted repetitions, or use classes of "
                "fewer characters ((?a) makes \\w, \\d and \\s ASCII)"
            )
        self.reads.append([])
        self.jumps.append(list(jumps))
        return len(self.reads) - 1

    def characters(self, ranges: Ranges, after: int) -> int:
        """One character of a set."""
        made: dict[int, int] = {}

        def place(edges: _Edges | None) -> int:
            if edges is None:
                return after
            # By identity: equal parts of one set are one object.
            if id(edges) not in made:
                targets = [(first, last, place(rest)) for first, last, rest in edges]
                made[id(edges)] = state = self.state()
                self.reads[state] = targets
            return made[id(edges)]

        return place(utf8_edges(ranges))


class LazyDfa:
    """A deterministic automaton whose states are made when they are entered.

    States of the nondeterministic automaton from which its end cannot be reached are dropped first. A state of this one
    is a set of the rest, so a match can be finished from every one of them.
    """

    start: int | None
    """None if nothing matches."""

    def __init__(self, nfa: Nfa) -> None:
        self._nfa = nfa
        self._alive = _reaches_end(nfa)
        self._numbers: dict[frozenset[int], int] = {}
        self._sets: list[frozenset[int]] = []
        self._lock = Lock()
        self._rows: dict[int, NDArray[np.int32]] = {}
        start = self._closure([nfa.start])
        self.start = self._number(start) if start else None

    def accepts(self, state: int) -> bool:
        """Whether a match may end here."""
        return self._nfa.end in self._sets[state]

    def row(self, state: int) -> NDArray[np.int32]:
        """The state behind each byte, shape ``(256,)``; -1 for none. Not to be changed."""
        row = self._rows.get(state)
        if row is None:
            self._rows[state] = row = self._make_row(state)
        return row

    def _make_row(self, state: int) -> NDArray[np.int32]:
        edges = [edge for one in self._sets[state] for edge in self._nfa.reads[one] if edge[2] in self._alive]
        # Between two of these places all bytes lead to the same set.
        cuts = sorted({0, 256, *(first for first, _, _ in edges), *(last + 1 for _, last, _ in edges)})
        row = np.full(256, -1, dtype=np.int32)
        for low, high in pairwise(cuts):
            targets = {target for first, last, target in edges if first <= low <= last}
            if targets:
                row[low:high] = self._number(self._closure(targets))
        row.flags.writeable = False
        return row

    def _closure(self, states: Iterable[int]) -> frozenset[int]:
        """What is reached without reading; only states that read, and the end, make a difference later."""
        seen, waiting = set(), [state for state in states if state in self._alive]
        while waiting:
            state = waiting.pop()
            if state not in seen:
                seen.add(state)
                waiting += [target for target in self._nfa.jumps[state] if target in self._alive]
        return frozenset(state for state in seen if self._nfa.reads[state] or state == self._nfa.end)

    def _number(self, states: frozenset[int]) -> int:
        # Members of an ensemble may step the same automaton from several threads.
        with self._lock:
            number = self._numbers.setdefault(states, len(self._sets))
            if number == len(self._sets):
                self._sets.append(states)
            return number


def _reaches_end(nfa: Nfa) -> set[int]:
    before: list[list[int]] = [[] for _ in nfa.reads]
    for state, (reads, jumps) in enumerate(zip(nfa.reads, nfa.jumps, strict=True)):
        for target in [*(edge[2] for edge in reads), *jumps]:
            before[target].append(state)
    alive, waiting = {nfa.end}, [nfa.end]
    while waiting:
        for state in before[waiting.pop()]:
            if state not in alive:
                alive.add(state)
                waiting.append(state)
    return alive


def joined(ranges: Sequence[tuple[int, int]]) -> Ranges:
    """Ranges sorted, without overlaps, and without surrogates."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return (*_within(tuple(merged), 0, 0xD7FF), *_within(tuple(merged), 0xE000, 0x10FFFF))
