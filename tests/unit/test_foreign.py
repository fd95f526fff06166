"""Models that ``tokenizers`` runs for us: the ids it gives, and the methods and errors of our own."""

from __future__ import annotations

import json
import pickle
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import bytetok as bt
from bytetok.errors import EncodingError, FormatError, MissingDependencyError, SpecialTokenError, UnknownTokenError
from bytetok.tokenizer.convert import PROBE
from bytetok.tokenizer.foreign_json import JsonTokenizer
from bytetok.tokenizer.references import available_references

tokenizers = pytest.importorskip("tokenizers")

Content = dict[str, Any]
FLAGS = dict.fromkeys(("special", "normalized", "single_word", "lstrip", "rstrip"), False)
WORDS = (
    "[PAD]", "[UNK]", "[CLS]", "[MASK]", "un", "##aff", "##able", "the", "court", "##s", "'", "don", "t", ".", "##",
)  # fmt: skip
UNIGRAM = [
    ["<unk>", 0.0], ["<s>", 0.0], ["▁", -3.0], ["▁the", -2.0], ["▁court", -2.5], ["s", -4.0], ["t", -4.0], ["h", -4.5],
    ["e", -4.0], ["co", -5.0], *([f"<0x{byte:02X}>", -9.0] for byte in range(256)),
]  # fmt: skip


def added(token_id: int, text: str, **flags: bool) -> Content:
    return {"id": token_id, "content": text, **FLAGS, "special": True, **flags}


def word_piece(**parts: object) -> Content:
    return {
        "version": "1.0",
        "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                    "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [added(place, text) for place, text in enumerate(WORDS[:4])],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {word: place for place, word in enumerate(WORDS)}},
        **parts,
    }  # fmt: skip


def unigram() -> Content:
    marks = {"replacement": "▁", "prepend_scheme": "always", "split": True}
    return {
        "version": "1.0",
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(266, "▁▁", special=False)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", **marks},
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "ByteFallback"}, {"type": "Metaspace", **marks}, {"type": "Fuse"}]},
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": True, "vocab": UNIGRAM},
    }  # fmt: skip


def load(folder: Path, described: Content) -> JsonTokenizer:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(described))
    loaded = bt.Tokenizer.load(path)
    assert isinstance(loaded, JsonTokenizer)
    return loaded


def peer(described: Content) -> Any:
    engine = tokenizers.Tokenizer.from_str(json.dumps(described))
    engine.no_padding()
    engine.no_truncation()
    return engine


@pytest.mark.parametrize("make", [word_piece, unigram])
def test_ids_and_text_are_those_of_tokenizers(make: Callable[[], Content], tmp_path: Path) -> None:
    tokenizer, engine = load(tmp_path, make()), peer(make())
    docs = ["The court's unaffable.", "", "é court the", "  the  courts", "<s> the[MASK]courts [unk]", "▁▁", *PROBE]
    for special in ("allow", "text"):
        engine.encode_special_tokens = special == "text"
        expected = [engine.encode(text, add_special_tokens=False).ids for text in docs]
        assert [tokenizer.encode(text, special=special) for text in docs] == expected
        assert [tokenizer.encode(text.encode(), special=special) for text in docs] == expected
        for threads in (None, 1, 2):
            assert tokenizer.encode_batch(docs, threads=threads, special=special) == expected
        ids, offsets = tokenizer.encode_batch(docs, special=special, out="numpy")
        assert (str(ids.dtype), str(offsets.dtype)) == ("uint32", "int64")
        assert [ids[start:end].tolist() for start, end in pairwise(offsets.tolist())] == expected
        array = tokenizer.encode(docs[0], special=special, out="numpy")
        assert (array.tolist(), array.flags.writeable) == (expected[0], False)
        for ids_of_doc in expected:
            assert tokenizer.decode(ids_of_doc) == engine.decode(ids_of_doc, skip_special_tokens=False)
    assert tokenizer.encode_batch([]) == []
    assert [part.tolist() for part in tokenizer.encode_batch([], out="numpy")] == [[], [0]]


def test_tokens_are_what_they_stand_for(tmp_path: Path) -> None:
    words = load(tmp_path, word_piece()).vocab.tokens
    assert words == tuple(word.encode() for word in (*WORDS[:5], "aff", "able", *WORDS[7:9], "s", *WORDS[10:]))
    pieces = load(tmp_path, unigram()).vocab
    assert pieces.tokens[2:4] == (b" ", b" the")
    assert pieces.tokens[10 : 10 + 256] == tuple(bytes([byte]) for byte in range(256))
    assert pieces.tokens[266] == b"  "
    assert pieces.special_tokens == {"<unk>": 0, "<s>": 1}
    assert not pieces.added_tokens["▁▁"].special


def test_marks_and_prefixes_are_only_where_the_model_has_them(tmp_path: Path) -> None:
    described = word_piece(model={"type": "WordLevel", "vocab": {"##a": 0, "▁b": 1, "<0x41>": 2}, "unk_token": "##a"})
    assert load(tmp_path, {**described, "added_tokens": [], "decoder": None}).vocab.tokens == (
        b"##a", "▁b".encode(), b"<0x41>",
    )  # fmt: skip
    described = word_piece(
        model={"type": "BPE", "vocab": {"a</w>": 0, "b": 1, "ba</w>": 2}, "merges": [["b", "a</w>"]],
               "end_of_word_suffix": "</w>"},
        added_tokens=[], decoder={"type": "BPEDecoder", "suffix": "</w>"},
    )  # fmt: skip
    assert load(tmp_path, described).vocab.tokens == (b"a ", b"b", b"ba ")


def test_special_tokens_are_reported_with_their_byte(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, word_piece())
    with pytest.raises(SpecialTokenError, match=r"special token '\[MASK\]' at byte 7; pass special=\"allow\""):
        tokenizer.encode("é the [MASK] [CLS]")
    with pytest.raises(SpecialTokenError, match=r"'\[CLS\]' at byte 0"):
        tokenizer.encode_batch(["the", "[CLS][MASK]"])
    # an unknown word becomes [UNK], which the text does not hold
    assert tokenizer.encode("the zzz") == [7, 1]
    assert tokenizer.count("the zzz [UNK]", special="text") > 3


def test_a_special_token_that_its_flags_refuse_is_not_in_the_text(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, word_piece(added_tokens=[added(7, "the", single_word=True), added(3, "[MASK]")]))
    assert tokenizer.encode("theca") == [1]
    with pytest.raises(SpecialTokenError, match="'the' at byte 6"):
        tokenizer.encode("theca the")


def test_streams_and_limits(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, unigram())
    text = "the courts é the"
    encoder = tokenizer.encoder()
    for end in range(1, len(text) + 1):
        encoder.append(text[end - 1])
        assert encoder.ids == tokenizer.encode(text[:end])
    decoder, given = tokenizer.decoder(), ""
    for token_id in encoder.ids:
        given += decoder.push(token_id)
        assert "\ufffd" not in given
        assert tokenizer.decode(encoder.ids).startswith(given)
    assert given + decoder.finish() == tokenizer.decode(encoder.ids) == text
    half = encoder.ids[: encoder.ids.index(10 + 0xC3) + 1]
    assert decoder.push(half) == tokenizer.decode(half).rstrip("\ufffd")
    with pytest.raises(UnknownTokenError):
        decoder.push(10**6)
    assert decoder.finish() == "\ufffd"
    assert tokenizer.count_until(text, len(encoder.ids)) == len(encoder.ids)
    assert tokenizer.count_until(text, len(encoder.ids) - 1) is None
    with pytest.raises(EncodingError, match="limit is -1"):
        tokenizer.count_until(text, -1)


def test_spans_in_bytes_and_characters(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, unigram())
    ids = tokenizer.encode("é the")
    assert ids == [2, 10 + 0xC3, 10 + 0xA9, 3]
    assert tokenizer.decode_bytes(ids) == b" \xc3\xa9 the"
    assert tokenizer.spans(ids) == [(0, 1), (1, 2), (2, 3), (3, 7)]
    assert tokenizer.spans(ids, unit="characters") == [(0, 1), (1, 2), (1, 2), (2, 6)]


def test_bad_input_is_an_error(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, word_piece())
    with pytest.raises(EncodingError, match="lone surrogate at character 2"):
        tokenizer.encode("ab\udc80")
    with pytest.raises(EncodingError, match="byte offset 2 is not UTF-8"):
        tokenizer.encode(b"ab\xff")
    with pytest.raises(EncodingError, match="expected an iterable of texts, got one str"):
        tokenizer.encode_batch("ab")
    with pytest.raises(EncodingError, match="expected str or bytes, got int"):
        tokenizer.encode_batch([5])  # type: ignore[list-item]
    with pytest.raises(EncodingError, match="threads is 0"):
        tokenizer.encode_batch(["ab"], threads=0)
    with pytest.raises(ValueError, match="special='all' is not one of"):
        tokenizer.encode("ab", special="all")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="out='array' is not one of"):
        tokenizer.encode("ab", out="array")  # type: ignore[call-overload]
    for bad in (-1, len(WORDS), 10**20):
        with pytest.raises(UnknownTokenError, match=f"id {bad} at position 1"):
            tokenizer.decode([4, bad])
        with pytest.raises(UnknownTokenError, match=f"id {bad} at position 1"):
            tokenizer.decode_bytes([4, bad])
        with pytest.raises(UnknownTokenError, match=str(bad)):
            tokenizer.token_bytes(bad)


def test_ids_in_a_gap_are_no_tokens(tmp_path: Path) -> None:
    described = word_piece()
    described["model"]["vocab"]["last"] = 40
    tokenizer = load(tmp_path, described)
    assert tokenizer.vocab_size == 41
    with pytest.raises(UnknownTokenError, match="id 30 at position 0"):
        tokenizer.decode([30])


def test_threads_do_not_see_each_others_choice(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, word_piece())
    allowed, as_text = tokenizer.encode("[MASK]", special="allow"), tokenizer.encode("[MASK]", special="text")
    wrong: list[object] = []

    def work(special: Any, expected: list[int]) -> None:
        wrong.extend(None for _ in range(500) if tokenizer.encode("[MASK]", special=special) != expected)

    threads = [threading.Thread(target=work, args=args) for args in [("allow", allowed), ("text", as_text)] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pickles_need_no_file(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, word_piece())
    data = pickle.dumps(tokenizer)
    (tmp_path / "tokenizer.json").unlink()
    again = pickle.loads(data)
    assert again.encode("the courts") == tokenizer.encode("the courts") == [7, 8, 9]
    assert repr(again) == repr(tokenizer)
    assert "15 tokens, runs on tokenizers: model.type is 'WordPiece'" in repr(again)


def test_a_file_that_nothing_runs_says_both_reasons(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(word_piece(normalizer={"type": "Nonsense"})))
    with pytest.raises(FormatError, match=r"neither bytetok \(model.type is 'WordPiece'\) nor tokenizers can read it"):
        bt.Tokenizer.load(path)


def test_a_character_without_a_token_is_an_error_of_the_file(tmp_path: Path) -> None:
    described = unigram()
    described["model"].update(unk_id=None, byte_fallback=False)
    tokenizer = load(tmp_path, described)
    assert tokenizer.encode("the") == [3]
    for docs in (["é"], ["the", "é"]):
        with pytest.raises(FormatError, match=r"tokenizer\.json: tokenizers cannot encode this text"):
            tokenizer.encode_batch(docs)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(word_piece()))
    modules: Any = sys.modules
    monkeypatch.setitem(modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match=r"needs the package 'tokenizers', because model.type .*\[hf\]"):
        bt.Tokenizer.load(tmp_path)


@pytest.mark.skipif("bert" not in available_references(), reason="bert is not in the cache")
def test_bert() -> None:
    tokenizer = bt.Tokenizer.load("bert")
    assert isinstance(tokenizer, JsonTokenizer)
    engine = peer(json.loads(available_references()["bert"].read_text()))
    assert tokenizer.encode("Habeas corpus, [MASK]", special="allow")[-1] == 103
    for text in PROBE:
        assert tokenizer.encode(text) == engine.encode(text, add_special_tokens=False).ids
