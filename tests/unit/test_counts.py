"""Pretoken counts as values and as files: errors by file, and nothing lost on the way to parquet.

What is counted is in tests/property/test_split_property.py and test_train_property.py.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import documents, pretokens

import bytetok as bt
from bytetok.errors import (
    BytetokError,
    CorpusError,
    EncodingError,
    FormatError,
    InvalidPatternError,
    TrainingError,
    VocabMismatchError,
)
from bytetok.tokenizer.patterns import UNICODE_VERSION
from bytetok.training import counts_file
from bytetok.training.counts import PretokenCounts, merge_to_parquet, parse_size

HEADER = {
    "version": 1, "pattern": "none", "stages": ["[\\s\\S]+"], "unicode": UNICODE_VERSION, "documents": 1, "bytes": 2,
}  # fmt: skip


def of(counts: dict[bytes, int], pattern: str = "none") -> PretokenCounts:
    return PretokenCounts.from_dict(counts, pattern)


def write(path: Path, table: pa.Table, header: object = HEADER) -> Path:
    described = header if isinstance(header, bytes) else json.dumps(header).encode()
    pq.write_table(table.replace_schema_metadata({b"bytetok.counts": described}), path)
    return path


def table(pretokens: list[object], counts: list[object], kind: pa.DataType | None = None) -> pa.Table:
    columns = {"pretoken": pa.array(pretokens, kind or pa.large_binary()), "count": pa.array(counts, pa.uint64())}
    return pa.table(columns)


# values ---------------------------------------------------------------------------------------------------------------


def test_counts_are_sorted_by_bytes_and_know_their_totals() -> None:
    counts = of({b"b": 2, b"a": 1, b"\xff": 3, b"ab": 4})
    assert list(counts.items()) == [(b"a", 1), (b"ab", 4), (b"b", 2), (b"\xff", 3)]
    assert (len(counts), counts.total, counts.bytes, counts.documents) == (4, 10, 14, 0)
    assert repr(counts) == "PretokenCounts(4 distinct, 10 in all, pattern none)"


def test_counting_says_how_much_text_there_was() -> None:
    counts = bt.count_pretokens(["a b", "ä", ""], pattern="whitespace")
    assert (dict(counts.items()), counts.documents, counts.bytes) == ({b"a": 1, b" b": 1, "ä".encode(): 1}, 3, 5)


def test_adding_changes_neither() -> None:
    left, right = of({b"a": 1}), of({b"a": 2, b"b": 3})
    both = left + right
    assert dict(both.items()) == {b"a": 3, b"b": 3}
    assert (dict(left.items()), dict(right.items())) == ({b"a": 1}, {b"a": 2, b"b": 3})
    assert both == right + left
    assert both != left
    assert left != of({b"a": 1}, "gpt2")
    assert left != {b"a": 1}
    with pytest.raises(TypeError):
        left + {b"a": 1}  # type: ignore[operator]


def test_counts_that_were_summed_elsewhere_may_be_of_numpy() -> None:
    counts = {b"a": np.uint64(1 << 63), b"b": np.int32(5)}
    assert dict(of(counts).items()) == {b"a": 1 << 63, b"b": 5}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad", [{b"": 1}, {b"a": 0}, {b"a": -1}, {b"a": 1 << 64}, {b"a": 1.5}, {b"a": "1"}, {b"a": None}, {"a": 1}, {5: 1}]
)
def test_bad_counts_are_errors(bad: dict[bytes, int]) -> None:
    with pytest.raises(TrainingError, match="pretokens are bytes, not empty, and counts are 1 to"):
        of(bad)


# files ----------------------------------------------------------------------------------------------------------------


@given(st.dictionaries(pretokens(), st.integers(1, (1 << 64) - 1), max_size=20))
def test_files_hold_what_was_counted(tmp_path_factory: pytest.TempPathFactory, counts: dict[bytes, int]) -> None:
    path = tmp_path_factory.mktemp("counts") / "x.parquet"
    of(counts).save(path)
    loaded = PretokenCounts.load(path)
    assert dict(loaded.items()) == counts
    assert loaded.pattern == bt.SplitPattern.of("none")
    read = pq.read_table(path)
    assert read.column("pretoken").to_pylist() == sorted(counts)
    assert read.column("count").to_pylist() == [counts[pretoken] for pretoken in sorted(counts)]


@given(documents(), st.integers(1, 3))
def test_shards_add_up_to_the_same_file(tmp_path_factory: pytest.TempPathFactory, docs: list[str], shards: int) -> None:
    folder = tmp_path_factory.mktemp("shards")
    parts = [folder / f"{shard}.parquet" for shard in range(shards)]
    for shard, path in enumerate(parts):
        bt.count_to_parquet(docs[shard::shards], path, pattern="gpt2")
    bt.count_to_parquet(docs, folder / "whole.parquet", pattern="gpt2")
    header = merge_to_parquet(parts, folder / "merged.parquet")
    assert (folder / "merged.parquet").read_bytes() == (folder / "whole.parquet").read_bytes()
    assert header.documents == len(docs)
    assert PretokenCounts.load(parts) == bt.count_pretokens(docs, pattern="gpt2")


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    counts = bt.count_pretokens(["the court of the court"])
    counts.save(tmp_path / "a.parquet")
    counts.save(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert counts_file.is_counts(tmp_path / "a.parquet")
    assert counts_file.read_header(tmp_path / "a.parquet").bytes == 22


def test_a_failed_count_leaves_no_file(tmp_path: Path) -> None:
    def docs() -> Iterator[str]:
        yield "a"
        yield "\ud800"

    with pytest.raises(EncodingError, match="document 1"):
        bt.count_to_parquet(docs(), tmp_path / "x.parquet")
    assert not list(tmp_path.iterdir())


def test_text_in_parquet_is_not_counts(tmp_path: Path) -> None:
    path = tmp_path / "texts.parquet"
    pq.write_table(pa.table({"text": ["a"]}), path)
    assert not counts_file.is_counts(path)
    assert not counts_file.is_counts(tmp_path / "missing.parquet")
    assert not counts_file.is_counts(tmp_path)
    with pytest.raises(FormatError, match=r"texts\.parquet: a parquet file, but not one written by `bytetok count`"):
        PretokenCounts.load(path)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"x\.parquet: cannot be read"):
        PretokenCounts.load(tmp_path / "x.parquet")
    with pytest.raises(CorpusError, match="no count files given"):
        PretokenCounts.load([])
    whole = io.BytesIO()
    of({b"a": 1}).save(tmp_path / "ok.parquet")
    whole.write((tmp_path / "ok.parquet").read_bytes())
    for data in (b"", b"PAR1", whole.getvalue()[:-5], whole.getvalue()[: len(whole.getvalue()) // 2]):
        (tmp_path / "x.parquet").write_bytes(data)
        with pytest.raises(FormatError, match=r"x\.parquet: not a whole parquet file"):
            PretokenCounts.load(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("header", "error", "message"),
    [
        (b"{", FormatError, "header of the counts is damaged"),
        (b"[]", FormatError, "header of the counts is damaged"),
        (b"\xff", FormatError, "header of the counts is damaged"),
        ({}, FormatError, "header of the counts is damaged: 'unicode'"),
        ({**HEADER, "stages": None}, FormatError, "header of the counts is damaged"),
        ({**HEADER, "stages": "abc"}, FormatError, "header of the counts is damaged"),
        ({**HEADER, "stages": [5]}, FormatError, "header of the counts is damaged"),
        ({**HEADER, "stages": []}, InvalidPatternError, "at least one regex"),
        ({**HEADER, "documents": "many"}, FormatError, "header of the counts is damaged"),
        ({**HEADER, "unicode": "12.0"}, VocabMismatchError, r"Unicode 12\.0, this is .*; count it again"),
    ],
)
def test_damaged_headers_are_named(
    header: object, error: type[BytetokError], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.parquet", table([b"a"], [1]), header)
    with pytest.raises(error, match=message):
        PretokenCounts.load(path)


@pytest.mark.parametrize(
    "content",
    [
        pa.table({"pretoken": pa.array([b"a"], pa.large_binary())}),
        pa.table({"count": pa.array([1], pa.uint64())}),
        pa.table({"pretoken": pa.array([5]), "count": pa.array([1], pa.uint64())}),
        pa.table({"pretoken": pa.array([b"a"]), "count": pa.array(["many"])}),
        pa.table({"pretoken": pa.array([b"a"]), "count": pa.array([-1])}),
        pa.table({"pretoken": pa.array([b"a"]), "count": pa.array([1.5])}),
        table([None], [1]),
        table([b"a"], [None]),
        table([b"a"], [0]),
        table([b""], [1]),
    ],
    ids=["no counts", "no pretokens", "int", "text", "negative", "fraction", "null", "null count", "zero", "empty"],
)
def test_damaged_columns_are_named(content: pa.Table, tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", content)
    with pytest.raises(FormatError, match=r"x\.parquet: "):
        PretokenCounts.load(path)


def test_other_binary_types_and_orders_are_read(tmp_path: Path) -> None:
    """Written by another tool: small binary, strings, chunks, sliced, unsorted, a pretoken twice."""
    content = table([b"b", b"a", b"b"], [1, 2, 3], pa.binary())
    assert dict(PretokenCounts.load(write(tmp_path / "a.parquet", content)).items()) == {b"a": 2, b"b": 4}
    content = pa.table({"pretoken": ["é", "b"], "count": pa.array([1, 2], pa.uint64())})
    assert dict(PretokenCounts.load(write(tmp_path / "b.parquet", content)).items()) == {"é".encode(): 1, b"b": 2}
    content = pa.concat_tables([table([b"x", b"a"], [9, 1]).slice(1), table([b"c"], [3])])
    assert dict(PretokenCounts.load(write(tmp_path / "c.parquet", content)).items()) == {b"a": 1, b"c": 3}


def test_shards_of_two_patterns_are_named(tmp_path: Path) -> None:
    for name in ("gpt2", "o200k"):
        bt.count_to_parquet(["a"], tmp_path / f"{name}.parquet", pattern=name)
    with pytest.raises(VocabMismatchError, match=r"gpt2\.parquet and .*o200k\.parquet .* gpt2 and o200k"):
        PretokenCounts.load([tmp_path / "gpt2.parquet", tmp_path / "o200k.parquet"])


def test_names_of_one_pattern_are_one_pattern(tmp_path: Path) -> None:
    for name in ("qwen2", "qwen3"):
        bt.count_to_parquet(["a"], tmp_path / f"{name}.parquet", pattern=name)
    assert PretokenCounts.load([tmp_path / "qwen2.parquet", tmp_path / "qwen3.parquet"]).total == 2


# settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [(1, 1), ("512MB", 512_000_000), ("2 GiB", 2 << 30), ("1.5k", 1500), ("7", 7), (" 3 kib ", 3072), ("1TB", 10**12)],
)
def test_sizes_are_read(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("bad", [0, -1, "", "MB", "0", "0MB", "-5MB", "5 parsecs", "1e9", "1,5GB", None])
def test_bad_sizes_are_errors(bad: int | str) -> None:
    with pytest.raises(TrainingError, match="is not a size"):
        parse_size(bad)


def test_small_memory_spills_and_gives_the_same_counts(tmp_path: Path) -> None:
    docs = [f"word{number} and word{number * 7} of {number}" for number in range(3000)]
    assert bt.count_pretokens(docs, memory="1MB") == bt.count_pretokens(docs)
    with pytest.raises(TrainingError, match="is not a size"):
        bt.count_pretokens(docs, memory="lots")


def test_progress_hears_the_bytes_so_far() -> None:
    heard: list[int] = []
    counts = bt.count_pretokens(["the court " * 1000] * 1000, progress=heard.append)
    assert heard == sorted(set(heard))
    assert len(heard) > 1
    assert heard[-1] <= counts.bytes == 10_000_000


def test_an_interrupt_leaves_no_file(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bt.count_to_parquet(["the court " * 1000] * 1000, tmp_path / "x.parquet", progress=stop)
    assert not list(tmp_path.iterdir())
