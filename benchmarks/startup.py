"""Start-up: what ``import bytetok``, the command line and the first encoded words cost, in fresh processes.

::

    python benchmarks/startup.py                    # 15 rounds, half a minute
    python benchmarks/startup.py --tokenizer vocab/finance-32k

Medians over rounds in turn, on one pinned core; the time of a bare interpreter is subtracted. tiktoken loads the same
rank file of gpt-4 and encodes the same two words. The check for torch does not rely on torch being absent: it listens
for any attempt to import it, while every public name of the package is used.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

from _machine import ROOT, Claim, Run, interleaved, machine, median, run, save

TWO_WORDS = "plaintiff dividends"

BARE = "pass"
IMPORT = "import bytetok"
EVERYTHING = "import bytetok\nfor name in bytetok.__all__: getattr(bytetok, name)"
HELP = "import sys; sys.argv[1:] = ['--help']; import runpy; runpy.run_module('bytetok', run_name='__main__')"
ENCODE = "import sys, bytetok; assert bytetok.Tokenizer.load(sys.argv[1]).encode(sys.argv[2])"
TIKTOKEN = """import sys, tiktoken, tiktoken.load
ranks = tiktoken.load.load_tiktoken_bpe(sys.argv[1])
encoding = tiktoken.Encoding("cl100k", pat_str=sys.argv[3], mergeable_ranks=ranks, special_tokens={})
assert encoding.encode_ordinary(sys.argv[2])"""

LISTEN = """import sys
class Listener:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"): sys.exit(f"{name} was imported")
sys.meta_path.insert(0, Listener())
"""

SAVE_SMALL = """import sys, bytetok as bt
counts = bt.count_pretokens(bt.read_texts(sys.argv[1]), pattern="o200k")
bt.train_bpe(counts, vocab_size=32_768).save(sys.argv[2])"""


def tries_torch(code: str) -> str:
    """What ``code`` tried to import of torch and transformers, "" for nothing."""
    done = subprocess.run([sys.executable, "-c", LISTEN + code], capture_output=True, text=True, check=False)
    if done.returncode and "was imported" not in done.stderr:
        sys.exit(f"a checked process failed: {done.stderr[-300:]}")
    return done.stderr.strip()


def rank_file() -> tuple[str, str] | None:
    """The rank file of gpt-4 with its split regex, for tiktoken; asked of a child, so that this process stays small."""
    code = (
        "from bytetok.tokenizer.references import reference_file; from bytetok import SplitPattern\n"
        "path = str(reference_file('gpt-4')); assert path.endswith('.tiktoken'), path\n"
        "print(path); print(SplitPattern.of('cl100k').stages[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        print("left out: gpt-4 is not here as a rank file; see benchmarks/fetch.py references", file=sys.stderr)
        return None
    path, _, pattern = done.stdout.rstrip("\n").partition("\n")
    return path, pattern


def main() -> None:
    """Measure, check, print and save."""
    parser = argparse.ArgumentParser(description="Start-up time of bytetok.")
    parser.add_argument("--rounds", type=int, default=15, help="runs of each process; the median counts")
    parser.add_argument("--tokenizer", help="folder to load; default: 32,768 tokens trained on vocab/corpora")
    options = parser.parse_args()
    where = machine("numpy", "typer", "tiktoken")
    with tempfile.TemporaryDirectory() as folder:
        if options.tokenizer is None:
            run(SAVE_SMALL, Path(ROOT, "vocab/corpora/legal-train.jsonl.zst"), folder)
        jobs = {
            "bare python": functools.partial(run, BARE),
            "import bytetok": functools.partial(run, IMPORT),
            "every public name": functools.partial(run, EVERYTHING),
            "bytetok --help": functools.partial(run, HELP),
            "load 32k, two words": functools.partial(run, ENCODE, options.tokenizer or folder, TWO_WORDS),
        }
        if gpt4 := rank_file():
            jobs["load gpt-4, two words"] = functools.partial(run, ENCODE, "gpt-4", TWO_WORDS)
            jobs["tiktoken: load gpt-4, two words"] = functools.partial(run, TIKTOKEN, gpt4[0], TWO_WORDS, gpt4[1])
        runs = interleaved(jobs, rounds=options.rounds)
    middle = {name: median(one) for name, one in runs.items()}
    bare = middle.pop("bare python")

    def figure(one: Run) -> str:
        cpu = 1000 * (one.cpu - bare.cpu)
        return f"wall {1000 * (one.wall - bare.wall):.0f} ms, CPU {cpu:.0f} ms over bare python, peak {one.rss:.0f} MB"

    claims = [
        Claim(f"{name}, wall ms", figure(one), 1000 * (one.wall - bare.wall), 150 if name == "import bytetok" else None)
        for name, one in middle.items()
    ]
    tried = {name: tries_torch(code) for name, code in (("import", IMPORT), ("names", EVERYTHING), ("help", HELP))}
    claims.append(Claim(
        "attempts to import torch or transformers, by import, all public names and --help",
        "; ".join(filter(None, tried.values())) or "none",
        sum(bool(one) for one in tried.values()),
        0,
    ))
    save(
        "startup",
        claims,
        where,
        rounds=options.rounds,
        runs={name: [vars(one) for one in many] for name, many in runs.items()},
    )


if __name__ == "__main__":
    main()
