"""Training and extending: what is promised about ids, provenance and settings.

That the merges are the right ones is in tests/property/test_train_property.py and tests/parity/test_hf_trainer.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import naive_encode, naive_length
from small import CORPUS, extended, of_merges, trained
from strategies import counts

import bytetok as bt
from bytetok.errors import SpecialTokenError, TrainingError, VocabMismatchError
from bytetok.tokenizer.bytelevel import BYTE_ORDER
from bytetok.tokenizer.derivation import derivations
from bytetok.tokenizer.tiktoken_format import vocab_of


def counted(words: dict[bytes, int], pattern: str = "none") -> bt.PretokenCounts:
    return bt.PretokenCounts.from_dict(words, pattern=pattern)


# training -------------------------------------------------------------------------------------------------------------


def test_special_tokens_then_bytes_then_merges() -> None:
    tokenizer = bt.train_bpe(counted({b"abab": 2}), vocab_size=260, special_tokens=["<s>", "</s>"], name="tiny")
    assert tokenizer.vocab.tokens[:2] == (b"<s>", b"</s>")
    assert tokenizer.vocab.tokens[2:258] == tuple(bytes([byte]) for byte in BYTE_ORDER)
    assert tokenizer.vocab.tokens[258:] == (b"ab", b"abab")
    assert tokenizer.vocab.special_tokens == {"<s>": 0, "</s>": 1}
    assert (tokenizer.name, tokenizer.pattern.name) == ("tiny", "none")


def test_min_count_is_the_least_count_of_a_merge() -> None:
    words = counted({b"ab": 3, b"cd": 2, b"ef": 1})
    for min_count, made in ((1, 3), (2, 2), (3, 1), (4, 0)):
        assert len(bt.train_bpe(words, vocab_size=300, min_count=min_count).vocab) == 256 + made


@given(counts(), st.integers(1, 6), st.sampled_from(["bytes", "characters"]))
def test_no_token_is_longer_than_asked_for(words: dict[bytes, int], most: int, unit: str) -> None:
    tokenizer = bt.train_bpe(
        counted(words), vocab_size=300, min_count=1, max_token_length=most, length_unit=unit  # type: ignore[arg-type]
    )
    assert all(naive_length(token, unit) <= most for token in tokenizer.vocab.tokens)


def test_a_length_in_characters_lets_scripts_be_alike() -> None:
    words = counted({"漢字漢字".encode(): 9, b"abcd": 9})
    in_bytes = bt.train_bpe(words, vocab_size=400, max_token_length=4).vocab
    in_characters = bt.train_bpe(words, vocab_size=400, max_token_length=4, length_unit="characters").vocab
    assert b"abcd" in in_bytes.tokens
    assert "漢字".encode() not in in_bytes.tokens
    assert {"漢字漢字".encode(), b"abcd"} <= set(in_characters.tokens)


@pytest.mark.parametrize(("alphabet", "letters"), [("bytes", 256), ("seen", 3), (2, 2), (1, 1), (9, 3)])
def test_alphabets(alphabet: str | int, letters: int) -> None:
    tokenizer = bt.train_bpe(counted({b"abc": 1, b"ab": 1}), vocab_size=letters, alphabet=alphabet)  # type: ignore[arg-type]
    assert sum(len(token) == 1 for token in tokenizer.vocab.tokens) == letters


@pytest.mark.parametrize("alphabet", ["", "all", 0, -1, None, 1.5, True])
def test_other_alphabets_are_errors(alphabet: object) -> None:
    with pytest.raises(TrainingError, match='expected "bytes", "seen" or a number of bytes'):
        bt.train_bpe(counted({b"ab": 1}), vocab_size=300, alphabet=alphabet)  # type: ignore[arg-type]


def test_provenance_says_how_it_was_trained() -> None:
    counts_of_corpus = bt.count_pretokens(CORPUS)
    described = bt.train_bpe(counts_of_corpus, vocab_size=300, min_count=3).provenance["trained"]
    assert described == {
        "vocab_size": 300, "min_count": 3, "max_token_length": None, "length_unit": "bytes", "alphabet": "bytes",
        "documents": len(CORPUS), "bytes": counts_of_corpus.bytes, "pretokens": counts_of_corpus.total,
        "distinct_pretokens": len(counts_of_corpus),
    }  # fmt: skip


def test_progress_hears_tokens_and_can_stop() -> None:
    heard: list[int] = []
    bt.train_bpe(bt.count_pretokens(CORPUS), vocab_size=400, min_count=1, progress=heard.append)
    assert heard == sorted(heard)
    assert all(256 <= number <= 400 for number in heard)


@given(counts(), st.integers(0, 30))
def test_every_trained_token_is_made_of_its_own_bytes(words: dict[bytes, int], new_tokens: int) -> None:
    vocab = bt.train_bpe(counted(words), vocab_size=256 + new_tokens, min_count=1).vocab
    assert len(vocab.merges) == len(vocab) - 256
    for token_id in range(256, len(vocab)):
        assert naive_encode(vocab.tokens, vocab.merges, vocab.tokens[token_id]) == [token_id]


# extending ------------------------------------------------------------------------------------------------------------


def test_extending_keeps_every_id_and_merge() -> None:
    small, counts_of_corpus = trained(vocab_size=300), bt.count_pretokens(CORPUS)
    larger = bt.extend(small, counts_of_corpus, vocab_size=420, min_count=1)
    assert larger.vocab.tokens[:300] == small.vocab.tokens
    assert larger.vocab.merges[: len(small.vocab.merges)] == small.vocab.merges
    assert larger.vocab == trained(vocab_size=420).vocab, "on the same corpus it is as if trained in one go"
    assert larger.provenance["extended"]["from"] == 300
    assert larger.provenance["trained"] == small.provenance["trained"]
    assert small.vocab_size == 300


@given(counts(), counts(), st.integers(0, 15), st.integers(0, 15))
def test_extending_on_other_text_leaves_no_dead_tokens(
    first: dict[bytes, int], second: dict[bytes, int], some: int, more: int
) -> None:
    small = bt.train_bpe(counted(first), vocab_size=256 + some, min_count=1)
    larger = bt.extend(small, counted(second), vocab_size=len(small.vocab) + more, min_count=1)
    assert larger.vocab.tokens[: len(small.vocab)] == small.vocab.tokens
    assert all(derivation.made for derivation in derivations(larger.vocab).values())
    for word in second:
        assert len(larger.encode(word)) <= len(small.encode(word))


def test_added_tokens_and_gaps_stay_where_they_are() -> None:
    added = {"<s>": bt.AddedToken("<s>", 0, special=True), "(x)": bt.AddedToken("(x)", 4)}
    vocab = bt.Vocab((b"<s>", b"a", b"", b"b", b"(x)"), (), added)
    tokenizer = bt.Tokenizer(vocab, bt.SplitPattern.of("none"))
    larger = bt.extend(tokenizer, counted({b"abab": 5, b"(x)": 9}), vocab_size=7)
    assert larger.vocab.tokens == (b"<s>", b"a", b"", b"b", b"(x)", b"ab", b"abab")
    assert larger.vocab.added_tokens == vocab.added_tokens


def test_a_merge_never_spells_an_added_token() -> None:
    tokenizer = extended(trained(vocab_size=258), added={"ab": {}})
    larger = bt.extend(tokenizer, counted({b"ab": 5, b"abc": 5}, "o200k"), vocab_size=300, min_count=1)
    assert larger.vocab.tokens.count(b"ab") == 1
    assert b"bc" in larger.vocab.tokens


def test_a_dead_token_is_not_made_a_second_time() -> None:
    dead = of_merges(b"abc", [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")])
    larger = bt.extend(dead, counted({b"abc": 9, b"abcabc": 5}), vocab_size=7)
    assert larger.vocab.tokens.count(b"abc") == 1
    assert larger.encode("abc") == [5]
    assert larger.vocab.tokens[6:] == (b"abcabc",)


RANKED = bt.Tokenizer(
    vocab_of({b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"ab": 4}, {"<s>": 5}), bt.SplitPattern.of("none"), name="ranked"
)


def test_an_extended_rank_file_is_a_rank_file(tmp_path: Path) -> None:
    larger = bt.extend(RANKED, counted({b"abc": 9, b"abab": 5}), vocab_size=8)
    ranks = {token: token_id for token_id, token in enumerate(larger.vocab.tokens) if token_id != 5}
    assert larger.vocab == vocab_of(ranks, {"<s>": 5})
    larger.save(tmp_path)
    loaded = bt.Tokenizer.load(tmp_path)
    assert loaded.vocab == larger.vocab
    assert bt.extend(loaded, counted({b"abcabc": 9}), vocab_size=9).vocab_size == 9  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tokenizer", "words", "size", "error", "message"),
    [
        (trained(), counted({b"ab": 1}, "gpt2"), 500, VocabMismatchError, "splits by o200k, .* made by gpt2"),
        (trained(), counted({b"ab": 1}, "o200k"), 419, TrainingError, "419 is smaller than the 420 tokens .* prune"),
        (trained(), counted({}, "o200k"), 500, TrainingError, "the corpus is empty"),
        (extended(trained(), whole=[b"qua"]), counted({b"ab": 1}, "o200k"), 500, TrainingError, "ignore_merges"),
    ],
)
def test_what_cannot_be_extended_is_said(
    tokenizer: bt.Tokenizer, words: bt.PretokenCounts, size: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        bt.extend(tokenizer, words, vocab_size=size)


def test_extending_to_the_same_size_changes_nothing() -> None:
    assert bt.extend(trained(), counted({b"zzzz": 9}, "o200k"), vocab_size=420).vocab == trained().vocab


def test_special_tokens_that_clash_are_errors_of_their_kind() -> None:
    with pytest.raises(SpecialTokenError, match="'<s>' is given twice"):
        bt.train_bpe(counted({b"ab": 1}), vocab_size=300, special_tokens=["<s>", "<s>"])
