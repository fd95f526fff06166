"""What a tokenizer costs on given text: definitions, and pure functions of (tokenizer, documents).

Every figure rests on raw counts that can be added: :class:`TextSize` says how much text there is, :class:`Usage` how
often each token id occurred in it. Special (control) tokens are never counted: text is encoded with ``special="text"``,
and what a template puts around a text (BOS, ``[CLS]``, ...) is taken off again, see :func:`encode_texts`.

A comparison is "x % fewer" = ``1 - a / b``, see :func:`fewer`; the raw counts belong beside it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from bytetok.errors import BytetokError, CorpusError, EncodingError, TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

Document = str | bytes

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


class VocabLike(Protocol):
    """The part of a ``Vocab`` that evaluation reads."""

    @property
    def tokens(self) -> Sequence[bytes]:
        """Token bytes by id; ``b""`` for an id that holds no token."""

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Control tokens: text -> id."""

    @property
    def added_tokens(self) -> Mapping[str, Any]:
        """Tokens matched before splitting: text -> an object with ``id`` and ``special``."""


class TokenizerLike(Protocol):
    """The part of a ``Tokenizer`` that evaluation calls; any object with these methods can be evaluated."""

    @property
    def name(self) -> str:
        """A short name for tables."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids, control tokens included."""

    @property
    def vocab(self) -> VocabLike:
        """Token bytes and special tokens."""

    def encode(self, text: Document, *, special: Literal["text"]) -> list[int]:
        """Token ids of one text."""

    def encode_batch(
        self, docs: Sequence[Document], *, threads: int | None, special: Literal["text"]
    ) -> Sequence[Sequence[int]]:
        """Token ids of each text."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes that the ids spell."""

    def spans(self, ids: Sequence[int]) -> Sequence[tuple[int, int]]:
        """Each token's (start, end) in ``decode_bytes(ids)``, in bytes."""

    def token_bytes(self, token_id: int, /) -> bytes:
        """The bytes of one token."""


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
    return TextSize(1, len(_utf8(document, index)), len(text), len(text.split()))


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


# ----------------------------------------------------------------------------------------------------------- encoding


def control_ids(tokenizer: TokenizerLike) -> frozenset[int]:
    """Ids of special (control) tokens: those that text never turns into."""
    vocab = tokenizer.vocab
    added = (token.id for token in vocab.added_tokens.values() if token.special)
    return frozenset(vocab.special_tokens.values()) | frozenset(added)


def text_ids(tokenizer: TokenizerLike) -> Counts:
    """Ids that text can turn into, ascending: all but control tokens and ids that hold no bytes."""
    import numpy as np

    control = control_ids(tokenizer)
    ids = [i for i, token in enumerate(tokenizer.vocab.tokens) if token and i not in control]
    return np.array(ids, dtype=np.int64)


def encode_texts(
    tokenizer: TokenizerLike, texts: Sequence[Document], *, threads: int | None = 1
) -> list[Sequence[int]]:
    """Token ids of each text, special-token text encoded as ordinary text, and without template tokens.

    Some tokenizers put tokens around every text (BOS, ``[CLS]`` ... ``[SEP]``). Counting them would charge each of
    twenty short terms one or two tokens that it does not have, so whatever ``encode("")`` gives is taken off both ends.
    """
    ids = tokenizer.encode_batch(list(texts), threads=threads, special="text")
    template = list(tokenizer.encode("", special="text"))
    if not template:
        return list(ids)
    return [_without_template(list(one), template) for one in ids]


def encode_each(
    tokenizer: TokenizerLike, texts: Sequence[Document], *, threads: int | None = 1
) -> list[Sequence[int] | None]:
    """As :func:`encode_texts`, with ``None`` for a text that the tokenizer refuses.

    A vocabulary trained on a limited alphabet lacks some bytes, and some tokenizers take no bytes at all. That is for
    the texts that we make up; a corpus that cannot be encoded is an error.
    """
    try:
        return list(encode_texts(tokenizer, texts, threads=threads))
    except (BytetokError, UnicodeError, TypeError):
        if len(texts) == 1:
            return [None]
    middle = len(texts) // 2
    return encode_each(tokenizer, texts[:middle], threads=threads) + encode_each(
        tokenizer, texts[middle:], threads=threads
    )


def _without_template(ids: list[int], template: list[int]) -> list[int]:
    for head in range(len(template), -1, -1):
        tail = len(template) - head
        if len(ids) >= len(template) and ids[:head] == template[:head] and ids[len(ids) - tail :] == template[head:]:
            return ids[head : len(ids) - tail]
    return ids


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

    encoded = encode_texts(tokenizer, batch, threads=threads)
    # One bincount a batch: a document is often shorter than the vocabulary is large.
    flat = np.concatenate([np.zeros(0, np.int64), *(np.asarray(ids, np.int64) for ids in encoded)])
    counts = np.bincount(flat, minlength=_num_ids(tokenizer)).astype(np.int64)
    failures = 0
    first: RoundTripFailure | None = None
    for index, (document, ids) in enumerate(zip(batch, encoded, strict=True)):
        data = _utf8(document)
        back = tokenizer.decode_bytes(ids)
        if back != data:
            failures += 1
            if first is None:
                byte = _first_difference(data, back)
                first = RoundTripFailure(index, byte, data[byte : byte + 16], back[byte : byte + 16])
    return Usage(counts, size, RoundTrip(failures, first))


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
