"""Scores as a list of merges: the same ids, or a refusal that names the pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import naive_encode_characters
from vocabularies import Characters, characters

from bytetok.errors import LossyConversionError
from bytetok.tokenizer.references import available_references
from bytetok.tokenizer.scores import merges_of_scores
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.tokenizer.vocab import CharacterScheme, Vocab


def vocab_of(pieces: dict[str, float]) -> Vocab:
    tokens = [bytes([byte]) for byte in range(256)] + [piece.encode() for piece in pieces]
    scores = (0.0,) * 256 + tuple(pieces.values())
    return Vocab(tuple(tokens), None, characters=CharacterScheme(tuple(range(256)), scores=scores))


def pieces_of(pieces: dict[str, float]) -> list[tuple[str, str]]:
    vocab = vocab_of(pieces)
    assert vocab.characters is not None
    assert vocab.characters.scores is not None
    merges = merges_of_scores(vocab, vocab.characters.scores)
    return [(vocab.tokens[left].decode(), vocab.tokens[right].decode()) for left, right in merges]


def test_all_pairs_of_a_piece_stand_where_its_score_says() -> None:
    pieces = {"a": 0.0, "b": 0.0, "c": 0.0, "abc": -1.0, "ab": -3.0, "bc": -2.0, "xyz": 9.0}
    assert pieces_of(pieces) == [("a", "bc"), ("ab", "c"), ("b", "c"), ("a", "b")]


def test_equal_scores_of_pieces_that_compete_are_refused() -> None:
    pieces = {"a": 0.0, "b": 0.0, "c": 0.0, "ab": -1.0, "bc": -1.0}
    with pytest.raises(LossyConversionError, match=r"tokens 259 and 260, 'ab' and 'bc', have the same score"):
        pieces_of(pieces)


def test_equal_scores_of_pieces_that_nothing_makes_are_no_matter() -> None:
    assert pieces_of({"a": -1.0, "b": -1.0, "ab": -1.0, "xy": -1.0, "z": -1.0}) == [("a", "b")]


def test_runs_of_one_character_may_share_a_score() -> None:
    runs = {"a": -9.0, **{"a" * size: -9.0 for size in (2, 3, 4, 6)}}
    order = [left + right for left, right in pieces_of({**runs, "b": 0.0, "ba": -1.0})]
    assert order == ["ba", *["aaaaaa"] * 3, *["aaaa"] * 3, "aaa", "aaa", "aa"]
    # a run that something else is made of, or one of another score, would not be on its own
    for other in ({"aab": -1.0}, {"aaaaa": -1.0}, {"baa": -1.0}):
        with pytest.raises(LossyConversionError, match="have the same score"):
            pieces_of({**runs, "b": 0.0, **other})


@given(made=characters(), data=st.data())
def test_merges_give_the_ids_of_scores(made: Characters, data: st.DataObject) -> None:
    scheme = CharacterScheme(made.byte_ids, scores=made.scores)
    vocab = Vocab(made.tokens, None, characters=scheme)
    try:
        merges = merges_of_scores(vocab, made.scores)
    except LossyConversionError:
        tied = [score for token_id, score in enumerate(made.scores) if token_id not in made.byte_ids]
        assert len(set(tied)) < len(tied)
        return
    text = data.draw(made.texts(10))
    by_score = naive_encode_characters(made.tokens, text, byte_ids=made.byte_ids, scores=made.scores)
    assert naive_encode_characters(made.tokens, text, byte_ids=made.byte_ids, merges=merges) == by_score


@given(lengths=st.sets(st.integers(2, 12), min_size=1), size=st.integers(1, 90))
def test_runs_that_are_let_through_merge_from_the_left(lengths: set[int], size: int) -> None:
    pieces = {"a" * length: -1.0 for length in {1, *lengths}}
    vocab = vocab_of(pieces)
    assert vocab.characters is not None
    assert vocab.characters.scores is not None
    try:
        merges = merges_of_scores(vocab, vocab.characters.scores)
    except LossyConversionError:
        return
    options = {"byte_ids": range(256)}
    by_score = naive_encode_characters(vocab.tokens, "a" * size, scores=vocab.characters.scores, **options)
    assert naive_encode_characters(vocab.tokens, "a" * size, merges=merges, **options) == by_score


@pytest.mark.skipif("mistral-v1" not in available_references(), reason="mistral-v1 is not in the cache")
def test_the_runs_of_spaces_of_mistral_are_let_through() -> None:
    vocab = Tokenizer.load("mistral-v1").vocab
    assert isinstance(vocab, Vocab)
    assert vocab.characters is not None
    assert vocab.characters.scores is not None
    merges = merges_of_scores(vocab, vocab.characters.scores)
    spaces = [(len(vocab.tokens[left]), len(vocab.tokens[right])) for left, right in merges
              if not (vocab.tokens[left] + vocab.tokens[right]).strip(b" ")]  # fmt: skip
    lengths = [left + right for left, right in spaces]
    assert [length for length, _ in itertools.groupby(lengths)] == [16, *range(14, 1, -1)]
