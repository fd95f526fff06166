"""The charts of the HTML report as inline SVG; colors come from the page's CSS variables."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bytetok.training.report import EvaluationReport

LAST_BIN = 16
"""Tokens of this length in bytes or more share the last bin of a length histogram."""
NUM_COLORS = 8


def length_bins(lengths: Mapping[int, int]) -> list[float]:
    """Percent of tokens of 1, 2, ... ``LAST_BIN``-or-more bytes, shape ``(LAST_BIN,)``."""
    bins = [0.0] * LAST_BIN
    total = sum(lengths.values())
    for length, count in lengths.items():
        bins[min(length, LAST_BIN) - 1] += 100 * count / total
    return bins


def nice_ticks(top: float, count: int = 4) -> list[float]:
    """Round numbers from 0 to at least ``top``, about ``count`` steps."""
    if top <= 0:
        return [0.0, 1.0]
    raw = top / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    return [step * i for i in range(math.ceil(top / step * 0.999) + 1)]


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move label positions apart, to ``gap`` where they fit between ``low`` and ``high``; their order stays."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = [0.0] * len(positions)
    last = low - gap
    for i in order:
        last = placed[i] = max(positions[i], last + gap)
    last = high + gap
    for i in reversed(order):
        last = placed[i] = min(placed[i], last - gap)
    return placed


def short(name: str, width: int = 22) -> str:
    """``name`` cut to ``width`` characters with an ellipsis."""
    return name if len(name) <= width else name[: width - 1] + "…"


def _text(x: float, y: float, text: str, *, anchor: str = "start", style: str = "", extra: str = "") -> str:
    css = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{css}{extra}>{html.escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str, extra: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"{extra}/>'


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
    )


def color(index: int) -> str:
    """CSS color of the tokenizer in row ``index``."""
    return f"var(--s{index % NUM_COLORS})"


def bar_chart(report: EvaluationReport) -> str:
    """Tokens of each tokenizer relative to the baseline, as horizontal bars from 0."""
    left, right, row_height = 175.0, 225.0, 28.0
    width, plot = 860.0, 860.0 - left - right
    base = report[report.baseline].tokens or 1
    ratios = [row.tokens / base for row in report.rows]
    scale = plot / max(1.0, *ratios)
    height = row_height * len(ratios) + 26
    parts = []
    for index, (row, ratio) in enumerate(zip(report.rows, ratios, strict=True)):
        y = index * row_height + 5
        is_base = row.name == report.baseline
        words = "baseline" if is_base else row.against_baseline
        title = f"<title>{html.escape(row.name)}: {row.tokens:,} tokens</title>"
        faint = ' opacity="0.55"'
        parts.append(_text(left - 8, y + 14, short(row.name), anchor="end"))
        parts.append(
            f'<rect x="{left:.1f}" y="{y:.1f}" width="{ratio * scale:.1f}" height="18" rx="2" fill="{color(index)}"'
            f"{faint if is_base else ''}>{title}</rect>"
        )
        parts.append(_text(left + max(ratio, 1.0) * scale + 8, y + 14, f"{words}  ({row.tokens:,})"))
    x = left + scale
    bottom = row_height * len(ratios) + 4
    parts.append(_line(x, 0, x, bottom, "axis", ' stroke-dasharray="3 3"'))
    parts.append(_text(x, bottom + 16, "1.0", anchor="middle", style="m"))
    parts.append(_text(left, bottom + 16, "0", anchor="middle", style="m"))
    return _svg(width, height, f"Tokens relative to {report.baseline}", parts)


def length_charts(report: EvaluationReport) -> str:
    """One small histogram a tokenizer, all with the same axes."""
    per_row, width, height = 5, 215.0, 150.0
    left, top, plot_width, plot_height = 34.0, 22.0, 170.0, 92.0
    all_bins = [length_bins(row.lengths) for row in report.rows]
    ticks = nice_ticks(max((max(bins) for bins in all_bins), default=0.0), 3)
    bar = plot_width / LAST_BIN
    parts = []
    for index, (row, bins) in enumerate(zip(report.rows, all_bins, strict=True)):
        dx, dy = (index % per_row) * width, (index // per_row) * height
        parts.append(f'<g transform="translate({dx:.0f},{dy:.0f})">')
        parts.append(_text(left, 13, short(row.name, 26)))
        for tick in ticks:
            y = top + plot_height * (1 - tick / ticks[-1])
            parts.append(_line(left, y, left + plot_width, y, "grid"))
            if index % per_row == 0:
                parts.append(_text(left - 5, y + 4, f"{tick:g}%", anchor="end", style="m"))
        for number, share in enumerate(bins):
            size = plot_height * share / ticks[-1]
            what = f"{number + 1}{' or more' if number + 1 == LAST_BIN else ''} bytes: {share:.1f} %"
            parts.append(
                f'<rect x="{left + number * bar + 0.8:.1f}" y="{top + plot_height - size:.1f}" width="{bar - 1.6:.1f}" '
                f'height="{size:.1f}" fill="{color(index)}"><title>{what}</title></rect>'
            )
        for number in (1, 4, 8, 12, 16):
            label = f"{number}+" if number == LAST_BIN else str(number)
            x = left + (number - 0.5) * bar
            parts.append(_text(x, top + plot_height + 14, label, anchor="middle", style="m"))
        parts.append("</g>")
    rows = math.ceil(len(report.rows) / per_row)
    columns = min(per_row, len(report.rows))
    return _svg(columns * width, rows * height, "Token length in bytes, share of the vocabulary", parts)


def ocr_chart(report: EvaluationReport) -> str:
    """Boundaries changed per error against tokens per line, one point a tokenizer."""
    width, height, left, top, bottom = 500.0, 300.0, 48.0, 12.0, 44.0
    plot_width, plot_height = width - left - 150, height - top - bottom
    points = [(index, row.name, row.ocr) for index, row in enumerate(report.rows) if row.ocr is not None]
    x_ticks = nice_ticks(max(ocr.tokens_per_line for _, _, ocr in points) * 1.05, 5)
    y_ticks = nice_ticks(max(1.1, *(ocr.changed_per_error * 1.05 for _, _, ocr in points)), 4)
    parts = []
    for tick in y_ticks:
        y = top + plot_height * (1 - tick / y_ticks[-1])
        parts.append(_line(left, y, left + plot_width, y, "grid"))
        parts.append(_text(left - 6, y + 4, f"{tick:g}", anchor="end", style="m"))
    for tick in x_ticks:
        x = left + plot_width * tick / x_ticks[-1]
        parts.append(_text(x, top + plot_height + 16, f"{tick:g}", anchor="middle", style="m"))
    one = top + plot_height * (1 - 1 / y_ticks[-1])
    parts.append(_line(left, one, left + plot_width, one, "axis", ' stroke-dasharray="4 3"'))
    parts.append(_line(left, top + plot_height, left + plot_width, top + plot_height, "axis"))
    xs = [left + plot_width * ocr.tokens_per_line / x_ticks[-1] for _, _, ocr in points]
    ys = [top + plot_height * (1 - ocr.changed_per_error / y_ticks[-1]) for _, _, ocr in points]
    label_ys = spread(ys, 15, top + 6, top + plot_height)
    for (index, name, ocr), x, y, label_y in zip(points, xs, ys, label_ys, strict=True):
        title = f"{name}: {ocr.tokens_per_line:.1f} tokens per line, {ocr.changed_per_error:.2f} changed per error"
        label_x = left + plot_width + 12
        parts.append(_line(x, y, label_x - 3, label_y, "grid"))
        tooltip = f"<title>{html.escape(title)}</title>"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{color(index)}">{tooltip}</circle>')
        parts.append(_text(label_x, label_y + 4, short(name, 20)))
    parts.append(_text(left + plot_width / 2, height - 8, "tokens per line", anchor="middle", style="m"))
    middle = top + plot_height / 2
    turn = f' transform="rotate(-90 12 {middle:.0f})"'
    parts.append(_text(12, middle, "boundaries changed per error", anchor="middle", style="m", extra=turn))
    return _svg(width, height, "Boundaries changed per OCR error against tokens per line", parts)
