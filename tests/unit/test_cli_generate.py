"""``bytetok complete``, ``fill``, ``sample`` and ``score``, with small models in place of loaded ones."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from byte_models import fixed_model, random_model
from small import trained
from typer.testing import CliRunner

from bytetok.cli import models, writing
from bytetok.cli.app import app
from bytetok.cli.score import bits_of
from bytetok.errors import ContextLengthError
from bytetok.lm import TokenLM
from bytetok.sampling.complete import complete, sample
from bytetok.sampling.ensembles import Mixture, Product
from bytetok.sampling.fill import fill
from bytetok.sampling.protocol import STOP, ByteModel
from bytetok.sampling.sampler import ByteSampler

SIZE = 300
ENV = {"COLUMNS": "200"}
runner = CliRunner()


def sampler(seed: int, law: Any = "canonical") -> ByteSampler:
    """A model whose rows depend on the last two tokens."""

    def rows(sequences: list[list[int]]) -> np.ndarray[Any, Any]:
        logits = np.stack([np.random.default_rng([seed, *ids[-2:]]).normal(0, 3, SIZE) for ids in sequences])
        return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)

    return ByteSampler(TokenLM(rows, trained(vocab_size=SIZE), stop_ids=[0], vocab_size=SIZE), law)


ONE, TWO = sampler(1), sampler(2)
LOADED: list[tuple[str, str, str | None]] = []


@pytest.fixture(autouse=True)
def known_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models by name; ``LOADED`` says what was asked for."""
    known: dict[str, ByteModel] = {
        "one": ONE,
        "two": TWO,
        "ab": fixed_model({97: 0.5, 98: 0.25, STOP: 0.25}),
    }
    LOADED.clear()

    def load(name: str, law: Any, device: str | None) -> ByteModel:
        LOADED.append((name, law, device))
        if name == "interrupted":
            raise KeyboardInterrupt
        return sampler(1, law) if law == "all" else known[name]

    monkeypatch.setattr(models, "load", load)


def run(*words: str, code: int = 0, stdin: bytes | None = None) -> Any:
    result = runner.invoke(app, [*words], input=stdin, env=ENV)
    assert result.exit_code == code, result.stderr
    if code:
        assert result.stdout == ""
    return result


# ----------------------------------------------------------------------------------------------------------- complete


def test_a_chat_is_one_message_to_every_model(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load(name: str, law: Any, device: str | None) -> Any:
        answering = ONE if name == "one" else TWO
        return SimpleNamespace(chat=lambda messages: asked.append((name, messages)) or answering)

    monkeypatch.setattr(models, "load", load)
    words = ("--max-bytes", "9", "--seed", "4", "--chat")
    found = run("complete", "--model", "one", "--model", "two", *words, "the plaintiff?")
    assert found.stdout_bytes == complete(Mixture([ONE, TWO]), b"", max_bytes=9, seed=4).text.encode()
    assert asked == [(name, [{"role": "user", "content": "the plaintiff?"}]) for name in ("one", "two")]
    found = run("sample", "--model", "one", *words, "--prompt", "-", stdin="où?".encode())
    assert found.stdout_bytes == sample(ONE, max_bytes=9, seed=4)[0].text.encode() + b"\n"
    assert asked[-1][1][0]["content"] == "où?"
    error = run("complete", "--model", "one", "--chat", "-", stdin=b"o\xff", code=1).stderr
    assert "byte 1 of the prompt" in error


def test_complete_writes_what_the_library_does_and_nothing_else() -> None:
    expected = complete(ONE, "the pl", max_bytes=30, seed=4)
    result = run("complete", "--model", "one", "--seed", "4", "--max-bytes", "30", "the pl")
    assert result.stdout_bytes == expected.text.encode()
    assert result.stderr.startswith(f"{len(expected.text.encode())} bytes in ")
    assert LOADED == [("one", "canonical", None)]


def test_every_setting_reaches_the_library() -> None:
    words = ["--temperature", ".7", "--top-k", "20", "--top-p", ".9", "--min-p", ".01", "--seed", "5"]
    words += ["--max-bytes", "25", "--law", "all", "--device", "meta"]
    result = run("complete", "--model", "one", *words, "--regex", "[a-z ]{3,}", "--stop", "q", "--stop", "x", "a")
    expected = complete(
        sampler(1, "all"), "a", temperature=0.7, top_k=20, top_p=0.9, min_p=0.01, seed=5, max_bytes=25,
        regex="[a-z ]{3,}", stop=["q", "x"],
    )  # fmt: skip
    assert result.stdout == expected.text
    assert LOADED == [("one", "all", "meta")]


@pytest.mark.parametrize("seed", range(6))
def test_a_prompt_that_ends_inside_a_character_comes_back_with_it_whole(seed: int) -> None:
    prompt = "naïve 日".encode()[:-1]
    result = run("complete", "--model", "one", "--seed", str(seed), "--max-bytes", "9", "-", stdin=prompt)
    text = result.stdout_bytes.decode()  # whole characters only
    assert text == complete(ONE, prompt, seed=seed, max_bytes=9).text
    assert (prompt[:-2] + text.encode()).startswith(prompt)


def test_output_is_put_out_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[Any] = []
    buffer = SimpleNamespace(write=lambda data: parts.append(data) or len(data), flush=lambda: parts.append("flush"))
    for is_terminal in (False, True):
        parts.clear()
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=buffer, isatty=lambda: is_terminal))  # noqa: B023
        assert writing.put(["é", "日a"]) == 6
        assert parts == ["é".encode(), "flush", "日a".encode(), "flush", *([b"\n", "flush"] if is_terminal else [])]


def test_complete_as_json() -> None:
    result = run("complete", "--model", "one", "--temperature", "0", "--max-bytes", "12", "--json", "the ")
    values = json.loads(result.stdout)
    expected = complete(ONE, "the ", temperature=0, max_bytes=12)
    assert (values["models"], values["text"], values["stop_reason"]) == (["one"], expected.text, expected.stop_reason)
    assert bytes.fromhex(values["bytes"]) == expected.bytes
    assert values["logprob"] == pytest.approx(expected.logprob)
    # What is drawn by tokens has no logs; the text is that of the same command without --json.
    free = ["complete", "--model", "one", "--seed", "2", "the "]
    assert json.loads(run(*free, "--json").stdout)["text"] == run(*free).stdout


@pytest.mark.parametrize("mix", ["mixture", "product", "bayes"])
@pytest.mark.parametrize("weights", [[], [0.25, 0.75]])
def test_ensembles(mix: Any, weights: list[float]) -> None:
    given = weights or None
    ensemble: ByteModel = {
        "mixture": lambda: Mixture([ONE, TWO], given),
        "product": lambda: Product([ONE, TWO], given),
        "bayes": lambda: Mixture([ONE, TWO], "bayes", start=given),
    }[mix]()
    words = [word for weight in weights for word in ("--weight", str(weight))]
    words += ["--mix", mix, "--seed", "1", "--max-bytes", "8", "court"]
    result = run("complete", "--model", "one", "--model", "two", *words)
    assert result.stdout == complete(ensemble, "court", seed=1, max_bytes=8).text


# --------------------------------------------------------------------------------------------------------------- fill


def test_fill_searches_the_middle(tmp_path: Path) -> None:
    (tmp_path / "before").write_bytes("das 日".encode()[:-1])
    words = ["fill", "--model", "one", "--max-bytes", "6", "--suffix", "the"]
    expected = fill(ONE, "das 日".encode()[:-1], "the", max_bytes=6)
    assert run(*words, "--prefix-file", str(tmp_path / "before")).stdout == expected.text
    values = json.loads(run(*words, "--prefix-file", "-", "--json", stdin="das 日".encode()[:-1]).stdout)
    assert (values["text"], values["stop_reason"]) == (expected.text, "suffix")
    assert values["logprob"] == pytest.approx(expected.logprob)
    both = fill(Mixture([ONE, TWO]), "a", "the", max_bytes=4, regex="[a-z]+")
    words = ["--max-bytes", "4", "--regex", "[a-z]+", "--method", "search"]
    words += ["--model", "one", "--model", "two"]
    assert run("fill", "--prefix", "a", "--suffix", "the", *words).stdout == both.text


def test_a_model_without_infilling_tokens_says_so() -> None:
    result = run("fill", "--model", "one", "--prefix", "", "--suffix", "", "--method", "tokens", code=1)
    assert "no control tokens for infilling" in result.stderr


# ------------------------------------------------------------------------------------------------------------- sample


def test_samples_are_those_of_the_library() -> None:
    expected = sample(ONE, 3, prompt="the ", seed=7, max_bytes=10)
    words = ["sample", "--model", "one", "-n", "3", "--prompt", "the ", "--seed", "7", "--max-bytes", "10"]
    assert run(*words).stdout == "".join(one.text + "\n" for one in expected)
    lines = run(*words, "--json").stdout_bytes.decode().removesuffix("\n").split("\n")
    assert [json.loads(line)["text"] for line in lines] == [one.text for one in expected]
    assert run("sample", "--model", "one", "-n", "0").stdout == ""


# -------------------------------------------------------------------------------------------------------------- score


def test_score_of_files_and_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("the plaintiff")
    rows = [json.dumps({"text": text}) for text in ("naïve", "", "日本")]
    (tmp_path / "b.jsonl").write_text("\n".join(rows))
    files = ["a.txt", "b.jsonl"]
    values = json.loads(run("score", "--model", "one", *files, "--json").stdout)
    first = bits_of(ONE, b"the plaintiff")
    second = sum(bits_of(ONE, text.encode()) for text in ("naïve", "日本"))
    a, b = values["files"]
    assert (a["file"], a["documents"], a["pieces"], a["bytes"]) == (files[0], 1, 1, 13)
    assert (b["documents"], b["bytes"]) == (3, 12)
    assert (a["bits"], b["bits"]) == (pytest.approx(first), pytest.approx(second))
    assert values["total"]["bits_per_byte"] == pytest.approx((first + second) / 25)
    assert (values["models"], values["law"], values["window"]) == (["one"], "canonical", 8192)
    shown = run("score", "--model", "one", *files).stdout.splitlines()
    assert shown[0].split() == ["file", "documents", "bytes", "bits", "per", "byte"]
    assert shown[2].split()[-3:] == ["1", "13", f"{first / 13:.4f}"]
    assert shown[4].split() == ["together", "4", "25", f"{(first + second) / 25:.4f}"]


def test_at_once_and_byte_by_byte_are_the_same() -> None:
    data = "the court's 日本 ".encode()
    alone, ensemble = bits_of(ONE, data), Mixture([ONE])
    assert not hasattr(ensemble, "score")
    assert bits_of(ensemble, data) == pytest.approx(alone, abs=1e-6)
    assert bits_of(fixed_model({97: 0.5, 98: 0.25, STOP: 0.25}), b"aab") == pytest.approx(4)
    assert bits_of(ensemble, b"") == bits_of(ONE, b"") == 0


def test_a_bayesian_mixture_scores_the_mean_of_the_probabilities() -> None:
    text = "abba a"
    members = [random_model(3, b"ab "), random_model(4, b"ab ")]
    mean = -math.log2(sum(2 ** -bits_of(one, text.encode()) for one in members) / 2)
    assert bits_of(Mixture(members, "bayes"), text.encode()) == pytest.approx(mean)


def test_long_documents_are_cut_between_characters() -> None:
    result = run("score", "--model", "one", "--window", "5", "-", stdin="日本語 ab".encode())
    parts = ["日", "本", "語 a", "b"]
    assert result.stdout.split()[-1] == f"{sum(bits_of(ONE, one.encode()) for one in parts) / 12:.4f}"
    assert "more than 5 bytes were cut" in result.stderr


def test_score_reads_standard_input_and_names_places() -> None:
    words = ["score", "--model", "ab", "--window", "4", "-"]
    assert "standard input" in run(*words, stdin=b"abab").stdout
    result = run(*words, stdin=b"ababaxb", code=1)
    assert "error: standard input, text from byte 4 on: 120 after b'a'" in result.stderr
    assert json.loads(run(*words, "--json", stdin=b"").stdout)["total"]["bits_per_byte"] is None
    assert run(*words, stdin=b"").stdout.split()[-1] == "-"


def test_a_text_beyond_the_context_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_long(text: bytes) -> None:
        raise ContextLengthError("a context of 9 tokens, but the model reads at most 8")

    monkeypatch.setattr(models, "load", lambda *_: SimpleNamespace(score=too_long))
    result = run("score", "--model", "one", "-", stdin=b"text", code=1)
    assert "at most 8; --window with a smaller number" in result.stderr


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["complete", "text"], "Missing option '--model'"),
        (["complete", "--model", "one"], "Missing argument 'PROMPT'"),
        (["complete", "--model", "one", "--weight", "1", "--weight", "2", "text"], "2 for 1 of --model"),
        (["complete", "--model", "one", "--weight", "-1", "text"], "--weight"),
        (["complete", "--model", "one", "--weight", "0", "text"], "all are 0"),
        (["complete", "--model", "smollm2", "text"], "did you mean package:smollm2?"),
        (["complete", "--model", "one", "--mix", "sum", "text"], "--mix"),
        (["complete", "--model", "one", "--law", "exact", "text"], "--law"),
        (["complete", "--model", "one", "--temperature", "-1", "text"], "--temperature"),
        (["complete", "--model", "one", "--stop", "", "text"], "empty text"),
        (["fill", "--model", "one", "--prefix", "a"], "neither is given; give --suffix with a text or --suffix-file"),
        (["fill", "--model", "one", "--prefix", "a", "--prefix-file", "b", "--suffix", "c"], "both are given"),
        (["fill", "--model", "one", "--prefix-file", "-", "--suffix-file", "-"], "is the prefix already"),
        (["sample", "--model", "one", "-n", "-1"], "--number"),
        (["score", "--model", "one"], "Missing argument 'FILES'"),
        (["score", "--model", "one", "--window", "2", "-"], "--window"),
    ],
)
def test_wrong_usage_is_found_before_a_model_is_loaded(words: list[str], complaint: str) -> None:
    assert complaint in run(*words, code=2).stderr
    assert LOADED == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["complete", "--model", "one", "--regex", "(", "text"], "does not compile"),
        (["complete", "--model", "one", "--top-p", "0", "text"], "top_p is 0"),
        (["score", "--model", "one", "no-such-file.txt"], "no-such-file.txt"),
        (["fill", "--model", "one", "--prefix-file", "no-such-file.txt", "--suffix", ""], "no-such-file.txt"),
    ],
)
def test_other_errors_that_need_no_model(words: list[str], complaint: str) -> None:
    assert complaint in run(*words, code=1).stderr
    assert LOADED == []


def test_an_impossible_prompt_and_an_interrupt() -> None:
    result = run("complete", "--model", "ab", "abx", code=1)
    assert result.stderr == "error: 120 after b'ab'\n"
    assert "interrupted" in run("complete", "--model", "interrupted", "a", code=130).stderr


@pytest.mark.parametrize("model", ["somebody/a-model", "package:smollm2"])
def test_without_torch_the_message_says_what_to_install(model: str, tmp_path: Path) -> None:
    program = (
        "import os, sys; sys.modules['torch'] = None\n"
        f"os.environ['BYTETOK_CACHE'] = {str(tmp_path)!r}\n"
        f"sys.argv = ['bytetok', 'complete', '--model', {model!r}, 'text']\n"
        "from bytetok.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "pip install 'bytetok-lm[torch]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []  # nothing was downloaded


def test_an_unknown_package() -> None:
    pytest.importorskip("transformers", exc_type=ImportError)
    words = ["sample", "--model", "package:gpt-9"]
    done = subprocess.run([sys.executable, "-m", "bytetok", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected one of smollm2, gemma3-270m" in done.stderr


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("transformers", exc_type=ImportError)
    words = ["complete", "--model", str(tmp_path), "--device", "cuda:99", "text"]
    done = subprocess.run([sys.executable, "-m", "bytetok", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "'cuda:99' cannot be used here" in done.stderr
    assert "Traceback" not in done.stderr
