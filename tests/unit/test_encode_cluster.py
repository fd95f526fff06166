"""Encoding on a cluster gives the file that encoding on one machine gives, also while nodes die."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from local_ray import (  # noqa: F401
    WORDS,
    Watched,
    attempts,
    cluster_fixture,
    corpus_fixture,
    die,
    is_first,
    losing_a_node,
    nap,
    ray_fixture,
    wait_for,
)

from bytetok.errors import CorpusError, EncodingError, TrainingError
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training import cluster as cluster_module
from bytetok.training import encode_files
from bytetok.training.bpe import train_bpe
from bytetok.training.corpus import Texts, read_texts
from bytetok.training.corpus_sources import from_documents
from bytetok.training.counts import PretokenCounts
from bytetok.training.encode_files import encode_corpus
from bytetok.training.encode_resume import partial_folder


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    counts = PretokenCounts.from_dict({b"the": 9, b" motion": 5, " naïve".encode(): 3}, "gpt2")
    return train_bpe(counts, vocab_size=275, special_tokens=["<|end|>"])


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few documents, several to a file."""
    monkeypatch.setattr(encode_files, "_BATCH_BYTES", 300)
    monkeypatch.setattr(encode_files, "_PART_IDS", 500)
    monkeypatch.setattr(cluster_module, "_LEAST_UNIT", 1)


@pytest.mark.ray
@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".npy", ".txt"])
def test_a_cluster_encodes_as_one_machine_does(
    cluster: Any, tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.chdir(corpus.parent)
    here, there = tmp_path / f"here{suffix}", tmp_path / f"there{suffix}"
    heard: list[int] = []
    local, texts = read_texts("corpus"), read_texts("corpus")
    done = encode_corpus(tokenizer, texts, there, end="<|end|>", engine="ray", progress=heard.append)
    assert done == encode_corpus(tokenizer, local, here, end="<|end|>")
    assert there.read_bytes() == here.read_bytes()
    assert done.documents == 208
    assert heard == sorted(heard)
    assert len(heard) > 20
    assert (heard[-1], texts.bytes_read, texts.skipped) == (texts.size, local.bytes_read, 1)
    assert not partial_folder(there).exists()


@pytest.mark.ray
@pytest.mark.usefixtures("small_parts")
def test_encoding_goes_on_where_a_cluster_stopped(
    cluster: Any, tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here.npy", tmp_path / "there.npy"
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    bad = corpus / "zzz.txt"
    bad.write_bytes(b"not \xff")
    with pytest.raises(EncodingError, match=r"zzz\.txt is not UTF-8"):
        encode_corpus(tokenizer, read_texts(corpus), there, engine="ray", threads=1)
    assert not there.exists()
    bad.write_bytes(b"but now it is")
    done = encode_corpus(tokenizer, read_texts(corpus), there, engine="ray")
    # With one worker, what stands before the bad file was done.
    assert done.reused == 208
    assert encode_corpus(tokenizer, read_texts(corpus), here) == type(done)(209, done.bytes, done.tokens)
    assert there.read_bytes() == here.read_bytes()


@pytest.mark.ray
@pytest.mark.usefixtures("small_parts")
def test_a_worker_that_dies_midway_does_not_change_the_ids(
    cluster: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    marks, here, there = tmp_path / "marks", tmp_path / "here.npy", tmp_path / "there.npy"
    marks.mkdir()
    contents = [tuple(f"{WORDS * 4}{unit * step}" for step in range(30)) for unit in range(4)]
    expected = encode_corpus(tokenizer, Texts(map(from_documents, contents), errors="bytes"), here)
    count = iter(range(1000))

    def die_once() -> None:
        if next(count) == 20 and is_first(marks / "died"):
            os._exit(1)

    def live() -> None:
        pass

    watched = [
        from_documents(Watched(f"unit{at}", content, marks, die_once if at == 2 else live))
        for at, content in enumerate(contents)
    ]
    texts = Texts(watched, errors="bytes")
    assert encode_corpus(tokenizer, texts, there, engine="ray", address=cluster.address) == expected
    assert there.read_bytes() == here.read_bytes()
    begun = [attempt for attempt in attempts(marks, "begun") if attempt.startswith("unit2.")]
    assert len(begun) == 2
    assert (marks / "died").exists()


@pytest.mark.ray
@pytest.mark.usefixtures("small_parts")
def test_a_lost_node_does_not_change_the_ids(cluster: Any, tokenizer: Tokenizer, tmp_path: Path) -> None:
    marks, here, there = tmp_path / "marks", tmp_path / "here.npy", tmp_path / "there.npy"
    marks.mkdir()
    contents = [tuple(f"{WORDS * 4}{unit * step}" for step in range(25)) for unit in range(6)]
    expected = encode_corpus(tokenizer, Texts(map(from_documents, contents)), here)
    watched = [from_documents(Watched(f"unit{at}", content, marks, nap)) for at, content in enumerate(contents)]
    with losing_a_node(cluster, marks) as seen:
        done = encode_corpus(tokenizer, Texts(watched), there, engine="ray", address=cluster.address)
    begun = attempts(marks, "begun")
    for killed in seen["killed"]:
        unit = killed.partition(".")[0] + "."
        assert len([attempt for attempt in begun if attempt.startswith(unit)]) > 1
    assert seen["killed"]
    assert done == expected
    assert there.read_bytes() == here.read_bytes()


@pytest.mark.ray
@pytest.mark.usefixtures("small_parts")
def test_an_interrupt_of_encoding_cancels_the_tasks(cluster: Any, tokenizer: Tokenizer, tmp_path: Path) -> None:
    marks, out = tmp_path / "marks", tmp_path / "out.npy"
    marks.mkdir()
    texts = Texts([from_documents(Watched(f"unit{at}", (WORDS,) * 3000, marks, nap)) for at in range(9)])
    heard: list[int] = []

    def interrupt() -> None:
        wait_for(lambda: len(heard) > 2)
        os.kill(os.getpid(), signal.SIGINT)

    killer = threading.Thread(target=interrupt)
    killer.start()
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(tokenizer, texts, out, engine="ray", address=cluster.address, progress=heard.append)
    killer.join()
    begun = attempts(marks, "begun")
    wait_for(lambda: attempts(marks, "stopped") == begun, 10)
    time.sleep(1)
    assert attempts(marks, "begun") == begun
    assert list(tmp_path.iterdir()) == [marks]


@pytest.mark.ray
def test_a_unit_that_cannot_be_encoded_ends_the_run(
    cluster: Any, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "RETRIES", 1)
    marks = tmp_path / "marks"
    marks.mkdir()
    texts = Texts.from_documents(Watched("deadly", ("text",), marks, die))
    with pytest.raises(TrainingError, match="<Watched> could not be encoded on the cluster"):
        encode_corpus(tokenizer, texts, tmp_path / "out.npy", engine="ray", address=cluster.address)
    assert len(attempts(marks, "begun")) == 2
    assert list(tmp_path.iterdir()) == [marks]


def test_encoding_on_a_cluster_is_checked_first(tokenizer: Tokenizer, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    with pytest.raises(CorpusError, match="can be read only once"):
        encode_corpus(tokenizer, read_texts("-"), out, engine="ray")
    with pytest.raises(TrainingError, match="threads is 0"):
        encode_corpus(tokenizer, Texts([]), out, engine="ray", threads=0)
    with pytest.raises(TrainingError, match="'spark' is not known"):
        encode_corpus(tokenizer, Texts([]), out, engine="spark")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
