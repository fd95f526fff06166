"""Splits against the engines that made the patterns known: Oniguruma in ``tokenizers``, and tiktoken's own regexes.

``tests/property/test_split_property.py`` holds our scanners to the regexes of ``SplitPattern.stages``; here those
regexes are held to what the rest of the world runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given
from reference import naive_split
from strategies import texts

from bytetok.tokenizer import SplitPattern
from bytetok.tokenizer.patterns import NAMED

tokenizers = pytest.importorskip("tokenizers")

NAMES = list(NAMED)


def hf_split(text: str, stages: Sequence[str]) -> list[str]:
    """The pieces of ``tokenizers``, a ``Split`` a stage."""
    splits = [tokenizers.pre_tokenizers.Split(tokenizers.Regex(stage), "isolated") for stage in stages]
    return [piece for piece, _ in tokenizers.pre_tokenizers.Sequence(splits).pre_tokenize_str(text)]


@pytest.mark.parametrize("name", NAMES)
@given(text=texts())
@example(text="a\n  ")
@example(text=" \n \n\r x \t")
@example(text="we'LL i'ſ 1234 ⅧⅧⅧⅧ")
@example(text="漢字かなカナ 12中34 e\u0301te\u0301")
def test_the_regexes_split_in_oniguruma_as_in_python(name: str, text: str) -> None:
    stages = SplitPattern.of(name).stages
    assert naive_split(text, stages) == hf_split(text, stages)


@given(text=texts())
def test_gpt2_is_what_byte_level_does(text: str) -> None:
    alphabet = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    offsets = [span for _, span in alphabet.pre_tokenize_str(text)]
    assert [text[start:end] for start, end in offsets] == naive_split(text, SplitPattern.of("gpt2").stages)


@pytest.mark.parametrize("name", NAMES)
def test_filings_split_as_in_tokenizers(name: str, shared_data: Path) -> None:
    pattern = SplitPattern.of(name)
    for path in sorted((shared_data / "sec-filings").glob("*.txt"))[::5]:
        text = path.read_text(encoding="utf-8")[5_000:45_000]
        assert pattern.split(text) == [piece.encode() for piece in hf_split(text, pattern.stages)], path.name


@pytest.fixture(scope="module")
def tiktoken_patterns() -> dict[str, str]:
    """tiktoken's own regexes, read from the package without fetching its vocabularies."""
    public = pytest.importorskip("tiktoken_ext.openai_public")
    with mock.patch.object(public, "load_tiktoken_bpe", return_value={}):
        published = {"cl100k": public.cl100k_base()["pat_str"], "o200k": public.o200k_base()["pat_str"]}
    return {"gpt2": public.r50k_pat_str, **published}


@pytest.mark.parametrize("name", ["gpt2", "cl100k", "o200k"])
@given(text=texts())
@example(text="a\n  ")
@example(text="a \r\n\n  \n\t")
@example(text="x\n\n\ny")
def test_named_patterns_are_those_of_tiktoken(name: str, text: str, tiktoken_patterns: dict[str, str]) -> None:
    published = tiktoken_patterns[name]
    assert naive_split(text, SplitPattern.of(name).stages) == naive_split(text, [published])
    # The published spelling is taken as it is, too.
    assert SplitPattern.of(published).split(text) == SplitPattern.of(name).split(text)
