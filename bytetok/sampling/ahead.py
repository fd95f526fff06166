"""Asking ahead: the likeliest next bytes go into a model call that is needed anyway.

On what the model has said so far, some continuations are likely: the rest of a token that has begun. And where it has
not said anything yet, texts repeat themselves. The nodes of such continuations are known before the model is asked, so
that one call can answer for all of them; whoever then goes on that way needs no call for as long. No answer depends on
what was asked ahead: a continuation that does not come has cost its positions, that is all.
"""

from __future__ import annotations

import heapq
import math
from itertools import count

import numpy as np

from bytetok.errors import ImpossibleByteError
from bytetok.sampling.live import Live
from bytetok.sampling.state import Known, TokenByteState

AHEAD = 8
"""Token positions beyond those that a call needs, unless told otherwise."""

_LEAST = 0.05
"""Continuations that are less likely than this are not worth a position."""

_REPEATS = 8
"""Bytes that a repetition is recognized by, at most."""

_SURE = 2
"""And at least, to ask about all of what came the last time; three times that where a character has three bytes."""

_RUN = 12
"""Bytes of a repetition that are asked about token by token."""

_ORDERS = (5, 4, 3, 2, 1)
"""How many of the last bytes are looked up in the text, to count what came behind them."""

_RECENT = 4096
"""Bytes of the text in which they are looked up."""

_COUNTED = 16
"""Occurrences that are counted, the last ones."""


def look_ahead(state: TokenByteState, known: Known, pending: dict[int, Live]) -> None:
    """Adds to ``pending`` the nodes that the likeliest texts from ``state`` on have to be asked about.

    The states behind those texts are kept in :attr:`TokenByteState.next_states`.
    """
    whole = known.sum
    if state.sampler.ahead == 0 or not whole > 0:
        return
    limit = len(pending) + state.sampler.ahead
    log_whole = known.top + math.log(whole)
    recent = state.prefix[-_RECENT:]
    order = count()
    heap: list[tuple[float, int, TokenByteState, int, bytes]] = []
    # Where the model will have said least: the mass of what is asked in this call, the state, and its text.
    silent: tuple[float, TokenByteState, bytes] = (0.0, state, b"")

    def offer(behind: TokenByteState, known: Known, text: bytes) -> None:
        nonlocal silent
        scale = math.exp(known.top - log_whole)
        chances = known.masses[:-1] * scale
        unasked = scale * sum(mass for mass, _ in known.unasked)
        if unasked >= _LEAST:
            silent = max(silent, (unasked, behind, text), key=lambda one: one[0])
            if state.sampler.defers == 0:
                for byte, chance in _expected(recent + text).items():
                    chances[byte] += unasked * chance
        for byte in np.flatnonzero(chances >= _LEAST).tolist():
            heapq.heappush(heap, (-float(chances[byte]), next(order), behind, byte, text))

    offer(state, known, b"")
    while heap and len(pending) < limit:
        _, _, before, byte, text = heapq.heappop(heap)
        behind = _step(before, byte)
        if behind is not None:
            known = behind.look()
            behind.wanted(known, pending, ahead=True)
            offer(behind, known, text + bytes([byte]))
    if state.sampler.defers > 0 and len(pending) < limit:
        _, behind, text = silent
        _run(behind, recent + text, pending, limit)


def _step(before: TokenByteState, byte: int) -> TokenByteState | None:
    behind = before.next_states.get(byte)
    if behind is None:
        try:
            behind = before.next_states[byte] = before.step(byte, before.core.length)
        except ImpossibleByteError:  # what came before need not be possible here
            return None
    return behind


def _expected(text: bytes) -> dict[int, float]:
    """How probable each next byte is by what came behind the same bytes before; most have nothing.

    Prediction by partial matching (Cleary and Witten 1984; escapes of method C): the longest context first, and shorter
    ones with the weight that as many different continuations as it had leave for new ones.
    """
    chances: dict[int, float] = {}
    left = 1.0
    for size in _ORDERS:
        counts: dict[int, int] = {}
        at = len(text) - size
        if at <= 0:
            continue
        context = text[at:]
        for _ in range(_COUNTED):
            at = text.rfind(context, 0, at + size - 1)
            if at < 0:
                break
            counts[text[at + size]] = counts.get(text[at + size], 0) + 1
        if not counts:
            continue
        whole = sum(counts.values()) + len(counts)
        for byte, number in counts.items():
            chances[byte] = chances.get(byte, 0.0) + left * number / whole
        left *= len(counts) / whole
        if left < _LEAST:
            break
    return chances


def _repeated(text: bytes) -> tuple[int, bytes]:
    """How many of the last bytes came before, 2 to 8 of them or none, and what came behind them then."""
    for size in range(min(_REPEATS, len(text) - 1), 1, -1):
        at = text.rfind(text[-size:], 0, len(text) - 1)
        if at >= 0:
            return size, text[at + size : at + size + _RUN]
    return 0, b""


def _run(state: TokenByteState, text: bytes, pending: dict[int, Live], limit: int) -> None:
    """Adds the tokens of what came the last time behind such a text, not every node of it: epsilon lets those wait."""
    size, rest = _repeated(text)
    if size < (_SURE if text[-1] < 0x80 else 3 * _SURE):
        return
    at: TokenByteState | None = state
    for byte in rest:
        ahead = _step(at, byte) if at is not None else None
        if ahead is None:
            break
        at = ahead
    if at is None or at is state:
        return
    count = at.core.newest()
    for live in at.lives[len(at.lives) - count :][:1]:
        for one in reversed(live.chain):
            if len(pending) < limit:
                pending.setdefault(id(one), one)
