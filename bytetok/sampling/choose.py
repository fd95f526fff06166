"""One symbol out of 257: temperature, top-k, top-p and min-p on bytes, and seeds.

The settings act on bytes, after all combining and masking. That is not the same as acting on tokens: ``top_p=0.9`` at
every byte of a word cuts more than ``top_p=0.9`` at the word.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import SamplingError
from bytetok.sampling.protocol import normalized


class Settings(NamedTuple):
    """How a symbol is chosen. Applied in this order: temperature, top-k, top-p, min-p."""

    temperature: float = 1.0
    """Logs are divided by it; 0 is the most probable symbol, at a tie the lowest byte."""
    top_k: int | None = None
    """Only the k most probable symbols."""
    top_p: float | None = None
    """Only the most probable symbols that together reach this probability."""
    min_p: float | None = None
    """Only symbols with at least this share of the highest probability."""

    @property
    def is_plain(self) -> bool:
        """Whether symbols are chosen with the model's own probabilities."""
        return self.temperature == 1 and self.top_k is None and self.top_p in (None, 1) and not self.min_p

    def checked(self) -> Settings:
        """These settings; raises SamplingError for one that is out of range."""
        for name, value in self._asdict().items():
            if value is not None and not isinstance(value, (int, float, np.number)):
                raise SamplingError(f"{name} is {value!r}, a {type(value).__name__}; expected a number")
        if not (0 <= self.temperature < math.inf):
            raise SamplingError(f"temperature is {self.temperature}; expected a number from 0 up")
        if self.top_k is not None and (self.top_k != int(self.top_k) or self.top_k < 1):
            raise SamplingError(f"top_k is {self.top_k}; expected a whole number of symbols from 1 up")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise SamplingError(f"top_p is {self.top_p}; expected a probability above 0 and up to 1")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise SamplingError(f"min_p is {self.min_p}; expected a share from 0 to 1")
        return self


def reshape(logprobs: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    """The distribution that a symbol is drawn from: natural logs ``(257,)``, normalized, ``-inf`` where cut off.

    Where symbols of equal probability stand on both sides of a cut, the lower ones stay.
    """
    settings.checked()
    logs = normalized(logprobs, "the model")
    if settings.is_plain:
        return logs
    if settings.temperature == 0:
        best = np.full_like(logs, -np.inf)
        best[int(np.argmax(logs))] = 0.0
        return best
    # The highest is 0 before the division, so that no temperature makes it overflow.
    with np.errstate(over="ignore"):
        logs = normalized((logs - logs.max()) / settings.temperature, "the model")
    order = np.argsort(-logs, kind="stable")
    keep = np.isfinite(logs[order])
    if settings.top_k is not None:
        keep[settings.top_k :] = False
    if settings.top_p is not None and settings.top_p < 1:
        probabilities = np.where(keep, np.exp(logs[order]), 0.0)
        before = np.cumsum(probabilities) - probabilities
        keep &= before < settings.top_p * probabilities.sum()
    if settings.min_p:
        keep &= logs[order] >= logs[order[0]] + math.log(settings.min_p)
    keep[0] = True
    logs[order[~keep]] = -np.inf
    return normalized(logs, "the model")


def choose(
    logprobs: NDArray[np.float64],
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> int:
    """Draw a symbol, 0 to 256, from natural logs ``(257,)``; see :class:`Settings` for the rest.

    Uses one number of ``rng``, or none at temperature 0. Raises SamplingError for settings out of range and for a table
    that is none, and ImpossibleByteError if nothing is possible.
    """
    settings = Settings(temperature, top_k, top_p, min_p)
    logs = reshape(logprobs, settings)
    if settings.temperature == 0:
        return int(np.argmax(logs))
    return draw(logs, rng)


def draw(logs: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Draw a symbol from normalized natural logs, by inverting the cumulative sum."""
    ends = np.cumsum(np.exp(logs))
    symbol = int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))
    # Rounding may put the number at the very end, behind which only impossible symbols may be left.
    return symbol if symbol < len(logs) and logs[symbol] > -np.inf else int(np.flatnonzero(logs > -np.inf)[-1])


def generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """A source of random numbers: from a seed, one that is given, or, for None, unpredictable."""
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is not None and seed < 0:
        raise SamplingError(f"seed is {seed}; expected a whole number from 0 up")
    return np.random.default_rng(seed)


def generators(seed: int | None, count: int) -> list[np.random.Generator]:
    """Independent sources of random numbers; the i-th depends on the seed and on i only, not on ``count``."""
    if seed is not None and seed < 0:
        raise SamplingError(f"seed is {seed}; expected a whole number from 0 up")
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(count)]
