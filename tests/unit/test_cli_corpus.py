"""``bytetok count``."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bytetok.cli.app import app
from bytetok.training.counts import PretokenCounts
from bytetok.training.counts_file import read_header

runner = CliRunner()
TEXTS = {"a.txt": "a cat, a mat\n", "b.txt": "the cat's 1234\n", "c.txt": "größer\n"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def counted(path: Path) -> dict[bytes, int]:
    return dict(PretokenCounts.load(path).items())


def test_count_says_what_it_counted_and_where_it_is(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "counts.parquet"
    result = runner.invoke(app, ["count", str(corpus), "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["counts"].startswith(f"{out} (")
    assert lines["pretokens"] == f"{len(counted(out))} distinct, split by o200k"
    assert lines["text"] == "3 documents, 37 bytes"
    assert counted(out) == dict(PretokenCounts.from_dict(_expected("o200k"), "o200k").items())


def _expected(pattern: str) -> dict[bytes, int]:
    from bytetok.tokenizer.patterns import SplitPattern

    pretokens = [one for text in TEXTS.values() for one in SplitPattern.of(pattern).split(text)]
    return {one: pretokens.count(one) for one in pretokens}


def test_json_has_the_same_in_numbers(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "counts.parquet"
    result = runner.invoke(app, ["count", str(corpus), "-o", str(out), "--pattern", "digits", "--json"])
    values = json.loads(result.stdout)
    assert values.pop("seconds") > 0
    assert values == {
        "output": str(out),
        "pattern": "digits",
        "documents": 3,
        "bytes": 37,
        "distinct_pretokens": len(_expected("digits")),
        "skipped_files": [],
        "skipped_rows": 0,
    }
    assert counted(out) == _expected("digits")


def test_a_regex_is_a_pattern(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "counts.parquet"
    result = runner.invoke(app, ["count", str(corpus), "-o", str(out), "--pattern", "[a-z]+", "--json"])
    assert json.loads(result.stdout)["pattern"] == ["[a-z]+"]
    assert counted(out)[b"cat"] == 2


def test_shards_add_up_to_the_whole_byte_for_byte(corpus: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    parts = [tmp_path / f"part{number}.parquet" for number in (1, 2)]
    assert runner.invoke(app, ["count", str(corpus), "-o", str(whole)]).exit_code == 0
    for number, part in enumerate(parts, 1):
        words = ["count", str(corpus), "-o", str(part), "--shard", f"{number}/2", "--threads", "1"]
        assert runner.invoke(app, words).exit_code == 0
    assert [read_header(part).documents for part in parts] == [2, 1]
    merged = tmp_path / "merged.parquet"
    result = runner.invoke(app, ["count", *map(str, parts), "-o", str(merged)])
    assert "3 documents" in result.stdout
    assert merged.read_bytes() == whole.read_bytes()


def test_standard_input_counts_as_a_file_does(corpus: Path, tmp_path: Path) -> None:
    piped, stored = tmp_path / "piped.parquet", tmp_path / "stored.parquet"
    data = (corpus / "b.txt").read_bytes()
    assert runner.invoke(app, ["count", "-", "-o", str(piped)], input=data).exit_code == 0
    assert runner.invoke(app, ["count", str(corpus / "b.txt"), "-o", str(stored)]).exit_code == 0
    assert piped.read_bytes() == stored.read_bytes()


def test_a_long_text_is_one_document_however_it_is_stored(tmp_path: Path) -> None:
    """Longer than a chunk of reading, and cut by no place where a pretoken ends."""
    text = tmp_path / "text.txt"
    text.write_bytes(b"x" * 3_000_000)
    (tmp_path / "text.txt.gz").write_bytes(gzip.compress(text.read_bytes()))
    outs = [tmp_path / f"{name}.parquet" for name in ("plain", "packed", "piped")]
    for source, out in zip((text, tmp_path / "text.txt.gz", "-"), outs, strict=True):
        words = ["count", str(source), "-o", str(out)]
        assert runner.invoke(app, words, input=text.read_bytes()).exit_code == 0
    assert [counted(out) for out in outs] == [{b"x" * 3_000_000: 1}] * 3
    assert [read_header(out).documents for out in outs] == [1, 1, 1]


def test_standard_input_as_jsonl_with_a_column(tmp_path: Path) -> None:
    out = tmp_path / "counts.parquet"
    data = b'{"body": "one two"}\n{"body": null}\n{"body": "one"}\n'
    words = ["count", "-", "--format", "jsonl", "--column", "body", "-o", str(out), "--json"]
    result = runner.invoke(app, words, input=data)
    values = json.loads(result.stdout)
    assert (values["documents"], values["skipped_rows"]) == (2, 1)
    assert result.stderr == "skipped 1 row without text\n"
    assert counted(out) == {b"one": 2, b" two": 1}


def test_errors_chooses_what_invalid_utf8_becomes(tmp_path: Path) -> None:
    text, out = tmp_path / "bad.txt", tmp_path / "counts.parquet"
    text.write_bytes(b"x \xff y")
    result = runner.invoke(app, ["count", str(text), "-o", str(out)])
    assert result.exit_code == 1
    assert "bad.txt" in result.stderr
    assert "2" in result.stderr  # the byte offset
    assert not out.exists()
    assert runner.invoke(app, ["count", str(text), "-o", str(out), "--errors", "replace"]).exit_code == 0
    assert " \ufffd".encode() in counted(out)
    assert runner.invoke(app, ["count", str(text), "-o", str(out), "--errors", "bytes"]).exit_code == 0
    assert b" \xff" in counted(out)


def test_on_error_skip_goes_on_and_lists_what_was_left_out(corpus: Path, tmp_path: Path) -> None:
    (corpus / "broken.txt.gz").write_bytes(gzip.compress(b"text that goes on" * 999)[:40])
    out = tmp_path / "counts.parquet"
    assert runner.invoke(app, ["count", str(corpus), "-o", str(out)]).exit_code == 1
    assert not out.exists()
    result = runner.invoke(app, ["count", str(corpus), "-o", str(out), "--on-error", "skip", "--json"])
    assert result.exit_code == 0
    assert result.stderr.startswith("skipped 1 file:\n  ")
    (skipped,) = json.loads(result.stdout)["skipped_files"]
    assert skipped["path"].endswith("broken.txt.gz")
    assert skipped["error"] in result.stderr


def test_a_long_list_of_skipped_files_is_cut(corpus: Path, tmp_path: Path) -> None:
    missing = [str(tmp_path / f"missing{number}.txt") for number in range(13)]
    words = ["count", str(corpus), *missing, "-o", str(tmp_path / "c.parquet"), "--on-error", "skip"]
    result = runner.invoke(app, words)
    assert result.stderr.startswith("skipped 13 files:\n")
    assert result.stderr.endswith("  and 3 more\n")
    assert len(result.stderr.splitlines()) == 12


def test_memory_changes_nothing(corpus: Path, tmp_path: Path) -> None:
    free, bound = tmp_path / "free.parquet", tmp_path / "bound.parquet"
    runner.invoke(app, ["count", str(corpus), "-o", str(free)])
    assert runner.invoke(app, ["count", str(corpus), "-o", str(bound), "--memory", "200MB"]).exit_code == 0
    assert free.read_bytes() == bound.read_bytes()


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["missing.txt"], "missing.txt cannot be read: No such file or directory"),
        (["{corpus}", "--pattern", "o201k"], "did you mean 'o200k'?"),
        (["{corpus}", "--pattern", "("], 'split pattern "(" does not compile'),
        (["{corpus}", "--pattern", "x*"], "x*"),
        (["-", "--shard", "1/2"], "cannot be sharded"),
        (["-", "-"], "listed twice"),
    ],
)
def test_what_cannot_be_counted_is_one_message_and_no_file(
    words: list[str], complaint: str, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "counts.parquet"
    result = runner.invoke(app, ["count", *(word.format(corpus=corpus) for word in words), "-o", str(out)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [corpus]


def test_counts_and_texts_do_not_mix(corpus: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts.parquet"
    runner.invoke(app, ["count", str(corpus), "-o", str(counts)])
    for command in (["count"], ["train", "--vocab-size", "300"]):
        words = [*command, str(counts), str(corpus / "a.txt"), "-o", str(tmp_path / "out")]
        result = runner.invoke(app, words, env={"COLUMNS": "400"})
        assert result.exit_code == 2
        assert "counts.parquet holds counts and" in result.stderr
        assert "a.txt holds text" in result.stderr


def test_a_pattern_for_count_files_is_wrong_usage(corpus: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts.parquet"
    runner.invoke(app, ["count", str(corpus), "-o", str(counts)])
    words = ["count", str(counts), "--pattern", "gpt2", "-o", str(tmp_path / "out.parquet")]
    assert runner.invoke(app, words).exit_code == 2


def test_count_files_of_two_patterns_do_not_add(corpus: Path, tmp_path: Path) -> None:
    paths = []
    for pattern in ("gpt2", "o200k"):
        paths.append(str(tmp_path / f"{pattern}.parquet"))
        runner.invoke(app, ["count", str(corpus), "--pattern", pattern, "-o", paths[-1]])
    result = runner.invoke(app, ["count", *paths, "-o", str(tmp_path / "sum.parquet")])
    assert result.exit_code == 1
    assert "different split patterns" in result.stderr


def test_the_output_is_checked_before_anything_is_read(corpus: Path, tmp_path: Path) -> None:
    for out, complaint in ((tmp_path, "is a folder"), (corpus / "a.txt" / "x.parquet", "not a folder")):
        result = runner.invoke(app, ["count", "missing.txt", "-o", str(out)])
        assert result.exit_code == 1
        assert complaint in result.stderr
        assert "missing.txt" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_one_message(corpus: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    result = runner.invoke(app, ["count", str(corpus), "-o", str(locked / "c.parquet")])
    assert result.exit_code == 1
    assert result.stderr == f"error: {locked}: no permission to write here\n"


def test_an_existing_file_is_replaced(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "counts.parquet"
    out.write_text("old")
    assert runner.invoke(app, ["count", str(corpus), "-o", str(out)]).exit_code == 0
    assert counted(out) == _expected("o200k")


def test_without_ray_the_message_says_what_to_install(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = runner.invoke(app, ["count", str(corpus), "-o", str(tmp_path / "c.parquet"), "--engine", "ray"])
    assert result.exit_code == 1
    assert "pip install 'bytetok-lm[ray]'" in result.stderr


def test_ray_gets_what_the_local_engine_would_get(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bytetok.training import cluster, counts

    heard: dict[str, object] = {}

    def count_on_ray(texts: object, path: str, **options: object) -> object:
        heard.update(options)
        return counts.count_to_parquet(texts, path, pattern=options["pattern"])  # type: ignore[arg-type]

    monkeypatch.setattr(cluster, "count_on_ray", count_on_ray)
    out = tmp_path / "c.parquet"
    words = ["count", str(corpus), "-o", str(out), "--engine", "ray", "--threads", "3", "--memory", "1GB"]
    assert runner.invoke(app, [*words, "--pattern", "gpt2"]).exit_code == 0
    assert callable(heard.pop("progress"))
    assert heard == {"pattern": "gpt2", "workers": 3, "memory": 1_000_000_000}
    assert counted(out) == _expected("gpt2")
