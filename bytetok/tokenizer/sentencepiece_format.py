"""SentencePiece ``.model`` files: what our engine can run is read exactly, what it cannot is refused by name.

Such a file is a protobuf ``ModelProto``: pieces with a score and a type, the trainer's options, and a normalizer. A BPE
model with byte fallback that leaves text as it is, but for spaces, is a :class:`CharacterScheme`. The reference is
sentencepiece: it finds no control symbols in text, so its ids are those of ``special="text"``; symbols that the user
defined are found in any text, the leftmost and longest first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bytetok.errors import CorpusError, FormatError
from bytetok.tokenizer.json_added import NotOursError, shown
from bytetok.tokenizer.protobuf import fields
from bytetok.tokenizer.vocab import AddedToken, CharacterScheme, Vocab

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
_MODELS = {1: "Unigram", 2: "BPE", 3: "words", 4: "characters"}
_MARK = "▁"
_RANKS = re.compile(rb"[A-Za-z0-9+/]+=* \d+\r?\n")


@dataclass(frozen=True)
class Piece:
    """One token of the file."""

    text: str
    score: float = 0.0
    type: int = NORMAL


@dataclass(frozen=True)
class Model:
    """What decides about ids in a ModelProto; defaults are those of the format."""

    pieces: tuple[Piece, ...]
    model_type: int = 1
    byte_fallback: bool = False
    treat_whitespace_as_suffix: bool = False
    normalizer: str = ""
    has_charsmap: bool = False
    decodes_otherwise: bool = False
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True


def is_ranks(data: bytes) -> bool:
    """Whether a file called ``.model`` begins as a tiktoken rank file does; that of Llama 3 is one."""
    return _RANKS.match(data) is not None


def read_bytes(path: Path) -> bytes:
    """The content of a file; CorpusError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as err:
        raise CorpusError(f"{path}: cannot be read: {err}") from err


def parse(path: Path, data: bytes) -> Model:
    """Read a ModelProto.

    Raises FormatError with the byte offset for a truncated file and one that is none, and for pieces that contradict
    each other.
    """
    pieces: list[Piece] = []
    options: dict[str, int | str] = {}
    for number, value, offset in fields(path, data):
        if number == 1:
            pieces.append(_piece(path, data, len(pieces), value, offset))
        elif number == 2:
            options.update(_trainer(path, data, value, offset))
        elif number in (3, 5):
            options.update(_normalizer(path, data, value, offset, decodes=number == 5))
    if not pieces:
        raise FormatError(f"{path}: no pieces; expected a SentencePiece model")
    _check(path, pieces)
    return Model(tuple(pieces), **options)  # type: ignore[arg-type]


def _piece(path: Path, data: bytes, place: int, value: int | float | bytes, offset: int) -> Piece:
    text: str | None = None
    score, kind = 0.0, NORMAL
    for number, part, at in _inner(path, data, value, offset):
        if number == 1 and isinstance(part, bytes):
            try:
                text = part.decode()
            except UnicodeDecodeError as err:
                raise FormatError(f"{path}: piece {place} is not UTF-8 at byte {at + err.start}") from err
        elif number == 2 and isinstance(part, float):
            score = part
        elif number == 3 and isinstance(part, int):
            kind = part
    if not text or kind not in range(NORMAL, BYTE + 1) or score != score:
        raise FormatError(
            f"{path}: piece {place} at byte {offset} is {shown(text)} with type {kind} and score {score}; expected a "
            f"text, a number, and a type from {NORMAL} to {BYTE}"
        )
    return Piece(text, score, kind)


def _trainer(path: Path, data: bytes, value: int | float | bytes, offset: int) -> Iterator[tuple[str, int]]:
    names = {3: "model_type", 24: "treat_whitespace_as_suffix", 35: "byte_fallback"}
    for number, part, _ in _inner(path, data, value, offset):
        if number in names and isinstance(part, int):
            yield names[number], part


def _normalizer(
    path: Path, data: bytes, value: int | float | bytes, offset: int, *, decodes: bool
) -> Iterator[tuple[str, int | str]]:
    names = {3: "add_dummy_prefix", 4: "remove_extra_whitespaces", 5: "escape_whitespaces"}
    for number, part, _ in _inner(path, data, value, offset):
        if number == 2 and part:
            yield ("decodes_otherwise" if decodes else "has_charsmap"), True
        elif number == 1 and isinstance(part, bytes) and not decodes:
            yield "normalizer", part.decode(errors="replace")
        elif number in names and isinstance(part, int) and not decodes:
            yield names[number], part


def _inner(
    path: Path, data: bytes, value: int | float | bytes, offset: int
) -> Iterator[tuple[int, int | float | bytes, int]]:
    if not isinstance(value, bytes):
        raise FormatError(f"{path}: a number at byte {offset}, expected a message; is this a SentencePiece model?")
    return fields(path, data, offset, offset + len(value))


def _check(path: Path, pieces: list[Piece]) -> None:
    places: dict[str, int] = {}
    for place, piece in enumerate(pieces):
        if places.setdefault(piece.text, place) != place:
            raise FormatError(f"{path}: pieces {places[piece.text]} and {place} are both {shown(piece.text)}")
        if piece.type == BYTE and not re.fullmatch("<0x[0-9A-F]{2}>", piece.text):
            raise FormatError(f"{path}: piece {place} is a byte called {shown(piece.text)}; expected <0x00> to <0xFF>")
    unknown = [place for place, piece in enumerate(pieces) if piece.type == UNKNOWN]
    if len(unknown) != 1:
        raise FormatError(f"{path}: {len(unknown)} pieces are the unknown one, expected exactly one")


def to_vocab(model: Model) -> Vocab:
    """The vocabulary of a model that our engine runs; NotOursError names what it does not run."""
    refuse(model)
    byte_ids = {piece.text: token_id for token_id, piece in enumerate(model.pieces) if piece.type == BYTE}
    added: dict[str, AddedToken] = {}
    tokens = []
    for token_id, piece in enumerate(model.pieces):
        if piece.type == BYTE:
            tokens.append(bytes([int(piece.text[3:5], 16)]))
            continue
        tokens.append(piece.text.replace(_MARK, " ").encode())
        if piece.type in (UNKNOWN, CONTROL, USER_DEFINED):
            added[piece.text] = AddedToken(piece.text, token_id, special=piece.type != USER_DEFINED)
    # A space goes before the text, even before a symbol that it begins with. Text between control symbols is encoded
    # as if it were all there is, as those do who put the ids of control symbols around what sentencepiece gives.
    has_symbols = any(piece.type == USER_DEFINED for piece in model.pieces)
    scheme = CharacterScheme(
        tuple(byte_ids[f"<0x{byte:02X}>"] for byte in range(256)),
        ("first" if has_symbols else "each") if model.add_dummy_prefix else "none",
        scores=tuple(piece.score for piece in model.pieces),
    )
    return Vocab(tuple(tokens), None, added, characters=scheme)


def refuse(model: Model) -> None:
    """Raise NotOursError for a model that our engine does not run."""
    for field, value, expected in (
        ("trainer_spec.model_type", _MODELS.get(model.model_type, model.model_type), "BPE"),
        ("trainer_spec.byte_fallback", bool(model.byte_fallback), True),
        ("trainer_spec.treat_whitespace_as_suffix", bool(model.treat_whitespace_as_suffix), False),
        ("normalizer_spec.precompiled_charsmap", model.has_charsmap, False),
        ("denormalizer_spec.precompiled_charsmap", model.decodes_otherwise, False),
        ("normalizer_spec.remove_extra_whitespaces", bool(model.remove_extra_whitespaces), False),
        ("normalizer_spec.escape_whitespaces", bool(model.escape_whitespaces), True),
    ):
        if value != expected:
            shape = f"there ({model.normalizer!r})" if field.startswith("normalizer_spec.pre") else repr(value)
            raise NotOursError(f"{field} is {shape}")
    if sum(piece.type == BYTE for piece in model.pieces) != 256:
        raise NotOursError("trainer_spec.byte_fallback is true, but there are not 256 byte pieces")
    ordinary = {piece.text for piece in model.pieces if piece.type in (NORMAL, USER_DEFINED)}
    # Looking at all characters at once is what makes a large vocabulary quick to check.
    lacking = set("".join(piece.text for piece in model.pieces if piece.type == NORMAL)) - ordinary
    for place, piece in enumerate(model.pieces):
        if piece.type == UNUSED:
            raise NotOursError(f"piece {place}, {shown(piece.text)}, is unused")
        if piece.type in (UNKNOWN, CONTROL) and len(piece.text) == 1:
            raise NotOursError(f"piece {place}, {piece.text!r}, is a control symbol of one character")
        if piece.type in (UNKNOWN, CONTROL) and _may_be_made(piece.text, ordinary):
            raise NotOursError(f"piece {place}, {shown(piece.text)}, is a control symbol that text could become")
        if (piece.type != NORMAL and _MARK in piece.text) or " " in piece.text:
            raise NotOursError(f"piece {place}, {shown(piece.text)}, holds a space")
        if piece.type == NORMAL and not lacking.isdisjoint(piece.text):
            raise NotOursError(f"piece {place}, {shown(piece.text)}, has a character that is no piece")
    if _MARK not in ordinary:
        raise NotOursError(f"{_MARK!r} is no piece")


def _may_be_made(text: str, pieces: set[str]) -> bool:
    """Whether two pieces join to a text; sentencepiece would not join them to a control symbol, our engine would."""
    return any(text[:at] in pieces and text[at:] in pieces for at in range(1, len(text)))
