"""``bytetok convert``, ``prune`` and ``diff``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bytetok.cli.app import app
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training.bpe import train_bpe
from bytetok.training.counts import PretokenCounts

runner = CliRunner()
COUNTS = {b"the": 90, b" the": 80, b" cat": 50, b" mat": 30, b" that": 20, b" them": 10}
TEXT = "the cat that sat on the mat; them"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizers") / "small"
    counts = PretokenCounts.from_dict(COUNTS, "gpt2")
    train_bpe(counts, vocab_size=268, special_tokens=["<|end|>"]).save(folder)
    return folder


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    path = tmp_path / "counts.parquet"
    PretokenCounts.from_dict({b"the": 5, b" cat": 5, b" mat": 1}, "gpt2").save(path)
    return path


def ids(path: Path) -> list[int]:
    return Tokenizer.load(path).encode(TEXT)


# ------------------------------------------------------------------------------------------------------------ convert


@pytest.mark.parametrize("name", ["other", "other.json", "other.tiktoken"])
def test_convert_keeps_every_id(saved: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    result = runner.invoke(app, ["convert", str(saved), str(out)])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"saved    {out}")
    assert "268, of them 1 special" in result.stdout
    assert ids(out) == ids(saved)
    back = tmp_path / "back"
    values = json.loads(runner.invoke(app, ["convert", str(out), str(back), "--json"]).stdout)
    assert (values["output"], values["vocab_size"], values["special_tokens"]) == (str(back), 268, 1)
    assert Tokenizer.load(back).vocab.tokens == Tokenizer.load(saved).vocab.tokens
    assert ids(back) == ids(saved)


def test_what_a_format_cannot_say_is_an_error_unless_accepted(tmp_path: Path) -> None:
    """Merges in another order than ids, which a rank file cannot say."""
    folder, out = tmp_path / "swapped", tmp_path / "swapped.tiktoken"
    train_bpe(PretokenCounts.from_dict(COUNTS, "gpt2"), vocab_size=266).save(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["merges"][:2] = reversed(content["model"]["merges"][:2])
    file.write_text(json.dumps(content))
    result = runner.invoke(app, ["convert", str(folder), str(out)])
    assert result.exit_code == 1
    assert "pass --lossy" in result.stderr
    assert not out.exists()
    assert runner.invoke(app, ["convert", str(folder), str(out), "--lossy"]).exit_code == 0
    assert out.exists()


def test_a_folder_of_somebody_elses_is_left_alone(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    result = runner.invoke(app, ["convert", str(saved), str(tmp_path)])
    assert result.exit_code == 1
    assert "other files (mine.txt)" in result.stderr


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.json"
    model = {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}
    path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    return path


def test_what_our_engine_does_not_run_is_refused(foreign: Path, counts: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    for verb, words in (
        ("converted", ["convert", str(foreign), out]),
        ("pruned", ["prune", str(foreign), str(counts), "--vocab-size", "300", "-o", out]),
        ("extended", ["extend", str(foreign), str(counts), "--vocab-size", "300", "-o", out]),
    ):
        result = runner.invoke(app, words)
        assert result.exit_code == 1
        assert f"cannot be {verb}: bytetok knows the merges of byte-level BPE only, and here" in result.stderr
        assert "WordLevel" in result.stderr
        assert not Path(out).exists()


# -------------------------------------------------------------------------------------------------------------- prune


def test_prune_keeps_what_the_texts_use(saved: Path, counts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = runner.invoke(app, ["prune", str(saved), str(counts), "--vocab-size", "265", "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    smaller = Tokenizer.load(out)
    assert smaller.vocab_size == 265
    assert {b"the", b" cat"} <= set(smaller.vocab.tokens)
    assert b" them" not in smaller.vocab.tokens
    assert smaller.decode(smaller.encode(TEXT)) == TEXT
    assert "265, of them 1 special" in result.stdout
    assert "on the counted pretokens" in result.stdout


def test_prune_keeps_what_it_is_told_to(saved: Path, counts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["prune", str(saved), str(counts), "--vocab-size", "265", "-o", str(out)]
    for kept in ([" them"], [" them", " that"]):
        options = [word for token in kept for word in ("--keep", token)]
        assert runner.invoke(app, [*words, *options, "--json"]).exit_code == 0
        assert {token.encode() for token in kept} <= set(Tokenizer.load(out).vocab.tokens)


def test_prune_on_text_is_prune_on_its_counts(saved: Path, tmp_path: Path) -> None:
    text, counts = tmp_path / "text.txt", tmp_path / "text.parquet"
    text.write_text("the cat the mat\n" * 9)
    runner.invoke(app, ["count", str(text), "--pattern", "gpt2", "-o", str(counts)])
    for source, out in ((text, "a"), (counts, "b")):
        words = ["prune", str(saved), str(source), "--vocab-size", "264", "-o", str(tmp_path / out)]
        assert runner.invoke(app, words).exit_code == 0
    assert Tokenizer.load(tmp_path / "a").vocab == Tokenizer.load(tmp_path / "b").vocab


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--vocab-size", "999"], "to make a vocabulary larger, extend it"),
        (["--vocab-size", "100"], "has no room"),
        (["--vocab-size", "265", "--keep", "nonsense"], "nonsense"),
    ],
)
def test_what_cannot_be_pruned_is_one_message_and_no_folder(
    words: list[str], complaint: str, saved: Path, counts: Path, tmp_path: Path
) -> None:
    result = runner.invoke(app, ["prune", str(saved), str(counts), *words, "-o", str(tmp_path / "out")])
    assert (result.exit_code, result.stdout) == (1, "")
    assert complaint in result.stderr
    assert not (tmp_path / "out").exists()


def test_prune_needs_counts_of_its_pattern(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "counts.parquet"
    PretokenCounts.from_dict({b"the": 5}, "o200k").save(path)
    result = runner.invoke(app, ["prune", str(saved), str(path), "--vocab-size", "260", "-o", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "the counts were made by o200k" in result.stderr


# --------------------------------------------------------------------------------------------------------------- diff


def test_diff_shows_what_two_do_not_share(saved: Path, counts: Path, tmp_path: Path) -> None:
    out = tmp_path / "pruned"
    runner.invoke(app, ["prune", str(saved), str(counts), "--vocab-size", "265", "-o", str(out)])
    result = runner.invoke(app, ["diff", str(saved), str(out)])
    assert result.exit_code == 0
    assert "small (268 ids) and pruned (265 ids)" in result.stdout
    assert "' them'" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    values = json.loads(runner.invoke(app, ["diff", str(saved), str(out), "--json"]).stdout)
    assert (values["common"], len(values["only_in_a"]), values["only_in_b"]) == (264, 3, [])
    assert values["equal"] is False


def test_a_tokenizer_is_equal_to_itself(saved: Path) -> None:
    assert json.loads(runner.invoke(app, ["diff", str(saved), str(saved), "--json"]).stdout)["equal"] is True


def test_diff_takes_any_tokenizer(saved: Path, foreign: Path) -> None:
    assert runner.invoke(app, ["diff", str(saved), str(foreign)]).exit_code == 0
    assert runner.invoke(app, ["diff", str(saved), "nosuch"]).exit_code == 1
