"""SentencePiece files made on the spot: a writer of their protobuf, and a few trained models."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from functools import cache

from small import CORPUS

Piece = tuple[str, float, int]
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
BYTES: list[Piece] = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
START: list[Piece] = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), *BYTES]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | str | bytes) -> bytes:
    """A field as protobuf writes it; floats have four bytes."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def piece(text: str | bytes, score: float = 0.0, kind: int = NORMAL) -> bytes:
    return field(1, field(1, text) + field(2, score) + field(3, kind))


def model(
    pieces: Iterable[Piece],
    *,
    trainer: bytes = b"",
    model_type: int = 2,
    byte_fallback: bool = True,
    prefix: bool = True,
    extra_spaces: bool = False,
    escape: bool = True,
    normalizer: bytes = b"",
    rest: bytes = b"",
) -> bytes:
    """A ModelProto that our engine runs, unless told otherwise."""
    spec = field(3, int(prefix)) + field(4, int(extra_spaces)) + field(5, int(escape)) + normalizer
    return (
        b"".join(piece(*entry) for entry in pieces)
        + field(2, field(3, model_type) + field(35, int(byte_fallback)) + trainer)
        + field(3, field(1, "identity") + spec)
        + rest
    )


@cache
def trained_model(kind: str = "bpe", vocab_size: int = 400, **options: object) -> bytes:
    """A model of sentencepiece's own trainer, identity and byte fallback unless told otherwise."""
    import sentencepiece

    out = io.BytesIO()
    defaults: dict[str, object] = {
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "byte_fallback": True,
        "hard_vocab_limit": False, "character_coverage": 1.0,
    }  # fmt: skip
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in CORPUS * 4 for line in text.split("\n")]),
        model_writer=out, model_type=kind, vocab_size=vocab_size, minloglevel=2, **{**defaults, **options},
    )  # fmt: skip
    return out.getvalue()
