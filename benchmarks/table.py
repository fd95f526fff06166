"""The latest figures of all benchmark scripts as one markdown table, made from ``results/*.json``.

::

    python benchmarks/table.py            # print it
    python benchmarks/table.py --write    # put it between the markers of benchmarks/README.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
START, END = "<!-- table:start, made by table.py -->", "<!-- table:end -->"
HEAD = ["| what | figure | value | bar | reached |", "|---|---|---|---|---|"]


def rows(result: Mapping[str, Any]) -> list[str]:
    """The table rows of one result file."""
    return [_row(claim) for claim in result["claims"]]


def _row(claim: Mapping[str, Any]) -> str:
    if claim["bar"] is None:
        bar, reached = "-", "-"
    else:
        bar = f"{'at least' if claim['at_least'] else 'at most'} {_number(claim['bar'])}"
        reached = "yes" if claim["passed"] else "**no**"
    return f"| {claim['what']} | {claim['figure']} | {_number(claim['value'])} | {bar} | {reached} |"


def _number(value: float) -> str:
    decimals = 0 if value == int(value) or abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    return f"{value:,.{decimals}f}"


def markdown() -> str:
    """All results, one section a script, with the machine and commit that each was measured on."""
    parts = []
    for path in sorted(HERE.glob("results/*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        name = path.stem
        if name in READERS:
            result = {**result, "claims": READERS[name](result)}
        elif "claims" not in result:
            continue
        parts += [f"**`{name}.py`**, {_where(result)}", "", *HEAD, *rows(result), ""]
    return "\n".join(parts).rstrip()


def _where(result: Mapping[str, Any]) -> str:
    where = result["machine"] if isinstance(result.get("machine"), dict) else result
    facts = [where["date"]]
    facts += [f"commit {where['commit']}"] if "commit" in where else []
    facts += [f"{where['cores']} cores of {where['cpu']}"] if "cpu" in where else [where["machine"]]
    facts += ["load " + " to ".join(map(str, where["load_average"]))] if "load_average" in where else []
    facts += [f"Python {where['python']}"] if "python" in where else []
    facts += [f"{package} {version}" for package, version in where.get("packages", where.get("versions", {})).items()]
    return ", ".join(facts)


def _ocr(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The claim on reading errors, of the smallest vocabulary on each kind of text, beside KL3M's of that size."""
    claims = []
    for text, ours in result["results"]["char-4k"].items():
        theirs = result["results"]["kl3m-004-char-4k-cased"][text]
        figure = (
            f"KL3M {theirs['changed_per_error']:.2f}; where a character is lost {ours['changed_per_lost']:.2f}, "
            f"KL3M {theirs['changed_per_lost']:.2f}"
        )
        what = f"char-4k, {text}: boundaries changed per misread character"
        claims.append(_claim(what, figure, ours["changed_per_error"], 1.0))
        figure = f"{ours['tokens_per_line']:.1f} : {theirs['tokens_per_line']:.1f} tokens per line"
        claims.append(_claim(f"char-4k, {text}: tokens : KL3M's", figure, ours["tokens_ratio_to_kl3m"], 1.0))
    return claims


def _memory(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Peak memory of each run that was given a bound."""
    free = next(run for run in result["runs"] if run["memory"] is None)
    figure = f"{free['peak_rss_bytes'] / 1e6:.0f} MB without a bound, {'equal' if result['equal'] else 'other'} counts"
    size, bar = result["text_bytes"] / 1e9, result["bar_bytes"] / 1e6
    return [
        _claim(
            f"peak MB, counting {size:.1f} GB within {run['memory']}, {run['threads']} thread(s)",
            figure,
            run["peak_rss_bytes"] / 1e6,
            bar,
        )
        for run in result["runs"]
        if run["memory"] is not None
    ]


def _claim(what: str, figure: str, value: float, bar: float) -> dict[str, Any]:
    return {"what": what, "figure": figure, "value": value, "bar": bar, "at_least": False, "passed": value <= bar}


# Scripts that keep their own kind of result.
READERS: dict[str, Callable[[Mapping[str, Any]], list[dict[str, Any]]]] = {
    "count_memory": _memory,
    "ocr_boundaries": _ocr,
}


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description="The latest figures of all benchmark scripts as a markdown table.")
    parser.add_argument("--write", action="store_true", help="replace the part of README.md between the markers")
    if not parser.parse_args().write:
        print(markdown())
        return
    readme = HERE / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, found, rest = text.partition(START)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        sys.exit(f"README.md has no lines {START!r} and {END!r} to write between")
    readme.write_text(f"{before}{START}\n{markdown()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
