"""The program: its commands in the order of its help, and what surrounds them."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from bytetok.cli.corpus import count
from bytetok.cli.exits import Command, Commands
from bytetok.cli.generate import complete, fill, sample
from bytetok.cli.learn import extend, train
from bytetok.cli.listing import patterns, recipes
from bytetok.cli.measure import evaluate
from bytetok.cli.score import score
from bytetok.cli.text import decode, encode, show
from bytetok.cli.vocabulary import convert, diff, prune

_MAKE, _USE, _CHANGE, _WRITE = "Make a tokenizer", "Use it", "Change it", "Models, byte by byte"

app = typer.Typer(
    name="bytetok",
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from bytetok._version import __version__

        typer.echo(f"bytetok {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train tokenizers for your own texts, and see what they buy.

    First steps
      bytetok train corpus/*.txt --vocab-size 32000 -o my-32k
      bytetok eval my-32k gpt-4o --on heldout/*.txt
      bytetok show my-32k 'Some text of yours.'

    Each command explains itself: bytetok train --help. Results go to standard output, progress and errors to
    standard error; a file is written whole or not at all.
    """


app.command("train", cls=Command, rich_help_panel=_MAKE)(train)
app.command("count", cls=Command, rich_help_panel=_MAKE)(count)
app.command("eval", cls=Command, rich_help_panel=_MAKE)(evaluate)
app.command("recipes", cls=Command, rich_help_panel=_MAKE)(recipes)
app.command("patterns", cls=Command, rich_help_panel=_MAKE)(patterns)
app.command("show", cls=Command, rich_help_panel=_USE)(show)
app.command("encode", cls=Command, rich_help_panel=_USE)(encode)
app.command("decode", cls=Command, rich_help_panel=_USE)(decode)
app.command("convert", cls=Command, rich_help_panel=_CHANGE)(convert)
app.command("extend", cls=Command, rich_help_panel=_CHANGE)(extend)
app.command("prune", cls=Command, rich_help_panel=_CHANGE)(prune)
app.command("diff", cls=Command, rich_help_panel=_CHANGE)(diff)
app.command("complete", cls=Command, rich_help_panel=_WRITE)(complete)
app.command("fill", cls=Command, rich_help_panel=_WRITE)(fill)
app.command("sample", cls=Command, rich_help_panel=_WRITE)(sample)
app.command("score", cls=Command, rich_help_panel=_WRITE)(score)


def run() -> None:
    """Run the program with the arguments of this process, and exit."""
    # A batch system ends its jobs with SIGTERM; as an exception it lets temporary files be deleted.
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character shows its escape rather than ending the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="bytetok")


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
