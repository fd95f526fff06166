"""Documents out of JSON lines, Parquet and Arrow: what is in them, and what is wrong with them and where."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from corpora import DOCS, RECORDS, joined, parquet

from bytetok.errors import CorpusError, EncodingError, FormatError
from bytetok.training.corpus import read_texts

# --- JSON lines ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        (b'{"text": "x', FormatError, r"line 3 \(byte offset 16\): not JSON at byte offset 25: "),
        (b'{"\xc3\xa9": }', FormatError, r"line 3 \(byte offset 16\): not JSON at byte offset 23: "),
        (b"[1]", FormatError, r"line 3 .*expected an object with the column 'text', found list \[1\]"),
        (b'"x"', FormatError, "line 3 .*found str 'x'"),
        (b'{"body": "x", "id": 1}', CorpusError, "line 3 .*no column 'text'; there are 'body', 'id'; .* column="),
        (b"{}", CorpusError, "line 3 .*no columns at all"),
        (b'{"text": 7}', FormatError, "line 3 .*expected text, found int 7"),
        (b'{"text": ["x"]}', FormatError, "line 3 .*expected text, found list"),
        (b'{"text": "a\xff"}', EncodingError, r"line 3 .*byte 0xff at byte offset 27 of the file is not UTF-8"),
        (b'{"text": "a\\ud800"}', EncodingError, r"line 3 .*lone surrogate U\+D800 at character offset 1"),
        (b'{"n": ' + b"1" * 5000 + b"}", FormatError, "line 3 .*digits"),
        (b"[" * 100_000, FormatError, "line 3 "),
    ],
)
def test_bad_lines_name_file_line_and_byte(tmp_path: Path, line: bytes, error: type[Exception], message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "ok"}\n\n' + line + b'\n{"text": "after"}\n')
    with pytest.raises(error, match=rf"x\.jsonl: {message}"):
        list(read_texts(path))
    texts = read_texts([path, path], on_error="skip")
    assert list(texts) == ["ok", "ok"]
    assert [name for name, _ in texts.skipped_files] == [str(path)] * 2
    assert texts.bytes_read == texts.size


def test_json_lines_with_errors_replace(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "a\xff"}\n{"text": "\\ud800\\ud83d\\ude00"}\n')
    assert list(read_texts(path, errors="replace")) == ["a\ufffd", "\ufffd😀"]
    assert joined(read_texts(path, errors="replace")) == ["a\ufffd".encode(), "\ufffd😀".encode()]


def test_json_lines_with_errors_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "a\xff\\u00e9\\n"}\n{"text": "\xc3\xa9"}\n{"text": null, "b": "\xff"}\n')
    assert list(read_texts(path, errors="bytes")) == [b"a\xff\xc3\xa9\n", b"\xc3\xa9"]
    # The escape of what would stand for byte 0x80 must not turn into that byte.
    path.write_bytes(b'{"text": "\xff\\udc80"}\n')
    with pytest.raises(EncodingError, match=r"U\+DC80"):
        list(read_texts(path, errors="bytes"))


def test_json_lines_mark_crlf_and_missing_final_newline(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "\xef\xbb\xbfa"}\r\n  \r\n{"text": "b\\r\\n"}')
    assert list(read_texts(path)) == ["\ufeffa", "b\r\n"]


def test_nulls_are_skipped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": null}\n{"text": "x"}\n{"text": null}\n')
    (tmp_path / "b.parquet").write_bytes(parquet([None, "y", None]))
    pq.write_table(pa.table({"text": pa.nulls(2)}), tmp_path / "c.parquet")
    texts = read_texts(tmp_path)
    for _ in range(2):
        assert list(texts) == ["x", "y"]
        assert texts.skipped == 6
    assert [index for index, _, _ in texts.chunks()] == [0, 1]


# --- Parquet and Arrow ---------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_parquet_codecs(tmp_path: Path, codec: str) -> None:
    docs = [f"{doc}{number}" for number in range(700) for doc in DOCS]
    (tmp_path / "x.parquet").write_bytes(parquet(docs, compression=codec, row_group_size=900))
    texts = read_texts(tmp_path / "x.parquet")
    assert list(texts) == docs


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_kinds_of_text_columns(tmp_path: Path, kind: pa.DataType, suffix: str) -> None:
    table = pa.table({"text": pa.array([doc.encode() for doc in DOCS], pa.binary()).cast(pa.string()).cast(kind)})
    write = pq.write_table if suffix == ".parquet" else pyarrow.feather.write_feather
    write(table, tmp_path / f"x{suffix}")
    assert list(read_texts(tmp_path / f"x{suffix}")) == DOCS


def test_string_view_column(tmp_path: Path) -> None:
    pyarrow.feather.write_feather(pa.table({"text": pa.array(DOCS, pa.string_view())}), tmp_path / "x.arrow")
    assert list(read_texts(tmp_path / "x.arrow")) == DOCS


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_rows_are_named_across_batches(tmp_path: Path, suffix: str) -> None:
    rows = [b"x"] * 5000
    rows[4321] = b"ab\xff"
    write = pq.write_table if suffix == ".parquet" else pyarrow.feather.write_feather
    write(pa.table({"text": pa.array(rows, pa.binary())}), tmp_path / f"x{suffix}")
    with pytest.raises(EncodingError, match=r"x\.\w+: row 4321: byte 0xff at byte offset 2 of the text"):
        list(read_texts(tmp_path / f"x{suffix}"))
    assert list(read_texts(tmp_path / f"x{suffix}", errors="replace"))[4321] == "ab\ufffd"
    assert list(read_texts(tmp_path / f"x{suffix}", errors="bytes")) == rows


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (pa.table({"body": ["x"], "id": [1]}), CorpusError, "no column 'text'; there are 'body', 'id'"),
        (pa.table({"text": [1]}), FormatError, "the column 'text' holds int64, not text"),
        (pa.table({"text": [{"a": "x"}]}), FormatError, "the column 'text' holds struct"),
    ],
)
def test_unusable_columns(tmp_path: Path, suffix: str, table: pa.Table, error: type[Exception], message: str) -> None:
    write = pq.write_table if suffix == ".parquet" else pyarrow.feather.write_feather
    write(table, tmp_path / f"x{suffix}")
    with pytest.raises(error, match=message):
        list(read_texts(tmp_path / f"x{suffix}"))


def test_column_named_twice(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(FormatError, match="2 columns named 'text'"):
        list(read_texts(tmp_path / "x.parquet"))


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
def test_damaged_tables(tmp_path: Path, suffix: str) -> None:
    data = RECORDS[suffix](["some text"] * 1000)
    path = tmp_path / f"x{suffix}"
    for bad in (b"", data[: len(data) // 2], b"not a table at all, only text"):
        path.write_bytes(bad)
        with pytest.raises(FormatError, match=rf"x{suffix} cannot be read as \w+: "):
            list(read_texts(path))
    path.write_bytes(b"FEA1" + data)
    with pytest.raises(FormatError, match=suffix):
        list(read_texts(path))


def test_column_with_a_dot_and_other_columns_unread(tmp_path: Path) -> None:
    table = pa.table({"meta.text": ["flat"], "meta": [{"text": "nested"}]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert list(read_texts(tmp_path / "x.parquet", column="meta.text")) == ["flat"]
