"""Asking ahead: the likeliest next bytes go into a model call that is needed anyway.

On what the model has said so far, some continuations are likely: the rest of a token that has begun. The nodes of their
coverings are known before the model is asked, so that one call can answer for all of them; whoever then goes on that
way needs no call for as long. Exact, as nothing is guessed about the answers.
"""

from __future__ import annotations

import heapq
import math
from itertools import count

import numpy as np

from bytetok.sampling.state import Known, Live, TokenByteState

AHEAD = 8
"""Token positions beyond those that a call needs, unless told otherwise."""

_LEAST = 0.05
"""Continuations that are less likely than this are not worth a position."""


def look_ahead(state: TokenByteState, known: Known, pending: dict[int, Live]) -> None:
    """Adds to ``pending`` the nodes that the likeliest texts from ``state`` on have to be asked about.

    The states behind those texts are kept in :attr:`TokenByteState.next_states`.
    """
    left = state.sampler.ahead
    whole = known.sum
    if left == 0 or not whole > 0:
        return
    log_whole = known.top + math.log(whole)
    order = count()
    heap: list[tuple[float, int, TokenByteState, int]] = []

    def offer(behind: TokenByteState, known: Known) -> None:
        chances = known.masses[:-1] * math.exp(known.top - log_whole)
        for byte in np.flatnonzero(chances >= _LEAST).tolist():
            heapq.heappush(heap, (-float(chances[byte]), next(order), behind, byte))

    offer(state, known)
    while heap and left > 0:
        _, _, before, byte = heapq.heappop(heap)
        behind = before.next_states.get(byte)
        if behind is None:
            behind = before.next_states[byte] = before.step(byte, before.core.length)
        known = behind.look()
        size = len(pending)
        behind.wanted(known, pending, ahead=True)
        left -= len(pending) - size
        offer(behind, known)
