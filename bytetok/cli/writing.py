"""Options of the commands that write text, and how the text is put out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bytetok.cli.exits import wrong_usage

if TYPE_CHECKING:
    from bytetok.sampling.complete import Completion, Options

CHOICE, END = "Choice of bytes", "Where it ends"
"""Headings of the help."""

Temperature = Annotated[
    float,
    typer.Option(
        "--temperature", min=0.0, metavar="T", help="0 takes the most probable byte always.", rich_help_panel=CHOICE
    ),
]
TopK = Annotated[
    int | None,
    typer.Option("--top-k", min=1, metavar="K", help="Only the K most probable bytes.", rich_help_panel=CHOICE),
]
TopP = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        min=0.0,
        max=1.0,
        metavar="P",
        help="Only the most probable bytes that together reach P.",
        rich_help_panel=CHOICE,
    ),
]
MinP = Annotated[
    float | None,
    typer.Option(
        "--min-p",
        min=0.0,
        max=1.0,
        metavar="P",
        help="Only bytes with this share of the highest probability.",
        rich_help_panel=CHOICE,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, metavar="N", help="The same seed gives the same text.", rich_help_panel=CHOICE),
]
Regex = Annotated[
    str | None,
    typer.Option(
        "--regex", metavar="REGEX", help="The output matches this, from its first byte on.", rich_help_panel=CHOICE
    ),
]
MaxBytes = Annotated[
    int, typer.Option("--max-bytes", min=0, metavar="N", help="Write no more than this.", rich_help_panel=END)
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        metavar="TEXT",
        help="End before this text, such as $'\\n' in bash; repeat for more.",
        show_default=False,
        rich_help_panel=END,
    ),
]


def settings(
    *,
    max_bytes: int | None,
    stop: Sequence[str] | None,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    regex: str | None,
) -> Options:
    """The options as the library takes them; what is wrong with them is found here, before a model is loaded."""
    from bytetok.sampling.choose import Settings
    from bytetok.sampling.complete import Options
    from bytetok.sampling.constraints import ByteRegex

    if stop and "" in stop:
        wrong_usage("an empty text would end every output before it begins", "--stop")
    Settings(temperature, top_k, top_p, min_p).checked()
    options = Options(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    if max_bytes is not None:
        options["max_bytes"] = max_bytes
    if stop:
        options["stop"] = [os.fsencode(one) for one in stop]
    if regex is not None:
        options["constraint"] = ByteRegex(regex)
    return options


def typed(text: str) -> bytes:
    """What the user typed as bytes, whether it is UTF-8 or not; ``-`` is standard input to its end."""
    return sys.stdin.buffer.read() if text == "-" else os.fsencode(text)


def put(pieces: Iterable[str]) -> int:
    """Write pieces of text to stdout as UTF-8, each at once; returns the number of bytes.

    UTF-8 whatever the locale says, and nothing is added, unless a prompt of the terminal would stand on the last line.
    """
    out = sys.stdout.buffer
    size, last = 0, ""
    for piece in pieces:
        size += out.write(piece.encode())
        out.flush()
        last = piece or last
    if sys.stdout.isatty() and not last.endswith("\n"):
        out.write(b"\n")
        out.flush()
    return size


def as_values(done: Completion) -> dict[str, Any]:
    """A completion for JSON; bytes as hex, since they may begin inside a character."""
    return {
        "text": done.text,
        "bytes": done.bytes.hex(),
        "stop_reason": done.stop_reason,
        "logprob": done.logprob,
    }
