"""Superwords: a second stage of training that merges across pretoken borders.

Stage one learns words, within lines. Stage two forgets the split pattern, keeps line ends as the only borders, and
goes on merging: " of the", " in accordance with", ", $1.2 million". The result is plain BPE over lines, with the
merges of both stages in one list, so it needs no rule of its own to encode, and tokenizer.json says it exactly.
Sources: SuperBPE (Liu et al. 2025, two stages in this manner) and BoundlessBPE (Schmidt et al. 2025).
"""

from __future__ import annotations

from collections.abc import Sequence

from bytetok.errors import TrainingError, VocabMismatchError
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training.bpe import Progress, continue_merges, train_bpe
from bytetok.training.counts import PretokenCounts

LINES = SplitPattern.of("lines")
"""The borders that superwords respect."""

MAX_BYTES = 48
"""Longer superwords are memorized boilerplate: on held-out filings a higher limit saves under 0.3 % of the tokens."""


def train_superwords(
    line_counts: PretokenCounts,
    *,
    vocab_size: int,
    superwords: float = 0.5,
    pattern: str | Sequence[str] | SplitPattern = "o200k",
    special_tokens: Sequence[str] = (),
    min_count: int = 2,
    max_token_length: int | None = MAX_BYTES,
    name: str = "trained",
    progress: Progress | None = None,
) -> Tokenizer:
    """Learn ``vocab_size`` tokens, the share ``superwords`` of them across pretoken borders.

    ``line_counts`` are counts with the pattern ``"lines"``; words are learned from the same counts, cut further by
    ``pattern``, so that no word crosses a line. Lines seldom repeat, so the counts are about as large as the text:
    count a sample of a corpus of many gigabytes. ``max_token_length`` is in bytes. ``progress`` hears the number of
    tokens.

    Raises VocabMismatchError for counts of another pattern, and TrainingError as :func:`bytetok.train_bpe` does.
    """
    if line_counts.pattern.stages != LINES.stages:
        raise VocabMismatchError(
            f"superwords are learned from lines, but the counts were made by {line_counts.pattern}; count the text "
            'with pattern="lines"'
        )
    if not 0 < superwords < 1:
        raise TrainingError(f"superwords is {superwords}; expected a share between 0 and 1, such as 0.5")
    word_pattern = SplitPattern.of(pattern)
    words = train_bpe(
        line_counts.resplit(word_pattern),
        vocab_size=round(vocab_size * (1 - superwords)),
        special_tokens=special_tokens,
        min_count=min_count,
        max_token_length=max_token_length,
        name=name,
        progress=progress,
    )
    trained = continue_merges(
        words,
        line_counts,
        vocab_size=vocab_size,
        min_count=min_count,
        max_token_length=max_token_length,
        length_unit="bytes",
        progress=progress,
    )
    described = {
        "words": len(words.vocab),
        "superwords": len(trained.vocab) - len(words.vocab),
        "word_pattern": {"name": word_pattern.name, "stages": list(word_pattern.stages)},
        "max_bytes": max_token_length,
    }
    provenance = {**words.provenance, "superwords": described}
    return Tokenizer(trained.vocab, trained.pattern, name=name, provenance=provenance)
