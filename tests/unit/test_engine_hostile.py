"""Vocabularies, patterns, text and ids that nobody makes by accident: an error of ours or the right ids, and soon.

What files may say is tried in ``test_json_format.py`` and ``test_tiktoken_format.py``; here it is the engine itself.
"""

from __future__ import annotations

import base64
import json
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import naive_encode, naive_encode_ranked
from small import extended, of_merges, trained

import bytetok as bt
from bytetok.errors import BytetokError, EncodingError, FormatError, InvalidPatternError, UnknownTokenError
from bytetok.tokenizer import SplitPattern
from bytetok.tokenizer.loading import load_ranks

MEGABYTE = 1 << 20
BYTES = tuple(bytes([byte]) for byte in range(256))


def tokenizer_of(
    tokens: tuple[bytes, ...], merges: tuple[tuple[int, int], ...] | None = None, pattern: str = "none"
) -> bt.Tokenizer:
    ranked = merges is None
    return bt.Tokenizer(bt.Vocab(tokens, merges, whole_first=ranked, ranked=ranked), SplitPattern.of(pattern))


# vocabularies ---------------------------------------------------------------------------------------------------------


def test_a_vocabulary_of_nothing_encodes_nothing() -> None:
    for vocab in (bt.Vocab(()), bt.Vocab((), ranked=True), bt.Vocab((b"", b""))):
        tokenizer = bt.Tokenizer(vocab, SplitPattern.of("gpt2"))
        assert (tokenizer.encode(""), tokenizer.encode_batch(["", b""]), tokenizer.count("")) == ([], [[], []], 0)
        with pytest.raises(FormatError, match=r"byte 0x61 at offset 0"):
            tokenizer.encode("a")


def test_a_vocabulary_of_special_tokens_alone() -> None:
    vocab = bt.Vocab((b"<s>",), (), {"<s>": bt.AddedToken("<s>", 0, special=True)})
    tokenizer = bt.Tokenizer(vocab, SplitPattern.of("o200k"))
    assert tokenizer.encode("<s><s>", special="allow") == [0, 0]
    with pytest.raises(FormatError, match=r"byte 0x3C at offset 0"):
        tokenizer.encode("<s>", special="text")


def test_one_letter_without_merges() -> None:
    tokenizer = tokenizer_of((b"a",), ())
    assert tokenizer.encode("a" * MEGABYTE, out="numpy").tolist() == [0] * MEGABYTE


def test_bytes_that_are_missing_are_named_wherever_they_stand() -> None:
    tokenizer = of_merges(b"ab", [(b"a", b"b")], pattern="whitespace")
    for offset in (0, 1, 31, 32, 33, 63, 64, 65, 1000, 70_001):
        with pytest.raises(FormatError, match=rf"byte 0x63 at offset {offset} "):
            tokenizer.encode("ab" * (offset // 2) + "a" * (offset % 2) + "c" + "ab" * 40)
    with pytest.raises(FormatError, match=r"byte 0x20 at offset 2 "):
        tokenizer.encode_batch(["ab", "ab ab"], threads=2)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("length", [1000, 20_000])
def test_a_very_long_token(length: int) -> None:
    long = b"a" * length
    tokenizer = tokenizer_of((*BYTES, b"aa", long))
    assert tokenizer.encode(long) == [257]
    assert tokenizer.encode(long + b"a") == naive_like_run(length + 1, double=256)
    assert tokenizer.decode_bytes([257, 98]) == long + b"b"


def naive_like_run(length: int, *, double: int) -> list[int]:
    """A run of ``a`` of which pairs merge and nothing else does."""
    return [double] * (length // 2) + [97] * (length % 2)


@pytest.mark.timeout(60)
def test_a_rank_file_with_a_very_long_token(tmp_path: Path) -> None:
    path = tmp_path / "long.tiktoken"
    tokens = [*BYTES, b"ab", bytes(random.Random(1).choices(b"abc", k=20_000))]
    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)))
    tokenizer = load_ranks(path, name="long", pattern="none")
    assert tokenizer.encode(tokens[257]) == [257]
    assert tokenizer.encode(b"cab" + tokens[257])[:2] == [99, 256]


@pytest.mark.timeout(120)
def test_a_million_merges_on_one_letter() -> None:
    """Every way to join runs of up to a thousand, in a random order: most merges are never the next one."""
    most = 1000
    tokens = tuple(b"a" * length for length in range(1, 2 * most + 1))
    merges = [(left, right) for left in range(most) for right in range(most)]
    random.Random(7).shuffle(merges)
    tokenizer = tokenizer_of(tokens, tuple(merges))
    for length in (3, 333):
        assert tokenizer.encode("a" * length) == naive_encode(tokens, merges, b"a" * length)
    started = time.process_time()
    ids = tokenizer.encode("a" * 200_000)
    assert tokenizer.decode_bytes(ids) == b"a" * 200_000
    assert time.process_time() - started < 20


def test_a_ladder_of_tokens_each_a_letter_longer() -> None:
    """a, ab, abb, ...: every token is a merge of the one before and a letter, so all are prefixes of one another."""
    tokens = (b"a", b"b", *(b"a" + b"b" * length for length in range(1, 600)))
    merges = tuple((0 if place == 2 else place - 1, 1) for place in range(2, len(tokens)))
    for order in (merges, merges[::-1]):
        tokenizer = tokenizer_of(tokens, order)
        for text in (b"a" + b"b" * 599, b"a" + b"b" * 700, b"b" * 50, b"abab" + b"b" * 300 + b"a"):
            assert tokenizer.encode(text) == naive_encode(tokens, order, text)


def test_tokens_that_begin_alike_and_never_end() -> None:
    """Tokens that share all but their last letter: whoever looks for the longest match walks far and turns back."""
    stem = b"ab" * 60
    tokens = (b"a", b"b", b"c", b"ab", *(stem[:length] + b"c" for length in range(1, 120)))
    text = stem * 3 + b"c" + stem
    assert tokenizer_of(tokens).encode(text) == naive_encode_ranked(tokens, text)


def test_merges_of_added_tokens_and_gaps_never_happen() -> None:
    tokens = (b"a", b"b", b"", b"<x>", b"ab", b"<x>a")
    added = {"<x>": bt.AddedToken("<x>", 3)}
    vocab = bt.Vocab(tokens, ((3, 0), (2, 0), (0, 2), (0, 1)), added)
    try:
        ids = bt.Tokenizer(vocab, SplitPattern.of("none")).encode("a<x>ab")
    except BytetokError:
        return
    assert ids == [0, 3, 4]


@pytest.mark.parametrize("pair", [(0, 5), (5, 0), (-1, 0), (1 << 32, 0), (1 << 70, 1)])
def test_merges_of_tokens_that_are_not_there_are_errors(pair: tuple[int, int]) -> None:
    with pytest.raises(BytetokError, match=r"merge 0"):
        tokenizer_of((b"a", b"b", b"ab"), (pair,)).encode("ab")


def test_a_merge_that_makes_no_token_is_an_error() -> None:
    with pytest.raises(BytetokError, match=r"b'ba'"):
        tokenizer_of((b"a", b"b", b"ab"), ((0, 1), (1, 0))).encode("ba")


def test_an_added_token_in_the_middle_of_nothing() -> None:
    long = "x" * 2000
    tokenizer = extended(trained(), added={long: {}, "é": {}, "\0": {}, "\n": {"lstrip": True, "rstrip": True}})
    ids = {text: token.id for text, token in tokenizer.vocab.added_tokens.items()}
    assert tokenizer.encode(long * 2) == [ids[long]] * 2
    assert ids[long] not in tokenizer.encode(long[1:] + "y" + long[1:])
    assert tokenizer.encode("é\0é") == [ids["é"], ids["\0"], ids["é"]]
    assert tokenizer.encode(" \t\n\u3000") == [ids["\n"]]
    assert tokenizer.encode(b"\xc3") != [ids["é"]]


def test_ten_thousand_added_tokens() -> None:
    texts = [f"<{number}>" for number in range(10_000)]
    tokenizer = extended(trained(), added={text: {"special": True} for text in texts})
    chosen = random.Random(3).choices(texts, k=2000)
    ids = [tokenizer.vocab.added_tokens[text].id for text in chosen]
    assert tokenizer.encode("".join(chosen), special="allow") == ids


# patterns -------------------------------------------------------------------------------------------------------------

CATASTROPHES = [r"(?:a|aa)+(?!a|$)b", r"(a*)*\1b|c", r"(?:a|aa)+(?=b)(?<=a)", r"(a|a)*(?<!b)b"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("regex", CATASTROPHES)
def test_catastrophic_backtracking_is_an_error(regex: str) -> None:
    tokenizer = bt.Tokenizer(trained().vocab, SplitPattern.of(regex))
    text = "a" * 4000 + "!"
    for encode in (
        lambda: tokenizer.encode(text),
        lambda: tokenizer.count(text),
        lambda: tokenizer.encode_batch(["a", text], threads=2),
    ):
        with pytest.raises(InvalidPatternError, match=r"backtracking at byte 0"):
            encode()
    assert tokenizer.decode_bytes(tokenizer.encode("xyz")) == b"xyz"


@pytest.mark.timeout(120)
def test_catastrophic_backtracking_in_a_file_is_an_error(tmp_path: Path) -> None:
    trained("gpt2").save(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    steps = [
        {"type": "Split", "pattern": {"Regex": CATASTROPHES[0]}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ]
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    path.write_text(json.dumps(content))
    with pytest.raises(BytetokError):
        bt.Tokenizer.load(path).encode("a" * 4000 + "!")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("regex", [r"(?:(?=.)[ab])+", r"(?:a(?!c)|b)*a", r"(?<=^|b)a+|b", r"(?>(?:a|b)+)"])
def test_a_megabyte_through_a_regex_is_split_or_refused(regex: str) -> None:
    text = ("a" * 1000 + "b") * 1000
    try:
        pieces = SplitPattern.of(regex).split(text)
    except InvalidPatternError:
        return
    assert b"".join(pieces) == text.encode()


@pytest.mark.parametrize(
    "regex",
    [
        "(" * 5000 + "a" + ")" * 5000, "a{1000000}{1000}", "(?:" * 300 + "a" + ")*" * 300 + "b", "[" * 9000, "\\",
        "(?<n>", "(?P<", "\0*",
    ],
)  # fmt: skip
def test_regexes_that_are_too_much_are_errors(regex: str) -> None:
    try:
        pattern = SplitPattern.of((regex,))
    except InvalidPatternError:
        return
    assert b"".join(pattern.split("aab")) == b"aab"


# text -----------------------------------------------------------------------------------------------------------------


SURROGATES = "\ud800\ud83d\udc80\udfff"


@pytest.mark.parametrize(
    "text", ["\ud800", "a\udfff", "x" * 100_000 + "\udc80", "é\ud83d", "漢字\udc80\ud800"], ids=lambda it: str(len(it))
)
def test_lone_surrogates_are_errors_everywhere(text: str) -> None:
    tokenizer = extended(trained(), added={"a": {}})
    place = rf"lone surrogate at character {len(text.rstrip(SURROGATES))}"
    for encode in (
        lambda: tokenizer.encode(text),
        lambda: tokenizer.encode(text, out="numpy"),
        lambda: tokenizer.count(text),
        lambda: tokenizer.encode_batch(["fine", text], threads=2),
    ):
        with pytest.raises(EncodingError, match=place):
            encode()


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "deepseek-v3", "whitespace", "none", r"\w+|\s"])
@given(data=st.binary(max_size=120))
def test_bytes_that_are_no_text_come_back(pattern: str, data: bytes) -> None:
    tokenizer = bt.Tokenizer(trained().vocab, SplitPattern.of(pattern))
    for sample in (data, b"caf\xc3" + data, data + b"\xe6\xbc", b"\xf0\x9f\x98" + data, b"\xed\xa0\x80" + data):
        ids = tokenizer.encode(sample, special="text")
        assert tokenizer.decode_bytes(ids) == sample
        assert tokenizer.encode_batch([sample], special="text") == [ids]


@pytest.mark.parametrize(
    "bad",
    [None, 1, 1.5, ["a"], {"a": 1}, object(), bytearray(b"a"), memoryview(b"a"), np.str_],
    ids=lambda bad: type(bad).__name__,
)
def test_what_is_no_text_is_a_type_error(bad: object) -> None:
    tokenizer = trained()
    for encode in (tokenizer.encode, tokenizer.count, lambda text: tokenizer.encode_batch(["a", text])):
        with pytest.raises(TypeError):
            encode(bad)  # type: ignore[operator]


def test_subclasses_of_str_are_text() -> None:
    class Text(str):
        def encode(self, *_: object) -> bytes:  # type: ignore[override]
            return b"a lie"

    expected = trained().encode("the court")
    assert trained().encode(Text("the court")) == trained().encode(np.str_("the court")) == expected


def test_a_batch_may_be_any_iterable() -> None:
    tokenizer = trained()
    expected = tokenizer.encode_batch(["a b", "", b"c"])
    assert tokenizer.encode_batch(text for text in ("a b", "", b"c")) == expected
    assert tokenizer.encode_batch(("a b", "", b"c"), threads=64) == expected
    assert tokenizer.encode_batch({"a b": 1, "": 2, b"c": 3}) == expected

    def broken() -> object:
        yield "a"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        tokenizer.encode_batch(broken())  # type: ignore[arg-type]


# ids ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, 420, 1 << 31, 1 << 32, 1 << 63, 1 << 64, -(1 << 40), 10**30])
@pytest.mark.parametrize("before", [0, 3, 1000])
def test_an_id_outside_the_vocabulary_is_named_with_its_place(bad: int, before: int) -> None:
    tokenizer = trained()
    ids = [5] * before + [bad, 6]
    for decode in (tokenizer.decode, tokenizer.decode_bytes):
        with pytest.raises(UnknownTokenError, match=rf"{bad} at position {before}\b"):
            decode(ids)
        with pytest.raises(UnknownTokenError, match=rf"at position {before}\b"):
            decode(iter(ids))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64, np.uint16])
def test_ids_of_any_integer_array_decode(kind: type[np.integer]) -> None:
    tokenizer = trained()
    ids = np.array([100, 5, 7, 120], dtype=kind)
    expected = tokenizer.decode_bytes([100, 5, 7, 120])
    for array in (ids, ids[::1], np.repeat(ids, 2)[::2], ids.astype(ids.dtype.newbyteorder()), ids[::-1][::-1]):
        assert tokenizer.decode_bytes(array) == expected
        assert tokenizer.decode(array) == expected.decode(errors="replace")
    assert tokenizer.decode_bytes(list(ids)) == expected
    assert tokenizer.decode_bytes(np.array([], dtype=kind)) == b""


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint64])
def test_a_bad_id_in_an_array_is_named_with_its_place(kind: type[np.integer]) -> None:
    bad = np.iinfo(kind).max
    with pytest.raises(UnknownTokenError, match=rf"{bad} at position 2\b"):
        trained().decode_bytes(np.array([1, 2, bad], dtype=kind))
    if np.iinfo(kind).min < 0:
        with pytest.raises(UnknownTokenError, match=r"-7 at position 1\b"):
            trained().decode_bytes(np.array([1, -7], dtype=kind))


@pytest.mark.parametrize(
    "bad",
    ["ab", [1.5], ["1"], [None], [b"a"], [[1]], np.array([1.5]), np.array(["a"]), 5, None, [float("nan")]],
    ids=repr,
)
def test_what_are_no_ids_is_an_error(bad: object) -> None:
    tokenizer = trained()
    for decode in (tokenizer.decode, tokenizer.decode_bytes):
        with pytest.raises((TypeError, BytetokError)):
            decode(bad)  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 419), max_size=60))
def test_any_ids_decode_to_their_tokens(ids: list[int]) -> None:
    tokenizer = trained()
    expected = b"".join(tokenizer.vocab.tokens[token_id] for token_id in ids)
    assert tokenizer.decode_bytes(ids) == tokenizer.decode_bytes(np.array(ids, dtype=np.uint32)) == expected
    assert tokenizer.decode(ids) == expected.decode(errors="replace")
