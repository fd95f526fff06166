"""``bytetok train`` and ``bytetok extend``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bytetok.cli.app import app
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training.counts import PretokenCounts

runner = CliRunner()
SENTENCE = "the court held that the plaintiff may not recover damages under section 1983 of title 42"
WORDS = SENTENCE.split()
TEXT = "\n".join(" ".join(WORDS[start:] + WORDS[:start]) for start in range(len(WORDS))) + "\n"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def counts(tmp_path: Path, corpus: Path) -> Path:
    path = tmp_path / "counts.parquet"
    assert runner.invoke(app, ["count", str(corpus), "-o", str(path)]).exit_code == 0
    return path


def trained(*words: str | Path) -> Tokenizer:
    result = runner.invoke(app, ["train", *map(str, words)])
    assert result.exit_code == 0, result.stderr
    tokenizer = Tokenizer.load(words[words.index("-o") + 1])
    assert isinstance(tokenizer, Tokenizer)
    return tokenizer


def test_train_saves_a_tokenizer_and_says_what_it_is_worth(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "small-280"
    words = ["train", str(corpus), "--vocab-size", "280", "--special", "<|endoftext|>", "-o", str(out)]
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    tokenizer = Tokenizer.load(out)
    tokens = tokenizer.count(TEXT)
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["saved"] == f"{out} (tokenizer.json, tokenizer_config.json, bytetok.json)"
    assert lines["tokens"] == "280, of them 1 special"
    assert lines["pattern"] == "o200k"
    assert lines["compactness"] == f"{len(TEXT) / tokens:.2f} bytes per token on 1.4 kB of the training text"
    assert sorted(file.name for file in out.iterdir()) == ["bytetok.json", "tokenizer.json", "tokenizer_config.json"]
    assert tokenizer.name == "small-280"
    assert tokenizer.vocab.special_tokens == {"<|endoftext|>": 0}


def test_json_gives_the_same(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["train", str(corpus), "--vocab-size", "280", "--pattern", r"\w+", "-o", str(out), "--json"]
    values = json.loads(runner.invoke(app, words).stdout)
    assert values.pop("seconds") > 0
    assert values == {
        "output": str(out),
        "vocab_size": 280,
        "special_tokens": 0,
        "domain_tokens": 0,
        "pattern": [r"\w+"],
        "bytes_per_token": round(len(TEXT) / Tokenizer.load(out).count(TEXT), 4),
        "measured_on": "1.4 kB of the training text",
        "skipped_files": [],
        "skipped_rows": 0,
    }


def test_shards_give_the_tokenizer_that_their_text_gives(corpus: Path, counts: Path, tmp_path: Path) -> None:
    a = trained(corpus, "--vocab-size", "290", "-o", tmp_path / "a")
    b = trained(counts, "--vocab-size", "290", "-o", tmp_path / "b")
    assert a.vocab == b.vocab
    # Two shards are the text twice.
    result = runner.invoke(
        app, ["train", str(counts), str(counts), "--vocab-size", "290", "-o", str(tmp_path / "c"), "--json"]
    )
    assert Tokenizer.load(tmp_path / "c").vocab == a.vocab
    values = json.loads(result.stdout)
    assert values["measured_on"] == "the counted pretokens"
    assert values["bytes_per_token"] == round(len(TEXT) / a.count(TEXT), 4)


def test_shards_bring_their_pattern(corpus: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts.parquet"
    runner.invoke(app, ["count", str(corpus), "--pattern", "digits", "-o", str(counts)])
    assert str(trained(counts, "--vocab-size", "290", "-o", tmp_path / "a").pattern) == "digits"
    words = ["train", str(counts), "--vocab-size", "290", "--pattern", "gpt2", "-o", str(tmp_path / "b")]
    result = runner.invoke(app, words)
    assert result.exit_code == 1
    assert "the counts were made by digits" in result.stderr
    assert not (tmp_path / "b").exists()


def test_standard_input_is_a_corpus(corpus: Path, tmp_path: Path) -> None:
    words = ["train", "-", "--vocab-size", "290", "-o", str(tmp_path / "piped")]
    result = runner.invoke(app, words, input=TEXT)
    assert result.exit_code == 0, result.stderr
    assert "compactness" not in result.stdout  # a pipe cannot be read again
    stored = trained(corpus, "--vocab-size", "290", "-o", tmp_path / "stored")
    assert Tokenizer.load(tmp_path / "piped").vocab == stored.vocab


def test_options_reach_the_library(corpus: Path, tmp_path: Path) -> None:
    tokenizer = trained(
        corpus, "--vocab-size", "400", "--max-token-length", "3", "--length-unit", "characters", "--min-count", "5",
        "--special", "<|a|>", "--special", "<|b|>", "-o", tmp_path / "out",
    )  # fmt: skip
    assert max(len(token.decode()) for token in tokenizer.vocab.tokens[258:]) == 3
    assert list(tokenizer.vocab.special_tokens) == ["<|a|>", "<|b|>"]
    described = json.loads((tmp_path / "out" / "bytetok.json").read_text())
    assert described["trained"]["min_count"] == 5


def test_a_recipe_can_be_changed_by_options(corpus: Path, tmp_path: Path) -> None:
    words = ["train", str(corpus), "--recipe", "char-4k", "--vocab-size", "512", "-o", str(tmp_path / "out")]
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.stderr
    tokenizer = Tokenizer.load(tmp_path / "out")
    assert "<|start|>" in tokenizer.vocab.special_tokens
    assert max(len(token) for token in tokenizer.vocab.tokens if not token.startswith(b"<")) == 3
    described = json.loads((tmp_path / "out" / "bytetok.json").read_text())
    assert described["recipe"]["vocab_size"] == 512
    assert described["recipe"]["name"] == "char-4k"


def test_superwords_cross_words(corpus: Path, tmp_path: Path) -> None:
    tokenizer = trained(corpus, "--vocab-size", "330", "--superwords", "0.1", "-o", tmp_path / "out")
    assert any(b" " in token.strip() for token in tokenizer.vocab.tokens)
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


def test_fewer_tokens_than_asked_for_is_said(corpus: Path, tmp_path: Path) -> None:
    words = ["train", str(corpus), "--vocab-size", "5000", "--min-count", "10", "-o", str(tmp_path / "out")]
    result = runner.invoke(app, words)
    assert result.exit_code == 0
    size = Tokenizer.load(tmp_path / "out").vocab_size
    assert result.stderr.startswith(f"5,000 tokens were asked for and {size:,} learned")


def test_train_again_into_the_same_folder(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    trained(corpus, "--vocab-size", "270", "-o", out)
    (out / "notes.md").write_text("mine")
    assert trained(corpus, "--vocab-size", "280", "-o", out).vocab_size == 280
    assert (out / "notes.md").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.txt", "out"]


def test_an_empty_folder_will_do(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert trained(corpus, "--vocab-size", "270", "-o", tmp_path / "empty").vocab_size == 270


def test_a_folder_of_somebody_elses_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "model"
    other.mkdir()
    (other / "tokenizer.json").write_text("{}")
    result = runner.invoke(app, ["train", str(corpus), "--vocab-size", "270", "-o", str(other)])
    assert result.exit_code == 1
    assert "holds no tokenizer of bytetok but other files (tokenizer.json)" in result.stderr
    assert "choose a new or empty folder" in result.stderr
    assert [path.name for path in other.iterdir()] == ["tokenizer.json"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--vocab-size", "100"], "expected at least 256"),
        (["--vocab-size", "300", "--special", "<a>", "--special", "<a>"], "twice"),
        (["--vocab-size", "300", "--special", ""], "special"),
        (["--recipe", "legl"], "did you mean 'legal'?"),
        (["--recipe", "missing.toml"], "missing.toml"),
    ],
)
def test_what_no_training_can_do_is_one_message_and_no_folder(
    words: list[str], complaint: str, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = runner.invoke(app, ["train", str(corpus), *words, "-o", str(out)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert complaint in result.stderr
    assert not out.exists()


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    words = ["train", str(tmp_path / "empty.txt"), "--vocab-size", "300", "-o", str(tmp_path / "out")]
    result = runner.invoke(app, words)
    assert result.exit_code == 1
    assert "corpus is empty" in result.stderr


def test_the_folder_is_checked_before_the_text_is_read(corpus: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["train", "missing.txt", "--vocab-size", "300", "-o", str(corpus)])
    assert result.exit_code == 1
    assert "is a file, and a tokenizer is saved as a folder" in result.stderr


# ------------------------------------------------------------------------------------------------------------- extend


def test_extend_keeps_every_id(corpus: Path, counts: Path, tmp_path: Path) -> None:
    base = trained(corpus, "--vocab-size", "270", "-o", tmp_path / "base")
    words = ["extend", str(tmp_path / "base"), str(counts), "--vocab-size", "300", "-o", str(tmp_path / "more")]
    result = runner.invoke(app, words)
    assert result.exit_code == 0, result.stderr
    more = Tokenizer.load(tmp_path / "more")
    assert more.vocab.tokens[:270] == base.vocab.tokens
    # What is learned in two steps is what is learned in one.
    assert more.vocab == trained(corpus, "--vocab-size", "300", "-o", tmp_path / "at-once").vocab
    assert "300" in result.stdout
    by_text = ["extend", str(tmp_path / "base"), str(corpus), "--vocab-size", "300", "-o", str(tmp_path / "text")]
    assert runner.invoke(app, [*by_text, "--json"]).exit_code == 0
    assert Tokenizer.load(tmp_path / "text").vocab == more.vocab


def test_extend_counts_with_the_tokenizers_own_pattern(corpus: Path, counts: Path, tmp_path: Path) -> None:
    trained(corpus, "--vocab-size", "270", "--pattern", "digits", "-o", tmp_path / "base")
    out = tmp_path / "more"
    words = ["extend", str(tmp_path / "base"), str(corpus), "--vocab-size", "300", "-o", str(out)]
    assert runner.invoke(app, words).exit_code == 0
    assert str(Tokenizer.load(out).pattern) == "digits"
    result = runner.invoke(app, ["extend", str(tmp_path / "base"), str(counts), "--vocab-size", "300", "-o", str(out)])
    assert result.exit_code == 1  # these were counted with o200k
    assert "digits" in result.stderr
    assert "o200k" in result.stderr


def test_extend_says_when_there_is_nothing_to_learn(corpus: Path, tmp_path: Path) -> None:
    trained(corpus, "--vocab-size", "300", "-o", tmp_path / "base")
    words = ["extend", str(tmp_path / "base"), str(corpus), "--vocab-size", "100", "-o", str(tmp_path / "more")]
    result = runner.invoke(app, words)
    assert result.exit_code == 1
    assert "smaller than the 300 tokens there are" in result.stderr
    assert not (tmp_path / "more").exists()


def test_compactness_of_counts_weighs_each_pretoken_by_its_count(tmp_path: Path) -> None:
    from bytetok.cli.summary import on_counts
    from bytetok.training.bpe import train_bpe

    counts = PretokenCounts.from_dict({b"ab": 6, b"c": 2}, "none")
    tokenizer = train_bpe(counts, vocab_size=257)
    measured = on_counts(tokenizer, counts)
    assert measured is not None
    assert (measured.bytes, measured.tokens, measured.bytes_per_token) == (14, 8, 1.75)
