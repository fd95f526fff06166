"""Encodes corpora to files of token ids, and reads such files back.

Three kinds, by suffix. ``.parquet``: one row a document, the column ``ids`` a list of uint32. ``.npy``: all ids in one
uint32 array, and beside it ``NAME.idx.npy`` with the uint64 offset at which each document starts and, last, the length
of the array; both open with ``numpy.load(path, mmap_mode="r")``. Anything else: text, one line a document, ids with
spaces between.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from bytetok._files import atomic_path
from bytetok.errors import BytetokError, CorpusError, FormatError, UnknownTokenError
from bytetok.tokenizer.tokenizer import Special
from bytetok.training.corpus import Texts
from bytetok.training.encoding import Document
from bytetok.training.metrics import batches

PathName = str | os.PathLike[str]
Write = Callable[[Sequence[Sequence[int]]], None]

_ROW_GROUP = 1 << 14
_NPY_HEADER = 128


class BatchEncoder(Protocol):
    """The part of a tokenizer that encoding a corpus needs."""

    def encode_batch(
        self, docs: Iterable[Document], *, threads: int | None = None, special: Special = "raise"
    ) -> list[list[int]]:
        """Token ids of each text."""


@dataclass(frozen=True)
class Encoded:
    """How much was encoded: documents, their UTF-8 bytes, and tokens."""

    documents: int
    bytes: int
    tokens: int


def encode_corpus(
    tokenizer: BatchEncoder,
    texts: Texts | Iterable[Document],
    out: PathName | IO[str],
    *,
    threads: int | None = None,
    special: Special = "raise",
) -> Encoded:
    """Encode every document of ``texts`` into a file, whole or not at all, or to an open text stream.

    Raises CorpusError and EncodingError for texts that cannot be read, SpecialTokenError where a document holds the
    text of a special token and ``special`` is ``"raise"``.
    """
    documents = size = tokens = 0
    with _writer(out) as write:
        for batch, batch_size in batches(texts):
            ids = _encoded(tokenizer, batch, documents, threads, special)
            write(ids)
            documents += batch_size.documents
            size += batch_size.bytes
            tokens += sum(map(len, ids))
    return Encoded(documents, size, tokens)


def _encoded(
    tokenizer: BatchEncoder, batch: Sequence[Document], first: int, threads: int | None, special: Special
) -> list[list[int]]:
    try:
        return tokenizer.encode_batch(batch, threads=threads, special=special)
    except BytetokError as err:
        for index, document in enumerate(batch):
            try:
                tokenizer.encode_batch([document], threads=1, special=special)
            except BytetokError as alone:
                raise type(alone)(f"document {first + index}: {alone}") from err
        raise


# ------------------------------------------------------------------------------------------------------------ writing


def _writer(out: PathName | IO[str]) -> AbstractContextManager[Write]:
    if not isinstance(out, str | os.PathLike):
        return _lines_to(out)
    kinds = {".parquet": _parquet, ".npy": _numpy}
    return kinds.get(Path(out).suffix, _text)(Path(out))


@contextmanager
def _lines_to(stream: IO[str]) -> Iterator[Write]:
    def write(batch: Sequence[Sequence[int]]) -> None:
        stream.writelines(" ".join(map(str, ids)) + "\n" for ids in batch)

    yield write


@contextmanager
def _text(path: Path) -> Iterator[Write]:
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file, _lines_to(file) as write:
        yield write


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("ids", pa.list_(pa.uint32()))])
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as file:
        yield lambda batch: file.write_table(
            pa.table([pa.array(batch, pa.list_(pa.uint32()))], schema=schema), row_group_size=_ROW_GROUP
        )


@contextmanager
def _numpy(path: Path) -> Iterator[Write]:
    ends = [0]
    # The ids are renamed into place last: whoever sees them finds their index.
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            file.write(bytes(_NPY_HEADER))

            def write(batch: Sequence[Sequence[int]]) -> None:
                for ids in batch:
                    np.asarray(ids, dtype="<u4").tofile(file)
                    ends.append(ends[-1] + len(ids))

            yield write
            file.seek(0)
            file.write(_npy_header(ends[-1]))
        with atomic_path(index_path(path)) as index, index.open("wb") as file:
            np.save(file, np.array(ends, dtype="<u8"))


def index_path(path: PathName) -> Path:
    """Where the document offsets of an ``.npy`` file of ids are."""
    return Path(path).with_suffix(".idx.npy")


def _npy_header(length: int) -> bytes:
    """The header of version 1.0 (numpy.lib.format), of a size that does not depend on the length of the array."""
    described = f"{{'descr': '<u4', 'fortran_order': False, 'shape': ({length},), }}"
    size = _NPY_HEADER - 10
    return b"\x93NUMPY\x01\x00" + size.to_bytes(2, "little") + f"{described:<{size - 1}}\n".encode()


# ------------------------------------------------------------------------------------------------------------ reading


def read_ids(source: PathName | IO[str]) -> Iterator[list[int]]:
    """The ids of each document, from a file written by :func:`encode_corpus` or an open text stream.

    Lines of text may also be JSON lists. Raises CorpusError for a missing file, FormatError for one that is something
    else.
    """
    if not isinstance(source, str | os.PathLike):
        return _read_lines(source, "standard input")
    path = Path(source)
    if not path.exists() or path.is_dir():  # a pipe of the shell's <(...) is no regular file
        raise CorpusError(f"{os.fspath(source)}: no such file; expected token ids as .parquet, .npy or text")
    kinds = {".parquet": _read_parquet, ".npy": _read_numpy}
    return kinds.get(path.suffix, _read_text)(path)


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


def _read_parquet(path: Path) -> Iterator[list[int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if "ids" not in file.schema_arrow.names:
                raise FormatError(f"{path}: no column 'ids'; expected a file written by `bytetok encode`")
            for batch in file.iter_batches(1024, columns=["ids"]):
                yield from batch.column(0).to_pylist()
    except (pa.ArrowException, OSError) as err:
        if isinstance(err, BytetokError):
            raise
        raise FormatError(f"{path}: not a whole parquet file: {err}") from err


def _read_numpy(path: Path) -> Iterator[list[int]]:
    ids, ends = _load(path), _load(index_path(path))
    if ids.ndim != 1 or ends.ndim != 1 or ids.dtype.kind not in "ui" or not len(ends) or int(ends[-1]) != len(ids):
        raise FormatError(f"{path}: not token ids with an index, or the index {index_path(path)} is of another file")
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        yield ids[start:end].tolist()


def _load(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as err:
        raise FormatError(f"{path}: no such file; ids in .npy come with the offsets of their documents") from err
    except (ValueError, OSError) as err:
        raise FormatError(f"{path}: not a whole .npy file: {err}") from err


# ----------------------------------------------------------------------------------------------------------- decoding


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
