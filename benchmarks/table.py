"""The latest figures of all benchmark scripts as one markdown table, made from ``results/*.json``.

::

    python benchmarks/table.py            # print it
    python benchmarks/table.py --write    # put it between the markers of benchmarks/README.md
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
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
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"


def markdown() -> str:
    """All results, one section a script, with the machine and commit that each was measured on."""
    parts = []
    for path in sorted(HERE.glob("results/*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if "claims" not in result:
            continue
        where = result["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in where["packages"].items())
        load = where["load_average"][0]
        parts += [
            f"**`{result['script']}.py`**, {where['date']}, commit {where['commit']}, {where['cores']} cores of "
            f"{where['cpu']}, load {load} when it ended; Python {where['python']}, {versions}",
            "",
            *HEAD,
            *rows(result),
            "",
        ]
    return "\n".join(parts).rstrip()


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
