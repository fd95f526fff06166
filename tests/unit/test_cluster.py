"""Counting on a cluster gives the file that counting on one machine gives, also while nodes die.

The cluster is a real one: a head and worker nodes as processes of this machine, at a loopback address.
"""

from __future__ import annotations

import gzip
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from local_ray import (  # noqa: F401
    WORDS,
    Watched,
    attempts,
    cluster_fixture,
    corpus_fixture,
    die,
    losing_a_node,
    nap,
    ray_fixture,
    wait_for,
)

from bytetok.errors import CorpusError, EncodingError, InvalidPatternError, MissingDependencyError, TrainingError
from bytetok.training import cluster as cluster_module
from bytetok.training.cluster import count_on_ray
from bytetok.training.corpus import Texts, read_texts
from bytetok.training.corpus_sources import Source, from_documents
from bytetok.training.counts import count_to_parquet

# --- without a cluster --------------------------------------------------------------------------


def test_ray_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bytetok-lm\[ray\]'"):
        count_on_ray(Texts([]), tmp_path / "out.parquet")


@pytest.mark.parametrize("source", ["-", iter(["text"])])
def test_what_can_be_read_once_is_refused(tmp_path: Path, source: Any) -> None:
    with pytest.raises(CorpusError, match="can be read only once"):
        count_on_ray(read_texts(source), tmp_path / "out.parquet")


def test_requests_are_checked_before_a_cluster_is_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(CorpusError, match=r"read_texts.*got list"):
        count_on_ray(["text"], out)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="workers is 0"):
        count_on_ray(Texts([]), out, workers=0)
    with pytest.raises(TrainingError, match="'much' is not a size"):
        count_on_ray(Texts([]), out, memory="much")
    with pytest.raises(InvalidPatternError, match="gpt"):
        count_on_ray(Texts([]), out, pattern="gpt3")


def plain(path: str, size: int | None) -> Source:
    return Source(path, "text", None, size)


def test_units_keep_the_order_and_are_neither_tiny_nor_huge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "_LEAST_UNIT", 10)
    monkeypatch.setattr(cluster_module, "_MOST_UNIT", 40)
    monkeypatch.setattr(cluster_module, "_MOST_SOURCES", 5)

    def sizes(workers: int, *given: int | None) -> list[list[int | None]]:
        sources = [plain(f"/{index}", size) for index, size in enumerate(given)]
        units = list(cluster_module.units_of(sources, workers))
        assert sorted(source.path for unit in units for source in unit) == sorted(source.path for source in sources)
        return [[source.size for source in unit] for unit in units]

    assert sizes(1, 5, 5, 1, 30, 2) == [[5, 5], [1, 30], [2]]  # a fourth of 43 is 10
    assert sizes(1, *[30] * 6) == [[30, 30], [30, 30], [30, 30]]  # a fourth would be 45
    assert sizes(100, 3, 3, 3, 3) == [[3, 3, 3, 3]]
    assert sizes(1, *[0] * 7) == [[0] * 5, [0] * 2]
    assert sizes(1, 5, None, 6, None) == [[None], [5, 6], [None]]
    assert sizes(1) == [[]]


def test_units_of_documents_that_follow_each_other() -> None:
    sources = [plain(f"/{index}", size) for index, size in enumerate([5, 6, None, None, 7, None])]
    units = list(cluster_module.units_of(sources, 1, in_order=True))
    assert [[source.size for source in unit] for unit in units] == [[5, 6], [None], [None], [7], [None]]
    assert [source for unit in units for source in unit] == sources
    assert list(cluster_module.units_of([], 1, in_order=True)) == [()]


def test_files_are_named_as_every_node_finds_them() -> None:
    documents = from_documents(["a"])
    units = cluster_module.units_of([plain("corpus/a.txt", 1), documents], 1)
    assert {source.path for unit in units for source in unit} == {str(Path.cwd() / "corpus" / "a.txt"), documents.path}


def test_a_cluster_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    begin = time.monotonic()
    with pytest.raises(TrainingError, match=r"no ray cluster can be used at '127\.0\.0\.1:1'.*ray start"):
        count_on_ray(Texts([]), tmp_path / "out.parquet", address="127.0.0.1:1")
    assert time.monotonic() - begin < 30


# --- with one -----------------------------------------------------------------------------------


@pytest.mark.ray
@pytest.mark.parametrize("pattern", ["o200k", "qwen3", r"\w+|\W"])
def test_a_cluster_writes_the_file_of_one_machine(
    cluster: Any, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.setattr(cluster_module, "_LEAST_UNIT", 1)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.chdir(corpus.parent)  # relative paths reach the workers, whose folder is another
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    sources = ["corpus", corpus.as_uri() + "/0.txt"]
    heard: list[int] = []
    texts = read_texts(sources)
    header = count_on_ray(texts, there, pattern=pattern, progress=heard.append, memory="64MB")
    assert header == count_to_parquet(read_texts(sources), here, pattern=pattern)
    assert there.read_bytes() == here.read_bytes()
    assert len(heard) > 3
    assert heard == sorted(heard)
    assert heard[-1] == texts.bytes_read == texts.size
    assert texts.skipped == 1


@pytest.mark.ray
def test_an_empty_corpus_is_counted_too(cluster: Any, tmp_path: Path) -> None:
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    count_on_ray(Texts([]), there, address=cluster.address)
    count_to_parquet(Texts([]), here)
    assert there.read_bytes() == here.read_bytes()


@pytest.mark.ray
def test_skipped_files_are_told(cluster: Any, corpus: Path, tmp_path: Path) -> None:
    (corpus / "0.txt").write_bytes(b"ok\xff")
    (corpus / "1.txt.gz").write_bytes(gzip.compress(WORDS.encode())[:-9])
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    missing = str(tmp_path / "missing.txt")
    local = read_texts([str(corpus), missing], on_error="skip")
    count_to_parquet(local, here)
    texts = read_texts([str(corpus), missing], on_error="skip")
    count_on_ray(texts, there, address=cluster.address)
    assert texts.skipped_files == local.skipped_files
    assert [Path(path).name for path, _ in texts.skipped_files] == ["missing.txt", "0.txt", "1.txt.gz"]
    assert there.read_bytes() == here.read_bytes()


@pytest.mark.ray
def test_errors_come_as_they_were_raised(cluster: Any, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    (corpus / "5.txt").write_bytes(b"three\xff")
    with pytest.raises(EncodingError, match=r"5\.txt.*byte 5\b") as raised:
        count_on_ray(read_texts(corpus / "5.txt"), out, address=cluster.address)
    assert type(raised.value) is EncodingError
    with pytest.raises(CorpusError, match="body") as raised_too:
        count_on_ray(read_texts(corpus / "rows.jsonl", column="body"), out, address=cluster.address)
    assert type(raised_too.value) is CorpusError
    assert list(tmp_path.iterdir()) == [corpus]


@pytest.mark.ray
def test_documents_that_cannot_travel_are_named(cluster: Any, tmp_path: Path) -> None:
    texts = Texts.from_documents([threading.Lock()])
    with pytest.raises(CorpusError, match="<list> cannot be sent to a cluster"):
        count_on_ray(texts, tmp_path / "out.parquet", address=cluster.address)


@pytest.mark.ray
def test_an_open_connection_is_used_and_stays(ray: ModuleType, cluster: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    texts = Texts.from_documents([WORDS])
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        assert count_on_ray(texts, out).documents == 1
        with pytest.raises(TrainingError, match=r"connected to 127\.0\.0\.2:\d+ already"):
            count_on_ray(texts, out, address="10.0.0.1:6379")
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    count_on_ray(texts, out, address=cluster.address)
    assert not ray.is_initialized()


@pytest.mark.ray
def test_a_lost_node_does_not_change_the_result(ray: ModuleType, cluster: Any, corpus: Path, tmp_path: Path) -> None:
    marks, here, there = tmp_path / "marks", tmp_path / "here.parquet", tmp_path / "there.parquet"
    marks.mkdir()
    contents = [tuple(f"{WORDS}{unit * step}" for step in range(25)) for unit in range(6)]
    watched = [from_documents(Watched(f"unit{at}", content, marks, nap)) for at, content in enumerate(contents)]
    files = read_texts(corpus).sources
    expected = count_to_parquet(Texts([*map(from_documents, contents), *files]), here)

    with losing_a_node(cluster, marks) as seen:
        header = count_on_ray(Texts([*watched, *files]), there, address=cluster.address)
    begun, ended = attempts(marks, "begun"), attempts(marks, "ended")
    units = {attempt.partition(".")[0] for attempt in begun}
    # The node died in the middle of the run and of a unit, and that unit was begun again.
    assert 0 < len(seen["ended"]) < len(units) == 6
    assert seen["killed"]
    assert not seen["killed"] & ended
    for killed in seen["killed"]:
        unit = killed.partition(".")[0] + "."
        assert len([attempt for attempt in begun if attempt.startswith(unit)]) > 1
        assert [attempt for attempt in ended if attempt.startswith(unit)]
    assert header == expected
    assert there.read_bytes() == here.read_bytes()


@pytest.mark.ray
def test_a_unit_that_always_takes_its_worker_down_ends_the_run(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "RETRIES", 1)
    marks = tmp_path / "marks"
    marks.mkdir()
    texts = Texts.from_documents(Watched("deadly", ("text",), marks, die))
    with pytest.raises(TrainingError, match="<Watched> could not be counted on the cluster"):
        count_on_ray(texts, tmp_path / "out.parquet", address=cluster.address)
    assert len(attempts(marks, "begun")) == 2
    assert list(tmp_path.iterdir()) == [marks]


@pytest.mark.ray
def test_an_interrupt_cancels_the_tasks_and_leaves_nothing(cluster: Any, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    documents = (WORDS,) * 3000
    texts = Texts([from_documents(Watched(f"unit{at}", documents, marks, nap)) for at in range(9)])

    def interrupt() -> None:
        wait_for(lambda: bool(attempts(marks, "begun")))
        os.kill(os.getpid(), signal.SIGINT)

    killer = threading.Thread(target=interrupt)
    killer.start()
    with pytest.raises(KeyboardInterrupt):
        count_on_ray(texts, tmp_path / "out.parquet", address=cluster.address)
    killer.join()
    begun = attempts(marks, "begun")
    wait_for(lambda: attempts(marks, "stopped") == begun, 10)
    time.sleep(1)
    assert attempts(marks, "begun") == begun
    assert not attempts(marks, "ended")
    assert list(tmp_path.iterdir()) == [marks]
