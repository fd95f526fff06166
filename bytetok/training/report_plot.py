"""An evaluation report as a matplotlib figure of three panels."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bytetok._files import atomic_path
from bytetok.errors import MissingDependencyError, TrainingError
from bytetok.training.report_svg import LAST_BIN, length_bins, short, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bytetok.training.report import EvaluationReport

# Okabe and Ito's palette without its yellow, which is too faint on white; markers tell points apart without color.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7d8590", "#111111")
_MARKERS = "osD^vPX*"


def report_figure(report: EvaluationReport) -> Figure:
    """Tokens relative to the baseline; token lengths of the vocabulary; OCR boundaries against tokens per line.

    Raises ``MissingDependencyError`` without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise MissingDependencyError("plotting needs matplotlib; pip install 'bytetok-lm[plot]'") from err
    # A Figure of its own, not pyplot's: no global state, no window.
    figure = Figure(figsize=(14, max(4.2, 1.6 + 0.36 * len(report.rows))), layout="constrained")
    bars, lengths, ocr = figure.subplots(1, 3, width_ratios=(1.25, 1, 1.15))
    _bars(bars, report)
    _lengths(lengths, report)
    _ocr(ocr, report)
    for axes in (bars, lengths, ocr):
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(11)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, whole or not at all; the suffix of ``path`` names the format (png, svg, pdf, ...)."""
    suffix = Path(path).suffix.lstrip(".").lower()
    known = sorted(figure.canvas.get_supported_filetypes())
    if suffix not in known:
        raise TrainingError(f"cannot tell the image format of {str(path)!r}; end it with one of .{', .'.join(known)}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=150)


def _color(index: int) -> str:
    return _COLORS[index % len(_COLORS)]


def _bars(axes: Any, report: EvaluationReport) -> None:
    base = report[report.baseline].tokens or 1
    ratios = [row.tokens / base for row in report.rows]
    places = list(range(len(ratios)))
    axes.barh(places, ratios, color=[_color(i) for i in places], height=0.65)
    axes.axvline(1.0, color="#5f6670", linestyle="--", linewidth=1)
    for place, row, ratio in zip(places, report.rows, ratios, strict=True):
        words = "baseline" if row.name == report.baseline else row.against_baseline
        axes.annotate(
            words, (max(ratio, 1.0), place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(places, [short(row.name) for row in report.rows])
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.0, *ratios) * 1.4)  # room for the words
    axes.set_xlabel(f"tokens / tokens of {short(report.baseline)}")
    axes.set_title(f"Tokens on {report.size.bytes:,} bytes (shorter is better)")


def _lengths(axes: Any, report: EvaluationReport) -> None:
    places = list(range(1, LAST_BIN + 1))
    for index, row in enumerate(report.rows):
        style = ("-", "--", ":")[index // len(_COLORS) % 3]
        axes.plot(
            places,
            [share or math.nan for share in length_bins(row.lengths)],  # no line along zero
            color=_color(index),
            linestyle=style,
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4,
            linewidth=1.5,
            label=short(row.name),
        )
    axes.set_xticks([1, 4, 8, 12, LAST_BIN], ["1", "4", "8", "12", f"{LAST_BIN}+"])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("token length in bytes")
    axes.set_ylabel("% of the vocabulary")
    axes.set_title("Vocabulary by token length")
    axes.legend(fontsize=8, frameon=False)


def _ocr(axes: Any, report: EvaluationReport) -> None:
    points = [(index, row.name, row.ocr) for index, row in enumerate(report.rows) if row.ocr is not None]
    axes.set_title("One misread character a line")
    axes.set_xlabel("tokens per line")
    axes.set_ylabel("boundaries changed per error")
    if not points:
        axes.text(0.5, 0.5, "no line to damage", transform=axes.transAxes, ha="center", va="center")
        return
    right = max(ocr.tokens_per_line for _, _, ocr in points)
    top = max(1.1, *(ocr.changed_per_error for _, _, ocr in points)) * 1.08
    axes.set_xlim(0, right * 1.55)  # room for the names
    axes.set_ylim(0, top)
    axes.axhline(1.0, color="#5f6670", linestyle="--", linewidth=1)
    heights = spread([ocr.changed_per_error for _, _, ocr in points], top * 0.055, 0.0, top * 0.96)
    for (index, name, ocr), height in zip(points, heights, strict=True):
        point = (ocr.tokens_per_line, ocr.changed_per_error)
        axes.plot(*point, marker=_MARKERS[index % len(_MARKERS)], color=_color(index), markersize=8)
        line = {"arrowstyle": "-", "color": "#c4c9d0", "linewidth": 0.8}
        axes.annotate(short(name, 20), point, xytext=(right * 1.08, height), va="center", fontsize=9, arrowprops=line)
