"""``bytetok score``: how many bits a model needs for texts."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bytetok.cli import models, options
from bytetok.cli.inputs import open_texts
from bytetok.cli.progress import progress
from bytetok.cli.terminal import note, say, say_json, time_words
from bytetok.errors import ContextLengthError, ImpossibleByteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from bytetok.sampling.protocol import ByteModel
    from bytetok.training.corpus import Texts

Window = Annotated[
    int,
    typer.Option(
        "--window",
        min=4,
        metavar="N",
        help="Longer documents are cut into pieces of N bytes, and each is scored by itself.",
        rich_help_panel=options.INPUT,
    ),
]


@dataclass
class Bits:
    """What was scored of a file, or of all."""

    file: str
    documents: int = 0
    pieces: int = 0
    bytes: int = 0
    bits: float = 0.0

    @property
    def bits_per_byte(self) -> float | None:
        """None where there are no bytes."""
        return self.bits / self.bytes if self.bytes else None

    def as_values(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "file": self.file,
            "documents": self.documents,
            "pieces": self.pieces,
            "bytes": self.bytes,
            "bits": self.bits,
            "bits_per_byte": self.bits_per_byte,
        }


def score(
    files: options.Files,
    *,
    model: models.Models,
    weight: models.Weights = None,
    mix: models.MixOption = "mixture",
    law: models.LawOption = "canonical",
    device: models.Device = None,
    window: Window = 8192,
    column: options.Column = "text",
    file_format: options.FileFormat = None,
    errors: options.Errors = "strict",
    as_json: options.Json = False,
) -> None:
    """Score texts: bits per byte, which compares models whatever their tokenizers.

    The less, the better the model knows such text. Every document stands for itself; its end is not counted. An
    ensemble is asked byte by byte, which takes a model call for most bytes; one model alone is much faster. Several of
    --model are one ensemble: to compare models, score the files with each.

    Examples
      bytetok score --model package:smollm2 heldout/*.txt
      bytetok score --model gpt2 --model my-model --mix bayes heldout.jsonl.zst --json
    """
    texts = open_texts(files, column=column, errors=errors, file_format=file_format)
    byte_model = models.byte_model(model, weight, mix, law, device)
    started = time.monotonic()
    scored = _score_files(byte_model, texts, window)
    total = Bits("together")
    for one in scored:
        for name in ("documents", "pieces", "bytes", "bits"):
            setattr(total, name, getattr(total, name) + getattr(one, name))
    seconds = time.monotonic() - started
    if as_json:
        _say_values(scored, total, models=model, law=law, window=window, seconds=round(seconds, 3))
        return
    say(_table(scored, total))
    if total.pieces > total.documents:
        note(f"documents of more than {window:,} bytes were cut into pieces, each scored by itself")
    note(time_words(seconds))


def _score_files(model: ByteModel, texts: Texts, window: int) -> list[Bits]:
    from bytetok.training.corpus import Texts

    # Stored bytes of compressed files and records are not the bytes that are scored.
    size = texts.size if texts.plain_files() is not None else None
    scored = []
    done = 0
    with progress("scoring", size) as update:
        for source in texts.sources:
            one = Bits("standard input" if source.path == "-" else source.path)
            for piece, is_last in _pieces(Texts([source], column=texts.column, errors=texts.errors), window):
                one.bits += _bits(model, piece, one)
                one.bytes += len(piece)
                one.pieces += 1
                one.documents += is_last
                done += len(piece)
                update(done)
            scored.append(one)
    return scored


def _pieces(texts: Texts, size: int) -> Iterator[tuple[bytes, bool]]:
    """Pieces of at most ``size`` bytes that end between characters, and whether each is the last of its document."""
    from bytetok.sampling.utf8 import unfinished

    held = b""
    for _, chunk, is_last in texts.chunks():
        held += chunk
        while len(held) > size:
            piece = held[:size]
            piece = piece[: len(piece) - len(unfinished(piece))]
            yield piece, False
            held = held[len(piece) :]
        if is_last:
            yield held, True
            held = b""


def _bits(model: ByteModel, piece: bytes, so_far: Bits) -> float:
    """Bits of a piece; the errors say where it is."""
    try:
        bits = bits_of(model, piece)
    except ContextLengthError as err:
        raise ContextLengthError(f"{so_far.file}: {err}; --window with a smaller number cuts the text") from err
    except ImpossibleByteError as err:
        raise ImpossibleByteError(f"{so_far.file}, text from byte {so_far.bytes:,} on: {err}") from err
    if math.isinf(bits):
        raise ImpossibleByteError(f"{so_far.file}, text from byte {so_far.bytes:,} on: its probability is 0")
    return bits


def bits_of(model: ByteModel, data: bytes) -> float:
    """Minus log2 of the probability of ``data``, its end not counted: at once where a model can, or byte by byte."""
    at_once = getattr(model, "score", None)
    if at_once is not None:
        return -float(at_once(data).logprobs.sum()) / math.log(2)
    state, log = model.state(), 0.0
    for at, byte in enumerate(data):
        log += float(state.next_byte()[byte])
        if at + 1 < len(data):
            state = state.push(byte)
    return -log / math.log(2)


def _say_values(scored: Sequence[Bits], total: Bits, **how: Any) -> None:
    say_json({**how, "files": [one.as_values() for one in scored], "total": total.as_values()})


def _table(scored: Sequence[Bits], total: Bits) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("file", overflow="fold")
    for name in ("documents", "bytes", "bits per byte"):
        table.add_column(name, justify="right")
    for one in [*scored, total] if len(scored) > 1 else scored:
        bits = "-" if one.bits_per_byte is None else f"{one.bits_per_byte:.4f}"
        table.add_row(Text(one.file), f"{one.documents:,}", f"{one.bytes:,}", bits)
    return table
