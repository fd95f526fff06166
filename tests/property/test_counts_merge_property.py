"""Merging count files is adding dictionaries, whatever the sizes of rounds, passes and row groups."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytetok.errors import CorpusError, FormatError, TrainingError, VocabMismatchError
from bytetok.training import counts_file, counts_merge
from bytetok.training.counts import PretokenCounts, count_to_parquet, merge_to_parquet

# Few letters, so that files share pretokens and one is the beginning of another; 0x00 and 0xff sort at the ends, and
# lengths go past the 15 bytes up to which the compiled table packs a pretoken.
PRETOKENS = st.lists(st.sampled_from([b"\x00", b"a", b"\xff", b"b" * 9]), min_size=1, max_size=6).map(b"".join)
TABLES = st.lists(st.dictionaries(PRETOKENS, st.integers(1, 2**40), max_size=40), min_size=1, max_size=7)


def save(folder: Path, tables: list[dict[bytes, int]]) -> list[Path]:
    paths = [folder / f"{index}.parquet" for index in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        PretokenCounts.from_dict(table, "o200k").save(path)
    return paths


@given(tables=TABLES, read=st.sampled_from([1, 100, 1 << 18]), fan_in=st.sampled_from([2, 3, 32]))
def test_merged_files_are_added_dictionaries(tables: list[dict[bytes, int]], read: int, fan_in: int) -> None:
    oracle: Counter[bytes] = Counter()
    for table in tables:
        oracle.update(table)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts_merge, "_READ_BYTES", read)
        patch.setattr(counts_merge, "_FAN_IN", fan_in)
        merged, whole = Path(folder, "merged.parquet"), Path(folder, "whole.parquet")
        header = merge_to_parquet(save(Path(folder), tables), merged)
        assert list(PretokenCounts.load(merged).items()) == sorted(oracle.items())
        assert header.bytes == sum(len(pretoken) * count for pretoken, count in oracle.items())
        PretokenCounts.from_dict(oracle, "o200k").save(whole)
        assert merged.read_bytes() == whole.read_bytes()


@given(
    sizes=st.lists(st.integers(1, 9), max_size=60),
    cuts=st.lists(st.integers(1, 7), min_size=1),
    rows=st.integers(1, 8),
    most=st.integers(1, 30),
)
def test_batches_end_where_the_table_ends_them(sizes: list[int], cuts: list[int], rows: int, most: int) -> None:
    pretokens = [bytes([index]) * size for index, size in enumerate(sizes)]
    expected: list[list[bytes]] = []
    for pretoken in pretokens:  # the rule of the compiled table, one pretoken at a time
        if not expected or len(expected[-1]) >= rows or len(b"".join(expected[-1])) >= most:
            expected.append([])
        expected[-1].append(pretoken)
    pieces, left = [], list(pretokens)
    for cut in cuts:
        pieces.append(left[:cut])
        left = left[cut:]
    pieces.append(left)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts_file, "ROW_GROUP", rows)
        patch.setattr(counts_merge, "_BATCH_BYTES", most)
        found = [unpacked(batch) for batch in counts_merge.regrouped(packed(piece) for piece in pieces)]
    assert found == expected


def packed(pretokens: list[bytes]) -> counts_file.Batch:
    ends = [len(b"".join(pretokens[: index + 1])) for index in range(len(pretokens))]
    numbers = [end.to_bytes(8, "little") for end in ends]
    return b"".join(pretokens), b"".join(numbers), b"".join(pretoken[:1] + bytes(7) for pretoken in pretokens)


def unpacked(batch: counts_file.Batch) -> list[bytes]:
    data, ends, counts = batch
    stops = [int.from_bytes(ends[at : at + 8], "little") for at in range(0, len(ends), 8)]
    pretokens = [data[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
    assert [pretoken[:1] for pretoken in pretokens] == [counts[at : at + 1] for at in range(0, len(counts), 8)]
    return pretokens


def test_a_merge_of_many_row_groups_has_the_bytes_of_one_count(tmp_path: Path) -> None:
    texts = [" ".join(f"w{number:07}" for number in range(start, 600_000, 3)) for start in range(3)]
    whole = count_to_parquet(texts, tmp_path / "whole.parquet", pattern="qwen3")
    parts = [tmp_path / f"{index}.parquet" for index in range(3)]
    for text, part in zip(texts, parts, strict=True):
        count_to_parquet([text], part, pattern="qwen3")
    assert merge_to_parquet(parts, tmp_path / "merged.parquet") == whole
    assert whole.pattern.name == "qwen3"
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize("rows", [[b"b", b"a"], [b"a", b"a"], [b"a", b"c", b"d", b"b"], [b"\xff", b"\x01"]])
@pytest.mark.parametrize("read", [1, 1 << 18])
def test_an_unsorted_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[bytes], read: int
) -> None:
    monkeypatch.setattr(counts_merge, "_READ_BYTES", read)
    bad, out = tmp_path / "bad.parquet", tmp_path / "out.parquet"
    header = counts_file.Header(PretokenCounts.from_dict({b"a": 1}, "gpt2").pattern, 1, 1)
    counts_file.write(bad, header, [packed(rows)])
    with pytest.raises(FormatError, match=r"bad\.parquet: the pretoken .* follows .*sorted"):
        merge_to_parquet([bad], out)
    assert not out.exists()


def test_what_cannot_be_merged_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(CorpusError, match="no count files given"):
        merge_to_parquet([], out)
    ours, other = tmp_path / "ours.parquet", tmp_path / "other.parquet"
    PretokenCounts.from_dict({b"the": 2**63}, "o200k").save(ours)
    PretokenCounts.from_dict({b"the": 1}, "gpt2").save(other)
    with pytest.raises(VocabMismatchError, match=r"ours\.parquet and .*other\.parquet"):
        merge_to_parquet([ours, other], out)
    with pytest.raises(TrainingError, match="the"):
        merge_to_parquet([ours, ours], out)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(ours.read_bytes()[:-9])
    with pytest.raises(FormatError, match=r"damaged\.parquet"):
        merge_to_parquet([ours, damaged], out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.parquet", "other.parquet", "ours.parquet"]
