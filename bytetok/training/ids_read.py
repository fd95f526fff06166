"""Reads files of token ids: those of :mod:`bytetok.training.ids_write`, and others of the same kinds."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import BytetokError, CorpusError, FormatError, UnknownTokenError
from bytetok.training.ids_write import MEGATRON_MAGIC, MEGATRON_TYPES, PathName, index_path

_COLUMNS = ("ids", "input_ids")
_ROWS = 1024


def read_ids(source: PathName | IO[str]) -> Iterator[list[int]]:
    """The ids of each document, from a file written by ``bytetok encode`` or an open text stream.

    Lines of text may also be JSON lists; the column of parquet and Arrow may also be named ``input_ids``. Raises
    CorpusError for a missing file, FormatError for one that is something else.
    """
    if not isinstance(source, str | os.PathLike):
        return _read_lines(source, "standard input")
    path = Path(source)
    if not path.exists() or path.is_dir():  # a pipe of the shell's <(...) is no regular file
        raise CorpusError(f"{os.fspath(source)}: no such file; expected token ids as .parquet, .arrow, .npy or text")
    kinds = {
        ".parquet": _read_parquet,
        ".arrow": _read_arrow,
        ".feather": _read_arrow,
        ".arrows": _read_arrow,
        ".npy": _read_numpy,
        ".bin": _read_megatron,
    }
    return kinds.get(path.suffix.lower(), _read_text)(path)


class Decoder(Protocol):
    """The part of a tokenizer that decoding needs."""

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that ids stand for."""


def decode_files(tokenizer: Decoder, sources: Iterable[PathName | IO[str]]) -> Iterator[bytes]:
    """The bytes of each document in files of ids (see :func:`read_ids`), which are opened one after the other.

    Raises UnknownTokenError, with the document, for an id that the tokenizer does not have.
    """
    number = 0
    for source in sources:
        for ids in read_ids(source):
            try:
                yield tokenizer.decode_bytes(ids)
            except UnknownTokenError as err:
                raise UnknownTokenError(f"document {number}: {err}") from err
            number += 1


# --------------------------------------------------------------------------------------------------------------- text


def _read_text(path: Path) -> Iterator[list[int]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from _read_lines(file, str(path))


def _read_lines(stream: IO[str], place: str) -> Iterator[list[int]]:
    for number, line in enumerate(stream, 1):
        words = re.split(r"[\s,]+", line.strip().removeprefix("[").removesuffix("]").strip())
        try:
            yield [int(word) for word in words if word]
        except ValueError:
            wrong = next((word for word in words if not word.isdecimal()), max(words, key=len))  # or far too long
            raise FormatError(
                f"{place}: line {number} holds {wrong[:80]!r}; expected token ids, with spaces or commas between them"
            ) from None


# -------------------------------------------------------------------------------------------------------------- lists


def _read_parquet(path: Path) -> Iterator[list[int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            column = _column(path, file.schema_arrow)
            for batch in file.iter_batches(_ROWS, columns=[column]):
                yield from _lists(path, batch.column(0))
    except (pa.ArrowException, OSError) as err:
        raise _damaged(path, "parquet", err) from err


def _read_arrow(path: Path) -> Iterator[list[int]]:
    """Arrow's file format or, where the file does not begin as one, its stream format."""
    import pyarrow as pa

    try:
        with pa.memory_map(os.fspath(path)) as file:
            is_file_format = file.read(6) == b"ARROW1"
            file.seek(0)
            reader = (pa.ipc.open_file if is_file_format else pa.ipc.open_stream)(file)
            column = reader.schema.get_field_index(_column(path, reader.schema))
            batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file_format else iter(reader)
            for batch in batches:
                for start in range(0, batch.num_rows, _ROWS):
                    yield from _lists(path, batch.column(column).slice(start, _ROWS))
    except (pa.ArrowException, OSError) as err:
        raise _damaged(path, "Arrow", err) from err


def _damaged(path: Path, kind: str, err: Exception) -> BytetokError:
    return err if isinstance(err, BytetokError) else FormatError(f"{path}: not a whole {kind} file: {err}")


def _column(path: Path, schema: Any) -> str:
    import pyarrow as pa

    for name in _COLUMNS:
        if name in schema.names:
            kind = schema.field(name).type
            is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
            if is_list and pa.types.is_integer(kind.value_type):
                return name
            raise FormatError(f"{path}: the column {name!r} holds {kind}; expected lists of integers")
    raise FormatError(f"{path}: no column 'ids' or 'input_ids'; expected a file written by `bytetok encode`")


def _lists(path: Path, column: Any) -> Iterator[list[int]]:
    values = column.flatten()
    if column.null_count or values.null_count:
        raise FormatError(f"{path}: the column of ids holds nulls; expected a list of ids in every row")
    # By way of numpy, which makes numbers of Python ten times faster than Arrow does.
    ids, start = values.to_numpy(), 0
    for length in column.value_lengths().to_pylist():
        yield ids[start : start + length].tolist()
        start += length


# ------------------------------------------------------------------------------------------------------------- arrays


def _read_numpy(path: Path) -> Iterator[list[int]]:
    ids, ends = _load(path), _load(index_path(path))
    if ids.ndim != 1 or ends.ndim != 1 or ids.dtype.kind not in "ui" or not len(ends) or int(ends[-1]) != len(ids):
        raise FormatError(f"{path}: not token ids with an index, or the index {index_path(path)} is of another file")
    for first in range(0, len(ends) - 1, _ROWS):
        for start, end in pairwise(ends[first : first + _ROWS + 1].tolist()):
            yield ids[start:end].tolist()


def _load(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as err:
        raise FormatError(f"{path}: no such file; ids in .npy come with the offsets of their documents") from err
    except (ValueError, OSError) as err:
        raise FormatError(f"{path}: not a whole .npy file: {err}") from err


def _read_megatron(path: Path) -> Iterator[list[int]]:
    dtype, sizes, places = _megatron_index(index_path(path))
    ids = np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)
    item = ids.dtype.itemsize
    if path.stat().st_size != int(sizes.sum(dtype=np.int64)) * item:
        raise FormatError(f"{path}: not of the length that the index {index_path(path)} says; it is of another file")
    for first in range(0, len(sizes), _ROWS):
        starts = places[first : first + _ROWS] // item
        for start, size in zip(starts.tolist(), sizes[first : first + _ROWS].tolist(), strict=True):
            yield ids[start : start + size].tolist()


def _megatron_index(path: Path) -> tuple[str, NDArray[np.int32], NDArray[np.int64]]:
    """The type of the ids, and the sizes of the sequences and their places in bytes."""
    fixed = len(MEGATRON_MAGIC) + 25
    try:
        with path.open("rb") as file:
            head = file.read(fixed)
    except FileNotFoundError as err:
        raise FormatError(f"{path}: no such file; ids in .bin come with an index of their documents") from err
    if len(head) < fixed or not head.startswith(MEGATRON_MAGIC):
        raise FormatError(f"{path}: not an index of Megatron-LM, which begins with {MEGATRON_MAGIC!r}")
    version, code, count, _ = struct.unpack("<QBQQ", head[len(MEGATRON_MAGIC) :])
    if version != 1 or code not in MEGATRON_TYPES:
        raise FormatError(f"{path}: version {version} with ids of type {code}; expected version 1 and an integer type")
    if path.stat().st_size < fixed + 12 * count:
        raise FormatError(f"{path}: ends before the sizes and places of its {count:,} sequences")
    if not count:
        return MEGATRON_TYPES[code], np.empty(0, np.int32), np.empty(0, np.int64)
    sizes = np.memmap(path, dtype="<i4", mode="r", offset=fixed, shape=(count,))
    places = np.memmap(path, dtype="<i8", mode="r", offset=fixed + 4 * count, shape=(count,))
    return MEGATRON_TYPES[code], sizes, places
