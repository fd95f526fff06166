"""What evaluation programs ask of a model, answered by any byte model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import ImpossibleByteError, SamplingError
from bytetok.sampling.complete import complete
from bytetok.sampling.protocol import ByteModel, as_bytes

BYTES_PER_TOKEN = 4
"""What a limit in tokens is in bytes: about what English text has with vocabularies of 50,000 and more."""


class Likelihood(NamedTuple):
    """``log``: natural log of the probability of a continuation. ``is_greedy``: whether each of its bytes is the most
    probable one."""

    log: float
    is_greedy: bool


def loglikelihood(model: ByteModel, context: str | bytes, continuation: str | bytes) -> Likelihood:
    """log P(context + continuation) - log P(context), from the next-byte probabilities of the continuation's bytes.

    Where the continuation is impossible, ``-inf``. A context that is impossible is an ImpossibleByteError.
    """
    head, tail = as_bytes(context), as_bytes(continuation)
    try:
        tables = _tables(model, head, tail)
    except ImpossibleByteError:
        model.next_byte(head)  # if it is the context that is impossible, this says so
        return Likelihood(-np.inf, False)
    logs = tables[np.arange(len(tail)), np.frombuffer(tail, dtype=np.uint8)]
    return Likelihood(float(logs.sum()), bool((logs == tables.max(axis=1)).all()))


def _tables(model: ByteModel, head: bytes, tail: bytes) -> NDArray[np.float64]:
    """The next-byte logs before each byte of ``tail``, ``(len(tail), 257)``: at once where a model can."""
    at_once = getattr(model, "score", None)
    if at_once is not None:
        return np.asarray(at_once(head + tail, marginals=True).marginals[len(head) :])
    state = model.state(head)
    rows = []
    for byte in tail:
        rows.append(state.next_byte())
        state = state.push(byte)
    return np.stack(rows) if rows else np.empty((0, 257))


def rolling(model: ByteModel, text: str | bytes, window: int = 8192) -> float:
    """Natural log of the probability of a text of any length; the end is not counted.

    Of a text longer than ``window`` bytes, later parts of half a window are read behind the half window before them.
    Such a context begins with a whole character.
    """
    if window < 8:
        raise SamplingError(f"window is {window}; expected a number of bytes from 8 up")
    data = as_bytes(text)
    total = loglikelihood(model, b"", data[:window]).log
    half = window // 2
    for at in range(window, len(data), half):
        start = at - half
        while start < at and data[start] & 0xC0 == 0x80:
            start += 1
        total += loglikelihood(model, data[start:at], data[at : at + half]).log
    return total


def generate_until(
    model: ByteModel, context: str | bytes, options: Mapping[str, Any] | None = None, *, seed: int | None = None
) -> str:
    """The text that goes on from ``context``, with options as lm-eval names them.

    ``until``: a string or several that end it; empty ones are left out. ``max_gen_toks``: four bytes are allowed for
    each, 256 tokens if not given; or ``max_gen_bytes``. Always the most probable byte, unless ``do_sample`` is true or
    a ``temperature`` is given; ``top_k``, ``top_p`` and ``min_p`` act on bytes. Other options are an error.
    """
    given = dict(options or {})
    until = given.pop("until", None) or []
    stop = [one for one in ([until] if isinstance(until, str) else until) if one]
    max_bytes = BYTES_PER_TOKEN * int(given.pop("max_gen_toks", 256))
    max_bytes = int(given.pop("max_gen_bytes", max_bytes))
    is_drawn = bool(given.pop("do_sample", given.get("temperature", 0)))
    temperature = float(given.pop("temperature", 1.0)) if is_drawn else 0.0
    limits: dict[str, Any] = {name: given.pop(name, None) for name in ("top_k", "top_p", "min_p")}
    given.pop("temperature", None)
    if given.get("num_beams") == 1:  # what every model does
        del given["num_beams"]
    if given:
        raise SamplingError(f"options that byte models do not have: {', '.join(sorted(given))}")
    return complete(
        model, context, max_bytes=max_bytes, stop=stop, temperature=temperature, seed=seed, **limits
    ).text
