"""``bytetok show``, ``encode`` and ``decode``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bytetok.cli.app import app
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training import encode_files
from bytetok.training.bpe import train_bpe
from bytetok.training.counts import PretokenCounts
from bytetok.training.ids_read import read_ids

runner = CliRunner()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizers") / "tiny"
    counts = PretokenCounts.from_dict({b"the": 9, b" cat": 5}, "gpt2")
    train_bpe(counts, vocab_size=262, special_tokens=["<|end|>"]).save(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(saved: Path) -> Tokenizer:
    loaded = Tokenizer.load(saved)
    assert isinstance(loaded, Tokenizer)
    return loaded


# --------------------------------------------------------------------------------------------------------------- show


def test_show_separates_tokens_where_there_is_no_terminal(saved: Path) -> None:
    result = runner.invoke(app, ["show", str(saved), "the cat"])
    assert result.stdout == "the|·cat\n"
    assert result.stderr == "2 tokens, 7 bytes, 3.50 bytes per token\n"


def test_show_colors_tokens_on_a_terminal(saved: Path) -> None:
    result = runner.invoke(app, ["show", str(saved), "the cat"], env={"FORCE_COLOR": "1"}, color=True)
    assert re.fullmatch(r"\x1b\[[\d;]+mthe\x1b\[0m\x1b\[[\d;]+m·cat\x1b\[0m\n", result.stdout)


def test_show_reads_standard_input_byte_for_byte(saved: Path) -> None:
    result = runner.invoke(app, ["show", str(saved), "-"], input=b"the\n\xff")
    assert result.stdout == "the|↵\n|⟨FF⟩\n"


def test_show_does_not_fold_long_text(saved: Path) -> None:
    result = runner.invoke(app, ["show", str(saved), "the cat" * 100])
    assert len(result.stdout.splitlines()) == 1


def test_show_lists_ids(saved: Path, tokenizer: Tokenizer) -> None:
    lines = runner.invoke(app, ["show", str(saved), "the cat\n", "--ids"]).stdout.splitlines()
    rows = [line.split() for line in lines[2:]]
    ids = tokenizer.encode("the cat\n")
    assert rows == [["0", str(ids[0]), "the"], ["3", str(ids[1]), "·cat"], ["7", str(ids[2]), "↵"]]


def test_show_as_json(saved: Path, tokenizer: Tokenizer) -> None:
    values = json.loads(runner.invoke(app, ["show", str(saved), "the é", "--json"]).stdout)
    assert values["ids"] == tokenizer.encode("the é")
    assert values["bytes"] == 6
    assert values["num_tokens"] == len(values["ids"])
    assert values["tokens"][0] == {"id": values["ids"][0], "text": "the", "bytes": "746865", "start": 0}
    assert [one["bytes"] for one in values["tokens"][-2:]] == ["c3", "a9"]


def test_show_writes_html(saved: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = runner.invoke(app, ["show", str(saved), "the cat", "--html", str(page)])
    assert result.exit_code == 0
    assert f"wrote {page}" in result.stderr
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_markup_in_the_text_is_text(saved: Path) -> None:
    shown = runner.invoke(app, ["show", str(saved), "[bold]x[/bold]"]).stdout
    assert shown.replace("|", "") == "[bold]x[/bold]\n"


@pytest.mark.parametrize("text", ["", "-- the"])
def test_texts_that_look_like_something_else(saved: Path, text: str) -> None:
    result = runner.invoke(app, ["show", str(saved), "--", text])
    assert result.exit_code == 0
    assert result.stdout.replace("|", "").replace("·", " ") == f"{text}\n"


def test_an_unknown_tokenizer_is_one_message() -> None:
    for command in (["show", "nosuch", "x"], ["encode", "nosuch", "-"], ["decode", "nosuch"]):
        result = runner.invoke(app, command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: 'nosuch': no such file or folder")


# --------------------------------------------------------------------------------------------------- encode and decode


def test_encode_prints_a_line_a_document(saved: Path, tokenizer: Tokenizer) -> None:
    result = runner.invoke(app, ["encode", str(saved), "-"], input="the cat\nthe cat")
    assert result.stdout == " ".join(map(str, tokenizer.encode("the cat\nthe cat"))) + "\n"
    assert result.stderr == ""
    lines = b'{"text": "the"}\n{"text": " cat"}\n'
    result = runner.invoke(app, ["encode", str(saved), "-", "--format", "jsonl"], input=lines)
    assert result.stdout == "".join(f"{tokenizer.encode(doc)[0]}\n" for doc in ("the", " cat"))


def test_decode_gives_the_bytes_and_nothing_else(saved: Path, tokenizer: Tokenizer) -> None:
    data = b"the cat\r\n\xff\0"
    ids = " ".join(map(str, tokenizer.encode(data)))
    assert runner.invoke(app, ["decode", str(saved)], input=f"{ids}\n").stdout_bytes == data
    assert runner.invoke(app, ["decode", str(saved)], input=f"{ids}\n\n{ids}").stdout_bytes == data * 2


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".npy", ".bin", ".ids"])
def test_files_go_there_and_back(saved: Path, tokenizer: Tokenizer, tmp_path: Path, suffix: str) -> None:
    docs = ["the cat", "", "größer\n"]
    source, out, back = tmp_path / "docs.jsonl", tmp_path / f"out{suffix}", tmp_path / "back.txt"
    source.write_text("".join(json.dumps({"t": doc}) + "\n" for doc in docs))
    result = runner.invoke(app, ["encode", str(saved), str(source), "--column", "t", "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    tokens = sum(len(tokenizer.encode(doc)) for doc in docs)
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["ids"] == str(out)
    assert lines["text"] == "3 documents, 16 bytes"
    assert lines["tokens"] == f"{tokens}, {16 / tokens:.2f} bytes per token"
    assert list(read_ids(out)) == [tokenizer.encode(doc) for doc in docs]
    assert runner.invoke(app, ["decode", str(saved), str(out), "-o", str(back)]).exit_code == 0
    assert back.read_text() == "".join(docs)
    printed = runner.invoke(app, ["decode", str(saved), str(out), "--json"]).stdout
    assert [json.loads(line)["text"] for line in printed.splitlines()] == docs


def test_encode_reports_as_json(saved: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    words = ["encode", str(saved), "-", "-o", str(tmp_path / "x.npy"), "--json"]
    values = json.loads(runner.invoke(app, words, input="the cat").stdout)
    assert values.pop("seconds") > 0
    assert values == {
        "output": str(tmp_path / "x.npy"),
        "documents": 1,
        "bytes": 7,
        "tokens": 2,
        "skipped_files": [],
        "skipped_rows": 0,
    }


def test_special_tokens_in_the_text(saved: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    result = runner.invoke(app, ["encode", str(saved), "-", "-o", str(out)], input="the<|end|>")
    assert result.exit_code == 1
    assert "<|end|>" in result.stderr
    assert list(tmp_path.iterdir()) == []
    for special in ("text", "allow"):
        printed = runner.invoke(app, ["encode", str(saved), "-", "--special", special], input="the<|end|>").stdout
        ids = tokenizer.encode("the<|end|>", special=special)  # type: ignore[arg-type]
        assert list(map(int, printed.split())) == ids


def test_special_tokens_around_documents(saved: Path, tokenizer: Tokenizer) -> None:
    lines = b'{"text": "the"}\n{"text": ""}\n'
    words = ["encode", str(saved), "-", "--format", "jsonl", "--begin", "<|end|>", "--end", "<|end|>"]
    the, end = tokenizer.encode("the")[0], tokenizer.vocab.special_tokens["<|end|>"]
    assert runner.invoke(app, words, input=lines).stdout == f"{end} {the} {end}\n{end} {end}\n"
    result = runner.invoke(app, [*words[:-1], "<|eot|>"], input=lines)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: '<|eot|>' is no special token of this vocabulary; expected one of '<|end|>'" in result.stderr


def test_ids_are_stored_as_asked_for(saved: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    for name, options, dtype in (
        ("a.npy", [], "<u4"),
        ("b.npy", ["--dtype", "uint16"], "<u2"),
        ("c.bin", [], "<u2"),
        ("d.bin", ["--dtype", "uint32"], "<i4"),
    ):
        out = tmp_path / name
        assert runner.invoke(app, ["encode", str(saved), "-", "-o", str(out), *options], input="the").exit_code == 0
        found = np.load(out) if out.suffix == ".npy" else np.fromfile(out, dtype)
        assert (found.dtype, found.tolist()) == (np.dtype(dtype), tokenizer.encode("the"))


def test_a_shard_is_every_nth_file(saved: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    for text in ("the", "cat", "dog"):
        (tmp_path / f"{text}.txt").write_text(text)
    printed = [
        runner.invoke(app, ["encode", str(saved), str(tmp_path), "--shard", f"{number}/2"]).stdout for number in (1, 2)
    ]
    lines = [" ".join(map(str, tokenizer.encode(text))) + "\n" for text in ("cat", "dog", "the")]
    assert printed == [lines[0] + lines[2], lines[1]]


def test_a_run_that_failed_goes_on(
    saved: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_files, "_BATCH_BYTES", 1)
    monkeypatch.setattr(encode_files, "_PART_IDS", 1)
    source, out = tmp_path / "docs.jsonl", tmp_path / "ids.npy"
    source.write_text('{"text": "the"}\n{"text": " cat"}\n{"text": "<|end|>"}\n')
    words = ["encode", str(saved), str(source), "-o", str(out)]
    result = runner.invoke(app, words)
    assert result.exit_code == 1
    assert "docs.jsonl: document 2: " in result.stderr
    assert result.stderr.startswith(f"{out}.partial keeps what is done\n")
    assert not out.exists()
    result = runner.invoke(app, [*words, "--end", "<|end|>"])
    assert result.exit_code == 1
    assert "end=[], and now it is [0]; repeat the command as it was, or begin anew with --restart" in result.stderr
    result = runner.invoke(app, [*words, "--special", "allow"])
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "3 documents, 14 bytes, 2 of them by the run before" in result.stdout
    assert list(read_ids(out)) == [tokenizer.encode("the"), tokenizer.encode(" cat"), [0]]
    assert runner.invoke(app, words).exit_code == 1
    assert Path(f"{out}.partial").exists()
    result = runner.invoke(app, [*words, "--special", "text", "--restart"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "by the run before" not in result.stdout


def test_ids_that_are_none(saved: Path) -> None:
    for line, complaint in (("1 2 x", "line 1 holds 'x'"), ("1 9999", "document 0: id 9999 at position 1")):
        result = runner.invoke(app, ["decode", str(saved)], input=line)
        assert result.exit_code == 1
        assert complaint in result.stderr


def test_a_failed_decode_leaves_no_file(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "text"
    assert runner.invoke(app, ["decode", str(saved), "-o", str(out)], input="1 2\n9999\n").exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_checked_first(saved: Path, tmp_path: Path) -> None:
    for command in (
        ["encode", str(saved), "missing.txt", "-o", str(tmp_path)],
        ["decode", str(saved), "missing.ids", "-o", str(tmp_path)],
        ["show", "missing", "x", "--html", str(tmp_path)],
    ):
        result = runner.invoke(app, command)
        assert result.exit_code == 1
        assert "is a folder; name a file in it" in result.stderr
