"""Bytes of one corpus source: opened, decompressed and checked for UTF-8 a chunk at a time, in constant memory."""

from __future__ import annotations

import codecs
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, TypeAlias, cast

from bytetok.errors import CorpusError, EncodingError
from bytetok.training.corpus_compression import decompressed
from bytetok.training.corpus_sources import STDIN, Source, label

Errors: TypeAlias = Literal["strict", "replace", "bytes"]
Advance: TypeAlias = Callable[[int], None]

MAX_CHUNK = 1 << 20
# Three bytes of an unfinished character may be carried into the next block, and the sum must stay within MAX_CHUNK.
_BLOCK = MAX_CHUNK - 3
# Small, because each member of a many-membered .gz copies what follows it in the block.
_COMPRESSED_BLOCK = 1 << 16

_LOOKS_LIKE = {
    b"\x1f\x8b": "gzip data; name it .gz",
    b"\x28\xb5\x2f\xfd": "Zstandard data; name it .zst",
    b"\xfd7zXZ": "xz data; name it .xz",
    b"\xff\xfe": "UTF-16; convert it to UTF-8 first",
    b"\xfe\xff": "UTF-16; convert it to UTF-8 first",
}


def text_chunks(source: Source, errors: Errors, advance: Advance) -> Iterator[bytes]:
    """Yield the text of ``source`` in non-empty chunks of at most 1 MiB.

    With ``errors="strict"`` and ``"replace"`` a chunk ends between characters. ``advance`` is told the number of stored
    bytes after each read. What can be read before an error is yielded before the error is raised.

    Raises:
        EncodingError: not UTF-8 and ``errors="strict"``; the byte offset counts in the decompressed text.
        CorpusError: unreadable or truncated.
        FormatError: not what the compression suffix says.
    """
    carry = b""
    offset = 0  # of carry, in the decompressed text
    for block in blocks(source, advance):
        if errors == "bytes":
            yield block
            continue
        data = carry + block if carry else block
        try:
            _, used = codecs.utf_8_decode(data, "strict", False)
        except UnicodeDecodeError as err:
            if errors == "strict":
                if err.start:
                    yield data[: err.start]
                raise _invalid_utf8(source, offset, data, err.start, err.reason) from err
            text, used = codecs.utf_8_decode(data, "replace", False)
            yield from _cut(text.encode())
        else:
            if used:
                yield data[:used]
        carry = data[used:]
        offset += used
    if carry:
        if errors == "strict":
            raise _invalid_utf8(source, offset, carry, 0, "the text ends inside a character")
        yield carry.decode("utf-8", "replace").encode()


def blocks(source: Source, advance: Advance) -> Iterator[bytes]:
    """Yield the decompressed bytes of ``source`` in non-empty blocks of less than 1 MiB.

    Raises:
        CorpusError: unreadable or truncated.
        FormatError: not what the compression suffix says.
    """
    with opened(source) as handle:
        if source.compression is None:
            yield from _stored(handle, source, advance, _BLOCK)
        else:
            stored = _stored(handle, source, advance, _COMPRESSED_BLOCK)
            yield from decompressed(stored, source.compression, source.path, _BLOCK)


@contextmanager
def opened(source: Source) -> Iterator[IO[bytes]]:
    """Open the stored bytes of a file, URL or standard input; raises `CorpusError` where that fails."""
    if source.path == STDIN:
        stream = getattr(sys.stdin, "buffer", None)
        if stream is None:
            raise CorpusError("standard input is closed or is not a byte stream; pass a path instead of '-'")
        yield stream
        return
    try:
        if source.remote is None:
            handle = cast(IO[bytes], Path(source.path).open("rb", buffering=0))  # noqa: SIM115  # closed by with below
        else:
            filesystem, path = source.remote
            handle = filesystem.open(path, "rb")
    except read_errors(source) as err:
        raise unreadable(source, 0, err) from err
    with handle:
        yield handle


@contextmanager
def seekable(source: Source, advance: Advance) -> Iterator[tuple[IO[bytes], bool]]:
    """Open ``source`` for random access; give the handle and whether its bytes were counted by ``advance`` already.

    Compressed files and pipes are first copied to an unnamed temporary file, which is gone when the block ends.
    """
    if source.compression is None and not source.one_shot:
        with opened(source) as handle:
            yield handle, False
        return
    with tempfile.TemporaryFile() as copy:
        for block in blocks(source, advance):
            try:
                copy.write(block)
            except OSError as err:
                raise CorpusError(
                    f"{label(source.path)} cannot be copied to a temporary file: {err.strerror}; decompress it first, "
                    "or point TMPDIR to a disk with more room"
                ) from err
        copy.seek(0)
        yield copy, True


def lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    r"""Yield the lines of a byte stream without their ``\n``; work is linear even for a line of many blocks."""
    unfinished: list[bytes] = []
    for part in parts:
        first, *rest = part.split(b"\n")
        unfinished.append(first)
        if rest:
            yield b"".join(unfinished)
            yield from rest[:-1]
            unfinished = [rest[-1]]
    if last := b"".join(unfinished):
        yield last


def _stored(handle: IO[bytes], source: Source, advance: Advance, size: int) -> Iterator[bytes]:
    position = 0
    while True:
        try:
            block = handle.read(size)
        except read_errors(source) as err:
            raise unreadable(source, position, err) from err
        if not block:
            return
        position += len(block)
        advance(len(block))
        yield block


def read_errors(source: Source) -> type[Exception]:
    """Give what reading ``source`` may raise: remote file systems have classes that share nothing but Exception."""
    return OSError if source.remote is None else Exception


def unreadable(source: Source, position: int | None, err: Exception) -> CorpusError:
    """Make the error for stored bytes that cannot be read, at byte ``position`` where that is known."""
    reason = (err.strerror if isinstance(err, OSError) else None) or f"{type(err).__name__}: {err}"
    where = "" if position is None else f" at byte offset {position}"
    remedy = 'check the file and its permissions, or pass on_error="skip" to go on without it'
    return CorpusError(f"{label(source.path)} cannot be read{where}: {reason}; {remedy}")


def _invalid_utf8(source: Source, offset: int, data: bytes, start: int, reason: str) -> EncodingError:
    """Say that ``data[start]`` is wrong, where ``data`` begins at byte ``offset`` of the text."""
    place = "decompressed text" if source.compression else "file"
    remedy = 'convert it, or pass errors="replace" to read U+FFFD there or errors="bytes" to keep the bytes'
    for signature, looks_like in _LOOKS_LIKE.items():
        if offset == 0 and data.startswith(signature):
            remedy = f"it looks like {looks_like}"
    return EncodingError(
        f"{label(source.path)} is not UTF-8: byte 0x{data[start]:02x} at byte offset {offset + start} of the {place} "
        f"({reason}); {remedy}"
    )


def _cut(data: bytes) -> Iterator[bytes]:
    """Cut UTF-8 between characters into pieces of at most 1 MiB (replacement makes text up to three times longer)."""
    start = 0
    while len(data) - start > MAX_CHUNK:
        end = start + MAX_CHUNK
        while data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end]
        start = end
    if start < len(data):
        yield data[start:]
