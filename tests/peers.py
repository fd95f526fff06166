"""The reference implementations that our ids are held to, and the text that engines get wrong.

A :class:`Peer` is what the rest of the world runs for one file: tiktoken for rank files and tekken, ``tokenizers`` for
tokenizer.json, sentencepiece for ``.model``. Nothing of bytetok reads the file for it.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bytetok.tokenizer.patterns import NAMED
from bytetok.tokenizer.references import available_references, find_reference

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Peer:
    """A reference implementation with one vocabulary.

    ``text`` encodes special tokens as text, ``allowed`` as themselves (None where the implementation has no such mode),
    ``decode`` gives text or bytes.
    """

    package: str
    text: Callable[[str], list[int]]
    allowed: Callable[[str], list[int]] | None
    decode: Callable[[list[int]], str | bytes]


def vocabularies() -> dict[str, str]:
    """What ``Tokenizer.load`` takes, by name: every published vocabulary on this machine, and those we ship."""
    found = {name: name for name in available_references()}
    return found | {path.parent.name: str(path.parent) for path in sorted(ROOT.glob("vocab/*/tokenizer.json"))}


def peer_of(name: str) -> Peer:
    """The reference implementation of one of :func:`vocabularies`; skips the test if its package is not installed."""
    if name not in available_references():
        return of_json(ROOT / "vocab" / name / "tokenizer.json")
    found = find_reference(name)
    if found.source.format == "tiktoken":
        return of_ranks(found.path, found.reference.pattern or "", found.reference.special_tokens)
    return {"huggingface": of_json, "tekken": of_tekken, "sentencepiece": of_model}[found.source.format](found.path)


def _named(module: Any) -> str:
    return f"{module.__name__} {module.__version__}"


def of_json(source: Path | Mapping[str, Any]) -> Peer:
    """A tokenizer.json, as a file or as its content, in ``tokenizers``."""
    tokenizers = pytest.importorskip("tokenizers")
    content = source.read_text(encoding="utf-8") if isinstance(source, Path) else json.dumps(source)
    engine = tokenizers.Tokenizer.from_str(content)
    engine.no_padding()
    engine.no_truncation()

    def encode(text: str, *, special_as_text: bool) -> list[int]:
        engine.encode_special_tokens = special_as_text
        return list(engine.encode(text, add_special_tokens=False).ids)

    return Peer(
        _named(tokenizers),
        lambda text: encode(text, special_as_text=True),
        lambda text: encode(text, special_as_text=False),
        lambda ids: str(engine.decode(ids, skip_special_tokens=False)),
    )


def of_ranks(path: Path, pattern: str, special_tokens: Mapping[str, int]) -> Peer:
    """A rank file in tiktoken, with tiktoken's own regex where it publishes one."""
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    return _of_encoding(ranks, tiktoken_patterns().get(pattern) or "|".join(NAMED[pattern]), special_tokens)


def tiktoken_patterns() -> dict[str, str]:
    """tiktoken's own regexes by our names, read from the package without fetching its vocabularies."""
    public = pytest.importorskip("tiktoken_ext.openai_public")
    with mock.patch.object(public, "load_tiktoken_bpe", return_value={}):
        published = {"cl100k": public.cl100k_base()["pat_str"], "o200k": public.o200k_base()["pat_str"]}
    return {"gpt2": public.r50k_pat_str, **published}


def _of_encoding(ranks: dict[bytes, int], pattern: str, special: Mapping[str, int], first_id: int = 0) -> Peer:
    tiktoken = pytest.importorskip("tiktoken")
    encoding = tiktoken.Encoding("peer", pat_str=pattern, mergeable_ranks=ranks, special_tokens=dict(special))
    return Peer(
        _named(tiktoken),
        lambda text: [first_id + rank for rank in encoding.encode_ordinary(text)],
        (lambda text: list(encoding.encode(text, allowed_special="all"))) if special else None,
        lambda ids: bytes(encoding.decode_bytes([token_id - first_id for token_id in ids])),
    )


def of_tekken(path: Path) -> Peer:
    """A tekken file in tiktoken, as mistral-common runs it: the first ranks only, after the ids of control tokens."""
    content = json.loads(path.read_text(encoding="utf-8"))
    config = content["config"]
    controls = config["default_num_special_tokens"]
    kept = config["default_vocab_size"] - controls
    ranks = {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in content["vocab"][:kept]}
    return _of_encoding(ranks, config["pattern"], {}, first_id=controls)


def of_model(source: Path | bytes) -> Peer:
    """A SentencePiece model, as a file or as its content, in sentencepiece."""
    sentencepiece = pytest.importorskip("sentencepiece")
    proto = source.read_bytes() if isinstance(source, Path) else source
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto)
    return Peer(_named(sentencepiece), lambda text: list(processor.encode(text)), None, processor.decode)
