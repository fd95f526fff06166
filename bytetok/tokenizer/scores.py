"""Merges of a vocabulary with scores, as a list in rank order: what a SentencePiece file means by its pieces.

SentencePiece joins any two neighbors whose text is a piece, the highest score first, and of equal scores the leftmost.
tokenizer.json has a list of pairs, in which no two are equal. As long as no two pieces share a score this says the
same: the pairs that join to one piece never compete, because between its ends merging goes as it does on the piece
alone. Of equal scores only one case is understood, runs of one character, as Mistral has them for spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bytetok.errors import LossyConversionError
from bytetok.tokenizer.vocab import Vocab

Pair = tuple[int, int]


def merges_of_scores(vocab: Vocab, scores: Sequence[float], *, lossy: bool = False) -> tuple[Pair, ...]:
    """All pairs of pieces that join to a piece, in an order that gives the same ids as the scores.

    Raises LossyConversionError, naming two pieces, if equal scores leave it open whether there is such an order; if
    ``lossy``, they go by id.
    """
    special = set(vocab.special_tokens.values())
    pieces = {
        token.decode(errors="replace"): token_id
        for token_id, (token, ordinary) in enumerate(zip(vocab.tokens, vocab.ordinary(), strict=True))
        if ordinary and token_id not in special
    }
    pairs: dict[int, list[Pair]] = {}
    for text, token_id in pieces.items():
        halves = ((pieces.get(text[:at]), pieces.get(text[at:])) for at in range(1, len(text)))
        found = [(left, right) for left, right in halves if left is not None and right is not None]
        if found:
            pairs[token_id] = found
    texts = {token_id: text for text, token_id in pieces.items()}
    groups: dict[float, list[int]] = {}
    for token_id in pairs:
        groups.setdefault(scores[token_id], []).append(token_id)
    merges: list[Pair] = []
    for score in sorted(groups, reverse=True):
        group = groups[score]
        if len(group) > 1 and not lossy:
            group = _ordered_runs(group, texts, pairs)
        merges += [pair for token_id in group for pair in pairs[token_id]]
    return tuple(merges)


def _ordered_runs(group: Sequence[int], texts: dict[int, str], pairs: dict[int, list[Pair]]) -> list[int]:
    """The pieces of one score in an order of merging that gives what merging them from the left gives."""
    first, second = group[:2]
    letter = texts[first][0]
    runs = {token_id for token_id, text in texts.items() if len(text) > 1 and set(text) == {letter}}
    # Nothing else may be made of these runs, or be a run of another score: then each run of text is on its own.
    apart = all(
        token_id in runs or not runs.intersection(pair) for token_id, found in pairs.items() for pair in found
    )
    # Longest first: the run on the left, as soon as there is one, grows before the next one starts.
    ordered = sorted(group, key=lambda token_id: -len(texts[token_id]))
    lengths = [len(texts[token_id]) for token_id in ordered]
    if set(group) != runs or not apart or not _alike(lengths):
        raise LossyConversionError(
            f"tokens {first} and {second}, {texts[first][:40]!r} and {texts[second][:40]!r}, have the same score, so "
            "the one further left merges first; tokenizer.json cannot say that"
        )
    return ordered


def _alike(lengths: Sequence[int]) -> bool:
    """Whether runs of one character merge alike from the left and in this order; what repeats is seen in time."""
    known = set(lengths)
    return all(_from_left(known, size) == _by_rank(lengths, size) for size in range(1, 4 * max(lengths) + 4))


def _from_left(lengths: set[int], size: int) -> list[int]:
    parts = [1] * size
    while True:
        at = next((at for at in range(len(parts) - 1) if parts[at] + parts[at + 1] in lengths), None)
        if at is None:
            return parts
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def _by_rank(lengths: Sequence[int], size: int) -> list[int]:
    """As a list of merges does: the first of the list anywhere, and of the same one the leftmost."""
    parts = [1] * size
    merges = [(left, whole - left) for whole in lengths for left in range(1, whole)]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    while True:
        found = [(ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in ranks]
        if not found:
            return parts
        at = min(found)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
