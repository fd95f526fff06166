"""What a second thread buys: one batch call that returns lists of ids, with one thread and with two, wall time.

::

    python benchmarks/encode_threads.py --peers ~/peers/bin/python     # 2 minutes, and two idle cores
    python benchmarks/encode_threads.py --quick                        # writes nothing

10 MB of mixed text in 1,200 documents of 8 KB in one call. Each library runs in two processes, one with a thread on one
core and one with two threads on two cores, which take turns; the first pass of each is not counted. Anything else that
runs on the machine takes from the second thread, so the ratio is that of the fastest passes; the ratio of the medians
is beside it.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from typing import Any

from _encoding import Texts, Worker, finish, machine_with_peers, offered, openai_files, parser
from _libraries import Files
from _machine import Claim, corpus

CALLS = {
    "batch_list": (
        "bytetok", "gigatoken", "fastokens", "snaptokens", "quicktok", "splintr", "tuetoken", "tiktoken", "tokenizers",
    ),
    "batch_numpy": ("bytetok", "gigatoken", "fastokens", "snaptokens", "quicktok", "splintr", "tuetoken"),
}  # fmt: skip
MEANING = {"batch_list": "lists", "batch_numpy": "numpy"}


def both(
    python: str, library: str, files: Files, texts: Texts, call: str, *, passes: int, budget: float = 8.0
) -> dict[str, Any]:
    """Wall seconds of each pass with one and with two threads, and MB per wall second of the fastest; or an error."""
    walls: dict[int, list[float]] = {1: [], 2: []}
    with Worker(python, library, files, threads=1) as one, Worker(python, library, files, threads=2) as two:
        for number in range(passes + 1):
            if sum(walls[1]) > budget:
                break
            for threads, worker in ((1, one), (2, two)):
                if not number:
                    worker.read(texts)
                answer = worker.opened if "error" in worker.opened else worker.ask("measure", call=call)
                if "error" in answer:
                    return answer
                if number:
                    walls[threads].append(round(answer["wall"], 4))
        size = one.bytes / 1e6
    return {
        "walls": walls,
        "speeds": [round(size / min(walls[threads]), 1) for threads in (1, 2)],
        "ratio": min(walls[1]) / min(walls[2]),
        "ratio_of_medians": statistics.median(walls[1]) / statistics.median(walls[2]),
    }


def main() -> None:
    """Measure, compare, print and save."""
    arguments = parser("What a second thread buys on a batch.", rounds=9)
    options = arguments.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed to measure two threads; this process may use one")
    where = machine_with_peers(options.peers)
    passes = 3 if options.quick else options.rounds
    texts = Texts(corpus("mixed10.txt"), limit=2_000_000 if options.quick else 10_000_000)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        files = openai_files("cl100k", folder)
        for call, libraries in CALLS.items():
            results[call] = {}
            for library in offered(where, libraries, options.libraries):
                found = both(options.peers, library, files, texts, call, passes=passes)
                results[call][library] = found
                print(f"{call} {library}: {found.get('error') or line(found)}", file=sys.stderr)
    rows = []
    for call, found in results.items():
        for library, one in sorted(found.items(), key=lambda item: item[0] != "bytetok"):
            if "error" in one:
                continue
            ours = library == "bytetok"
            what = f"2 threads over 1, a batch of {MEANING[call]}, wall, {library}"
            rows.append(Claim(what, line(one), one["ratio"], 1.7 if ours else None, at_least=True))
    finish(
        "encode_threads",
        rows,
        where,
        write=not (options.quick or options.libraries),
        text=texts.path.name,
        passes=passes,
        results=results,
    )


def line(one: dict[str, Any]) -> str:
    """Speeds and the ratio of the medians, as a figure of the table."""
    slow, fast = one["speeds"]
    return f"{slow:.0f} -> {fast:.0f} MB/s; medians {one['ratio_of_medians']:.2f}"


if __name__ == "__main__":
    main()
