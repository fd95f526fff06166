"""Documents out of record sources: JSON lines, Parquet, Arrow and Python iterables; one row is one document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import IO, Any, TypeAlias

from bytetok.errors import BytetokError, CorpusError, EncodingError, FormatError
from bytetok.training.corpus_sources import Source, label, shown
from bytetok.training.corpus_streams import Advance, Errors, blocks, lines, read_errors, seekable, unreadable

Document: TypeAlias = str | bytes

_SURROGATE = re.compile("[\ud800-\udfff]")
_BOM = b"\xef\xbb\xbf"
# Rows and bytes of text held at once; rows alone would let a batch of long documents fill the memory.
_BATCH_ROWS = 1024
_BATCH_BYTES = 16 << 20


@dataclass(frozen=True)
class RecordReader:
    """How rows become documents.

    ``column`` is the text column, ``errors`` as in `bytetok.training.corpus.read_texts`. With ``as_bytes`` documents
    are UTF-8 ``bytes`` (always so with ``errors="bytes"``), which spares Parquet and Arrow a way through ``str``.
    ``advance`` is told the number of stored bytes consumed (of text bytes for Python iterables), ``skip_null`` is
    called for each row without text.
    """

    column: str
    errors: Errors
    as_bytes: bool
    advance: Advance
    skip_null: Callable[[], None]

    def read(self, source: Source) -> Iterator[Document]:
        """Yield the documents of ``source``: ``bytes`` with ``as_bytes`` or ``errors="bytes"``, else ``str``.

        Raises:
            CorpusError: unreadable, truncated, or without the column.
            EncodingError: text that is not Unicode, with file and place.
            FormatError: a row that does not parse or whose column is not text, with file and place.
        """
        if source.format == "jsonl":
            return self._jsonl(source)
        if source.format == "documents":
            return self._iterable(source)
        return self._columnar(source)

    def _document(self, value: object, place: str) -> Document | None:
        """Check one value of the column; ``None`` if it is null."""
        if value is None:
            self.skip_null()
            return None
        try:
            if isinstance(value, str):
                return self._from_str(value)
            if isinstance(value, (bytes, bytearray, memoryview)):
                return self._from_bytes(bytes(value))
        except UnicodeEncodeError as err:
            surrogate = f"U+{ord(err.object[err.start]):04X}"
            raise EncodingError(
                f"{place}: the lone surrogate {surrogate} at character offset {err.start} of the text has no UTF-8 form"
                '; pass errors="replace" to read U+FFFD there'
            ) from err
        except UnicodeDecodeError as err:
            raise _not_utf8(place, "of the text", err.start, err) from err
        raise FormatError(
            f"{place}: expected text, found {type(value).__name__} {shown(value)}; choose a column of text with column="
        )

    def _from_str(self, value: str) -> Document:
        if self.errors == "replace" and not value.isascii():
            value = _SURROGATE.sub("\ufffd", value)
        if self.as_bytes or self.errors == "bytes":
            return value.encode()
        if not value.isascii():
            value.encode()  # raises for lone surrogates, which no tokenizer can encode
        return value

    def _from_bytes(self, value: bytes) -> Document:
        if self.errors == "bytes":
            return value
        text = value.decode("utf-8", self.errors)
        if not self.as_bytes:
            return text
        return text.encode() if self.errors == "replace" else value

    # --- JSON lines ------------------------------------------------------------------------------

    def _jsonl(self, source: Source) -> Iterator[Document]:
        offset = 0
        name = label(source.path)
        for number, line in enumerate(lines(blocks(source, self.advance)), 1):
            place = f"{name}: line {number} (byte offset {offset})"
            # A byte order mark belongs to the file here and not to a text, as in .txt files.
            skip = len(_BOM) if offset == 0 and line.startswith(_BOM) else 0
            if line[skip:].strip():
                document = self._json_document(line[skip:], place, offset + skip)
                if document is not None:
                    yield document
            offset += len(line) + 1

    def _json_document(self, line: bytes, place: str, offset: int) -> Document | None:
        try:
            return self._document(self._cell(_parse(line.decode(), place, offset), place), place)
        except UnicodeDecodeError as err:
            if self.errors == "strict":
                raise _not_utf8(place, "of the file", offset + err.start, err) from err
        value = self._cell(_parse(line.decode("utf-8", "replace"), place, offset), place)
        if self.errors == "replace" or not isinstance(value, str):
            return self._document(value, place)
        # errors="bytes" and the line is not UTF-8. Escaped lone surrogates have no bytes and raise here, so that every
        # surrogate that follows stands for an untouched byte.
        self._document(value, place)
        raw = self._cell(_parse(line.decode("utf-8", "surrogateescape"), place, offset), place)
        return str(raw).encode("utf-8", "surrogateescape")

    def _cell(self, row: object, place: str) -> object:
        if not isinstance(row, Mapping):
            raise FormatError(
                f"{place}: expected an object with the column {self.column!r}, found {type(row).__name__} {shown(row)}"
            )
        try:
            return row[self.column]
        except KeyError:
            raise _no_column(place, self.column, list(row)) from None

    # --- Python iterables ------------------------------------------------------------------------

    def _iterable(self, source: Source) -> Iterator[Document]:
        name = label(source.path)
        for number, item in enumerate(source.documents or ()):
            place = f"{name}: document {number}"
            document = self._document(self._cell(item, place) if isinstance(item, Mapping) else item, place)
            if document is None:
                continue
            if isinstance(document, str) and not document.isascii():
                self.advance(len(document.encode()))
            else:
                self.advance(len(document))
            yield document

    # --- Parquet and Arrow -----------------------------------------------------------------------

    def _columnar(self, source: Source) -> Iterator[Document]:
        batches = _parquet_batches if source.format == "parquet" else _arrow_batches
        name = label(source.path)
        rows = count()
        reported = 0
        with seekable(source, self.advance) as (handle, counted), _arrow_errors(source):
            for values, fraction in batches(source, handle, self.column):
                for value, row in zip(values, rows, strict=False):
                    document = self._document(value, f"{name}: row {row}")
                    if document is not None:
                        yield document
                if not counted and source.size is not None:
                    consumed = int(source.size * fraction) - reported
                    self.advance(consumed)
                    reported += consumed


Batches: TypeAlias = Iterator[tuple[list[bytes | None], float]]


def _parquet_batches(source: Source, handle: IO[bytes], column: str) -> Batches:
    """Yield (texts, share of the rows read so far) from the one column."""
    import pyarrow.parquet as pq

    # A buffer makes Arrow stream the pages of a column; without one it reads a row group's whole column at once.
    with pq.ParquetFile(handle, buffer_size=1 << 20, pre_buffer=False) as file:
        _check_column(source, file.schema_arrow, column)
        metadata = file.metadata
        stored = sum(
            chunk.total_uncompressed_size
            for group in map(metadata.row_group, range(metadata.num_row_groups))
            for chunk in map(group.column, range(group.num_columns))
            if chunk.path_in_schema == column
        )
        size = _BATCH_BYTES * metadata.num_rows // max(stored, 1)
        done = 0
        for batch in file.iter_batches(min(max(size, 1), _BATCH_ROWS), columns=[column], use_threads=False):
            done += batch.num_rows
            yield _texts(batch.column(batch.schema.get_field_index(column))), done / max(metadata.num_rows, 1)


def _arrow_batches(source: Source, handle: IO[bytes], column: str) -> Batches:
    """Yield (texts, share of the file read so far); Feather is Arrow's file format, HF ``datasets`` writes streams."""
    import pyarrow as pa

    # Mapped, a file of one huge batch is not read into memory.
    mapped = source.compression is None and source.is_local_file
    with pa.memory_map(source.path) if mapped else pa.PythonFile(handle) as file:
        head = file.read(6)
        if head[:4] == b"FEA1":
            raise FormatError(
                f"{label(source.path)} is Feather version 1; write it again with pyarrow.feather.write_feather"
            )
        is_file_format = head == b"ARROW1"
        open_reader = pa.ipc.open_file if is_file_format else pa.ipc.open_stream
        file.seek(0)
        schema = open_reader(file).schema
        _check_column(source, schema, column)
        file.seek(0)
        reader = open_reader(file, options=pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(column)]))
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file_format else iter(reader)
        before = 0.0
        for done, batch in enumerate(batches, 1):
            after = done / reader.num_record_batches if is_file_format else file.tell() / file.size()
            values = batch.column(0)
            for start in range(0, len(values), _BATCH_ROWS):
                part = values.slice(start, _BATCH_ROWS)
                share = (start + len(part)) / len(values)
                yield _texts(part), before + (after - before) * share
            before = after


def _texts(values: Any) -> list[bytes | None]:
    """Turn an Arrow array of text into bytes, which are checked where all other documents are checked."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    texts: list[bytes | None] = values.cast(pa.large_binary()).to_pylist()
    return texts


def _check_column(source: Source, schema: Any, column: str) -> None:
    import pyarrow as pa

    name = label(source.path)
    found = schema.names.count(column)
    if not found:
        raise _no_column(name, column, schema.names)
    if found > 1:
        raise FormatError(f"{name} has {found} columns named {column!r}; rename all but one")
    kind = schema.field(column).type
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if str(inner) not in {"string", "large_string", "string_view", "binary", "large_binary", "binary_view", "null"}:
        others = _listed(schema.names)
        raise FormatError(f"{name}: the column {column!r} holds {kind}, not text; choose another of {others}")


@contextmanager
def _arrow_errors(source: Source) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except BytetokError:
        raise
    except (pa.ArrowException, read_errors(source)) as err:
        if isinstance(err, OSError) and err.errno is not None:  # the disk's own error, not Arrow's opinion of the bytes
            raise unreadable(source, None, err) from err
        reason = str(err).strip().split("\n")[0]
        raise FormatError(
            f"{label(source.path)} cannot be read as {source.format}: {reason}; it is truncated, damaged or of another "
            "format: copy or write it again"
        ) from err


# --- messages -----------------------------------------------------------------------------------


def _parse(text: str, place: str, offset: int) -> object:
    try:
        row: object = json.loads(text)
    except json.JSONDecodeError as err:
        at = offset + len(text[: err.pos].encode("utf-8", "surrogateescape"))
        raise FormatError(
            f"{place}: not JSON at byte offset {at}: {err.msg}; expected one JSON object on each line, found "
            f"{shown(text)}"
        ) from err
    except (ValueError, RecursionError) as err:  # a number of more than 4,300 digits, or a thousand nested brackets
        raise FormatError(f"{place}: JSON that Python does not read: {err}; remove the line") from err
    return row


def _not_utf8(place: str, where: str, offset: int, err: UnicodeDecodeError) -> EncodingError:
    return EncodingError(
        f"{place}: byte 0x{err.object[err.start]:02x} at byte offset {offset} {where} is not UTF-8 ({err.reason}); "
        'convert it, or pass errors="replace" to read U+FFFD there or errors="bytes" to keep the bytes'
    )


def _no_column(place: str, column: str, columns: list[str]) -> CorpusError:
    return CorpusError(f"{place}: no column {column!r}; there are {_listed(columns)}; choose one with column=")


def _listed(columns: list[str]) -> str:
    listed = ", ".join(shown(name) for name in columns[:20]) or "no columns at all"
    return f"{listed}, ... ({len(columns)} in all)" if len(columns) > 20 else listed
