"""``bytetok show``, ``encode`` and ``decode``: commands that use a tokenizer."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Annotated, Literal

import typer

from bytetok.cli import options
from bytetok.cli.exits import wrong_usage
from bytetok.cli.inputs import open_texts, report_skipped
from bytetok.cli.outputs import check_file
from bytetok.cli.progress import added, progress
from bytetok.cli.terminal import note, say, say_json, say_values, size_words, time_words

Html = Annotated[
    str | None,
    typer.Option("--html", metavar="FILE", help="Write an HTML page.", rich_help_panel=options.OUTPUT),
]
Special = Annotated[
    Literal["raise", "text", "allow"],
    typer.Option(
        "--special",
        help="Special tokens in the text: an error, ordinary text, or those tokens.",
        rich_help_panel=options.INPUT,
    ),
]
IdsOutput = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where to write: .parquet, .npy, or text.",
        show_default="stdout, as text",
        rich_help_panel=options.OUTPUT,
    ),
]
BytesOutput = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Where to write.", show_default="stdout", rich_help_panel=options.OUTPUT
    ),
]
ShownText = Annotated[
    str, typer.Argument(metavar="TEXT", help="The text; - reads standard input.", show_default=False)
]
IdFiles = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILES...]", help="Files that encode wrote; standard input if none.", show_default=False),
]


def show(
    tok: options.TokenizerName,
    text: ShownText,
    ids: Annotated[bool, typer.Option("--ids", help="List the tokens with their ids.")] = False,
    html: Html = None,
    as_json: options.Json = False,
) -> None:
    """Show how a tokenizer cuts a text, one color a token.

    A space shows as ·, a tab as →, a newline as ↵, and a byte that is only part of a character as ⟨E2⟩.
    Without a terminal, | stands between tokens.

    Examples
      bytetok show gpt-4o 'Pursuant to 11 U.S.C. § 362(a), the stay applies.'
      bytetok show my-32k - < opinion.txt | less
      bytetok show my-32k 'habeas corpus' --ids
    """
    from bytetok._files import write_text
    from bytetok.tokenizer.tokenizer import Tokenizer
    from bytetok.training.render import show_html, token_pieces
    from bytetok.training.render import show as shown

    if html:
        check_file(html)
    tokenizer = Tokenizer.load(tok)
    data = sys.stdin.buffer.read() if text == "-" else os.fsencode(text)
    if html:
        write_text(html, show_html(tokenizer, data))
        note(f"wrote {html}")
    pieces = token_pieces(tokenizer, data)
    if as_json:
        say_json(_as_values(data, pieces))
    elif ids:
        say(_table(pieces))
    else:
        say(shown(tokenizer, data, color=None if sys.stdout.isatty() else False), soft_wrap=True)
        note(f"{len(pieces):,} tokens, {len(data):,} bytes, {len(data) / max(len(pieces), 1):.2f} bytes per token")
