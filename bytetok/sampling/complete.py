"""Completing a text: bytes chosen one after the other, until the model stops or something else says so."""

from __future__ import annotations

import builtins
import codecs
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import ImpossibleByteError, SamplingError
from bytetok.sampling.choose import Settings, choose, generator, generators
from bytetok.sampling.constraints import Automaton, ByteRegex, allowed_symbols
from bytetok.sampling.protocol import STOP, ByteModel, ByteState, FastComplete, as_bytes, checked_model, normalized
from bytetok.sampling.utf8 import AfterCharacter, Utf8, unfinished

StopReason = Literal["stop", "stop_string", "max_bytes", "constraint", "suffix"]
"""Why a text ends: the model stopped; a stop string came; it is long enough; the constraint leaves nothing else; what
follows it was reached (:func:`bytetok.fill` by search)."""


@dataclass(frozen=True)
class Completion:
    """What a model wrote."""

    text: str
    """The characters of the output. One that the prompt began and the output finished is the first of them."""
    bytes: builtins.bytes
    """The output to the byte: the prompt's bytes and these, joined, are the whole text."""
    stop_reason: StopReason
    logprobs: NDArray[np.float64] | None = field(compare=False)
    """Natural log of the model's probability of each byte of the output, ``(len(bytes),)``, without temperature,
    settings or constraint. None if the model wrote tokens, which have none; ``logprobs=True`` prevents that."""

    @property
    def logprob(self) -> float | None:
        """Natural log of the model's probability of the output after the prompt; the end is not counted."""
        return None if self.logprobs is None else float(self.logprobs.sum())


class Options(TypedDict, total=False):
    """The options of :func:`complete`, which explains them."""

    max_bytes: int
    stop: Sequence[str | bytes] | str | bytes
    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    regex: str | None
    constraint: Automaton | None
    valid_utf8: bool
    logprobs: bool


def complete(
    model: ByteModel,
    prompt: str | bytes,
    *,
    max_bytes: int = 256,
    stop: Sequence[str | bytes] | str | bytes = (),
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    seed: int | np.random.Generator | None = None,
    regex: str | None = None,
    constraint: Automaton | None = None,
    valid_utf8: bool = True,
    logprobs: bool = False,
) -> Completion:
    """Go on with ``prompt``, which may end anywhere: in a word, behind a space, inside a character.

    ``temperature`` (0: always the most probable byte), ``top_k``, ``top_p`` and ``min_p`` act on bytes; see
    :class:`bytetok.sampling.choose.Settings`. With the same ``seed``, the output is the same.

    The output ends where the model stops, before the first of the strings ``stop`` that it contains (one that begins in
    the prompt is not looked for), or after ``max_bytes``. ``regex`` limits it to texts that match as a whole, and
    ``constraint`` to those of an automaton of your own; both may be cut by ``max_bytes``. With ``valid_utf8`` the bytes
    are those of whole characters: a character that the prompt began is finished first, before any regex, and one that
    does not fit into ``max_bytes`` is left out.

    A model that can complete by tokens (:class:`FastComplete`) does so where bytes are drawn with its own
    probabilities: temperature 1, no other settings, no constraint, and ``logprobs`` not asked for.

    Raises SamplingError for an option out of range, ConstraintError for a regex that does not compile or that nothing
    matches, and ImpossibleByteError where all that is allowed is impossible to the model.
    """
    options = Options(
        max_bytes=max_bytes,
        stop=stop,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        regex=regex,
        constraint=constraint,
        valid_utf8=valid_utf8,
        logprobs=logprobs,
    )
    return _Writer(model, prompt, **options).write(generator(seed))


def sample(
    model: ByteModel, n: int = 1, *, prompt: str | bytes = b"", seed: int | None = None, **options: Unpack[Options]
) -> list[Completion]:
    """``n`` independent completions; the i-th is the same for every ``n`` that has one. Options: :func:`complete`."""
    if n < 0:
        raise SamplingError(f"n is {n}; expected a number of samples from 0 up")
    writer = _Writer(model, prompt, **options)
    return [writer.write(rng) for rng in generators(seed, n)]


def stream(
    model: ByteModel, prompt: str | bytes, *, seed: int | np.random.Generator | None = None, **options: Unpack[Options]
) -> Iterator[str]:
    """The text of :func:`complete` with the same arguments, in pieces, as soon as they are certain.

    No piece ends inside a character, or holds what may yet become a stop string. Wrong options raise at once.
    """
    return _Writer(model, prompt, **options).stream(generator(seed))


class _Output:
    """The bytes written so far, and what of them is certain."""

    def __init__(self, stops: Sequence[bytes]) -> None:
        self.data = bytearray()
        self.logs: list[float] = []
        self.reason: StopReason = "max_bytes"
        self._stops = stops
        # Longest first: of two that end at the same byte, the longer one began first.
        self._beginnings = sorted({one[:size] for one in stops for size in range(1, len(one))}, key=len, reverse=True)

    def add(self, byte: int, log: float) -> bool:
        """Take in a byte; whether it ends a stop string, which is then cut off."""
        self.data.append(byte)
        self.logs.append(log)
        for one in self._stops:
            if self.data.endswith(one):
                self.cut(len(one))
                self.reason = "stop_string"
                return True
        return False

    def cut(self, size: int) -> None:
        """Take bytes off the end."""
        del self.data[len(self.data) - size :], self.logs[len(self.logs) - size :]

    @property
    def certain(self) -> int:
        """How many bytes are part of no stop string, whatever follows."""
        open_end = next((one for one in self._beginnings if self.data.endswith(one)), b"")
        return len(self.data) - len(open_end)


class _Writer:
    """A model, a prompt, and the options of one or more completions, checked once."""

    def __init__(self, model: ByteModel, prompt: str | bytes, **options: Unpack[Options]) -> None:
        checked_model(model, "the model")
        self._model = model
        self._prompt = as_bytes(prompt)
        self._settings = Settings(
            options.get("temperature", 1.0), options.get("top_k"), options.get("top_p"), options.get("min_p")
        ).checked()
        self._max_bytes = options.get("max_bytes", 256)
        if self._max_bytes < 0:
            raise SamplingError(f"max_bytes is {self._max_bytes}; expected a number from 0 up")
        self._stops = _stop_strings(options.get("stop", ()))
        self._valid_utf8 = options.get("valid_utf8", True)
        self._begun = unfinished(self._prompt)
        self._automaton = self._automaton_of(options.get("regex"), options.get("constraint"))
        is_limited = options.get("regex") is not None or options.get("constraint") is not None
        self._is_free = self._settings.is_plain and not is_limited and not options.get("logprobs", False)

    def _automaton_of(self, regex: str | None, constraint: Automaton | None) -> Automaton | None:
        if regex is not None and constraint is not None:
            raise SamplingError("regex and constraint are both given; pass one of them")
        limit = ByteRegex(regex) if regex is not None else constraint
        if not self._valid_utf8:
            return limit
        if limit is None:
            return Utf8(self._begun)
        return AfterCharacter(self._begun, limit) if self._begun else limit

    @cached_property
    def _start(self) -> ByteState:
        return self._model.state(self._prompt)

    def write(self, rng: np.random.Generator) -> Completion:
        output = _Output(self._stops)
        for _ in self._grow(output, rng):
            pass
        data = bytes(output.data)
        logs = None if any(map(math.isnan, output.logs)) else np.array(output.logs, dtype=np.float64)
        text = (self._begun + data).decode(errors="replace") if data else ""
        return Completion(text, data, output.reason, logs)

    def stream(self, rng: np.random.Generator) -> Iterator[str]:
        output = _Output(self._stops)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        given = 0
        for _ in self._grow(output, rng):
            ready = bytes(output.data[given : output.certain])
            text = decoder.decode(self._begun + ready if ready and not given else ready)
            given += len(ready)
            if text:
                yield text
        rest = bytes(output.data[given:])
        # With valid_utf8, what the decoder may still hold has been cut off.
        text = decoder.decode(self._begun + rest if rest and not given else rest, final=not self._valid_utf8)
        if text:
            yield text

    def _grow(self, output: _Output, rng: np.random.Generator) -> Iterator[None]:
        """Write into ``output``, byte by byte, until there is a reason to end."""
        source = self._tokens(rng) if self._is_free and isinstance(self._model, FastComplete) else self._bytes(rng)
        while len(output.data) < self._max_bytes:
            try:
                byte, log = next(source)
            except StopIteration as end:
                output.reason = end.value
                break
            if output.add(byte, log):
                break
            yield
        if self._valid_utf8 and output.data:
            # No more than what was written here: what the prompt began stays begun.
            output.cut(min(len(unfinished(self._begun + output.data)), len(output.data)))

    def _bytes(self, rng: np.random.Generator, written: bytes = b"") -> Generator[tuple[int, float], None, StopReason]:
        """Bytes and their logs, chosen from the model's tables; ``written`` has been read before."""
        state = self._model.state(self._prompt + written) if written else self._start
        automaton, place = self._automaton, self._automaton.start if self._automaton is not None else None
        for byte in written if automaton is not None else b"":
            place = automaton.step(place, byte) if automaton is not None else None
        while True:
            allowed = None
            if automaton is not None:
                allowed = allowed_symbols(automaton, place)
                if not allowed[:STOP].any():
                    return "constraint"
            logs = normalized(state.next_byte(), "the model")
            limited = logs if allowed is None else np.where(allowed, logs, -np.inf)
            if limited.max() == -np.inf:
                raise ImpossibleByteError(
                    f"all that is allowed after {state.prefix[-40:]!r} has the probability 0: nothing is both possible "
                    f"to the model and in {automaton!r}"
                )
            symbol = choose(limited, rng, *self._settings)
            if symbol == STOP:
                return "stop"
            yield symbol, float(logs[symbol])
            # Only now, when another byte is wanted.
            state = state.push(symbol)
            if automaton is not None:
                place = automaton.step(place, symbol)

    def _tokens(self, rng: np.random.Generator) -> Generator[tuple[int, float], None, StopReason]:
        """Bytes of tokens that the model samples, as long as they are what is allowed; their logs are not known.

        At the first byte that is not allowed, that byte is drawn again among those that are, and so are those after it.
        A byte that is drawn again only if it is not allowed has the distribution of one drawn among the allowed.
        """
        if not isinstance(self._model, FastComplete):
            return (yield from self._bytes(rng))
        automaton, place = self._automaton, self._automaton.start if self._automaton is not None else None
        written = bytearray()
        for piece in self._model.complete_tokens(self._prompt, rng):
            for byte in piece:
                if automaton is not None:
                    place = automaton.step(place, byte)
                    if place is None:
                        return (yield from self._bytes(rng, bytes(written)))
                written.append(byte)
                yield byte, math.nan
        if automaton is not None and not automaton.accepts(place):
            return (yield from self._bytes(rng, bytes(written)))
        return "stop"


def _stop_strings(stop: Sequence[str | bytes] | str | bytes) -> list[bytes]:
    one_or_more = [stop] if isinstance(stop, (str, bytes)) else stop
    stops = sorted({as_bytes(one) for one in one_or_more}, key=len, reverse=True)
    if b"" in stops:
        raise SamplingError("a stop string is empty, and would end every output before it begins")
    return stops
