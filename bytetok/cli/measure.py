"""``bytetok eval``."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bytetok.cli import options
from bytetok.cli.exits import wrong_usage
from bytetok.cli.inputs import open_texts, report_skipped
from bytetok.cli.outputs import check_file
from bytetok.cli.progress import added, progress
from bytetok.cli.terminal import note, say, say_json
from bytetok.errors import MissingDependencyError

if TYPE_CHECKING:
    from bytetok.training.report import EvaluationReport

Compared = Annotated[
    list[str],
    typer.Argument(
        metavar="TOK",
        help="Folders, tokenizer.json or .tiktoken files, or published names such as gpt-4o.",
        show_default=False,
    ),
]
On = Annotated[
    list[str],
    typer.Option(
        "--on",
        metavar="FILES...",
        help="Texts that no tokenizer was trained on: every word up to the next option.",
        show_default=False,
        rich_help_panel=options.INPUT,
    ),
]
MaxBytes = Annotated[
    str | None,
    typer.Option("--max-bytes", metavar="SIZE", help="Read no more, such as 10MB.", rich_help_panel=options.INPUT),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="TOK",
        help="Compare token counts with this one's, the first if not given.",
        rich_help_panel="Comparison",
    ),
]
Languages = Annotated[
    str | None,
    typer.Option(
        "--languages",
        metavar="PATH",
        help="Parallel texts for parity: a folder of LANGUAGE.txt, or parquet with columns language and text.",
        rich_help_panel="Comparison",
    ),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print one CSV row a tokenizer.", rich_help_panel=options.OUTPUT)]
Html = Annotated[
    str | None,
    typer.Option(
        "--html", metavar="FILE", help="Also write one page that needs no other file.", rich_help_panel=options.OUTPUT
    ),
]
Plot = Annotated[
    str | None,
    typer.Option(
        "--plot", metavar="FILE", help="Also write a figure: .png, .svg or .pdf.", rich_help_panel=options.OUTPUT
    ),
]


def evaluate(
    toks: Compared,
    *,
    on: On,
    baseline: Baseline = None,
    languages: Languages = None,
    max_bytes: MaxBytes = None,
    column: options.Column = "text",
    file_format: options.FileFormat = None,
    errors: options.Errors = "strict",
    on_error: options.OnError = "raise",
    threads: options.Threads = None,
    as_json: options.Json = False,
    as_csv: Csv = False,
    html: Html = None,
    plot: Plot = None,
) -> None:
    """Compare tokenizers on the same texts.

    Compression, use of the vocabulary, domain terms, parity across languages, boundaries under OCR
    noise, and whether every text comes back byte for byte. Name the tokenizers before --on.

    Examples
      bytetok eval my-32k gpt-4o --on heldout/*.txt
      bytetok eval my-32k llama3 qwen3 --baseline gpt-4o --on heldout.jsonl.zst --html report.html
      bytetok eval my-32k --on - --json < opinion.txt
    """
    from bytetok.training.report import evaluate as compare

    _check(as_json, as_csv, html, plot)
    texts = open_texts(on, column=column, errors=errors, on_error=on_error, file_format=file_format)
    with progress("evaluating", texts.size) as update:
        texts.on_progress = added(update)
        report = compare(
            toks,
            on=texts,
            baseline=baseline,
            languages=languages,
            threads=options.cores(threads),
            max_bytes=options.size_bytes(max_bytes, "--max-bytes"),
        )
    report_skipped(texts)
    _print(report, as_json=as_json, as_csv=as_csv)
    _write(report, html, plot)


def _check(as_json: bool, as_csv: bool, html: str | None, plot: str | None) -> None:
    if as_json and as_csv:
        wrong_usage("choose one of --json and --csv", "--csv")
    for path in filter(None, (html, plot)):
        check_file(path)
    if plot and importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError("--plot needs matplotlib; pip install 'bytetok-lm[plot]'")


def _print(report: EvaluationReport, *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        say_json(report.to_dict())
    elif as_csv:
        sys.stdout.write(report.to_csv())
    else:
        for number, table in enumerate(report.tables()):
            say(*([""] if number else []), table)


def _write(report: EvaluationReport, html: str | None, plot: str | None) -> None:
    if html:
        report.to_html(html)
        note(f"wrote {html}")
    if plot:
        report.plot(plot)
        note(f"wrote {plot}")
