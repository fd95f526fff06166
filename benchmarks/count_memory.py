"""2 GB of text counts within 512 MB of memory, to the same file as with all the memory it wants.

::

    python benchmarks/count_memory.py            # writes results/count_memory.json; 3 minutes, 3 GB of temporary disk

The text is ``$BYTETOK_CACHE/corpora/mixed200.txt`` ten times over, every 10 MB of it in an alphabet of its own, a to z
in another order: words keep their lengths and counts, but hardly any word of one part is in another, so that distinct
pretokens grow faster than in any real text. Each run is a process of its own, and the kernel reports its peak resident
set size. The bounded runs must reach the bar, and all must write the same file.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from string import ascii_letters, ascii_lowercase
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
from corpora import corpora_dir

import bytetok

COPIES = 10
PART = 10 * 10**6
BAR = 512 * 10**6
RESULT = Path(__file__).resolve().parent / "results" / "count_memory.json"

# One run, in a process that holds nothing else.
RUN = """
import sys
from bytetok.training.corpus import read_texts
from bytetok.training.counts import count_to_parquet
text, out, memory, threads = sys.argv[1:]
count_to_parquet(read_texts(text), out, memory=memory or None, threads=int(threads))
"""


def main() -> None:
    """Make the text, count it twice, compare, and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=corpora_dir() / "mixed200.txt")
    parser.add_argument("--memory", default="512MB")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        text = Path(folder, "text.txt")
        size = make_text(options.source, text)
        runs = [count(text, Path(folder, "whole.parquet"), "", 1)]
        for threads in options.threads:
            runs.append(count(text, Path(folder, f"bounded{threads}.parquet"), options.memory, threads))
        distinct = pyarrow.parquet.read_metadata(Path(folder, "whole.parquet")).num_rows
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "versions": {
            "bytetok": bytetok.__version__,
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "pyarrow": pyarrow.__version__,
        },
        "text": f"{options.source.name}, {COPIES} copies, every {PART:,} bytes in an alphabet of its own",
        "text_bytes": size,
        "pattern": "o200k",
        "distinct_pretokens": distinct,
        "bar_bytes": BAR,
        "runs": runs,
        "equal": len({run["sha256"] for run in runs}) == 1,
        "reached": all(run["peak_rss_bytes"] <= BAR for run in runs[1:]),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    if not (result["equal"] and result["reached"]):
        sys.exit(1)


def make_text(source: Path, target: Path) -> int:
    """Write the copies in pieces: the memory of this process counts in what the kernel reports of its children."""
    order = random.Random(0)
    with target.open("wb") as out:
        for _ in range(COPIES):
            with source.open("rb") as text:
                while part := text.read(PART):
                    letters = "".join(order.sample(ascii_lowercase, 26))
                    table = bytes.maketrans(ascii_letters.encode(), (letters + letters.upper()).encode())
                    out.write(part.translate(table))
    return target.stat().st_size


def count(text: Path, out: Path, memory: str, threads: int) -> dict[str, Any]:
    """Count in a process of its own; what it took and what it wrote."""
    begin = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", RUN, str(text), str(out), memory, str(threads)])
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"counting with memory={memory or None!r} failed with exit code {process.returncode}")
    with out.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    run = {
        "memory": memory or None,
        "threads": threads,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "wall_seconds": round(wall, 1),
        "sha256": digest,
    }
    print(run, file=sys.stderr)
    return run


def cpu_model() -> str:
    """The model name of the processor, as the kernel gives it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
