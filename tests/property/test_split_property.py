"""Splits against the regexes that define them, run by Python's ``regex`` package (Unicode 16.0)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reference import naive_count, naive_split
from regex16 import regex
from strategies import documents, texts

import bytetok as bt
from bytetok.tokenizer import SplitPattern
from bytetok.tokenizer.patterns import NAMED

NAMES = list(NAMED)

# Regexes that no scanner knows: an engine has to run them.
USER_PATTERNS: list[str | Sequence[str]] = [
    r"\p{L}+(?=s\b)|\p{L}+|\s+(?!\S)|\s",  # lookahead
    r"(?<=\d)\.(?=\d)|\d",  # lookbehind, and most text lies between matches
    r"(?<![A-Z])[A-Z]\p{Ll}+",
    r"(\p{L})\1+",  # a backreference: runs of one letter
    r"(?>a+)b|[^\s]++",  # atomic group, possessive quantifier
    r"(?i:the|of)\s?|\p{Lu}\p{M}*",
    r"(?s:.)",  # one character a piece
    r"\r\n|\n",
    r"zzzz never matches",
    [r"\d+", r"\s+"],
    [r"\p{N}{1,3}", r"[ぁ-ヿ]+", r"\s+(?!\S)|\p{P}"],
    # A later stage sees one piece at a time: its lookahead must not look into the next piece.
    [r"\d", r"[a-z]+(?![\s\S])"],
]


def expected(text: str, pattern: SplitPattern) -> list[bytes]:
    return [piece.encode() for piece in naive_split(text, pattern.stages)]


def test_the_promised_names_are_there() -> None:
    promised = "gpt2 cl100k o200k llama3 qwen2 qwen3 deepseek-v3 digits whitespace none"
    assert set(promised.split()) <= NAMED.keys()


def test_the_oracle_knows_our_version_of_unicode() -> None:
    assert regex.fullmatch(r"\p{L}", "\U000105c0"), "this `regex` is older than Unicode 16.0"
    assert not regex.fullmatch(r"\p{L}", "\U00010940"), "this `regex` is newer than Unicode 16.0: pin regex==2025.9.18"


@pytest.mark.parametrize("name", NAMES)
@given(text=texts())
@example(text="a\n  ")
@example(text=" \n \n\r x \t")
@example(text="we'LL i'ſ ''s 'ſ' 1234 ⅧⅧⅧⅧ")
@example(text="\x1c\x1d a\x1f\x1e\x85\u180e")
@example(text="漢字かなカナ 12中34 e\u0301te\u0301")
@example(text="A\u0301B\u0301c ǅaǅ ʰaʰ ªBª 'S'")
def test_named_patterns_split_as_their_regexes(name: str, text: str) -> None:
    pattern = SplitPattern.of(name)
    assert pattern.name == name
    assert pattern.split(text) == expected(text, pattern)


@pytest.mark.parametrize("pattern", USER_PATTERNS, ids=str)
@given(text=texts())
@example(text="aab mississippis 3.14 the OF\r\n A\u0301")
def test_a_users_regex_splits_as_python_does(pattern: str | Sequence[str], text: str) -> None:
    compiled = SplitPattern.of(pattern)
    assert compiled.name is None
    assert compiled.split(text) == expected(text, compiled)


@pytest.mark.parametrize("pattern", [r"\w", r"\d", r"\s", r"\p{L}", r"\p{Han}", r"\p{Alphabetic}", r"(?i:[ks])"])
def test_a_users_classes_are_those_of_unicode(pattern: str) -> None:
    compiled, oracle = SplitPattern.of(pattern), regex.compile(pattern)
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    # A control that is in none of the classes stands between the characters.
    pieces = compiled.split("\x00".join(["", *characters, ""]))
    matched = {piece.decode() for piece in pieces if b"\x00" not in piece}
    assert matched == {character for character in characters if oracle.fullmatch(character)}


def test_where_a_users_regex_is_not_pythons() -> None:
    # The engine is Rust's: these mean the same in Python's syntax and match something else.
    assert SplitPattern.of(r"a$").split("ba\n") == [b"ba\n"], "$ is the end of the text, never before a last newline"
    assert SplitPattern.of(r"[[:alpha:]]").split("éa") == ["é".encode(), b"a"], "POSIX classes are of ASCII"
    assert SplitPattern.of(r"[[:alpha:]]").split("éé") == ["éé".encode()]
    assert SplitPattern.of(r"[\p{L}--[a-z]]").split("aA") == [b"a", b"A"], "sets can be subtracted"


@pytest.mark.parametrize("name", ["gpt2", "cl100k", "o200k", "deepseek-v3"])
def test_every_character_has_its_class(name: str) -> None:
    pattern = SplitPattern.of(name)
    code_points = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    # Planes 3 to 13 hold nothing but a part of CJK; one in 61 of the rest of them is enough.
    code_points = [code for code in code_points if code < 0x33500 or code >= 0xE0000 or code % 61 == 0]
    code_points = [code for code in code_points if code < 0xE0200 or code % 61 == 0]
    for start in range(0, len(code_points), 4096):
        block = code_points[start : start + 4096]
        text = "".join(f"b{chr(code)}B{chr(code)}1. {chr(code)}" for code in block)
        assert pattern.split(text) == expected(text, pattern), f"between U+{block[0]:04X} and U+{block[-1]:04X}"


@pytest.mark.parametrize("name", NAMES)
@given(data=st.lists(st.one_of(st.binary(max_size=6), texts(4).map(str.encode)), max_size=6).map(b"".join))
def test_bytes_that_are_not_utf8_lose_nothing(name: str, data: bytes) -> None:
    pieces = SplitPattern.of(name).split(data)
    assert b"".join(pieces) == data
    assert b"" not in pieces


@pytest.mark.parametrize("name", NAMES)
@given(text=texts())
def test_text_and_its_bytes_split_alike(name: str, text: str) -> None:
    pattern = SplitPattern.of(name)
    assert pattern.split(text.encode()) == pattern.split(text)


@pytest.mark.parametrize("name", NAMES)
def test_filings_split_as_their_regexes(name: str, shared_data: Path) -> None:
    pattern = SplitPattern.of(name)
    for path in sorted((shared_data / "sec-filings").glob("*.txt"))[::6]:
        text = path.read_text(encoding="utf-8")[:150_000]
        assert pattern.split(text) == expected(text, pattern), path.name


@pytest.mark.parametrize("name", NAMES)
def test_sources_split_as_their_regexes(name: str, repository: Path) -> None:
    pattern = SplitPattern.of(name)
    for path in sorted((repository / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert pattern.split(text) == expected(text, pattern), path.name


@pytest.mark.parametrize(
    "pattern", ["gpt2", "o200k", "deepseek-v3", "none", r"\p{L}+(?=s)|\d", [r"\d+", r"\s+"]], ids=str
)
@given(docs=documents())
def test_counts_are_those_of_the_pieces(pattern: str | Sequence[str], docs: list[str]) -> None:
    counts = bt.count_pretokens(docs, pattern=pattern)
    naive = naive_count(docs, SplitPattern.of(pattern).stages)
    assert list(counts.items()) == list(naive.items())
    assert counts.total == sum(naive.values())
    assert len(counts) == len(naive)
