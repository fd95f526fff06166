"""An evaluation report as terminal tables, plain text, JSON values and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from bytetok.training.report import EvaluationReport, TokenizerRow

WIDTH = 100
"""Columns of a terminal that every table fits."""

_LIST_LIMIT = 100
_LABEL_WIDTH = 24


def number(value: float | None, digits: int = 2) -> str:
    """``value`` with thousands separators, ``-`` for ``None``."""
    return "-" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as percent with a space before the sign, ``-`` for ``None``."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def round_trip_word(row: TokenizerRow) -> str:
    """``exact``, or how many documents came back changed."""
    return "exact" if row.round_trip.exact else f"{row.round_trip.failures:,} lost"


def caption(report: EvaluationReport) -> str:
    """One line on the corpus."""
    size = report.size
    documents = f"{size.documents:,} document{'' if size.documents == 1 else 's'}"
    return f"{documents}, {size.bytes:,} bytes, {size.characters:,} characters, {size.words:,} words"


# ------------------------------------------------------------------------------------------------------------- tables


def _table(title: str, names: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], *, first: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    body = list(rows)
    columns = [[first, *(label[:_LABEL_WIDTH] for label, _ in body)]]
    columns += [[*name.split("\n"), *(cells[i] for _, cells in body)] for i, name in enumerate(names)]
    natural = sum(max(map(len, column)) + 2 for column in columns)
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,  # its dividers are spaces
        show_edge=False,
        padding=(0, 1, 0, 0) if natural <= WIDTH else 0,
    )
    # Only labels fold: a number broken over two lines reads as two numbers.
    table.add_column(first, max_width=_LABEL_WIDTH, overflow="fold")
    for name in names:
        table.add_column(Text(name, justify="right"), justify="right", no_wrap=True)
    for label, cells in body:
        table.add_row(Text(label), *(Text(cell) for cell in cells))  # Text: names may hold [brackets]
    return table


def main_table(report: EvaluationReport) -> Table:
    """Compression and domain terms, one row a tokenizer."""
    several = len(report.rows) > 1
    groups = _groups(report) if len(_groups(report)) <= 2 else []
    names = ["vocab", "tokens"]
    if several:
        names.append(f"tokens vs\n{_short(report.baseline, 14)}")
    names += ["bytes/\ntoken", "tokens/\nchar", "tokens/\nword"]
    names += [f"{_short(group, 9)}\nterm" for group in groups]
    names.append("round\ntrip")
    rows = []
    for row in report.rows:
        cells = [f"{row.vocab_size:,}", f"{row.tokens:,}"]
        if several:
            cells.append("baseline" if row.name == report.baseline else row.against_baseline)
        cells += [number(row.bytes_per_token), number(row.tokens_per_character, 4), number(row.fertility)]
        cells += [number(row.mean_tokens(group), 1) for group in groups]
        cells.append(round_trip_word(row))
        rows.append((row.name, cells))
    return _table(f"Tokens on {caption(report)}", names, rows, first="tokenizer")


def vocabulary_table(report: EvaluationReport) -> Table:
    """How the vocabulary is used, and what one misread character does to the boundaries."""
    names = [
        "Rényi\nefficiency",
        "used",
        f"used\n<{report.fewer_than}x",
        "un-\nreachable",
        "mean\nbytes",
        "OCR: tokens\nper line",
        "changed\nper error",
        "Jaccard",
    ]
    rows = []
    for row in report.rows:
        ocr = row.ocr
        rows.append(
            (
                row.name,
                [
                    number(row.renyi_efficiency, 3),
                    percent(row.utilization),
                    f"{len(row.under_used):,}",
                    f"{len(row.unreachable_ids):,}",
                    number(row.mean_length),
                    number(None if ocr is None else ocr.tokens_per_line, 1),
                    number(None if ocr is None else ocr.changed_per_error),
                    number(None if ocr is None else ocr.jaccard, 3),
                ],
            )
        )
    return _table("Vocabulary, and boundaries after one misread character a line", names, rows, first="tokenizer")


def _matrix_tables(
    title: str, report: EvaluationReport, rows: Sequence[tuple[str, Sequence[str]]], *, first: str
) -> list[Table]:
    """One column a tokenizer; as many tables as 100 columns need."""
    width = max((len(cell) for _, cells in rows for cell in cells), default=1)
    column = max(min(9, max(len(row.name) for row in report.rows)), width)
    label = min(_LABEL_WIDTH, max(len(name) for name, _ in rows))
    most = max(1, (WIDTH - label - 2) // (column + 2))
    # Spread evenly: seven columns and then one would read worse than four and four.
    per_table = math.ceil(len(report.rows) / math.ceil(len(report.rows) / most))
    tables = []
    for start in range(0, len(report.rows), per_table):
        part = slice(start, start + per_table)
        names = ["\n".join(_folded(row.name, column)) for row in report.rows[part]]
        body = [(name, cells[part]) for name, cells in rows]
        tables.append(_table(title if start == 0 else f"{title} (continued)", names, body, first=first))
    return tables


def terms_tables(report: EvaluationReport) -> list[Table]:
    """Tokens of each domain term, without special tokens."""
    rows: list[tuple[str, Sequence[str]]] = []
    for group in _groups(report):
        for term in report.rows[0].terms[group]:
            rows.append((term, [number(row.terms[group][term], 0) for row in report.rows]))
        rows.append((f"mean, {group}", [number(row.mean_tokens(group)) for row in report.rows]))
    return _matrix_tables("Tokens per domain term", report, rows, first="term") if rows else []


def parity_tables(report: EvaluationReport) -> list[Table]:
    """Premium of each language: tokens of the same text over those of the reference."""
    languages = list(report.rows[0].parity)
    if not languages:
        return []
    rows = [(language, [number(row.parity[language].premium) for row in report.rows]) for language in languages]
    title = f"Tokens of the same text, relative to {report.reference_language!r}"
    return _matrix_tables(title, report, rows, first="language")


def all_tables(report: EvaluationReport) -> list[Table]:
    """Every table of the report."""
    return [main_table(report), vocabulary_table(report), *terms_tables(report), *parity_tables(report)]


def plain(report: EvaluationReport) -> str:
    """The two tables of one row a tokenizer, without color, in 100 columns."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=WIDTH, color_system=None, legacy_windows=False, force_terminal=False)
    for table in (main_table(report), vocabulary_table(report)):
        console.print(table)
        console.print()
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    lines += [f"{row.name}: {failure}" for row in report.rows if (failure := failure_note(row))]
    return "\n".join(lines).strip("\n")


def failure_note(row: TokenizerRow) -> str:
    """Where the round trip first fails, or ``""``."""
    first = row.round_trip.first
    if first is None:
        return ""
    return (
        f"{row.round_trip.failures:,} document(s) do not survive encode and decode; first: document {first.document}, "
        f"byte {first.byte}, {first.expected!r} became {first.got!r}"
    )


def _groups(report: EvaluationReport) -> list[str]:
    return list(report.rows[0].terms)


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def _folded(name: str, width: int) -> list[str]:
    """``name`` in lines of at most ``width``, broken behind punctuation where that is possible."""
    lines = [""]
    for part in re.findall(r"[^-_./ ]*[-_./ ]+|[^-_./ ]+", name):
        while len(lines[-1]) + len(part) > width:
            if lines[-1]:
                lines.append("")
                continue
            lines[-1], part = part[:width], part[width:]
        lines[-1] += part
    return lines


# ------------------------------------------------------------------------------------------------------- JSON and CSV


def as_dict(report: EvaluationReport, *, full: bool) -> dict[str, Any]:
    """Plain values, see ``EvaluationReport.to_dict``."""
    size = report.size
    return {
        "corpus": {
            "documents": size.documents,
            "bytes": size.bytes,
            "characters": size.characters,
            "words": size.words,
        },
        "baseline": report.baseline,
        "parity_reference": report.reference_language,
        "tokenizers": [_row_dict(row, report, full) for row in report.rows],
    }


def _row_dict(row: TokenizerRow, report: EvaluationReport, full: bool) -> dict[str, Any]:
    reach, first = row.reachability, row.round_trip.first
    return {
        "name": row.name,
        "vocab_size": row.vocab_size,
        "tokens": row.tokens,
        "fewer_than_baseline": row.fewer,
        "bytes_per_token": row.bytes_per_token,
        "tokens_per_character": row.tokens_per_character,
        "fertility": row.fertility,
        "renyi_efficiency": row.renyi_efficiency,
        "vocabulary": {
            "text_tokens": row.text_tokens,
            "control_tokens": len(reach.control),
            "used": row.used,
            "utilization": row.utilization,
            "under_used": {"fewer_than": report.fewer_than, **_ids(row.under_used, full)},
            "unreachable": _ids(reach.unreachable, full),
            "unreachable_added": _ids(reach.unreachable_added, full),
            "reachable_in_context_only": _ids(reach.context_only, full),
            "not_checked": _ids(reach.unchecked, full),
            "mean_length": row.mean_length,
            "lengths": {str(length): count for length, count in row.lengths.items()},
        },
        "terms": {group: dict(counts) for group, counts in row.terms.items()},
        "mean_tokens_per_term": {group: row.mean_tokens(group) for group in row.terms},
        "parity": {language: dataclasses.asdict(cost) for language, cost in row.parity.items()},
        "ocr": None
        if row.ocr is None
        else {
            "lines": row.ocr.lines,
            "lines_in_corpus": report.ocr_lines_seen,
            "errors": row.ocr.errors,
            "boundaries_clean": row.ocr.clean,
            "boundaries_damaged": row.ocr.damaged,
            "boundaries_shared": row.ocr.shared,
            "jaccard": row.ocr.jaccard,
            "changed_per_error": row.ocr.changed_per_error,
            "share_of_clean": row.ocr.share_of_clean,
            "tokens_per_line": row.ocr.tokens_per_line,
        },
        "round_trip": {
            "failures": row.round_trip.failures,
            "first": None
            if first is None
            else {
                "document": first.document,
                "byte": first.byte,
                "expected_hex": first.expected.hex(),
                "got_hex": first.got.hex(),
            },
        },
    }


def _ids(ids: Sequence[int], full: bool) -> dict[str, Any]:
    shown = list(ids) if full else list(ids[:_LIST_LIMIT])
    return {"count": len(ids), "ids": shown, "complete": len(shown) == len(ids)}


def as_csv(report: EvaluationReport) -> str:
    """One line a tokenizer; every number of the JSON, nested keys joined with ``.``, lists as their counts."""
    flat = [dict(_flatten(_row_dict(row, report, full=False))) for row in report.rows]
    columns = list(dict.fromkeys(key for line in flat for key in line))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _flatten(value: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and "ids" in item:
            yield name, item["count"]
        elif isinstance(item, dict):
            yield from _flatten(item, f"{name}.")
        else:
            yield name, item
