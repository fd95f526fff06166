"""The vocabulary: what it refuses, what it finds, and that it stays the same when copied."""

from __future__ import annotations

import copy
import pickle

import pytest
from small import extended, trained

import bytetok as bt
from bytetok.errors import FormatError, SpecialTokenError, UnknownTokenError
from bytetok.tokenizer.vocab import special_tokens_from


def added(text: str, token_id: int, **flags: bool) -> dict[str, bt.AddedToken]:
    return {text: bt.AddedToken(text, token_id, **flags)}


def test_tokens_are_found_by_bytes_and_by_id() -> None:
    vocab = bt.Vocab((b"a", b"b", b"ab", b"<s>"), ((0, 1),), added("<s>", 3, special=True))
    assert (len(vocab), list(vocab), vocab[2], vocab.id_of(b"ab")) == (4, [b"a", b"b", b"ab", b"<s>"], b"ab", 2)
    assert vocab.get(b"x") is None
    assert vocab.special_tokens == {"<s>": 3}
    assert vocab.merge_triples == [(0, 1, 2)]
    assert vocab.ordinary() == [True, True, True, False]


def test_an_added_token_is_not_an_ordinary_one() -> None:
    vocab = bt.Vocab((b"a", b"ab"), (), added("ab", 1))
    assert vocab.get(b"ab") is None
    assert vocab.special_tokens == {}


@pytest.mark.parametrize("token_id", [-1, 3, 1 << 40])
def test_an_id_outside_is_named(token_id: int) -> None:
    with pytest.raises(UnknownTokenError, match=f"{token_id} is outside 0 to 2"):
        bt.Vocab((b"a", b"b", b"c"))[token_id]


def test_a_token_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownTokenError, match=r"b'zz' is not in this vocabulary of 1$"):
        bt.Vocab((b"a",)).id_of(b"zz")


def test_a_token_with_two_ids_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"b'ab' has two ids, 1 and 2"):
        bt.Vocab((b"a", b"ab", b"ab"))


def test_gaps_are_no_tokens_and_no_duplicates() -> None:
    vocab = bt.Vocab((b"a", b"", b"", b"b"))
    assert vocab.ordinary() == [True, False, False, True]
    assert vocab.get(b"") is None


@pytest.mark.parametrize(
    ("tokens", "added_tokens", "message"),
    [
        ((b"a",), added("a", 1), r"'a' has id 1, outside 0 to 0"),
        ((b"a",), added("a", -1), r"'a' has id -1, outside 0 to 0"),
        ((b"a", b"b"), added("x", 1), r"'x' stands under 'x' and has id 1, whose token is b'b'"),
        ((b"a", b"b"), {"b": bt.AddedToken("a", 0)}, r"'a' stands under 'b'"),
        ((b"a", b""), added("", 1), r"not empty"),
        ((b"<s>",), {"<s>": bt.AddedToken("<s>", 0), "<t>": bt.AddedToken("<t>", 0)}, r"'<t>' .* has id 0"),
    ],
)
def test_added_tokens_that_contradict_are_errors(
    tokens: tuple[bytes, ...], added_tokens: dict[str, bt.AddedToken], message: str
) -> None:
    with pytest.raises(SpecialTokenError, match=message):
        bt.Vocab(tokens, (), added_tokens)


def test_merges_that_make_nothing_are_errors() -> None:
    with pytest.raises(FormatError, match=r"merge 0 makes b'ab', which is not in the vocabulary"):
        bt.Vocab((b"a", b"b"), ((0, 1),)).merge_triples  # noqa: B018


@pytest.mark.parametrize("pair", [(0, 2), (-1, 0)])
def test_merges_of_ids_that_are_not_there_are_errors(pair: tuple[int, int]) -> None:
    with pytest.raises(FormatError, match=r"merge 0 joins ids .* ids go from 0 to 1"):
        bt.Vocab((b"a", b"b"), (pair,)).merge_triples  # noqa: B018


def test_added_tokens_cannot_be_changed() -> None:
    vocab = trained().vocab
    with pytest.raises(TypeError):
        vocab.added_tokens["x"] = bt.AddedToken("x", 0)  # type: ignore[index]


def test_copies_and_pickles_are_equal() -> None:
    vocab = extended(trained(), whole=[b" 1998"], added={"(a)": {"single_word": True}}).vocab
    for other in (pickle.loads(pickle.dumps(vocab)), copy.deepcopy(vocab)):
        assert other == vocab
        assert hash(other) == hash(vocab)
        assert other.added_tokens["(a)"].single_word


@pytest.mark.parametrize(
    "other",
    [
        bt.Vocab((b"a", b"b", b"ba"), ((0, 1),)),
        bt.Vocab((b"a", b"b", b"ab"), ()),
        bt.Vocab((b"a", b"b", b"ab"), ((0, 1),), whole_first=True),
        bt.Vocab((b"a", b"b", b"ab"), ((0, 1),), ranked=True),
        bt.Vocab((b"a", b"b", b"ab"), ((0, 1),), added("ab", 2)),
    ],
)
def test_what_makes_vocabularies_differ(other: bt.Vocab) -> None:
    assert other != bt.Vocab((b"a", b"b", b"ab"), ((0, 1),))


def test_special_tokens_are_numbered() -> None:
    tokens = special_tokens_from(["<a>", "<b>"], first_id=7)
    assert [(token.text, token.id, token.special) for token in tokens.values()] == [("<a>", 7, True), ("<b>", 8, True)]


@pytest.mark.parametrize(
    ("texts", "message"), [([""], "empty"), (["<a>", "<a>"], "twice"), (["\ud800"], "lone surrogate")]
)
def test_bad_special_tokens_are_errors(texts: list[str], message: str) -> None:
    with pytest.raises(SpecialTokenError, match=message):
        special_tokens_from(texts)
