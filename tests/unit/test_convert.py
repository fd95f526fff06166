"""Conversions: equal ids or an error that says where they would differ; nothing half-written."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from small import extended, of_merges, trained
from strategies import counts, texts

import bytetok as bt
from bytetok.errors import FormatError, LossyConversionError, MissingDependencyError
from bytetok.tokenizer import convert as module
from bytetok.tokenizer.convert import PROBE, check_ranks, convert, to_tiktoken
from bytetok.tokenizer.tiktoken_format import vocab_of

SPECIAL = {"<x>": {"lstrip": True, "special": True}, "(a)": {"single_word": True}}


def ranks_of(tokenizer: bt.Tokenizer) -> bt.Tokenizer:
    ordinary = tokenizer.vocab.ordinary()
    ranks = {token: token_id for token_id, token in enumerate(tokenizer.vocab.tokens) if ordinary[token_id]}
    return bt.Tokenizer(vocab_of(ranks, tokenizer.vocab.added_tokens), tokenizer.pattern)


# rank files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["o200k", "gpt2", "deepseek-v3", "none", r"\p{N}|[a-z]+"])
def test_a_trained_tokenizer_goes_to_ranks_and_back(pattern: str, tmp_path: Path) -> None:
    original = extended(trained(pattern), added={"<x>": SPECIAL["<x>"]} if pattern == "none" else SPECIAL)
    converted = convert(original, tmp_path / "small.tiktoken")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["small.bytetok.json", "small.tiktoken"]
    loaded = bt.Tokenizer.load(tmp_path / "small.tiktoken")
    assert isinstance(loaded, bt.Tokenizer)
    assert (loaded.vocab, loaded.pattern, loaded.name) == (converted.vocab, original.pattern, "small")
    assert loaded.vocab.tokens == original.vocab.tokens
    assert loaded.vocab.added_tokens == original.vocab.added_tokens
    back = convert(tmp_path / "small.tiktoken", tmp_path / "folder")
    for text in PROBE:
        ids = original.encode(text, special="allow")
        assert loaded.encode(text, special="allow") == ids
        assert back.encode(text, special="allow") == ids


@given(texts())
def test_ranks_encode_as_merges_do(text: str) -> None:
    original = trained("gpt2")
    assert ranks_of(original).encode(text, special="allow") == original.encode(text, special="allow")


def test_ranks_through_json_are_the_same_ranks(tmp_path: Path) -> None:
    first = convert(trained(), tmp_path / "a.tiktoken")
    through = convert(convert(first, tmp_path / "folder"), tmp_path / "b.tiktoken")
    assert through.vocab == first.vocab
    assert (tmp_path / "a.tiktoken").read_bytes() == (tmp_path / "b.tiktoken").read_bytes()


def test_two_rank_files_in_a_folder_keep_their_own_patterns(tmp_path: Path) -> None:
    convert(trained("gpt2"), tmp_path / "a.tiktoken")
    convert(trained("digits"), tmp_path / "b.tiktoken")
    patterns = [bt.Tokenizer.load(tmp_path / f"{name}.tiktoken").pattern for name in "ab"]
    assert [str(pattern) for pattern in patterns] == ["gpt2", "digits"]


LATE = of_merges(b"abc", [(b"a", b"b"), (b"b", b"c")])
DEAD = of_merges(b"abc", [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")])
OUT_OF_ORDER = bt.Tokenizer(
    bt.Vocab((b"a", b"b", b"c", b"bc", b"ab"), ((0, 1), (1, 2))), bt.SplitPattern.of("none"), name="merges"
)


def test_what_ranks_can_say_passes() -> None:
    check_ranks(LATE)
    check_ranks(ranks_of(DEAD))


def test_merges_out_of_the_order_of_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LossyConversionError, match="merge 0 makes token 4, and a later one token 3"):
        convert(OUT_OF_ORDER, tmp_path / "x.tiktoken")
    assert not list(tmp_path.iterdir())
    lossy = convert(OUT_OF_ORDER, tmp_path / "x.tiktoken", lossy=True)
    assert (OUT_OF_ORDER.encode("abc"), lossy.encode("abc")) == ([4, 2], [0, 3])


def test_a_token_that_is_never_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LossyConversionError, match=r"token 5, b'abc', is never made by merges, .* \[0, 3\]"):
        convert(DEAD, tmp_path / "x.tiktoken")
    lossy = convert(DEAD, tmp_path / "x.tiktoken", lossy=True)
    assert (DEAD.encode("abc"), lossy.encode("abc")) == ([0, 3], [5])


def test_whole_pretokens_pass_unless_ranks_would_make_them() -> None:
    check_ranks(extended(trained(), whole=[b"quz"]))  # no two tokens join to it
    tokenizer = extended(trained(), whole=[b"ththe"])
    assert tokenizer.encode("ththe") != tokenizer.encode("xththe")[1:]
    with pytest.raises(LossyConversionError, match="b'ththe', is never made by merges"):
        check_ranks(tokenizer)


MERGES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=12)


@given(MERGES, st.permutations(range(12)), st.text("abc", max_size=16), st.booleans())
def test_what_passes_has_the_ids_of_ranks_on_any_text(
    picks: list[tuple[int, int]], order: list[int], text: str, whole_first: bool
) -> None:
    """Merges of any order, with tokens that are made twice or never: the proof of ``check_ranks``, tried."""
    tokens, pairs = [b"a", b"b", b"c"], []
    for left, right in picks:
        pair = (left % len(tokens), right % len(tokens))
        if pair not in pairs:
            pairs.append(pair)
            if tokens[pair[0]] + tokens[pair[1]] not in tokens:
                tokens.append(tokens[pair[0]] + tokens[pair[1]])
    if len(pairs) > 2 and order[0] % 3 == 0:
        pairs = [pairs[place] for place in order if place < len(pairs)]
    tokenizer = bt.Tokenizer(bt.Vocab(tuple(tokens), tuple(pairs), whole_first=whole_first), bt.SplitPattern.of("none"))
    try:
        check_ranks(tokenizer)
    except LossyConversionError:
        assume(False)
    assert ranks_of(tokenizer).encode(text) == tokenizer.encode(text)


@given(counts(), st.integers(1, 30))
def test_whatever_training_makes_can_be_ranks(word_counts: dict[bytes, int], new_tokens: int) -> None:
    counted = bt.PretokenCounts.from_dict(word_counts, pattern="none")
    tokenizer = bt.train_bpe(counted, vocab_size=257 + new_tokens, special_tokens=["<s>"], min_count=1)
    check_ranks(tokenizer)
    ranked = ranks_of(tokenizer)
    for word in word_counts:
        assert ranked.encode(word * 2, special="text") == tokenizer.encode(word * 2, special="text")


# tokenizer.json -------------------------------------------------------------------------------------------------------


def test_a_json_file_alone_and_a_folder_hold_the_same(tmp_path: Path) -> None:
    original = extended(trained(), whole=[b"qua"], added=SPECIAL)
    alone = convert(original, tmp_path / "small.json")
    folder = convert(original, tmp_path / "small")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small", "small.json"]
    assert alone.vocab == folder.vocab == original.vocab
    assert (tmp_path / "small.json").read_bytes() == (tmp_path / "small" / "tokenizer.json").read_bytes()


def test_a_user_regex_that_tokenizers_reads_otherwise_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    # In Oniguruma, [[:word:]] is a class; here it is a set that holds ":" and letters.
    tokenizer = bt.Tokenizer(trained().vocab, bt.SplitPattern.of(r"[^\S\n]+|(?m:^.+$)|\n"))
    with pytest.raises(LossyConversionError, match="ids would change: at byte"):
        convert(tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_difference_is_shown_with_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def peer(path: Path) -> object:
        return lambda text, special: [1, 2, 3]

    monkeypatch.setattr(module, "_peer", peer)
    with pytest.raises(LossyConversionError, match=r"at byte 0 of a probe text, before b.The quick.* \[1, 2, 3\]"):
        convert(trained(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert convert(trained(), tmp_path / "out", lossy=True).vocab == trained().vocab


def test_a_foreign_tokenizer_is_not_converted(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    trained().save(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "normalizer": {"type": "Lowercase"}}))
    with pytest.raises(FormatError, match=r"cannot be converted, because normalizer is .*'Lowercase'"):
        convert(file, tmp_path / "x.tiktoken", lossy=True)


def test_the_probe_holds_what_is_promised() -> None:
    text = "".join(PROBE)
    scripts = ("суде", "Ελλ", "שלום", "مرحبا", "नमस्ते", "สวัสดี", "日本", "한국어")
    for part in (*scripts, "def f", "1234", "\t\t", "\r\n", "\u3000", "👩🏽"):
        assert part in text


# objects of other packages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["o200k", "gpt2", "llama3", "digits", "none", r"[a-z]+|\s+"])
def test_tiktoken_encodes_alike(pattern: str) -> None:
    pytest.importorskip("tiktoken")
    tokenizer = trained(pattern)
    encoding = tokenizer.to_tiktoken()
    assert encoding.n_vocab == 420
    for text in PROBE:
        padded = text + "<pad>"
        assert encoding.encode(padded, allowed_special="all") == tokenizer.encode(padded, special="allow")
        assert encoding.encode_ordinary(text) == tokenizer.encode(text, special="text")


@given(texts())
def test_tiktoken_encodes_any_text_alike(text: str) -> None:
    pytest.importorskip("tiktoken")
    assert ENCODINGS[0].encode_ordinary(text) == ENCODINGS[1].encode(text, special="text")


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (trained("deepseek-v3"), "3 stages"),
        (extended(trained(), added={"(a)": {}}), r"'\(a\)' is not special"),
        (extended(trained(), added={"<x>": {"special": True, "rstrip": True}}), "'<x>' is not special, or has flags"),
        (extended(trained(), added={"<pad>2": {"special": True}}), "'<pad>2' begins with '<pad>'"),
        (LATE, r"no token for 253 bytes, such as 0x00"),
        (extended(trained(), whole=[b"ththe"]), "never made"),
    ],
)
def test_what_tiktoken_cannot_do_is_refused(tokenizer: bt.Tokenizer, message: str) -> None:
    pytest.importorskip("tiktoken")
    with pytest.raises(LossyConversionError, match=message):
        to_tiktoken(tokenizer)


def test_lossy_tiktoken_works_unless_it_would_panic() -> None:
    pytest.importorskip("tiktoken")
    encoding = to_tiktoken(trained("deepseek-v3"), lossy=True)
    assert encoding.decode_bytes(encoding.encode("the court")) == b"the court"
    with pytest.raises(LossyConversionError, match="253 bytes"):
        to_tiktoken(LATE, lossy=True)


@pytest.mark.parametrize(
    ("method", "package", "extra"), [("to_tiktoken", "tiktoken", "tiktoken"), ("to_hf", "transformers", "torch")]
)
def test_a_missing_package_is_named(method: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without(name: str, *args: object) -> object:
        if name == package:
            raise ImportError(f"no {name}")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingDependencyError, match=rf"'{package}'.*pip install 'bytetok-lm\[{extra}\]'"):
        getattr(trained(), method)()


ENCODINGS = (trained().to_tiktoken(), trained()) if importlib.util.find_spec("tiktoken") else ()
