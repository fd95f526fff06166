"""An evaluation report as one HTML page that loads nothing: inline style, inline SVG, light and dark."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bytetok.training.render import TOKEN_CSS, tokens_html, visible
from bytetok.training.report_svg import bar_chart, length_charts, ocr_chart
from bytetok.training.report_tables import caption, failure_note, number, percent, round_trip_word

if TYPE_CHECKING:
    from bytetok.training.report import EvaluationReport, TokenizerRow

_LISTED = 400  # unreachable tokens shown a tokenizer; the counts are always whole

_CSS = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c1e21;--muted:#5b626b;--line:#dcdfe4;--panel:#f6f7f9;--best:#e3f1ea;
--s0:#0072b2;--s1:#d55e00;--s2:#009e73;--s3:#b0578d;--s4:#c98a00;--s5:#3f9bd1;--s6:#7d8590;--s7:#1c1e21;--heat:0,114,178}
@media (prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e6e8eb;--muted:#9aa2ad;--line:#343941;--panel:#1d2024;
--best:#173529;--s0:#4aa8e0;--s1:#f08030;--s2:#2dc597;--s3:#e08fbe;--s4:#f0b429;--s5:#8fd0f5;--s6:#8a929e;--s7:#f2f3f5;
--heat:74,168,224}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem 1.25rem 4rem;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.4rem 0 .5rem}
h3{font-size:.95rem;margin:1.2rem 0 .3rem}
p{margin:.3rem 0 .8rem;max-width:52rem}.muted,figcaption{color:var(--muted)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:.32rem .6rem;text-align:right;border-bottom:1px solid var(--line)}
td{white-space:nowrap}
th{font-weight:600;vertical-align:bottom;color:var(--muted);max-width:7.5rem;overflow-wrap:break-word}
th:first-child,td:first-child{text-align:left;color:var(--fg);padding-left:0}
tr.mean td{font-weight:600}td.best{background:var(--best)}tr.base td:first-child{font-weight:600}
figure{margin:.5rem 0 1rem}figcaption{font-size:13px;margin-top:.2rem;max-width:52rem}
svg{display:block;max-width:100%;height:auto;font:12px system-ui,sans-serif}
svg text{fill:var(--fg)}svg .m{fill:var(--muted)}svg .grid{stroke:var(--line)}svg .axis{stroke:var(--muted)}
.samples{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,33rem),1fr));gap:0 1.5rem}
.side{display:flex;flex-wrap:wrap;gap:1rem 2.5rem;align-items:flex-start}
.panel{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:.8rem 1rem}
.bt-tokens{font-size:13px}
details{margin:.3rem 0}summary{cursor:pointer}
.chips{display:flex;flex-wrap:wrap;gap:.3rem;margin:.6rem 0}
.chips code{background:var(--panel);border:1px solid var(--line);border-radius:4px;padding:.05rem .35rem;
font-size:12.5px;white-space:pre;max-width:24rem;overflow:hidden;text-overflow:ellipsis}
.chips b{font-weight:400;color:var(--muted)}
dt{font-weight:600;margin-top:.5rem}dd{margin:0 0 0 1rem;max-width:52rem;color:var(--muted)}
.wide+.warn{margin-top:1rem}.warn{border-left:4px solid var(--s1);padding-left:.7rem}
"""

_DEFINITIONS = (
    ("x % fewer", "1 − tokens / baseline tokens. Special tokens are never counted."),
    ("bytes per token", "UTF-8 bytes of the corpus / tokens. Larger is more compact."),
    ("tokens per character", "Tokens / Unicode code points."),
    ("tokens per word", "Fertility. A word is a maximal run of non-white-space; tokens of white space count too."),
    (
        "Rényi efficiency",
        "Rényi entropy (alpha 2.5) of the token frequencies / log of the vocabulary size without control tokens "
        "(Zouhar et al. 2023). Between 0 and 1; falls where few tokens do most of the work.",
    ),
    ("used", "Share of the vocabulary without control tokens that occurs in this corpus; grows with the corpus."),
    (
        "unreachable",
        "Tokens that do not encode to themselves alone, nor appear in 52 contexts of neighboring characters (tokens "
        "that are not UTF-8: with their partial characters completed), nor in this corpus. Found by trial.",
    ),
    (
        "OCR noise",
        "Each sampled line gets one misread character of the same length (l/1, o/0, e/c ...). Boundaries are token end "
        "offsets. Changed per error: boundaries gained or lost / errors; changed share: / boundaries of the clean "
        "lines. Jaccard: shared / all. More, shorter tokens raise Jaccard by themselves, so tokens per line stands "
        "beside it.",
    ),
    ("round trip", "Documents whose bytes do not come back from encode and decode."),
)


def report_page(report: EvaluationReport) -> str:
    """The whole page as text."""
    body = "\n".join(
        part
        for part in (
            f"<header><h1>Tokenizers compared</h1><p class='muted'>{_e(caption(report))}</p></header>",
            _summary(report),
            _charts(report),
            _terms(report),
            _parity(report),
            _samples(report),
            _vocabulary(report),
            _definitions(),
        )
        if part
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Tokenizers compared: {_e(', '.join(row.name for row in report.rows))}</title>\n"
        f"<style>{_CSS}{TOKEN_CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _e(text: str) -> str:
    return html.escape(text)


def _table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    classes: Sequence[str] = (),
    cells: Sequence[Sequence[str]] = (),
) -> str:
    """A table of escaped text; ``classes`` by row; ``cells``: attributes by row and column."""
    head = "".join(f"<th scope='col'>{_e(name)}</th>" for name in header)
    lines = []
    for r, row in enumerate(rows):
        attributes = cells[r] if cells else [""] * len(row)
        data = "".join(f"<td{a}>{_e(cell)}</td>" for cell, a in zip(row, attributes, strict=True))
        lines.append(f"<tr class='{classes[r] if classes else ''}'>{data}</tr>")
    return (
        f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>\n{chr(10).join(lines)}\n</tbody></table></div>"
    )


def _summary(report: EvaluationReport) -> str:
    header = ["tokenizer", "vocab", "tokens", f"vs {report.baseline}", "bytes per token", "tokens per char"]
    header += [
        "tokens per word",
        "Rényi efficiency",
        "used",
        f"used <{report.fewer_than}×",
        "unreachable",
        "round trip",
    ]
    rows = [
        [
            row.name,
            f"{row.vocab_size:,}",
            f"{row.tokens:,}",
            "baseline" if row.name == report.baseline else row.against_baseline,
            number(row.bytes_per_token),
            number(row.tokens_per_character, 4),
            number(row.fertility),
            number(row.renyi_efficiency, 3),
            percent(row.utilization),
            f"{len(row.under_used):,}",
            f"{len(row.unreachable_ids):,}",
            round_trip_word(row),
        ]
        for row in report.rows
    ]
    classes = ["base" if row.name == report.baseline else "" for row in report.rows]
    notes = "".join(
        f"<p class='warn'><b>{_e(row.name)}</b>: {_e(note)}</p>" for row in report.rows if (note := failure_note(row))
    )
    return _table(header, rows, classes) + notes


def _charts(report: EvaluationReport) -> str:
    parts = []
    if len(report.rows) > 1:
        parts.append(
            f"<h2>Tokens, relative to {_e(report.baseline)}</h2><figure>{bar_chart(report)}"
            "<figcaption>Shorter is better: the same text in fewer tokens.</figcaption></figure>"
        )
    parts.append(
        f"<h2>Token lengths</h2><figure>{length_charts(report)}<figcaption>Share of the vocabulary by token length in "
        "bytes; the last bar holds all longer tokens. Control tokens excluded.</figcaption></figure>"
    )
    if any(row.ocr is not None for row in report.rows):
        parts.append(_ocr(report))
    return "\n".join(parts)


def _ocr(report: EvaluationReport) -> str:
    rows = []
    for row in report.rows:
        ocr = row.ocr
        if ocr is not None:
            cells = [number(ocr.tokens_per_line, 1), number(ocr.changed_per_error), number(ocr.jaccard, 3)]
            rows.append([row.name, *cells, percent(ocr.share_of_clean)])
    first = next(row.ocr for row in report.rows if row.ocr is not None)
    table = _table(["tokenizer", "tokens per line", "changed per error", "Jaccard", "changed share"], rows)
    return (
        "<h2>Boundaries after a misread character</h2>"
        f"<p class='muted'>{first.lines:,} of {report.ocr_lines_seen:,} lines, one look-alike character wrong in each."
        f"</p><div class='side'><figure>{ocr_chart(report)}<figcaption>Low is robust; left is compact. Dashed: one "
        f"boundary changed per error.</figcaption></figure><div>{table}</div></div>"
    )


def _terms(report: EvaluationReport) -> str:
    rows: list[list[str]] = []
    classes: list[str] = []
    marks: list[list[str]] = []
    for group in report.rows[0].terms:
        for term in report.rows[0].terms[group]:
            counts = [row.terms[group][term] for row in report.rows]
            rows.append([term, *(number(count, 0) for count in counts)])
            classes.append("")
            # Marking the winner says nothing where all are equal.
            best = min((count for count in counts if count is not None), default=None) if len(set(counts)) > 1 else None
            marks.append(["", *(" class='best'" if count is not None and count == best else "" for count in counts)])
        rows.append([f"mean, {group}", *(number(row.mean_tokens(group)) for row in report.rows)])
        classes.append("mean")
        marks.append([""] * (len(report.rows) + 1))
    if not rows:
        return ""
    table = _table(["term", *(row.name for row in report.rows)], rows, classes, marks)
    return f"<h2>Tokens per domain term</h2><p class='muted'>Each term encoded alone; fewest shaded.</p>{table}"


def _parity(report: EvaluationReport) -> str:
    languages = list(report.rows[0].parity)
    if not languages:
        return ""
    rows, cells = [], []
    for language in languages:
        premiums = [row.parity[language].premium for row in report.rows]
        rows.append([language, *(number(premium) for premium in premiums)])
        cells.append(["", *(_heat(row, language) for row in report.rows)])
    table = _table(["language", *(row.name for row in report.rows)], rows, cells=cells)
    reference = _e(report.reference_language)
    return (
        f"<h2>Languages</h2><p class='muted'>Tokens of the same text, relative to <code>{reference}</code>: 1.00 is "
        f"parity, 3.00 three times the price.</p>{table}"
    )


def _heat(row: TokenizerRow, language: str) -> str:
    cost = row.parity[language]
    premium = cost.premium or 1.0
    alpha = min(0.6, max(0.0, (premium - 1.0) * 0.08))
    title = f"{number(cost.tokens, 0)} tokens, {cost.bytes:,} bytes"
    return f" style='background:rgba(var(--heat),{alpha:.2f})' title='{title}'"


def _samples(report: EvaluationReport) -> str:
    if not report.sample:
        return ""
    parts = [
        f"<div><h3>{_e(row.name)} <span class='muted'>· {len(row.sample):,} tokens</span></h3>"
        f"<div class='panel'>{tokens_html(row.sample)}</div></div>"
        for row in report.rows
    ]
    size = len(report.sample.encode("utf-8", errors="replace"))
    return (
        f"<h2>The same text, cut by each</h2><p class='muted'>{size:,} bytes. One color a token; point at it for id "
        "and bytes. · space, → tab, ↵ newline, ⟨E2⟩ part of a character.</p>"
        f"<div class='samples'>{''.join(parts)}</div>"
    )


def _vocabulary(report: EvaluationReport) -> str:
    parts = []
    for row in report.rows:
        reach = row.reachability
        counts = (
            f"{len(reach.unreachable):,} ordinary and {len(reach.unreachable_added):,} added tokens unreachable of "
            f"{reach.checked:,} checked; {len(reach.context_only):,} only beside other characters"
        )
        if reach.unchecked:
            counts += f"; {len(reach.unchecked):,} could not be checked"
        counts += f"; {len(reach.control):,} control tokens"
        ids = row.unreachable_ids
        if not ids:
            parts.append(f"<p><b>{_e(row.name)}</b>: {counts}.</p>")
            continue
        chips = "".join(
            f"<code title='{row.token_bytes[i].hex(' ').upper()}'><b>{i}</b> "
            f"{_e(visible(row.token_bytes[i]).replace(chr(10), ''))}</code>"
            for i in ids[:_LISTED]
        )
        more = f"<p class='muted'>and {len(ids) - _LISTED:,} more (see the JSON)</p>" if len(ids) > _LISTED else ""
        summary = f"<summary><b>{_e(row.name)}</b>: {counts}</summary>"
        parts.append(f"<details>{summary}<div class='chips'>{chips}</div>{more}</details>")
    return f"<h2>Unreachable tokens</h2>{''.join(parts)}"


def _definitions() -> str:
    items = "".join(f"<dt>{_e(name)}</dt><dd>{_e(text)}</dd>" for name, text in _DEFINITIONS)
    return f"<h2>Definitions</h2><dl>{items}</dl>"
