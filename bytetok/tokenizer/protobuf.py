"""As much of protobuf's wire format as reading a file takes: numbered fields, four kinds of values, nothing generated.

Source: the public description of the encoding. A message is a row of fields, each a varint ``number << 3 | kind`` and a
value: a varint (0), 8 bytes (1), a length and as many bytes (2), or 4 bytes (5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from bytetok.errors import FormatError

Field = tuple[int, int | float | bytes, int]
"""Number, value, and the offset of the value in the file. Eight and four bytes are floats."""

_KINDS = {0: "a varint", 1: "8 bytes", 2: "bytes", 5: "4 bytes"}


def fields(path: Path, data: bytes, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message ``data[start:end]``, in order.

    Raises FormatError with the byte offset where the message ends too early or is none.
    """
    end = len(data) if end is None else end
    at = start
    while at < end:
        began = at
        key, at = _varint(path, data, at, end)
        number, kind = key >> 3, key & 7
        if number == 0 or kind not in _KINDS:
            raise FormatError(f"{path}: no protobuf at byte {began}: field {number} of kind {kind}")
        value: int | float | bytes
        if kind == 0:
            start_of_value = at
            value, at = _varint(path, data, at, end)
            yield number, value, start_of_value
            continue
        size = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            size, at = _varint(path, data, at, end)
        if size > end - at:
            raise FormatError(
                f"{path}: truncated: field {number} at byte {began} needs {size} bytes from byte {at} on, but only "
                f"{end - at} are left; is the file complete?"
            )
        value = data[at : at + size]
        if kind != 2:
            value = float(struct.unpack("<d" if kind == 1 else "<f", value)[0])
        yield number, value, at
        at += size


def _varint(path: Path, data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    began, value, shift = at, 0, 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise FormatError(f"{path}: no protobuf at byte {began}: a number of more than 10 bytes")
    raise FormatError(f"{path}: truncated: a number that begins at byte {began} is not complete at byte {end}")
