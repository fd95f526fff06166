"""Merges against Hugging Face's ``BpeTrainer``: ours, and those of the oracle that the other tests rest on.

The same segmentation and the same alphabet must give the same merges in the same order with the same ids, ties
included. One rule differs on purpose and is tested here on both sides: a merge never spells a special token.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reference import CHARACTER_BYTES, from_characters, naive_count, naive_train_bpe, to_characters
from strategies import counts, special_tokens

import bytetok as bt

tokenizers = pytest.importorskip("tokenizers")

# Oniguruma reads "{1,3}+" as a repeated repetition, so tiktoken's possessive forms cannot all be handed to it.
HF_PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s++$|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
BYTES_IN_HF = sorted(CHARACTER_BYTES)


class Trained(NamedTuple):
    """A vocabulary as both sides can state it."""

    tokens: list[bytes]
    merges: list[tuple[int, int]]


def hf_train(
    items: Iterable[str],
    *,
    pattern: str | None,
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    alphabet: str | int = "bytes",
    min_count: int = 1,
    max_token_length: int | None = None,
) -> Trained:
    """Trains with Hugging Face, on texts (with a pattern) or on words in GPT-2's spelling (without one)."""
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    if pattern is not None:
        steps = [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
        model.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(steps)
    options: dict[str, object] = {}
    if alphabet == "bytes":
        options["initial_alphabet"] = BYTES_IN_HF
    elif alphabet != "seen":
        options["limit_alphabet"] = alphabet
    if max_token_length is not None:
        # Theirs is a strict "<".
        options["max_token_length"] = max_token_length + 1
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_count,
        special_tokens=list(special_tokens),
        show_progress=False,
        **options,
    )
    model.train_from_iterator(items, trainer)
    saved = json.loads(model.to_str())["model"]
    ids: dict[str, int] = saved["vocab"]
    by_id = sorted(ids, key=lambda token: ids[token])
    specials = set(special_tokens)
    tokens = [token.encode() if token in specials else from_characters(token) for token in by_id]
    return Trained(tokens, [(ids[left], ids[right]) for left, right in saved["merges"]])


def repeated(word_counts: Mapping[bytes, int]) -> list[str]:
    """Counted words as a corpus of words."""
    return [to_characters(word) for word, count in word_counts.items() for _ in range(count)]


def ours(tokenizer: bt.Tokenizer) -> Trained:
    return Trained(list(tokenizer.vocab.tokens), list(tokenizer.vocab.merges))


def naive(word_counts: Mapping[bytes, int], **options: object) -> Trained:
    return Trained(*naive_train_bpe(word_counts, **options))  # type: ignore[arg-type]


# small counts, all options -------------------------------------------------------------------------------------------

OPTIONS = st.fixed_dictionaries(
    {
        "new_tokens": st.integers(0, 40),
        "special_tokens": special_tokens(),
        "alphabet": st.sampled_from(["bytes", "seen"]),
    },
    optional={"min_count": st.integers(1, 4), "max_token_length": st.integers(2, 6)},
)


def request(word_counts: Mapping[bytes, int], options: Mapping[str, object]) -> dict[str, object]:
    """Options with the vocabulary size that gives at most `new_tokens` merges."""
    options = dict(options)
    new_tokens = options.pop("new_tokens")
    alphabet = options["alphabet"]
    letters = 256 if alphabet == "bytes" else len({byte for word in word_counts for byte in word})
    if isinstance(alphabet, int):
        letters = min(letters, alphabet)
    return {**options, "vocab_size": len(options["special_tokens"]) + letters + new_tokens}  # type: ignore[arg-type, operator]


@given(counts(), OPTIONS)
@example({b"aaa": 1, b"aaaa": 1}, {"new_tokens": 9, "special_tokens": [], "alphabet": "seen"})
@example({b"a" * 9: 1}, {"new_tokens": 9, "special_tokens": [], "alphabet": "seen", "max_token_length": 2})
@example({b"a" * 16: 2}, {"new_tokens": 9, "special_tokens": [], "alphabet": "seen", "max_token_length": 3})
@example(
    {b"ab": 1, b"ba": 1, b"~\x00": 1, b"\x00~": 1}, {"new_tokens": 9, "special_tokens": ["<s>"], "alphabet": "bytes"}
)
def test_the_oracle_learns_what_hugging_face_learns(word_counts: dict[bytes, int], options: dict[str, object]) -> None:
    asked = request(word_counts, options)
    assert naive(word_counts, **asked) == hf_train(repeated(word_counts), pattern=None, **asked)  # type: ignore[arg-type]


@given(counts(), OPTIONS)
@example({b"aaa": 1, b"aaaa": 1}, {"new_tokens": 9, "special_tokens": [], "alphabet": "seen"})
def test_counts_give_the_merges_of_hugging_face(word_counts: dict[bytes, int], options: dict[str, object]) -> None:
    asked = request(word_counts, options)
    tokenizer = bt.train_bpe(bt.PretokenCounts.from_dict(word_counts, pattern="none"), **{"min_count": 1, **asked})
    assert ours(tokenizer) == hf_train(repeated(word_counts), pattern=None, **asked)  # type: ignore[arg-type]


def untied(word_counts: Mapping[bytes, int], limit: int) -> bool:
    """Whether a limit on the alphabet leaves no choice; at a tie Hugging Face's hash map decides."""
    frequency: dict[int, int] = {}
    for word, count in word_counts.items():
        for byte in word:
            frequency[byte] = frequency.get(byte, 0) + count
    ordered = sorted(frequency.values(), reverse=True)
    return limit >= len(ordered) or ordered[limit - 1] != ordered[limit]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 13, 300])
def test_a_limited_alphabet_drops_the_rare_bytes(limit: int) -> None:
    # Frequencies of letters fall by two a letter, so no limit meets a tie.
    letters = b"etaoinshrdlcumwf"
    word_counts = {bytes([a, b, a, c]): 1 for a, b, c in zip(letters, letters[1:], letters[2:], strict=False)}
    word_counts |= {bytes([letter]): 100 - 5 * rank for rank, letter in enumerate(letters)}
    word_counts |= {b"tea": 3, b"seat": 2, b"shore": 4}
    assert untied(word_counts, limit)
    asked = request(word_counts, {"new_tokens": 12, "special_tokens": ["<s>"], "alphabet": limit})
    theirs = hf_train(repeated(word_counts), pattern=None, **asked)  # type: ignore[arg-type]
    assert naive(word_counts, **asked) == theirs
    assert ours(bt.train_bpe(bt.PretokenCounts.from_dict(word_counts, pattern="none"), min_count=1, **asked)) == theirs


def test_a_merge_never_spells_a_special_token() -> None:
    word_counts = {b"ab": 5, b"abc": 3, b"bc": 1}
    asked = {"vocab_size": 12, "special_tokens": ["ab"], "alphabet": "seen", "min_count": 1}
    theirs = hf_train(repeated(word_counts), pattern=None, **asked)  # type: ignore[arg-type]
    assert theirs.merges[0] == (1, 2), "Hugging Face merges a and b, into the id of the special token"
    assert theirs.tokens.count(b"ab") == 1
    tokenizer = bt.train_bpe(bt.PretokenCounts.from_dict(word_counts, pattern="none"), **asked)
    assert ours(tokenizer) == naive(word_counts, **asked)
    assert (1, 2) not in tokenizer.vocab.merges
    assert tokenizer.encode("ab", special="text") == [1, 2]


@pytest.mark.slow
def test_hugging_face_loses_a_pair_past_2_31_and_we_do_not() -> None:
    # 10,000 pairs a word, so few enough words make the count pass 2^31 in a trainer that takes no counts.
    word, times = b"a" * 10_001, 214_749
    corpus = itertools.chain(itertools.repeat(to_characters(word), times), ["bc"] * 10)
    asked = {"vocab_size": 5, "alphabet": "seen", "min_count": 1}
    theirs = hf_train(corpus, pattern=None, **asked)  # type: ignore[arg-type]
    assert theirs.merges == [(1, 2)], "Hugging Face counts in more than 31 bits by now: say so in the documentation"
    word_counts = {word: times, b"bc": 10}
    tokenizer = bt.train_bpe(bt.PretokenCounts.from_dict(word_counts, pattern="none"), **asked)
    assert ours(tokenizer) == naive(word_counts, **asked)
    assert tokenizer.vocab.merges == ((0, 0), (3, 3))


# corpora -------------------------------------------------------------------------------------------------------------


def generated() -> list[str]:
    """Text of words drawn with Zipf's law from a made-up lexicon: many rare words, so many ties."""
    draw = random.Random(20261123)
    syllables = [a + b for a in "ptkbdgmnslr" for b in ("a", "e", "i", "ou", "é", "ж", "漢")]
    lexicon = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(3_000)]
    weights = [1 / rank for rank in range(1, len(lexicon) + 1)]
    marks = [" ", " ", " ", " ", ", ", ". ", "\n", "\r\n\r\n", " 12", " 2024-05", "'s ", "  ", "\t", " - "]
    return [
        "".join(word + draw.choice(marks) for word in draw.choices(lexicon, weights, k=1_500)).title()
        if number % 5 == 0
        else "".join(word + draw.choice(marks) for word in draw.choices(lexicon, weights, k=1_500))
        for number in range(30)
    ]


def sources(root: Path) -> list[str]:
    """The source text of this repository."""
    paths = sorted([*(root / "tests").rglob("*.py"), *(root / "bytetok").rglob("*.py"), *root.glob("*.toml")])
    return [path.read_text(encoding="utf-8") for path in paths]


def filings(folder: Path) -> list[str]:
    """The first 40 kB of each of 20 filings."""
    paths = sorted((folder / "sec-filings").glob("*.txt"))[:20]
    return [path.read_text(encoding="utf-8")[:40_000] for path in paths]


@pytest.fixture(scope="module", params=["generated", "sources", "filings"])
def corpus(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "generated":
        return generated()
    if request.param == "sources":
        return sources(request.getfixturevalue("repository"))
    return filings(request.getfixturevalue("shared_data"))


@pytest.mark.parametrize("name", HF_PATTERNS)
def test_texts_give_the_merges_of_hugging_face(corpus: list[str], name: str) -> None:
    asked = {"vocab_size": 2_500, "special_tokens": ["<|endoftext|>", "<pad>"], "min_count": 2}
    theirs = hf_train(corpus, pattern=HF_PATTERNS[name], **asked)  # type: ignore[arg-type]
    assert len(theirs.merges) > 1_000, "the corpus is too small to show anything"
    word_counts = bt.count_pretokens(corpus, pattern=name)
    assert ours(bt.train_bpe(word_counts, **asked)) == theirs


@pytest.mark.parametrize(
    "options",
    [
        {"min_count": 1, "vocab_size": 100_000},  # until no pair is left: every tie is decided
        {"min_count": 7, "vocab_size": 100_000},
        {"min_count": 1, "vocab_size": 1_500, "max_token_length": 3},
        {"min_count": 2, "vocab_size": 1_500, "max_token_length": 8},
        {"min_count": 2, "vocab_size": 1_000, "alphabet": "seen"},
        {"min_count": 2, "vocab_size": 1_000, "alphabet": 20},
        {"min_count": 2, "vocab_size": 1_000, "alphabet": 60, "max_token_length": 4, "special_tokens": ["<s>", "</s>"]},
    ],
    ids=str,
)
def test_options_give_the_merges_of_hugging_face(options: dict[str, object]) -> None:
    corpus = generated()[:4]
    alphabet = options.get("alphabet")
    if isinstance(alphabet, int):
        assert untied(naive_count(corpus, [HF_PATTERNS["o200k"]]), alphabet)
    theirs = hf_train(corpus, pattern=HF_PATTERNS["o200k"], **options)  # type: ignore[arg-type]
    assert len(theirs.merges) > 100
    assert ours(bt.train_bpe(bt.count_pretokens(corpus, pattern="o200k"), **options)) == theirs
