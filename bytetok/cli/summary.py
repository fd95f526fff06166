"""What is said about a tokenizer that has just been made."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bytetok.cli.terminal import say_json, say_values, size_words, time_words

if TYPE_CHECKING:
    from bytetok.tokenizer.tokenizer import Tokenizer
    from bytetok.training.corpus import Texts
    from bytetok.training.counts import PretokenCounts

_FILES = ("tokenizer.json", "tokenizer_config.json", "bytetok.json")
_SAMPLE_BYTES = 4 << 20
_SAMPLE_SOURCES = 16
_SAMPLE_PRETOKENS = 200_000


@dataclass(frozen=True)
class Compactness:
    """How many bytes a token stands for, on ``where``."""

    bytes: int
    tokens: int
    where: str

    @property
    def bytes_per_token(self) -> float:
        """Bytes divided by tokens."""
        return self.bytes / self.tokens


def on_texts(tokenizer: Tokenizer, texts: Texts) -> Compactness | None:
    """Measured on the beginnings of some files of the corpus; None where it cannot be read again."""
    from bytetok.training.corpus import Texts

    if texts.one_shot or not texts.sources:
        return None
    step = -(-len(texts.sources) // _SAMPLE_SOURCES)
    sources = texts.sources[::step]
    share = _SAMPLE_BYTES // len(sources)
    size = tokens = 0
    for source in sources:
        one = Texts([source], column=texts.column, errors=texts.errors, on_error=texts.on_error)
        read = 0
        for _, chunk, _ in one.chunks():  # never a whole document, which may be of any size
            tokens += tokenizer.count(chunk[: share - read], special="text")
            read += len(chunk[: share - read])
            if read >= share:
                break
        size += read
    return Compactness(size, tokens, f"{size_words(size)} of the training text") if tokens else None


def on_counts(tokenizer: Tokenizer, counts: PretokenCounts) -> Compactness | None:
    """Measured on counted pretokens, each on its own; a tokenizer with superwords does better on text."""
    step = -(-len(counts) // _SAMPLE_PRETOKENS) or 1
    size = tokens = 0
    sampled = itertools.islice(counts.items(), 0, None, step)
    while part := list(itertools.islice(sampled, 10_000)):
        pretokens, numbers = zip(*part, strict=True)
        lengths = map(len, tokenizer.encode_batch(pretokens, special="text"))
        tokens += sum(length * number for length, number in zip(lengths, numbers, strict=True))
        size += sum(len(pretoken) * number for pretoken, number in part)
    return Compactness(size, tokens, "the counted pretokens") if tokens else None


def report_tokenizer(
    tokenizer: Tokenizer,
    output: str,
    seconds: float,
    *,
    as_json: bool,
    measured: Compactness | None = None,
    more: dict[str, Any] | None = None,
) -> None:
    """Say where a tokenizer was saved and what is in it; ``more`` are further values for JSON."""
    special = len(tokenizer.vocab.special_tokens)
    domain = len(tokenizer.vocab.added_tokens) - special
    if as_json:
        values: dict[str, Any] = {
            "output": output,
            "vocab_size": tokenizer.vocab_size,
            "special_tokens": special,
            "domain_tokens": domain,
            "pattern": tokenizer.pattern.name or list(tokenizer.pattern.stages),
            "seconds": round(seconds, 3),
            "bytes_per_token": measured and round(measured.bytes_per_token, 4),
            "measured_on": measured and measured.where,
        }
        say_json(values | (more or {}))
        return
    parts = [f"{special:,} special"] * bool(special) + [f"{domain:,} domain"] * bool(domain)
    lines = {
        "saved": output + (f" ({', '.join(_FILES)})" if Path(output).is_dir() else ""),
        "tokens": f"{tokenizer.vocab_size:,}" + (f", of them {' and '.join(parts)}" if parts else ""),
        "pattern": str(tokenizer.pattern),
        "time": time_words(seconds),
    }
    if measured:
        lines["compactness"] = f"{measured.bytes_per_token:.2f} bytes per token on {measured.where}"
    say_values(lines)


