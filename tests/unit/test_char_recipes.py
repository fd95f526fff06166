"""The char recipes cut by place: what an error can and cannot move, and how long tokens get."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from regex16 import regex

from bytetok.tokenizer.patterns import SplitPattern
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training.build import train
from bytetok.training.ocr import boundary_consistency
from bytetok.training.recipe import load_recipe

SIZES = {"char-4k": 3, "char-8k": 3, "char-16k": 4}  # name -> characters per cut

# Enough variety that frequent chunks become tokens and damaged ones do not; 40 repeats pass the least count of 10.
TEXT = (
    'The Company ("Issuer") shall pay 1,234.56 dollars, together with interest, to the holders of its notes.\n'
    "    Section 12(b)(6): the registrant's annual report on Form 10-K for the fiscal year ended 2019 is amended.\n"
    "\n\n        Nothing in this agreement limits the liability of any person for fraud; see 17 C.F.R. 240.10b-5.\n"
)
CORPUS = [TEXT] * 40


def small(name: str, **changes: object) -> Tokenizer:
    return train(CORPUS, recipe=dataclasses.replace(load_recipe(name), vocab_size=512, **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=sorted(SIZES))
def made(request: pytest.FixtureRequest) -> tuple[Tokenizer, int]:
    return small(request.param), SIZES[request.param]


def ends(tokenizer: Tokenizer, text: str) -> set[int]:
    """Token ends as character offsets; ASCII only."""
    return {end for _, end in tokenizer.spans(tokenizer.encode(text))}


def test_words_and_punctuation_are_cut_by_place() -> None:
    split = SplitPattern.of(load_recipe("char-4k").pattern).split
    assert split("the judgment") == [b"the", b" ju", b"dgm", b"ent"]
    assert split("  1,234567 (U.S.)") == [b" ", b" 1", b",", b"234", b"567", b" (", b"U", b".", b"S", b".)"]
    assert split("a\n\n\t b\tc .....") == [b"a", b"\n\n", b"\t", b" b", b"\t", b"c", b" ..", b"..."]
    assert split("a  \r\n  ") == [b"a", b"  ", b"\r\n", b"  "]
    assert split("x" + 11 * " " + "y") == [b"x", 8 * b" ", 2 * b" ", b" y"]
    split = SplitPattern.of(load_recipe("char-16k").pattern).split
    assert split("the judgment!") == [b"the", b" jud", b"gmen", b"t", b"!"]


@pytest.mark.parametrize("name", sorted(SIZES))
@given(text=st.text(st.sampled_from("ab1I|.,;'é\u0301日 \t\r\n\u00a0"), max_size=40) | st.text(max_size=40))
def test_pieces_join_to_the_text_and_are_those_of_the_regex(name: str, text: str) -> None:
    pattern = load_recipe(name).pattern
    assert isinstance(pattern, str)
    pieces = SplitPattern.of(pattern).split(text)
    assert b"".join(pieces).decode() == text
    if text.isascii():  # elsewhere the two may know different versions of Unicode
        assert [piece.decode() for piece in pieces] == regex.findall(pattern, text)


@given(data=st.data())
def test_a_misread_letter_or_digit_moves_only_boundaries_of_its_own_chunk(
    made: tuple[Tokenizer, int], data: st.DataObject
) -> None:
    tokenizer, longest = made
    line = data.draw(st.sampled_from(TEXT.splitlines()) | st.text(st.sampled_from("abcdelo01 .("), min_size=1))
    places = [i for i, char in enumerate(line) if char.isalnum()]
    if not places:
        return
    at = data.draw(st.sampled_from(places))
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
    moved = ends(tokenizer, line) ^ ends(tokenizer, line[:at] + other + line[at + 1 :])
    stop = 0
    for piece in tokenizer.pattern.split(line):
        start, stop = stop, stop + len(piece)
        if start <= at < stop:
            break
    assert all(start < end < stop for end in moved)
    assert len(moved) < longest


def reach(tokenizer: Tokenizer) -> int:
    """How far from a misread letter or digit, in characters, a boundary moves at most, over every place of the text."""
    farthest = 0
    for line in TEXT.splitlines():
        clean = ends(tokenizer, line)
        for at in (i for i, char in enumerate(line) if char.isalnum()):
            moved = clean ^ ends(tokenizer, line[:at] + "0" + line[at + 1 :])
            farthest = max([farthest, *(abs(end - at) for end in moved)])
    return farthest


def test_with_the_pattern_of_gpt2_an_error_reaches_further(made: tuple[Tokenizer, int]) -> None:
    tokenizer, longest = made
    assert 0 < reach(tokenizer) < longest <= reach(small("char-4k", pattern="gpt2"))


def test_fewer_boundaries_change_than_with_the_pattern_of_gpt2(made: tuple[Tokenizer, int]) -> None:
    tokenizer, longest = made
    plain = small("char-4k" if longest == 3 else "char-16k", pattern="gpt2")
    lines = [line for line in TEXT.splitlines() if line]
    ours = sum(found.changed for seed in range(40) if (found := boundary_consistency(tokenizer, lines, seed=seed)))
    theirs = sum(found.changed for seed in range(40) if (found := boundary_consistency(plain, lines, seed=seed)))
    assert 0 < ours < theirs


def test_only_runs_of_white_space_are_longer_than_the_limit(made: tuple[Tokenizer, int]) -> None:
    tokenizer, longest = made
    special = tokenizer.vocab.added_tokens
    texts = [token.decode(errors="replace") for token in tokenizer.vocab.tokens]
    ordinary = [text for text in texts if text not in special]
    assert max(len(token) for token in ordinary if not token.isspace()) == longest
    assert {token for token in ordinary if len(token) > longest} == {7 * " "}
    assert tokenizer.encode(8 * " " + "Nothing")[0] == tokenizer.vocab.id_of(7 * b" ")


def test_a_saved_char_tokenizer_encodes_the_same_in_tokenizers(made: tuple[Tokenizer, int], tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer, _ = made
    tokenizer.save(tmp_path / "char")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "char" / "tokenizer.json"))
    for text in (TEXT, "naïve — “§ 12”", 40 * " " + "x\n\n\n" + 9 * "\t"):
        assert tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False).ids
