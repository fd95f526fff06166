"""Encoding against the textbook: merge the best pair, look again, over vocabularies that engines get wrong.

``BYTETOK_FUZZ_EXAMPLES=100000 pytest tests/property/test_encode_property.py --timeout 0`` is the nightly run.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from reference import naive_added, naive_encode, naive_encode_characters, naive_encode_ranked, naive_split
from vocabularies import (
    AddedText,
    Characters,
    Made,
    added_texts,
    added_tokens,
    characters,
    merging,
    ranked,
    words,
)

import bytetok as bt
from bytetok.errors import FormatError, SpecialTokenError
from bytetok.tokenizer import SplitPattern

# Vocabularies are small and quick to build: more of them than of other examples.
MANY = settings(max_examples=5 * settings().max_examples)


def expected(made: Made, pretoken: bytes) -> list[int]:
    if made.merges is None:
        return naive_encode_ranked(made.tokens, pretoken)
    if made.whole_first and pretoken in made.tokens:
        return [made.tokens.index(pretoken)]
    return naive_encode(made.tokens, made.merges, pretoken)


def check(made: Made, text: bytes) -> None:
    tokenizer = made.tokenizer()
    ids = tokenizer.encode(text)
    assert ids == expected(made, text)
    assert tokenizer.decode_bytes(ids) == text
    # Again, now that the tokenizer may remember the pretoken.
    assert tokenizer.encode(text) == ids
    assert tokenizer.encode_batch([text, b"", text], threads=2) == [ids, [], ids]
    assert tokenizer.encode(text, out="numpy").tolist() == ids
    assert tokenizer.count(text) == len(ids)


def by_bytes(tokens: str, merges: str, *, whole_first: bool = False) -> Made:
    """``by_bytes("a b ab", "a+b")``: for examples that a reader can follow."""
    spelled = tuple(token.encode() for token in tokens.split())
    pairs = [tuple(part.encode() for part in merge.split("+")) for merge in merges.split()]
    letters = b"".join(token for token in spelled if len(token) == 1)
    return Made(spelled, tuple((spelled.index(a), spelled.index(b)) for a, b in pairs), letters, whole_first)


# byte-level BPE -------------------------------------------------------------------------------------------------------


@MANY
@given(st.data())
def test_merges_in_any_order(data: st.DataObject) -> None:
    made = data.draw(merging())
    check(made, data.draw(words(made)))


@pytest.mark.parametrize(
    ("tokens", "merges", "text"),
    [
        # the merge of a token before the merges of its parts
        ("a b ab abb", "ab+b a+b", "abbabb"),
        ("a b aa aaa aaaa", "aa+aa a+a aa+a", "a" * 41),
        # two merges make one token; which is first depends on what is around
        ("a b c ab bc abc", "a+b b+c ab+c a+bc", "abcabcbca"),
        ("a b c ab bc abc", "b+c a+b a+bc ab+c", "abcabcbca"),
        ("a b c ab bc abc", "b+c a+b ab+c", "abcabcbca"),
        # a token that nothing makes, longer than what is made
        ("a b ab abab", "a+b", "abab"),
        ("a b ba abab", "b+a", "ababab"),
        # a run: leftmost pairs first, an odd one is left over
        ("a aa aaaa", "a+a aa+aa", "a" * 7),
        ("a aa aaa", "a+aa a+a", "a" * 9),
        ("a aa aaa", "aa+a a+a", "a" * 35),
        # a late merge eats what an early one needs
        ("a b c d bc abc bcd cd", "c+d b+c a+bc bc+d", "abcdbcd"),
        ("a b c ab cab abc", "a+b c+ab ab+c", "cabcabc"),
    ],
)
@pytest.mark.parametrize("whole_first", [False, True])
def test_known_trouble(tokens: str, merges: str, text: str, whole_first: bool) -> None:
    made = by_bytes(tokens, merges, whole_first=whole_first)
    for end in range(len(text) + 1):
        check(made, text[:end].encode())


@MANY
@given(st.data())
def test_ranks_in_any_order(data: st.DataObject) -> None:
    made = data.draw(ranked())
    check(made, data.draw(words(made)))


@given(st.data(), st.sampled_from(["gpt2", "o200k", "whitespace", "deepseek-v3"]))
def test_pretokens_are_merged_alone(data: st.DataObject, pattern: str) -> None:
    made = data.draw(merging())
    pieces = data.draw(st.lists(words(made, 4), max_size=8))
    text = b" ".join(pieces) if b" " in made.letters else b"".join(pieces)
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        assume(False)
    split = [piece.encode() for piece in naive_split(decoded, SplitPattern.of(pattern).stages)]
    tokenizer = made.tokenizer(pattern)
    assert tokenizer.encode(decoded) == [token_id for piece in split for token_id in expected(made, piece)]
    assert tokenizer.encode(text) == tokenizer.encode(decoded)


@given(st.data())
def test_one_tokenizer_remembers_nothing_wrong(data: st.DataObject) -> None:
    """Many texts through one engine: what it keeps of one must not change the next."""
    made = data.draw(st.one_of(merging(), ranked()))
    tokenizer = made.tokenizer()
    texts = data.draw(st.lists(words(made, 5), min_size=2, max_size=10))
    for text in [*texts, *reversed(texts)]:
        assert tokenizer.encode(text) == expected(made, text)
    assert tokenizer.encode_batch(texts, threads=1) == tokenizer.encode_batch(texts, threads=3)


@pytest.mark.parametrize("filler", [b"\0", b"a", b"\xff", b"\0a"])
def test_pretokens_of_every_length_are_told_apart(filler: bytes) -> None:
    """Short pretokens are kept packed into numbers: a length, or bytes of zero at the end, must not be lost."""
    tokens = [bytes([byte]) for byte in range(256)] + [filler * length for length in range(2 // len(filler), 40)]
    pairs = [(tokens.index(token[:1]), tokens.index(token[1:])) for token in tokens[257:] if token[1:] in tokens]
    tokenizer = bt.Tokenizer(bt.Vocab(tuple(tokens), tuple(pairs)), SplitPattern.of("none"))
    ends = (b"", b"\0", b"b")
    texts = [start + filler * length + end for length in range(45) for start in ends for end in ends]
    for _ in range(2):
        assert [tokenizer.encode(text) for text in texts] == [naive_encode(tokens, pairs, text) for text in texts]
        texts.reverse()


@given(st.data())
def test_a_byte_without_a_token_is_named_with_its_place(data: st.DataObject) -> None:
    made = data.draw(st.one_of(merging(), ranked()))
    before, after = data.draw(words(made, 4)), data.draw(words(made, 4))
    tokenizer = made.tokenizer()
    with pytest.raises(FormatError, match=re.escape(f"byte 0x7A at offset {len(before)} ")):
        tokenizer.encode(before + b"z" + after)
    # An error leaves nothing behind.
    assert tokenizer.encode(before) == expected(made, before)


@settings(max_examples=max(5, settings().max_examples // 6))
@given(st.data())
def test_long_pretokens(data: st.DataObject) -> None:
    made = data.draw(st.one_of(merging(), ranked()))
    text = data.draw(words(made, 20)) * data.draw(st.integers(1, 8))
    assume(len(text) > 64)
    check(made, text[:1500])


@given(st.binary(max_size=300))
@example(b"")
@example(b"\xff" * 90)
@example("aé漢😀".encode() * 9 + b"\xe6\xbc")
def test_any_bytes_over_all_bytes(data: bytes) -> None:
    tokens = [bytes([byte]) for byte in range(256)]
    merges = [(byte, byte) for byte in range(256)]
    tokens += [token + token for token in tokens]
    tokenizer = bt.Tokenizer(bt.Vocab(tuple(tokens), tuple(merges)), SplitPattern.of("none"))
    assert tokenizer.encode(data) == naive_encode(tokens, merges, data)


# character schemes ----------------------------------------------------------------------------------------------------


def by_characters(made: Characters, text: str, by: str) -> list[int]:
    how = {"scores": made.scores} if by == "scores" else {"merges": made.merges}
    return naive_encode_characters(made.tokens, text, byte_ids=made.byte_ids, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("by", ["scores", "merges"])
@settings(max_examples=3 * settings().max_examples)
@given(data=st.data())
def test_characters_merge_by(by: str, data: st.DataObject) -> None:
    made = data.draw(characters(with_space=True))
    tokenizer = made.tokenizer(by)
    for text in data.draw(st.lists(made.texts(), min_size=1, max_size=3)):
        ids = tokenizer.encode(text)
        assert ids == by_characters(made, text, by)
        assert tokenizer.encode_batch([text, text], threads=2) == [ids, ids]
        assert tokenizer.count(text) == len(ids)
        assert tokenizer.decode_bytes(ids).decode().replace("▁", " ") == text.replace("▁", " ")


@pytest.mark.parametrize("by", ["scores", "merges"])
@pytest.mark.parametrize("prefix_always", [True, False])
@given(data=st.data())
def test_a_space_is_put_before_the_text(by: str, prefix_always: bool, data: st.DataObject) -> None:
    made = data.draw(characters(with_space=True))
    text = data.draw(made.texts(5))
    has_space = text.replace("▁", " ").startswith(" ")
    expected = f" {text}" if text and (prefix_always or not has_space) else text
    for prefix in ("first", "each"):
        tokenizer = made.tokenizer(by, prefix, prefix_always=prefix_always)
        ids = tokenizer.encode(text)
        assert ids == by_characters(made, expected, by)
        assert tokenizer.decode(ids).replace("▁", " ") == expected.replace("▁", " ").removeprefix(" ")


# added tokens ---------------------------------------------------------------------------------------------------------


@MANY
@given(added=added_tokens(), text=added_texts())
def test_added_tokens(added: list[AddedText], text: str) -> None:
    tokens = [bytes([byte]) for byte in range(256)]
    entries = [token.entry(len(tokens) + place) for place, token in enumerate(added)]
    by_text = {token.text: token.token(len(tokens) + place) for place, token in enumerate(added)}
    tokens += [token.text.encode() for token in added]
    tokenizer = bt.Tokenizer(bt.Vocab(tuple(tokens), (), by_text), SplitPattern.of("o200k"))
    for special in ("text", "allow"):
        parts = naive_added(text, entries, special_as_text=special == "text")
        expected = [
            token_id for part in parts for token_id in ([part] if isinstance(part, int) else part.encode())
        ]
        assert tokenizer.encode(text, special=special) == expected  # type: ignore[call-overload]
    special_ids = {entry["id"] for entry in entries if entry["special"]}
    if special_ids & set(expected):
        with pytest.raises(SpecialTokenError):
            tokenizer.encode(text)
    else:
        assert tokenizer.encode(text) == expected
