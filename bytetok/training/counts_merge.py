"""Sorted count files merge into one, in memory that depends on how many are read at once and not on how large they are.

Every round looks at the next few thousand pretokens of each file and takes what sorts up to the least of the last ones:
nothing that any file still holds can come before that. The compiled table adds and sorts what was taken, so the work a
pretoken costs is done in Rust, and a round is small.
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bytetok import _core
from bytetok.errors import FormatError
from bytetok.training import counts_file
from bytetok.training.counts_file import Batch, Header

Numbers = npt.NDArray[np.uint64]

# How much of each file is looked at in a round. A file costs about 4 MB besides, for pages being decoded.
_READ_BYTES = 1 << 18
# More files than this are merged in passes, for the sake of memory and of open files.
_FAN_IN = 32
# The compiled table ends a batch that is this long early, and with it the row group; see `regrouped`.
_BATCH_BYTES = 1 << 30


def merge(paths: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str], header: Header) -> None:
    """Add the counts of the files ``paths`` and write them to ``path`` under ``header``, whole or not at all.

    The same bytes as counting all their text at once. The caller has made sure that the patterns agree.

    Raises:
        CorpusError: a file cannot be read.
        FormatError: a file is damaged, or its pretokens are not in strictly ascending order.
        TrainingError: a sum is past 2^64 - 1.
    """
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        left: list[str | os.PathLike[str]] = list(paths)
        level = 0
        while len(left) > _FAN_IN:
            level += 1
            merged: list[str | os.PathLike[str]] = []
            for start in range(0, len(left), _FAN_IN):
                merged.append(Path(folder, f"{level}-{start}.parquet"))
                counts_file.write(merged[-1], header, regrouped(_merged(left[start : start + _FAN_IN])))
                if level > 1:
                    for used in left[start : start + _FAN_IN]:
                        Path(used).unlink()
            left = merged
        counts_file.write(path, header, regrouped(_merged(left)))


def _merged(paths: Sequence[str | os.PathLike[str]]) -> Iterator[Batch]:
    heads = [_Head(path) for path in paths]
    while heads := [head for head in heads if head.fill()]:
        bound = min(head.last for head in heads)
        table = _core.Counts()
        for head in heads:
            table.add_batch(*head.take(bound))
        in_order = table.sorted()
        while (batch := in_order.batch(counts_file.ROW_GROUP)) is not None:
            yield batch


class _Head:
    """The next unread pretokens of a count file.

    ``last`` is the last of those at hand; the pretokens from ``_next`` on are not taken yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._batches = counts_file.read_batches(path, size=_READ_BYTES)
        self._data = b""
        self._ends = np.zeros(1, dtype=np.uint64)  # where each pretoken ends, after a 0 that is the start of the first
        self._counts = np.zeros(0, dtype=np.uint64)
        self._next = 0
        self.last = b""

    def fill(self) -> bool:
        """Read on if everything at hand was taken; False at the end of the file."""
        while self._next >= len(self._counts):
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._data, ends, counts = batch
            self._ends = np.concatenate([np.zeros(1, dtype=np.uint64), np.frombuffer(ends, dtype=np.uint64)])
            self._counts = np.frombuffer(counts, dtype=np.uint64)
            self._next = 0
            self._check_order()
            self.last = self._pretoken(len(self._counts) - 1)
        return True

    def take(self, bound: bytes) -> Batch:
        """Take what sorts up to ``bound``, itself included."""
        start = self._next
        self._next = bisect_right(range(len(self._counts)), bound, lo=start, key=self._pretoken)
        begin, end = int(self._ends[start]), int(self._ends[self._next])
        ends = self._ends[start + 1 : self._next + 1] - np.uint64(begin)
        return self._data[begin:end], ends.tobytes(), self._counts[start : self._next].tobytes()

    def _pretoken(self, index: int) -> bytes:
        return self._data[int(self._ends[index]) : int(self._ends[index + 1])]

    def _check_order(self) -> None:
        """An unsorted file would merge without any sign of it into counts that are wrong."""
        import pyarrow as pa
        import pyarrow.compute as pc

        size = len(self._counts)
        if not size:
            return
        buffers = [None, pa.py_buffer(self._ends.tobytes()), pa.py_buffer(self._data)]
        pretokens = pa.Array.from_buffers(pa.large_binary(), size, buffers)
        ascends = pc.less(pretokens.slice(0, size - 1), pretokens.slice(1)).to_numpy(zero_copy_only=False)
        # The last pretoken before this batch is empty at the start of the file, and pretokens never are.
        if self._pretoken(0) <= self.last:
            before, after = self.last, self._pretoken(0)
        elif not ascends.all():
            at = int(np.argmin(ascends))
            before, after = self._pretoken(at), self._pretoken(at + 1)
        else:
            return
        raise FormatError(
            f"{os.fspath(self._path)}: the pretoken {after[:80]!r} follows {before[:80]!r}, but count files are sorted "
            "by the bytes of their pretokens and hold each once; write the file again with `bytetok count`"
        )


def regrouped(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Cut sorted batches where the compiled table cuts its own, so that row groups do not tell how a file was made.

    A batch ends with ``counts_file.ROW_GROUP`` pretokens, or with the one that fills the first GiB.
    """
    held: list[Batch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows += len(batch[2]) // 8
        size += len(batch[0])
        if rows < counts_file.ROW_GROUP and size < _BATCH_BYTES:
            continue
        data, ends, counts = _joined(held)
        start = begin = 0
        while rows - start >= counts_file.ROW_GROUP or size - begin >= _BATCH_BYTES:
            full = int(np.searchsorted(ends, np.uint64(begin + _BATCH_BYTES))) + 1
            stop = min(start + counts_file.ROW_GROUP, full)
            yield _cut(data, ends, counts, start, stop)
            start, begin = stop, int(ends[stop - 1])
        held = [_cut(data, ends, counts, start, rows)]
        rows, size = rows - start, size - begin
    if rows:
        data, ends, counts = _joined(held)
        yield _cut(data, ends, counts, 0, rows)


def _joined(batches: Sequence[Batch]) -> tuple[bytes, Numbers, Numbers]:
    starts = np.cumsum([0] + [len(data) for data, _, _ in batches], dtype=np.uint64)
    ends = [np.frombuffer(ends, dtype=np.uint64) + start for (_, ends, _), start in zip(batches, starts, strict=False)]
    counts = b"".join(counts for _, _, counts in batches)
    return b"".join(data for data, _, _ in batches), np.concatenate(ends), np.frombuffer(counts, dtype=np.uint64)


def _cut(data: bytes, ends: Numbers, counts: Numbers, start: int, stop: int) -> Batch:
    begin = int(ends[start - 1]) if start else 0
    end = int(ends[stop - 1]) if stop else 0
    return data[begin:end], (ends[start:stop] - np.uint64(begin)).tobytes(), counts[start:stop].tobytes()

