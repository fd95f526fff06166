"""``bytetok train`` and ``bytetok extend``: commands that learn tokens."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bytetok.cli import options
from bytetok.cli.exits import wrong_usage
from bytetok.cli.inputs import count_files, open_texts, own_tokenizer, pretokens_of, report_skipped
from bytetok.cli.outputs import check_folder, whole_folder
from bytetok.cli.progress import progress
from bytetok.cli.summary import report_tokenizer
from bytetok.cli.terminal import note

if TYPE_CHECKING:
    from bytetok.tokenizer.tokenizer import Tokenizer

VocabSize = Annotated[
    int | None,
    typer.Option(
        "--vocab-size",
        min=1,
        metavar="N",
        help="Tokens in all, special ones included; needed without a recipe.",
        rich_help_panel=options.LEARNING,
    ),
]
NewVocabSize = Annotated[
    int,
    typer.Option(
        "--vocab-size",
        min=1,
        metavar="N",
        help="Tokens in all, old and new.",
        show_default=False,
        rich_help_panel=options.LEARNING,
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help="A recipe (bytetok recipes lists them) or a .toml file; options change it.",
        rich_help_panel=options.LEARNING,
    ),
]
Special = Annotated[
    list[str] | None,
    typer.Option(
        "--special",
        metavar="TEXT",
        help="A special token, such as '<|endoftext|>'; repeat for more.",
        show_default=False,
        rich_help_panel=options.LEARNING,
    ),
]
Superwords = Annotated[
    float | None,
    typer.Option(
        "--superwords",
        min=0.0,
        max=0.99,
        metavar="SHARE",
        help="Share of the vocabulary learned across word borders, such as 0.2.",
        rich_help_panel=options.LEARNING,
    ),
]


def train(
    files: options.FilesOrShards,
    output: options.OutputFolder,
    vocab_size: VocabSize = None,
    recipe: RecipeName = None,
    pattern: options.Pattern = None,
    special: Special = None,
    superwords: Superwords = None,
    min_count: options.MinCount = None,
    max_token_length: options.MaxTokenLength = None,
    length_unit: options.LengthUnit = None,
    column: options.Column = "text",
    file_format: options.FileFormat = None,
    errors: options.Errors = "strict",
    on_error: options.OnError = "raise",
    threads: options.Threads = None,
    memory: options.Memory = None,
    as_json: options.Json = False,
) -> None:
    """Train a tokenizer from texts or count files.

    The folder loads in tokenizers and transformers. The result does not depend on the order of the
    texts or on threads, and every text round-trips byte for byte.

    Examples
      bytetok train corpus/*.txt --vocab-size 32000 --special '<|endoftext|>' -o my-32k
      bytetok train cases.jsonl.zst --column body --recipe legal -o legal
      bytetok train part-*.parquet --vocab-size 64000 --superwords 0.2 -o general-64k
      zcat pages.gz | bytetok train - --vocab-size 16000 --pattern llama3 -o small
    """
    started = time.monotonic()
    check_folder(output)
    if vocab_size is None and recipe is None:
        wrong_usage("say how many tokens to learn, such as --vocab-size 32000, or choose a --recipe", "--vocab-size")
