"""What commands print: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH = 100
"""Columns where there is no terminal to ask."""


def console() -> Console:
    """A console for stdout."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def say(*parts: RenderableType, soft_wrap: bool = False) -> None:
    """Print to stdout; ``soft_wrap`` leaves long lines to the terminal."""
    target = console()
    # Captured and then written by us: on a closed pipe, rich would end the process with a code of its own.
    with target.capture() as captured:
        for part in parts:
            target.print(part, soft_wrap=soft_wrap)
    sys.stdout.write(captured.get())


def say_json(value: object) -> None:
    """Print a value as JSON to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def say_values(values: Mapping[str, Any], *, fold: bool = False) -> None:
    """Print a result as aligned names and values; long values run on unless they ``fold`` into their column."""
    from rich.table import Table
    from rich.text import Text

    if fold:
        grid = Table.grid("name", "value", padding=(0, 2, 0, 0))
        for name, value in values.items():
            grid.add_row(Text(name, "dim"), Text(str(value), overflow="fold"))
        say(grid)
        return
    width = max(map(len, values)) + 2
    for name, value in values.items():
        text = str(value).replace("\n", "\n" + " " * width)
        say(Text.assemble((f"{name:<{width}}", "dim"), text), soft_wrap=True)


def note(message: str) -> None:
    """Print a remark to stderr."""
    typer.echo(message, err=True)


def size_words(count: float) -> str:
    """Bytes for people: ``"950 bytes"``, ``"1.2 MB"``; powers of 1000."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:,.1f} TB"


def time_words(seconds: float) -> str:
    """A duration for people: ``"0.4 s"``, ``"2:05"``, ``"1:02:05"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
