"""Text in pieces: appending gives the ids of the whole, decoding ends in no character, counting stops and is right."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small import extended, of_merges, trained
from strategies import texts
from vocabularies import Characters

import bytetok as bt
from bytetok.errors import BytetokError, SpecialTokenError, UnknownTokenError

ADDED = {
    "(a)": {}, "cal.": {"single_word": True}, " Fed.": {}, "<x>": {"lstrip": True, "rstrip": True},
    "<l>": {"lstrip": True}, "<r>": {"rstrip": True}, "<|end|>": {"special": True}, "<|end": {}, "é é": {}, "  ": {},
}  # fmt: skip


@cache
def pieces() -> Characters:
    """SentencePiece-style, with pieces that begin, end and hold spaces."""
    merges = [
        ("t", "h"), ("th", "e"), ("▁", "the"), ("o", "f"), ("▁", "of"), ("▁", "▁"), ("▁▁", "▁▁"), ("e", "▁"),
        ("a", "b"), ("ab", "ab"), ("▁of", "▁"), ("漢", "字"),
    ]  # fmt: skip
    letters = [*"abcdefghijklmnopqrstuvwxyz▁.,\né漢字"]
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    all_pieces = ["<unk>", *spelled, *letters, *(left + right for left, right in merges)]
    id_of = {piece: place for place, piece in enumerate(all_pieces)}
    return Characters(
        tuple(all_pieces),
        tuple((id_of[left], id_of[right]) for left, right in merges),
        tuple(-float(place) for place in range(len(all_pieces))),
        tuple(id_of[piece] for piece in spelled),
        "".join(letters),
    )


@cache
def tokenizer_of(kind: str) -> Any:
    if kind.startswith("sentencepiece"):
        _, by, prefix = kind.split(":")
        return pieces().tokenizer(by, prefix)  # type: ignore[arg-type]
    if kind == "added":
        return extended(trained(), added=ADDED)
    if kind in ("NFC", "NFD", "NFKC", "NFKD"):
        base = extended(trained("qwen2"), added={"<|end|>": {"special": True}, "(a)": {}})
        return bt.Tokenizer(base.vocab, base.pattern, normalizer=kind)  # type: ignore[arg-type]
    if kind == "out of order":
        made = of_merges(bytes(range(256)), [(b"a", b"a"), (b"aa", b"a"), (b"t", b"h"), (b"th", b"e"), (b" ", b"the")])
        return bt.Tokenizer(bt.Vocab(made.vocab.tokens, made.vocab.merges[::-1]), made.pattern)
    if kind == "regex":
        return bt.Tokenizer(trained().vocab, bt.SplitPattern.of(r"\p{L}+(?=')|\p{N}{3}|\s+$|[^\s]+|\s"))
    return trained(kind)


KINDS = [
    "o200k", "gpt2", "cl100k", "llama3", "qwen2", "deepseek-v3", "finance", "lines", "digits", "whitespace", "none",
    "added", "NFC", "NFKD", "out of order", "regex",
    "sentencepiece:scores:first", "sentencepiece:merges:each", "sentencepiece:merges:none",
]  # fmt: skip
FRAGMENTS = [
    *ADDED, "<", "|", ">", "<|e", "nd|>", "cal", ".", "the", " the", " ", "  ", "\n", "\r", "\n\n", "'", "s", "'s",
    "a", "ab", "é", "e", "\u0301", "\u0323", "\u1100", "\u1161", "漢", "字", "1", "12", "1998", "\u3000", "x", "_", "▁",
    "😀", "Fed.",
]  # fmt: skip


def parts() -> st.SearchStrategy[list[str]]:
    """Pieces of text as a model or a user writes them: cut anywhere, in words, tokens and white space."""
    return st.lists(st.one_of(st.sampled_from(FRAGMENTS), texts(2)), max_size=14)


@pytest.mark.parametrize("kind", KINDS)
@given(written=parts())
@example(written=["a", "\u0301"])
@example(written=["<|", "end|", ">"])
@example(written=["cal.", "x"])
@example(written=["  ", " Fed", "."])
@example(written=["x  ", "<x>", "  ", "y"])
@example(written=["don", "'", "t"])
@example(written=["1"] * 9)
@example(written=["a \n", "\n", " b"])
@example(written=[])
def test_what_is_appended_has_the_ids_of_the_whole(kind: str, written: list[str]) -> None:
    tokenizer = tokenizer_of(kind)
    for special in ("text", "allow"):
        encoder = tokenizer.encoder(special=special)
        whole = ""
        stable: list[int] = []
        for part in written:
            encoder.append(part)
            whole += part
            assert encoder.ids == tokenizer.encode(whole, special=special)
            assert len(encoder) == len(encoder.ids)
            # What was stable once stays, and only grows.
            assert encoder.ids[: len(stable)] == stable
            assert len(stable) <= encoder.stable <= len(encoder.ids)
            stable = encoder.ids[: encoder.stable]


@pytest.mark.parametrize("kind", ["added", "NFC", "o200k"])
@pytest.mark.parametrize("unit", [*ADDED, "é éé", "<|end", "  <x>", "cal. ", "(a"])
def test_added_tokens_one_after_the_other(kind: str, unit: str) -> None:
    """A border that stays must not be inside a token, nor inside one that was passed over."""
    tokenizer = tokenizer_of(kind)
    for special in ("text", "allow"):
        for times in range(1, 14):
            encoder = tokenizer.encoder(special=special)
            encoder.append(unit * times)
            assert encoder.ids == tokenizer.encode(unit * times, special=special)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=max(5, settings().max_examples // 3))
@given(written=parts())
def test_character_by_character(kind: str, written: list[str]) -> None:
    tokenizer = tokenizer_of(kind)
    encoder = tokenizer.encoder(special="allow")
    whole = "".join(written)
    for character in whole:
        encoder.append(character)
    assert encoder.ids == tokenizer.encode(whole, special="allow")


@pytest.mark.parametrize("kind", ["o200k", "gpt2", "deepseek-v3", "NFC", "added", "sentencepiece:merges:each"])
def test_a_long_text_gets_stable(kind: str) -> None:
    """The ids that may still change are few, or appending would cost more and more."""
    tokenizer = tokenizer_of(kind)
    encoder = tokenizer.encoder(special="text")
    for _ in range(300):
        encoder.append("the court of the plaintiff, ")
        assert len(encoder.ids) - encoder.stable < 60


@pytest.mark.parametrize("kind", ["added", "o200k", "NFC"])
def test_an_append_that_fails_takes_nothing_in(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    special = next(iter(tokenizer.vocab.special_tokens))
    encoder = tokenizer.encoder()
    encoder.append("the court ")
    before = encoder.ids
    for bad in (special, "\ud800", f"a {special} b"):
        with pytest.raises(BytetokError):
            encoder.append(bad)
        assert encoder.ids == before
    with pytest.raises(BytetokError):
        encoder.append(b"bytes")
    encoder.append(special[:-1])
    with pytest.raises(SpecialTokenError):
        encoder.append(special[-1])
    encoder.append("x")
    assert encoder.ids == tokenizer.encode("the court " + special[:-1] + "x")


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.one_of(texts(), parts().map("".join)), data=st.data())
def test_counting_stops_at_the_limit(kind: str, text: str, data: st.DataObject) -> None:
    tokenizer = tokenizer_of(kind)
    for special in ("text", "allow"):
        count = len(tokenizer.encode(text, special=special))
        assert tokenizer.count(text, special=special) == count
        for limit in {0, 1, max(0, count - 1), count, count + 1, data.draw(st.integers(0, 40))}:
            expected = count if count <= limit else None
            assert tokenizer.count_until(text, limit, special=special) == expected
    with pytest.raises(BytetokError):
        tokenizer.count_until(text, -1)


@pytest.mark.parametrize("kind", ["o200k", "gpt2", "cl100k", "deepseek-v3", "added", "sentencepiece:scores:first"])
@pytest.mark.parametrize("unit", ["the court of ", "a", " ", "漢字", "\n", "é é", "1", "<|end|>", "ab" * 400 + " "])
def test_counting_long_texts_stops_at_the_limit(kind: str, unit: str) -> None:
    tokenizer = tokenizer_of(kind)
    text = unit * (9000 // len(unit))
    count = tokenizer.count(text, special="text")
    for limit in (0, 10, 300, count - 1, count, count + 1, 10**9):
        assert tokenizer.count_until(text, limit, special="text") == (count if count <= limit else None)


# decoding -------------------------------------------------------------------------------------------------------------


def decoded_in_pieces(tokenizer: Any, groups: list[Any]) -> list[str]:
    decoder = tokenizer.decoder()
    return [*(decoder.push(group) for group in groups), decoder.finish()]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_ids_decode_alike_in_pieces(kind: str, data: st.DataObject) -> None:
    tokenizer = tokenizer_of(kind)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=20))
    expected = tokenizer.decode(ids)
    assert "".join(decoded_in_pieces(tokenizer, ids)) == expected
    cut = data.draw(st.integers(0, len(ids)))
    assert "".join(decoded_in_pieces(tokenizer, [ids[:cut], ids[cut:]])) == expected
    assert "".join(decoded_in_pieces(tokenizer, [np.array(ids[:cut], dtype=np.uint32), tuple(ids[cut:])])) == expected


@pytest.mark.parametrize("kind", KINDS)
@given(text=texts())
def test_streams_of_text_never_end_in_a_character(kind: str, text: str) -> None:
    tokenizer = tokenizer_of(kind)
    ids = tokenizer.encode(text, special="text")
    told = decoded_in_pieces(tokenizer, ids)
    whole = tokenizer.decode(ids)
    assert "".join(told) == whole
    assert told[-1] == "", "all of a text can be told before it is finished"
    assert whole.count("\ufffd") == "".join(told[:-1]).count("\ufffd")


def test_a_decoder_is_used_again_after_its_end() -> None:
    tokenizer = tokenizer_of("sentencepiece:scores:first")
    decoder = tokenizer.decoder()
    for text in ("the 😀", "", "of the", "😀"):
        ids = tokenizer.encode(text)
        assert "".join(decoder.push(token_id) for token_id in ids) + decoder.finish() == text


@pytest.mark.parametrize("bad", [-1, 10**6, 1 << 40])
def test_a_bad_id_leaves_the_stream_as_it_was(bad: int) -> None:
    tokenizer = tokenizer_of("o200k")
    decoder = tokenizer.decoder()
    ids = tokenizer.encode("é😀")
    told = decoder.push(ids[:1])
    with pytest.raises(UnknownTokenError):
        decoder.push([ids[1], bad])
    assert told + decoder.push(ids[1:]) + decoder.finish() == "é😀"


def test_ids_of_numpy_are_ids() -> None:
    tokenizer = tokenizer_of("o200k")
    ids = tokenizer.encode("the 漢字", out="numpy")
    assert "".join(decoded_in_pieces(tokenizer, list(ids))) == "the 漢字"


# spans ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@given(text=texts())
def test_spans_are_where_the_tokens_stand(kind: str, text: str) -> None:
    tokenizer = tokenizer_of(kind)
    ids = tokenizer.encode(text, special="text")
    whole, told = tokenizer.decode_bytes(ids), tokenizer.decode(ids)
    spans = tokenizer.spans(ids)
    assert [start for start, _ in spans] == [0, *(end for _, end in spans)][: len(spans)]
    assert not spans or spans[-1][1] == len(whole)
    in_characters = tokenizer.spans(ids, unit="characters")
    assert len(in_characters) == len(ids)
    for (start, end), (first, last) in zip(spans, in_characters, strict=True):
        if start == end:
            continue
        # The characters that the bytes touch, whole.
        assert first == len(whole[:start].decode(errors="ignore")) if _starts(whole, start) else True
        assert whole[start:end] in told[first:last].encode()
        assert len(told[first:last].encode()) - (end - start) <= 6
    assert not in_characters or in_characters[-1][1] == len(told)


def _starts(data: bytes, offset: int) -> bool:
    return offset < len(data) and data[offset] & 0xC0 != 0x80
