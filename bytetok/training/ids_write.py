"""Files of token ids, written a batch at a time in constant memory; :mod:`bytetok.training.ids_read` reads them.

The kind of a file follows from its suffix:

* ``.parquet`` and ``.arrow`` or ``.feather`` (Arrow's file format) or ``.arrows`` (its stream format, which Hugging
  Face ``datasets`` maps into memory with ``Dataset.from_file``): one row a document, the column ``ids`` a list.
* ``.npy``: all ids in one array, and beside it ``NAME.idx.npy`` with the uint64 offset at which each document starts
  and, last, the length of the array; both open with ``numpy.load(path, mmap_mode="r")``.
* ``.bin``: all ids without a header, as nanoGPT maps them, and beside it ``NAME.idx`` as Megatron-LM's
  ``IndexedDataset`` reads it, each document a sequence.
* ``.txt``, ``.ids`` and other names: text, one line a document, ids with spaces between.

Ids are uint32, or uint16 where that is asked for. Only in ``.bin``, which does not say in itself what it holds, the
default is what its readers expect: uint16 if the vocabulary fits, else int32.

A file is the same, byte for byte, however its documents are grouped into batches.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bytetok._files import atomic_path
from bytetok.errors import FormatError

PathName = str | os.PathLike[str]
IdType = Literal["uint16", "uint32"]
Ids = NDArray[np.uint32]
Lengths = NDArray[np.int64]
Write = Callable[[Ids, Lengths], None]
"""Takes the ids of some documents one after the other, and how many each document has."""

# A row group or record batch ends before the document that would exceed either. Few, large groups compress better; a
# reader holds one at a time.
_GROUP_ROWS = 1 << 14
_GROUP_IDS = 1 << 22
_MOST_IN_A_LIST = (1 << 31) - 1  # offsets of Arrow lists and sizes of Megatron sequences are int32
_NPY_HEADER = 128
_COPIED = 1 << 20  # documents of an index held at once

MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
MEGATRON_TYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
"""Megatron's numbers of the integer types that ids may have in a ``.bin`` file."""

_OTHER_KINDS = frozenset(
    {".npz", ".pt", ".pth", ".safetensors", ".h5", ".hdf5", ".csv", ".tsv", ".json", ".jsonl", ".pkl", ".idx"}
    | {".gz", ".zst", ".xz", ".bz2", ".zip", ".tar"}
)


def ids_writer(
    out: PathName | IO[str], *, dtype: IdType | None = None, vocab_size: int | None = None
) -> AbstractContextManager[Write]:
    """Open a file for ids, whole or not at all, or an open text stream; the block's value takes batches.

    ``vocab_size`` decides the default type of ``.bin``. Raises FormatError, before anything is written, for a suffix
    that means another kind of file and for ids that do not fit into ``dtype``.
    """
    if dtype == "uint16" and vocab_size is not None and vocab_size > 1 << 16:
        raise FormatError(
            f"ids of a vocabulary of {vocab_size:,} do not fit into uint16, which ends at 65,535; use uint32"
        )
    if not isinstance(out, str | os.PathLike):
        return _lines_to(out)
    path, suffix = Path(out), Path(out).suffix.lower()
    if suffix in _OTHER_KINDS:
        raise FormatError(f"{path}: ids are not written as {suffix}; use .parquet, .arrow, .npy, .bin or .txt")
    if suffix == ".bin":
        small = dtype == "uint16" or (dtype is None and vocab_size is not None and vocab_size <= 1 << 16)
        return _megatron(path, "<u2" if small else "<i4")
    given = "<u2" if dtype == "uint16" else "<u4"
    kinds = {".parquet": _parquet, ".arrow": _arrow, ".feather": _arrow, ".arrows": _arrow, ".npy": _numpy}
    return kinds[suffix](path, given) if suffix in kinds else _text(path)


def index_path(path: PathName) -> Path:
    """Where the document offsets of a ``.npy`` or ``.bin`` file of ids are."""
    return Path(path).with_suffix(".idx" if Path(path).suffix.lower() == ".bin" else ".idx.npy")


def _as_type(ids: Ids, dtype: str) -> NDArray[Any]:
    if dtype == "<u2" and len(ids) and int(ids.max()) >= 1 << 16:
        raise FormatError(f"id {int(ids.max())} does not fit into uint16, which ends at 65,535; use uint32")
    return ids.astype(dtype, copy=False)


# --------------------------------------------------------------------------------------------------------------- text


@contextmanager
def _lines_to(stream: IO[str]) -> Iterator[Write]:
    def write(ids: Ids, lengths: Lengths) -> None:
        ends = np.cumsum(lengths)
        for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True):
            stream.write(" ".join(map(str, ids[start:end].tolist())) + "\n")

    yield write


@contextmanager
def _text(path: Path) -> Iterator[Write]:
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file, _lines_to(file) as write:
        yield write


# -------------------------------------------------------------------------------------------------------------- lists


@contextmanager
def _parquet(path: Path, dtype: str) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(dtype)
    # A dictionary of ids takes twice the time and saves no room, since ids are numbers of words already.
    settings = {"compression": "zstd", "use_dictionary": False}
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, **settings) as file,
        _grouped(path, dtype, lambda column: file.write_table(pa.table([column], schema=schema))) as write,
    ):
        yield write


@contextmanager
def _arrow(path: Path, dtype: str) -> Iterator[Write]:
    import pyarrow as pa

    schema = _schema(dtype)
    opened = pa.ipc.new_stream if path.suffix.lower() == ".arrows" else pa.ipc.new_file
    with (
        atomic_path(path) as temporary,
        opened(os.fspath(temporary), schema) as file,
        _grouped(path, dtype, lambda column: file.write_batch(pa.record_batch([column], schema=schema))) as write,
    ):
        yield write


def _schema(dtype: str) -> Any:
    import pyarrow as pa

    return pa.schema([("ids", pa.list_(pa.from_numpy_dtype(np.dtype(dtype))))])


@contextmanager
def _grouped(path: Path, dtype: str, write_group: Callable[[Any], None]) -> Iterator[Write]:
    """Gather documents into groups, whose bounds depend on the documents only."""
    held: list[tuple[Ids, Lengths]] = []
    rows = tokens = 0

    def flush() -> None:
        nonlocal rows, tokens
        if rows:
            ids = np.concatenate([one for one, _ in held])
            write_group(_list_array(_as_type(ids, dtype), np.concatenate([lengths for _, lengths in held])))
        held.clear()
        rows = tokens = 0

    def write(ids: Ids, lengths: Lengths) -> None:
        nonlocal rows, tokens
        _check_lengths(path, lengths)
        ends = np.cumsum(lengths)
        row = start = 0
        while row < len(lengths):
            fitting = int(np.searchsorted(ends, start + _GROUP_IDS - tokens, side="right")) - row
            fitting = max(min(fitting, _GROUP_ROWS - rows, len(lengths) - row), 0 if rows else 1)
            if not fitting:
                flush()
                continue
            end = int(ends[row + fitting - 1])
            held.append((ids[start:end], lengths[row : row + fitting]))
            rows, tokens, row, start = rows + fitting, tokens + end - start, row + fitting, end

    yield write
    flush()


def _list_array(ids: NDArray[Any], lengths: Lengths) -> Any:
    import pyarrow as pa

    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids))


def _check_lengths(path: Path, lengths: Lengths) -> None:
    if len(lengths) and int(lengths.max()) > _MOST_IN_A_LIST:
        raise FormatError(
            f"{path}: a document of {int(lengths.max()):,} ids does not fit into a list of {path.suffix}, which holds "
            f"{_MOST_IN_A_LIST:,}; write .npy"
        )


# ------------------------------------------------------------------------------------------------------------- arrays


@contextmanager
def _numpy(path: Path, dtype: str) -> Iterator[Write]:
    # The ids are renamed into place last: whoever sees them finds their index.
    with (
        atomic_path(path) as temporary,
        _npy_file(temporary, dtype) as add_ids,
        atomic_path(index_path(path)) as index,
        _npy_file(index, "<u8") as add_ends,
    ):
        total = 0
        add_ends(np.zeros(1, dtype="<u8"))

        def write(ids: Ids, lengths: Lengths) -> None:
            nonlocal total
            add_ids(_as_type(ids, dtype))
            add_ends(np.cumsum(lengths) + total)
            total += len(ids)

        yield write


@contextmanager
def _npy_file(path: Path, dtype: str) -> Iterator[Callable[[NDArray[Any]], None]]:
    length = 0
    with path.open("wb") as file:
        file.write(bytes(_NPY_HEADER))

        def add(values: NDArray[Any]) -> None:
            nonlocal length
            file.write(values.astype(dtype, copy=False).data)
            length += len(values)

        yield add
        file.seek(0)
        file.write(_npy_header(dtype, length))


def _npy_header(dtype: str, length: int) -> bytes:
    """The header of version 1.0 (numpy.lib.format), of a size that does not depend on the length of the array."""
    described = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({length},), }}"
    size = _NPY_HEADER - 10
    return b"\x93NUMPY\x01\x00" + size.to_bytes(2, "little") + f"{described:<{size - 1}}\n".encode()


@contextmanager
def _megatron(path: Path, dtype: str) -> Iterator[Write]:
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as file,
        atomic_path(index_path(path)) as index_temporary,
        index_temporary.open("w+b") as index,
    ):
        count = 0
        index.write(_megatron_header(dtype, 0))

        def write(ids: Ids, lengths: Lengths) -> None:
            nonlocal count
            _check_lengths(path, lengths)
            file.write(_as_type(ids, dtype).data)
            index.write(lengths.astype("<i4").data)
            count += len(lengths)

        yield write
        _finish_index(index, dtype, count)


def _megatron_header(dtype: str, count: int) -> bytes:
    """Magic, version 1, type, number of sequences, and the length of the list of documents, which starts with 0."""
    code = next(number for number, name in MEGATRON_TYPES.items() if name == dtype)
    return MEGATRON_MAGIC + struct.pack("<QBQQ", 1, code, count, count + 1)


def _finish_index(index: IO[bytes], dtype: str, count: int) -> None:
    """After the sizes of the sequences come their places in bytes, and the sequence at which each document starts."""
    header = _megatron_header(dtype, count)
    item = np.dtype(dtype).itemsize
    place = 0
    for first in range(0, count, _COPIED):
        index.seek(len(header) + 4 * first)
        sizes = np.frombuffer(index.read(4 * min(_COPIED, count - first)), dtype="<i4").astype("<i8") * item
        index.seek(len(header) + 4 * count + 8 * first)
        index.write((np.cumsum(sizes) - sizes + place).astype("<i8").data)
        place += int(sizes.sum())
    index.seek(0, os.SEEK_END)
    for first in range(0, count + 1, _COPIED):
        index.write(np.arange(first, min(first + _COPIED, count + 1), dtype="<i8").data)
    index.seek(0)
    index.write(header)
