"""tokenizer.json with one thing changed: an error of ours, or the ids that ``tokenizers`` gives.

A file that is read almost as it means is worse than one that is refused, so every kind of part is replaced, removed,
doubled and moved, and what still loads is held to the reference.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import of_json
from test_encode_json import BYTES, CORPUS, SAMPLES, STYLES, Content, byte_level, sentencepiece, split, step

import bytetok as bt
from bytetok.errors import BytetokError

DIGITS = step("Digits", individual_digits=True)
SPLITS = step("Sequence", pretokenizers=[split(r"\p{N}{1,3}"), split(r"\s+|\S+"), DIGITS, BYTES])
FILES = {
    "gpt2": lambda: byte_level("gpt2"),
    "splits": lambda: byte_level("qwen2", pre_tokenizer=SPLITS, normalizer=step("NFC")),
    "whole first": lambda: byte_level("llama3", ignore_merges=True),
    **{style: lambda style=style: sentencepiece(*STYLES[style]) for style in ("Llama 2", "Gemma 3", "first")},
}
VALUES = [
    None, True, False, 0, 1, -1, 3, 300, 419, 10**6, 2**40, 0.0, 0.5, "", "x", " ", "a", "▁", "▁▁", "Ġ", "é", "BPE",
    "NFC", "NFKC", "Unigram", "Isolated", "Removed", "always", "never", "<pad>", "<s>", r"\s+", "(", [], {}, ["a"],
    ["a", "b"], {"type": "NFD"}, {"String": "a"},
]  # fmt: skip
TEXTS = [
    *SAMPLES[:8], *CORPUS, "<pad>a<|endoftext|> b", " a  b\n\n c 12345 cafe\u0301 ﬁ 漢字 😀", "ab", "the plaintiff's",
    "xx  xx", "",
]  # fmt: skip


def places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something can be changed; of long lists and of the vocabulary, only a few entries."""
    if not isinstance(part, (dict, list)):
        return
    keys = list(part) if isinstance(part, dict) else list(range(len(part)))
    for key in keys if len(keys) < 40 else [*keys[:6], *keys[len(keys) // 2 :][:6], *keys[-6:]]:
        yield (*path, key)
        yield from places(part[key], (*path, key))


def changed(content: Content, data: st.DataObject) -> Content:
    """The file with one or two things changed."""
    content = copy.deepcopy(content)
    for _ in range(data.draw(st.integers(1, 2), label="changes")):
        path = data.draw(st.sampled_from(list(places(content))), label="place")
        part = content
        for key in path[:-1]:
            part = part[key]
        key = path[-1]
        how = data.draw(st.sampled_from(["set", "set", "remove", "double", "move"]), label="how")
        if how == "remove":
            del part[key]
        elif how == "double" and isinstance(part, list):
            part.insert(data.draw(st.integers(0, len(part)), label="to"), copy.deepcopy(part[key]))
        elif how == "move" and isinstance(part, list):
            part.insert(data.draw(st.integers(0, len(part) - 1), label="to"), part.pop(key))
        else:
            part[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES), label="value"))
    return content


def reference(content: Content, text: str, *, allow: bool) -> list[int] | None:
    """The ids of `tokenizers`; None where it fails, with a panic if it must."""
    try:
        peer = of_json(content)
        encode = peer.allowed if allow else peer.text
        assert encode is not None
        return encode(text)
    except BaseException as err:
        if isinstance(err, KeyboardInterrupt):
            raise
        return None


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=3 * settings().max_examples)
@given(data=st.data())
def test_a_changed_file_is_refused_or_read_as_tokenizers_reads_it(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = changed(FILES[name](), data)
    path: Path = tmp_path_factory.mktemp("changed") / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    try:
        tokenizer = bt.Tokenizer.load(path)
    except BytetokError:
        return
    for text in TEXTS:
        for special in ("text", "allow"):
            try:
                ids = tokenizer.encode(text, special=special)
            except BytetokError:
                continue
            expected = reference(content, text, allow=special == "allow")
            # With `ignore_merges`, a pretoken that is the text of a control token is that token in `tokenizers`, even
            # where special tokens are text; what we promise of special="text" is more.
            leaks = special == "text" and set(expected or ()) & set(tokenizer.vocab.special_tokens.values()) - set(ids)
            if expected is not None and not leaks:
                assert ids == expected, (text, special)
