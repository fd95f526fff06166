"""``bytetok complete`` and ``score`` with a real model, where it is in the cache."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bytetok.cli.app import app

pytest.importorskip("torch")
pytest.importorskip("transformers", exc_type=ImportError)

from bytetok.lm import packages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not packages.model_folder("smollm2").is_dir(), reason="SmolLM2 is not in the cache"),
]
MODEL = ("--model", "package:smollm2")
runner = CliRunner()


def test_a_prompt_may_end_inside_a_word() -> None:
    words = ["complete", *MODEL, "--temperature", "0", "--max-bytes", "12", "The capital of France is Par"]
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("is")


def test_a_chat() -> None:
    if not (packages.model_folder("smollm2") / "chat_template.jinja").is_file():
        pytest.skip("SmolLM2 is in the cache without its chat template")
    words = ["complete", *MODEL, "--temperature", "0", "--chat", "What is the capital of France? Answer with one word."]
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.stderr
    assert "Paris" in result.stdout


def test_score(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The capital of France is Paris.")
    (tmp_path / "b.txt").write_text("Xq zj vkw pqrx blorf, gnid 7fk!")
    result = runner.invoke(app, ["score", *MODEL, "--json", str(tmp_path)])
    assert result.exit_code == 0, result.stderr
    known, odd = (one["bits_per_byte"] for one in json.loads(result.stdout)["files"])
    assert known < 1.5 < odd
