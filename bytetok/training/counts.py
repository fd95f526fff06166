"""Pretoken counts: the small, exact summary of a corpus that training needs.

Counting is the pass over the text; everything after it works on counts. Counts are 64-bit, add exactly, and are stored
as parquet in the order of their bytes, so that any split of the work over threads, machines or sessions gives the same
file.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from bytetok import _core
from bytetok.errors import CorpusError, EncodingError, TrainingError, VocabMismatchError
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.training import counts_file, counts_merge
from bytetok.training.corpus import Texts

Progress = Callable[[int], None]
"""Hears how many bytes have been read so far."""

_BATCH_BYTES = 4 << 20
_BATCH_DOCUMENTS = 4096
# What a process needs besides the tables: the interpreter, numpy, pyarrow and its write buffers.
_OVERHEAD = 160 << 20


class _CoreSorted(Protocol):
    def batch(self, most: int) -> tuple[bytes, bytes, bytes] | None: ...


class PretokenCounts:
    """How often each pretoken occurs in a corpus. Immutable; ``a + b`` adds counts of the same split pattern.

    ``documents`` and ``bytes`` say how much text was counted. Make one with :func:`count_pretokens`, :meth:`load` or
    :meth:`from_dict`.
    """

    def __init__(self, core: _core.Counts, pattern: SplitPattern, *, documents: int, bytes: int) -> None:  # noqa: A002
        self._core = core
        self.pattern = pattern
        self.documents = documents
        self.bytes = bytes

    @classmethod
    def from_dict(cls, counts: Mapping[bytes, int], pattern: str | Sequence[str] | SplitPattern) -> PretokenCounts:
        """Counts given as a mapping. Raises TrainingError for a count outside 1 to 2^64 - 1 or an empty pretoken."""
        numbers = [int(count) if isinstance(count, (int, np.integer)) else 0 for count in counts.values()]
        for pretoken, number in zip(counts, numbers, strict=True):
            if not isinstance(pretoken, bytes) or not pretoken or not 0 < number < 1 << 64:
                raise TrainingError(
                    f"pretoken {str(pretoken)[:80]} has count {str(counts[pretoken])[:80]}; pretokens are bytes, not "
                    "empty, and counts are 1 to 2^64 - 1"
                )
        core = _core.Counts()
        ends = np.cumsum([len(pretoken) for pretoken in counts], dtype=np.uint64)
        core.add_batch(b"".join(counts), ends.tobytes(), np.array(numbers, dtype=np.uint64).tobytes())
        size = sum(len(pretoken) * number for pretoken, number in zip(counts, numbers, strict=True))
        return cls(core, SplitPattern.of(pattern), documents=0, bytes=size)

    @classmethod
    def load(cls, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> PretokenCounts:
        """Load one parquet shard, or several and add them.

        Raises VocabMismatchError for shards of different split patterns, FormatError for a file that holds no counts,
        and CorpusError for one that cannot be read.
        """
        listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        if not listed:
            raise CorpusError("no count files given; expected one or more .parquet files written by `bytetok count`")
        core, header = _core.Counts(), counts_file.read_header(listed[0])
        documents, size = 0, 0
        for path in listed:
            shard = counts_file.read_header(path)
            _check_same(header.pattern, shard.pattern, f"{os.fspath(listed[0])} and {os.fspath(path)}")
            for data, ends, numbers in counts_file.read_batches(path):
                core.add_batch(data, ends, numbers)
            documents, size = documents + shard.documents, size + shard.bytes
        return cls(core, header.pattern, documents=documents, bytes=size)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a parquet file with the columns ``pretoken`` (binary) and ``count`` (uint64), sorted by pretoken."""
        header = counts_file.Header(self.pattern, self.documents, self.bytes)
        counts_file.write(path, header, _batches(self._core.sorted()))

    def resplit(self, pattern: str | Sequence[str] | SplitPattern) -> PretokenCounts:
        """Cut each pretoken further: the counts of splitting the text by this pattern and then by ``pattern``."""
        finer = SplitPattern.of(pattern)
        stages = SplitPattern.of((*self.pattern.stages, *finer.stages))
        return PretokenCounts(
            self._core.resplit(finer.core), stages, documents=self.documents, bytes=self.bytes
        )

    @property
    def total(self) -> int:
        """The sum of all counts."""
        return self._core.total()

    @property
    def core(self) -> _core.Counts:
        """The compiled table, for other parts of this package."""
        return self._core

    def items(self) -> Iterator[tuple[bytes, int]]:
        """Pretokens and counts, in the order of the pretokens' bytes."""
        for data, ends, counts in _batches(self._core.sorted()):
            start = 0
            numbers = np.frombuffer(counts, dtype=np.uint64).tolist()
            for end, count in zip(np.frombuffer(ends, dtype=np.uint64).tolist(), numbers, strict=True):
                yield data[start:end], count
                start = end

    def __len__(self) -> int:
        return len(self._core)

    def __add__(self, other: PretokenCounts) -> PretokenCounts:
        if not isinstance(other, PretokenCounts):
            return NotImplemented
        _check_same(self.pattern, other.pattern, "the two")
        core = self._core.copy()
        core.add_all(other._core)
        return PretokenCounts(
            core, self.pattern, documents=self.documents + other.documents, bytes=self.bytes + other.bytes
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PretokenCounts):
            return NotImplemented
        return self.pattern.stages == other.pattern.stages and dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PretokenCounts({len(self):,} distinct, {self.total:,} in all, pattern {self.pattern})"


def _check_same(ours: SplitPattern, theirs: SplitPattern, place: str) -> None:
    if ours.stages != theirs.stages:
        raise VocabMismatchError(
            f"{place} were counted with different split patterns, {ours} and {theirs}; counts add only within one "
            "pattern, so count one of them again"
        )


def _batches(core: _CoreSorted) -> Iterator[tuple[bytes, bytes, bytes]]:
    while (batch := core.batch(counts_file.ROW_GROUP)) is not None:
        yield batch


def count_pretokens(
    texts: Texts | Iterable[str | bytes],
    *,
    pattern: str | Sequence[str] | SplitPattern = "o200k",
    threads: int = 1,
    memory: int | str | None = None,
    progress: Progress | None = None,
) -> PretokenCounts:
    """Count the pretokens of a corpus.

    Text files are read in pieces, so a document of any size takes constant memory with every named pattern but
    ``"none"``. ``memory`` (bytes, or a string such as ``"512MB"``) bounds the tables while counting: what does not fit
    goes to disk and is merged. The result is held in memory whole; :func:`count_to_parquet` never holds it.
    ``progress`` hears the number of bytes read.

    Raises InvalidPatternError, CorpusError, EncodingError and, past 2^64, TrainingError.
    """
    compiled = SplitPattern.of(pattern)
    with _counter(compiled, threads, memory, _is_strict(texts)) as counter:
        _feed(counter, texts, progress)
        documents, size = counter.documents, counter.bytes
        return PretokenCounts(counter.finish(), compiled, documents=documents, bytes=size)


def count_to_parquet(
    texts: Texts | Iterable[str | bytes],
    path: str | os.PathLike[str],
    *,
    pattern: str | Sequence[str] | SplitPattern = "o200k",
    threads: int = 1,
    memory: int | str | None = None,
    progress: Progress | None = None,
) -> counts_file.Header:
    """Count the pretokens of a corpus straight into a parquet file, within ``memory``; see :func:`count_pretokens`.

    The file is the same, byte for byte, whatever the order of documents, the number of threads and the memory.
    """
    compiled = SplitPattern.of(pattern)
    with _counter(compiled, threads, memory, _is_strict(texts)) as counter:
        _feed(counter, texts, progress)
        header = counts_file.Header(compiled, counter.documents, counter.bytes)
        counts_file.write(path, header, _batches(counter.finish_sorted()))
    return header


def merge_to_parquet(paths: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str]) -> counts_file.Header:
    """Add count files into one; the same bytes as counting all their text at once, in memory for a part of each file.

    Raises as :meth:`PretokenCounts.load`, FormatError for a file whose pretokens are not sorted, and TrainingError for
    a sum past 2^64.
    """
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not listed:
        raise CorpusError("no count files given; expected one or more .parquet files written by `bytetok count`")
    headers = [counts_file.read_header(one) for one in listed]
    for one, header in zip(listed, headers, strict=True):
        _check_same(headers[0].pattern, header.pattern, f"{os.fspath(listed[0])} and {os.fspath(one)}")
    documents, size = sum(header.documents for header in headers), sum(header.bytes for header in headers)
    merged = counts_file.Header(headers[0].pattern, documents, size)
    counts_merge.merge(listed, path, merged)
    return merged


def parse_size(size: int | str) -> int:
    """Bytes from a number or from text such as ``"512MB"`` or ``"2 GiB"``; raises TrainingError for anything else."""
    if isinstance(size, int) and size > 0:
        return size
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", str(size).lower())
    if found is None or float(found[1]) <= 0:
        raise TrainingError(f"{size!r} is not a size; write a number of bytes, or something like 512MB or 2GiB")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** " kmgt".index(found[2] or " "))


@contextmanager
def _counter(
    pattern: SplitPattern, threads: int, memory: int | str | None, strict: bool
) -> Iterator[_core.Counter]:
    if not 1 <= threads <= 1024:
        raise TrainingError(f"threads is {threads}; expected a number from 1 to 1024, best the number of cores")
    budget = None
    if memory is not None:
        whole = parse_size(memory)
        budget = max(whole - _OVERHEAD, whole // 8)
    with tempfile.TemporaryDirectory(prefix="bytetok-") as spill_dir:
        yield _core.Counter(pattern.core, threads=threads, memory=budget, spill_dir=spill_dir, strict=strict)


def _is_strict(texts: object) -> bool:
    """Bytes handed over as bytes need not be UTF-8; files read with errors="strict" must be."""
    return isinstance(texts, Texts) and texts.errors != "bytes"


def _feed(counter: _core.Counter, texts: Texts | Iterable[str | bytes], progress: Progress | None) -> None:
    if isinstance(texts, (str, bytes)):
        raise CorpusError(
            f"expected an iterable of documents, got one {type(texts).__name__}; pass [text], or read_texts(path) for "
            "a file"
        )
    if not isinstance(texts, Texts):
        _feed_documents(counter, texts, progress)
        return
    files = texts.plain_files() if texts.errors != "replace" else None
    if files is None:
        _feed_chunks(counter, texts, progress)
        return
    done = 0
    for file in files:
        counter.add_file(file, None if progress is None else _after(done, progress))
        done = counter.bytes


def _after(before: int, progress: Progress) -> Progress:
    return lambda read: progress(before + read)


def _feed_documents(counter: _core.Counter, texts: Iterable[str | bytes], progress: Progress | None) -> None:
    batch: list[str | bytes] = []
    size = 0
    for index, document in enumerate(texts):
        if not isinstance(document, (str, bytes)):
            raise CorpusError(f"document {index} is a {type(document).__name__}, expected str or bytes")
        batch.append(document)
        size += len(document)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_DOCUMENTS:
            _add(counter, batch, index + 1 - len(batch))
            batch, size = [], 0
            if progress is not None:
                progress(counter.bytes)
    _add(counter, batch, counter.documents)


def _add(counter: _core.Counter, batch: list[str | bytes], first: int) -> None:
    try:
        counter.add_documents(batch)
    except EncodingError as err:
        for index, document in enumerate(batch, first):
            if isinstance(document, str) and not _is_unicode(document):
                raise EncodingError(f"document {index}: {err}") from err
        raise


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _feed_chunks(counter: _core.Counter, texts: Texts, progress: Progress | None) -> None:
    batch: list[str | bytes] = []
    size, is_open = 0, False

    def flush() -> None:
        nonlocal batch, size
        # An empty batch too would end the open document.
        if batch:
            counter.add_documents(batch)
            batch, size = [], 0
        if progress is not None:
            progress(texts.bytes_read)

    for _, chunk, is_last in texts.chunks():
        if is_last and not is_open:
            batch.append(chunk)
            size += len(chunk)
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_DOCUMENTS:
                flush()
            continue
        flush()
        counter.feed(chunk)
        is_open = not is_last
        if is_last:
            counter.end_document("the document")
    flush()
