"""Rank files: reading, errors by line, and what they mean as merges."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import trained

import bytetok as bt
from bytetok.errors import BytetokError, CorpusError, FormatError
from bytetok.tokenizer.convert import convert
from bytetok.tokenizer.loading import load_ranks
from bytetok.tokenizer.tiktoken_format import is_ranked, read_ranks, spell_ranks, vocab_of

AB = {b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"ab": 4, b"abc": 5}


def lines(ranks: dict[bytes, int]) -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())


def test_ranks_come_back(tmp_path: Path) -> None:
    path = tmp_path / "x.tiktoken"
    path.write_bytes(lines(AB))
    assert read_ranks(path) == AB
    path.write_bytes(gzip.compress(lines(AB)))
    assert read_ranks(path) == AB
    assert spell_ranks(vocab_of(AB, {"<s>": 7})).encode() == lines(AB)


def test_all_pairs_are_merges_and_the_lowest_rank_goes_first() -> None:
    vocab = vocab_of(AB, {"<s>": 7})
    assert vocab.merges == ((1, 2), (0, 1), (0, 3), (4, 2))
    assert (vocab.ranked, vocab.whole_first, len(vocab), vocab[6]) == (True, True, 8, b"")
    tokenizer = bt.Tokenizer(vocab, bt.SplitPattern.of("none"))
    assert tokenizer.encode("abc") == [5]
    assert tokenizer.encode("cabc<s>", special="allow") == [2, 5, 7]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"YQ== 0\nYg== x\n", r"line 2 is b'Yg== x'"),
        (b"YQ== 0\nYg==\n", r"line 2 is b'Yg=='"),
        (b"YQ== 0\n!! 1\n", r"line 2 is b'!! 1'"),
        (b"YQ== 0\nYg== 1 2\n", r"line 2 is b'Yg== 1 2'"),
        (b"YQ== 0\nYQ== 1\n", r"line 2 .* one rank"),
        (b"\x1f\x8b\x08\x00", "truncated or corrupt gzip"),
        (gzip.compress(lines(AB))[:-6], "truncated or corrupt gzip"),
        (gzip.compress(lines(AB))[:12] + b"\xff" * 30, "truncated or corrupt gzip"),
    ],
)
def test_broken_files_are_named_with_the_line(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tiktoken"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message) as raised:
        load_ranks(path, name="x", pattern="none")
    assert str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"x\.tiktoken: cannot be read"):
        load_ranks(tmp_path / "x.tiktoken", name="x", pattern="none")


@pytest.mark.parametrize(
    ("ranks", "special", "message"),
    [
        ({b"a": 0, b"b": 0}, {}, r"the token b'b' has id 0, which belongs to b'a'"),
        ({b"a": -1}, {}, r"the token b'a' has id -1; ids count from 0"),
        ({b"a": 0}, {"<s>": 0}, r"the special token b'<s>' has id 0, which belongs to b'a'"),
        ({b"a": 0}, {"<s>": -5}, r"the special token b'<s>' has id -5"),
        ({b"a": 0}, {"<s>": 1, "<t>": 1}, r"'<t>' has id 1, which belongs to b'<s>'"),
        ({b"a": 10**9}, {}, r"ids go up to 1000000000 but there are only 1 tokens"),
    ],
)
def test_ids_that_clash_are_errors(ranks: dict[bytes, int], special: dict[str, int], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        vocab_of(ranks, special)


def test_a_file_without_a_pattern_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "mine.tiktoken"
    path.write_bytes(lines(AB))
    with pytest.raises(FormatError, match="does not say its split pattern"):
        bt.Tokenizer.load(path)
    assert load_ranks(path, name="mine", pattern="none").encode("abc") == [5]


def test_the_name_of_a_published_encoding_says_its_pattern(tmp_path: Path) -> None:
    path = tmp_path / "cl100k_base.tiktoken"
    path.write_bytes(lines({bytes([byte]): byte for byte in range(256)}))
    with pytest.raises(FormatError, match="ids go up to"):  # its special tokens are at 100257 and above
        bt.Tokenizer.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"pattern": None},
        {"pattern": {}},
        {"pattern": {"name": "o200k", "stages": []}},
        {"pattern": {"name": "o200k", "stages": "x"}},
        {"pattern": {"name": "o200k", "stages": [5]}},
        {"pattern": {"name": "o200k", "stages": ["("]}},
        {"added_tokens": None},
        {"added_tokens": [{}]},
        {"added_tokens": [5]},
        {"added_tokens": [{"content": "<s>", "id": 999_999_999}]},
        {"added_tokens": [{"content": "<s>", "id": 10}]},
        {"added_tokens": [{"content": "<s>", "id": "1"}]},
        {"added_tokens": [{"content": 5, "id": 1}]},
    ],
)
def test_a_damaged_description_is_an_error(change: dict[str, object], tmp_path: Path) -> None:
    convert(trained(), tmp_path / "mine.tiktoken")
    described = tmp_path / "mine.bytetok.json"
    described.write_text(json.dumps({**json.loads(described.read_text()), **change}))
    with pytest.raises(BytetokError):
        bt.Tokenizer.load(tmp_path / "mine.tiktoken")


TOKENS = st.lists(st.text("abc", min_size=2, max_size=6).map(str.encode), unique=True, max_size=14)


@given(TOKENS, st.text("abc", max_size=14))
def test_equal_ranks_and_places_in_the_list_give_the_same_ids(tokens: list[bytes], text: str) -> None:
    """The claim of ``is_ranked``: for all pairs in rank order, it does not matter which of the two rules is used."""
    ranks = {token: rank for rank, token in enumerate([b"a", b"b", b"c", *tokens])}
    ranked = vocab_of(ranks, {})
    listed = bt.Vocab(ranked.tokens, ranked.merges, whole_first=True)
    assert is_ranked(ranked.tokens, ranked.merges)
    pattern = bt.SplitPattern.of("none")
    assert bt.Tokenizer(ranked, pattern).encode(text) == bt.Tokenizer(listed, pattern).encode(text)


def test_what_is_not_all_pairs_in_order_is_not_ranked() -> None:
    vocab = vocab_of(AB, {})
    assert not is_ranked(vocab.tokens, vocab.merges[:-1])
    assert not is_ranked(vocab.tokens, (vocab.merges[1], vocab.merges[0], *vocab.merges[2:]))
    assert not is_ranked(vocab.tokens, (vocab.merges[0], *vocab.merges[:3]))
    assert is_ranked(vocab.tokens, (*vocab.merges[:2], vocab.merges[3], vocab.merges[2]))
