"""SentencePiece files: what is read, where a broken one is broken, and what is left to sentencepiece."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece_files import (
    BYTE,
    BYTES,
    CONTROL,
    NORMAL,
    START,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    field,
    model,
    piece,
    trained_model,
)
from small import CORPUS
from strategies import texts
from vocabularies import Characters, characters

import bytetok as bt
from bytetok.errors import EncodingError, FormatError, SpecialTokenError, UnknownTokenError
from bytetok.tokenizer.convert import PROBE
from bytetok.tokenizer.foreign_model import SentencePieceTokenizer
from bytetok.tokenizer.references import available_references

ABC = [*START, ("▁", -9.0, NORMAL), ("a", -5.0, NORMAL), ("b", -6.0, NORMAL), ("ab", -1.0, NORMAL),
       ("▁ab", -2.0, NORMAL)]  # fmt: skip
A = len(START) + 1
RUNS = ["", " ", "  ", " " * 33 + "x", "▁", "▁▁ a", "a▁b", "\n\n\t", "\0", "<s>", "<s></s>a", "<0x41>", "é😀\U0010ffff"]


def load(folder: Path, data: bytes, name: str = "tokenizer.model") -> Any:
    path = folder / name
    path.write_bytes(data)
    return bt.Tokenizer.load(path)


def peer(data: bytes) -> Any:
    sentencepiece = pytest.importorskip("sentencepiece")
    return sentencepiece.SentencePieceProcessor(model_proto=data)


# what is read ---------------------------------------------------------------------------------------------------------


def test_a_model_is_read_without_a_package(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, model(ABC))
    assert isinstance(tokenizer, bt.Tokenizer)
    scheme = tokenizer.vocab.characters
    assert scheme is not None
    assert scheme.byte_ids == tuple(range(3, 259))
    assert scheme.scores is not None
    assert scheme.scores[A : A + 3] == (-5.0, -6.0, -1.0)
    assert (scheme.prefix, scheme.prefix_always) == ("each", True)
    assert tokenizer.vocab.tokens[3 + 10] == b"\n"
    assert tokenizer.vocab.tokens[A - 1] == b" "
    assert tokenizer.vocab.tokens[-1] == b" ab"
    assert tokenizer.vocab.special_tokens == {"<unk>": 0, "<s>": 1, "</s>": 2}
    assert tokenizer.name == tmp_path.name


def test_ids_are_those_of_sentencepiece(tmp_path: Path) -> None:
    tokenizer, processor = load(tmp_path, model(ABC)), peer(model(ABC))
    assert tokenizer.encode("ab ab aab") == [A + 3, A + 3, A - 1, A, A + 2]
    for text in [*RUNS, "ab", " ab", "abab ba", "b<s>ab"]:
        assert tokenizer.encode(text, special="text") == processor.encode(text), text


def test_control_symbols_are_found_on_request_only(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, model(ABC))
    with pytest.raises(SpecialTokenError, match="</s>"):
        tokenizer.encode("ab</s>")
    assert tokenizer.encode("<s>ab</s>", special="allow") == [1, A + 3, 2]


def test_without_a_dummy_prefix(tmp_path: Path) -> None:
    data = model(ABC, prefix=False)
    tokenizer, processor = load(tmp_path, data), peer(data)
    assert tokenizer.vocab.characters.prefix == "none"
    for text in [*RUNS, "ab", " ab"]:
        assert tokenizer.encode(text, special="text") == processor.encode(text), text


def test_symbols_of_the_user_are_found_in_any_text(tmp_path: Path) -> None:
    symbols = [*ABC, ("<a>", 0.0, USER_DEFINED), ("<a><b>", 0.0, USER_DEFINED), ("b<", 0.0, USER_DEFINED)]
    tokenizer, processor = load(tmp_path, model(symbols)), peer(model(symbols))
    plain = [text for text, token in tokenizer.vocab.added_tokens.items() if not token.special]
    assert plain == ["<a>", "<a><b>", "b<"]
    for text in ["<a>", "<a><b>", " <a>ab", "ab<a>ab", "ab<a><b>", "<a><a>b", "<a> ab", "b<a>", "<s><a>", *RUNS]:
        assert tokenizer.encode(text, special="text") == processor.encode(text), text


def test_a_control_symbol_is_never_made_of_text(tmp_path: Path) -> None:
    pieces = [*START, *((letter, -9.0, NORMAL) for letter in "▁<s>/"), ("<s", -1.0, NORMAL), ("s>", -2.0, NORMAL)]
    tokenizer, processor = load(tmp_path, model(pieces)), peer(model(pieces))
    assert "'<s>', is a control symbol that text could become" in tokenizer.reason
    for text in ("<s>", "</s>", "<s</s>"):
        assert tokenizer.encode(text, special="text") == processor.encode(text), text


@pytest.mark.parametrize("options", [{}, {"user_defined_symbols": "<x>,the,§"}, {"add_dummy_prefix": False}])
def test_trained_models(options: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    data = trained_model(**options)
    tokenizer, processor = load(tmp_path, data), peer(data)
    assert isinstance(tokenizer, bt.Tokenizer)
    for text in [*CORPUS, *PROBE, *RUNS, "<x>the<x>", "the theme", "§ 5", " the"]:
        assert tokenizer.encode(text, special="text") == processor.encode(text), text


@given(text=texts())
def test_any_text(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("sentencepiece")
    data = trained_model()
    tokenizer = load(tmp_path_factory.mktemp("spm"), data)
    assert tokenizer.encode(text, special="text") == peer(data).encode(text)


@given(made=characters(), symbols=st.sets(st.sampled_from(["<x>", "aa", "<", "é"]), max_size=2), data=st.data())
def test_any_model(
    made: Characters, symbols: set[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds = {"<unk>": UNKNOWN, **{made.pieces[token_id]: BYTE for token_id in made.byte_ids}}
    pieces = [
        (text, score, kinds.get(text, NORMAL)) for text, score in zip(made.pieces, made.scores, strict=True)
    ]
    new = sorted(symbols.difference(made.pieces))
    content = model([*pieces, *((text, 0.0, USER_DEFINED) for text in new)])
    tokenizer, processor = load(tmp_path_factory.mktemp("model"), content), peer(content)
    for text in data.draw(st.lists(made.texts(8), min_size=1, max_size=4)):
        for sample in (text, "".join([*new, text, *new])):
            assert tokenizer.encode(sample, special="text") == processor.encode(sample)


@pytest.mark.parametrize("name", ["mistral-v1", "mistral-v3"])
def test_published_models(name: str) -> None:
    if name not in available_references():
        pytest.skip(f"{name} is not in the cache")
    tokenizer, processor = bt.Tokenizer.load(name), peer(available_references()[name].read_bytes())
    assert isinstance(tokenizer, bt.Tokenizer)
    runs = [" " * size + after for size in range(40) for after in ("", "the")]
    for text in [*PROBE, *RUNS, *runs, "[INST] a [/INST]", "[REFERENCE_DOC_3]a [REFERENCE_DOC_3] b"]:
        assert tokenizer.encode(text, special="text") == processor.encode(text), text


# what is broken -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\n", "truncated: a number that begins at byte 1 is not complete at byte 1"),
        (b"\n\x05abc", "truncated: field 1 at byte 0 needs 5 bytes from byte 2 on, but only 3 are left"),
        (model(ABC)[:-3], "truncated: field 3 at byte"),
        (model(ABC)[:40], "truncated: field 1 at byte"),
        (b"\n\x03\n\x05a", "truncated: field 1 at byte 2 needs 5 bytes from byte 4 on, but only 1 are left"),
        (b"\n\x80\x80", "truncated: a number that begins at byte 1"),
        (b"\n" + b"\xff" * 11, "no protobuf at byte 1: a number of more than 10 bytes"),
        (b"\n\x01\x00", "no protobuf at byte 2: field 0 of kind 0"),
        (b"\x0b", "no protobuf at byte 0: field 1 of kind 3"),
        (field(1, 5), "a number at byte 1, expected a message"),
        (field(9, 5), "no pieces"),
        (piece(b"a\xff"), "piece 0 is not UTF-8 at byte 5"),
        (piece(""), "piece 0 at byte 2 is ''"),
        (field(1, field(2, 1.0)), "piece 0 at byte 2 is None"),
        (piece("a", kind=7), "'a' with type 7"),
        (piece("a", float("nan")), "score nan"),
        (model([*ABC, ("ab", 0.0, NORMAL)]), "pieces 262 and 264 are both 'ab'"),
        (model(ABC[1:]), "0 pieces are the unknown one"),
        (model([*ABC, ("<u>", 0.0, UNKNOWN)]), "2 pieces are the unknown one"),
        (model([*ABC, ("<0xZZ>", 0.0, BYTE)]), "piece 264 is a byte called '<0xZZ>'"),
    ],
)
def test_broken_files_are_named_with_the_byte(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as raised:
        load(tmp_path, data)
    assert message in str(raised.value)
    assert str(tmp_path / "tokenizer.model") in str(raised.value)


@given(data=st.data())
def test_no_bytes_at_all_give_another_error(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(model(ABC))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("broken")
    try:
        loaded = load(folder, bytes(content[: data.draw(st.integers(0, len(content)))]))
    except FormatError:
        return
    assert loaded.vocab_size <= len(ABC)


# what is left to sentencepiece ----------------------------------------------------------------------------------------


def without(text: str) -> list[tuple[str, float, int]]:
    return [entry for entry in ABC if entry[0] != text]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (model(ABC, model_type=1), "trainer_spec.model_type is 'Unigram'"),
        (model(ABC, model_type=4), "trainer_spec.model_type is 'characters'"),
        (model([*START[:3], *ABC[len(START) :]], byte_fallback=False), "trainer_spec.byte_fallback is False"),
        (model(ABC, trainer=field(24, 1)), "trainer_spec.treat_whitespace_as_suffix is True"),
        (model(ABC, extra_spaces=True), "normalizer_spec.remove_extra_whitespaces is True"),
        (model(ABC, escape=False), "normalizer_spec.escape_whitespaces is False"),
        (model([*ABC, ("z", 0.0, UNUSED)]), "piece 264, 'z', is unused"),
        (model([*ABC, ("z", 0.0, CONTROL)]), "piece 264, 'z', is a control symbol of one character"),
        (model([*ABC, ("a▁", 0.0, USER_DEFINED)]), "piece 264, 'a▁', holds a space"),
        (model([*ABC, ("a b", 0.0, NORMAL)]), "piece 264, 'a b', holds a space"),
        (model([*ABC, ("az", 0.0, NORMAL)]), "piece 264, 'az', has a character that is no piece"),
        (model([entry for entry in ABC if "▁" not in entry[0]]), "'▁' is no piece"),
    ],
)
def test_what_our_engine_does_not_run_is_run_by_sentencepiece(data: bytes, reason: str, tmp_path: Path) -> None:
    processor = peer(data)
    tokenizer = load(tmp_path, data)
    assert isinstance(tokenizer, SentencePieceTokenizer)
    assert tokenizer.reason == reason
    for text in ["ab ab", "zab az ", " a b", *RUNS]:
        assert tokenizer.encode(text, special="text") == processor.encode(text), text


@pytest.mark.parametrize("drop", [1, 256])
def test_missing_byte_pieces_are_left_to_sentencepiece_which_refuses_them(drop: int, tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    with pytest.raises(FormatError, match=r"there are not 256 byte pieces\) nor sentencepiece can read it"):
        load(tmp_path, model([entry for entry in ABC if entry not in BYTES[:drop]]))


@pytest.fixture
def unigram(tmp_path: Path) -> SentencePieceTokenizer:
    pytest.importorskip("sentencepiece")
    loaded = load(tmp_path, trained_model("unigram", normalization_rule_name="nmt_nfkc"), "some.spm")
    assert isinstance(loaded, SentencePieceTokenizer)
    return loaded


def test_unigram_models_have_all_methods(unigram: SentencePieceTokenizer) -> None:
    processor = peer(trained_model("unigram", normalization_rule_name="nmt_nfkc"))
    docs = [*CORPUS, *PROBE]
    encoded = unigram.encode_batch(docs, special="text")
    assert encoded == processor.encode(docs)
    assert encoded == unigram.encode_batch(docs, threads=1, special="text")
    ids, offsets = unigram.encode_batch(docs, special="text", out="numpy")
    assert [ids[start:end].tolist() for start, end in pairwise(offsets)] == encoded
    assert unigram.decode(encoded[0]) == processor.decode(encoded[0])
    assert unigram.encode("a\u2460", out="numpy").tolist() == processor.encode("a\u2460")
    encoder, decoder = unigram.encoder(), unigram.decoder()
    for start in range(0, len(CORPUS[3]), 5):
        encoder.append(CORPUS[3][start : start + 5])
        assert encoder.ids == processor.encode(CORPUS[3][: start + 5])
    assert "".join([*map(decoder.push, encoder.ids), decoder.finish()]) == unigram.decode(encoder.ids)
    assert unigram.count_until(CORPUS[1], 3) is None
    assert unigram.count_until(CORPUS[1], 10**6) == len(encoded[1])
    assert (unigram.name, unigram.vocab_size, unigram.pattern) == ("some", len(processor), None)
    assert "runs on sentencepiece: trainer_spec.model_type is 'Unigram'" in repr(unigram)
    assert pickle.loads(pickle.dumps(unigram)).encode("ab") == unigram.encode("ab")


def test_control_symbols_around_unigram_text(unigram: SentencePieceTokenizer) -> None:
    processor = peer(trained_model("unigram", normalization_rule_name="nmt_nfkc"))
    with pytest.raises(SpecialTokenError, match="'</s>' at byte 3"):
        unigram.encode("é </s>")
    assert unigram.encode("<s>the court</s>x", special="allow") == [
        1, *processor.encode("the court"), 2, *processor.encode("x")
    ]  # fmt: skip
    assert unigram.encode("<s>", special="text") == processor.encode("<s>")


def test_bad_input_to_a_foreign_model(unigram: SentencePieceTokenizer) -> None:
    with pytest.raises(UnknownTokenError, match="id 999999 at position 1"):
        unigram.decode([3, 999999])
    with pytest.raises(UnknownTokenError, match="id -1 at position 0"):
        unigram.decode_bytes([-1])
    with pytest.raises(EncodingError, match="lone surrogate at character 1"):
        unigram.encode("a\ud800")
    with pytest.raises(EncodingError, match="byte offset 1 is not UTF-8"):
        unigram.encode(b"a\xff")
    assert unigram.decode_bytes([5, 3 + 65]) == b"\x02A"


def shuffled(make: Callable[[], list[Any]]) -> list[Any]:
    entries = make()
    random.Random(7).shuffle(entries)
    return entries


def test_ids_follow_the_places_of_pieces(tmp_path: Path) -> None:
    data = model(shuffled(lambda: list(ABC)))
    tokenizer, processor = load(tmp_path, data), peer(data)
    for text in ["ab ab", "é ab", "\n"]:
        assert tokenizer.encode(text) == processor.encode(text)
