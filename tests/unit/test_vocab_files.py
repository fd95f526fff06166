"""The tokenizers that ship: as the manifest says, whole, and the same in `tokenizers`."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

import bytetok as bt
from bytetok.training.encoding import encode_texts
from bytetok.training.reachability import find_unreachable

VOCAB = Path(__file__).resolve().parents[2] / "vocab"
MANIFEST = tomllib.loads((VOCAB / "MANIFEST.toml").read_text(encoding="utf-8"))["vocab"]
EXPECTED = {
    "finance-32k": 32_768,
    "finance-32k-superwords": 32_768,
    "legal-32k": 32_768,
    "legal-32k-superwords": 32_768,
    "general-64k": 65_536,
    "general-64k-superwords": 65_536,
    "char-4k": 4_096,
    "char-8k": 8_192,
    "char-16k": 16_384,
}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    held_out = bt.read_texts(VOCAB / "corpora" / "legal-heldout.jsonl.zst")
    scripts = "naïve ﬁ ½ § 中文 日本語 한국어 русский हिन्दी עברית 👩\u200d👩 \t\r\n\n   x\x00\x18\x7f"
    return [*[str(text)[:4_000] for text in held_out][:20], scripts]


def test_the_manifest_names_what_ships() -> None:
    assert set(MANIFEST) == set(EXPECTED) == {path.parent.name for path in VOCAB.glob("*/tokenizer.json")}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_shipped_tokenizer_is_sound(name: str, texts: list[str]) -> None:
    file = VOCAB / name / "tokenizer.json"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == MANIFEST[name]["sha256"]
    tok = bt.Tokenizer.load(VOCAB / name)
    assert isinstance(tok, bt.Tokenizer)
    assert tok.vocab_size == EXPECTED[name]
    for byte in range(256):
        assert tok.decode_bytes(tok.encode(bytes([byte]))) == bytes([byte])
    for text in texts:
        assert tok.decode_bytes(tok.encode(text)) == text.encode()
    reserved = [text for text in tok.vocab.special_tokens if "reserved" in text]
    assert not reserved, "every id of a shipped vocabulary is learned or asked for"


@pytest.mark.parametrize("name", EXPECTED)
def test_tokenizers_encodes_as_we_do(name: str, texts: list[str]) -> None:
    engine = pytest.importorskip("tokenizers").Tokenizer.from_file(str(VOCAB / name / "tokenizer.json"))
    tok = bt.Tokenizer.load(VOCAB / name)
    for text in texts:
        assert engine.encode(text, add_special_tokens=False).ids == tok.encode(text)


@pytest.mark.parametrize("name", ["finance-32k", "legal-32k", "legal-32k-superwords", "char-4k"])
def test_no_token_is_unreachable(name: str, texts: list[str]) -> None:
    tok = bt.Tokenizer.load(VOCAB / name)
    assert isinstance(tok, bt.Tokenizer)
    seen = {token_id for ids in encode_texts(tok, texts) for token_id in ids}
    found = find_unreachable(tok, seen=seen)
    assert not found.unreachable, [tok.token_bytes(token_id) for token_id in found.unreachable][:10]
    assert not found.unreachable_added
