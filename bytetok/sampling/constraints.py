"""Limits on the output, byte by byte: automata, and models that obey them.

A constraint is an automaton over bytes. It needs no masks over a vocabulary, as a byte model never sees tokens, and it
works in ensembles for the same reason.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import ConstraintError, ImpossibleByteError
from bytetok.sampling.protocol import STOP, SYMBOLS, ByteModel, ByteState, as_bytes, normalized, pushed_bytes
from bytetok.sampling.regex_automaton import LazyDfa
from bytetok.sampling.regex_syntax import compile_regex


class Automaton(Protocol):
    """A deterministic automaton over bytes. States are hashable values, and None stands for no way on.

    One may also have a method ``allowed(state)`` that says for all bytes at once, as booleans of shape ``(256,)``,
    which of them lead to a state that can be finished; without it, every byte is tried.
    """

    @property
    def start(self) -> Hashable:
        """The state before the first byte."""

    def step(self, state: Any, byte: int) -> Hashable | None:
        """The state behind a byte, or None where the byte is not allowed."""

    def accepts(self, state: Any) -> bool:
        """Whether the text may end here."""

    def can_finish(self, state: Any) -> bool:
        """Whether some text leads from here to a state that accepts; one of which this is False is never entered."""


class ByteRegex:
    """The texts that a regex matches as a whole, as an automaton over their UTF-8 bytes.

    The syntax is that of Python's ``re``, and so is what ``\\w``, ``\\d``, ``\\s``, ``(?i)`` and ``(?a)`` stand for;
    :mod:`bytetok.sampling.regex_syntax` says what is left out. States are made when they are first entered, so a regex
    with a large automaton costs what the text visits. From every state a match can be finished.

    Raises ConstraintError for a regex that does not compile, that is too large, or that no text matches.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._dfa = LazyDfa(compile_regex(pattern))
        if self._dfa.start is None:
            raise ConstraintError(f"no text matches the regex {pattern!r}; there is nothing to limit an output to")
        self.start: int = self._dfa.start

    def step(self, state: int, byte: int) -> int | None:
        """The state behind a byte, or None where no match goes on with it."""
        target = int(self._dfa.row(state)[byte])
        return None if target < 0 else target

    def accepts(self, state: int) -> bool:
        """Whether what was read is a match."""
        return self._dfa.accepts(state)

    def can_finish(self, state: int) -> bool:
        """True: parts of the automaton from which no match can be reached are cut away when it is made."""
        return True

    def allowed(self, state: int) -> NDArray[np.bool_]:
        """Which bytes a match may go on with, shape ``(256,)``."""
        return self._dfa.row(state) >= 0

    def matches(self, text: str | bytes) -> bool:
        """Whether the regex matches the whole of a text."""
        state: int | None = self.start
        for byte in as_bytes(text):
            state = self.step(state, byte) if state is not None else None
        return state is not None and self.accepts(state)

    def __repr__(self) -> str:
        return f"ByteRegex({self.pattern!r})"

    def __reduce__(self) -> tuple[type[ByteRegex], tuple[str]]:
        return ByteRegex, (self.pattern,)


class Constrained:
    """A byte model whose texts are those of an automaton: itself a byte model, so it can join ensembles.

    The automaton reads what follows the prefix of :meth:`state`, not the prefix. Bytes that it does not allow have
    probability 0, and so has the end where it does not accept. The rest is renormalized at every byte.

    That is not the model's distribution *given* that the text matches: a byte that is likely now and leads to an
    unlikely end keeps its share, since nobody looks ahead.
    """

    def __init__(self, model: ByteModel, automaton: Automaton) -> None:
        self.model = model
        self.automaton = automaton
        if not automaton.can_finish(automaton.start):
            raise ConstraintError(f"no text satisfies {automaton!r}; there is nothing to limit an output to")

    def state(self, prefix: bytes | str = b"") -> ConstrainedState:
        """The model behind ``prefix``, and the automaton at its start."""
        return ConstrainedState(self, self.model.state(prefix), self.automaton.start)

    def next_byte(self, prefix: bytes | str) -> NDArray[np.float64]:
        """``state(prefix).next_byte()``: what may come first."""
        return self.state(prefix).next_byte()


class ConstrainedState:
    """A constrained model behind a prefix and what was pushed since. Immutable."""

    def __init__(self, model: Constrained, inner: ByteState, place: Hashable) -> None:
        self.model = model
        self.inner = inner
        """The state of the model without the constraint."""
        self.place = place
        """The state of the automaton."""

    @property
    def prefix(self) -> bytes:
        """The bytes read so far, those of the first prefix included."""
        return self.inner.prefix

    def next_byte(self) -> NDArray[np.float64]:
        """Natural-log probabilities ``(257,)``.

        Raises ImpossibleByteError where all that the constraint allows is impossible to the model.
        """
        return self._table

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        logs = normalized(self.inner.next_byte(), "the model")
        logs = np.where(allowed_symbols(self.model.automaton, self.place), logs, -np.inf)
        table = normalized(logs, f"after {self.prefix[-40:]!r}, the model under {self.model.automaton!r}")
        table.flags.writeable = False
        return table

    def push(self, byte: int | bytes) -> ConstrainedState:
        """The state behind more bytes; raises ImpossibleByteError for one that is not allowed or has probability 0."""
        automaton, place, data = self.model.automaton, self.place, pushed_bytes(byte)
        for at, one in enumerate(data):
            target = automaton.step(place, one)
            if target is None or not automaton.can_finish(target):
                text = (self.prefix + data[:at])[-40:]
                raise ImpossibleByteError(f"byte {one:#04x} after {text!r} is not allowed by {automaton!r}")
            place = target
        # All bytes at once: a model may need its next-byte table for none of them.
        return ConstrainedState(self.model, self.inner.push(data), place)

    def fork(self) -> ConstrainedState:
        """This state."""
        return self


def allowed_symbols(automaton: Automaton, state: Hashable) -> NDArray[np.bool_]:
    """Which of the 257 symbols an automaton allows: bytes behind which it can finish, and the end where it accepts."""
    mask = np.zeros(SYMBOLS, dtype=np.bool_)
    # Not a protocol to be checked: that would take longer than all the rest.
    allowed = getattr(automaton, "allowed", None)
    if allowed is not None:
        mask[:STOP] = allowed(state)
    else:
        for byte in range(256):
            target = automaton.step(state, byte)
            mask[byte] = target is not None and automaton.can_finish(target)
    mask[STOP] = automaton.accepts(state)
    return mask
