"""Training and counting: CPU, wall and memory of whole processes, beside gigabpe in the same run.

::

    python benchmarks/train_speed.py             # three rounds, 6 minutes on two quiet cores
    python benchmarks/train_speed.py --rounds 5
    python benchmarks/train_speed.py --all       # also gigatoken and Hugging Face on the 200 MB, minutes more

Each figure is the median of whole processes, interpreter start and imports included, run in turn (A B C A B C) on
pinned cores. gigabpe knows one byte-level split, GPT-2's, so it is what every pattern of ours is compared with; "gpt2"
is the like-for-like row. gigabpe and Hugging Face's ``train(files)`` take every line as a text of its own, we take the
file as one document: the identity check gives us lines too (and Hugging Face the whole text), and then demands the same
merges in the same order.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from _machine import Claim, Run, corpus, interleaved, machine, median, run, save

# All named patterns that cut words; qwen3 is the same regexes as qwen2.
PATTERNS = ("gpt2", "cl100k", "o200k", "llama3", "qwen2", "deepseek-v3", "finance", "whitespace")

OURS = """import sys, bytetok as bt
path, pattern, size, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
counts = bt.count_pretokens(bt.read_texts(path), pattern=pattern, threads=threads)
assert bt.train_bpe(counts, vocab_size=size).vocab_size == size"""

COUNT = """import sys, bytetok as bt
assert bt.count_pretokens(bt.read_texts(sys.argv[1]), pattern=sys.argv[2]).total > 0"""

# The modules that counting needs, and no text.
START = "import bytetok as bt; bt.count_pretokens, bt.read_texts"

PEERS = {
    "gigabpe": """import sys, gigabpe
vocab, merges = gigabpe.train_bpe([sys.argv[1]], int(sys.argv[3]), pretokenizer="bytelevel", threads=int(sys.argv[4]))
assert len(vocab) == int(sys.argv[3])""",
    "gigatoken": """import sys, gigatoken
gigatoken.train_bpe(sys.argv[1], int(sys.argv[3]), [], tie_breaking="huggingface")""",
    "tokenizers": """import sys
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.train([sys.argv[1]], trainers.BpeTrainer(vocab_size=int(sys.argv[3]), show_progress=False))
assert tokenizer.get_vocab_size() == int(sys.argv[3])""",
}

# As many tokens as bytes in the text: nearly all of gigabpe's time is then counting.
COUNT_ONLY = 300

Group = dict[str, list[Run]]


def train_group(names: Sequence[str], path: Path, size: int, threads: int, rounds: int) -> Group:
    """Train with each of ``names``, peers or patterns of ours, in turn."""
    print(f"{path.name}, {size:,} tokens, {threads} thread(s)", file=sys.stderr)
    jobs = {
        name: functools.partial(run, PEERS.get(name, OURS), path, name, size, threads, threads=threads)
        for name in names
    }
    return interleaved(jobs, rounds=rounds)


def count_group(path: Path, rounds: int) -> Group:
    """Count with each pattern and with gigabpe in turn; ``start`` is our process without text."""
    print(f"{path.name}, counting, 1 thread", file=sys.stderr)
    jobs = {
        "start": functools.partial(run, START),
        "gigabpe": functools.partial(run, PEERS["gigabpe"], path, "", COUNT_ONLY, 1),
    }
    jobs |= {name: functools.partial(run, COUNT, path, name) for name in PATTERNS}
    return interleaved(jobs, rounds=rounds)


def our_merges(texts: Any, size: int) -> list[tuple[bytes, bytes]]:
    """Merges of GPT-2's split with the options that gigabpe and Hugging Face have by default."""
    import bytetok as bt

    counts = bt.count_pretokens(texts, pattern="gpt2", threads=2)
    vocab = bt.train_bpe(counts, vocab_size=size, alphabet="seen", min_count=1).vocab
    return [(vocab.tokens[left], vocab.tokens[right]) for left, right in vocab.merges]


def spelled(merges: Sequence[Sequence[str]]) -> list[tuple[bytes, bytes]]:
    """Merges written in GPT-2's characters, as bytes."""
    from bytetok.tokenizer.bytelevel import to_bytes

    return [(to_bytes(left), to_bytes(right)) for left, right in merges]


def hugging_face_merges(path: Path, size: int, *, lines: bool) -> list[tuple[bytes, bytes]]:
    """Merges of Hugging Face from a file, line by line, or from its text as one document."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False)
    if lines:
        tokenizer.train([str(path)], trainer)
    else:
        tokenizer.train_from_iterator([path.read_bytes().decode()], trainer)
    return spelled(json.loads(tokenizer.to_str())["model"]["merges"])


def file_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file with their ends."""
    with path.open("rb") as file:
        yield from file


def identity(size: int) -> list[dict[str, Any]]:
    """Compare merge lists: with gigabpe on 200 MB, with Hugging Face on 10 MB by line and 2 MB whole."""
    import gigabpe

    import bytetok as bt

    large, middle, small = corpus("mixed200.txt"), corpus("mixed10.txt"), corpus("mixed2.txt")
    _, theirs = gigabpe.train_bpe([str(large)], size, pretokenizer="bytelevel", threads=2)
    cases = [
        (f"gigabpe, {large.name} by line", our_merges(file_lines(large), size), spelled(theirs)),
        (
            f"tokenizers, {middle.name} by line",
            our_merges(file_lines(middle), size),
            hugging_face_merges(middle, size, lines=True),
        ),
        (
            f"tokenizers, {small.name} as one document",
            our_merges(bt.read_texts(small), size),
            hugging_face_merges(small, size, lines=False),
        ),
    ]
    found = []
    for name, ours, other in cases:
        differ = next((i for i, pair in enumerate(zip(ours, other, strict=False)) if pair[0] != pair[1]), None)
        same = ours == other
        print(f"merges as {name}: {'identical' if same else f'differ from {differ}'}", file=sys.stderr)
        found.append({"with": name, "merges": len(ours), "identical": same, "first_difference": differ})
    return found


def claims(groups: Mapping[str, Group], size_mb: float, identical: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """The figures with bars, and the rows without one that put them in context."""
    result = []
    one = {name: median(runs) for name, runs in groups["1 thread, 32k"].items()}
    peer = one["gigabpe"]
    for name in PATTERNS:
        ours = one[name]
        figure = f"{ours.cpu:.2f} s : {peer.cpu:.2f} s"
        result.append(Claim(f"CPU, 200 MB, 32k, 1 thread, {name} : gigabpe", figure, ours.cpu / peer.cpu, 0.45))
    for name in PATTERNS:
        figure = f"{one[name].rss:.0f} MB : {peer.rss:.0f} MB"
        result.append(Claim(f"peak memory of that run, {name} : gigabpe", figure, one[name].rss / peer.rss, 1.0))
    for key in ("2 threads, 32k", "2 threads, 128k"):
        two = {name: median(runs) for name, runs in groups[key].items()}
        for name in ("gpt2", "o200k"):
            ours, other = two[name], two["gigabpe"]
            figure = f"{ours.wall:.2f} s : {other.wall:.2f} s"
            result.append(Claim(f"wall, 200 MB, {key}, {name} : gigabpe", figure, ours.wall / other.wall, 0.45))
            figure = f"{ours.rss:.0f} MB : {other.rss:.0f} MB"
            result.append(Claim(f"peak memory of that run, {name} : gigabpe", figure, ours.rss / other.rss, 1.0))
    counted = {name: median(runs) for name, runs in groups["counting"].items()}
    start = counted["start"].cpu
    for name in PATTERNS:
        speed = size_mb / (counted[name].cpu - start)
        best = size_mb / (min(one.cpu for one in groups["counting"][name]) - start)
        figure = f"{size_mb:.1f} MB in {counted[name].cpu:.2f} s less {start:.2f} s of start; best run {best:.0f}"
        result.append(Claim(f"counting alone, MB per CPU second, {name}", figure, speed, 150, at_least=True))
    figure = f"{counted['gpt2'].cpu:.2f} s : {counted['gigabpe'].cpu:.2f} s"
    what = f"CPU of counting, gpt2 : gigabpe with {COUNT_ONLY} tokens"
    result.append(Claim(what, figure, counted["gpt2"].cpu / counted["gigabpe"].cpu))
    small = {name: median(runs) for name, runs in groups["10 MB"].items()}
    figure = f"{small['gpt2'].cpu:.2f} s : {small['tokenizers'].cpu:.2f} s"
    what = "CPU, 10 MB, 32k, 2 threads, gpt2 : Hugging Face"
    result.append(Claim(what, figure, small["gpt2"].cpu / small["tokenizers"].cpu))
    same = sum(case["identical"] for case in identical)
    what = "merge lists identical with gigabpe (200 MB) and Hugging Face (10 MB by line, 2 MB whole), 32k"
    result.append(Claim(what, f"{same} of {len(identical)}", same, len(identical), at_least=True))
    return result


def main() -> None:
    """Measure, compare, print and save."""
    parser = argparse.ArgumentParser(description="Training and counting speed and memory, beside gigabpe.")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each process; the median counts")
    parser.add_argument("--all", action="store_true", help="also gigatoken and Hugging Face on the 200 MB, one run")
    options = parser.parse_args()
    where = machine("gigabpe", "gigatoken", "tokenizers", "numpy", "pyarrow")
    path, small = corpus("mixed200.txt"), corpus("mixed10.txt")
    rounds = options.rounds
    groups = {
        "1 thread, 32k": train_group(["gigabpe", *PATTERNS], path, 32_000, 1, rounds),
        "2 threads, 32k": train_group(["gigabpe", "gpt2", "o200k"], path, 32_000, 2, rounds),
        "2 threads, 128k": train_group(["gigabpe", "gpt2", "o200k"], path, 128_000, 2, rounds),
        "counting": count_group(path, rounds),
        "10 MB": train_group(["tokenizers", "gigabpe", "gpt2"], small, 32_000, 2, 1),
    }
    if options.all:
        groups["200 MB, all peers, 2 threads"] = train_group([*PEERS, "gpt2"], path, 32_000, 2, 1)
    identical = identity(32_000)
    save(
        "train_speed",
        claims(groups, path.stat().st_size / 1e6, identical),
        where,
        corpus={"name": path.name, "bytes": path.stat().st_size},
        rounds=rounds,
        identity=identical,
        runs={
            key: {name: [vars(one) for one in runs] for name, runs in group.items()} for key, group in groups.items()
        },
    )


if __name__ == "__main__":
    main()
