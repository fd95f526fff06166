"""Corpora as streams of documents, from wherever text is kept, in constant memory.

::

    texts = read_texts("corpus/**/*.jsonl.zst", column="body")
    for document in texts: ...                    # str; again from the start each time
    for index, chunk, last in texts.chunks(): ... # bytes, at most 1 MiB of a text file at a time

What a document is: a text file, a line of JSON lines, a row of Parquet or Arrow, an item of an iterable. Text is data
and stays as it is: newlines are not translated, a byte order mark at the start of a text file is kept (JSON lines lose
theirs, which is no part of any text), nothing is normalized. An empty text file is one empty document, a blank line of
JSON lines is none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeAlias, get_args

from bytetok.errors import BytetokError, CorpusError, EncodingError, FormatError
from bytetok.training.corpus_records import Document, RecordReader
from bytetok.training.corpus_sources import FileFormat, SkippedFile, Source, from_documents, resolve
from bytetok.training.corpus_streams import Errors, text_chunks

__all__ = ["Corpus", "Source", "Texts", "read_texts"]

OnError: TypeAlias = Literal["raise", "skip"]
Corpus: TypeAlias = str | os.PathLike[str] | Iterable[Any]


def read_texts(
    source: Corpus,
    *,
    column: str = "text",
    errors: Errors = "strict",
    on_error: OnError = "raise",
    file_format: FileFormat | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Texts:
    """Open a corpus.

    Args:
        source: a path, glob (``**`` too), folder (all files in it with a known suffix, hidden ones left out, sorted),
            fsspec URL of any of these, ``"-"`` for standard input, or a list of these; or documents: a list of ``dict``
            or ``bytes``, a Hugging Face ``datasets`` object, or any other iterable of ``str``, ``bytes`` or ``dict``.
            A *list* of ``str`` is a list of paths; `Texts.from_documents` takes one as documents. Suffixes ``.gz .zst
            .xz .bz2`` mean compression, ``.jsonl .ndjson .parquet .arrow .feather`` records, anything else plain text.
        column: the text column of records. Rows where it is null are skipped and counted in ``Texts.skipped``; rows
            that lack it are an error.
        errors: for text that is not valid UTF-8 (or a ``str`` with lone surrogates): ``"strict"`` raises, ``"replace"``
            reads U+FFFD, ``"bytes"`` makes all documents ``bytes`` and leaves them untouched.
        on_error: ``"raise"``, or ``"skip"`` to go on with the next file when one is missing, unreadable, truncated or
            malformed. ``Texts.skipped_files`` says which and why; what was read before the place of the error stays.
        file_format: ``"text"``, ``"jsonl"``, ``"parquet"`` or ``"arrow"``, for standard input and untelling names.
        on_progress: called with the number of stored bytes consumed since the last call; compare ``Texts.size``.

    Raises:
        CorpusError: nothing is there, or it may not be read; all sources are looked up at once, before reading.
        FormatError: an archive or office document.
        MissingDependencyError: a URL scheme whose fsspec package is not installed.
    """
    skipped: list[SkippedFile] | None = [] if on_error == "skip" else None
    if file_format is not None:
        _check_choice("file_format", file_format, FileFormat)
    sources = resolve(source, file_format=file_format, skipped=skipped)
    texts = Texts(sources, column=column, errors=errors, on_error=on_error, on_progress=on_progress)
    texts._skipped_at_start = tuple(skipped or ())
    return texts


class Texts:
    """A corpus: iterate for documents (``str``, or ``bytes`` with ``errors="bytes"``), or call `chunks`.

    Files and collections can be iterated again and again; standard input, pipes and iterators once, after which
    `CorpusError` is raised. The counters below belong to the latest iteration.

    Attributes:
        sources: the files, URLs and iterables, in reading order.
        skipped: rows left out because their text is null.
        bytes_read: stored (compressed) bytes consumed; text bytes for iterables.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        *,
        column: str = "text",
        errors: Errors = "strict",
        on_error: OnError = "raise",
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        _check_choice("errors", errors, Errors)
        _check_choice("on_error", on_error, OnError)
        self.sources: tuple[Source, ...] = tuple(sources)
        self.column = column
        self.errors: Errors = errors
        self.on_error: OnError = on_error
        self.on_progress = on_progress
        self.skipped = 0
        self.bytes_read = 0
        self._skipped_at_start: tuple[SkippedFile, ...] = ()
        self._skipped_now: list[SkippedFile] = []
        self._spent = False

    @classmethod
    def from_documents(
        cls, documents: Iterable[Any], *, column: str = "text", errors: Errors = "strict", on_error: OnError = "raise"
    ) -> Texts:
        """Make a corpus of documents in memory: any iterable of ``str``, ``bytes`` or mappings with ``column``."""
        return cls([from_documents(documents)], column=column, errors=errors, on_error=on_error)

    @property
    def size(self) -> int | None:
        """Stored bytes of all sources together, or ``None`` where that is unknown; the total for `bytes_read`."""
        total = 0
        for source in self.sources:
            if source.size is None:
                return None
            total += source.size
        return total

    @property
    def one_shot(self) -> bool:
        """Whether this corpus can be iterated only once."""
        return any(source.one_shot for source in self.sources)

    @property
    def skipped_files(self) -> tuple[SkippedFile, ...]:
        """Give ``(path, message)`` for each file left out with ``on_error="skip"``, at the start or while reading."""
        return self._skipped_at_start + tuple(self._skipped_now)

    def plain_files(self) -> list[str] | None:
        """Give the paths if every source is an uncompressed text file of this machine, else ``None``.

        A native reader may then read the files itself, one document each. ``None`` also with ``on_error="skip"``, whose
        rules only this class knows.
        """
        if self.on_error == "skip":
            return None
        if all(one.format == "text" and one.compression is None and one.is_local_file for one in self.sources):
            return [source.path for source in self.sources]
        return None

    def shard(self, index: int, count: int) -> Texts:
        """Give the corpus of every ``count``-th source from ``index`` (0-based); all shards together are this corpus.

        Raises:
            CorpusError: ``index`` outside ``0..count-1``, or a corpus that can be read only once.
        """
        if not 0 <= index < count:
            raise CorpusError(f"shard {index} of {count} does not exist; indexes are 0 to {max(count - 1, 0)}")
        if self.one_shot:
            raise CorpusError(
                "a stream or iterator cannot be sharded, since each process has its own; write it to files first"
            )
        part = Texts(
            self.sources[index::count],
            column=self.column,
            errors=self.errors,
            on_error=self.on_error,
            on_progress=self.on_progress,
        )
        # Files refused at the start have no place in the sequence; one shard reports them, so that no sum counts twice.
        part._skipped_at_start = self._skipped_at_start if index == 0 else ()
        return part

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents.

        Raises:
            CorpusError: a source is unreadable, truncated or lacks the column; or a second pass over a stream.
            EncodingError: text that is not valid UTF-8, with file and byte offset.
            FormatError: a file that is not what its suffix says, or a row that does not parse.
        """
        held: list[Any] = []
        for part, is_last in self._parts(as_bytes=False):
            if self.errors == "bytes" or isinstance(part, str):
                held.append(part)
            else:
                held.append(part.decode())  # chunks of text end between characters
            if is_last:
                yield held[0] if len(held) == 1 else type(held[0])().join(held)
                held.clear()

    def chunks(self) -> Iterator[tuple[int, bytes, bool]]:
        """Yield ``(document index, UTF-8 bytes, is last of its document)``; raises as iteration does.

        Text files come in chunks of at most 1 MiB, which end between characters unless ``errors="bytes"``; no document
        is held whole. Records are one chunk each, however long. Joined chunks equal the documents of iteration.
        """
        index = 0
        for part, is_last in self._parts(as_bytes=True):
            yield index, part, is_last
            index += is_last

    def _parts(self, *, as_bytes: bool) -> Iterator[tuple[Any, bool]]:
        """Yield (record as asked for, or chunk of a text file as bytes; whether it is the last of its document)."""
        if self._spent:
            raise CorpusError(
                "this corpus was read already and cannot be read again, because it comes from standard input, a pipe "
                "or an iterator; read it from files, or pass a list instead of an iterator"
            )
        self._spent = self.one_shot
        self.skipped = 0
        self.bytes_read = 0
        self._skipped_now = []
        records = RecordReader(self.column, self.errors, as_bytes, self._advance, self._skip_null)
        for source in self.sources:
            end = None if source.size is None else self.bytes_read + source.size
            try:
                if source.format == "text":
                    chunks = text_chunks(source, self.errors, self._advance)
                    yield from _mark_last(chunks, keep_partial=self.on_error == "skip")
                else:
                    for document in records.read(source):
                        yield document, True
            except (CorpusError, EncodingError, FormatError) as err:
                if self.on_error == "raise":
                    raise
                self._skipped_now.append((source.path, str(err)))
            if end is not None and end > self.bytes_read:  # the rest of a skipped file, or a footer nobody counts
                self._advance(end - self.bytes_read)

    def _advance(self, count: int) -> None:
        self.bytes_read += count
        if self.on_progress is not None:
            self.on_progress(count)

    def _skip_null(self) -> None:
        self.skipped += 1

    def __repr__(self) -> str:
        size = "size unknown" if self.size is None else f"{self.size:,} bytes"
        return f"Texts({len(self.sources)} sources, {size}, column={self.column!r}, errors={self.errors!r})"


def _mark_last(chunks: Iterator[bytes], *, keep_partial: bool) -> Iterator[tuple[bytes, bool]]:
    """Say of each chunk whether it ends its document, which only the one after it can tell."""
    held: bytes | None = None
    try:
        for chunk in chunks:
            if held is not None:
                yield held, False
            held = chunk
    except BytetokError:
        if keep_partial and held is not None:
            yield held, True  # what was read stays, and the document ends here
        raise
    yield held or b"", True


def _check_choice(name: str, value: object, choices: Any) -> None:
    allowed = get_args(choices)
    if value not in allowed:
        raise CorpusError(f"{name}={value!r} is not known; use {', '.join(map(repr, allowed))}")
