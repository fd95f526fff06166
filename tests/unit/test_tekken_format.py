"""tekken.json: ids as mistral-common numbers them, and contradictions by their field."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bytetok as bt
from bytetok.errors import FormatError, SpecialTokenError
from bytetok.tokenizer.convert import PROBE
from bytetok.tokenizer.references import available_references
from bytetok.tokenizer.tekken_format import TEKKEN_PATTERN

Content = dict[str, Any]
LONGER = (b"th", b"the", b" the", b"\xc3\xa9", b"<s")


def entry(rank: int, token: bytes) -> Content:
    try:
        text: str | None = token.decode()
    except UnicodeDecodeError:
        text = None
    return {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": text}


def content(*, unused: int = 1, **config: object) -> Content:
    """A file with 25 special tokens, of which it lists none, and one token more than it uses."""
    tokens = [*(bytes([byte]) for byte in range(256)), *LONGER, b"zz"]
    return {
        "config": {
            "pattern": TEKKEN_PATTERN,
            "num_vocab_tokens": len(tokens),
            "default_vocab_size": 25 + len(tokens) - unused,
            "default_num_special_tokens": 25,
            "version": "v3",
            **config,
        },
        "vocab": [entry(rank, token) for rank, token in enumerate(tokens)],
    }


def load(folder: Path, described: object, name: str = "tekken.json") -> Any:
    path = folder / name
    path.write_text(json.dumps(described))
    return bt.Tokenizer.load(path)


def test_ids_are_ranks_behind_the_special_tokens(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, content())
    assert isinstance(tokenizer, bt.Tokenizer)
    assert (tokenizer.vocab_size, tokenizer.name) == (286, tmp_path.name)
    assert tokenizer.encode("the the\x00") == [25 + 257, 25 + 258, 25]
    assert tokenizer.vocab.get(b"zz") is None  # beyond the size that the file asks for
    assert tokenizer.encode("zz") == [25 + 122, 25 + 122]


def test_special_tokens_are_those_of_mistral_common(tmp_path: Path) -> None:
    special = load(tmp_path, content()).vocab.special_tokens
    assert [special[text] for text in ("<unk>", "<s>", "</s>", "[INST]", "[TOOL_CONTENT]")] == [0, 1, 2, 3, 19]
    assert list(special)[20:] == [f"<SPECIAL_{rank}>" for rank in range(20, 25)]


def test_special_tokens_that_the_file_lists(tmp_path: Path) -> None:
    listed = [
        {"rank": 0, "token_str": "<unk>", "is_control": True},
        {"rank": 1, "token_str": "[THINK]", "is_control": False},
    ]
    tokenizer = load(tmp_path, {**content(version="v13"), "special_tokens": listed})
    assert list(tokenizer.vocab.special_tokens)[:3] == ["<unk>", "[THINK]", "<SPECIAL_2>"]
    assert tokenizer.encode("[THINK]<s", special="allow") == [1, 25 + 260]
    # mistral-common looks for no token in text, whether it calls it a control token or not
    assert 1 not in tokenizer.encode("[THINK]", special="text")
    with pytest.raises(SpecialTokenError, match=r"\[THINK\]"):
        tokenizer.encode("[THINK]")


def test_a_token_may_be_spelled_as_a_special_one(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, {**content(), "special_tokens": [{"rank": 0, "token_str": " the"}]})
    assert tokenizer.encode("a the", special="text") == [25 + 97, 25 + 258]
    assert tokenizer.encode("a the", special="allow") == [25 + 97, 0]


def test_the_content_tells_and_not_the_name(tmp_path: Path) -> None:
    assert load(tmp_path, content(), name="some.json").name == "some"
    folder = tmp_path / "folder"
    folder.mkdir()
    load(folder, content())
    assert bt.Tokenizer.load(folder).vocab_size == 286


def broken(change: Callable[[Content], object], **config: object) -> Content:
    described = content(**config)
    change(described)
    return described


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (broken(lambda c: c["config"].pop("default_vocab_size")), r"config\.default_vocab_size is None"),
        (broken(lambda c: c["config"].update(default_num_special_tokens=-1)), r"default_num_special_tokens is -1"),
        (broken(lambda c: c["config"].update(default_vocab_size=True)), r"default_vocab_size is True"),
        (broken(lambda c: c["vocab"].pop(), unused=0), r"asks for 262 tokens of 256 to 261 that vocab has"),
        (broken(lambda c: c["config"].update(default_vocab_size=30)), r"asks for 5 tokens"),
        (broken(lambda c: c["vocab"][7].update(rank=8)), r"vocab\[7\]\.rank is 8"),
        (broken(lambda c: c["vocab"].insert(0, 5)), r"vocab\[0\] is 5"),
        (broken(lambda c: c["vocab"][7].update(token_bytes="!")), r"vocab\[7\]\.token_bytes is '!', not base64"),
        (broken(lambda c: c["vocab"][7].update(token_bytes="é")), r"vocab\[7\]\.token_bytes is 'é', not base64"),
        (broken(lambda c: c["vocab"][7].update(token_bytes="YQ==")), r"vocab\[7\] is b'a'; the first 256"),
        (broken(lambda c: c["vocab"][257].update(token_bytes="dGg=", token_str=None)), r"vocab\[257\] and vocab\[25"),
        (broken(lambda c: c["vocab"][257].update(token_str="th")), r"by token_bytes, but 'th' by token_str"),
        (broken(lambda c: c["config"].update(pattern=None)), r"config\.pattern is None"),
        (broken(lambda c: c["config"].update(pattern="(")), r"config\.pattern: "),
        (broken(lambda c: c["config"].update(pattern=r"\p{L}+")), r"config\.pattern is .* which no published file has"),
        (broken(lambda c: c["config"].update(version="v13")), r"no special_tokens, and config\.version is 'v13'"),
        (broken(lambda c: c["config"].update(version=None)), r"no special_tokens, and config\.version is 'None'"),
        (broken(lambda c: c.update(special_tokens={})), r"special_tokens is {}"),
        (broken(lambda c: c.update(special_tokens=[0] * 26)), r"expected a list of at most 25 tokens"),
        (
            broken(lambda c: c.update(special_tokens=[{"rank": 1, "token_str": "<s>"}])),
            r"special_tokens\[0\] is .* expected the rank 0",
        ),
        (
            broken(lambda c: c.update(special_tokens=[{"rank": 0, "token_str": "<SPECIAL_1>"}])),
            r"special_tokens\[1\] is .*no other has",
        ),
        (
            broken(lambda c: c.update(special_tokens=[{"rank": 0, "token_str": "\ud800"}])),
            r"special_tokens\[0\], '\\ud800', holds a lone surrogate",
        ),
    ],
)
def test_contradictions_are_named(tmp_path: Path, described: Content, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        load(tmp_path, described)
    assert "tekken.json" in str(caught.value)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "tekken.json"
    path.write_text(json.dumps(content())[:5000])
    with pytest.raises(FormatError, match="not valid JSON at byte 49"):
        bt.Tokenizer.load(path)


@pytest.mark.skipif("mistral" not in available_references(), reason="tekken.json is not in the cache")
def test_the_published_file_is_what_tiktoken_makes_of_it() -> None:
    tiktoken = pytest.importorskip("tiktoken")
    tokenizer = bt.Tokenizer.load("mistral")
    assert isinstance(tokenizer, bt.Tokenizer)
    published = json.loads(available_references()["mistral"].read_bytes())
    size = published["config"]["default_vocab_size"] - 1000
    ranks = {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in published["vocab"][:size]}
    # as mistral-common makes it, which adds the special tokens itself
    peer = tiktoken.Encoding("tekken", pat_str=published["config"]["pattern"], mergeable_ranks=ranks, special_tokens={})
    for text in [*PROBE, "<s>[INST] a[/INST]<SPECIAL_900>"]:
        assert tokenizer.encode(text, special="text") == [1000 + token_id for token_id in peer.encode_ordinary(text)]
    assert tokenizer.vocab_size == 131072
