"""A fresh process that imports a library, loads cl100k and encodes two words: CPU over a bare interpreter.

::

    python benchmarks/encode_startup.py --peers ~/peers/bin/python     # 2 minutes
    python benchmarks/encode_startup.py --quick                        # writes nothing

User and system CPU seconds of whole processes on one pinned core, the median of the rounds, in turn; those of the same
interpreter running ``pass`` are subtracted. The first round, which may have to compile modules and read files for the
first time, is not counted. Libraries that carry the vocabulary load it from themselves, the others from a rank file or
a tokenizer.json on disk. Ours is loaded from its own cache file, and from the rank file.
"""

from __future__ import annotations

import statistics
import sys
import tempfile

from _encoding import cache_file, finish, machine_with_peers, offered, openai_files, parser, run_process
from _machine import Claim

WORDS = "plaintiff dividends"

BARE = "pass"
OURS = "import sys, bytetok; assert bytetok.Tokenizer.load(sys.argv[1]).encode(sys.argv[2])"
# sys.argv: the file, the words, the name of the encoding.
PEERS = {
    "splintr": (
        "ranks",
        "import sys, splintr; t = splintr.Tokenizer(sys.argv[1], splintr.CL100K_BASE_PATTERN); "
        "assert t.encode_ordinary(sys.argv[2])",
    ),
    "rs-bpe": ("none", "import sys\nfrom rs_bpe import openai\nassert openai.cl100k_base().encode(sys.argv[2])"),
    "kitoken": (
        "ranks",
        "import sys\nfrom kitoken import Kitoken\nassert Kitoken.from_tiktoken_file(sys.argv[1]).encode(sys.argv[2])",
    ),
    "gigatoken": (
        "ranks",
        "import sys, gigatoken\nassert len(gigatoken.Tokenizer.from_tiktoken(sys.argv[1]).encode(sys.argv[2]))",
    ),
    "toktok": ("none", "import sys, toktok\nassert toktok.batch_count([sys.argv[2]], sys.argv[3])"),
    "quicktok": (
        "none",
        "import sys, quicktok\nassert quicktok.get_encoding(sys.argv[3]).encode_ordinary(sys.argv[2])",
    ),
    "tiktoken": (
        "ranks",
        "import sys, tiktoken\nfrom tiktoken.load import load_tiktoken_bpe\nfrom tiktoken_ext import openai_public\n"
        "openai_public.load_tiktoken_bpe = lambda *_, **__: load_tiktoken_bpe(sys.argv[1])\n"
        "assert tiktoken.Encoding(**openai_public.cl100k_base()).encode_ordinary(sys.argv[2])",
    ),
    "iree": (
        "ranks",
        "import sys\nfrom iree.tokenizer import Tokenizer\n"
        "assert Tokenizer.from_tiktoken(sys.argv[1], sys.argv[3]).encode(sys.argv[2])",
    ),
    "tuetoken": ("json", "import sys, tuetoken\nassert tuetoken.Tokenizer(sys.argv[1]).encode_ordinary(sys.argv[2])"),
    "tokenizers": (
        "json",
        "import sys\nfrom tokenizers import Tokenizer\nassert Tokenizer.from_file(sys.argv[1]).encode(sys.argv[2]).ids",
    ),
    "snaptokens": (
        "json",
        "import sys, snaptokens\nassert snaptokens.Tokenizer.from_file(sys.argv[1]).encode(sys.argv[2]).ids",
    ),
    "fastokens": (
        "ranks",
        "import sys\nfrom fastokens import Tokenizer\n"
        "assert Tokenizer.from_tiktoken(sys.argv[1], encoding=sys.argv[3]).encode(sys.argv[2]).ids",
    ),
}


def main() -> None:
    """Measure, compare, print and save."""
    options = parser("Process start, loading cl100k and two words.", rounds=15).parse_args()
    where = machine_with_peers(options.peers)
    rounds = 3 if options.quick else options.rounds
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    errors: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        files = openai_files("cl100k", folder)
        cache = cache_file(files.ranks, folder)
        paths = {"ranks": files.ranks, "json": files.json, "none": ""}
        jobs: dict[str, tuple[str, object]] = {"bare python": (BARE, "")}
        jobs |= {"bytetok, its cache": (OURS, cache), "bytetok, rank file": (OURS, files.ranks)}
        there = offered(where, PEERS, options.libraries)
        jobs |= {name: (PEERS[name][1], paths[PEERS[name][0]]) for name in there}
        for number in range(rounds + 1):
            for name, (code, path) in jobs.items():
                if name in errors:
                    continue
                try:
                    one, _ = run_process(options.peers, code, path, WORDS, files.encoding)
                except RuntimeError as err:
                    errors[name] = str(err)
                    print(f"{name}: {err}", file=sys.stderr)
                    continue
                if number:
                    seconds.setdefault(name, []).append(round(one.cpu, 4))
                    peaks[name] = round(one.rss, 1)
    bare = statistics.median(seconds.pop("bare python"))
    over = {name: statistics.median(many) - bare for name, many in seconds.items()}
    for name, value in sorted(over.items(), key=lambda one: one[1]):
        print(f"{name:<20} {1000 * value:7.1f} ms over bare python, peak {peaks[name]:.0f} MB", file=sys.stderr)
    finish(
        "encode_startup",
        claims(over, bare, peaks),
        where,
        write=not (options.quick or options.libraries),
        rounds=rounds,
        bare_seconds=bare,
        seconds=seconds,
        peak_mb=peaks,
        errors=errors,
    )


def claims(over: dict[str, float], bare: float, peaks: dict[str, float]) -> list[Claim]:
    """Ours over the best peer, and what everybody takes."""
    ours = {name: value for name, value in over.items() if name.startswith("bytetok")}
    peers = {name: value for name, value in over.items() if name not in ours}
    rows = []
    if peers:
        best = min(peers, key=lambda name: peers[name])
        for name, value in ours.items():
            figure = f"{1000 * value:.1f} : {best} {1000 * peers[best]:.1f} ms, bare python {1000 * bare:.1f}"
            bar = 0.5 if name.endswith("cache") else None
            rows.append(Claim(f"start, cl100k, two words, CPU, {name} : best peer", figure, value / peers[best], bar))
    for name, value in sorted(peers.items(), key=lambda one: one[1]):
        figure = f"peak {peaks[name]:.0f} MB"
        rows.append(Claim(f"start, cl100k, two words, CPU ms over bare python, {name}", figure, 1000 * value))
    return rows


if __name__ == "__main__":
    main()
