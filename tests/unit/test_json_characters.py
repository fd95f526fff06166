"""SentencePiece-style BPE in tokenizer.json: what is exactly a character scheme, and what is left to ``tokenizers``.

Ids are held to those of `tokenizers` in tests/parity/test_encode_json.py; here are the schemes and the reasons.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import bytetok as bt
from bytetok.errors import FormatError, LossyConversionError
from bytetok.tokenizer import json_format
from bytetok.tokenizer.convert import PROBE, convert
from bytetok.tokenizer.references import available_references
from bytetok.tokenizer.vocab import CharacterScheme

Content = dict[str, Any]

REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
PREPEND = {"type": "Prepend", "prepend": "▁"}
SPLIT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
UNREPLACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
FLAGS = dict.fromkeys(("special", "normalized", "single_word", "lstrip", "rstrip"), False)
PIECES = ("▁", "a", "b", "ab", "▁ab", "▁▁", "▁a▁b", "▁b")
MERGES = (["a", "b"], ["▁", "ab"], ["▁", "▁"], ["▁", "b"])
A = 257


def steps(name: str, *parts: object) -> Content:
    return {"type": "Sequence", name: list(parts)}


def metaspace(scheme: str | None = None, **options: object) -> Content:
    return {"type": "Metaspace", "replacement": "▁", **({"prepend_scheme": scheme} if scheme else {}), **options}


def decoder(*rest: object) -> Content:
    return steps("decoders", UNREPLACE, {"type": "ByteFallback"}, {"type": "Fuse"}, *rest)


def unprefixed(**parts: object) -> Content:
    """A file as Gemma's, which puts no space anywhere."""
    return content(**{"normalizer": REPLACE, "decoder": decoder(), **parts})


def content(**parts: object) -> Content:
    """A file as Llama 2's; ``parts`` are of the file or of the model."""
    vocab = {f"<0x{byte:02X}>": byte for byte in range(256)}
    for piece in PIECES:
        vocab[piece] = len(vocab)
    described: Content = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": steps("normalizers", PREPEND, REPLACE),
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": decoder(STRIP),
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": vocab,
                  "merges": list(MERGES)},
    }  # fmt: skip
    for name, part in parts.items():
        (described if name in described else described["model"])[name] = part
    return described


def added(text: str, token_id: int = 256 + len(PIECES), **flags: bool) -> Content:
    return {"id": token_id, "content": text, **FLAGS, **flags}


def with_vocab(*, drop: str | None = None, **extra: int) -> Content:
    described = content()
    described["model"]["vocab"].update(extra)
    if drop is not None:
        del described["model"]["vocab"][drop]
    return described


def load(folder: Path, described: Content) -> Any:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(described))
    return bt.Tokenizer.load(path)


# what is read ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "prefix"),
    [
        ({}, ("each", True)),
        ({"normalizer": steps("normalizers", REPLACE, PREPEND)}, ("each", True)),
        ({"normalizer": REPLACE, "decoder": decoder()}, ("none", True)),
        ({"normalizer": REPLACE, "decoder": decoder(), "pre_tokenizer": SPLIT}, ("none", True)),
        ({"normalizer": None, "pre_tokenizer": metaspace("always", split=False)}, ("each", False)),
        ({"normalizer": None, "pre_tokenizer": metaspace(split=False)}, ("each", False)),
        ({"normalizer": steps("normalizers"), "pre_tokenizer": metaspace("first", split=False)}, ("first", False)),
        ({"normalizer": None, "decoder": decoder(), "pre_tokenizer": metaspace("never", split=False)}, ("none", True)),
        (
            {
                "normalizer": None,
                "decoder": decoder(),
                "pre_tokenizer": metaspace("never", split=False, add_prefix_space=False),
            },
            ("none", True),
        ),
    ],
)
def test_where_a_space_goes(parts: Content, prefix: tuple[str, bool], tmp_path: Path) -> None:
    tokenizer = load(tmp_path, content(**parts))
    assert isinstance(tokenizer, bt.Tokenizer)
    assert tokenizer.vocab.characters == CharacterScheme(tuple(range(256)), *prefix)
    assert (tokenizer.normalizer, tokenizer.pattern.name) == (None, "none")
    peer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("", " ", "ab", " ab", "a b", "▁ab", "é  ab", "\n", "<0x41>", "ab▁▁", "   "):
        ids = tokenizer.encode(text)
        assert ids == peer.encode(text).ids, text
        assert tokenizer.decode(ids) == peer.decode(ids), text


def test_tokens_are_the_bytes_that_they_stand_for(tmp_path: Path) -> None:
    vocab = load(tmp_path, content()).vocab
    assert (vocab.tokens[10], vocab.tokens[0x61], vocab.tokens[A], vocab.tokens[-4]) == (b"\n", b"a", b"a", b" ab")
    assert vocab.id_of(b"a") == A


def test_a_normalization_form_comes_first(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, content(normalizer=steps("normalizers", {"type": "NFKC"}, PREPEND, REPLACE)))
    assert isinstance(tokenizer, bt.Tokenizer)
    assert tokenizer.normalizer == "NFKC"
    assert tokenizer.encode("\uff41\u3000b") == [256, A, 256 + 7]


def test_metaspace_may_split_where_no_token_reaches_over_a_space(tmp_path: Path) -> None:
    described = content(normalizer=None, pre_tokenizer=metaspace("always"))
    assert "pre_tokenizer.split is true, but the token '▁▁' reaches over a space" in load(tmp_path, described).reason
    model = described["model"]
    kept = [piece for piece in model["vocab"] if "▁" not in piece[1:]]
    model["vocab"] = {piece: place for place, piece in enumerate(kept)}
    model["merges"] = [pair for pair in MERGES if pair != ["▁", "▁"]]
    tokenizer = load(tmp_path, described)
    assert isinstance(tokenizer, bt.Tokenizer)
    assert tokenizer.encode("ab  ab") == [260, 256, 260]


def test_added_tokens_are_found_before_spaces_are_marks(tmp_path: Path) -> None:
    # as in Gemma 3, where "▁▁" is an added token and a piece at once
    described = unprefixed(added_tokens=[added("▁▁", 261), added("<s>", special=True)])
    tokenizer = load(tmp_path, described)
    assert isinstance(tokenizer, bt.Tokenizer)
    assert tokenizer.token_bytes(261) == b"  "
    assert tokenizer.encode("▁▁a  a<s>", special="allow") == [261, A, 261, A, 264]
    assert tokenizer.decode([261, A]) == "  a"


@pytest.mark.parametrize("name", ["llama2", "gemma3"])
def test_published_files_are_ours(name: str) -> None:
    if name not in available_references():
        pytest.skip(f"{name} is not in the cache")
    tokenizer = bt.Tokenizer.load(name)
    assert isinstance(tokenizer, bt.Tokenizer)
    peer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(available_references()[name]))
    for text in [*PROBE, "<s>a <bos>b", *(" " * size + "x" for size in range(40))]:
        assert tokenizer.encode(text, special="allow") == peer.encode(text, add_special_tokens=False).ids, text


# what is left to `tokenizers` -----------------------------------------------------------------------------------------

LOWERCASE = {"type": "Lowercase"}
METASPACE_DECODER = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        (content(normalizer=steps("normalizers", PREPEND, REPLACE, LOWERCASE)), "normalizer step 2 is"),
        (content(normalizer=steps("normalizers", {**PREPEND, "prepend": "x"}, REPLACE)), "normalizer step 0 is"),
        (content(normalizer={**REPLACE, "content": "_"}), "normalizer step 0 is"),
        (content(normalizer={**REPLACE, "pattern": {"Regex": " "}}), "normalizer step 0 is"),
        (content(normalizer=steps("normalizers", PREPEND, PREPEND, REPLACE)), "normalizer prepends twice"),
        (content(normalizer=steps("normalizers", REPLACE, {"type": "NFC"})), "normalizer step 1 is"),
        (content(normalizer=None), "makes a '▁' of each space"),
        (content(normalizer=PREPEND), "makes a '▁' of each space"),
        (content(normalizer=PREPEND, pre_tokenizer=metaspace("never", split=False)), "makes a '▁' of each space"),
        (content(pre_tokenizer=metaspace("never", split=False)), "pre_tokenizer step 0 is"),
        (content(pre_tokenizer={**SPLIT, "pattern": {"String": "a"}}), "pre_tokenizer step 0 is"),
        (content(pre_tokenizer={"type": "Digits", "individual_digits": True}), "pre_tokenizer step 0 is"),
        (content(normalizer=None, pre_tokenizer=metaspace("never", replacement="_")), "replacement is '_'"),
        (content(decoder=None), "decoder step 0 is nothing, where {"),
        (content(decoder={"type": "ByteFallback"}), "decoder step 0 is {'type': 'ByteFallback'}"),
        (content(decoder={**METASPACE_DECODER}), "decoder step 0 is {'type': 'Metaspace'"),
        (content(decoder=decoder()), "decoder step 3 is nothing, where {'type': 'Strip'"),
        (content(decoder=decoder({**STRIP, "start": 2})), "decoder step 3 is {'type': 'Strip'"),
        (unprefixed(decoder=decoder(STRIP)), ", 'stop': 0}, where nothing would be ours"),
        (content(normalizer=REPLACE), "decoder step 3 is {'type': 'Strip'"),
        (content(ignore_merges=True), "model.ignore_merges is true"),
        (content(byte_fallback=False), "normalizer is {'type': 'Prepend'"),
        (with_vocab(drop="<0x41>"), "model.vocab lacks '<0x41>'"),
        (with_vocab(**{"▁x": 264}), "token '▁x' has the character 'x', which is not a token"),
        (with_vocab(**{" ab": 264}), "tokens ' ab' and '▁ab' are the same text"),
        (content(added_tokens=[added("<0x41>", 0x41)]), "byte token '<0x41>' is an added token"),
        (content(added_tokens=[added("z")]), "added token 'z' is one character, and not in model.vocab"),
        (content(added_tokens=[added("<s>", normalized=True)]), "'<s>' is looked for after normalization"),
        (unprefixed(added_tokens=[added("a b", normalized=True)]), "'a b' is looked for after"),
        (
            unprefixed(added_tokens=[added("<s>", normalized=True, lstrip=True)]),
            "'<s>' is looked for after normalization",
        ),
    ],
)
def test_what_our_engine_does_not_run_is_run_by_tokenizers(described: Content, reason: str, tmp_path: Path) -> None:
    peer = pytest.importorskip("tokenizers")
    described = copy.deepcopy(described)
    if "<unk>" not in described["model"]["vocab"]:
        described["model"]["unk_token"] = None
    tokenizer = load(tmp_path, described)
    assert not isinstance(tokenizer, bt.Tokenizer)
    assert reason in tokenizer.reason
    expected = peer.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("ab ab", " ab<s>ab", "A a b▁"):
        assert tokenizer.encode(text, special="allow") == expected.encode(text).ids


def test_merges_of_byte_tokens_are_left_to_tokenizers(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    described = with_vocab(**{"<0x0A><0x0A>": 264, **{letter: 265 + i for i, letter in enumerate("<0xA>")}})
    described["model"]["merges"].append(["<0x0A>", "<0x0A>"])
    tokenizer = load(tmp_path, described)
    assert tokenizer.reason == "model.merges has the byte token '<0x0A>'"
    assert tokenizer.encode("\n\n") == [256, 264]


def test_a_space_without_a_token_is_left_to_tokenizers(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    described = content(merges=[["a", "b"]])
    vocab = described["model"]["vocab"]
    described["model"]["vocab"] = {piece: token_id for piece, token_id in vocab.items() if "▁" not in piece}
    tokenizer = load(tmp_path, described)
    assert tokenizer.reason == "model.vocab lacks '▁', so a space becomes bytes"
    assert tokenizer.encode("ab") == [0xE2, 0x96, 0x81, 259]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merges": [["a", "zz"]]}, "merge 0 of 'a' and 'zz' needs the token 'zz'"),
        ({"merges": [["a", "a"]]}, "needs the token 'aa'"),
        ({"vocab": None}, "model.vocab is None"),
        ({"vocab": {"a": 5, "b": 5}}, "id 5 belongs to 'a' and to 'b'"),
        ({"vocab": {"a": 10**9}}, "is the file whole"),
        ({"added_tokens": [added("<s>", 7)]}, "'<s>', has id 7, but `tokenizers` would give it 264"),
    ],
)
def test_broken_files_are_named_with_the_place(change: Content, message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=message) as raised:
        load(tmp_path, content(**change))
    assert str(tmp_path / "tokenizer.json") in str(raised.value)


# what is written ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "form"),
    [
        (("each", True), None), (("none", True), None), (("each", False), None), (("first", False), None),
        (("each", True), "NFC"), (("first", False), "NFKD"),
    ],
)  # fmt: skip
def test_what_is_written_is_read_back(prefix: tuple[Any, bool], form: Any, tmp_path: Path) -> None:
    read = load(tmp_path, unprefixed(added_tokens=[added("▁▁", 261), added("<s>", special=True)]))
    scheme = CharacterScheme(read.vocab.characters.byte_ids, *prefix)
    vocab = bt.Vocab(read.vocab.tokens, read.vocab.merges, read.vocab.added_tokens, characters=scheme)
    tokenizer = bt.Tokenizer(vocab, read.pattern, normalizer=form)
    again = convert(tokenizer, tmp_path / "out.json")
    assert again.vocab == vocab
    assert again.normalizer == form
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["model"]["vocab"]["▁ab"] == 260
    assert written["decoder"]["decoders"][-1] == ({"type": "Fuse"} if prefix[0] == "none" else STRIP)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    read = load(tmp_path, content())
    scheme = CharacterScheme(read.vocab.characters.byte_ids, "first")
    vocab = bt.Vocab(read.vocab.tokens, read.vocab.merges, characters=scheme)
    with pytest.raises(LossyConversionError, match="cannot put a space before the text alone"):
        json_format.to_json(vocab, read.pattern)
    with pytest.raises(LossyConversionError, match=r"token 264, b'\\xff\\xfe', is not UTF-8"):
        json_format.to_json(
            bt.Vocab((*read.vocab.tokens, b"\xff\xfe"), characters=read.vocab.characters), read.pattern
        )
    with pytest.raises(LossyConversionError, match="token 264 is written '<0x41>'"):
        json_format.to_json(
            bt.Vocab((*read.vocab.tokens, b"<0x41>"), characters=read.vocab.characters), read.pattern
        )
    normalized = {"<s>": bt.AddedToken("<s>", 264, normalized=True)}
    with pytest.raises(LossyConversionError, match="'<s>' is looked for after normalization"):
        json_format.to_json(
            bt.Vocab((*read.vocab.tokens, b"<s>"), (), normalized, characters=read.vocab.characters), read.pattern
        )
