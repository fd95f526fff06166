"""``bytetok train`` and ``bytetok extend``: commands that learn tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bytetok.cli import options
from bytetok.cli.exits import wrong_usage
from bytetok.cli.inputs import count_files, open_texts, own_tokenizer, pretokens_of, report_skipped
from bytetok.cli.outputs import check_folder, whole_folder
from bytetok.cli.progress import Update, progress
from bytetok.cli.summary import on_counts, on_texts, report_tokenizer
from bytetok.cli.terminal import note

if TYPE_CHECKING:
    from bytetok.tokenizer.tokenizer import Tokenizer
    from bytetok.training.corpus import Texts
    from bytetok.training.counts import PretokenCounts

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
    *,
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
    output: options.OutputFolder,
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
    texts = open_texts(files, column=column, errors=errors, on_error=on_error, file_format=file_format)
    counts = _load_counts(texts)
    settings = {
        "vocab_size": vocab_size,
        "pattern": pattern or _pattern_of(counts, recipe, superwords),
        "special_tokens": special,
        "superwords": superwords,
        "min_count": min_count,
        "max_token_length": max_token_length,
        "length_unit": length_unit,
    }
    size = options.size_bytes(memory, "--memory")
    tokenizer = _train(texts, counts, output, recipe, settings, options.cores(threads), size)
    with whole_folder(output) as folder:
        tokenizer.save(folder)
    _note_shortfall(tokenizer, _asked(recipe, settings))
    seconds = time.monotonic() - started
    measured = on_texts(tokenizer, texts) if counts is None else on_counts(tokenizer, counts)
    report_tokenizer(tokenizer, output, seconds, measured=measured, more=report_skipped(texts), as_json=as_json)


def _load_counts(texts: Texts) -> PretokenCounts | None:
    from bytetok.training.counts import PretokenCounts

    shards = count_files(texts)
    return PretokenCounts.load(shards) if shards else None


def _pattern_of(counts: PretokenCounts | None, recipe: str | None, superwords: float | None) -> tuple[str, ...] | None:
    """The pattern to train with where the user left it open: that of the counts, unless a recipe says.

    Superwords are learned from counted lines and cut them by a pattern of words, which lines are not.
    """
    return None if counts is None or recipe is not None or superwords else counts.pattern.stages


def _asked(recipe: str | None, settings: dict[str, Any]) -> int:
    from bytetok.training.recipe import load_recipe

    return settings["vocab_size"] or load_recipe(recipe or "").vocab_size


def _train(
    texts: Texts,
    counts: PretokenCounts | None,
    output: str,
    recipe: str | None,
    settings: dict[str, Any],
    threads: int,
    memory: int | None,
) -> Tokenizer:
    from bytetok.training.build import train as build

    with _stages(texts.size, _asked(recipe, settings)) as hear:
        return build(
            texts if counts is None else counts,
            recipe=recipe,
            name=Path(output).resolve().name,
            threads=threads,
            memory=memory,
            progress=hear,
            **settings,
        )


@contextmanager
def _stages(size: int | None, vocab_size: int) -> Iterator[Callable[[str, int], None]]:
    """A progress bar a stage of training."""
    bars: dict[str, Update] = {}
    with ExitStack() as shown:

        def hear(stage: str, done: int) -> None:
            if stage not in bars:
                shown.close()  # the bar of the stage before
                bar = progress("counting", size) if stage == "count" else progress("learning", vocab_size, "tokens")
                bars[stage] = shown.enter_context(bar)
            bars[stage](done)

        yield hear


def extend(
    tok: options.TokenizerName,
    files: options.FilesOrShards,
    *,
    vocab_size: NewVocabSize,
    min_count: options.MinCount = None,
    max_token_length: options.MaxTokenLength = None,
    length_unit: options.LengthUnit = None,
    column: options.Column = "text",
    file_format: options.FileFormat = None,
    errors: options.Errors = "strict",
    on_error: options.OnError = "raise",
    threads: options.Threads = None,
    memory: options.Memory = None,
    output: options.OutputFolder,
    as_json: options.Json = False,
) -> None:
    """Learn more tokens on other texts; every token there is keeps its id.

    Texts are split by the tokenizer's own pattern, and count files must have been counted with it.

    Examples
      bytetok extend gpt-4o cases.jsonl.zst --vocab-size 210000 -o gpt-4o-law
      bytetok extend my-32k counts.parquet --vocab-size 48000 -o my-48k
    """
    from bytetok.training.bpe import extend as extended

    started = time.monotonic()
    check_folder(output)
    tokenizer = own_tokenizer(tok, "extended")
    texts = open_texts(files, column=column, errors=errors, on_error=on_error, file_format=file_format)
    counts = pretokens_of(texts, tokenizer.pattern, threads=threads, memory=options.size_bytes(memory, "--memory"))
    with progress("learning", vocab_size, "tokens") as update:
        larger = extended(
            tokenizer,
            counts,
            vocab_size=vocab_size,
            min_count=min_count or 2,
            max_token_length=max_token_length,
            length_unit=length_unit or "bytes",
            progress=update,
        )
    with whole_folder(output) as folder:
        larger.save(folder)
    _note_shortfall(larger, vocab_size)
    seconds = time.monotonic() - started
    measured, more = on_counts(larger, counts), report_skipped(texts)
    report_tokenizer(larger, output, seconds, measured=measured, more=more, as_json=as_json)


def _note_shortfall(tokenizer: Tokenizer, asked: int) -> None:
    if tokenizer.vocab_size < asked:
        note(
            f"{asked:,} tokens were asked for and {tokenizer.vocab_size:,} learned: no other pair occurs often enough; "
            "give more text, or lower --min-count"
        )
