"""A token model behind a prefix: which coverings it has, what the model says about them, and what comes next.

The probability of a text is the sum over its coverings. Each is a node, a token sequence, and the tokens that may come
behind it; a node that the model was not asked about yet has a probability, which its parent knows, but nothing is known
of what follows it. So that probability bounds what the answer would lose without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bytetok import _core
from bytetok.errors import ImpossibleByteError, SamplingError
from bytetok.lm import Context
from bytetok.sampling.live import Live, evaluate
from bytetok.sampling.protocol import STOP, SYMBOLS, pushed_bytes

if TYPE_CHECKING:
    from bytetok.sampling.sampler import ByteSampler

_LEFT = 0.5
"""What share of epsilon a call leaves unasked: what it does not ask now may die before anybody has to."""


@dataclass(frozen=True)
class Known:
    """What a state can say without a model call. Masses are probabilities of texts, divided by ``exp(top)``."""

    masses: NDArray[np.float64]
    """Of the text with each next byte, and of its end, ``(257,)``: the coverings that are known."""
    totals: list[float]
    """For each live node the probability that the text since is spelled by the next token; 0 if not known."""
    unasked: list[tuple[float, list[Live]]]
    """Live nodes that the model was not asked about, by the first such node before them, with that one's mass: what
    they have together is no more. The least probable first."""
    top: float

    @property
    def sum(self) -> float:
        """The mass of all, known or not, at most."""
        return float(self.masses.sum()) + sum(mass for mass, _ in self.unasked)

    def left_at(self, share: float) -> int:
        """How many of ``unasked``, from the first, have no more than that share together."""
        if share <= 0 or not self.unasked:
            return 0
        sums = np.cumsum([mass for mass, _ in self.unasked])
        return int(np.searchsorted(sums, share * self.sum, side="right"))


class TokenByteState:
    """A :class:`ByteSampler` behind a prefix. An immutable value: pushing gives another state."""

    def __init__(
        self,
        sampler: ByteSampler,
        prefix: bytes,
        core: _core.CoverState,
        lives: tuple[Live, ...],
        lost: float,
        *,
        root: Live | None = None,
    ) -> None:
        self.sampler, self.prefix = sampler, prefix
        self.core, self.lives = core, lives
        # Where a space stands before every text: the empty text is no tokens, not that space.
        self.root = root
        self.lost = lost
        """What share of the prefix's probability was forgotten under law "all", added up over all bytes."""
        self.next_states: dict[int, TokenByteState] = {}
        """States behind bytes that the model was asked about ahead of time."""

    def push(self, byte: int | bytes) -> TokenByteState:
        """The state behind one more byte, or several; raises ImpossibleByteError where no covering is left."""
        state, data = self, pushed_bytes(byte)
        for at, value in enumerate(data):
            # Only the last state is seen: the others need no copy of a prefix that may be long.
            state = state.next_states.get(value) or state.step(value, len(self.prefix) + at)
            if self.sampler.forgets > 0:
                state = state._without_improbable()
        if data:
            state.prefix = self.prefix + data
        return state

    def fork(self) -> TokenByteState:
        """This state: it never changes."""
        return self

    def next_byte(self) -> NDArray[np.float64]:
        """Natural-log probabilities of what comes next, shape ``(257,)``; index 256 is the end of the text.

        They sum to one: what the model gives to special tokens, and under law "canonical" to sequences that no text
        is encoded as, is left out byte by byte.
        """
        return self._answer[0].copy()

    @property
    def error(self) -> float:
        """A bound of the total variation between :meth:`next_byte` and the exact one; 0 unless ``epsilon`` is above 0.

        Under law "all", what was forgotten comes on top: see ``lost``.
        """
        return self._answer[1]

    @property
    def log_prefix(self) -> float:
        """Natural log of the probability of the prefix: the sum over its coverings.

        With ``epsilon``, a number that is at most ``-log(1 - epsilon)`` too high.
        """
        if not self.prefix:
            return 0.0
        logs = self._log_shares(at_most=True)
        top = float(logs.max())
        return top + float(np.log(np.exp(logs - top).sum())) if top > -np.inf else top

    @property
    def log_shares(self) -> NDArray[np.float64]:
        """The natural log of what each live node adds to the probability of the prefix, exactly."""
        return self._log_shares(at_most=False)

    def __repr__(self) -> str:
        return f"<behind {len(self.prefix)} bytes, {self.prefix[-40:]!r}: {len(self.lives)} live coverings>"

    def pick(self, index: int, number: float) -> tuple[Context, NDArray[np.floating], tuple[int, int] | None]:
        """A covering with the live node at ``index``, for a random number between 0 and 1.

        The node's context and row, and, if it does not end with the text, a token behind it as probable as it is among
        those that agree with the text, with the number of its bytes that the text has.
        """
        live = self.lives[index]
        with self.sampler.lock:
            if live.context is None:
                self._ask([live])
        if live.context is None:
            raise SamplingError("a node without a context; please report it")  # cannot be: it was just asked for
        if live.node.end == self.core.length:
            return live.context, live.logs, None
        return live.context, live.logs, self.core.pick(index, live.weights, number)

    def step(self, byte: int, offset: int) -> TokenByteState:
        """The state behind a byte, which has this offset in the text, without its prefix."""
        core = self.core.push(bytes([byte]))
        known = {live.node.id: live for live in self.lives}
        lives = []
        for index, number in enumerate(core.ids()):
            live = known.get(number)
            if live is None:
                node = core.node(index)
                if node is None or node.parent_id is None:
                    raise SamplingError("a covering without a beginning; please report it")  # cannot be: see core
                live = Live(node, known[node.parent_id])
            lives.append(live)
        if not lives:
            raise ImpossibleByteError(
                f"byte 0x{byte:02X} at offset {offset} cannot follow: under law {self.sampler.law!r} no "
                "token sequence of this vocabulary spells the text so far"
            )
        return TokenByteState(self.sampler, b"", core, tuple(lives), self.lost)

    def look(self) -> Known:
        """What can be said without a model call."""
        unasked: dict[int, tuple[Live, list[Live]]] = {}
        for live in self.lives:
            if live.context is None:
                first = live.chain[-1]
                unasked.setdefault(id(first), (first, []))[1].append(live)
        logs = [_or_nothing(live.log_weight) if live.context is not None else -np.inf for live in self.lives]
        bounds = [_or_nothing(first.log_weight) for first, _ in unasked.values()]
        if self.root is not None:
            logs.append(0.0)
        top = max((*logs, *bounds))
        times = np.exp(np.array(logs) - top) if top > -np.inf else np.zeros(len(logs))
        masses = np.zeros(SYMBOLS)
        weights = [None if live.context is None else live.weights for live in self.lives]
        data, totals = self.core.masses(weights, times[: len(weights)].tolist())
        masses[:STOP] = np.frombuffer(data)
        masses[STOP] = self._stop_mass(times)
        groups = [
            (float(np.exp(bound - top)), lives) for bound, (_, lives) in zip(bounds, unasked.values(), strict=True)
        ]
        return Known(masses, totals, sorted(groups, key=lambda group: group[0]), top)

    def _stop_mass(self, times: NDArray[np.float64]) -> float:
        stops = self.sampler.stops
        if not len(stops):
            return 0.0
        if self.root is not None:
            ends = [(self.root, times[-1])]
        else:
            count = self.core.newest()
            if count == 0:
                return 0.0
            newest = zip(self.lives[-count:], times[-count:], self.core.may_end()[-count:], strict=True)
            ends = [(live, factor) for live, factor, may_end in newest if may_end and live.context is not None]
        return float(sum(factor * np.exp(live.logs[stops].astype(np.float64)).sum() for live, factor in ends))

    @cached_property
    def _answer(self) -> tuple[NDArray[np.float64], float]:
        """The next-byte table, and how far it may be from the exact one."""
        with self.sampler.lock:
            known = self._asked()
            hidden = sum(mass for mass, _ in known.unasked)
            guess = self._guess() if hidden > 0 else 0.0
        total = float(known.masses.sum())
        if not total > 0:
            raise ImpossibleByteError(
                f"behind the {len(self.prefix)} bytes so far the model leaves no byte possible, and no end either"
            )
        masses = known.masses + hidden * guess
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(masses / masses.sum())), hidden / (total + hidden)

    def _asked(self) -> Known:
        """What is known once the model was asked about all that epsilon does not let wait."""
        from bytetok.sampling.ahead import look_ahead

        known = self.look()
        # Once, but where epsilon is above 0 and those asked about turned out to have less mass than the others left.
        while len(known.unasked) > known.left_at(self.sampler.defers):
            wanted = self.wanted(known, {})
            look_ahead(self, known, wanted)
            evaluate(self.sampler, list(wanted.values()))
            known = self.look()
        return known

    def _guess(self) -> NDArray[np.float64]:
        """What comes behind the nodes that go unasked, ``(257,)``: as if all tokens were alike.

        Within the bound it may be anything, but not nothing: a byte that only these nodes can spell is not impossible.
        """
        alike = self.sampler.alike
        weights = [live.node.weights(alike) if live.context is None else None for live in self.lives]
        data, _ = self.core.masses(weights, [1.0] * len(weights))
        masses = np.append(np.frombuffer(data), 0.0)
        count = self.core.newest()
        if any(
            may_end and live.context is None
            for live, may_end in zip(
                self.lives[len(weights) - count :], self.core.may_end()[len(weights) - count :], strict=True
            )
        ):
            masses[STOP] = alike[self.sampler.stops].sum()
        total = masses.sum()
        return masses / total if total > 0 else masses

    def wanted(self, known: Known, pending: dict[int, Live], *, ahead: bool = False) -> dict[int, Live]:
        """Adds to ``pending`` what the model has to be asked about here, by identity, parents first; returns it.

        ``ahead``: this text is one that may come. Nodes behind pending ones are then left out where epsilon allows to
        wait and see: mostly they come to nothing.
        """
        defers = self.sampler.defers
        for _, lives in known.unasked[known.left_at(defers * _LEFT) :]:
            for live in lives:
                chain = live.chain
                if ahead and defers > 0 and len(chain) > 1 and id(chain[-1]) in pending:
                    continue
                for one in reversed(chain):
                    pending.setdefault(id(one), one)
        return pending

    def _ask(self, lives: list[Live]) -> None:
        pending: dict[int, Live] = {}
        for live in lives:
            for one in reversed(live.chain):
                pending.setdefault(id(one), one)
        evaluate(self.sampler, list(pending.values()))

    def _log_shares(self, *, at_most: bool) -> NDArray[np.float64]:
        """Of each live node; with ``at_most``, nodes that epsilon lets go unasked count as much as they may have."""
        with self.sampler.lock:
            return self._shares_asked(at_most=at_most)

    def _shares_asked(self, *, at_most: bool) -> NDArray[np.float64]:
        length = self.core.length
        known = self.look()
        if at_most:
            left = {id(live) for _, lives in known.unasked[: known.left_at(self.sampler.defers)] for live in lives}
        else:
            left = set()
        # A node that ends with the text has all of its mass, whatever comes behind it.
        ask = [
            live
            for live in self.lives
            if live.context is None and id(live) not in left and (live.node.end < length or live.log_weight is None)
        ]
        if ask:
            self._ask(ask)
            known = self.look()
        shares = np.zeros(len(self.lives))
        bound_of = {id(lives[0]): mass for mass, lives in known.unasked}
        for at, (live, total) in enumerate(zip(self.lives, known.totals, strict=True)):
            if live.node.end == length and live.log_weight is not None:
                shares[at] = np.exp(live.log_weight - known.top)
            elif live.context is None:
                shares[at] = bound_of.get(id(live), 0.0)
            else:
                shares[at] = np.exp(_or_nothing(live.log_weight) - known.top) * total
        with np.errstate(divide="ignore"):
            return np.asarray(known.top + np.log(shares))

    def _without_improbable(self) -> TokenByteState:
        """This state without the coverings that together have less than ``epsilon`` of its probability: law "all"."""
        with self.sampler.lock:
            return self._kept()

    def _kept(self) -> TokenByteState:
        if any(live.log_weight is None for live in self.lives):
            # Otherwise there would be ever more of them: two for each at every byte, and none that can be forgotten.
            self._ask([live for live in self.lives if live.context is None])
        known = self.look()
        shares = np.empty(len(self.lives))
        for at, (live, total) in enumerate(zip(self.lives, known.totals, strict=True)):
            most = 1.0 if live.context is None or live.node.end == self.core.length else total
            shares[at] = np.exp(_or_nothing(live.log_weight) - known.top) * most
        if not shares.sum() > 0:
            return self  # nothing to choose from; asking what comes next says so
        shares /= shares.sum()
        order = np.argsort(shares)
        gone = order[np.cumsum(shares[order]) < self.sampler.forgets]
        if len(gone) == 0:
            return self
        keep = np.ones(len(shares), dtype=bool)
        keep[gone] = False
        lives = tuple(live for live, stays in zip(self.lives, keep, strict=True) if stays)
        core, lost = self.core.only(keep.tolist()), self.lost + float(shares[gone].sum())
        state = TokenByteState(self.sampler, self.prefix, core, lives, lost)
        # Made from all coverings, these have lost nothing.
        state.next_states = self.next_states
        return state


def _or_nothing(log: float | None) -> float:
    return -np.inf if log is None else log
