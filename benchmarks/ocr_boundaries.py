"""Token boundaries under reading errors: the char recipes beside KL3M's character tokenizers, GPT-2 and GPT-4o.

::

    python benchmarks/ocr_boundaries.py                # needs corpora.py domains, mixed; fetch.py references
    python benchmarks/ocr_boundaries.py --lines 2000 --out /dev/null

Our vocabularies are trained here, on the training side of finance and legal only, and measured on lines of held-out
filings, of held-out licenses, and of English documentation and dictionaries, a kind of text that they have not seen.
Per seed, lines are drawn and each gets one error:

- *misread*: one character becomes one that looks like it (``bytetok.training.ocr``): the metric of the claim;
- *lost*, *added*: a letter or digit is dropped, or an "i" slips in before it. These shift the text, so the ends of the
  damaged line are moved back before they are compared. They are what cuts by place are bad at, so they are shown too.

``changed`` is the number of token ends gained or lost per error. Read it beside the tokens: fewer, longer tokens have
fewer ends to move.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from corpora import corpora_dir
from fetch import sha256

import bytetok
from bytetok import Tokenizer, read_texts
from bytetok.tokenizer.patterns import UNICODE_VERSION
from bytetok.training.build import train
from bytetok.training.ocr import LineSample, boundary_consistency

TRAINING = ("finance/train.jsonl.zst", "legal/train.jsonl.zst")
HELD_OUT = {"finance": "finance/heldout.jsonl.zst", "legal": "legal/heldout.jsonl.zst", "general": "english10.txt"}
SIZES = ("4k", "8k", "16k")
GENERAL_PEERS = ("gpt-4o", "gpt2")


def kl3m(size: str) -> str:
    """The reference name of KL3M's character tokenizer of a size."""
    return f"kl3m-004-char-{size}-cased"


def ours(training: Sequence[str]) -> dict[str, Tokenizer]:
    """The char recipes, and each with the split pattern of GPT-2 and KL3M, to show what the cuts by place do."""
    made: dict[str, Tokenizer] = {}
    for size in SIZES:
        name = f"char-{size}"
        made[name] = train(training, recipe=name, threads=2)
        made[f"{name}, gpt2 pattern"] = train(training, recipe=name, pattern="gpt2", threads=2)
    return made


def draw(path: Path, count: int, seed: int) -> list[str]:
    """Lines with at least one character that can be misread."""
    sample = LineSample(count, seed=seed)
    for text in read_texts(path):
        sample.add(text)
    return sample.lines()


def shifting(lines: Iterable[str], seed: int) -> list[tuple[str, int]]:
    """ASCII lines, each with the place of the letter or digit that an error shifts.

    ASCII only, because the KL3M tokenizers normalize text (NFKC) and their offsets are those of the result.
    """
    rng = random.Random(seed)
    places = ((line, [i for i, c in enumerate(line) if c.isalnum()]) for line in lines if line.isascii())
    return [(line, rng.choice(where)) for line, where in places if where]


def shifted_ends(tokenizer: Tokenizer, cases: Sequence[tuple[str, int]], *, lost: bool) -> int:
    """Token ends gained or lost, summed over lines with one lost or one added character."""
    clean = tokenizer.encode_batch([line for line, _ in cases], threads=2, special="text")
    damaged_lines = [line[:at] + ("" if lost else "i") + line[at + lost :] for line, at in cases]
    damaged = tokenizer.encode_batch(damaged_lines, threads=2, special="text")
    changed = 0
    for (_, at), a, b in zip(cases, clean, damaged, strict=True):
        ends_a = {end for _, end in tokenizer.spans(a)}
        ends_b = {end for _, end in tokenizer.spans(b)}
        # The character that only the longer text has counts as no place: both its edges are the same one.
        if lost:
            ends_a = {end - (end > at) for end in ends_a}
        else:
            ends_b = {end - (end > at) for end in ends_b}
        changed += len(ends_a ^ ends_b)
    return changed


def measure(tokenizer: Tokenizer, lines: list[str], seed: int) -> dict[str, int]:
    """Raw counts of one tokenizer on one sample of lines."""
    misread = boundary_consistency(tokenizer, lines, seed=seed, threads=2)
    if misread is None:
        sys.exit("no line with a character that can be misread")
    cases = shifting(lines, seed)
    return {
        "lines": misread.lines,
        "tokens": misread.clean,
        "damaged_tokens": misread.damaged,
        "shared_ends": misread.shared,
        "errors": misread.errors,
        "changed": misread.changed,
        "shift_errors": len(cases),
        "changed_lost": shifted_ends(tokenizer, cases, lost=True),
        "changed_added": shifted_ends(tokenizer, cases, lost=False),
    }


def summary(runs: Sequence[dict[str, int]]) -> dict[str, Any]:
    """Raw counts over the seeds, their ratios, and the spread of the ratios between seeds."""
    total = {key: sum(run[key] for run in runs) for key in runs[0]}
    per_error = [run["changed"] / run["errors"] for run in runs]
    shared = total["shared_ends"]
    return {
        "counts": total,
        "tokens_per_line": total["tokens"] / total["lines"],
        "changed_per_error": total["changed"] / total["errors"],
        "changed_per_error_by_seed": per_error,
        "changed_per_error_stdev": statistics.stdev(per_error) if len(per_error) > 1 else None,
        "jaccard": shared / (total["tokens"] + total["damaged_tokens"] - shared),
        "share_of_clean": total["changed"] / total["tokens"],
        "changed_per_lost": total["changed_lost"] / total["shift_errors"],
        "changed_per_added": total["changed_added"] / total["shift_errors"],
    }


def compare(results: dict[str, dict[str, Any]]) -> None:
    """Add to each of our rows the ratios to KL3M's tokenizer of the same size, on the same lines."""
    for name, by_text in results.items():
        if not name.startswith("char-"):
            continue
        peer = results[kl3m(name.split(",")[0].removeprefix("char-"))]
        for text, row in by_text.items():
            other = peer[text]
            row["tokens_ratio_to_kl3m"] = row["counts"]["tokens"] / other["counts"]["tokens"]
            row["changed_ratio_to_kl3m"] = row["changed_per_error"] / other["changed_per_error"]


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results in Markdown: tokens per line (and the ratio to KL3M's), changed ends per kind of error."""
    texts = list(HELD_OUT)
    lines = ["| tokenizer | " + " | ".join(f"{text}: tokens/line | misread | lost | added" for text in texts) + " |"]
    lines.append("|---" * (1 + 4 * len(texts)) + "|")
    for name, by_text in results.items():
        cells = [name]
        for text in texts:
            row = by_text[text]
            ratio = f" ({row['tokens_ratio_to_kl3m']:.3f})" if "tokens_ratio_to_kl3m" in row else ""
            cells.append(f"{row['tokens_per_line']:.2f}{ratio}")
            cells += [f"{row[key]:.3f}" for key in ("changed_per_error", "changed_per_lost", "changed_per_added")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train, measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000, help="lines drawn per text and seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    default_out = Path(__file__).resolve().parent / "results" / "ocr_boundaries.json"
    parser.add_argument("--out", type=Path, default=default_out)
    args = parser.parse_args()

    started = time.time()
    folder = corpora_dir()
    tokenizers = ours([text for name in TRAINING for text in read_texts(folder / name)])
    tokenizers |= {name: Tokenizer.load(name) for name in (*map(kl3m, SIZES), *GENERAL_PEERS)}
    runs: dict[str, dict[str, list[dict[str, int]]]] = {name: {} for name in tokenizers}
    for text, file in HELD_OUT.items():
        for seed in args.seeds:
            lines = draw(folder / file, args.lines, seed)
            for name, tokenizer in tokenizers.items():
                runs[name].setdefault(text, []).append(measure(tokenizer, lines, seed))
            print(f"{text}, seed {seed}: {len(lines)} lines, {time.time() - started:.0f} s", file=sys.stderr)
    results = {name: {text: summary(found) for text, found in by_text.items()} for name, by_text in runs.items()}
    compare(results)
    report = {
        "benchmark": "ocr_boundaries",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "seeds": args.seeds,
        "lines_per_text_and_seed": args.lines,
        "versions": {
            "bytetok": bytetok.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "unicode": UNICODE_VERSION,
        },
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "training": {name: sha256(folder / name) for name in TRAINING},
        "held_out": {name: {"file": file, "sha256": sha256(folder / file)} for name, file in HELD_OUT.items()},
        "patterns": {f"char-{size}": list(tokenizers[f"char-{size}"].pattern.stages) for size in SIZES},
        "results": results,
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
