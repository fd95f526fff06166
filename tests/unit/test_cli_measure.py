"""``bytetok eval``."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bytetok.cli.app import app
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training.bpe import train_bpe
from bytetok.training.counts import PretokenCounts

runner = CliRunner()
TEXT = "the cat sat on the mat; the court cited 11 U.S.C. § 362(a)\n" * 20


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small vocabulary and a smaller one."""
    folder = tmp_path_factory.mktemp("tokenizers")
    counts = PretokenCounts.from_dict({b"the": 9, b" the": 8, b" cat": 5, b" mat": 3}, "gpt2")
    for name, size in (("small", 264), ("bytes", 256)):
        train_bpe(counts, vocab_size=size).save(folder / name)
    return folder / "small", folder / "bytes"


@pytest.fixture
def heldout(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        path.write_text(TEXT)
    return list(map(str, paths))


def test_eval_prints_tables_that_fit(two: tuple[Path, Path], heldout: list[str]) -> None:
    result = runner.invoke(app, ["eval", *map(str, two), "--on", *heldout])
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert "Tokens on 2 documents" in result.stdout
    for word in ("small", "bytes", "baseline", " more", "habeas corpus", "zh", "OCR"):
        assert word in result.stdout


def test_json_holds_exact_counts(two: tuple[Path, Path], heldout: list[str]) -> None:
    result = runner.invoke(app, ["eval", *map(str, two), "--on", *heldout, "--json"])
    rows = json.loads(result.stdout)["tokenizers"]
    assert [row["name"] for row in rows] == ["small", "bytes"]
    assert [row["tokens"] for row in rows] == [2 * Tokenizer.load(path).count(TEXT) for path in two]


def test_csv_has_a_row_a_tokenizer(two: tuple[Path, Path], heldout: list[str]) -> None:
    result = runner.invoke(app, ["eval", *map(str, two), "--on", heldout[0], "--csv"])
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["name"] for row in rows] == ["small", "bytes"]
    assert int(rows[1]["tokens"]) == len(TEXT.encode())


def test_the_baseline_may_be_one_of_them_or_another(two: tuple[Path, Path], heldout: list[str]) -> None:
    small, smaller = map(str, two)
    for toks in ([small, smaller], [small]):
        words = ["eval", *toks, "--baseline", smaller, "--on", heldout[0], "--json"]
        values = json.loads(runner.invoke(app, words).stdout)
        assert values["baseline"] == "bytes"
        assert values["tokenizers"][0]["fewer_than_baseline"] > 0


def test_max_bytes_stops_after_the_document_that_reaches_it(two: tuple[Path, Path], heldout: list[str]) -> None:
    words = ["eval", str(two[0]), "--on", *heldout, "--max-bytes", "1kB", "--json"]
    assert json.loads(runner.invoke(app, words).stdout)["corpus"]["documents"] == 1
    result = runner.invoke(app, ["eval", str(two[0]), "--on", *heldout, "--max-bytes", "few"])
    assert result.exit_code == 2
    assert "--max-bytes" in result.stderr


def test_standard_input(two: tuple[Path, Path]) -> None:
    result = runner.invoke(app, ["eval", str(two[1]), "--on", "-", "--json"], input=TEXT)
    assert json.loads(result.stdout)["tokenizers"][0]["tokens"] == len(TEXT.encode())


def test_languages_of_the_users_own(two: tuple[Path, Path], heldout: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "languages"
    folder.mkdir()
    for language, text in (("en", "the cat"), ("xx", "der Kater")):
        (folder / f"{language}.txt").write_text(text)
    words = ["eval", str(two[0]), "--on", heldout[0], "--languages", str(folder), "--json"]
    parity = json.loads(runner.invoke(app, words).stdout)["tokenizers"][0]["parity"]
    assert set(parity) == {"en", "xx"}


def test_a_page_and_a_figure(two: tuple[Path, Path], heldout: list[str], tmp_path: Path) -> None:
    page, figure = tmp_path / "out" / "report.html", tmp_path / "out" / "report.svg"
    words = ["eval", *map(str, two), "--on", heldout[0], "--html", str(page), "--plot", str(figure)]
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == f"wrote {page}\nwrote {figure}\n"
    assert "<html" in page.read_text(encoding="utf-8")
    assert "<svg" in figure.read_text(encoding="utf-8")
    assert "Tokens on 1 document" in result.stdout


# ------------------------------------------------------------------------------------------------------------- errors


def test_without_matplotlib_nothing_is_measured(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    result = runner.invoke(app, ["eval", str(two[0]), "--on", "missing.txt", "--plot", str(tmp_path / "x.png")])
    assert result.exit_code == 1
    assert result.stderr == "error: --plot needs matplotlib; pip install 'bytetok-lm[plot]'\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["{tok}", "--on", "missing.txt"], "missing.txt cannot be read"),
        (["{tok}", "nosuch", "--on", "{text}"], "'nosuch': no such file or folder"),
        (["{tok}", "--on", "{text}", "--baseline", "nosuch"], "'nosuch'"),
        (["{tok}", "--on", "{text}", "--languages", "nowhere"], "'nowhere'"),
        (["{tok}", "--on", "{text}", "--html", "{folder}"], "is a folder"),
        (["{tok}", "--on", "{empty}"], "the corpus holds no text"),
    ],
)
def test_what_cannot_be_compared_is_one_message(
    words: list[str], complaint: str, two: tuple[Path, Path], heldout: list[str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    names = {"tok": two[0], "text": heldout[0], "empty": empty, "folder": tmp_path}
    result = runner.invoke(app, ["eval", *(word.format(**names) for word in words)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert complaint in result.stderr


def test_skipped_files_are_listed(two: tuple[Path, Path], heldout: list[str]) -> None:
    result = runner.invoke(app, ["eval", str(two[0]), "--on", *heldout, "missing.txt", "--on-error", "skip", "--json"])
    assert result.exit_code == 0
    assert result.stderr.startswith("skipped 1 file:\n  missing.txt")
    assert json.loads(result.stdout)["corpus"]["documents"] == 2
