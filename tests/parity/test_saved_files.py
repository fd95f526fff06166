"""What we save, loaded by ``tokenizers`` and by transformers: the same ids, special tokens and bytes.

transformers 4 is tried by benchmarks/load_transformers.py, because two versions do not fit into one environment.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import CORPUS, extended, trained
from strategies import texts

import bytetok as bt
from bytetok.tokenizer import json_format
from bytetok.tokenizer.convert import PROBE, convert
from bytetok.tokenizer.patterns import NAMED

tokenizers = pytest.importorskip("tokenizers")

ADDED = {
    "(q)": {}, "cal.": {"single_word": True}, " Fed.": {}, "U.S.C. §": {"single_word": True},
    "é é": {"single_word": True},
    "<|call|>": {"special": True, "lstrip": True}, "<|end|>": {"special": True}, "abra": {},
    "abracad": {}, "http://": {},
}  # fmt: skip
FRAGMENTS = [
    *ADDED, "medical.", "552(q)", "xFed.", "cal.x", " cal. ", "U.S.C. §5", "abracadabra", "abrac", "é éé",
    " é é\u0301",
    "<|endoftext|>", "<pad>", "  ", "\n", "qua", " qua", "quartz", "1998", " ", "é", "𝔸", "_", "\u0301",
]  # fmt: skip
PATTERNS = [
    "o200k", "gpt2", "llama3", "qwen2", "deepseek-v3", "cl100k", "finance", "tekken", "lines", "digits",
    "whitespace", "none",
]  # fmt: skip


def with_everything(pattern: str) -> bt.Tokenizer:
    """Special tokens, added tokens of every kind, and tokens that only whole pretokens become.

    Not the last kind where a single-word token could be a pretoken: that cannot be saved.
    """
    whole = [] if pattern in ("lines", "digits", "whitespace", "none") else [b"qua", "𝔸".encode()]
    return extended(trained(pattern), whole=whole, added=ADDED)


@cache
def both(pattern: str, domain: bool) -> tuple[bt.Tokenizer, Any]:
    tokenizer = with_everything(pattern) if domain else trained(pattern)
    return tokenizer, peer_of(tokenizer)


def peer_of(tokenizer: bt.Tokenizer) -> Any:
    return tokenizers.Tokenizer.from_str(json.dumps(json_format.to_json(tokenizer.vocab, tokenizer.pattern)))


def assert_alike(tokenizer: bt.Tokenizer, peer: Any, text: str) -> None:
    expected = tokenizer.encode(text, special="allow")
    assert peer.encode(text, add_special_tokens=False).ids == expected
    peer.encode_special_tokens = True
    try:
        assert peer.encode(text, add_special_tokens=False).ids == tokenizer.encode(text, special="text")
    finally:
        peer.encode_special_tokens = False
    assert peer.decode(expected, skip_special_tokens=False) == tokenizer.decode(expected)


def mixed() -> st.SearchStrategy[str]:
    """Text in which added tokens touch words, white space and each other."""
    return st.lists(st.one_of(st.sampled_from(FRAGMENTS), texts(max_size=2)), max_size=10).map("".join)


# `tokenizers` ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", [False, True], ids=["trained", "domain"])
@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=mixed())
def test_tokenizers_gives_our_ids(pattern: str, domain: bool, text: str) -> None:
    assert_alike(*both(pattern, domain), text)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_tokenizers_gives_our_ids_on_known_trouble(pattern: str) -> None:
    for text in (*PROBE, *CORPUS, "".join(FRAGMENTS), " ".join(FRAGMENTS)):
        assert_alike(*both(pattern, True), text)


def test_every_name_is_tried() -> None:
    assert {NAMED[name] for name in PATTERNS} == set(NAMED.values())


@pytest.mark.parametrize("pattern", ["o200k", "deepseek-v3"])
def test_filings_have_our_ids_in_tokenizers(pattern: str, shared_data: Path) -> None:
    files = sorted((shared_data / "sec-filings").glob("*.txt"))[:6]
    docs = [file.read_text(encoding="utf-8")[:300_000] for file in files]
    tokenizer = bt.train_bpe(
        bt.count_pretokens(docs, pattern=pattern), vocab_size=4000, special_tokens=["<|endoftext|>"]
    )
    tokenizer = extended(tokenizer, whole=[b" Cabotage"], added=ADDED)
    peer = peer_of(tokenizer)
    for doc in docs:
        assert peer.encode(doc, add_special_tokens=False).ids == tokenizer.encode(doc)


def test_tokenizers_decodes_an_added_token_of_latin_letters_otherwise() -> None:
    """Its byte-level decoder takes the text of an added token for byte characters, if all of it could be; ids agree."""
    tokenizer = extended(trained(), added={"§(a)": {}})
    peer = peer_of(tokenizer)
    ids = tokenizer.encode("§(a)")
    assert peer.encode("§(a)").ids == ids == [420]
    assert (tokenizer.decode(ids), peer.decode(ids)) == ("§(a)", "\ufffd(a)")


STRIPS = {"<l>": {"lstrip": True}, "<r>": {"rstrip": True, "special": True}, "<b>": {"lstrip": True, "rstrip": True}}


SPACES = (" ", "\n", "\u3000", "\x1c", "\u200b", "a", "b ", "  ")


@given(st.lists(st.sampled_from([*STRIPS, *SPACES]), max_size=12).map("".join))
def test_white_space_goes_to_the_tokens_that_take_it(text: str) -> None:
    assert_alike(*STRIPPING, text)


def test_white_space_that_is_taken_is_found_again() -> None:
    tokenizer = extended(trained(), added={**STRIPS, " Fed.": {}, "  ": {}})
    assert_alike(tokenizer, peer_of(tokenizer), "<r> Fed.")
    assert_alike(tokenizer, peer_of(tokenizer), "<r>   \n\n")


def test_a_rank_file_becomes_a_file_that_tokenizers_reads_alike(tmp_path: Path) -> None:
    ranked = convert(trained("o200k"), tmp_path / "ranks.tiktoken")
    assert ranked.vocab.ranked
    ranked.save(tmp_path / "saved")
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
    for text in (*PROBE, *CORPUS):
        assert peer.encode(text, add_special_tokens=False).ids == trained("o200k").encode(text, special="allow")


STRIPPING = (stripping := extended(trained(), added=STRIPS), peer_of(stripping))

# transformers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transformers() -> Iterator[Any]:
    """transformers, if it is installed. It asks for a newer `regex` than the oracle of the split patterns, which is
    held at one version of Unicode; it uses it for slow tokenizers only, so here it may have the one there is."""
    version = importlib.metadata.version
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            importlib.metadata, "version", lambda name: "2026.1.1" if name == "regex" else version(name)
        )
        yield pytest.importorskip("transformers", exc_type=ImportError)


@pytest.mark.parametrize("pattern", ["o200k", "gpt2", "llama3", "deepseek-v3"])
@pytest.mark.parametrize("loader", ["AutoTokenizer", "PreTrainedTokenizerFast"])
def test_transformers_loads_the_folder(transformers: Any, loader: str, pattern: str, tmp_path: Path) -> None:
    tokenizer = with_everything(pattern)
    tokenizer.save(tmp_path / "saved")
    loaded = getattr(transformers, loader).from_pretrained(str(tmp_path / "saved"))
    assert len(loaded) == tokenizer.vocab_size
    assert (loaded.eos_token, loaded.pad_token, loaded.bos_token) == ("<|end|>", "<pad>", None)
    assert loaded.all_special_ids
    for text in (*PROBE, *CORPUS, "".join(FRAGMENTS)):
        ids = tokenizer.encode(text, special="allow")
        assert loaded(text)["input_ids"] == ids, "nothing is added at either end"
        assert loaded.decode(ids, clean_up_tokenization_spaces=False) == tokenizer.decode(ids)
    batch = loaded(["a", "the court"], padding=True)
    assert batch["input_ids"][0][-1] == tokenizer.vocab.special_tokens["<pad>"]


@pytest.mark.parametrize("pattern", ["o200k", "deepseek-v3"])
def test_transformers_saves_what_we_load_again(transformers: Any, pattern: str, tmp_path: Path) -> None:
    tokenizer = with_everything(pattern)
    tokenizer.save(tmp_path / "ours")
    transformers.AutoTokenizer.from_pretrained(str(tmp_path / "ours")).save_pretrained(str(tmp_path / "theirs"))
    back = bt.Tokenizer.load(tmp_path / "theirs")
    assert isinstance(back, bt.Tokenizer)
    assert back.vocab == tokenizer.vocab
    assert back.pattern == tokenizer.pattern


def test_the_object_is_the_same_as_the_loaded_folder(transformers: Any, tmp_path: Path) -> None:
    tokenizer = with_everything("o200k")
    tokenizer.save(tmp_path / "saved")
    loaded = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "saved"))
    made = tokenizer.to_hf()
    assert made.get_vocab() == loaded.get_vocab()
    assert made.special_tokens_map == loaded.special_tokens_map
    for text in (*PROBE, "".join(FRAGMENTS)):
        assert made(text)["input_ids"] == loaded(text)["input_ids"] == tokenizer.encode(text, special="allow")
