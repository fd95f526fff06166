"""Text that comes and goes in pieces: ids to characters, and characters to ids."""

from __future__ import annotations

import codecs
import operator
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal, Protocol

from bytetok.errors import EncodingError

if TYPE_CHECKING:
    from bytetok.tokenizer.tokenizer import Special


class _Decodes(Protocol):
    def decode_bytes(self, ids: Iterable[int], *, is_rest: bool = False) -> bytes:
        """The bytes of ids."""


class Decoder:
    """Turns ids into text one after the other, and never ends inside a character.

    ::

        decoder = tokenizer.decoder()
        for token_id in model:
            print(decoder.push(token_id), end="")
        print(decoder.finish())

    What was pushed and returned so far, joined, is a beginning of ``tokenizer.decode(all_ids)``; after :meth:`finish`
    it is all of it. Bytes that can no longer become a character are given as U+FFFD.
    """

    def __init__(self, tokenizer: _Decodes) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._started = False

    def push(self, ids: int | Iterable[int]) -> str:
        """The characters that are complete now; ``ids`` is one id or several.

        Raises UnknownTokenError for an id that no token has; nothing is taken in then.
        """
        ids = one_or_more(ids)
        data = self._tokenizer.decode_bytes(ids, is_rest=self._started)
        self._started = self._started or bool(ids)
        return self._decoder.decode(data)

    def finish(self) -> str:
        """What is left, as U+FFFD if it is part of a character; the decoder can then be used anew."""
        self._started = False
        return self._decoder.decode(b"", final=True)


def one_or_more(ids: int | Iterable[int]) -> list[int]:
    """A list of one id, of Python or of numpy, or of several."""
    return list(ids) if isinstance(ids, Iterable) else [operator.index(ids)]


class _EncodesBeginnings(Protocol):
    def encode_beginning(
        self, text: str, *, is_rest: bool = False, special: Special = "raise"
    ) -> tuple[list[int], int, int]:
        """The ids of text that may go on, how many of them are final, and how many UTF-8 bytes those stand for."""


class Encoder:
    """Encodes text that is still being written: after each :meth:`append`, ``ids`` are those of all text so far.

    An append costs as much as the text appended and the last few pretokens before it, however long the text is; only
    within one pretoken that never ends, or with a split pattern that has no scanner, is the whole of it encoded again.
    """

    def __init__(self, tokenizer: _EncodesBeginnings, *, special: Special = "raise") -> None:
        self._tokenizer = tokenizer
        self._special: Special = special
        self._final: list[int] = []
        self._open: list[int] = []
        self._tail = ""
        self._is_rest = False

    def append(self, text: str) -> None:
        """Take in more text. Raises what ``encode`` would raise, and then takes nothing in."""
        if not isinstance(text, str):
            raise EncodingError(f"expected str, got {type(text).__name__}; bytes may end inside a character")
        tail = self._tail + text
        ids, stable, size = self._tokenizer.encode_beginning(tail, is_rest=self._is_rest, special=self._special)
        self._final += ids[:stable]
        self._open = ids[stable:]
        self._tail = tail.encode()[size:].decode() if size else tail
        self._is_rest = self._is_rest or size > 0

    @property
    def ids(self) -> list[int]:
        """The ids of all text so far."""
        return self._final + self._open

    @property
    def stable(self) -> int:
        """How many of ``ids`` stay as they are, whatever is appended."""
        return len(self._final)

    def __len__(self) -> int:
        return len(self._final) + len(self._open)


def counted_until(tokenizer: _EncodesBeginnings, text: str, limit: int, *, special: Special = "raise") -> int | None:
    """The number of tokens of ``text``, or None if it is more than ``limit``; reads little more than it counts."""
    if limit < 0:
        raise EncodingError(f"limit is {limit}; a number of tokens is 0 or more")
    if not isinstance(text, str):
        raise EncodingError(f"expected str, got {type(text).__name__}")
    encoder = Encoder(tokenizer, special=special)
    # A token has four characters or so.
    start, size = 0, max(4 * limit, 1024)
    while start < len(text):
        stable = encoder.stable
        encoder.append(text[start : start + size])
        start += size
        if encoder.stable > limit:
            return None
        if encoder.stable == stable:
            # Nothing is certain yet, and what is not is encoded again with each piece: so the pieces must grow.
            size *= 2
    return len(encoder) if len(encoder) <= limit else None


def spans_of(
    tokens: Sequence[bytes], data: bytes, unit: Literal["bytes", "characters"]
) -> list[tuple[int, int]]:
    """Where each of ``tokens`` is in ``data``, which is all of them joined, perhaps without the first byte."""
    if unit not in ("bytes", "characters"):
        raise ValueError(f"unit={unit!r} is not one of 'bytes', 'characters'")
    missing = sum(map(len, tokens)) - len(data)
    ends = [max(end - missing, 0) for end in accumulate(map(len, tokens), initial=0)]
    if unit == "bytes":
        return list(pairwise(ends))
    # Where each character of the decoded text begins in bytes; what cannot be decoded is a character, U+FFFD, as well.
    starts, at = [], 0
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for place in range(len(data)):
        made = len(decoder.decode(data[place : place + 1]))
        # A byte that ends a broken character and begins another one is the end of the one and the start of the other.
        for nth in range(made):
            starts.append(at)
            at = place if nth + 1 < made else place + 1
    if at < len(data):
        starts += [at] * len(decoder.decode(b"", final=True))
    bounds = [*starts, len(data)]

    def first(offset: int) -> int:
        return max(bisect_right(bounds, offset) - 1, 0)

    return [
        (first(start), first(start) if start == end else first(end - 1) + 1)
        for start, end in pairwise(ends)
    ]
