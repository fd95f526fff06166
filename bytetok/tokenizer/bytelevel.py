"""GPT-2's map between bytes and printable characters, in which tokenizer.json writes byte-level tokens.

Source: openai/gpt-2 ``encoder.py``. Printable Latin-1 characters stand for themselves; the other 68 bytes take the
characters from U+0100 on, in the order of the bytes.
"""

from __future__ import annotations

from bytetok.errors import FormatError

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = [byte for byte in range(256) if byte not in set(_PRINTABLE)]

CHARACTERS: tuple[str, ...] = tuple(
    chr(byte) if byte in set(_PRINTABLE) else chr(0x100 + _HIDDEN.index(byte)) for byte in range(256)
)
"""The character of each byte."""

BYTES: dict[str, int] = {character: byte for byte, character in enumerate(CHARACTERS)}
"""The byte of each character."""

BYTE_ORDER: tuple[int, ...] = tuple(sorted(range(256), key=lambda byte: CHARACTERS[byte]))
"""All bytes in the order of their characters: the order in which trainers number a byte alphabet."""


def to_characters(token: bytes) -> str:
    """Write token bytes as GPT-2's characters."""
    return "".join([CHARACTERS[byte] for byte in token])


def to_bytes(token: str) -> bytes:
    """Read token bytes from GPT-2's characters; raises FormatError for a character that stands for no byte."""
    try:
        return bytes([BYTES[character] for character in token])
    except KeyError as err:
        raise FormatError(
            f"token {token[:80]!r} holds {err.args[0]!r}, which is not one of the 256 characters of a byte-level "
            "vocabulary"
        ) from err
