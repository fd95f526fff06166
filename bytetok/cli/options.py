"""Arguments and options that several commands share, so that one word always means one thing."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

from bytetok.cli.exits import wrong_usage

INPUT, LEARNING, OUTPUT, SPEED = "Input", "Learning", "Output", "Speed"
"""Headings of the help."""

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES",
        help="Files, folders, globs or URLs: text, .jsonl or .parquet, also .gz .zst .xz .bz2. - is standard input.",
        show_default=False,
    ),
]
FilesOrShards = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES",
        help="Texts (files, folders, globs, URLs; - is standard input), or count files written by bytetok count.",
        show_default=False,
    ),
]
TokenizerName = Annotated[
    str,
    typer.Argument(
        metavar="TOK",
        help="A folder, a tokenizer file (json, tiktoken, model, bytetok), a hub id, or a name such as gpt-4o.",
        show_default=False,
    ),
]

Column = Annotated[
    str, typer.Option("--column", metavar="NAME", help="Text column of jsonl and parquet.", rich_help_panel=INPUT)
]
FileFormat = Annotated[
    Literal["text", "jsonl", "parquet", "arrow"] | None,
    typer.Option("--format", help="For standard input and names that do not tell.", rich_help_panel=INPUT),
]
Errors = Annotated[
    Literal["strict", "replace", "bytes"],
    typer.Option("--errors", help="Invalid UTF-8: stop, read as U+FFFD, or keep the bytes.", rich_help_panel=INPUT),
]
OnError = Annotated[
    Literal["raise", "skip"],
    typer.Option("--on-error", help="A file that cannot be read: stop, or go on and list it.", rich_help_panel=INPUT),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        "--pattern",
        metavar="NAME|REGEX",
        help="How text is split before it is counted, o200k if not given; bytetok patterns lists the names.",
        rich_help_panel=LEARNING,
    ),
]
MinCount = Annotated[
    int | None,
    typer.Option(
        "--min-count",
        min=1,
        metavar="N",
        help="Merge only pairs that occur N times, 2 if not given.",
        rich_help_panel=LEARNING,
    ),
]
MaxTokenLength = Annotated[
    int | None,
    typer.Option(
        "--max-token-length", min=1, metavar="N", help="No learned token is longer.", rich_help_panel=LEARNING
    ),
]
LengthUnit = Annotated[
    Literal["bytes", "characters"] | None,
    typer.Option(
        "--length-unit", help="What that length counts, bytes if not given.", rich_help_panel=LEARNING
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="Every core if not given.", rich_help_panel=SPEED),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Bound of the counting tables, such as 512MB; the rest goes to disk.",
        rich_help_panel=SPEED,
    ),
]
OutputFolder = Annotated[
    str,
    typer.Option(
        "-o", "--output", metavar="DIR", help="Folder for the tokenizer.", show_default=False, rich_help_panel=OUTPUT
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=OUTPUT)]


def cores(threads: int | None) -> int:
    """The number of threads asked for, or one for each core that this process may use."""
    if threads is not None:
        return threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def size_bytes(size: str | None, option: str) -> int | None:
    """The bytes that an option such as ``--memory 512MB`` asks for; wrong usage for what is not a size."""
    if size is None:
        return None
    from bytetok.errors import TrainingError
    from bytetok.training.counts import parse_size

    try:
        return parse_size(size)
    except TrainingError as err:
        wrong_usage(str(err), option)


def shard_of(text: str) -> tuple[int, int]:
    """``"3/16"`` as the index 2 and the count 16; wrong usage for anything else."""
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return int(number) - 1, int(count)
    wrong_usage(f"{text!r} is not a shard; write 3/16 for the third of sixteen, the first being 1/16", "--shard")
