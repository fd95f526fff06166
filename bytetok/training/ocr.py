"""Do token boundaries survive a misread character?

Scanned filings and court records are full of ``l`` for ``1`` and ``0`` for ``O``. One wrong character should cost one
token, not re-cut the whole word; this module makes such errors, always the same ones, and measures what moves.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import AnyStr

from bytetok.errors import TrainingError
from bytetok.training.encoding import Document, TokenizerLike, encode_texts

# Pairs that look alike in print or after thresholding. Both sides are single ASCII characters, so that byte and
# character offsets stay the same; two-for-one errors (rn/m, cl/d) shift every later offset and are left out.
_PAIRS = (
    "l1 lI lt li l| 1I 1i I| ij tf ft",  # thin strokes
    "o0 O0 OQ OD D0 oe oc ec ea ao CG GO 6G 6b 80",  # rounds
    "S5 s5 B8 S8 38 Z2 z2 g9 q9 gq 17",  # digits and letters
    "hb nu nh un uv vy vw rn UV VY FP PR EF KX MN HN",  # strokes in letters
    "., ;: ,; '` -_ ([ )] {(",  # punctuation
)


def _table() -> dict[str, str]:
    table: dict[str, set[str]] = {}
    for pair in " ".join(_PAIRS).split():
        a, b = pair[0], pair[1]
        table.setdefault(a, set()).add(b)
        table.setdefault(b, set()).add(a)
    return {char: "".join(sorted(others)) for char, others in sorted(table.items())}


CONFUSIONS: Mapping[str, str] = MappingProxyType(_table())
"""Character -> the characters that it may be misread as, each one ASCII character; symmetric."""

_CONFUSABLE = re.compile("[" + re.escape("".join(CONFUSIONS)) + "]")
_MAX_LINE = 1000  # characters; a page's line is shorter, and a book without newlines must not be kept as one "line"


@dataclass(frozen=True)
class Damaged:
    """A line with reading errors.

    Attributes:
        text: the damaged line, as long as the clean one in characters and in UTF-8 bytes.
        positions: character indices of the errors, ascending; fewer than asked for if the line offers no more.
    """

    text: str
    positions: tuple[int, ...]


def confuse(line: str, *, seed: int = 0, errors: int = 1) -> Damaged:
    """Misread ``errors`` characters of ``line``, at different places, each as one that looks like it.

    Places and replacements follow from (seed, line) alone, by BLAKE2b: the same on every machine and Python version,
    wherever the line stands in a corpus.
    """
    if errors < 0:
        raise TrainingError(f"errors is {errors!r}; expected 0 or more")
    places = [match.start() for match in _CONFUSABLE.finditer(line)]
    chars = list(line)
    data = line.encode("utf-8", errors="surrogatepass")
    hit: list[int] = []
    for number in range(min(errors, len(places))):
        salt = f"{seed}:{number}:".encode()
        digest = hashlib.blake2b(salt + data, digest_size=16).digest()
        place = places.pop(int.from_bytes(digest[:8], "big") % len(places))
        others = CONFUSIONS[chars[place]]
        chars[place] = others[int.from_bytes(digest[8:], "big") % len(others)]
        hit.append(place)
    return Damaged("".join(chars), tuple(sorted(hit)))


class LineSample:
    """A uniform sample of the lines of a corpus, in constant memory: reservoir sampling, the same for the same seed.

    A line is what stands between newlines, without a final carriage return. Lines without any confusable character
    cannot be damaged and are passed over; of a line above 1,000 characters the first 1,000 are used.
    """

    def __init__(self, size: int = 20_000, *, seed: int = 0) -> None:
        if size < 0:
            raise TrainingError(f"the sample size is {size!r}; expected 0 or more lines")
        self.size = size
        self.seen = 0
        self._lines: list[tuple[int, str]] = []
        self._random = random.Random(seed)

    def add(self, document: Document) -> None:
        """Offer every line of a document; parts of a ``bytes`` document that are not UTF-8 are passed over."""
        if self.size == 0:
            return
        for line in _lines(document):
            if _CONFUSABLE.search(line) is None:
                continue
            if len(self._lines) < self.size:
                self._lines.append((self.seen, line))
            else:
                slot = int(self._random.random() * (self.seen + 1))
                if slot < self.size:
                    self._lines[slot] = (self.seen, line)
            self.seen += 1

    def lines(self) -> list[str]:
        """The sampled lines in corpus order."""
        return [line for _, line in sorted(self._lines)]


def _lines(document: Document) -> Iterator[str]:
    """Lines one by one: a list of those of a large document would take more memory than the document."""
    if isinstance(document, str):
        for start, end in _bounds(document, "\n"):
            yield document[start:end].removesuffix("\r")[:_MAX_LINE]
        return
    for start, end in _bounds(document, b"\n"):
        with suppress(UnicodeDecodeError):
            yield document[start:end].removesuffix(b"\r").decode("utf-8")[:_MAX_LINE]


def _bounds(document: AnyStr, newline: AnyStr) -> Iterator[tuple[int, int]]:
    start = 0
    while (end := document.find(newline, start)) >= 0:
        yield start, end
        start = end + 1
    yield start, len(document)


@dataclass(frozen=True)
class BoundaryConsistency:
    """How far one misread character moves token boundaries, micro-averaged over lines.

    A and B are the sets of token end offsets, in bytes, of a clean line and of the damaged one. The end of the line
    belongs to both.

    Attributes:
        lines: lines measured.
        errors: misread characters in them.
        clean: sum of ``|A|``.
        damaged: sum of ``|B|``.
        shared: sum of ``|A & B|``.
    """

    lines: int
    errors: int
    clean: int
    damaged: int
    shared: int

    @property
    def changed(self) -> int:
        """Boundaries gained or lost: sum of ``|A ^ B|``."""
        return self.clean + self.damaged - 2 * self.shared

    @property
    def jaccard(self) -> float:
        """``sum |A & B| / sum |A | B|``: 1.0 if no boundary moved."""
        return self.shared / (self.clean + self.damaged - self.shared)

    @property
    def changed_per_error(self) -> float:
        """``sum |A ^ B| / errors``. Below 1.0 an error re-cuts less than one boundary."""
        return self.changed / self.errors

    @property
    def share_of_clean(self) -> float:
        """``sum |A ^ B| / sum |A|``."""
        return self.changed / self.clean

    @property
    def tokens_per_line(self) -> float:
        """``sum |A| / lines``. Read the others beside it: more, shorter tokens raise ``jaccard`` by themselves."""
        return self.clean / self.lines


def boundary_consistency(
    tokenizer: TokenizerLike, lines: Sequence[str], *, errors: int = 1, seed: int = 0, threads: int | None = 1
) -> BoundaryConsistency | None:
    """Compare the boundaries of each line with those of the same line with ``errors`` misread characters.

    Offsets are those of ``tokenizer.spans``: bytes of the decoded text, which are bytes of the line where the tokenizer
    is lossless. Lines without a confusable character are passed over; ``None`` if no line is left.
    """
    pairs = [(line, confuse(line, seed=seed, errors=errors)) for line in lines]
    pairs = [(line, damaged) for line, damaged in pairs if damaged.positions]
    num_clean = num_damaged = shared = 0
    for start in range(0, len(pairs), 1024):
        part = pairs[start : start + 1024]
        clean_ids = encode_texts(tokenizer, [line for line, _ in part], threads=threads)
        damaged_ids = encode_texts(tokenizer, [damaged.text for _, damaged in part], threads=threads)
        for clean, damaged in zip(clean_ids, damaged_ids, strict=True):
            a, b = _ends(tokenizer, clean), _ends(tokenizer, damaged)
            num_clean += len(a)
            num_damaged += len(b)
            shared += len(a & b)
    if num_clean == 0:
        return None
    num_errors = sum(len(damaged.positions) for _, damaged in pairs)
    return BoundaryConsistency(len(pairs), num_errors, num_clean, num_damaged, shared)


def _ends(tokenizer: TokenizerLike, ids: Sequence[int]) -> set[int]:
    return {end for _, end in tokenizer.spans(ids)}
