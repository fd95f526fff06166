"""Small tokenizers, trained on the spot, with the added tokens that formats get wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from strategies import WORDS

import bytetok as bt
from bytetok.tokenizer import SplitPattern

CORPUS = (
    " ".join(WORDS),
    "the plaintiff's claims of the defendant are those of the plaintiff, and the court's are its own. " * 3,
    "In 1998, under 26 C.F.R. 1.401(k)-1(a), 12,345.67 dollars; in 1999, 23,456.78.\n\n  (a) interest\n  (b) interests",
    "die Straße, naïve café, Москва и Москва, 日本語の日本語, 😀😀",
)


@cache
def trained(
    pattern: str = "o200k", vocab_size: int = 420, special: tuple[str, ...] = ("<|endoftext|>", "<pad>"),
) -> bt.Tokenizer:  # fmt: skip
    """A tokenizer of exactly ``vocab_size`` tokens, special tokens first."""
    counts = bt.count_pretokens(CORPUS, pattern=pattern)
    return bt.train_bpe(
        counts, vocab_size=vocab_size, special_tokens=special, min_count=1, name=f"small-{pattern}"
    )


def extended(
    tokenizer: bt.Tokenizer, *, whole: Iterable[bytes] = (), added: Mapping[str, Mapping[str, bool]] | None = None
) -> bt.Tokenizer:
    """The tokenizer with tokens that only whole pretokens become, and with added tokens by their text and flags."""
    vocab = tokenizer.vocab
    tokens = [*vocab.tokens, *whole]
    texts = dict(vocab.added_tokens)
    for text, flags in (added or {}).items():
        texts[text] = bt.AddedToken(text, len(tokens), **flags)
        tokens.append(text.encode())
    whole_first = vocab.whole_first or bool(list(whole))
    return bt.Tokenizer(
        bt.Vocab(tuple(tokens), vocab.merges, texts, whole_first, vocab.ranked), tokenizer.pattern, name=tokenizer.name
    )


def of_merges(letters: bytes, merges: Iterable[tuple[bytes, bytes]], *, pattern: str = "none") -> bt.Tokenizer:
    """A tokenizer of these bytes and merges, in whose vocabulary each merge makes the next token."""
    tokens = [bytes([letter]) for letter in letters]
    pairs = []
    for left, right in merges:
        pairs.append((tokens.index(left), tokens.index(right)))
        if left + right not in tokens:
            tokens.append(left + right)
    return bt.Tokenizer(bt.Vocab(tuple(tokens), tuple(pairs)), SplitPattern.of(pattern), name="merges")
