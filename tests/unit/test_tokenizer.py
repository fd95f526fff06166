"""The tokenizer: text to ids and back, errors that name the place, and the same tokenizer after saving and pickling."""

from __future__ import annotations

import copy
import json
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import CORPUS, extended, of_merges, trained
from strategies import texts

import bytetok as bt
from bytetok.errors import (
    BytetokError,
    CorpusError,
    EncodingError,
    FormatError,
    SpecialTokenError,
    UnknownTokenError,
)

ADDED = {"(a)": {}, "cal.": {"single_word": True}, " Fed.": {}, "<x>": {"lstrip": True, "rstrip": True}}


def domain() -> bt.Tokenizer:
    return extended(trained(), whole=[b" 1998", b"qua"], added=ADDED)


# encoding and decoding ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["o200k", "gpt2", "llama3", "deepseek-v3", "none", "digits"])
def test_every_byte_is_a_token_that_comes_back(pattern: str) -> None:
    tokenizer = trained(pattern)
    for byte in range(256):
        (token_id,) = tokenizer.encode(bytes([byte]))
        assert tokenizer.token_bytes(token_id) == bytes([byte])
        assert tokenizer.decode_bytes([token_id]) == bytes([byte])


@given(st.binary(max_size=200))
def test_bytes_come_back(data: bytes) -> None:
    for tokenizer in (trained(), domain()):
        ids = tokenizer.encode(data, special="text")
        if b"<x>" not in data:  # takes white space with it
            assert tokenizer.decode_bytes(ids) == data


@given(texts())
def test_text_comes_back(text: str) -> None:
    tokenizer = trained("deepseek-v3")
    assert tokenizer.decode(tokenizer.encode(text, special="text")) == text
    assert tokenizer.decode(tokenizer.encode(text, special="allow")) == text


@given(texts())
def test_text_and_its_bytes_have_the_same_ids(text: str) -> None:
    tokenizer = domain()
    assert tokenizer.encode(text, special="allow") == tokenizer.encode(text.encode(), special="allow")


@given(st.lists(texts(), max_size=8), st.integers(1, 4))
def test_a_batch_is_its_documents(docs: list[str], threads: int) -> None:
    tokenizer = domain()
    assert tokenizer.encode_batch(docs, threads=threads, special="text") == [
        tokenizer.encode(doc, special="text") for doc in docs
    ]


@given(texts())
def test_ids_come_in_two_shapes_and_a_number(text: str) -> None:
    tokenizer = trained()
    ids = tokenizer.encode(text, special="allow")
    array = tokenizer.encode(text, special="allow", out="numpy")
    assert array.dtype == np.uint32
    assert array.shape == (len(ids),)
    assert array.tolist() == ids
    assert tokenizer.count(text, special="allow") == len(ids)


@given(texts())
def test_spans_are_where_the_tokens_stand(text: str) -> None:
    tokenizer = domain()
    ids = tokenizer.encode(text, special="allow")
    data = tokenizer.decode_bytes(ids)
    spans = tokenizer.spans(ids)
    assert [data[start:end] for start, end in spans] == [tokenizer.token_bytes(token_id) for token_id in ids]
    assert [start for start, _ in spans] == [0, *(end for _, end in spans)][: len(spans)]


def test_nothing_is_nothing() -> None:
    tokenizer = domain()
    assert (tokenizer.encode(""), tokenizer.encode(b""), tokenizer.spans([]), tokenizer.decode([])) == ([], [], [], "")
    assert tokenizer.encode_batch([]) == []


def test_decoding_replaces_what_is_not_utf8() -> None:
    tokenizer = trained()
    ids = tokenizer.encode(b"a\xff\xc3")
    assert tokenizer.decode(ids) == "a\ufffd\ufffd"
    assert tokenizer.decode_bytes(ids) == b"a\xff\xc3"


def test_numpy_ids_decode() -> None:
    tokenizer = trained()
    ids = tokenizer.encode("the court", out="numpy")
    assert tokenizer.decode(ids) == "the court"
    assert tokenizer.spans(ids.tolist()) == tokenizer.spans(ids)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [-1, 420, 1 << 40])
def test_a_bad_id_is_named_with_its_place(bad: int) -> None:
    tokenizer = trained()
    with pytest.raises(UnknownTokenError, match=rf"id {bad} at position 2 is outside the vocabulary; .* 0 to 419"):
        tokenizer.decode_bytes([5, 6, bad])
    with pytest.raises(UnknownTokenError, match=f"{bad} is outside 0 to 419"):
        tokenizer.token_bytes(bad)
    with pytest.raises(UnknownTokenError):
        tokenizer.spans([bad])


def test_a_byte_without_a_token_is_named_with_its_place() -> None:
    tokenizer = of_merges(b"ab", [(b"a", b"b")])
    assert tokenizer.encode("abba") == [2, 1, 0]
    with pytest.raises(FormatError, match=r"byte 0x63 at offset 3"):
        tokenizer.encode("abac")


def test_a_lone_surrogate_is_named_with_its_place() -> None:
    with pytest.raises(EncodingError, match=r"lone surrogate at character 2"):
        trained().encode("ab\ud800")


@pytest.mark.parametrize("bad", [None, 5, ["a"], bytearray(b"a")])
def test_only_text_is_encoded(bad: object) -> None:
    with pytest.raises(TypeError, match="expected str or bytes"):
        trained().encode(bad)  # type: ignore[call-overload]


@pytest.mark.parametrize("bad", ["abc", b"abc"])
def test_one_text_is_no_batch_of_letters(bad: str | bytes) -> None:
    with pytest.raises(EncodingError, match=r"one (str|bytes).*\[text\]"):
        trained().encode_batch(bad)


@pytest.mark.parametrize("threads", [0, -1])
def test_a_batch_needs_a_thread(threads: int) -> None:
    with pytest.raises(EncodingError, match=f"threads is {threads}"):
        trained().encode_batch(["a"], threads=threads)


def test_the_error_of_a_batch_is_that_of_its_document() -> None:
    with pytest.raises(SpecialTokenError, match=r"<pad>.*at byte 1"):
        trained().encode_batch(["a", "b<pad>"], threads=2)


def test_threads_may_share_a_tokenizer() -> None:
    tokenizer = trained()
    expected = [tokenizer.encode(text, special="allow") for text in CORPUS]
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: [tokenizer.encode(text, special="allow") for text in CORPUS], range(32)):
            assert got == expected


# special and added tokens ---------------------------------------------------------------------------------------------


def test_special_text_raises_or_is_text_or_is_the_token() -> None:
    tokenizer = trained()
    with pytest.raises(SpecialTokenError, match=r'"<\|endoftext\|>" at byte 3.*special="allow"'):
        tokenizer.encode("ab <|endoftext|>")
    assert tokenizer.encode("<|endoftext|>", special="allow") == [0]
    as_text = tokenizer.encode("<|endoftext|>", special="text")
    assert 0 not in as_text
    assert tokenizer.decode(as_text) == "<|endoftext|>"
    with pytest.raises(ValueError, match="maybe"):
        tokenizer.encode("", special="maybe")  # type: ignore[call-overload]


def test_added_tokens_keep_out_of_words() -> None:
    tokenizer = domain()
    ids = {text: token.id for text, token in tokenizer.vocab.added_tokens.items()}
    assert tokenizer.encode("cal.") == [ids["cal."]]
    assert ids["cal."] not in tokenizer.encode("medical. cal.x xcal.")
    assert tokenizer.encode("401(a)").count(ids["(a)"]) == 1
    assert tokenizer.encode("a  <x>  b")[1:-1] == [ids["<x>"]]


def test_whole_pretokens_come_before_merges_and_nowhere_else() -> None:
    tokenizer = domain()
    whole = tokenizer.vocab.id_of(b"qua")
    assert tokenizer.encode("qua") == [whole]
    assert whole not in tokenizer.encode("quarter quaqua")


# saving, pickling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tokenizer", [trained(), trained("gpt2"), trained("deepseek-v3"), trained("qwen3"), trained("none"), domain()]
)
def test_saved_tokenizers_come_back(tokenizer: bt.Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "saved")
    assert sorted(file.name for file in (tmp_path / "saved").iterdir()) == [
        "bytetok.json", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    for place in (tmp_path / "saved", tmp_path / "saved" / "tokenizer.json"):
        loaded = bt.Tokenizer.load(place)
        assert isinstance(loaded, bt.Tokenizer)
        assert (loaded.vocab, loaded.pattern, loaded.name) == (tokenizer.vocab, tokenizer.pattern, "saved")
        assert str(loaded.pattern) == str(tokenizer.pattern)
    again = tmp_path / "again"
    loaded.save(again)
    for file in again.iterdir():
        assert file.read_bytes() == (tmp_path / "saved" / file.name).read_bytes()


def test_provenance_is_saved_and_does_not_go_stale(tmp_path: Path) -> None:
    first = bt.Tokenizer(trained().vocab, trained().pattern, provenance={"corpus": "filings", "pattern": "a lie"})
    first.save(tmp_path / "first")
    loaded = bt.Tokenizer.load(tmp_path / "first")
    counts = bt.count_pretokens(CORPUS)
    larger = bt.extend(loaded, counts, vocab_size=440, min_count=1)  # type: ignore[arg-type]
    larger.save(tmp_path / "larger")
    described = json.loads((tmp_path / "larger" / "bytetok.json").read_text())
    assert described["corpus"] == "filings"
    assert described["vocab_size"] == 440
    assert described["pattern"] == {"name": "o200k", "stages": list(first.pattern.stages)}
    assert described["bytetok"] == bt.__version__


@pytest.mark.parametrize(
    ("tokenizer", "name"),
    [
        (trained("o200k"), "gpt-4o"),
        (trained("qwen3"), "qwen2"),
        (trained("deepseek-v3"), "deepseek-v3"),
        (trained("lines"), None),
        (extended(trained(), whole=[b"qua"]), None),
        (extended(trained(), added={"cal.": {"single_word": True}}), None),
        (extended(trained(), added={"http://": {}}), "gpt-4o"),
    ],
)
def test_the_name_for_llama_cpp_is_saved_where_there_is_one(
    tokenizer: bt.Tokenizer, name: str | None, tmp_path: Path
) -> None:
    assert tokenizer.llama_cpp_pre == name
    bt.Tokenizer(tokenizer.vocab, tokenizer.pattern, provenance={"llama_cpp_pre": "stale"}).save(tmp_path)
    assert json.loads((tmp_path / "bytetok.json").read_text())["llama_cpp_pre"] == name


def test_provenance_that_json_cannot_hold_leaves_no_half_of_a_tokenizer(tmp_path: Path) -> None:
    tokenizer = bt.Tokenizer(trained().vocab, trained().pattern, provenance={"when": object()})
    with pytest.raises(TypeError):
        tokenizer.save(tmp_path / "out")
    assert not list(tmp_path.rglob("*.json"))


def test_damaged_provenance_does_not_stop_a_tokenizer(tmp_path: Path) -> None:
    trained().save(tmp_path)
    (tmp_path / "bytetok.json").write_text("{")
    loaded = bt.Tokenizer.load(tmp_path)
    assert loaded.vocab == trained().vocab
    assert loaded.provenance == {}  # type: ignore[union-attr]


@pytest.mark.parametrize("tokenizer", [trained(), domain()])
def test_pickles_and_copies_encode_alike(tokenizer: bt.Tokenizer) -> None:
    text = " ".join(CORPUS)
    for used in (False, True):
        if used:
            tokenizer.encode("x")  # the compiled engine is there now, and does not travel
        for other in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
            assert (other.vocab, other.pattern, other.name) == (tokenizer.vocab, tokenizer.pattern, tokenizer.name)
            assert other.encode(text, special="allow") == tokenizer.encode(text, special="allow")


def test_another_name_is_the_same_tokenizer() -> None:
    renamed = trained().renamed("other")
    assert (renamed.name, renamed.vocab, trained().name) == ("other", trained().vocab, "small-o200k")
    assert repr(renamed) == "Tokenizer('other', 420 tokens, pattern o200k)"


# loading --------------------------------------------------------------------------------------------------------------


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no such file or folder, and not the name of a reference"):
        bt.Tokenizer.load(tmp_path / "missing")
    with pytest.raises(FormatError, match=r"the folder has no tokenizer.json"):
        bt.Tokenizer.load(tmp_path)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(FormatError, match=r"unknown kind of tokenizer file"):
        bt.Tokenizer.load(tmp_path / "x.bin")


def test_nothing_else_is_raised_for_any_file(tmp_path: Path) -> None:
    junk = (
        b"", b"\x00", b"\xff\xfe", b"[]", b"{}", b"1", b'{"model": []}', b"\x1f\x8b\x08", b"=", b"QQ== 0 0",
    )  # fmt: skip
    for name in ("tokenizer.json", "x.tiktoken", "o200k_base.tiktoken", "x.json"):
        for data in junk:
            (tmp_path / name).write_bytes(data)
            with pytest.raises(BytetokError, match=re.escape(name)):
                bt.Tokenizer.load(tmp_path / name)
