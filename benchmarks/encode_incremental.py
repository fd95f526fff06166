"""``count_until`` and an appendable encoder cost what they read, not what the whole text would.

::

    python benchmarks/encode_incremental.py              # 5 minutes under valgrind
    python benchmarks/encode_incremental.py --quick      # smaller texts, writes nothing

Instructions are counted, not seconds. ``count_until(text, 100)`` runs on the first 10 kB to 9 MB of a text: what the
largest costs over the smallest is to stay at 1. ``encoder().append`` adds the same 100 pieces of 100 characters to
encoders that hold 10 kB to 9 MB. ``count_until`` is asked for ASCII and for other text, because a Python ``str``
outside ASCII is not kept as UTF-8 and whoever converts all of it reads all of it. The last row appends one letter after
another to a run of them, where no token is certain by where its pretoken ends.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from typing import Any

from _encoding import cache_file, finish, machine_with_peers
from _instructions import between_marks, require_valgrind
from _machine import Claim, corpus

COUNT_UNTIL = """import os, sys, bytetok
path, text, *sizes = sys.argv[1:]
tok = bytetok.Tokenizer.load(path)
texts = []
for size in map(int, sizes):
    with open(text, "rb") as file:
        texts.append(file.read(size).decode("utf-8", "ignore"))
tok.count_until(texts[0], 100, special="text")  # all of them begin alike: what is remembered is now
for one in texts:
    os.getppid()
    assert tok.count_until(one, 100, special="text") is None
os.getppid()"""

APPEND = """import os, sys, bytetok
path, text, *sizes = sys.argv[1:]
tok = bytetok.Tokenizer.load(path)
with open(text, "rb") as file:
    data = file.read(max(map(int, sizes)) + 20_000).decode("utf-8", "ignore")
pieces = [data[start : start + 100] for start in range(0, 10_000, 100)]
tok.encode(data[:10_000], special="text")
encoder = tok.encoder()
done = 0
for size in map(int, sizes):
    while done < size:
        encoder.append(data[done : done + 1000])
        done += 1000
    os.getppid()
    for piece in pieces:
        encoder.append(piece)
    os.getppid()"""

LETTERS = """import os, sys, bytetok
path, _, *sizes = sys.argv[1:]
tok = bytetok.Tokenizer.load(path)
encoder = tok.encoder()
done = 0
for size in map(int, sizes):
    encoder.append("a" * (size - done))
    os.getppid()
    for _ in range(100):
        encoder.append("a")
    os.getppid()
    done = size + 100"""


def main() -> None:
    """Count, compare, print and save."""
    parser = argparse.ArgumentParser(description="What count_until and an appendable encoder cost.")
    parser.add_argument("--tokenizer", default="gpt-4o")
    parser.add_argument("--quick", action="store_true", help="smaller texts; writes nothing")
    options = parser.parse_args()
    require_valgrind()
    where = machine_with_peers(sys.executable)
    large = 1_000_000 if options.quick else 9_000_000
    results: dict[str, Any] = {}
    rows = []
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        path = cache_file(options.tokenizer, folder)
        for what, code, text, every, scale in (
            ("count_until(text, 100), English", COUNT_UNTIL, "english10.txt", 1, 1),
            ("count_until(text, 100), multilingual", COUNT_UNTIL, "multilingual10.txt", 1, 1),
            ("append of 100 characters, mixed", APPEND, "mixed10.txt", 2, 1),
            # Smaller: a cost that grows with the run would take hours under valgrind.
            ("append of one letter to a run of it", LETTERS, "mixed10.txt", 2, 10),
        ):
            sizes = [size // scale for size in (10_000, 100_000, large)]
            try:
                counted = between_marks(sys.executable, code, path, corpus(text), *sizes)[::every]
            except RuntimeError as err:
                results[what] = {"error": str(err)}
                print(f"{what}: {err}", file=sys.stderr)
                continue
            results[what] = dict(zip(map(str, sizes), counted, strict=True))
            print(f"{what}: {results[what]}", file=sys.stderr)
            figure = " -> ".join(f"{count:,}" for count in counted) + " instructions"
            claim = f"{what}: with {sizes[-1] / 1e6:.1f} MB over with {sizes[0] // 1000} kB"
            rows.append(Claim(claim, figure, round(counted[-1] / counted[0], 3), 1.1))
    finish("encode_incremental", rows, where, write=not options.quick, results=results)


if __name__ == "__main__":
    main()
