"""``bytetok show``, ``encode`` and ``decode``: commands that use a tokenizer."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bytetok.cli import options
from bytetok.cli.exits import wrong_usage
from bytetok.cli.inputs import open_texts, report_skipped
from bytetok.cli.outputs import check_file
from bytetok.cli.progress import progress
from bytetok.cli.terminal import console, note, say, say_json, say_values, size_words, time_words

if TYPE_CHECKING:
    from rich.table import Table

    from bytetok.training.encode_files import Encoded

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
        help="Where to write: .parquet, .arrow, .npy, .bin, or text; standard output if not given.",
        rich_help_panel=options.OUTPUT,
    ),
]
IdType = Annotated[
    Literal["uint16", "uint32"] | None,
    typer.Option(
        "--dtype",
        help="How ids are stored: uint32 if not given, except in .bin.",
        rich_help_panel=options.OUTPUT,
    ),
]
Begin = Annotated[
    str | None,
    typer.Option(
        "--begin",
        metavar="TOKEN",
        help="A special token to put before every document.",
        rich_help_panel=options.OUTPUT,
    ),
]
End = Annotated[
    str | None,
    typer.Option(
        "--end",
        metavar="TOKEN",
        help="A special token to put after every document, such as <|endoftext|>.",
        rich_help_panel=options.OUTPUT,
    ),
]
Restart = Annotated[
    bool,
    typer.Option(
        "--restart",
        help="Begin anew instead of going on with a run that was cut off.",
        rich_help_panel=options.OUTPUT,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Encode only every Nth file from the Ith on: 1/16 to 16/16.",
        rich_help_panel=options.INPUT,
    ),
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(
        "--engine",
        help="Encode in this process, or on the Ray cluster at RAY_ADDRESS.",
        rich_help_panel=options.SPEED,
    ),
]
BytesOutput = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where to write; standard output if not given.",
        rich_help_panel=options.OUTPUT,
    ),
]
ShownText = Annotated[
    str, typer.Argument(metavar="TEXT", help="The text; - reads standard input.", show_default=False)
]
IdFiles = Annotated[
    list[str] | None,
    typer.Argument(metavar="FILES", help="Files that encode wrote; standard input if none.", show_default=False),
]


def show(
    tok: options.TokenizerName,
    text: ShownText,
    *,
    ids: Annotated[
        bool, typer.Option("--ids", help="List the tokens with their ids.", rich_help_panel=options.OUTPUT)
    ] = False,
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
    from bytetok.training.render import show as shown
    from bytetok.training.render import show_html, token_pieces

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
        say(shown(tokenizer, data, color=None if console().is_terminal else False), soft_wrap=True)
        note(f"{len(pieces):,} tokens, {len(data):,} bytes, {len(data) / max(len(pieces), 1):.2f} bytes per token")


def _as_values(data: bytes, pieces: Sequence[tuple[int, bytes]]) -> dict[str, Any]:
    start = 0
    tokens = []
    for token_id, token in pieces:
        # Bytes as hex, since a token may be part of a character and JSON holds only text.
        tokens.append(
            {"id": token_id, "text": token.decode(errors="replace"), "bytes": token.hex(), "start": start}
        )
        start += len(token)
    return {"bytes": len(data), "num_tokens": len(pieces), "ids": [i for i, _ in pieces], "tokens": tokens}


def _table(pieces: Sequence[tuple[int, bytes]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from bytetok.training.render import visible

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("byte", "id"):
        table.add_column(name, justify="right")
    table.add_column("token")
    start = 0
    for token_id, token in pieces:
        table.add_row(str(start), str(token_id), Text(visible(token).rstrip("\n")))
        start += len(token)
    return table


def encode(
    tok: options.TokenizerName,
    files: options.Files,
    *,
    special: Special = "raise",
    column: options.Column = "text",
    file_format: options.FileFormat = None,
    errors: options.Errors = "strict",
    on_error: options.OnError = "raise",
    shard: Shard = None,
    threads: options.Threads = None,
    engine: Engine = "local",
    output: IdsOutput = None,
    begin: Begin = None,
    end: End = None,
    dtype: IdType = None,
    restart: Restart = False,
    as_json: options.Json = False,
) -> None:
    """Encode texts to token ids, one document after the other.

    .parquet and .arrow hold a list of ids a document. .npy holds all ids in one array, and OUT.idx.npy where each
    document starts. .bin holds them as nanoGPT reads them, and OUT.idx their bounds as Megatron-LM does. Any
    other name, and standard output, is text: one line of ids a document.

    A run that is cut off leaves what is done in OUT.partial, and the same command goes on from there.

    Examples
      bytetok encode my-32k corpus/*.jsonl.zst -o corpus.parquet
      bytetok encode gpt2 corpus/ -o train.bin --end '<|endoftext|>'
      bytetok encode my-32k 's3://bucket/pages/*.parquet' -o pages.npy --engine ray
      echo 'habeas corpus' | bytetok encode gpt-4o - | bytetok decode gpt-4o
    """
    from bytetok.tokenizer.tokenizer import Tokenizer
    from bytetok.training.encode_files import encode_corpus

    started = time.monotonic()
    if output:
        check_file(output)
    elif as_json:
        wrong_usage("without -o the ids themselves go to standard output; name a file to get a report", "--json")
    tokenizer = Tokenizer.load(tok)
    texts = open_texts(files, column=column, errors=errors, on_error=on_error, file_format=file_format)
    texts = texts if shard is None else texts.shard(*options.shard_of(shard))
    workers = threads if engine == "ray" else options.cores(threads)
    frame: dict[str, Any] = {"begin": begin, "end": end, "dtype": dtype}
    run: dict[str, Any] = {"threads": workers, "engine": engine, "restart": restart}
    with _telling_what_stays(output), progress("encoding", texts.size) as update:
        done = encode_corpus(tokenizer, texts, output or sys.stdout, special=special, progress=update, **frame, **run)
    skipped = report_skipped(texts)
    if output:
        _report(done, output, time.monotonic() - started, skipped, as_json=as_json)


@contextmanager
def _telling_what_stays(output: str | None) -> Iterator[None]:
    """Say what a run that is cut off leaves behind."""
    from bytetok.training.encode_resume import partial_folder

    try:
        yield
    except BaseException as err:
        if output and (folder := partial_folder(output)).is_dir():
            is_stopped = isinstance(err, KeyboardInterrupt | SystemExit)
            note(f"{folder} keeps what is done" + ("; the same command goes on from there" if is_stopped else ""))
        raise


def _report(done: Encoded, output: str, seconds: float, skipped: dict[str, Any], *, as_json: bool) -> None:
    reused = {"documents_reused": done.reused} if done.reused else {}
    if as_json:
        values = {"documents": done.documents, "bytes": done.bytes, "tokens": done.tokens, **reused}
        say_json({"output": output, **values, "seconds": round(seconds, 3), **skipped})
        return
    per_token = f", {done.bytes / done.tokens:.2f} bytes per token" if done.tokens else ""
    before = f", {done.reused:,} of them by the run before" if done.reused else ""
    pace = f", {size_words(done.bytes / max(seconds, 1e-9))}/s" if not done.reused else ""
    say_values(
        {
            "ids": output,
            "text": f"{done.documents:,} documents, {size_words(done.bytes)}{before}",
            "tokens": f"{done.tokens:,}{per_token}",
            "time": f"{time_words(seconds)}{pace}",
        }
    )


def decode(
    tok: options.TokenizerName,
    files: IdFiles = None,
    *,
    output: BytesOutput = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help='Print a line {"text": ...} for each document.', rich_help_panel=options.OUTPUT),
    ] = False,
) -> None:
    """Decode token ids to the bytes they stand for, special tokens to their text.

    Documents follow each other as they are, with nothing between them; --json keeps their bounds, as a
    jsonl corpus that every command reads. JSON holds text only: in it, bytes that are not UTF-8 become U+FFFD.

    Examples
      echo 5340 302 72 | bytetok decode gpt-4o
      bytetok decode my-32k corpus.parquet -o corpus.txt
      bytetok decode my-32k corpus.npy --json | head -1
    """
    from bytetok._files import atomic_path
    from bytetok.tokenizer.tokenizer import Tokenizer
    from bytetok.training.ids_read import decode_files

    if output:
        check_file(output)
    tokenizer = Tokenizer.load(tok)
    documents = decode_files(tokenizer, files or [sys.stdin])
    if as_json:
        documents = (
            json.dumps({"text": one.decode(errors="replace")}, ensure_ascii=False).encode() + b"\n" for one in documents
        )
    with ExitStack() as stack:
        path = stack.enter_context(atomic_path(output)) if output else None
        file = stack.enter_context(path.open("wb")) if path else sys.stdout.buffer
        file.writelines(documents)
        file.flush()
