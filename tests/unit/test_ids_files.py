"""Files of token ids, of every kind: what is in them, and that they read back."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from bytetok.errors import CorpusError, FormatError, UnknownTokenError
from bytetok.training import ids_write
from bytetok.training.ids_read import decode_files, read_ids
from bytetok.training.ids_write import ids_writer, index_path

LISTS = [".parquet", ".arrow", ".feather", ".arrows"]
ARRAYS = [".npy", ".bin"]
SUFFIXES = [*LISTS, *ARRAYS, ".txt"]
DOCS = [[1, 2, 3], [], [65535], list(range(300)), [], [], [7] * 50, [0]]


def write(path: Path | io.StringIO, docs: Sequence[Sequence[int]], *, batch: int = 3, **options: Any) -> None:
    with ids_writer(path, **options) as add:
        for start in range(0, len(docs), batch):
            some = docs[start : start + batch]
            flat = np.array([token for doc in some for token in doc], dtype=np.uint32)
            add(flat, np.array([len(doc) for doc in some], dtype=np.int64))


# ------------------------------------------------------------------------------------------------------------ writing


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("docs", [DOCS, [], [[]], [[], []], [[5]]])
def test_documents_come_back(tmp_path: Path, suffix: str, docs: list[list[int]]) -> None:
    path = tmp_path / f"ids{suffix}"
    write(path, docs)
    assert list(read_ids(path)) == docs
    expected = {path, index_path(path)} if suffix in ARRAYS else {path}
    assert set(tmp_path.iterdir()) == expected


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_does_not_depend_on_how_documents_are_batched(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids_write, "_GROUP_ROWS", 4)
    monkeypatch.setattr(ids_write, "_GROUP_IDS", 60)
    monkeypatch.setattr(ids_write, "_COPIED", 3)
    docs = DOCS * 5
    files = set()
    for batch in (1, 2, 5, 7, len(docs)):
        path = tmp_path / str(batch) / f"ids{suffix}"
        write(path, docs, batch=batch)
        files.add((path.read_bytes(), index_path(path).read_bytes() if suffix in ARRAYS else b""))
        assert list(read_ids(path)) == docs
    assert len(files) == 1


def test_groups_end_before_they_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids_write, "_GROUP_ROWS", 4)
    monkeypatch.setattr(ids_write, "_GROUP_IDS", 60)
    write(tmp_path / "ids.parquet", DOCS)
    file = pq.ParquetFile(tmp_path / "ids.parquet")
    groups = [file.read_row_group(at).column("ids").to_pylist() for at in range(file.num_row_groups)]
    assert groups == [DOCS[:3], [DOCS[3]], DOCS[4:]]  # 3 + 0 + 1 ids; 300, alone although too many; 4 documents


@pytest.mark.parametrize(("dtype", "expected"), [(None, pa.uint32()), ("uint32", pa.uint32()), ("uint16", pa.uint16())])
def test_lists_have_one_column_of_the_type_asked_for(tmp_path: Path, dtype: Any, expected: pa.DataType) -> None:
    for suffix in LISTS:
        write(tmp_path / f"ids{suffix}", DOCS, dtype=dtype)
    tables = [
        pq.read_table(tmp_path / "ids.parquet"),
        pa.ipc.open_file(tmp_path / "ids.arrow").read_all(),
        pyarrow.feather.read_table(tmp_path / "ids.feather"),
        pa.ipc.open_stream(tmp_path / "ids.arrows").read_all(),
    ]
    for table in tables:
        assert table.schema == pa.schema([("ids", pa.list_(expected))])
        assert table.column("ids").to_pylist() == DOCS


@pytest.mark.parametrize(("dtype", "expected"), [(None, np.uint32), ("uint16", np.uint16)])
def test_numpy_files_are_plain_arrays(tmp_path: Path, dtype: Any, expected: type) -> None:
    write(tmp_path / "some.corpus.npy", DOCS, dtype=dtype)
    ids, ends = np.load(tmp_path / "some.corpus.npy", mmap_mode="r"), np.load(tmp_path / "some.corpus.idx.npy")
    assert (ids.dtype, ends.dtype) == (expected, np.uint64)
    assert ends.tolist() == np.cumsum([0, *map(len, DOCS)]).tolist()
    assert ids[ends[3] : ends[4]].tolist() == DOCS[3]


@pytest.mark.parametrize(
    ("options", "expected", "code"),
    [
        ({"vocab_size": 65536}, "<u2", 8),
        ({"vocab_size": 65537}, "<i4", 4),
        ({"vocab_size": 300, "dtype": "uint32"}, "<i4", 4),
        ({}, "<i4", 4),
    ],
)
def test_bin_files_are_what_nanogpt_and_megatron_read(
    tmp_path: Path, options: dict[str, Any], expected: str, code: int
) -> None:
    path = tmp_path / "train.bin"
    write(path, DOCS, **options)
    assert np.fromfile(path, expected).tolist() == [token for doc in DOCS for token in doc]
    # The layout that megatron.core.datasets.indexed_dataset reads, field by field.
    index = (tmp_path / "train.idx").read_bytes()
    count, item = len(DOCS), np.dtype(expected).itemsize
    assert index[:9] == b"MMIDIDX\x00\x00"
    assert struct.unpack("<QBQQ", index[9:34]) == (1, code, count, count + 1)
    sizes = np.frombuffer(index, "<i4", count, 34)
    places = np.frombuffer(index, "<i8", count, 34 + 4 * count)
    documents = np.frombuffer(index, "<i8", count + 1, 34 + 12 * count)
    assert sizes.tolist() == list(map(len, DOCS))
    assert places.tolist() == (np.cumsum([0, *sizes[:-1]]) * item).tolist()
    assert documents.tolist() == list(range(count + 1))
    assert len(index) == 34 + 20 * count + 8


def test_an_open_stream_gets_lines() -> None:
    out = io.StringIO()
    write(out, DOCS[:3])
    assert out.getvalue() == "1 2 3\n\n65535\n"


def test_names_that_promise_another_kind_are_refused(tmp_path: Path) -> None:
    for name in ("ids.npz", "ids.jsonl", "ids.txt.zst", "ids.PT", "ids.idx"):
        with pytest.raises(FormatError, match=r"ids are not written as \.\w+; use \.parquet"):
            ids_writer(tmp_path / name)


def test_ids_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="vocabulary of 65,537 do not fit into uint16"):
        ids_writer(tmp_path / "ids.npy", dtype="uint16", vocab_size=65537)
    for suffix in (".npy", ".bin", ".parquet", ".arrow"):
        with pytest.raises(FormatError, match="id 65536 does not fit"):
            write(tmp_path / f"ids{suffix}", [[65536]], dtype="uint16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [*LISTS, ".bin"])
def test_documents_longer_than_a_list_are_refused(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids_write, "_MOST_IN_A_LIST", 299)
    with pytest.raises(FormatError, match=r"a document of 300 ids does not fit.*write \.npy"):
        write(tmp_path / f"ids{suffix}", DOCS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ids{suffix}"
    write(path, DOCS)
    before = {one: one.read_bytes() for one in tmp_path.iterdir()}
    with pytest.raises(OverflowError):
        write(path, [[1], [2], [3], [-1]])
    assert {one: one.read_bytes() for one in tmp_path.iterdir()} == before


# ------------------------------------------------------------------------------------------------------------ reading


def test_text_may_be_json_lists_or_have_commas() -> None:
    lines = "1 2\n[3, 4]\n\n 5,6 \n[]\n"
    assert list(read_ids(io.StringIO(lines))) == [[1, 2], [3, 4], [], [5, 6], []]
    assert [json.loads(line) for line in ("[3, 4]", "[]")] == [[3, 4], []]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int32()), pa.list_(pa.uint16(), 2)])
def test_lists_of_others_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"input_ids": pa.array([[1, 2], [3, 4], [5, 6]], kind), "text": ["a", "b", "c"]})
    pq.write_table(table, tmp_path / "a.parquet")
    pyarrow.feather.write_feather(table, tmp_path / "a.feather")
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as file:  # as Hugging Face datasets names its streams
        file.write_table(table, max_chunksize=2)
    for path in tmp_path.iterdir():
        assert list(read_ids(path)) == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_files(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(CorpusError, match="no such file; expected"):
        list(read_ids(tmp_path / f"ids{suffix}"))


@pytest.mark.parametrize(
    ("text", "place"), [("1 2\n3 x\n", "line 2 holds 'x'"), ("1.5", "'1.5'"), ("a", "'a'"), ("9" * 5000, "99")]
)
def test_words_that_are_no_ids(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(FormatError, match=place):
        list(read_ids(path))


@pytest.mark.parametrize("suffix", [*LISTS, ".npy"])
def test_files_of_another_kind(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ids{suffix}"
    path.write_bytes(b"what is this")
    with pytest.raises(FormatError, match="not a whole"):
        list(read_ids(path))


@pytest.mark.parametrize("suffix", [*LISTS, *ARRAYS])
def test_files_that_are_cut_off(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ids{suffix}"
    write(path, DOCS)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(FormatError, match=f"ids{suffix}: not "):
        list(read_ids(path))


def test_tables_without_ids(tmp_path: Path) -> None:
    columns: list[tuple[dict[str, Any], str]] = [
        ({"text": ["a"]}, "no column 'ids'"),
        ({"ids": ["a"]}, "the column 'ids' holds string"),
        ({"ids": [[1.5]]}, "the column 'ids' holds list"),
        ({"ids": [[1], None]}, "holds nulls"),
        ({"ids": [[1, None]]}, "holds nulls"),
    ]
    for values, complaint in columns:
        pq.write_table(pa.table(values), tmp_path / "a.parquet")
        pyarrow.feather.write_feather(pa.table(values), tmp_path / "a.arrow")
        for name in ("a.parquet", "a.arrow"):
            with pytest.raises(FormatError, match=complaint):
                list(read_ids(tmp_path / name))


def test_an_array_needs_its_own_index(tmp_path: Path) -> None:
    path = tmp_path / "ids.npy"
    write(path, DOCS)
    np.save(index_path(path), np.array([0, 1], dtype=np.uint64))
    with pytest.raises(FormatError, match="of another file"):
        list(read_ids(path))
    index_path(path).unlink()
    with pytest.raises(FormatError, match=r"ids\.idx\.npy: no such file"):
        list(read_ids(path))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda index: index[:20], "not an index of Megatron"),
        (lambda index: b"x" + index, "not an index of Megatron"),
        (lambda index: index[:60], "ends before the sizes"),
        (lambda index: index[:17] + b"\7" + index[18:], "version 1 with ids of type 7"),
        (lambda index: index[:9] + b"\2" + index[10:], "version 2"),
        (lambda index: index[:34] + b"\1" + index[35:], "of another file"),
    ],
)
def test_a_bin_file_needs_its_own_index(
    tmp_path: Path, damage: Callable[[bytes], bytes], complaint: str
) -> None:
    path = tmp_path / "ids.bin"
    write(path, DOCS)
    index_path(path).write_bytes(damage(index_path(path).read_bytes()))
    with pytest.raises(FormatError, match=complaint):
        list(read_ids(path))
    index_path(path).unlink()
    with pytest.raises(FormatError, match=r"ids\.idx: no such file"):
        list(read_ids(path))


class Bytes:
    """Ids are bytes."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        for position, token_id in enumerate(ids):
            if token_id > 255:
                raise UnknownTokenError(f"id {token_id} at position {position}")
        return bytes(ids)


def test_ids_of_another_tokenizer_name_the_document(tmp_path: Path) -> None:
    write(tmp_path / "a.npy", [[65], [66, 67]])
    assert list(decode_files(Bytes(), [tmp_path / "a.npy", io.StringIO("68\n")])) == [b"A", b"BC", b"D"]
    with pytest.raises(UnknownTokenError, match=r"^document 3: id 256 at position 1"):
        list(decode_files(Bytes(), [tmp_path / "a.npy", io.StringIO("1\n2 256\n")]))
