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

_LEAST = 0.1
"""Continuations that are less likely than this are not worth a position: about what one adds to the time of a call."""

_LEAST_TO_WAIT = 0.2
"""The same with epsilon, where a node that is not asked about now may never have to be."""

_RUN = 24
"""Bytes that are asked about token by token, at most, where the model has said nothing."""

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
    least = _LEAST if state.sampler.defers == 0 else _LEAST_TO_WAIT
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
        if unasked >= least:
            silent = max(silent, (unasked, behind, text), key=lambda one: one[0])
            if state.sampler.defers == 0:
                for byte, chance in _expected(recent + text).items():
                    chances[byte] += unasked * chance
        for byte in np.flatnonzero(chances >= least).tolist():
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
        chance, behind, text = silent
        _run(behind, recent + text, chance, pending, limit)


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

    Prediction by partial matching (Cleary and Witten 1984): the longest context first, and shorter ones with the weight
    that is left for what it has not seen: as much for each different continuation as for one occurrence (method C), but
    less the longer the context is, as long ones are seldom wrong.
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
            counts[text[at + size]] = counts.get(text[at + size], 0) + size
        if not counts:
            continue
        whole = sum(counts.values()) + len(counts)
        for byte, number in counts.items():
            chances[byte] = chances.get(byte, 0.0) + left * number / whole
        left *= len(counts) / whole
        if left < _LEAST:
            break
    return chances


def _run(state: TokenByteState, text: bytes, chance: float, pending: dict[int, Live], limit: int) -> None:
    """Adds the tokens of what is likely to come, not every node of it: epsilon lets those wait."""
    at = state
    for _ in range(_RUN):
        expected = _expected(text)
        byte = max(expected, key=lambda byte: expected[byte], default=0)
        chance *= expected.get(byte, 0.0)
        ahead = _step(at, byte) if chance >= _LEAST_TO_WAIT else None
        if ahead is None:
            break
        at, text = ahead, text + bytes([byte])
    if at is state:
        return
    newest = at.core.newest()
    for live in at.lives[len(at.lives) - newest :][:1]:
        for one in reversed(live.chain):
            if len(pending) < limit:
                pending.setdefault(id(one), one)
