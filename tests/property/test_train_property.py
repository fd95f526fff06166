"""Training against the oracle that recounts everything, and the changes of input that must not change the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from reference import naive_count, naive_encode, naive_encode_text, naive_length, naive_train_bpe
from strategies import counts, documents, special_tokens, texts

import bytetok as bt
from bytetok.tokenizer import SplitPattern

Learned = tuple[list[bytes], list[tuple[int, int]]]

OPTIONS = st.fixed_dictionaries(
    {"new_tokens": st.integers(0, 30), "special_tokens": special_tokens()},
    optional={
        "min_count": st.integers(1, 4),
        "max_token_length": st.integers(1, 6),
        "length_unit": st.sampled_from(["bytes", "characters"]),
        "alphabet": st.sampled_from(["bytes", "seen"]),
    },
)


def request(word_counts: Mapping[bytes, int], options: Mapping[str, object]) -> dict[str, object]:
    """Options with the vocabulary size that gives at most `new_tokens` merges."""
    asked = {"alphabet": "bytes", "min_count": 1, **options}
    new_tokens = asked.pop("new_tokens")
    letters = 256 if asked["alphabet"] == "bytes" else len({byte for word in word_counts for byte in word})
    return {**asked, "vocab_size": len(asked["special_tokens"]) + letters + new_tokens}  # type: ignore[arg-type, operator]


def learn(word_counts: Mapping[bytes, int] | bt.PretokenCounts, **options: object) -> Learned:
    if not isinstance(word_counts, bt.PretokenCounts):
        word_counts = bt.PretokenCounts.from_dict(word_counts, pattern="none")
    vocab = bt.train_bpe(word_counts, **options).vocab
    return list(vocab.tokens), list(vocab.merges)


@given(counts(), OPTIONS)
@example({b"aaa": 1, b"aaaa": 1}, {"new_tokens": 9, "special_tokens": []})
@example({b"a" * 30: 1}, {"new_tokens": 9, "special_tokens": [], "max_token_length": 3})
@example(
    {"é".encode() * 3: 2}, {"new_tokens": 9, "special_tokens": [], "max_token_length": 1, "length_unit": "characters"}
)
@example({"漢字".encode(): 2, "字".encode()[1:]: 3}, {"new_tokens": 9, "special_tokens": [], "max_token_length": 2})
def test_merges_are_those_of_the_oracle(word_counts: dict[bytes, int], options: dict[str, object]) -> None:
    asked = request(word_counts, options)
    learned = learn(word_counts, **asked)
    assert learned == naive_train_bpe(word_counts, **asked)  # type: ignore[arg-type]
    if limit := asked.get("max_token_length"):
        unit = asked.get("length_unit", "bytes")
        trained = learned[0][len(asked["special_tokens"]) :]  # type: ignore[arg-type]
        assert all(naive_length(token, unit) <= limit for token in trained)  # type: ignore[arg-type, operator]


@given(counts(max_count=2), st.lists(st.sampled_from(["ab", "ba", "aa", "bab", "é", "漢", " ", "the"]), unique=True))
@example({b"ab": 5, b"abc": 3, b"bc": 1}, ["ab"])
@example({b"abab": 1}, ["abab", "ba"])
def test_no_merge_spells_a_special_token(word_counts: dict[bytes, int], specials: list[str]) -> None:
    specials = [text for text in specials if len(text.encode()) > 1]
    asked = request(word_counts, {"special_tokens": specials, "new_tokens": 20})
    learned = learn(word_counts, **asked)
    assert learned == naive_train_bpe(word_counts, **asked)  # type: ignore[arg-type]
    tokens, merges = learned
    assert not {tokens[left] + tokens[right] for left, right in merges} & {text.encode() for text in specials}


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
@given(word_counts=counts())
def test_a_limited_alphabet_keeps_the_frequent_bytes(limit: int, word_counts: dict[bytes, int]) -> None:
    asked = {"vocab_size": limit + 12, "alphabet": limit, "min_count": 1}
    assert learn(word_counts, **asked) == naive_train_bpe(word_counts, **asked)  # type: ignore[arg-type]


# counts past 32 bits, where 32-bit trainers overflow ------------------------------------------------------------------


@pytest.mark.parametrize("unit", [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**33 + 1, 2**45], ids=lambda unit: f"{unit:#x}")
@given(word_counts=counts())
def test_large_counts_are_exact(unit: int, word_counts: dict[bytes, int]) -> None:
    large = {word: count * unit + index for index, (word, count) in enumerate(word_counts.items())}
    asked = request(large, {"special_tokens": [], "new_tokens": 20})
    assert learn(large, **asked) == naive_train_bpe(large, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [2**31, 2**32])
def test_the_most_frequent_pair_is_not_lost_past_32_bits(limit: int) -> None:
    # In 32 bits the count of (a, b) would be 1, or negative: it would come last, or never.
    word_counts = {b"ab": limit // 2, b"abb": limit // 2 + 1, b"cd": 1000, b"ef": 900}
    _, merges = learn(word_counts, vocab_size=10, alphabet="seen", min_count=2)
    assert merges == [(0, 1), (6, 1), (2, 3), (4, 5)]


@given(counts(), counts(), st.integers(2**31, 2**40))
def test_large_counts_add_exactly(left: dict[bytes, int], right: dict[bytes, int], unit: int) -> None:
    sides = [{word: count * unit for word, count in side.items()} for side in (left, right)]
    added = bt.PretokenCounts.from_dict(sides[0], pattern="none") + bt.PretokenCounts.from_dict(
        sides[1], pattern="none"
    )
    words = sorted(sides[0].keys() | sides[1].keys())
    assert list(added.items()) == [(word, sides[0].get(word, 0) + sides[1].get(word, 0)) for word in words]
    assert added.total == sum(sum(side.values()) for side in sides)


# what must not change the result --------------------------------------------------------------------------------------

TRAIN = {"vocab_size": 300, "min_count": 1, "special_tokens": ["<|endoftext|>"]}


@given(documents(), st.randoms(use_true_random=False))
def test_the_order_of_documents_changes_nothing(docs: list[str], random: object) -> None:
    shuffled = list(docs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    ordered = bt.count_pretokens(docs, pattern="o200k")
    assert list(ordered.items()) == list(bt.count_pretokens(shuffled, pattern="o200k").items())
    assume(len(ordered))
    words = dict(ordered.items())
    backwards = dict(reversed(words.items()))
    assert learn(words, **TRAIN) == learn(backwards, **TRAIN)


@pytest.mark.parametrize("threads", [2, 3, 8])
@given(docs=documents(max_size=12))
def test_threads_change_nothing(threads: int, docs: list[str]) -> None:
    alone = bt.count_pretokens(docs, pattern="o200k", threads=1)
    together = bt.count_pretokens(docs, pattern="o200k", threads=threads)
    assert list(alone.items()) == list(together.items())


@given(documents(), st.integers(0, 6))
def test_shards_add_up(docs: list[str], cut: int) -> None:
    whole = bt.count_pretokens(docs, pattern="gpt2")
    first = bt.count_pretokens(docs[:cut], pattern="gpt2")
    second = bt.count_pretokens(docs[cut:], pattern="gpt2")
    for added in (first + second, second + first):
        assert list(added.items()) == list(whole.items())
        assert added.total == whole.total
    # Adding makes a new value: the shards are what they were.
    assert list(first.items()) == list(bt.count_pretokens(docs[:cut], pattern="gpt2").items())


@given(docs=documents())
def test_saved_counts_come_back(docs: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("counts") / "part.parquet"
    counted = bt.count_pretokens(docs, pattern="cl100k")
    counted.save(path)
    loaded = bt.PretokenCounts.load(path)
    assert list(loaded.items()) == list(counted.items())
    assert loaded.total == counted.total
    assert loaded.pattern == counted.pattern


@given(counts(), st.integers(0, 20), st.integers(0, 20))
def test_a_smaller_vocabulary_is_the_start_of_a_larger_one(word_counts: dict[bytes, int], less: int, more: int) -> None:
    small, large = sorted([256 + less, 256 + more])
    tokens, merges = learn(word_counts, vocab_size=small, min_count=1)
    all_tokens, all_merges = learn(word_counts, vocab_size=large, min_count=1)
    assert all_tokens[: len(tokens)] == tokens
    assert all_merges[: len(merges)] == merges


# what is learned is what encodes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["o200k", "gpt2", "none"])
@given(docs=documents(), text=texts())
def test_a_trained_tokenizer_encodes_as_its_merges_say(pattern: str, docs: list[str], text: str) -> None:
    counted = bt.count_pretokens(["seed", *docs, text], pattern=pattern)
    tokenizer = bt.train_bpe(counted, vocab_size=320, min_count=1, special_tokens=["<|never|>"])
    vocab = tokenizer.vocab
    stages = SplitPattern.of(pattern).stages
    for sample in [*docs, text]:
        ids = tokenizer.encode(sample)
        assert ids == naive_encode_text(vocab.tokens, vocab.merges, stages, sample)
        assert tokenizer.decode_bytes(ids) == sample.encode()


@given(counts())
def test_training_segments_words_as_encoding_does(word_counts: dict[bytes, int]) -> None:
    tokenizer = bt.train_bpe(bt.PretokenCounts.from_dict(word_counts, pattern="none"), vocab_size=290, min_count=1)
    for word in word_counts:
        ids = tokenizer.encode(word)
        assert ids == naive_encode(tokenizer.vocab.tokens, tokenizer.vocab.merges, word)
        assert tokenizer.decode_bytes(ids) == word


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "deepseek-v3", "whitespace"])
def test_a_filing_trains_as_the_oracle_does(pattern: str, shared_data: Path) -> None:
    text = (shared_data / "sec-filings" / "ibm-20241231.txt").read_text(encoding="utf-8")[:15_000]
    word_counts = naive_count([text], SplitPattern.of(pattern).stages)
    asked = {"vocab_size": 420, "min_count": 2}
    assert learn(bt.count_pretokens([text], pattern=pattern), **asked) == naive_train_bpe(word_counts, **asked)  # type: ignore[arg-type]
