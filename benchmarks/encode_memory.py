"""Peak memory of encoding 100 MB of text, document by document.

::

    python benchmarks/encode_memory.py --peers ~/peers/bin/python     # 2 minutes
    python benchmarks/encode_memory.py --quick                        # 10 MB, writes nothing

A process loads cl100k (ours from its own cache file), reads a file line by line into documents of 8 KB, encodes each to
numpy ids (libraries that have none: to a list) and drops them. The figure is the peak of its resident memory as the
kernel reports it (``VmHWM``), interpreter, library and vocabulary included; what the process held before the first
document is given beside it.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _encoding import HERE, cache_file, finish, machine_with_peers, offered, openai_files, parser, run_process
from _machine import Claim, corpus

LIBRARIES = {
    "bytetok": ("numpy", "list"),
    "gigatoken": ("numpy",),
    "fastokens": ("list",),
    "quicktok": ("list",),
    "tiktoken": ("list",),
}
TEXTS = ("mixed200.txt", "english.txt", "multilingual.txt")
BYTES = 100_000_000

RUN = """import json, sys
sys.path.insert(0, sys.argv[1])
from _libraries import Files, open_library
from _worker import peak_memory
library, call, path, limit = sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
encode = getattr(open_library(library, Files(**json.loads(sys.argv[6]))), call)
loaded = peak_memory()
seen = tokens = 0
with open(path, "rb") as file:
    while seen < limit and (data := file.read(8192)):
        data += file.readline()
        seen += len(data)
        tokens += len(encode(data.decode()))
print(json.dumps({"loaded": loaded, "peak": peak_memory(), "bytes": seen, "tokens": tokens}))"""


def main() -> None:
    """Measure, compare, print and save."""
    options = parser("Peak memory of encoding 100 MB.", rounds=1).parse_args()
    where = machine_with_peers(options.peers)
    limit = BYTES // 10 if options.quick else BYTES
    there = offered(where, LIBRARIES, options.libraries)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        made = openai_files("cl100k", folder)
        files = json.dumps({**asdict(made), "ours": cache_file(made.ours, folder)})
        for text in TEXTS[:1] if options.quick else TEXTS:
            results[text] = {}
            for library in there:
                for call in LIBRARIES[library]:
                    runs = []
                    try:
                        for _ in range(options.rounds):
                            path = corpus(text)
                            _, printed = run_process(options.peers, RUN, HERE, library, call, path, limit, files)
                            runs.append(json.loads(printed))
                    except RuntimeError as err:
                        results[text][f"{library}, {call}"] = {"error": str(err)}
                        print(f"{text}: {library}, {call}: {err}", file=sys.stderr)
                        continue
                    middle = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
                    results[text][f"{library}, {call}"] = middle
                    print(
                        f"{text}: {library}, {call}: peak {middle['peak'] / 1e6:.0f} MB, "
                        f"loaded {middle['loaded'] / 1e6:.0f} MB, {middle['tokens']:,} tokens",
                        file=sys.stderr,
                    )
    rows = [row for text, found in results.items() for row in claims(Path(text).stem, found)]
    finish("encode_memory", rows, where, write=not (options.quick or options.libraries), bytes=limit, results=results)


def claims(text: str, found: dict[str, dict[str, Any]]) -> list[Claim]:
    """Ours over gigatoken's, and the peak of the others."""
    rows = []
    peaks = {name: one["peak"] / 1e6 for name, one in found.items() if "peak" in one}
    giga = peaks.get("gigatoken, numpy")
    size = max((one["bytes"] / 1e6 for one in found.values() if "bytes" in one), default=0)
    for name, peak in peaks.items():
        before = f"{found[name]['loaded'] / 1e6:.0f} MB when loaded"
        if name.startswith("bytetok") and giga:
            what = f"peak memory, {size:.0f} MB of {text}, {name} : gigatoken"
            rows.append(Claim(what, f"{peak:.0f} : {giga:.0f} MB; {before}", peak / giga, 1 / 3))
        else:
            rows.append(Claim(f"peak memory, {size:.0f} MB of {text}, {name}, MB", before, peak))
    return rows


if __name__ == "__main__":
    main()
