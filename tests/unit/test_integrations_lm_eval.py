"""What lm-eval asks of a model: the plain functions, and the class with a stand-in for lm-eval."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from byte_models import fixed_model, log_prefix, random_model
from small import trained

from bytetok.errors import ImpossibleByteError, MissingDependencyError, SamplingError
from bytetok.integrations.likelihood import generate_until, loglikelihood, rolling
from bytetok.lm import TokenLM
from bytetok.sampling.complete import complete
from bytetok.sampling.ensembles import Mixture
from bytetok.sampling.protocol import STOP
from bytetok.sampling.sampler import ByteSampler

SIZE = 300
MODEL = random_model(1, b"abc")


def rows(sequences: list[list[int]]) -> np.ndarray[Any, Any]:
    logits = np.stack([np.random.default_rng(ids[-2:]).normal(0, 3, SIZE) for ids in sequences])
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


SAMPLER = ByteSampler(TokenLM(rows, trained(vocab_size=SIZE), stop_ids=[0], vocab_size=SIZE))


def test_loglikelihood_is_a_difference_of_logs() -> None:
    found = loglikelihood(MODEL, "ab", "cab")
    assert found.log == pytest.approx(log_prefix(MODEL, b"abcab") - log_prefix(MODEL, b"ab"))
    assert loglikelihood(MODEL, "ab", "") == (0.0, True)


def test_at_once_and_byte_by_byte_are_the_same() -> None:
    one, other = (loglikelihood(model, "the pl", "aintiff 日") for model in (SAMPLER, Mixture([SAMPLER])))
    assert one.log == pytest.approx(other.log, abs=1e-6)
    greedy = complete(SAMPLER, "the pl", temperature=0, max_bytes=6, valid_utf8=False).bytes
    assert loglikelihood(SAMPLER, "the pl", greedy).is_greedy
    assert not loglikelihood(SAMPLER, "the pl", greedy + b"\x00").is_greedy


def test_what_is_impossible() -> None:
    assert loglikelihood(MODEL, "ab", "x") == loglikelihood(MODEL, "ab", "xa") == (-math.inf, False)
    with pytest.raises(ImpossibleByteError):
        loglikelihood(MODEL, "x", "a")


def test_rolling() -> None:
    text = "abccbaabcabcba"
    assert rolling(MODEL, text) == pytest.approx(log_prefix(MODEL, text.encode()))
    parts = [("", text[:8]), (text[4:8], text[8:12]), (text[8:12], text[12:])]
    assert rolling(MODEL, text, 8) == pytest.approx(sum(loglikelihood(MODEL, *part).log for part in parts))
    assert rolling(MODEL, "") == 0
    # A context begins with a whole character.
    data = "abc日x日".encode()
    expected = loglikelihood(SAMPLER, "", data[:8]).log + loglikelihood(SAMPLER, data[6:8], data[8:]).log
    assert rolling(SAMPLER, data, 8) == pytest.approx(expected)
    with pytest.raises(SamplingError, match="window is 4"):
        rolling(MODEL, "a", 4)


def test_generate_until() -> None:
    model = random_model(2, b"abc", stop=False)
    assert generate_until(model, "a") == complete(model, "a", temperature=0, max_bytes=1024).text
    short = {"until": ["", "cc"], "max_gen_toks": 5, "do_sample": False, "temperature": 0.0, "num_beams": 1}
    assert generate_until(model, "a", short) == complete(model, "a", temperature=0, stop="cc", max_bytes=20).text
    drawn = {"until": "b", "max_gen_bytes": 9, "do_sample": True, "temperature": 0.5, "top_k": 2}
    expected = complete(model, "a", temperature=0.5, top_k=2, stop="b", max_bytes=9, seed=3).text
    assert generate_until(model, "a", drawn, seed=3) == expected
    with pytest.raises(SamplingError, match="num_beams"):
        generate_until(model, "a", {"num_beams": 4})


def test_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    partial: list[Any] = []

    class LM:
        def __init__(self) -> None:
            self.cache_hook = SimpleNamespace(add_partial=lambda *given: partial.append(given))

    def register(name: str) -> Any:
        names.append(name)
        return lambda kind: kind

    for module, content in (("api", {}), ("api.model", {"LM": LM}), ("api.registry", {"register_model": register})):
        made = ModuleType(f"lm_eval.{module}")
        made.__dict__.update(content)
        monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setitem(sys.modules, "lm_eval", ModuleType("lm_eval"))
    monkeypatch.delitem(sys.modules, "bytetok.integrations.lm_eval", raising=False)
    made = importlib.import_module("bytetok.integrations.lm_eval")
    del sys.modules["bytetok.integrations.lm_eval"]  # or the test behind this one would find it
    lm = made.ByteEvalLM(fixed_model({97: 0.5, 98: 0.25, STOP: 0.25}), batch_size=1)
    assert names == ["bytetok"]
    ask = [SimpleNamespace(args=("a", "aa")), SimpleNamespace(args=("a", "b"))]
    assert lm.loglikelihood(ask) == [(pytest.approx(math.log(0.25)), True), (pytest.approx(math.log(0.25)), False)]
    assert [(kind, args) for kind, args, _ in partial] == [("loglikelihood", one.args) for one in ask]
    assert lm.loglikelihood_rolling([SimpleNamespace(args=("ab",))]) == [pytest.approx(math.log(0.125))]
    assert lm.generate_until([SimpleNamespace(args=("", {"max_gen_bytes": 3}))]) == ["aaa"]


def test_without_lm_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.delitem(sys.modules, "bytetok.integrations.lm_eval", raising=False)
    with pytest.raises(MissingDependencyError, match="pip install lm-eval"):
        importlib.import_module("bytetok.integrations.lm_eval")


# ------------------------------------------------------------------------------------------------------- with lm-eval

TASKS = {
    "words": {
        "output_type": "multiple_choice", "doc_to_text": "{{context}}", "doc_to_target": "{{answer}}",
        "doc_to_choice": "{{choices}}", "target_delimiter": "", "metric_list": [{"metric": "acc"}],
    },
    "lines": {
        "output_type": "generate_until", "doc_to_text": "{{context}}", "doc_to_target": "{{line}}",
        "generation_kwargs": {"until": ["e"], "max_gen_toks": 3}, "metric_list": [{"metric": "exact_match"}],
    },
    "texts": {
        "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{context}}",
        "metric_list": [{"metric": "byte_perplexity"}],
    },
}  # fmt: skip


@pytest.mark.filterwarnings("default")  # what lm-eval imports warns of much
@pytest.mark.parametrize("members", [1, 2])
def test_tasks_of_lm_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int) -> None:
    """A task of each kind, from files, with a model and with an ensemble: the scores are those of our functions."""
    for name in ("HF_HOME", "HF_DATASETS_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    pytest.importorskip("lm_eval")
    import lm_eval
    from lm_eval.tasks import TaskManager

    from bytetok.integrations.lm_eval import ByteEvalLM

    model: Any = SAMPLER if members == 1 else Mixture([SAMPLER, MODEL])
    texts = ["abc", "bbca", "cab"]
    docs = [{"context": text, "choices": ["ab", "c", "ba"], "answer": at} for at, text in enumerate(texts)]
    for doc in docs:
        doc["line"] = generate_until(model, doc["context"], {"until": ["e"], "max_gen_toks": 3})
    docs[0]["line"] += "?"
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    data = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "docs.jsonl")}, "cache_dir": str(tmp_path / "cache")},
        "test_split": "test",
    }
    (tmp_path / "tasks").mkdir()
    for name, task in TASKS.items():
        (tmp_path / "tasks" / f"{name}.yaml").write_text(json.dumps({"task": name, **data, **task}))  # JSON is YAML
    found = lm_eval.simple_evaluate(
        model=ByteEvalLM(model), tasks=[*TASKS], task_manager=TaskManager(include_path=str(tmp_path / "tasks")),
        bootstrap_iters=0, log_samples=True,
    )  # fmt: skip
    results = found["results"]
    logs = [[loglikelihood(model, doc["context"], choice).log for choice in doc["choices"]] for doc in docs]
    right = [int(np.argmax(row)) == doc["answer"] for row, doc in zip(logs, docs, strict=True)]
    assert results["words"]["acc,none"] == pytest.approx(np.mean(right))
    for sample in found["samples"]["words"]:
        assert [one[0] for one in sample["filtered_resps"]] == pytest.approx(logs[sample["doc_id"]])
    assert results["lines"]["exact_match,none"] == pytest.approx(2 / 3)
    size = sum(map(len, texts))
    expected = math.exp(-sum(rolling(model, text) for text in texts) / size)
    assert results["texts"]["byte_perplexity,none"] == pytest.approx(expected)
