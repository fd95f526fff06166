"""``bytetok convert``, ``prune`` and ``diff``: commands that change or compare vocabularies."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from bytetok.cli import options
from bytetok.cli.inputs import open_texts, own_tokenizer, pretokens_of, report_skipped
from bytetok.cli.outputs import check_file, check_folder, whole_folder
from bytetok.cli.progress import waiting
from bytetok.cli.summary import on_counts, report_tokenizer
from bytetok.cli.terminal import say, say_json
from bytetok.errors import LossyConversionError

_FILE_SUFFIXES = (".json", ".tiktoken")

Target = Annotated[
    str, typer.Argument(metavar="OUT", help="A folder, or a file that ends in .json or .tiktoken.", show_default=False)
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="TOKEN",
        help="A token to keep in any case; repeat for more.",
        show_default=False,
        rich_help_panel=options.LEARNING,
    ),
]
Lossy = Annotated[
    bool,
    typer.Option("--lossy", help="Write it even if some text would be cut otherwise.", rich_help_panel=options.OUTPUT),
]
FewerTokens = Annotated[
    int,
    typer.Option(
        "--vocab-size",
        min=1,
        metavar="N",
        help="Tokens that stay.",
        show_default=False,
        rich_help_panel=options.LEARNING,
    ),
]


def convert(
    tok: options.TokenizerName,
    out: Target,
    *,
    lossy: Lossy = False,
    as_json: options.Json = False,
) -> None:
    """Save a tokenizer in another format, with the same ids for every text.

    A folder gets what tokenizers and transformers load. A name that ends in .json gets a tokenizer.json alone, one in
    .tiktoken a rank file, and beside it NAME.bytetok.json with the pattern and the special tokens, one in .bytetok a
    single file that loads in milliseconds. What a format cannot say is an error, unless you accept it with --lossy.

    Examples
      bytetok convert o200k_base.tiktoken gpt-4o
      bytetok convert my-32k my-32k.tiktoken
      bytetok convert my-32k my-32k.json
      bytetok convert gpt-4 cl100k.bytetok
    """
    from bytetok.tokenizer.convert import convert as converted

    started = time.monotonic()
    check = check_file if Path(out).suffix in _FILE_SUFFIXES else check_folder
    check(out)
    try:
        with waiting("converting, and reading it back"):
            tokenizer = converted(own_tokenizer(tok, "converted"), out, lossy=lossy)
    except LossyConversionError as err:
        raise LossyConversionError(str(err).replace("lossy=True", "--lossy")) from err
    report_tokenizer(tokenizer, out, time.monotonic() - started, as_json=as_json)


def prune(
    tok: options.TokenizerName,
    files: options.FilesOrShards,
    *,
    vocab_size: FewerTokens,
    keep: Keep = None,
    column: options.Column = "text",
    file_format: options.FileFormat = None,
    errors: options.Errors = "strict",
    on_error: options.OnError = "raise",
    threads: options.Threads = None,
    memory: options.Memory = None,
    output: options.OutputFolder,
    as_json: options.Json = False,
) -> None:
    """Make a vocabulary smaller: drop the tokens that the texts need least.

    Bytes and special tokens stay, ids are numbered anew, and every text still round-trips.

    Examples
      bytetok prune gpt-4o contracts/ --vocab-size 32000 -o gpt-4o-contracts
      bytetok prune my-64k counts.parquet --vocab-size 48000 --keep ' plaintiff' -o my-48k
    """
    from bytetok.training.reshape import prune as pruned

    started = time.monotonic()
    check_folder(output)
    tokenizer = own_tokenizer(tok, "pruned")
    texts = open_texts(files, column=column, errors=errors, on_error=on_error, file_format=file_format)
    counts = pretokens_of(texts, tokenizer.pattern, threads=threads, memory=options.size_bytes(memory, "--memory"))
    with waiting("pruning"):
        smaller = pruned(tokenizer, counts, vocab_size=vocab_size, keep=[os.fsencode(token) for token in keep or ()])
    with whole_folder(output) as folder:
        smaller.renamed(Path(output).resolve().name).save(folder)
    report_tokenizer(
        smaller,
        output,
        time.monotonic() - started,
        measured=on_counts(smaller, counts),
        more=report_skipped(texts),
        as_json=as_json,
    )


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A tokenizer, as in every command.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.", show_default=False)],
    *,
    as_json: options.Json = False,
) -> None:
    """Compare two vocabularies: tokens that only one has, and ids and merges that differ.

    Tokens that both have can keep their embeddings when a model changes its tokenizer.

    Examples
      bytetok diff my-32k my-48k
      bytetok diff gpt-4 gpt-4o --json
    """
    from bytetok.tokenizer.tokenizer import Tokenizer
    from bytetok.training.reshape import diff as compared

    with waiting("comparing"):
        difference = compared(Tokenizer.load(a), Tokenizer.load(b))
    if as_json:
        say_json(difference.to_dict())
    else:
        say(difference.table())
