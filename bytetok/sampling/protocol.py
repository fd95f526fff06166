"""What a byte model is: anything that gives the probability of the next byte of a text, and of its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import EncodingError, ImpossibleByteError, SamplingError

STOP = 256
"""The symbol that ends a text, beside the 256 bytes."""

SYMBOLS = 257
"""Length of every table of next-byte probabilities."""


class ByteState(Protocol):
    """A byte model behind a prefix. An immutable value: pushing gives another state and leaves this one as it is."""

    @property
    def prefix(self) -> bytes:
        """The bytes read so far."""

    def next_byte(self) -> NDArray[np.float64]:
        """Natural-log probabilities of what comes next, shape ``(257,)``; index 256 is the end of the text.

        Normalized (they sum to one), ``-inf`` where impossible.
        """

    def push(self, byte: int | bytes) -> ByteState:
        """The state behind one more byte, or several; raises ImpossibleByteError for a byte of probability 0."""

    def fork(self) -> ByteState:
        """A state that lives on its own; as states are immutable, it may be this one."""


class ByteModel(Protocol):
    """A distribution over byte strings, one byte at a time."""

    def state(self, prefix: bytes | str = b"") -> ByteState:
        """The model behind a prefix, which may end anywhere, inside a character as well."""

    def next_byte(self, prefix: bytes | str) -> NDArray[np.float64]:
        """``state(prefix).next_byte()``."""


class KnowsPrefix(Protocol):
    """A state that knows the probability of its own prefix, so that nobody has to add it up byte by byte.

    Not checked at run time: before Python 3.12 a check would compute the property.
    """

    @property
    def log_prefix(self) -> float:
        """Natural log of P(prefix) under the model."""


@runtime_checkable
class FastComplete(Protocol):
    """A byte model that can sample a text faster than byte by byte.

    A token model does it by sampling one covering of the prefix, and decoding plain tokens after that.
    """

    def complete_tokens(self, prefix: bytes, rng: np.random.Generator) -> Iterator[bytes]:
        """Pieces of one random continuation of ``prefix``; the iterator ends where the model stops.

        Joined, the pieces are distributed as the continuation that ``state(prefix)`` gives when its bytes are sampled
        one after the other. Pieces may be empty and may end inside a character. The caller stops asking when it has
        enough, so nothing should be computed ahead.
        """


def checked_model(model: object, what: str) -> None:
    """Raises SamplingError, with what to pass instead, if ``model`` is no byte model; ``what`` names it."""
    if not hasattr(model, "state"):
        hint = (
            "wrap it: ByteSampler(lm)" if hasattr(model, "extend") else "such as ByteSampler(TokenLM.from_package(...))"
        )
        raise SamplingError(f"{what} is a {type(model).__name__}; expected a byte model, {hint}")


def as_bytes(text: bytes | str) -> bytes:
    """The UTF-8 bytes of a text; raises EncodingError for a ``str`` with lone surrogates."""
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise EncodingError(f"expected str or bytes, got {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError as err:
        raise EncodingError(f"the str holds a lone surrogate at character {err.start}, which has no UTF-8") from err


def pushed_bytes(byte: int | bytes) -> bytes:
    """The argument of ``push`` as bytes; ImpossibleByteError for an int that is no byte, EncodingError for no int."""
    if isinstance(byte, (bytes, bytearray)):
        return bytes(byte)
    if not isinstance(byte, (int, np.integer)):
        raise EncodingError(f"push takes a byte, 0 to 255, or bytes, but got {type(byte).__name__}; encode it first")
    if not 0 <= byte <= 255:
        hint = "; the end of the text cannot be pushed" if byte == STOP else ""
        raise ImpossibleByteError(f"{byte!r} is no byte; expected 0 to 255{hint}")
    return bytes([byte])


def normalized(table: NDArray[np.floating], what: str) -> NDArray[np.float64]:
    """A table of natural logs as float64 ``(257,)`` that sums to one; ``what`` names it in messages.

    Raises SamplingError for another shape, NaN or +inf, and ImpossibleByteError if nothing is possible.
    """
    logs = np.asarray(table, dtype=np.float64)
    if logs.shape != (SYMBOLS,):
        raise SamplingError(f"{what} gives an array of shape {logs.shape}; expected ({SYMBOLS},)")
    top = float(logs.max())
    if np.isnan(top) or top == np.inf:
        at = int(np.argmax(np.isnan(logs) | (logs == np.inf)))
        raise SamplingError(f"{what} gives {logs[at]} at symbol {at}; expected natural logs of probabilities")
    if top == -np.inf:
        raise ImpossibleByteError(f"{what} leaves no byte possible, and no end either")
    logs = logs - top
    return np.asarray(logs - np.log(np.exp(logs).sum()), dtype=np.float64)
