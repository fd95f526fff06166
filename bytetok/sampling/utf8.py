"""UTF-8 as an automaton: which bytes may come next in text, and what is left over of a text cut inside a character."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import ConstraintError
from bytetok.sampling.constraints import Automaton, allowed_symbols
from bytetok.sampling.protocol import STOP


class _Place(NamedTuple):
    """How many bytes of the character are missing, and the range of the next one; the first may be narrower."""

    missing: int
    low: int = 0x80
    high: int = 0xBF


_BETWEEN = _Place(0)

# Table 3-7 of the Unicode standard: no overlong forms, no surrogates, nothing above U+10FFFF.
_LEADS: dict[int, _Place] = {
    **dict.fromkeys(range(0x00, 0x80), _BETWEEN),
    **dict.fromkeys(range(0xC2, 0xE0), _Place(1)),
    **dict.fromkeys(range(0xE0, 0xF0), _Place(2)),
    **dict.fromkeys(range(0xF0, 0xF5), _Place(3)),
    0xE0: _Place(2, 0xA0),
    0xED: _Place(2, high=0x9F),
    0xF0: _Place(3, 0x90),
    0xF4: _Place(3, high=0x8F),
}


class Utf8:
    """All UTF-8 text. With ``begun``, the bytes of a character that the text before has begun, it goes on with that.

    The text may not end inside a character.
    """

    def __init__(self, begun: bytes = b"") -> None:
        place: _Place | None = _BETWEEN
        for byte in begun:
            place = self.step(place, byte) if place is not None else None
        if place is None:
            raise ConstraintError(f"{begun!r} is not the beginning of UTF-8 text")
        self.start: _Place = place

    def step(self, state: _Place, byte: int) -> _Place | None:
        """The state behind a byte, or None where no UTF-8 text goes on with it."""
        if not state.missing:
            return _LEADS.get(byte)
        if not state.low <= byte <= state.high:
            return None
        return _Place(state.missing - 1) if state.missing > 1 else _BETWEEN

    def accepts(self, state: _Place) -> bool:
        """Whether a character has just ended."""
        return not state.missing

    def can_finish(self, state: _Place) -> bool:
        """True: every character can be finished."""
        return True

    def allowed(self, state: _Place) -> NDArray[np.bool_]:
        """Which bytes text may go on with, shape ``(256,)``."""
        return _allowed(state)

    def __repr__(self) -> str:
        return "Utf8()"


@lru_cache(maxsize=16)  # there are nine
def _allowed(place: _Place) -> NDArray[np.bool_]:
    utf8 = Utf8()
    mask = np.array([utf8.step(place, byte) is not None for byte in range(256)])
    mask.flags.writeable = False
    return mask


class AfterCharacter:
    """First the rest of a character that the text before has begun, then another automaton."""

    def __init__(self, begun: bytes, then: Automaton) -> None:
        self._utf8 = Utf8(begun)
        self._then = then
        self.start: tuple[bool, Hashable] = self._place(self._utf8.start)

    def _place(self, place: _Place) -> tuple[bool, Hashable]:
        """Whether the other automaton has its turn, and the state of the one whose turn it is."""
        return (False, place) if place.missing else (True, self._then.start)

    def step(self, state: tuple[bool, Any], byte: int) -> tuple[bool, Hashable] | None:
        """The state behind a byte, or None where it is not allowed."""
        has_turn, place = state
        if has_turn:
            target = self._then.step(place, byte)
            return None if target is None else (True, target)
        after = self._utf8.step(place, byte)
        return None if after is None else self._place(after)

    def accepts(self, state: tuple[bool, Any]) -> bool:
        """Whether the other automaton accepts."""
        return state[0] and self._then.accepts(state[1])

    def can_finish(self, state: tuple[bool, Any]) -> bool:
        """Whether the other automaton can be finished."""
        return self._then.can_finish(state[1] if state[0] else self._then.start)

    def allowed(self, state: tuple[bool, Any]) -> NDArray[np.bool_]:
        """Which bytes lead on, shape ``(256,)``."""
        has_turn, place = state
        return allowed_symbols(self._then, place)[:STOP] if has_turn else _allowed(place)

    def __repr__(self) -> str:
        return repr(self._then)


def unfinished(data: bytes) -> bytes:
    """The bytes at the end of ``data`` that begin a character and do not finish it; empty at the end of one.

    Bytes that can be part of no character are not counted: ``unfinished(b"\\x80")`` is empty.
    """
    utf8 = Utf8()
    for size in range(1, min(3, len(data)) + 1):
        place: _Place | None = utf8.start
        for byte in data[-size:]:
            place = utf8.step(place, byte) if place is not None else None
        if place is not None and place.missing:
            return data[-size:]
    return b""
