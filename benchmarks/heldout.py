"""Compression of held-out text: domain tokenizers trained here, or those in vocab/, beside published ones.

::

    python benchmarks/heldout.py             # trains on finance and legal, needs corpora.py domains; a minute
    python benchmarks/heldout.py --vocab     # measures the folders in vocab/ as well

The training side and the held-out side share no company (finance) and no family of like texts (legal); see README.md.
General text is measured to show what a domain vocabulary costs elsewhere. "Fewer" is ``1 - tokens / gpt-4o's tokens``.
The same figure on the training text is shown too: the distance is what a vocabulary memorized.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _machine import ROOT, Claim, corpus, machine, save

import bytetok as bt
from bytetok.training.build import train
from bytetok.training.encoding import encode_texts
from bytetok.training.metrics import fewer
from bytetok.training.reachability import find_unreachable

BASELINE = "gpt-4o"
PEERS = (BASELINE, "gpt-4", "llama3", "qwen3", "gemma3", "kl3m-003-64k", "kl3m-001-32k")
CORPORA = ("finance", "legal", "general")
SPECIAL = ("<|endoftext|>",)


@dataclass(frozen=True)
class Made:
    """A tokenizer to train: on which corpus, how, and the bar for its held-out figure (share fewer than gpt-4o)."""

    name: str
    corpus: str
    vocab_size: int
    pattern: str
    superwords: float = 0.0
    bar: float | None = None

    def train(self) -> bt.Tokenizer:
        """Train it on the training side of its corpus."""
        return train(
            bt.read_texts(corpus(f"{self.corpus}/train.jsonl.zst")),
            threads=2,
            name=self.name,
            vocab_size=self.vocab_size,
            pattern=self.pattern,
            superwords=self.superwords,
            special_tokens=SPECIAL,
        )


MADE = (
    Made("finance-32k, o200k pattern", "finance", 32_768, "o200k"),
    Made("finance-32k", "finance", 32_768, "finance", bar=0.02),
    Made("finance-32k superwords", "finance", 32_768, "finance", 0.5, bar=0.22),
    Made("finance-64k superwords", "finance", 65_536, "finance", 0.5, bar=0.30),
    Made("legal-32k", "legal", 32_768, "o200k"),
    Made("legal-32k superwords", "legal", 32_768, "o200k", 0.5),
)


def documents(name: str, side: str) -> list[str]:
    """All documents of one side of a corpus."""
    return [str(text) for text in bt.read_texts(corpus(f"{name}/{side}.jsonl.zst"))]


def count(tokenizer: Any, texts: Sequence[str], seen: set[int] | None = None) -> int:
    """Tokens of all texts, without what a template adds; their ids go to ``seen``."""
    total = 0
    for ids in encode_texts(tokenizer, texts, threads=2):
        total += len(ids)
        if seen is not None:
            seen.update(ids)
    return total


def references() -> dict[str, Any]:
    """The published tokenizers that are on this machine."""
    found = {}
    for name in PEERS:
        try:
            found[name] = bt.Tokenizer.load(name)
        except bt.BytetokError as err:
            print(f"left out: {err}", file=sys.stderr)
    if BASELINE not in found:
        sys.exit(f"{BASELINE} is what all are compared with; fetch it with benchmarks/fetch.py references")
    return found


def shipped() -> dict[str, Any]:
    """The tokenizers in vocab/, by folder."""
    folders = sorted(path.parent for path in Path(ROOT, "vocab").glob("*/tokenizer.json"))
    if not folders:
        sys.exit("vocab/ holds no tokenizer; build them with make vocab")
    return {f"vocab/{folder.name}": bt.Tokenizer.load(folder) for folder in folders}


def measure(tokenizers: dict[str, Any], held_out: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Tokens, bytes per token and the share fewer than the baseline, of each tokenizer on each held-out side."""
    sizes = {name: sum(len(text.encode()) for text in texts) for name, texts in held_out.items()}
    base = {name: count(tokenizers[BASELINE], texts) for name, texts in held_out.items()}
    result: dict[str, dict[str, Any]] = {}
    for label, tokenizer in tokenizers.items():
        row: dict[str, Any] = {"vocab_size": tokenizer.vocab_size}
        for name, texts in held_out.items():
            tokens = count(tokenizer, texts)
            row[name] = {
                "tokens": tokens,
                "bytes_per_token": sizes[name] / tokens,
                "fewer_than_gpt4o": fewer(tokens, base[name]),
            }
        print(f"  {label}: {row['finance']['tokens']:,} tokens of finance", file=sys.stderr)
        result[label] = row
    return result


def on_training_text(made: Made, tokenizer: bt.Tokenizer, gpt4o: Any) -> dict[str, Any]:
    """The same figures on the text that it was trained on, and the tokens that encoding never produces."""
    texts, seen = documents(made.corpus, "train"), set[int]()
    tokens, base = count(tokenizer, texts, seen), count(gpt4o, texts)
    reach = find_unreachable(tokenizer, seen=seen, threads=2)
    return {
        "corpus": made.corpus,
        "bytes": sum(len(text.encode()) for text in texts),
        "tokens": tokens,
        "gpt4o_tokens": base,
        "fewer_than_gpt4o": fewer(tokens, base),
        "unreachable": len(reach.unreachable) + len(reach.unreachable_added),
        "never_used_in_training_text": tokenizer.vocab_size - len(SPECIAL) - len(seen),
    }


def _percent(share: float) -> str:
    return f"{abs(100 * share):.1f} % {'fewer' if share >= 0 else 'more'}"


def claims(rows: dict[str, dict[str, Any]], training: dict[str, dict[str, Any]]) -> list[Claim]:
    """Percentages fewer than gpt-4o on the corpus that a tokenizer is for, with raw counts."""
    result = []
    for made in MADE:
        row, learned = rows[made.name][made.corpus], training[made.name]
        base = rows[BASELINE][made.corpus]["tokens"]
        figure = (
            f"{row['tokens']:,} : {base:,} tokens, {row['bytes_per_token']:.2f} B/token; on its training text "
            f"{_percent(learned['fewer_than_gpt4o'])}; {learned['unreachable']} unreachable; "
            f"on general text {_percent(rows[made.name]['general']['fewer_than_gpt4o'])}"
        )
        what = f"held-out {made.corpus}, {made.name}: % fewer than gpt-4o"
        bar = None if made.bar is None else 100 * made.bar
        result.append(Claim(what, figure, 100 * row["fewer_than_gpt4o"], bar, at_least=True))
    for label, row in rows.items():
        if any(label == made.name for made in MADE):
            continue
        figure = "; ".join(
            f"{name} {row[name]['tokens']:,} tokens, {row[name]['bytes_per_token']:.2f} B/token, "
            + _percent(row[name]["fewer_than_gpt4o"])
            for name in CORPORA
        )
        what = f"held-out finance, {label} ({row['vocab_size']:,} ids): % fewer than gpt-4o"
        result.append(Claim(what, figure, 100 * row["finance"]["fewer_than_gpt4o"]))
    return result


def main() -> None:
    """Train, measure, print and save."""
    parser = argparse.ArgumentParser(description="Tokens of held-out text, beside published tokenizers.")
    parser.add_argument("--vocab", action="store_true", help="also measure the tokenizers in vocab/")
    options = parser.parse_args()
    where = machine("tokenizers", "numpy", "pyarrow")
    peers = references()
    trained = {made.name: made.train() for made in MADE}
    tokenizers = {**peers, **trained, **(shipped() if options.vocab else {})}
    rows = measure(tokenizers, {name: documents(name, "heldout") for name in CORPORA})
    training = {made.name: on_training_text(made, trained[made.name], peers[BASELINE]) for made in MADE}
    save(
        "heldout",
        claims(rows, training),
        where,
        trained=[asdict(made) for made in MADE],
        held_out=rows,
        training_text=training,
    )


if __name__ == "__main__":
    main()
