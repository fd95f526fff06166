"""Encoding speed on documents and on short and long texts, as numpy ids and as lists, first pass and later passes.

::

    python benchmarks/encode_speed.py --peers ~/peers/bin/python     # 12 minutes
    python benchmarks/encode_speed.py --quick                        # half a minute, saves nothing
    python benchmarks/encode_speed.py --encodings cl100k --texts english --calls numpy --sizes 8192

MB (1e6 bytes of UTF-8) per CPU second on one pinned core. *Cold* is the first pass of a fresh process over the text:
loading is not in it, but all that a library builds when it is first used is. *Warm* is the median of later passes over
the same text, which flatters whatever remembers pieces of text. Libraries are measured in turn. Like is compared with
like: calls that give numpy arrays with each other, one text a call or all in one call, and calls that give
``list[int]``. About 250 texts of each kind are compared with tiktoken's ids in every library.
"""

from __future__ import annotations

import argparse
import tempfile

from _encoding import (
    Measured,
    Texts,
    against_best,
    exactness,
    finish,
    machine_with_peers,
    measure,
    offered,
    openai_files,
    parser,
    plain,
)
from _machine import Claim, corpus

ENCODINGS = ("cl100k", "o200k")
TEXTS = ("english", "code", "multilingual")
SIZES = (20, 200, 8192, 1_000_000)
NUMPY = ("bytetok", "gigatoken", "tuetoken", "iree", "splintr")
LISTS = (
    "bytetok", "gigatoken", "fastokens", "snaptokens", "quicktok", "splintr", "tuetoken", "iree", "rs-bpe", "tiktoken",
    "kitoken", "tokenizers",
)  # fmt: skip
CALLS = {
    "numpy": NUMPY,
    "batch_numpy": (*NUMPY, "fastokens", "snaptokens", "quicktok"),
    "list": LISTS,
    "batch_list": LISTS,
    "count": ("bytetok", "toktok", "quicktok", "tuetoken", "rs-bpe"),
}
MEANING = {
    "numpy": "numpy ids",
    "batch_numpy": "numpy ids, one call",
    "list": "list[int]",
    "batch_list": "list[int], one call",
    "count": "counting",
}

Key = tuple[str, str, int, str]


def cases(options: argparse.Namespace) -> list[Key]:
    """Every encoding, text, size and call to measure: all of them at 8 KB, a part of them at other sizes."""
    found = []
    for size in options.sizes:
        whole = size == 8192
        for encoding in options.encodings if whole else options.encodings[:1]:
            for text in options.texts if whole else [one for one in options.texts if one != "code"]:
                for call in options.calls:
                    if whole or call in ("numpy", "list"):
                        found.append((encoding, text, size, call))
    return found


def claims(results: dict[Key, dict[str, Measured]]) -> list[Claim]:
    """The figures with bars first, then the other sizes and calls."""
    rows: list[Claim] = []
    for (encoding, text, size, call), found in results.items():
        where = f"{encoding}, {text}, {named(size)}, {MEANING[call]}"
        main = size == 8192
        if call in ("numpy", "batch_numpy"):
            for which, bar in (("cold", 1.3), ("warm", 1.1)):
                what = f"{where}, {which} : gigatoken"
                rows += against_best(found, which, what, bar if main else None, peer="gigatoken")
        for which in ("cold", "warm"):
            twice = 2.0 if main and which == "warm" and call in ("list", "batch_list") else None
            rows += against_best(found, which, f"{where}, {which} : best peer", twice)
    rows.sort(key=lambda row: row.bar is None)
    return rows


def named(size: int) -> str:
    """A size as people say it."""
    return {20: "20 B", 200: "200 B", 8192: "8 KB", 1_000_000: "1 MB"}.get(size, f"{size} B")


def main() -> None:
    """Measure, compare, print and save."""
    arguments = parser("Encoding speed beside other libraries.", rounds=3)
    arguments.add_argument("--encodings", nargs="+", default=ENCODINGS, choices=ENCODINGS)
    arguments.add_argument("--texts", nargs="+", default=TEXTS, choices=TEXTS)
    arguments.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="BYTES")
    arguments.add_argument("--calls", nargs="+", default=tuple(CALLS), choices=tuple(CALLS))
    arguments.add_argument("--mb", type=float, default=10, help="MB of each text; 10 and less from its sample")
    arguments.add_argument("--warm", type=int, default=5, help="passes of each process after the first")
    arguments.add_argument("--save", action="store_true", help="write the results of a part as well")
    options = arguments.parse_args()
    where = machine_with_peers(options.peers)
    if options.quick:
        options.rounds, options.warm, options.mb = 1, 2, 1
    results: dict[Key, dict[str, Measured]] = {}
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        files = {encoding: openai_files(encoding, folder) for encoding in options.encodings}
        for key in cases(options):
            encoding, text, size, call = key
            path = corpus(f"{text}10.txt" if options.mb <= 10 else f"{text}.txt")
            limit = int(1e6 * min(options.mb, 2 if size < 200 else 4 if size < 8192 else options.mb))
            results[key] = measure(
                options.peers,
                offered(where, CALLS[call], options.libraries),
                files[encoding],
                Texts(path, size, limit, lines=size >= 8192),
                call,
                rounds=options.rounds,
                warm=options.warm,
                reference="tiktoken",
                label=f"{encoding}, {text}, {named(size)}, {MEANING[call]}",
            )
    rows = [*claims(results), exactness(results.values())]
    whole = set(cases(options)) == set(cases(arguments.parse_args([]))) and not options.libraries and options.mb == 10
    finish(
        "encode_speed",
        rows,
        where,
        write=options.save or whole,
        rounds=options.rounds,
        speeds=[
            {
                "encoding": encoding,
                "text": text,
                "bytes": size,
                "call": call,
                "libraries": plain(found),
            }
            for (encoding, text, size, call), found in results.items()
        ],
    )


if __name__ == "__main__":
    main()
