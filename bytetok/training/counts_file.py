"""Parquet files of pretoken counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bytetok._files import atomic_path
from bytetok.errors import CorpusError, FormatError, VocabMismatchError
from bytetok.tokenizer.patterns import NAMED, UNICODE_VERSION, SplitPattern

ROW_GROUP = 1 << 18
"""Pretokens in a row group."""
_KEY = b"bytetok.counts"

Batch = tuple[bytes, bytes, bytes]
"""Joined pretoken bytes, the offset where each ends (u64) and the counts (u64)."""


@dataclass(frozen=True)
class Header:
    """What was counted: the split pattern, the number of documents, and the bytes of text."""

    pattern: SplitPattern
    documents: int
    bytes: int


def write(path: str | os.PathLike[str], header: Header, batches: Iterable[Batch]) -> None:
    """Write sorted batches, whole or not at all. The same counts always give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    described = {
        "version": 1,
        "pattern": header.pattern.name,
        "stages": list(header.pattern.stages),
        "unicode": UNICODE_VERSION,
        "documents": header.documents,
        "bytes": header.bytes,
    }
    metadata = {_KEY: json.dumps(described, ensure_ascii=False, sort_keys=True).encode()}
    schema = pa.schema([("pretoken", pa.large_binary()), ("count", pa.uint64())], metadata=metadata)
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=False) as writer,
    ):
        for data, ends, counts in batches:
            offsets = np.concatenate([np.zeros(1, dtype=np.uint64), np.frombuffer(ends, dtype=np.uint64)])
            size = len(offsets) - 1
            buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
            pretokens = pa.Array.from_buffers(pa.large_binary(), size, buffers)
            numbers = pa.Array.from_buffers(pa.uint64(), size, [None, pa.py_buffer(counts)])
            writer.write_table(pa.Table.from_arrays([pretokens, numbers], schema=schema), row_group_size=ROW_GROUP)


def _open(path: str | os.PathLike[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # With a buffer, Arrow streams the pages of a column; without one it reads a row group's whole column at once.
        return pq.ParquetFile(path, buffer_size=1 << 16, pre_buffer=False)
    except pa.ArrowInvalid as err:
        raise FormatError(f"{os.fspath(path)}: not a whole parquet file: {err}") from err
    except OSError as err:
        raise CorpusError(f"{os.fspath(path)}: cannot be read: {err}") from err


def is_counts(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a parquet file of pretoken counts, as against one of texts."""
    if not os.fspath(path).endswith(".parquet") or not Path(path).is_file():
        return False
    with _open(path) as file:
        return _KEY in (file.schema_arrow.metadata or {})


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read what a count file says of itself; raises FormatError if it is not one."""
    with _open(path) as file:
        described = (file.schema_arrow.metadata or {}).get(_KEY)
    if described is None:
        raise FormatError(f"{os.fspath(path)}: a parquet file, but not one written by `bytetok count`")
    try:
        content = json.loads(described)
        unicode, name, listed = content["unicode"], str(content["pattern"]), content["stages"]
        documents, size = int(content["documents"]), int(content["bytes"])
        if not isinstance(listed, list) or not all(isinstance(stage, str) for stage in listed):
            raise TypeError(f"stages is {str(listed)[:80]}, expected a list of regexes")
    except (KeyError, TypeError, ValueError) as err:
        raise FormatError(f"{os.fspath(path)}: the header of the counts is damaged: {err}") from err
    if unicode != UNICODE_VERSION:
        raise VocabMismatchError(
            f"{os.fspath(path)}: counted with the tables of Unicode {unicode}, this is {UNICODE_VERSION}; count it "
            "again"
        )
    stages = tuple(listed)
    # Two names may share their regexes, as qwen2 and qwen3 do; the file is named as it was counted.
    pattern = SplitPattern(stages, name) if NAMED.get(name) == stages else SplitPattern.of(stages)
    return Header(pattern, documents, size)


def read_batches(path: str | os.PathLike[str], *, size: int | None = None) -> Iterator[Batch]:
    """Read the counts of a file in batches: a row group each, or about ``size`` bytes of memory.

    Raises FormatError for damaged data, and for anything but pretokens that are not empty with counts from 1 to
    2^64 - 1.
    """
    import pyarrow as pa

    with _open(path) as file:
        missing = {"pretoken", "count"} - set(file.schema_arrow.names)
        if missing:
            raise FormatError(f"{os.fspath(path)}: the file has no column {min(missing)!r}")
        rows = ROW_GROUP if size is None else max(1, min(ROW_GROUP, size // max(_row_size(file.metadata), 1)))
        try:
            for batch in file.iter_batches(rows, columns=["pretoken", "count"]):
                pretokens = batch.column("pretoken").cast(pa.large_binary())
                numbers = batch.column("count").cast(pa.uint64())
                if pretokens.null_count or numbers.null_count:
                    raise FormatError(f"{os.fspath(path)}: a pretoken or a count is null")
                counts = numbers.to_numpy(zero_copy_only=False)
                _, offset_buffer, data_buffer = pretokens.buffers()
                offsets = np.frombuffer(offset_buffer, dtype=np.int64)[pretokens.offset :][: len(pretokens) + 1]
                if not counts.all() or not np.diff(offsets).all():
                    raise FormatError(f"{os.fspath(path)}: a pretoken is empty, or its count is 0")
                data = b"" if data_buffer is None else data_buffer.to_pybytes()
                data = data[int(offsets[0]) : int(offsets[-1])]
                ends = (offsets[1:] - offsets[0]).astype(np.uint64)
                yield data, ends.tobytes(), counts.tobytes()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError) as err:
            raise FormatError(f"{os.fspath(path)}: the parquet file is damaged: {err}") from err


def _row_size(metadata: Any) -> int:
    """The mean bytes of a pretoken and its count in the row group where it is largest."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    return max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
