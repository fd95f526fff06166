"""From text to a finished tokenizer: recipe, counts, merges, superwords, domain tokens, padding."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from bytetok.errors import CorpusError, TrainingError, VocabMismatchError
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.tokenizer.vocab import AddedToken, Vocab
from bytetok.training import bpe, domain, superwords
from bytetok.training.corpus import Texts
from bytetok.training.counts import PretokenCounts, count_pretokens
from bytetok.training.recipe import Recipe, load_recipe

Stage = Callable[[str, int], None]
"""Hears the name of the stage, "count" or "merge", and how far it is: bytes read, or tokens made."""

_SAMPLE_BYTES = 64 << 20


def train(
    source: Texts | PretokenCounts | Iterable[str | bytes],
    *,
    recipe: str | os.PathLike[str] | Recipe | None = None,
    threads: int = 1,
    memory: int | str | None = None,
    name: str | None = None,
    progress: Stage | None = None,
    **settings: Any,
) -> Tokenizer:
    """Train a tokenizer from text or from counts, as a recipe says and with any of its fields overridden by name.

    Without a recipe, ``vocab_size`` is needed and the other fields have the defaults of :class:`Recipe`, with the split
    pattern o200k. Domain tokens that are one pretoken join the vocabulary as tokens that only a whole pretoken can
    match; those that cross pretoken borders become added tokens that never match inside a word; both take the place
    of the rarest merges, so the vocabulary has the size asked for. With superwords there are no domain tokens: the
    second stage learns those that pay. Counts instead of text must have been made by the split pattern, or by
    ``"lines"`` for superwords; they cannot tell how often an added token occurs, so then none is placed unless
    ``min_domain_count`` is 0.

    Raises TrainingError, VocabMismatchError, FormatError for a bad setting, and what reading and counting raise.
    """
    chosen = _settings(recipe, settings)
    label = name or (chosen.name if recipe is not None else "trained")
    if chosen.superwords and chosen.length_unit != "bytes" and chosen.max_token_length is not None:
        raise TrainingError("with superwords, max_token_length is in bytes; leave length_unit out")
    if chosen.superwords:
        trained = _superwords(source, chosen, threads, memory, label, progress)
    else:
        trained = _words(source, chosen, threads, memory, label, progress)
    if chosen.pad_to_power_of_two:
        trained = _padded(trained)
    provenance = {**trained.provenance, "recipe": {key: value for key, value in asdict(chosen).items() if value}}
    return Tokenizer(trained.vocab, trained.pattern, name=label, provenance=provenance)


def _superwords(
    source: Texts | PretokenCounts | Iterable[str | bytes],
    chosen: Recipe,
    threads: int,
    memory: int | str | None,
    label: str,
    progress: Stage | None,
) -> Tokenizer:
    return superwords.train_superwords(
        _counts(source, superwords.LINES, threads, memory, progress),
        vocab_size=chosen.vocab_size,
        superwords=chosen.superwords,
        pattern=chosen.pattern,
        special_tokens=chosen.special_tokens,
        min_count=chosen.min_count,
        max_token_length=chosen.max_token_length or superwords.MAX_BYTES,
        name=label,
        progress=_part(progress, "merge"),
    )


def _words(
    source: Texts | PretokenCounts | Iterable[str | bytes],
    chosen: Recipe,
    threads: int,
    memory: int | str | None,
    label: str,
    progress: Stage | None,
) -> Tokenizer:
    strings, pattern = chosen.domain_strings(), SplitPattern.of(chosen.pattern)
    candidates = _place(strings, chosen, pattern, _alphabet(chosen), None)
    texts: Texts | Sequence[str | bytes] | None = None
    if candidates.added and not isinstance(source, PretokenCounts):
        source = texts = _replayable(source)
    counts = _counts(source, pattern, threads, memory, progress)
    trained = bpe.train_bpe(
        counts,
        vocab_size=chosen.vocab_size,
        special_tokens=chosen.special_tokens,
        min_count=chosen.min_count,
        max_token_length=chosen.max_token_length,
        length_unit=chosen.length_unit,
        name=label,
        progress=_part(progress, "merge"),
    )
    if not strings:
        return trained
    return _with_domain_tokens(trained, strings, chosen, _occurrences(candidates, counts, texts))


def _settings(recipe: str | os.PathLike[str] | Recipe | None, settings: dict[str, Any]) -> Recipe:
    given = {key: value for key, value in settings.items() if value is not None}
    if unknown := given.keys() - Recipe.__dataclass_fields__.keys():
        raise TrainingError(
            f"{sorted(unknown)[0]!r} is not a setting; the settings are {', '.join(Recipe.__dataclass_fields__)}"
        )
    for key in ("special_tokens", "domain_groups", "domain_extra"):
        if key in given:
            given[key] = tuple(given[key])
    if isinstance(given.get("pattern"), SplitPattern):
        given["pattern"] = given["pattern"].name or given["pattern"].stages
    if recipe is not None:
        base = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
        return replace(base, **given)
    if "vocab_size" not in given:
        raise TrainingError("vocab_size is missing; say how many tokens to learn, or name a recipe")
    defaults = {"name": "custom", "description": "", "pattern": "o200k", "special_tokens": ()}
    return Recipe(**{**defaults, **given})


def _replayable(source: Texts | Iterable[str | bytes]) -> Texts | Sequence[str | bytes]:
    """Text that can be read twice."""
    if isinstance(source, Texts):
        if source.one_shot:
            raise CorpusError(
                "domain tokens need to read the text twice, and this source can be read only once; save it to a file "
                "first"
            )
        return source
    return source if isinstance(source, (list, tuple)) else list(source)


def _part(progress: Stage | None, stage: str) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress(stage, done)


def _counts(
    source: Texts | Iterable[str | bytes] | PretokenCounts,
    pattern: SplitPattern,
    threads: int,
    memory: int | str | None,
    progress: Stage | None,
) -> PretokenCounts:
    if isinstance(source, PretokenCounts):
        if source.pattern.stages != pattern.stages:
            raise VocabMismatchError(
                f"the counts were made by {source.pattern}, this training needs {pattern}; count again with that "
                "pattern"
            )
        return source
    return count_pretokens(source, pattern=pattern, threads=threads, memory=memory, progress=_part(progress, "count"))


def _alphabet(chosen: Recipe) -> list[bytes]:
    return [*(text.encode() for text in chosen.special_tokens), *(bytes([byte]) for byte in range(256))]


def _place(
    strings: Sequence[str], chosen: Recipe, pattern: SplitPattern, tokens: Sequence[bytes], known: dict[str, int] | None
) -> domain.Placement:
    """Domain tokens beside ``tokens``; without ``known`` occurrences, all that are possible."""
    return domain.place_domain_tokens(
        strings,
        str(pattern),
        vocab_tokens=tokens,
        split=pattern.split,
        limit=None if known is None else chosen.max_domain_tokens,
        counts=known,
        min_count=0 if known is None else chosen.min_domain_count,
        space_prefixed=chosen.domain_space_prefixed,
    )


def _with_domain_tokens(
    trained: Tokenizer, strings: Sequence[str], chosen: Recipe, known: dict[str, int]
) -> Tokenizer:
    """Put domain tokens in the place of the rarest merges."""
    pattern, size = trained.pattern, len(trained.vocab)
    least = len(chosen.special_tokens) + 256
    kept = size
    while True:
        # Fewer merges can only leave more room to fill, so this ends.
        placed = _place(strings, chosen, pattern, trained.vocab.tokens[:kept], known)
        room = max(size - len(placed.whole) - len(placed.added), least)
        if room >= kept:
            break
        kept = room
    vocab = trained.vocab
    tokens = list(vocab.tokens[:kept])
    merges = tuple(
        pair
        for pair, (_, _, made) in zip(vocab.merges, vocab.merge_triples, strict=True)
        if made < kept
    )
    tokens += placed.whole
    added = dict(vocab.added_tokens)
    for spec in placed.added:
        added[spec.text] = AddedToken(spec.text, len(tokens), single_word=spec.single_word)
        tokens.append(spec.text.encode())
    provenance = {
        **trained.provenance,
        "domain_tokens": {
            "asked": len(strings),
            "whole_pretokens": len(placed.whole),
            "added": len(placed.added),
            "learned_anyway": len(placed.present),
        },
    }
    whole_first = vocab.whole_first or bool(placed.whole)
    reshaped = Vocab(tuple(tokens), merges, added, whole_first, vocab.ranked)
    return Tokenizer(reshaped, pattern, name=trained.name, provenance=provenance)


def _occurrences(
    candidates: domain.Placement, counts: PretokenCounts, texts: Texts | Sequence[str | bytes] | None
) -> dict[str, int]:
    """How often each form occurs: pretokens by their counts, forms across pretokens in a sample of the text."""
    forms = set(candidates.whole)
    known = {pretoken.decode(): count for pretoken, count in counts.items() if pretoken in forms}
    if texts is not None:
        sample, share = _sample(texts, counts.bytes)
        for text, count in domain.count_added(sample, candidates.added).items():
            known[text] = round(count / share)
    return known


def _sample(texts: Texts | Sequence[str | bytes], size: int) -> tuple[Iterator[str], float]:
    """Documents evenly spread over the corpus, and about what share of its bytes they are."""
    step = max(1, round(size / _SAMPLE_BYTES))
    chosen = (text for index, text in enumerate(texts) if index % step == 0)
    return (text.decode(errors="replace") if isinstance(text, bytes) else text for text in chosen), 1 / step


def _padded(trained: Tokenizer) -> Tokenizer:
    vocab = trained.vocab
    missing = domain.pad_size(len(vocab)) - len(vocab)
    names = domain.reserved_tokens(missing, taken=vocab.added_tokens)
    added = dict(vocab.added_tokens)
    for offset, text in enumerate(names):
        added[text] = AddedToken(text, len(vocab) + offset, special=True)
    tokens = vocab.tokens + tuple(text.encode() for text in names)
    padded = Vocab(tokens, vocab.merges, added, vocab.whole_first, vocab.ranked)
    return Tokenizer(padded, trained.pattern, name=trained.name, provenance=trained.provenance)
