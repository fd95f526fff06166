"""Decompression of streams, with bounded output and honest ends: a truncated file never passes for a complete one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, cast

from bytetok.errors import BytetokError, CorpusError, FormatError
from bytetok.training.corpus_sources import Compression, label


def decompressed(stored: Iterable[bytes], compression: Compression, path: str, size: int) -> Iterator[bytes]:
    """Decompress the ``stored`` blocks of the file ``path`` into non-empty blocks of at most ``size`` bytes.

    Members (frames, streams) follow one another and may be padded with NULs. What could be decompressed before an error
    is yielded before the error is raised.

    Raises:
        CorpusError: the data ends inside a member, or there is none.
        FormatError: the data is damaged or of another format.
    """
    return _even(_members(stored, compression, path, size), size)


def _members(stored: Iterable[bytes], compression: Compression, path: str, size: int) -> Iterator[bytes]:
    new_decoder, failures = _decoders(compression)
    decoder: _Decoder | None = None
    members = position = 0
    for data in stored:
        position += len(data)
        while True:
            if decoder is None:
                if members:
                    data = data.lstrip(b"\0")
                if not data:
                    break
                decoder = new_decoder()
            try:
                out = decoder.decompress(data, size)
            except failures as err:
                raise FormatError(
                    f"{label(path)} is not valid .{compression} data before byte offset {position} of the file: {err}; "
                    'make it again, correct its suffix, or pass on_error="skip" to go on without the rest of it'
                ) from err
            if out:
                yield out
            if decoder.eof:
                data, decoder = decoder.unused_data, None
                members += 1
            elif decoder.needs_input:
                break
            else:
                data = b""
    if decoder is not None or not members:
        raise CorpusError(
            f"{label(path)} is truncated: its .{compression} data has no end mark when the file ends at byte {position}"
            '; copy it again, or pass on_error="skip" to keep what was read and go on'
        )


def _even(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Join and cut to blocks of one size, because decoders return anything from a few bytes to 16 MiB."""
    held: list[bytes] = []
    length = 0
    try:
        for part in parts:
            held.append(part)
            length += len(part)
            if length >= size:
                whole = b"".join(held)
                start = 0
                while length - start >= size:
                    yield whole[start : start + size]
                    start += size
                held, length = [whole[start:]], length - start
    except BytetokError:
        if length:
            yield b"".join(held)
        raise
    if length:
        yield b"".join(held)


class _Decoder(Protocol):
    """What ``bz2`` and ``lzma`` decompressors offer; two classes below bring ``zlib`` and ``zstandard`` to it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipDecoder:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


class _ZstdDecoder:
    # zstandard returns all that an input expands to, and its stream reader takes a truncated file for a complete one.
    # 512 bytes make at most 128 blocks of at most 128 KiB; the pieces shrink as soon as a text compresses that well.
    _PIECES = (16, 512)
    _MUCH = 1 << 20

    def __init__(self, context: Any) -> None:
        self._decoder = context.decompressobj()
        self._input = b""
        self._piece = self._PIECES[0]

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def needs_input(self) -> bool:
        return not self._input

    @property
    def unused_data(self) -> bytes:
        return cast(bytes, self._decoder.unused_data) + self._input

    def decompress(self, data: bytes, max_length: int) -> bytes:
        waiting = self._input + data
        out: list[bytes] = []
        length = start = 0
        while start < len(waiting) and length < max_length and not self._decoder.eof:
            out.append(self._decoder.decompress(waiting[start : start + self._piece]))
            start += self._piece
            length += len(out[-1])
            smallest, largest = self._PIECES
            if len(out[-1]) > self._MUCH:
                self._piece = max(self._piece // 4, smallest)
            elif len(out[-1]) < self._MUCH // 4:
                self._piece = min(self._piece * 2, largest)
        self._input = waiting[start:]
        return b"".join(out)


def _decoders(compression: Compression) -> tuple[Callable[[], _Decoder], tuple[type[Exception], ...]]:
    """Give what makes a decoder, and what it raises for data that is not its own."""
    if compression == "gz":
        return _GzipDecoder, (zlib.error,)
    if compression == "xz":
        import lzma

        return lzma.LZMADecompressor, (lzma.LZMAError,)
    if compression == "bz2":
        import bz2

        return bz2.BZ2Decompressor, (OSError, ValueError)
    import zstandard

    # Frames made with `zstd --long=31` need a window of 2 GiB; others still take only what their header asks for.
    context = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    return lambda: _ZstdDecoder(context), (zstandard.ZstdError,)
