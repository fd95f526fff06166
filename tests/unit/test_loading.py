"""What a path or a name holds: folders, files by their content, Hugging Face ids."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from small import trained

import bytetok as bt
from bytetok.errors import CorpusError, FormatError
from bytetok.tokenizer import hub
from bytetok.tokenizer.references import available_references
from bytetok.tokenizer.tekken_format import TEKKEN_PATTERN

TEKKEN = {
    "config": {
        "pattern": TEKKEN_PATTERN, "default_vocab_size": 257, "default_num_special_tokens": 1, "version": "v13",
    },
    "special_tokens": [{"rank": 0, "token_str": "<s>"}],
    "vocab": [
        {"rank": byte, "token_bytes": base64.b64encode(bytes([byte])).decode(), "token_str": None}
        for byte in range(256)
    ],
}  # fmt: skip


def put_ranks(path: Path, size: int = 256) -> Path:
    path.write_bytes(b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(size)))
    return path


def test_of_the_files_in_a_folder_the_best_described_counts(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"has no tokenizer\.json, tekken\.json or tokenizer\.model"):
        bt.Tokenizer.load(tmp_path)
    put_ranks(tmp_path / "tokenizer.model")
    with pytest.raises(FormatError, match=r"tokenizer\.model: a rank file does not say its split pattern"):
        bt.Tokenizer.load(tmp_path)
    (tmp_path / "tekken.json").write_text(json.dumps(TEKKEN))
    assert bt.Tokenizer.load(tmp_path).vocab_size == 257
    trained().save(tmp_path)
    loaded = bt.Tokenizer.load(tmp_path)
    assert (loaded.vocab_size, loaded.name) == (trained().vocab_size, tmp_path.name)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tekken.json", None), ("tokenizer.json", None), ("tekken_240911.json", "tekken_240911"), ("a.b.json", "a.b"),
    ],
)  # fmt: skip
def test_a_tokenizer_is_called_after_its_file_or_folder(file: str, name: str | None, tmp_path: Path) -> None:
    (tmp_path / file).write_text(json.dumps(TEKKEN))
    assert bt.Tokenizer.load(tmp_path / file).name == (name or tmp_path.name)


@pytest.mark.parametrize("data", [b"", b"hello", b"YQ==0\n", b"\x00\x01"])
def test_a_file_of_no_known_kind(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(data)
    with pytest.raises(FormatError, match=r"x\.bin: unknown kind of tokenizer file; expected tokenizer\.json"):
        bt.Tokenizer.load(tmp_path / "x.bin")
    (tmp_path / "x.model").write_bytes(data)
    with pytest.raises(FormatError, match=r"x\.model: "):
        bt.Tokenizer.load(tmp_path / "x.model")


@pytest.mark.skipif("llama3" not in available_references(), reason="llama3 is not in the cache")
def test_a_published_rank_file_is_known_by_its_content(tmp_path: Path) -> None:
    # as it lies in the folder that Meta gives out
    shutil.copyfile(available_references()["llama3"], tmp_path / "tokenizer.model")
    loaded = bt.Tokenizer.load(tmp_path)
    assert isinstance(loaded, bt.Tokenizer)
    assert loaded.vocab == bt.Tokenizer.load("llama3").vocab
    assert loaded.pattern.name == "llama3"


# Hugging Face ids -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/gpt-oss-20b", True), ("a/b", True), ("mistralai/Mistral-7B-v0.1", True), ("nosuch", False),
        ("a/b/c", False), ("./a", False), ("/a/b", False), ("a/b.json", False), ("a/tokenizer.model", False),
        ("a/", False), ("a b/c", False), ("../a", False), ("~/a", False),
    ],
)  # fmt: skip
def test_what_may_be_a_hub_id(
    name: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub.is_hub_id(name) == expected
    (tmp_path / "a").mkdir()
    assert not hub.is_hub_id("a/b")  # a folder that is there says that a path was meant


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of org/model in a Hugging Face cache that has nothing else, without a network."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "cache" / "models--org--model"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_a_hub_id_is_found_in_the_cache(cached: Path) -> None:
    trained().save(cached)
    loaded = bt.Tokenizer.load("org/model")
    assert isinstance(loaded, bt.Tokenizer)
    assert (loaded.name, loaded.vocab) == ("org/model", trained().vocab)


def test_a_hub_id_may_have_a_tekken_file_only(cached: Path) -> None:
    (cached / "tekken.json").write_text(json.dumps(TEKKEN))
    assert bt.Tokenizer.load("org/model").vocab_size == 257


def test_a_hub_id_that_is_not_in_the_cache_offline(cached: Path) -> None:
    with pytest.raises(CorpusError, match=r"'org/other': no such file or folder, not in the local Hugging Face cache"):
        bt.Tokenizer.load("org/other")


def test_a_repository_without_a_tokenizer(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

    def missing(name: str, file: str) -> str:
        raise EntryNotFoundError(f"404: {file}")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", missing)
    with pytest.raises(CorpusError, match=r"repository has none of tokenizer\.json, tekken\.json, tokenizer\.model"):
        bt.Tokenizer.load("org/model")

    def unknown(name: str, file: str) -> str:
        raise RepositoryNotFoundError.__new__(RepositoryNotFoundError)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unknown)
    with pytest.raises(CorpusError, match=r"'org/model': .* from the Hugging Face hub .*: RepositoryNotFoundError"):
        bt.Tokenizer.load("org/model")


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules: Any = sys.modules
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(modules, "huggingface_hub", None)
    with pytest.raises(CorpusError, match=r"pip install 'bytetok-lm\[hf\]'"):
        bt.Tokenizer.load("org/model")
