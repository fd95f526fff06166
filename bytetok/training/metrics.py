"""What a tokenizer costs on given text: definitions, and pure functions of (tokenizer, documents).

Every figure rests on raw counts that can be added: :class:`TextSize` says how much text there is, :class:`Usage` how
often each token id occurred in it. Special (control) tokens are never counted, see :mod:`bytetok.training.encoding`.

A comparison is "x % fewer" = ``1 - a / b``, see :func:`fewer`; the raw counts belong beside it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bytetok.errors import CorpusError, EncodingError, TrainingError
from bytetok.training.encoding import Document, TokenizerLike, encode_each, encode_texts, text_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

LEGAL_TERMS: tuple[str, ...] = (
    "11 U.S.C. § 362(a)",
    "res judicata",
    "stare decisis",
    "habeas corpus",
    "certiorari",
    "de novo review",
    "28 C.F.R. § 14.2(a)",
    "42 U.S.C. § 1983",
    "Fed. R. Civ. P. 12(b)(6)",
    "prima facie",
)
"""The ten legal terms of the KL3M paper, so that counts can be set beside its Table."""

FINANCIAL_TERMS: tuple[str, ...] = (
    "EBITDA",
    "P/E ratio",
    "10-K filing",
    "SEC Form 8-K",
    "quarterly dividend",
    "year-over-year growth",
    "Basel III compliance",
    "GAAP accounting",
    "ROI analysis",
    "market capitalization",
)
"""The ten financial terms of the KL3M paper."""

DOMAIN_TERMS: Mapping[str, tuple[str, ...]] = MappingProxyType({"legal": LEGAL_TERMS, "financial": FINANCIAL_TERMS})

_BATCH_BYTES = 4 << 20  # enough text for every thread, little enough that the id lists stay below ~50 MB
_BATCH_DOCUMENTS = 1024
_LARGE = 16 << 20  # a document of this many characters or bytes is encoded alone, to an array
_DECODED = 1 << 20  # tokens decoded at a time


def fewer(count: float, baseline: float) -> float | None:
    """How many fewer ``count`` is than ``baseline``: ``1 - count / baseline``; negative where it is more.

    0.25 reads "25 % fewer". The often seen ``baseline / count - 1`` answers another question ("how many more would the
    baseline need") and is always the larger number. ``None`` if ``baseline`` is 0.
    """
    return None if baseline == 0 else 1 - count / baseline


# ---------------------------------------------------------------------------------------------------------- documents


@dataclass(frozen=True)
class TextSize:
    """How much text: tokenizer-independent counts, which add.

    Attributes:
        documents: number of documents, empty ones included.
        bytes: UTF-8 bytes.
        characters: Unicode code points; in a ``bytes`` document each undecodable part counts as one (U+FFFD).
        words: maximal runs of characters that are not white space (``str.isspace``). In scripts written without spaces
            a whole sentence is one such word.
    """

    documents: int = 0
    bytes: int = 0
    characters: int = 0
    words: int = 0

    def __add__(self, other: TextSize) -> TextSize:
        return TextSize(
            self.documents + other.documents,
            self.bytes + other.bytes,
            self.characters + other.characters,
            self.words + other.words,
        )


def text_size(document: Document) -> TextSize:
    """Measure one document. Raises ``EncodingError`` if it is a ``str`` with lone surrogates."""
    return _size(document)


def _size(document: Document, index: int | None = None) -> TextSize:
    text = document if isinstance(document, str) else document.decode("utf-8", errors="replace")
    return TextSize(1, len(_utf8(document, index)), len(text), _num_words(text))


def _num_words(text: str, step: int = 1 << 20) -> int:
    """``len(text.split())`` without the list, which takes ten times the memory of the text."""
    words = 0
    inside = False  # the piece before ended within a word, which goes on here and is counted already
    for start in range(0, len(text), step):
        piece = text[start : start + step]
        words += len(piece.split()) - (inside and not piece[0].isspace())
        inside = not piece[-1].isspace()
    return words


def _utf8(document: Document, index: int | None = None) -> bytes:
    if isinstance(document, bytes):
        return document
    try:
        return document.encode("utf-8")
    except UnicodeEncodeError as err:
        where = "the document" if index is None else f"document {index}"
        offset = len(document[: err.start].encode("utf-8"))
        raise EncodingError(
            f"{where} holds a lone surrogate {document[err.start]!r} at byte {offset} (character {err.start}); "
            'expected Unicode text; clean it, or read the file with errors="bytes"'
        ) from err


def batches(
    documents: Iterable[Document], *, max_bytes: int | None = None, batch_bytes: int = _BATCH_BYTES
) -> Iterator[tuple[list[Document], TextSize]]:
    """Group documents, without cutting any, into batches of about ``batch_bytes``, each with its size.

    Reading stops after the document that brings the total to ``max_bytes`` or more. Raises ``CorpusError`` where an
    item is neither ``str`` nor ``bytes``, ``EncodingError`` where a ``str`` holds lone surrogates.
    """
    batch: list[Document] = []
    size = TextSize()
    total = 0
    for index, document in enumerate(documents):
        if not isinstance(document, str | bytes):
            raise CorpusError(
                f"document {index} is {type(document).__name__} {repr(document)[:80]}; expected str or bytes; "
                "name the column that holds the text"
            )
        this = _size(document, index)
        batch.append(document)
        size += this
        total += this.bytes
        if size.bytes >= batch_bytes or len(batch) >= _BATCH_DOCUMENTS:
            yield batch, size
            batch, size = [], TextSize()
        if max_bytes is not None and total >= max_bytes:
            break
    if batch:
        yield batch, size


# -------------------------------------------------------------------------------------------------------------- usage


@dataclass(frozen=True)
class RoundTripFailure:
    """Where ``decode_bytes(encode(x))`` first differs from ``x``.

    Attributes:
        document: index of the document in the corpus, from 0.
        byte: offset of the first differing byte in that document.
        expected: up to 16 bytes of the document from there.
        got: up to 16 bytes of the decoded text from there.
    """

    document: int
    byte: int
    expected: bytes
    got: bytes


@dataclass(frozen=True)
class RoundTrip:
    """How many documents do not survive ``decode_bytes(encode(x)) == x``, and the first of them."""

    failures: int = 0
    first: RoundTripFailure | None = None

    @property
    def exact(self) -> bool:
        """True if every document came back byte for byte."""
        return self.failures == 0


@dataclass(frozen=True, eq=False)
class Usage:
    """What one tokenizer made of a text. Values add: ``usage(a) + usage(b)`` is the usage on a followed by b.

    Attributes:
        counts: occurrences by token id, shape ``(vocab_size,)``.
        size: how much text was encoded.
        round_trip: documents that decoding did not give back.
    """

    counts: Counts = field(repr=False)
    size: TextSize
    round_trip: RoundTrip

    def __add__(self, other: Usage) -> Usage:
        first = self.round_trip.first
        if first is None and other.round_trip.first is not None:
            theirs = other.round_trip.first
            first = RoundTripFailure(self.size.documents + theirs.document, theirs.byte, theirs.expected, theirs.got)
        trip = RoundTrip(self.round_trip.failures + other.round_trip.failures, first)
        return Usage(self.counts + other.counts, self.size + other.size, trip)

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return int(self.counts.sum())

    @property
    def bytes_per_token(self) -> float | None:
        """UTF-8 bytes / tokens; larger is more compact. ``None`` without tokens."""
        return self.size.bytes / self.tokens if self.tokens else None

    @property
    def tokens_per_character(self) -> float | None:
        """Tokens / Unicode code points; smaller is more compact. ``None`` without characters."""
        return self.tokens / self.size.characters if self.size.characters else None

    @property
    def fertility(self) -> float | None:
        """Tokens / words, a word being a maximal run of non-white-space. ``None`` without words.

        All tokens count, those of white space too, so the figure compares tokenizers whatever they do with spaces.
        """
        return self.tokens / self.size.words if self.size.words else None


def measure_usage(
    tokenizer: TokenizerLike, documents: Iterable[Document], *, threads: int | None = 1, max_bytes: int | None = None
) -> Usage:
    """Encode and decode every document, in batches of constant memory.

    Args:
        tokenizer: what is measured.
        documents: texts; never cut.
        threads: handed to ``encode_batch``.
        max_bytes: stop after the document that brings the total to this many UTF-8 bytes.

    Raises:
        CorpusError: an item is not text.
        EncodingError: a ``str`` holds lone surrogates.
    """
    total = empty_usage(tokenizer)
    for batch, size in batches(documents, max_bytes=max_bytes):
        total += usage_of_batch(tokenizer, batch, size, threads=threads)
    return total


def empty_usage(tokenizer: TokenizerLike) -> Usage:
    """The usage on no documents at all."""
    import numpy as np

    return Usage(np.zeros(_num_ids(tokenizer), dtype=np.int64), TextSize(), RoundTrip())


def usage_of_batch(
    tokenizer: TokenizerLike, batch: Sequence[Document], size: TextSize, *, threads: int | None = 1
) -> Usage:
    """Usage on documents that fit in memory, whose ``size`` is known (see :func:`batches`)."""
    import numpy as np

    encoded = iter(encode_texts(tokenizer, [doc for doc in batch if len(doc) < _LARGE], threads=threads))
    flat = [np.zeros(0, np.int64)]
    counts = np.zeros(_num_ids(tokenizer), np.int64)
    failures = 0
    first: RoundTripFailure | None = None
    for index, document in enumerate(batch):
        if len(document) < _LARGE:
            ids = np.asarray(next(encoded), np.int64)
            flat.append(ids)
        else:
            ids = _encode_large(tokenizer, document)
            counts += np.bincount(ids, minlength=len(counts))
        failure = _failure(tokenizer, ids, _utf8(document), index)
        failures += failure is not None
        first = first or failure
    # One bincount for all: a document is often shorter than the vocabulary is large.
    counts += np.bincount(np.concatenate(flat), minlength=len(counts))
    return Usage(counts, size, RoundTrip(failures, first))


def _encode_large(tokenizer: TokenizerLike, document: Document) -> NDArray[Any]:
    """Ids of one document as an array where the tokenizer can give one: a list takes nine times the memory."""
    import numpy as np

    if not tokenizer.encode("", special="text"):
        encode: Any = tokenizer.encode
        try:
            return np.asarray(encode(document, special="text", out="numpy"))
        except TypeError:
            pass  # no arrays here
    return np.asarray(encode_texts(tokenizer, [document])[0], np.int64)


def _failure(tokenizer: TokenizerLike, ids: NDArray[Any], data: bytes, index: int) -> RoundTripFailure | None:
    """Where decoding ``ids`` differs from ``data``; decoded in pieces, which concatenate."""
    byte = 0
    for start in range(0, len(ids), _DECODED):
        back = tokenizer.decode_bytes(ids[start : start + _DECODED].tolist())
        here = data[byte : byte + len(back)]
        if back != here:
            at = _first_difference(here, back)
            return RoundTripFailure(index, byte + at, data[byte + at : byte + at + 16], back[at : at + 16])
        byte += len(back)
    return RoundTripFailure(index, byte, data[byte : byte + 16], b"") if byte < len(data) else None


def _num_ids(tokenizer: TokenizerLike) -> int:
    return max(tokenizer.vocab_size, len(tokenizer.vocab.tokens))


def _first_difference(a: bytes, b: bytes) -> int:
    import numpy as np

    common = min(len(a), len(b))
    differs = np.frombuffer(a, np.uint8, common) != np.frombuffer(b, np.uint8, common)
    return int(differs.argmax()) if differs.any() else common


# --------------------------------------------------------------------------------------------------- the vocabulary


def renyi_efficiency(counts: Counts, vocab_size: int, *, alpha: float = 2.5) -> float | None:
    """Rényi efficiency of the token distribution, between 0 and 1.

    ``H_alpha(p) / log(V)`` with ``H_alpha(p) = log(sum_i p_i ** alpha) / (1 - alpha)``, p the relative frequencies of
    the tokens in the text and V the number of tokens that text can use (control tokens excluded); at ``alpha = 1`` the
    Shannon entropy. Zouhar et al. 2023, "Tokenization and the Noiseless Channel", found alpha = 2.5 to follow
    translation quality best. V is the whole vocabulary, as in the paper; software that divides by the log of the
    number of tokens *seen* gives larger values on small texts.

    Returns ``None`` without tokens, or with a vocabulary of fewer than two. Raises ``TrainingError`` if ``alpha`` is
    not positive.
    """
    import numpy as np

    if not alpha > 0:
        raise TrainingError(f"alpha is {alpha!r}; expected a positive number, such as 2.5")
    total = int(counts.sum())
    if total == 0 or vocab_size < 2:
        return None
    p = counts[counts > 0] / total
    if alpha == 1:
        entropy = float(-(p * np.log(p)).sum())
    else:
        entropy = math.log(float((p**alpha).sum())) / (1 - alpha)
    return abs(entropy) / math.log(vocab_size)  # abs: one token alone gives -0.0


def utilization(counts: Counts, ids: Counts) -> float | None:
    """Share of the tokens ``ids`` (see :func:`text_ids`) that occur at least once; ``None`` if there are none."""
    return float((counts[ids] > 0).mean()) if len(ids) else None


def under_used(counts: Counts, ids: Counts, *, fewer_than: int = 10) -> list[int]:
    """Those of the tokens ``ids`` that occur fewer than ``fewer_than`` times, ascending; never-used ones included."""
    return [int(i) for i in ids[counts[ids] < fewer_than]]


def length_distribution(tokenizer: TokenizerLike) -> dict[int, int]:
    """Number of tokens by length in bytes, over the whole vocabulary, control tokens excluded; ascending lengths."""
    tokens = tokenizer.vocab.tokens
    return dict(sorted(Counter(len(tokens[i]) for i in text_ids(tokenizer)).items()))


def term_counts(tokenizer: TokenizerLike, terms: Sequence[str]) -> dict[str, int | None]:
    """Number of tokens of each term, encoded alone: no leading space, no special tokens.

    ``None`` for a term with characters that the tokenizer's alphabet lacks.
    """
    encoded = encode_each(tokenizer, list(terms))
    return {term: None if ids is None else len(ids) for term, ids in zip(terms, encoded, strict=True)}
