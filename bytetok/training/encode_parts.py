"""The work of encoding a corpus, on one machine or on a node of a cluster: sources in, parts out.

A part holds the ids of documents that follow each other, and where in the sources they end. Parts are cut by the
number of tokens alone, so the same sources give the same parts again; encoding may begin anew after any of them.
"""

from __future__ import annotations

import inspect
import io
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from queue import Queue
from threading import Semaphore, Thread
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from bytetok.errors import BytetokError, UnknownTokenError
from bytetok.tokenizer.tokenizer import Special
from bytetok.training.corpus import OnError, Texts
from bytetok.training.corpus_sources import SkippedFile, Source, label
from bytetok.training.corpus_streams import Advance, Errors
from bytetok.training.ids_write import Ids, Lengths

_Item = TypeVar("_Item")

BATCH_BYTES = 8 << 20  # enough for many threads, and what is lost when a run is cut off
PART_IDS = 1 << 20  # so many tokens are in every batch but a very repetitive one
_BATCH_DOCUMENTS = 1 << 16


class BatchEncoder(Protocol):
    """The part of a tokenizer that encoding a corpus needs.

    With ``out="numpy"``, where ``encode_batch`` takes that, it gives the ids of all texts in one uint32 array and the
    int64 offsets at which each text starts and the last ends.
    """

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""

    @property
    def vocab(self) -> Any:
        """Has ``special_tokens``, a mapping of text to id."""

    def encode_batch(
        self, docs: Iterable[str | bytes], *, threads: int | None = None, special: Special = "raise"
    ) -> Any:
        """Token ids of each text."""


class Position(NamedTuple):
    """So many sources are done, and so many documents of the next one."""

    source: int
    document: int


START = Position(0, 0)


@dataclass(frozen=True)
class Part:
    """The ids of documents that follow each other.

    ``lengths``: how many ids each document has. ``end``: where the next part begins. ``bytes``: of their text, as
    UTF-8. ``read``: stored bytes. ``skipped`` rows and ``skipped_files`` are those met since the part before.
    """

    ids: Ids
    lengths: Lengths
    end: Position
    is_last: bool
    bytes: int
    read: int
    skipped: int
    skipped_files: tuple[SkippedFile, ...]


@dataclass(frozen=True)
class EncodeJob:
    """What to do with every source. ``begin`` and ``end`` are ids put around each document.

    ``batch_bytes`` of text are encoded at once; a part ends with the batch that brings it to ``part_ids``.
    """

    tokenizer: BatchEncoder
    column: str
    errors: Errors
    on_error: OnError
    special: Special
    begin: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    batch_bytes: int = BATCH_BYTES
    part_ids: int = PART_IDS


def special_id(tokenizer: BatchEncoder, text: str | None) -> tuple[int, ...]:
    """The id of a special token in a tuple, empty for None; raises UnknownTokenError for a text that is none."""
    if text is None:
        return ()
    known = tokenizer.vocab.special_tokens
    if text in known:
        return (int(known[text]),)
    some = ", ".join(map(repr, list(known)[:8])) + (", ..." if len(known) > 8 else "")
    expected = f"expected one of {some}" if known else "it has none at all"
    raise UnknownTokenError(f"{text[:80]!r} is no special token of this vocabulary; {expected}")


def encode_parts(
    job: EncodeJob,
    sources: Sequence[Source],
    start: Position = START,
    *,
    threads: int | None = None,
    advance: Advance | None = None,
) -> Iterator[Part]:
    """Encode the documents of ``sources`` from ``start`` on; the last part, and only it, has ``is_last``.

    ``advance`` hears how many stored bytes were read. Raises CorpusError, EncodingError and FormatError as reading
    does; SpecialTokenError, EncodingError and FormatError with the place of a document that cannot be encoded.
    """
    takes_out = "out" in inspect.signature(job.tokenizer.encode_batch).parameters
    held: list[_Batch] = []
    ids: list[Ids] = []
    lengths: list[Lengths] = []
    tokens = 0
    batches = _batches(job, sources, start, advance)
    # What waits for a pipe when the process is to end would abort it.
    is_alone = threads == 1 or any(source.one_shot for source in sources)
    for batch in batches if is_alone else ahead(batches):
        encoded = _encoded(job, batch, sources, threads, takes_out)
        batch = replace(batch, documents=[])  # text is not kept longer than it is needed
        held.append(batch)
        ids.append(encoded[0])
        lengths.append(encoded[1])
        tokens += len(encoded[0])
        if tokens >= job.part_ids or batch.is_last:
            yield _part(held, ids, lengths)
            held, ids, lengths, tokens = [], [], [], 0


def ahead(items: Iterator[_Item]) -> Generator[_Item]:
    """The same items, each made by a thread of its own while the one before is in use."""
    made: Queue[tuple[Literal["item"], _Item] | tuple[Literal["error"], BaseException] | None] = Queue()
    wanted = Semaphore(1)  # no more than one, since a single one may be huge
    is_over = False

    def make() -> None:
        try:
            wanted.acquire()
            for item in items:
                made.put(("item", item))
                del item
                wanted.acquire()
                if is_over:
                    return
            made.put(None)
        except BaseException as err:
            made.put(("error", err))

    # A daemon, since what waits for a slow disk cannot be told to stop.
    Thread(target=make, daemon=True).start()
    try:
        while (one := made.get()) is not None:
            wanted.release()
            if one[0] == "error":
                raise one[1]
            yield one[1]
            del one
    finally:
        is_over = True
        wanted.release()


def _part(batches: Sequence[_Batch], ids: Sequence[Ids], lengths: Sequence[Lengths]) -> Part:
    return Part(
        ids=ids[0] if len(ids) == 1 else np.concatenate(ids),
        lengths=np.concatenate(lengths),
        end=batches[-1].end,
        is_last=batches[-1].is_last,
        bytes=sum(batch.bytes for batch in batches),
        read=sum(batch.read for batch in batches),
        skipped=sum(batch.skipped for batch in batches),
        skipped_files=tuple(file for batch in batches for file in batch.skipped_files),
    )


# ------------------------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True)
class _Batch:
    """Documents to encode at once, with the place of each, and what was read since the batch before."""

    documents: list[bytes]
    places: list[Position]
    end: Position
    is_last: bool
    bytes: int
    read: int
    skipped: int
    skipped_files: tuple[SkippedFile, ...]


def _batches(
    job: EncodeJob, sources: Sequence[Source], start: Position, advance: Advance | None
) -> Iterator[_Batch]:
    """Group documents into batches; the last one, which may be empty, has ``is_last``."""
    reader = _Reader(job, sources, start, advance)
    documents: list[bytes] = []
    places: list[Position] = []
    size = 0
    for document, place in reader.documents():
        documents.append(document)
        places.append(place)
        size += len(document)
        del document  # or the next one is read while this one, which may be huge, is still there
        if size >= job.batch_bytes or len(documents) >= _BATCH_DOCUMENTS:
            end = Position(place.source, place.document + 1)
            yield _Batch(documents, places, end, False, size, *reader.taken())
            documents, places, size = [], [], 0
    yield _Batch(documents, places, Position(len(sources), 0), True, size, *reader.taken())


class _Reader:
    """Reads documents, and counts what else there is to tell about the sources."""

    def __init__(self, job: EncodeJob, sources: Sequence[Source], start: Position, advance: Advance | None) -> None:
        self._job, self._sources, self._start, self._tell = job, sources, start, advance
        self._read = self._skipped = 0
        self._files: list[SkippedFile] = []

    def taken(self) -> tuple[int, int, tuple[SkippedFile, ...]]:
        """Stored bytes read, rows skipped and files skipped since the last call."""
        taken = self._read, self._skipped, tuple(self._files)
        self._read = self._skipped = 0
        self._files = []
        return taken

    def documents(self) -> Iterator[tuple[bytes, Position]]:
        """Each document as UTF-8 and its place."""
        job = self._job
        for index in range(self._start.source, len(self._sources)):
            texts = Texts(self._sources[index : index + 1], column=job.column, errors=job.errors, on_error=job.on_error)
            documents = _documents(texts)
            known = self._start.document if index == self._start.source else 0
            # What was read for documents that are encoded already was told with them.
            deque(islice(documents, known), maxlen=0)
            skipped = texts.skipped
            texts.on_progress = self._advance
            number = known
            for document in documents:
                self._skipped += texts.skipped - skipped
                skipped = texts.skipped
                yield document, Position(index, number)
                del document
                number += 1
            self._skipped += texts.skipped - skipped
            self._files += texts.skipped_files

    def _advance(self, count: int) -> None:
        self._read += count
        if self._tell is not None:
            self._tell(count)


def _documents(texts: Texts) -> Iterator[bytes]:
    held: io.BytesIO | None = None
    for _, chunk, is_last in texts.chunks():
        if is_last and held is None:
            yield chunk
            del chunk
            continue
        held = held or io.BytesIO()  # which gives what was written to it without another copy
        held.write(chunk)
        if is_last:
            document, held = held.getvalue(), None
            yield document
            del document


# ----------------------------------------------------------------------------------------------------------- encoding


def _encoded(
    job: EncodeJob, batch: _Batch, sources: Sequence[Source], threads: int | None, takes_out: bool
) -> tuple[Ids, Lengths]:
    try:
        ids, lengths = _ragged(job, batch.documents, threads, takes_out)
    except BytetokError as err:
        for document, place in zip(batch.documents, batch.places, strict=True):
            try:
                job.tokenizer.encode_batch([document], threads=1, special=job.special)
            except BytetokError as alone:
                raise type(alone)(f"{_named(sources[place.source], place.document)}: {alone}") from err
        raise
    return _framed(ids, lengths, job.begin, job.end)


def _named(source: Source, number: int) -> str:
    if source.format == "text":
        return label(source.path)  # the file is the document
    return f"document {number}" if source.format == "documents" else f"{label(source.path)}: document {number}"


def _ragged(
    job: EncodeJob, documents: Sequence[bytes], threads: int | None, takes_out: bool
) -> tuple[Ids, Lengths]:
    encode_batch: Any = job.tokenizer.encode_batch
    if takes_out:
        ids, offsets = encode_batch(documents, threads=threads, special=job.special, out="numpy")
        lengths: Lengths = np.asarray(offsets[1:] - offsets[:-1], dtype=np.int64)
        return np.asarray(ids, dtype=np.uint32), lengths
    lists = encode_batch(documents, threads=threads, special=job.special)
    lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    return np.fromiter(chain.from_iterable(lists), dtype=np.uint32, count=int(lengths.sum())), lengths


def _framed(ids: Ids, lengths: Lengths, begin: Sequence[int], end: Sequence[int]) -> tuple[Ids, Lengths]:
    """Put ``begin`` before and ``end`` after the ids of each document."""
    if not begin and not end:
        return ids, lengths
    ends = np.cumsum(lengths)
    # Equal places keep their order, so what ends an empty document follows what begins it.
    around = np.stack([*[ends - lengths] * len(begin), *[ends] * len(end)], axis=1)
    values = np.array([*begin, *end], dtype=np.uint32)
    framed = np.insert(ids, around.ravel(), np.tile(values, len(lengths)))
    return framed, lengths + len(values)
