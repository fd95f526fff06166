"""``bytetok count``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bytetok.cli import options
from bytetok.cli.exits import wrong_usage
from bytetok.cli.inputs import count_files, open_texts, report_skipped
from bytetok.cli.outputs import check_file
from bytetok.cli.progress import progress
from bytetok.cli.terminal import say_json, say_values, size_words, time_words

if TYPE_CHECKING:
    from bytetok.training.corpus import Texts
    from bytetok.training.counts_file import Header

Engine = Literal["local", "ray"]

CountOutput = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Parquet file for the counts.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Count only every Nth file from the Ith on: 1/16 to 16/16.",
        rich_help_panel=options.INPUT,
    ),
]
EngineName = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="Count in this process, or on the Ray cluster at RAY_ADDRESS.",
        rich_help_panel=options.SPEED,
    ),
]


def count(
    files: options.FilesOrShards,
    *,
    pattern: options.Pattern = None,
    column: options.Column = "text",
    file_format: options.FileFormat = None,
    errors: options.Errors = "strict",
    on_error: options.OnError = "raise",
    shard: Shard = None,
    threads: options.Threads = None,
    memory: options.Memory = None,
    engine: EngineName = "local",
    output: CountOutput,
    as_json: options.Json = False,
) -> None:
    """Count the pretokens of texts, the one slow pass over a corpus.

    Training needs only the counts. They add exactly: count parts of a corpus on several machines, then give all
    count files to train, or to count itself to make them one. The same text gives the same file, byte for byte.

    Examples
      bytetok count corpus/*.jsonl.zst --column body -o counts.parquet
      bytetok count books/ --pattern llama3 --memory 512MB --threads 8 -o counts.parquet
      bytetok count 's3://bucket/pages/*.parquet' --shard 3/16 -o part-03.parquet
      bytetok count part-*.parquet -o counts.parquet
    """
    started = time.monotonic()
    check_file(output)
    texts = open_texts(files, column=column, errors=errors, on_error=on_error, file_format=file_format)
    part = texts if shard is None else texts.shard(*options.shard_of(shard))
    if shards := count_files(part):
        header = _merge(shards, output, pattern)
    else:
        header = _count(part, output, pattern or "o200k", threads, options.size_bytes(memory, "--memory"), engine)
    _report(header, output, time.monotonic() - started, part, as_json=as_json)


def _merge(shards: list[str], output: str, pattern: str | None) -> Header:
    from bytetok.training.counts import merge_to_parquet

    if pattern is not None:
        wrong_usage("count files know the pattern they were counted with; leave it out", "--pattern")
    return merge_to_parquet(shards, output)


def _count(
    texts: Texts, output: str, pattern: str, threads: int | None, memory: int | None, engine: Engine
) -> Header:
    with progress("counting", texts.size) as update:
        if engine == "ray":
            from bytetok.training.cluster import count_on_ray

            return count_on_ray(texts, output, pattern=pattern, workers=threads, memory=memory, progress=update)
        from bytetok.training.counts import count_to_parquet

        return count_to_parquet(
            texts, output, pattern=pattern, threads=options.cores(threads), memory=memory, progress=update
        )


def _report(header: Header, output: str, seconds: float, texts: Texts, *, as_json: bool) -> None:
    from pyarrow.parquet import read_metadata

    distinct = read_metadata(output).num_rows
    skipped = report_skipped(texts)
    if as_json:
        say_json(
            {
                "output": output,
                "pattern": header.pattern.name or list(header.pattern.stages),
                "documents": header.documents,
                "bytes": header.bytes,
                "distinct_pretokens": distinct,
                "seconds": round(seconds, 3),
                **skipped,
            }
        )
        return
    say_values(
        {
            "counts": f"{output} ({size_words(Path(output).stat().st_size)})",
            "pretokens": f"{distinct:,} distinct, split by {header.pattern}",
            "text": f"{header.documents:,} documents, {size_words(header.bytes)}",
            "time": f"{time_words(seconds)}, {size_words(header.bytes / max(seconds, 1e-9))}/s",
        }
    )
