"""Conversions between formats that say different things: what has no place in the target is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sentencepiece_files import NORMAL, START, USER_DEFINED, model, trained_model
from small import CORPUS, trained

import bytetok as bt
from bytetok.errors import FormatError, LossyConversionError
from bytetok.tokenizer.convert import PROBE, convert
from bytetok.tokenizer.references import available_references

LETTERS = [*START, *((letter, -9.0, NORMAL) for letter in "▁ab")]
TEXTS = [*CORPUS, *PROBE, "e\u0301<pad>\u0301 \u212b ﬁ", " a", "<s>a</s> b"]


def normalized(form: Any = "NFKC") -> bt.Tokenizer:
    return bt.Tokenizer(trained().vocab, trained().pattern, normalizer=form, name="normalized")


@pytest.fixture
def pieces(tmp_path: Path) -> bt.Tokenizer:
    """A SentencePiece model as its trainer leaves it, but for equal scores."""
    pytest.importorskip("sentencepiece")
    (tmp_path / "trained.model").write_bytes(trained_model())
    loaded = bt.Tokenizer.load(tmp_path / "trained.model")
    assert isinstance(loaded, bt.Tokenizer)
    return loaded


# normalizers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("target", ["folder", "alone.json", "ranks.tiktoken", "one.bytetok"])
def test_normalizers_come_back(form: str, target: str, tmp_path: Path) -> None:
    converted = convert(normalized(form), tmp_path / target)
    assert converted.normalizer == form
    loaded = bt.Tokenizer.load(tmp_path / target)
    assert isinstance(loaded, bt.Tokenizer)
    assert loaded.normalizer == form
    for text in TEXTS:
        assert loaded.encode(text, special="allow") == normalized(form).encode(text, special="allow")


def test_saving_keeps_the_normalizer(tmp_path: Path) -> None:
    normalized().save(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text())["normalizer"] == {"type": "NFKC"}


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_written_normalizers_are_those_of_tokenizers(form: str, tmp_path: Path) -> None:
    peer = pytest.importorskip("tokenizers").Tokenizer
    convert(normalized(form), tmp_path)
    engine = peer.from_file(str(tmp_path / "tokenizer.json"))
    for text in TEXTS:
        assert engine.encode(text).ids == normalized(form).encode(text, special="allow")


def test_a_broken_normalizer_beside_a_rank_file_is_named(tmp_path: Path) -> None:
    convert(normalized(), tmp_path / "x.tiktoken")
    beside = tmp_path / "x.bytetok.json"
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "normalizer": "nfc"}))
    with pytest.raises(FormatError, match=r"x\.bytetok\.json: the normalizer is 'nfc', expected one of \('NFC'"):
        bt.Tokenizer.load(tmp_path / "x.tiktoken")


def test_tiktoken_does_not_normalize() -> None:
    pytest.importorskip("tiktoken")
    with pytest.raises(LossyConversionError, match="the text is normalized to NFKC; tiktoken does not normalize"):
        normalized().to_tiktoken()


# merges of characters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lossy", [False, True])
def test_merges_of_characters_are_no_ranks(lossy: bool, pieces: bt.Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(LossyConversionError, match=r"trained merges characters, .* no rank file gives such ids"):
        convert(pieces, tmp_path / "x.tiktoken", lossy=lossy)
    assert not (tmp_path / "x.tiktoken").exists()
    if not lossy:
        pytest.importorskip("tiktoken")
        with pytest.raises(LossyConversionError, match="trained merges characters"):
            pieces.to_tiktoken()


def test_a_model_becomes_a_tokenizer_json(pieces: bt.Tokenizer, tmp_path: Path) -> None:
    peer = pytest.importorskip("tokenizers").Tokenizer
    converted = convert(pieces, tmp_path / "out.json")
    assert converted.vocab.characters is not None
    assert converted.vocab.characters.scores is None
    engine = peer.from_file(str(tmp_path / "out.json"))
    for text in [*TEXTS, *(" " * size + "x" for size in range(20))]:
        ids = pieces.encode(text, special="allow")
        assert engine.encode(text).ids == ids
        assert converted.encode(text, special="allow") == ids
        assert engine.decode(ids, skip_special_tokens=False) == pieces.decode(ids) == converted.decode(ids)


def test_our_own_file_keeps_scores(pieces: bt.Tokenizer, tmp_path: Path) -> None:
    converted = convert(pieces, tmp_path / "out.bytetok")
    assert converted.vocab == pieces.vocab
    assert convert(tmp_path / "out.bytetok", tmp_path / "out.json").vocab.tokens == pieces.vocab.tokens
    for text in TEXTS:
        ids = pieces.encode(text, special="allow")
        assert converted.encode(text, special="allow") == ids
        assert converted.decode(ids) == pieces.decode(ids)


@pytest.mark.skipif("mistral-v1" not in available_references(), reason="mistral-v1 is not in the cache")
def test_the_model_of_mistral_becomes_a_tokenizer_json(tmp_path: Path) -> None:
    processor = pytest.importorskip("sentencepiece").SentencePieceProcessor
    engine = processor(model_file=str(available_references()["mistral-v1"]))
    converted = convert("mistral-v1", tmp_path / "out.json")
    for text in [*PROBE, *(" " * size + "x" for size in range(70))]:
        assert converted.encode(text, special="text") == engine.encode(text)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([("<x>", 0.0, USER_DEFINED)], "cannot put a space before the text alone"),
        ([("ab", -1.0, NORMAL), ("ba", -1.0, NORMAL)], "'ab' and 'ba', have the same score"),
    ],
)
def test_what_tokenizer_json_cannot_say_is_refused(extra: list[Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(model([*LETTERS, *extra]))
    with pytest.raises(LossyConversionError, match=message):
        convert(tmp_path / "tokenizer.model", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert convert(tmp_path / "tokenizer.model", tmp_path / "out", lossy=True).vocab_size == len(LETTERS) + len(extra)
    assert bt.Tokenizer.load(tmp_path / "out").encode("ab") == bt.Tokenizer.load(tmp_path).encode("ab")


# formats that are only read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.model", "x.spm", "tekken.json"])
def test_formats_that_are_only_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"this format is only read; write a tokenizer\.json"):
        convert(trained(), tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.skipif("mistral" not in available_references(), reason="tekken.json is not in the cache")
def test_tekken_becomes_ranks(tmp_path: Path) -> None:
    converted = convert("mistral", tmp_path / "mistral.tiktoken")
    original = bt.Tokenizer.load("mistral")
    assert converted.vocab == original.vocab
    for text in TEXTS:
        assert converted.encode(text, special="allow") == original.encode(text, special="allow")
