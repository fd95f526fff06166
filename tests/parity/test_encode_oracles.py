"""The slow oracles of encoding against what they stand for: ``tokenizers``, tiktoken and sentencepiece.

The property tests hold our engine to the oracles; here the oracles are held to the references, over the same
vocabularies, made on the spot.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from peers import of_json, of_model
from reference import (
    from_characters,
    naive_added,
    naive_encode,
    naive_encode_characters,
    naive_encode_ranked,
    to_characters,
)
from vocabularies import AddedText, Characters, added_texts, added_tokens, characters, merging, ranked, words

tokenizers = pytest.importorskip("tokenizers")


def byte_level(tokens: dict[str, int], merges: list[list[str]], added: list[dict[str, Any]], **model: Any) -> Any:
    """A tokenizer.json without a split pattern."""
    step = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": step,
        "post_processor": None,
        "decoder": step,
        "model": {"type": "BPE", "vocab": tokens, "merges": merges, **model},
    }


@given(st.data())
def test_merges_go_as_in_tokenizers(data: st.DataObject) -> None:
    made = data.draw(merging())
    text = data.draw(words(made))
    assume(text.isascii() and made.merges is not None)
    spelled = [to_characters(token) for token in made.tokens]
    merges = [[spelled[left], spelled[right]] for left, right in made.merges or ()]
    content = byte_level({token: index for index, token in enumerate(spelled)}, merges, [])
    assert of_json(content).text(text.decode()) == naive_encode(made.tokens, made.merges or (), text)


@given(st.data())
def test_ranks_go_as_in_tiktoken(data: st.DataObject) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    made = data.draw(ranked())
    text = data.draw(words(made))
    assume(text.isascii())
    ranks = {token: index for index, token in enumerate(made.tokens) if token}
    encoding = tiktoken.Encoding("made", pat_str=r"(?s:.+)", mergeable_ranks=ranks, special_tokens={})
    assert encoding.encode_ordinary(text.decode()) == naive_encode_ranked(made.tokens, text)


def of_characters(made: Characters) -> dict[str, Any]:
    """The tokenizer.json of a character scheme."""
    pieces = made.pieces
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "vocab": {piece: index for index, piece in enumerate(pieces)},
            "merges": [[pieces[left], pieces[right]] for left, right in made.merges],
            "byte_fallback": True,
            "unk_token": "<unk>",
            "fuse_unk": True,
        },
    }


@given(st.data())
def test_characters_merge_as_in_tokenizers(data: st.DataObject) -> None:
    made = data.draw(characters())
    text = data.draw(made.texts())
    expected = naive_encode_characters(made.tokens, text, byte_ids=made.byte_ids, merges=made.merges)
    assert of_json(of_characters(made)).text(text) == expected


def model_of(made: Characters) -> bytes:
    """The SentencePiece model of a character scheme, without a dummy prefix."""
    pytest.importorskip("google.protobuf")
    pb2 = pytest.importorskip("sentencepiece.sentencepiece_model_pb2")
    model = pb2.ModelProto()
    kinds = pb2.ModelProto.SentencePiece
    for index, (piece, score) in enumerate(zip(made.pieces, made.scores, strict=True)):
        kind = kinds.UNKNOWN if piece == "<unk>" else kinds.BYTE if index in made.byte_ids else kinds.NORMAL
        model.pieces.add(piece=piece, score=score, type=kind)
    model.trainer_spec.model_type = pb2.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    return bytes(model.SerializeToString())


@given(st.data())
def test_characters_merge_as_in_sentencepiece(data: st.DataObject) -> None:
    made = data.draw(characters())
    text = data.draw(made.texts())
    assume("\0" not in text)
    expected = naive_encode_characters(made.tokens, text, byte_ids=made.byte_ids, scores=made.scores)
    assert of_model(model_of(made)).text(text) == expected


@settings(max_examples=5 * settings().max_examples)
@given(added=added_tokens(), text=added_texts())
def test_added_tokens_are_found_as_in_tokenizers(added: list[AddedText], text: str) -> None:
    letters = {to_characters(bytes([byte])): byte for byte in range(256)}
    entries = [entry.entry(256 + place) for place, entry in enumerate(added)]
    peer = of_json(byte_level(letters | {entry["content"]: entry["id"] for entry in entries}, [], entries))
    for encode, special_as_text in ((peer.text, True), (peer.allowed, False)):
        parts = naive_added(text, entries, special_as_text=special_as_text)
        expected = [
            token_id for part in parts for token_id in ([part] if isinstance(part, int) else list(part.encode()))
        ]
        assert encode is not None
        assert encode(text) == expected


def test_the_spelling_of_bytes_is_its_own_inverse() -> None:
    assert from_characters(to_characters(bytes(range(256)))) == bytes(range(256))
