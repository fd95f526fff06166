"""Learns BPE vocabularies from pretoken counts.

The algorithm is byte-pair encoding (Sennrich et al. 2016) over bytes: count adjacent pairs, merge the most frequent,
repeat. Merges are those of Hugging Face's ``BpeTrainer`` for the same counts and alphabet: of two pairs with equal
counts, the one with the smaller ``(left id, right id)`` is merged first, where special tokens are numbered first and
then the alphabet in the order of GPT-2's characters. Two things differ on purpose: counts are 64-bit, and no merge ever
makes the text of a special token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from bytetok import _core
from bytetok.errors import TrainingError, VocabMismatchError
from bytetok.tokenizer.bytelevel import BYTE_ORDER
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.tokenizer.vocab import Vocab, special_tokens_from
from bytetok.training.counts import PretokenCounts

LengthUnit = Literal["bytes", "characters"]
Progress = Callable[[int], None]
"""Hears how many tokens the vocabulary has so far."""


def train_bpe(
    counts: PretokenCounts,
    *,
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    min_count: int = 2,
    max_token_length: int | None = None,
    length_unit: LengthUnit = "bytes",
    alphabet: Literal["bytes", "seen"] | int = "bytes",
    name: str = "trained",
    progress: Progress | None = None,
) -> Tokenizer:
    """Learn a vocabulary of ``vocab_size`` tokens, special tokens and alphabet included.

    ``min_count``: pairs that occur less often are never merged, so a small corpus may give fewer tokens than asked for.
    ``max_token_length``: the longest token, in ``length_unit``; a character that a token holds only a part of counts
    whole. Hugging Face's option of that name is off by one and counts bytes: its N + 1 is our N bytes.
    ``alphabet``: ``"bytes"`` is all 256, so that every text round-trips; ``"seen"`` is the bytes in the corpus; a
    number keeps that many of the most frequent bytes and drops the rest from the corpus, as Hugging Face's
    ``limit_alphabet``.

    Raises TrainingError for empty counts and sizes that cannot be, SpecialTokenError for clashing special tokens.
    """
    _check(counts, vocab_size, min_count, max_token_length, length_unit)
    special = special_tokens_from(special_tokens)
    order = _alphabet(counts, alphabet)
    for text in special:
        if len(text.encode()) == 1 and text.encode()[0] in order:
            raise TrainingError(f"special token {text!r} is a byte of the alphabet; a special token must be longer")
    least = len(special) + len(order)
    if vocab_size < least:
        raise TrainingError(
            f"vocab_size {vocab_size} is smaller than {len(special)} special tokens and an alphabet of {len(order)} "
            f"bytes; ask for at least {least}"
        )
    tokens = [token.encode() for token in special] + [bytes([byte]) for byte in order]
    ids: list[int | None] = [None] * 256
    for offset, byte in enumerate(order):
        ids[byte] = len(special) + offset
    ordinary = [position >= len(special) for position in range(len(tokens))]
    made, merges = _core.train_bpe(
        counts.core,
        tokens=tokens,
        ordinary=ordinary,
        start=ids,
        vocab_size=vocab_size,
        min_count=min_count,
        max_length=max_token_length,
        characters=length_unit == "characters",
        forbidden=[text.encode() for text in special],
        progress=progress,
    )
    vocab = Vocab(tuple(made), tuple((left, right) for left, right, _, _ in merges), special)
    provenance = {
        "trained": {
            "vocab_size": vocab_size,
            "min_count": min_count,
            "max_token_length": max_token_length,
            "length_unit": length_unit,
            "alphabet": alphabet,
            "documents": counts.documents,
            "bytes": counts.bytes,
            "pretokens": counts.total,
            "distinct_pretokens": len(counts),
        }
    }
    return Tokenizer(vocab, counts.pattern, name=name, provenance=provenance)


def extend(
    tokenizer: Tokenizer,
    counts: PretokenCounts,
    *,
    vocab_size: int,
    min_count: int = 2,
    max_token_length: int | None = None,
    length_unit: LengthUnit = "bytes",
    progress: Progress | None = None,
) -> Tokenizer:
    """Continue a vocabulary on other text: every token keeps its id, new tokens and merges come after the old.

    Raises VocabMismatchError if the counts were made with another split pattern than the tokenizer's, and TrainingError
    as :func:`train_bpe` does.
    """
    if tokenizer.vocab.characters is not None:
        raise TrainingError(
            f"{tokenizer.name} cannot be extended: its merges start from characters, as in SentencePiece; "
            "only byte-level BPE can be"
        )
    if counts.pattern.stages != tokenizer.pattern.stages:
        raise VocabMismatchError(
            f"the tokenizer splits by {tokenizer.pattern}, the counts were made by {counts.pattern}; count again with "
            "the tokenizer's pattern, or learn superwords with train_superwords"
        )
    return continue_merges(
        tokenizer,
        counts,
        vocab_size=vocab_size,
        min_count=min_count,
        max_token_length=max_token_length,
        length_unit=length_unit,
        progress=progress,
    )


def continue_merges(
    tokenizer: Tokenizer,
    counts: PretokenCounts,
    *,
    vocab_size: int,
    min_count: int,
    max_token_length: int | None,
    length_unit: LengthUnit,
    progress: Progress | None,
) -> Tokenizer:
    """Learn more merges over pretokens that the tokenizer's own merges have encoded.

    The result splits as ``counts`` do.
    """
    _check(counts, vocab_size, min_count, max_token_length, length_unit)
    vocab = tokenizer.vocab
    if vocab.whole_first and not vocab.ranked:
        raise TrainingError(
            "this vocabulary matches whole pretokens before merging (ignore_merges), so its merges alone do not say "
            "how it encodes; extend it before adding domain tokens"
        )
    if vocab_size < len(vocab):
        raise TrainingError(
            f"vocab_size {vocab_size} is smaller than the {len(vocab)} tokens there are; to make a vocabulary smaller, "
            "prune it"
        )
    made, merges = _core.train_bpe(
        counts.core,
        tokens=list(vocab.tokens),
        ordinary=vocab.ordinary(),
        # The engine takes an empty list for bytes without tokens, so a vocabulary without merges starts from its bytes.
        start=vocab.merge_triples or [vocab.get(bytes([byte])) for byte in range(256)],
        vocab_size=vocab_size,
        min_count=min_count,
        max_length=max_token_length,
        characters=length_unit == "characters",
        forbidden=[text.encode() for text in vocab.added_tokens],
        ranked=vocab.ranked,
        progress=progress,
    )
    pairs = vocab.merges + tuple((left, right) for left, right, _, _ in merges)
    if vocab.ranked:
        # In a rank file every pair that joins to a token is a merge; those that were not learned never come up.
        ordinary = [b"" if vocab.is_added(token_id) else token for token_id, token in enumerate(made)]
        pairs = tuple((left, right) for left, right, _ in _core.merges_of_ranks(ordinary))
    extended = Vocab(tuple(made), pairs, vocab.added_tokens, vocab.whole_first, vocab.ranked)
    provenance = {
        **tokenizer.provenance,
        "extended": {"from": len(vocab), "to": len(made), "documents": counts.documents, "bytes": counts.bytes},
    }
    return Tokenizer(
        extended, counts.pattern, normalizer=tokenizer.normalizer, name=tokenizer.name, provenance=provenance
    )


def _check(
    counts: PretokenCounts, vocab_size: int, min_count: int, max_token_length: int | None, length_unit: str
) -> None:
    if not isinstance(counts, PretokenCounts):
        raise TrainingError(
            f"expected PretokenCounts, got {type(counts).__name__}; count text first with count_pretokens(texts)"
        )
    if len(counts) == 0:
        raise TrainingError("the corpus is empty: no pretoken was counted, so there is nothing to learn from")
    if not 1 <= vocab_size < 1 << 31:
        raise TrainingError(f"vocab_size is {vocab_size}; expected a size from 1 to 2^31 - 1")
    if not 1 <= min_count < 1 << 64:
        raise TrainingError(f"min_count is {min_count}; expected a count from 1 to 2^64 - 1")
    if max_token_length is not None and not 1 <= max_token_length < 1 << 31:
        raise TrainingError(f"max_token_length is {max_token_length}; expected a length from 1 to 2^31 - 1")
    if length_unit not in ("bytes", "characters"):
        raise TrainingError(f'length_unit is {length_unit!r}; expected "bytes" or "characters"')


def _alphabet(counts: PretokenCounts, alphabet: str | int) -> list[int]:
    """The bytes of the alphabet in the order of GPT-2's characters."""
    if alphabet == "bytes":
        return list(BYTE_ORDER)
    if alphabet != "seen" and (not isinstance(alphabet, int) or isinstance(alphabet, bool) or alphabet < 1):
        raise TrainingError(f'alphabet is {alphabet!r}; expected "bytes", "seen" or a number of bytes to keep')
    seen = [0] * 256
    for pretoken, count in counts.items():
        for byte in pretoken:
            seen[byte] += count
    kept = [byte for byte in BYTE_ORDER if seen[byte]]
    if isinstance(alphabet, int):
        # Stable: of two bytes that are equally frequent, the one that is first in GPT-2's order stays.
        most = set(sorted(kept, key=lambda byte: -seen[byte])[:alphabet])
        kept = [byte for byte in kept if byte in most]
    return kept
