"""tokenizer.json: what is read, what is refused with its place, and what is left to the ``tokenizers`` package.

Whether `tokenizers` and transformers encode alike what we write is in tests/parity/test_saved_files.py.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from regex16 import regex
from small import extended, trained
from strategies import CHARACTERS as CHARACTERS_OF_EVERY_KIND

import bytetok as bt
from bytetok.errors import BytetokError, CorpusError, FormatError, LossyConversionError
from bytetok.tokenizer import json_format
from bytetok.tokenizer.bytelevel import BYTES, CHARACTERS, to_bytes, to_characters

Content = dict[str, Any]

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def content(
    tokens: tuple[str, ...] = (), merges: tuple[Any, ...] = (), added: tuple[Content, ...] = (), **model: object
) -> Content:
    """A file of GPT-2's pattern: the 256 bytes in the order of their characters, then ``tokens``."""
    vocab = {character: token_id for token_id, character in enumerate(sorted(CHARACTERS))}
    for token in tokens:
        vocab[token] = len(vocab)
    return {
        "version": "1.0",
        "added_tokens": list(added),
        "normalizer": None,
        "pre_tokenizer": {**BYTE_LEVEL, "use_regex": True},
        "decoder": {**BYTE_LEVEL, "use_regex": True},
        "model": {"type": "BPE", "vocab": vocab, "merges": list(merges), **model},
    }


def added(token_id: int, text: str, **flags: bool) -> Content:
    plain = dict.fromkeys(("special", "normalized", "single_word", "lstrip", "rstrip"), False)
    return {"id": token_id, "content": text, **plain, **flags}


def load(folder: Path, described: object) -> Any:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(described))
    return bt.Tokenizer.load(path)


AB = content(("ab", "abc"), (["a", "b"], ["ab", "c"]))
A = sorted(CHARACTERS).index("a")

# what is read ---------------------------------------------------------------------------------------------------------


def test_a_plain_file_is_ours(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, AB)
    assert isinstance(tokenizer, bt.Tokenizer)
    assert tokenizer.pattern.name == "gpt2"
    assert tokenizer.encode("abcab") == [257, 256]
    assert (len(tokenizer.vocab), tokenizer.vocab.merges) == (258, ((A, A + 1), (256, A + 2)))


def test_merges_may_be_strings_or_pairs(tmp_path: Path) -> None:
    old = content(("ab", "abc"), ("a b", "ab c"))
    assert load(tmp_path, old).vocab == load(tmp_path, AB).vocab


def test_of_equal_merges_the_last_counts(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, content(("ab", "bc"), (["a", "b"], ["b", "c"], ["a", "b"])))
    assert tokenizer.encode("abc") == [A, 257]
    assert len(tokenizer.vocab.merges) == 2


def test_a_model_without_a_type_is_bpe_if_it_has_merges(tmp_path: Path) -> None:
    described = copy.deepcopy(AB)
    del described["model"]["type"]
    assert isinstance(load(tmp_path, described), bt.Tokenizer)


def test_ids_may_have_gaps(tmp_path: Path) -> None:
    described = copy.deepcopy(AB)
    described["model"]["vocab"]["abc"] = 300
    tokenizer = load(tmp_path, described)
    assert tokenizer.encode("abc") == [300]
    assert tokenizer.token_bytes(280) == b""
    assert tokenizer.vocab_size == 301


def test_pre_tokenizers_become_stages(tmp_path: Path) -> None:
    described = copy.deepcopy(AB)
    split = {"type": "Split", "pattern": {"Regex": r"\s+"}, "behavior": "Isolated", "invert": False}
    digits = {"type": "Digits", "individual_digits": True}
    described["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, split, BYTE_LEVEL]}
    assert load(tmp_path, described).pattern.stages == (r"\p{N}", r"\s+")
    described["pre_tokenizer"] = BYTE_LEVEL
    assert load(tmp_path, described).pattern.name == "none"
    described["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, {**BYTE_LEVEL, "use_regex": True}]}
    assert load(tmp_path, described).pattern.stages == (r"\p{N}", *bt.SplitPattern.of("gpt2").stages)


def test_all_pairs_in_rank_order_are_a_rank_file(tmp_path: Path) -> None:
    pairs = (["a", "b"], ["b", "c"], ["a", "bc"], ["ab", "c"])
    tokens = ("ab", "bc", "abc")
    assert load(tmp_path, content(tokens, pairs, ignore_merges=True)).vocab.ranked
    assert not load(tmp_path, content(tokens, pairs)).vocab.ranked
    assert not load(tmp_path, content(tokens, pairs[:-1], ignore_merges=True)).vocab.ranked
    assert not load(tmp_path, content(tokens, (pairs[1], pairs[0], *pairs[2:]), ignore_merges=True)).vocab.ranked


def test_an_unknown_token_that_nothing_becomes_is_no_matter(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, content(("ab",), (["a", "b"],), unk_token="a"))
    assert isinstance(tokenizer, bt.Tokenizer)
    assert tokenizer.encode("ab\0") == [256, sorted(CHARACTERS).index(CHARACTERS[0])]


@pytest.mark.parametrize("name", ["gpt2", "cl100k", "o200k", "llama3", "qwen2"])
def test_a_split_that_keeps_its_matches_is_one_if_it_matches_everything(name: str, tmp_path: Path) -> None:
    pattern = bt.SplitPattern.of(name)
    split = {"type": "Split", "pattern": {"Regex": pattern.stages[0]}, "behavior": "Removed", "invert": True}
    described = changed(pre_tokenizer={"type": "Sequence", "pretokenizers": [split, BYTE_LEVEL]})
    assert load(tmp_path, described).pattern == pattern
    for character in CHARACTERS_OF_EVERY_KIND:
        for text in (character, f"a{character}", f"{character}a", f" {character}1"):
            assert b"".join(pattern.split(text)) == text.encode()
            assert all(regex.fullmatch(pattern.stages[0], piece.decode()) for piece in pattern.split(text))


@pytest.mark.parametrize(
    ("normalizer", "expected"),
    [
        (None, None),
        ({"type": "NFC"}, "NFC"),
        ({"type": "Sequence", "normalizers": []}, None),
        ({"type": "Sequence", "normalizers": [{"type": "NFKD"}]}, "NFKD"),
        ({"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [{"type": "NFKC"}]}]}, "NFKC"),
    ],
)
def test_normalization_forms_are_ours(normalizer: object, expected: str | None, tmp_path: Path) -> None:
    tokenizer = load(tmp_path, changed(normalizer=normalizer))
    assert isinstance(tokenizer, bt.Tokenizer)
    assert tokenizer.normalizer == expected
    written = json_format.to_json(tokenizer.vocab, tokenizer.pattern, normalizer=tokenizer.normalizer)
    assert written["normalizer"] == (expected and {"type": expected})


def test_the_post_processor_is_kept(tmp_path: Path) -> None:
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [258], "tokens": ["<s>"]}},
    }
    marked = content(("ab", "abc"), (["a", "b"],), (added(258, "<s>", special=True),))
    tokenizer = load(tmp_path, {**marked, "post_processor": template})
    assert tokenizer.encode("ab") == [256]  # nothing is added at either end
    tokenizer.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "tokenizer.json").read_text())["post_processor"] == template
    assert "post_processor" not in json.loads((tmp_path / "saved" / "bytetok.json").read_text())
    again = bt.Tokenizer.load(tmp_path / "saved")
    assert again.provenance["post_processor"] == template


def test_added_tokens_are_read_with_their_flags(tmp_path: Path) -> None:
    flags = {"single_word": True, "lstrip": True, "rstrip": True, "special": True}
    tokenizer = load(tmp_path, content(added=(added(256, "<s>", **flags), added(257, "x y"))))
    assert tokenizer.vocab.added_tokens["<s>"] == bt.AddedToken("<s>", 256, **flags)
    assert tokenizer.vocab.special_tokens == {"<s>": 256}
    assert tokenizer.encode("x y") == [257]


# what is left to `tokenizers` -----------------------------------------------------------------------------------------

LOWERCASE = {"type": "Lowercase"}
SPLIT = {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated", "invert": False}


def changed(**parts: object) -> Content:
    return {**copy.deepcopy(AB), **parts}


def sequence(*steps: object) -> Content:
    return changed(pre_tokenizer={"type": "Sequence", "pretokenizers": list(steps)})


def without(character: str, **model: object) -> Content:
    described = content(**model)
    del described["model"]["vocab"][character]
    return described


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        (changed(normalizer=LOWERCASE), "normalizer is {'type': 'Lowercase'}"),
        (
            changed(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, LOWERCASE]}),
            "normalizer is {'type': 'Lowercase'}",
        ),
        (changed(pre_tokenizer=None), "pre_tokenizer step 0 is NoneType"),
        (changed(pre_tokenizer={"type": "Whitespace"}), "pre_tokenizer step 0 is 'Whitespace'"),
        (changed(pre_tokenizer={**BYTE_LEVEL, "add_prefix_space": True}), "add_prefix_space"),
        (sequence(SPLIT), "does not end in ByteLevel"),
        (sequence({**SPLIT, "invert": True}, BYTE_LEVEL), "step 0 is 'Split'"),
        (sequence({**SPLIT, "behavior": "Removed"}, BYTE_LEVEL), "step 0 is 'Split'"),
        (sequence({**SPLIT, "behavior": "Removed", "invert": True}, BYTE_LEVEL), "behavior 'Removed' and invert True"),
        (sequence({**SPLIT, "pattern": {"String": "x"}}, BYTE_LEVEL), "not a Regex"),
        (without("d", unk_token="a"), "model.unk_token is 'a', for bytes that have no token"),
        (content(("a b",)), "not one of the 256 characters"),
        (content(("ab",), (["a", "b"],), (added(256, "ab"),)), "'ab' is an ordinary token, too"),
        (content(("ab", "abc"), (["a", "b"], ["ab", "c"]), (added(256, "ab"),)), "'ab' is an ordinary token, too"),
        (content(added=(added(A, "a"),)), "'a' is an ordinary token, too"),
        (content(("ab",), (), (added(256, "ab", single_word=True),), ignore_merges=True), "is an ordinary token, too"),
    ],
)
def test_what_our_engine_does_not_run_is_run_by_tokenizers(described: Content, reason: str, tmp_path: Path) -> None:
    peer = pytest.importorskip("tokenizers")
    tokenizer = load(tmp_path, described)
    assert not isinstance(tokenizer, bt.Tokenizer)
    assert reason in tokenizer.reason
    text = "abcab xab abx"
    expected = peer.Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(text).ids
    assert tokenizer.encode(text, special="allow") == expected


@pytest.mark.parametrize(
    "tokens",
    [
        (added(256, "<s>", special=True), added(257, "(a)", normalized=True)),
        (added(256, "ab"), added(257, "xab", normalized=True)),
        (added(256, "ab"), added(257, "bc", normalized=True)),
        (added(256, "ab", single_word=True), added(257, "xa", normalized=True, single_word=True)),
        (added(256, "ab", rstrip=True), added(257, " x", normalized=True, lstrip=True)),
    ],
)
def test_normalized_tokens_are_found_in_what_the_others_leave(tokens: tuple[Content, ...], tmp_path: Path) -> None:
    peer = pytest.importorskip("tokenizers")
    tokenizer = load(tmp_path, content(added=tokens))
    assert isinstance(tokenizer, bt.Tokenizer)
    expected = peer.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("(a)<s>(a", "xab abc", "abcab xab", "ab xa xab", "ab  x ab x", "xaab", "bcbc"):
        assert tokenizer.encode(text, special="allow") == expected.encode(text).ids, text


# what is refused ------------------------------------------------------------------------------------------------------


def test_a_byte_without_a_token_is_an_error_where_it_stands(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, without("d"))
    assert isinstance(tokenizer, bt.Tokenizer)
    assert tokenizer.encode("abc") == [A, A + 1, A + 2]
    # `tokenizers` leaves such a byte out without a word
    with pytest.raises(FormatError, match=r"byte 0x64.* offset 4"):
        tokenizer.encode("abc d")


def broken(change: Callable[[Content], object]) -> Content:
    described = copy.deepcopy(content(("ab", "abc"), (["a", "b"], ["ab", "c"]), (added(258, "<s>"),)))
    change(described)
    return described


def put(*path: object) -> Callable[[Content], object]:
    """Sets the value at a path of keys; the last item is the value."""

    def change(described: Any) -> None:
        for key in path[:-2]:
            described = described[key]
        described[path[-2]] = path[-1]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("model", None), "no model"),
        (put("model", "vocab", None), "model.vocab is None, expected an object"),
        (put("model", "vocab", ["a"]), r"model.vocab is \['a'\], expected an object"),
        (put("model", "vocab", "ab", "7"), "token 'ab' has id '7'"),
        (put("model", "vocab", "ab", 7.0), "token 'ab' has id 7.0"),
        (put("model", "vocab", "ab", True), "token 'ab' has id True"),
        (put("model", "vocab", "ab", None), "token 'ab' has id None"),
        (put("model", "vocab", "ab", -1), "token 'ab' has id -1"),
        (put("model", "vocab", "ab", 257), "id 257 belongs to 'ab' and to 'abc'"),
        (put("model", "vocab", "ab", 10**12), r"ids go up to 10{12} but there are only 259 tokens"),
        (put("model", "vocab", "ab", 10**30), "ids go up to"),
        (put("model", "merges", {"a": "b"}), r"model.merges is \{'a': 'b'\}, expected a list"),
        (put("model", "merges", 1, ["ab"]), r"merge 1 is \['ab'\], expected two tokens"),
        (put("model", "merges", 1, ["a", "b", "c"]), "merge 1 is .* expected two tokens"),
        (put("model", "merges", 1, "abc"), "merge 1 is 'abc', expected two tokens"),
        (put("model", "merges", 1, "a b c"), "merge 1 is 'a b c', expected two tokens"),
        (put("model", "merges", 1, [97, 98]), r"merge 1 is \[97, 98\], expected two tokens"),
        (put("model", "merges", 1, None), "merge 1 is None, expected two tokens"),
        (put("model", "merges", 1, ["zz", "c"]), "merge 1 of 'zz' and 'c' needs the token 'zz'"),
        (put("model", "merges", 1, ["b", "c"]), "merge 1 of 'b' and 'c' needs the token 'bc'"),
        (put("added_tokens", {"<s>": 258}), "added_tokens is .* expected a list"),
        (put("added_tokens", 0, "<s>"), "added token 0 is '<s>', expected an object"),
        (put("added_tokens", 0, {"id": 258}), "added token 0 is .* content"),
        (put("added_tokens", 0, {"content": "<s>"}), "added token 0 is .* and an id"),
        (put("added_tokens", 0, "content", 5), "added token 0 is .* content"),
        (put("added_tokens", 0, "content", ""), "added token 0 is .* content"),
        (put("added_tokens", None), "added_tokens is None, expected a list"),
        (put("added_tokens", 0, "lstrip", "yes"), "added token 0, '<s>': lstrip is 'yes', expected true or false"),
        (put("added_tokens", 0, "special", None), "added token 0, '<s>': special is None, expected true or false"),
        (put("pre_tokenizer", "use_regex", "yes"), r"neither bytetok \(use_regex is 'yes'\) nor tokenizers"),
        (put("model", "ignore_merges", 1), r"neither bytetok \(ignore_merges is 1\) nor tokenizers"),
        (put("model", "byte_fallback", "no"), r"neither bytetok \(byte_fallback is 'no'\) nor tokenizers"),
        (put("added_tokens", 0, "content", "\ud800"), "added token 0, .* lone surrogate"),
        (put("added_tokens", 0, "id", "258"), "added token 0 is .* and an id"),
        (put("added_tokens", 0, "id", -1), "added token 0, '<s>', has id -1, but `tokenizers` would give it 258"),
        (put("added_tokens", 0, "id", 260), "added token 0, '<s>', has id 260, but `tokenizers` would give it 258"),
        (put("added_tokens", [added(258, "<s>"), added(258, "<s>")]), "added token 1 is .* that no other has"),
        (put("added_tokens", [added(258, "<s>"), added(258, "<t>")]), "'<t>', has id 258, but .* would give it 259"),
    ],
)
def test_broken_files_are_named_with_the_place(
    change: Callable[[Content], object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=message) as raised:
        load(tmp_path, broken(change))
    assert str(tmp_path / "tokenizer.json") in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("keep", [0, 1, 40, 2000])
def test_a_truncated_file_is_named_with_the_byte(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(AB)[:keep])
    with pytest.raises(FormatError, match=r"tokenizer.json: not valid JSON at byte \d+"):
        bt.Tokenizer.load(path)


@pytest.mark.parametrize("data", [b"[]", b"5", b'"x"', b"\xff{}", b"[" * 100_000])
def test_what_is_no_json_object_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"tokenizer.json: (not valid JSON|expected a JSON object)"):
        bt.Tokenizer.load(path)


def test_a_file_that_cannot_be_read_is_an_error_of_the_corpus_kind(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(CorpusError, match="cannot be read"):
        json_format.read_json(tmp_path / "tokenizer.json")


JUNK = [None, True, -1, 0, 3.5, 10**20, "", "x", "\ud800", [], ["a"], {}, {"a": 1}]


@given(st.randoms(use_true_random=False))
def test_any_damage_is_an_error_of_ours_or_a_tokenizer(
    tmp_path_factory: pytest.TempPathFactory, random: random.Random
) -> None:
    """A value somewhere in the file becomes another, or goes; nothing but a bytetok error may come of it."""
    described: Any = json.loads(json.dumps(json_format.to_json(SAMPLE.vocab, SAMPLE.pattern)))
    for _ in range(random.randint(1, 3)):
        place = described
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = random.choice(keys)
            if isinstance(place[key], (dict, list)) and place[key] and random.random() < 0.8:
                place = place[key]
                continue
            if random.random() < 0.3:
                del place[key]
            else:
                place[key] = random.choice(JUNK)
            break
        if not described:
            break
    path = tmp_path_factory.mktemp("damaged") / "tokenizer.json"
    path.write_text(json.dumps(described))
    with contextlib.suppress(BytetokError):
        tokenizer = bt.Tokenizer.load(path)
        tokenizer.encode("the plaintiff's 1998 (a) cal. <x> naïve", special="allow")


SAMPLE = extended(
    trained("deepseek-v3", 300),
    whole=[b"qua"],
    added={"(a)": {}, "cal.": {"single_word": True}, "<x>": {"lstrip": True, "special": True}},
)

# what is written ------------------------------------------------------------------------------------------------------


def test_bytes_are_characters_and_back() -> None:
    everything = bytes(range(256))
    assert to_bytes(to_characters(everything)) == everything
    assert to_characters(b" a\n\x00\xad") == "ĠaĊĀŃ"
    assert len(BYTES) == 256
    with pytest.raises(FormatError, match=r"holds '漢', which is not one of the 256"):
        to_bytes("漢")


def test_the_file_says_what_the_tokenizer_does() -> None:
    described = json_format.to_json(SAMPLE.vocab, SAMPLE.pattern)
    assert described["model"]["ignore_merges"] is True
    assert described["model"]["vocab"].keys() >= {"<|endoftext|>", "(a)", "cal.", "qua", "Ġ"}
    assert len(described["model"]["vocab"]) == len(SAMPLE.vocab)
    steps = described["pre_tokenizer"]["pretokenizers"]
    assert [step["type"] for step in steps] == ["Split"] * 3 + ["ByteLevel"]
    assert [step["pattern"]["Regex"] for step in steps[:3]] == list(SAMPLE.pattern.stages)
    assert [entry["content"] for entry in described["added_tokens"]] == [
        "<|endoftext|>", "<pad>", "(a)", "cal.", "<x>",
    ]  # fmt: skip


def test_gpt2_needs_no_split_of_its_own() -> None:
    described = json_format.to_json(trained("gpt2").vocab, trained("gpt2").pattern)
    assert described["pre_tokenizer"] == {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["é", "_", "the"])
def test_an_added_token_that_is_spelled_like_another_cannot_be_written(text: str, tmp_path: Path) -> None:
    tokenizer = extended(trained(), added={text: {}})
    assert tokenizer.encode(text) == [420]
    with pytest.raises(LossyConversionError, match=f"both written '{text}' in tokenizer.json"):
        tokenizer.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_added_token_that_is_a_pretoken_cannot_be_written_as_a_single_word(tmp_path: Path) -> None:
    tokenizer = extended(trained(), whole=[b"qua"], added={"zeta": {"single_word": True}})
    with pytest.raises(LossyConversionError, match="'zeta' is for single words only"):
        tokenizer.save(tmp_path)


def test_added_tokens_of_two_passes_come_back(tmp_path: Path) -> None:
    tokenizer = extended(trained(), added={"qab": {}, "xqab": {"normalized": True}})
    tokenizer.save(tmp_path)
    again = bt.Tokenizer.load(tmp_path)
    assert again.vocab == tokenizer.vocab
    assert again.encode("xqab") == tokenizer.encode("xqab") == [*tokenizer.encode("x"), 420]


def test_roles_are_found_by_the_text_of_special_tokens() -> None:
    config = json_format.config_of(trained().vocab)
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert (config["eos_token"], config["pad_token"]) == ("<|endoftext|>", "<pad>")
    assert "bos_token" not in config
    assert config["added_tokens_decoder"]["1"]["content"] == "<pad>"
