"""Split patterns as values: names, equality, pickling, errors. What they split is in tests/property/test_split*."""

from __future__ import annotations

import copy
import pickle

import pytest

import bytetok as bt
from bytetok.errors import InvalidPatternError
from bytetok.tokenizer.patterns import LLAMA_CPP_PRE, NAMED


@pytest.mark.parametrize("name", NAMED)
def test_a_name_is_known_by_its_regexes(name: str) -> None:
    pattern = bt.SplitPattern.of(name)
    assert pattern.name == name
    assert pattern.stages == NAMED[name]
    assert str(pattern) == name
    assert pattern.is_linear
    same = bt.SplitPattern.of(NAMED[name])
    assert same == pattern
    assert same.name is not None
    assert NAMED[same.name] == NAMED[name]


def test_a_pattern_is_its_regexes_whatever_its_name() -> None:
    assert bt.SplitPattern.of("qwen2") == bt.SplitPattern.of("qwen3")
    assert hash(bt.SplitPattern.of("qwen2")) == hash(bt.SplitPattern.of("qwen3"))
    assert bt.SplitPattern.of("qwen2") != bt.SplitPattern.of("llama3")


def test_a_users_regex_has_no_name() -> None:
    pattern = bt.SplitPattern.of([r"\p{N}", r"[a-z]+"])
    assert (pattern.name, pattern.stages) == (None, (r"\p{N}", r"[a-z]+"))
    assert str(pattern) == r"\p{N} | then | [a-z]+"
    assert not pattern.is_linear
    assert pattern.split("ab12c") == [b"ab", b"1", b"2", b"c"]


def test_a_pattern_is_its_own_pattern() -> None:
    pattern = bt.SplitPattern.of("gpt2")
    assert bt.SplitPattern.of(pattern) is pattern


@pytest.mark.parametrize("pattern", ["o200k", "qwen3", r"\w+", (r"\d", r"\s+")])
def test_patterns_pickle(pattern: str | tuple[str, ...]) -> None:
    original = bt.SplitPattern.of(pattern)
    for other in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert other == original
        assert other.name == original.name
        assert other.split("ab 12") == original.split("ab 12")


@pytest.mark.parametrize(("wrong", "right"), [("o20k", "o200k"), ("gpt-2", "gpt2"), ("llama-3", "llama3")])
def test_a_misspelled_name_is_no_regex(wrong: str, right: str) -> None:
    with pytest.raises(InvalidPatternError, match=f"did you mean '{right}'"):
        bt.SplitPattern.of(wrong)


def test_a_literal_word_needs_brackets() -> None:
    with pytest.raises(InvalidPatternError, match=r"is written \(plaintiff\)"):
        bt.SplitPattern.of("plaintiff")
    assert bt.SplitPattern.of("(plaintiff)").split("a plaintiff b") == [b"a ", b"plaintiff", b" b"]


def test_a_lone_surrogate_is_no_regex() -> None:
    with pytest.raises(InvalidPatternError, match="lone surrogate"):
        bt.SplitPattern.of(["[a-z]+", "(\ud800)"])


def test_no_stages_are_no_pattern() -> None:
    with pytest.raises(InvalidPatternError, match="at least one regex"):
        bt.SplitPattern.of([])


def test_patterns_that_llama_cpp_knows_are_named_patterns() -> None:
    assert LLAMA_CPP_PRE.keys() <= NAMED.keys()
