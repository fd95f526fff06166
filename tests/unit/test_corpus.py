"""Reading corpora: documents come back whole, in constant memory, from files, iterables and streams."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import zstandard
from corpora import COMPRESS, DOCS, RECORDS, arrow_stream, joined, jsonl, parquet
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bytetok.errors import CorpusError, EncodingError, FormatError
from bytetok.training import corpus_streams
from bytetok.training.corpus import Texts, read_texts

# --- what is written is read ---------------------------------------------------------------------


@pytest.mark.parametrize("packed", COMPRESS)
@pytest.mark.parametrize("suffix", RECORDS)
def test_records_read_back(tmp_path: Path, suffix: str, packed: str) -> None:
    path = tmp_path / f"x{suffix}{packed}"
    path.write_bytes(COMPRESS[packed](RECORDS[suffix](DOCS)))
    texts = read_texts(path)
    assert list(texts) == DOCS
    assert texts.bytes_read == texts.size == path.stat().st_size
    assert list(texts) == DOCS
    assert joined(texts) == [doc.encode() for doc in DOCS]
    assert list(read_texts(path, errors="bytes")) == [doc.encode() for doc in DOCS]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6))
@example([])
@example(["", "\ufeff", "\r\n", "\x85\u2028"])
def test_any_documents_read_back(docs: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        for packed, compress in COMPRESS.items():
            for suffix, write in RECORDS.items():
                path = Path(name, f"x{suffix}{packed}")
                path.write_bytes(compress(write(docs)))
                assert list(read_texts(path)) == docs
                assert joined(read_texts(path)) == [doc.encode() for doc in docs]
            folder = Path(name, f"txt{packed}")
            folder.mkdir()
            for number, doc in enumerate(docs):
                (folder / f"{number:03}.txt{packed}").write_bytes(compress(doc.encode()))
            assert list(read_texts(folder)) == docs
            assert joined(read_texts(folder)) == [doc.encode() for doc in docs]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=9) | st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass"))),
    st.integers(4, 9),
    st.sampled_from(list(COMPRESS)),
)
@example([b"\xe2\x82"], 4, "")
@example([b"a\xf0\x9f\x98\x80b\xf0\x9f\x98"], 4, ".gz")
def test_text_of_any_bytes(parts: list[bytes], block: int, packed: str) -> None:
    """Blocks of a few bytes put every kind of damage on every kind of border."""
    data = b"".join(parts)
    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch.object(corpus_streams, "_BLOCK", block),
        mock.patch.object(corpus_streams, "_COMPRESSED_BLOCK", 5),
        mock.patch.object(corpus_streams, "MAX_CHUNK", block + 3),
    ):
        path = Path(name, f"x.txt{packed}")
        path.write_bytes(COMPRESS[packed](data))
        assert list(read_texts(path, errors="bytes")) == [data]
        assert joined(read_texts(path, errors="bytes")) == [data]

        replaced = data.decode("utf-8", "replace")
        assert list(read_texts(path, errors="replace")) == [replaced]
        for _, chunk, _ in read_texts(path, errors="replace").chunks():
            assert len(chunk) <= block + 3
            chunk.decode()
        assert joined(read_texts(path, errors="replace")) == [replaced.encode()]

        try:
            text = data.decode()
        except UnicodeDecodeError as err:
            with pytest.raises(EncodingError, match=rf"x\.txt{packed} is not UTF-8: .* byte offset {err.start} "):
                list(read_texts(path))
            skipping = read_texts(path, on_error="skip")
            kept = [data[: err.start].decode()] if err.start else []
            assert list(skipping) == kept
            assert joined(skipping) == [doc.encode() for doc in kept]
            assert [name for name, _ in skipping.skipped_files] == [str(path)]
        else:
            assert list(read_texts(path)) == [text]
            for _, chunk, _ in read_texts(path).chunks():
                assert len(chunk) <= block + 3
                chunk.decode()


def test_chunks_of_a_long_text(tmp_path: Path) -> None:
    text = "aé😀" * 700_000
    path = tmp_path / "long.txt"
    path.write_bytes(text.encode())
    chunks = list(read_texts(path).chunks())
    assert len(chunks) > 4
    assert all(len(chunk) <= 1 << 20 and chunk.decode() for _, chunk, _ in chunks)
    assert [last for _, _, last in chunks] == [False] * (len(chunks) - 1) + [True]
    assert b"".join(chunk for _, chunk, _ in chunks) == text.encode()
    assert list(read_texts(path)) == [text]


def test_replacement_keeps_chunks_within_1_mib(tmp_path: Path) -> None:
    path = tmp_path / "junk.txt"
    path.write_bytes(b"\xff" * 2_500_000)
    assert max(len(chunk) for _, chunk, _ in read_texts(path, errors="replace").chunks()) <= 1 << 20
    assert joined(read_texts(path, errors="replace")) == ["\ufffd".encode() * 2_500_000]


def test_text_is_data(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbfa\r\nb\rc\n\x00\x1a\x0c"
    (tmp_path / "a.txt").write_bytes(data)
    assert list(read_texts(tmp_path / "a.txt")) == [data.decode()]


def test_empty_text_file_is_one_empty_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.jsonl").touch()
    texts = read_texts(tmp_path)
    assert list(texts) == [""]
    assert list(texts.chunks()) == [(0, b"", True)]
    assert list(read_texts(tmp_path / "a.txt", errors="bytes")) == [b""]


def test_the_filings(shared_data: Path) -> None:
    paths = sorted((shared_data / "sec-filings").glob("*.txt"))
    assert joined(read_texts(shared_data / "sec-filings")) == [path.read_bytes() for path in paths]


# --- constant memory -----------------------------------------------------------------------------


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def drain(texts: Texts) -> tuple[int, int]:
    documents = length = 0
    for _, chunk, last in texts.chunks():
        documents += last
        length += len(chunk)
    return documents, length


@pytest.mark.parametrize(
    "unit",
    [
        ("Whereas the plaintiff № {} moves; " * 2000).format(*range(2000)).encode(),
        b"a" * 65536,  # 30,000 times smaller compressed: what one read expands to has to be bounded too
    ],
)
def test_one_document_of_200_mb_in_constant_memory(tmp_path: Path, unit: bytes) -> None:
    path = tmp_path / "big.txt.zst"
    times = 200_000_000 // len(unit)
    with path.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as writer:
        for _ in range(times):
            writer.write(unit)
    results = []
    assert peak_of(lambda: results.append(drain(read_texts(path)))) < 12 << 20
    assert results == [(1, times * len(unit))]


@pytest.mark.parametrize("packed", [".gz", ".xz", ".bz2"])
def test_what_compresses_best_in_constant_memory(tmp_path: Path, packed: str) -> None:
    path = tmp_path / f"big.txt{packed}"
    path.write_bytes(COMPRESS[packed](b"a" * 40_000_000))
    assert peak_of(lambda: drain(read_texts(path))) < 20 << 20  # the dictionary of xz alone takes 8 MiB


def test_json_lines_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl.gz"
    line = jsonl(["word " * 2000])
    path.write_bytes(gzip.compress(line * 4000, 1))
    assert peak_of(lambda: drain(read_texts(path))) < 12 << 20


def test_one_row_group_of_100_mb_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.parquet"
    table = pa.table({"text": [f"{number:05}" * 4000 for number in range(5000)], "other": range(5000)})
    pq.write_table(table, path, row_group_size=5000, compression="none", use_dictionary=False)
    del table
    base = pa.total_allocated_bytes()
    arrow_peaks: list[int] = []

    def read() -> None:
        for _, chunk, _ in read_texts(path).chunks():
            assert len(chunk) == 20_000
            arrow_peaks.append(pa.total_allocated_bytes() - base)

    assert peak_of(read) < 64 << 20  # what Python holds, the bytes of the file among it
    assert len(arrow_peaks) == 5000
    assert 0 < max(arrow_peaks) < 64 << 20


# --- documents in memory and streams -------------------------------------------------------------


class Rows:
    """Iterates anew each time, like a Hugging Face dataset."""

    def __iter__(self) -> Iterator[dict[str, object]]:
        yield from ({"text": "a", "id": 1}, {"text": None, "id": 2}, {"text": "ä", "id": 3})


def test_dataset_rows() -> None:
    texts = read_texts(Rows())
    assert list(texts) == list(texts) == ["a", "ä"]
    assert (texts.skipped, texts.bytes_read, texts.size, texts.one_shot) == (1, 3, None, False)
    assert list(texts.chunks()) == [(0, b"a", True), (1, "ä".encode(), True)]
    with pytest.raises(CorpusError, match="<Rows>: document 0: no column 'body'; there are 'text', 'id'"):
        list(read_texts(Rows(), column="body"))


def test_documents_in_memory() -> None:
    assert list(read_texts([b"a", b"\xc3\xa4"])) == ["a", "ä"]
    assert list(read_texts([{"text": "x"}, {"text": b"y"}])) == ["x", "y"]
    assert list(Texts.from_documents(["not/a/path", "*"])) == ["not/a/path", "*"]
    assert list(read_texts(iter(["a", b"b"]), errors="bytes")) == [b"a", b"b"]
    assert list(read_texts([])) == []


@pytest.mark.parametrize(
    ("documents", "error", "message"),
    [
        (["ok", "a\ud800"], EncodingError, r"<list>: document 1: the lone surrogate U\+D800 at character offset 1"),
        (["ok", b"a\xff"], EncodingError, "document 1: byte 0xff at byte offset 1 of the text"),
        (["ok", 3], FormatError, "document 1: expected text, found int 3"),
        ([Path("x")], FormatError, "document 0: expected text, found PosixPath"),
    ],
)
def test_bad_documents_in_memory(documents: list[object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        list(Texts.from_documents(documents))
    with pytest.raises(error, match=message):
        list(Texts.from_documents(documents).chunks())


def test_replacement_in_memory() -> None:
    texts = Texts.from_documents(["a\ud800", b"b\xff"], errors="replace")
    assert list(texts) == ["a\ufffd", "b\ufffd"]
    assert joined(texts) == ["a\ufffd".encode(), "b\ufffd".encode()]


def test_a_failing_generator_keeps_its_own_error() -> None:
    def documents() -> Iterator[str]:
        yield "a"
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        list(read_texts(documents(), on_error="skip"))


def test_iterators_are_read_once() -> None:
    texts = read_texts(doc for doc in ["a", "b"])
    assert texts.one_shot
    assert list(texts) == ["a", "b"]
    for again in (lambda: list(texts), lambda: list(texts.chunks())):
        with pytest.raises(CorpusError, match="was read already"):
            again()
    with pytest.raises(CorpusError, match="cannot be sharded"):
        texts.shard(0, 2)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"abc", "b'abc' is one document"),
        ({"train": []}, "its keys are 'train'"),
        (7, "7 is neither a path"),
        (io.StringIO("x"), "is an open file"),
    ],
)
def test_what_is_no_corpus(source: object, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_texts(source)  # type: ignore[arg-type]


def test_a_data_frame_is_no_corpus() -> None:
    frame = mock.Mock(spec=["columns", "dtypes", "__iter__"])
    with pytest.raises(CorpusError, match="data frame"):
        read_texts(frame)


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    def pipe(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    pipe(b"a\r\nb\n")
    texts = read_texts("-")
    assert list(texts) == ["a\r\nb\n"]
    assert texts.size is None
    with pytest.raises(CorpusError, match="standard input"):
        list(texts)
    for file_format, data in (("jsonl", jsonl(DOCS)), ("parquet", parquet(DOCS)), ("arrow", arrow_stream(DOCS))):
        pipe(data)
        assert list(read_texts("-", file_format=file_format)) == DOCS
    pipe(b"a\xff")
    with pytest.raises(EncodingError, match=r"^- is not UTF-8: .* byte offset 1"):
        list(read_texts("-"))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(CorpusError, match="closed"):
        list(read_texts("-"))


# --- skipping, progress, shards ------------------------------------------------------------------


def test_skipping_bad_files(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number:02}.txt").write_text(f"{number}")
    (tmp_path / "10.txt").write_bytes(b"kept \xff lost")
    (tmp_path / "20.txt.gz").write_bytes(gzip.compress(b"0123456789" * 5)[:-8])
    (tmp_path / "30.txt").unlink()
    (tmp_path / "30.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match=r"30\.txt cannot be read: No such file"):
        read_texts(tmp_path)
    texts = read_texts(tmp_path, on_error="skip")
    documents = list(texts)
    assert documents == [
        *(str(number) for number in range(10)),
        "kept ",
        *(str(number) for number in range(11, 21)),
        "0123456789" * 5,
        *(str(number) for number in range(21, 50) if number != 30),
    ]
    assert [Path(name).name for name, _ in texts.skipped_files] == ["30.txt", "10.txt", "20.txt.gz"]
    assert [message.split(" ")[1] for _, message in texts.skipped_files] == ["cannot", "is", "is"]
    assert joined(texts) == [document.encode() for document in documents]
    assert len(texts.skipped_files) == 3
    assert texts.bytes_read == texts.size
    assert texts.plain_files() is None


def test_a_cut_document_is_closed_when_skipping(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"a" * 3_000_000 + b"\xff")
    chunks = list(read_texts(path, on_error="skip").chunks())
    assert [(index, last) for index, _, last in chunks] == [(0, False)] * (len(chunks) - 1) + [(0, True)]
    assert sum(len(chunk) for _, chunk, _ in chunks) == 3_000_000
    lasts: list[bool] = []
    with pytest.raises(EncodingError, match="byte offset 3000000 "):
        lasts.extend(last for _, _, last in read_texts(path).chunks())
    assert lasts
    assert not any(lasts)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reads fail")
def test_a_file_that_opens_but_cannot_be_read(tmp_path: Path) -> None:
    for name in ("x.txt", "x.jsonl", "x.txt.gz"):
        (tmp_path / name).symlink_to("/proc/self/mem")
        with pytest.raises(CorpusError, match=rf"{name} cannot be read at byte offset 0: Input/output error"):
            list(read_texts(tmp_path / name))
    (tmp_path / "x.parquet").symlink_to("/proc/self/mem")
    with pytest.raises((CorpusError, FormatError), match=r"x\.parquet cannot be read"):
        list(read_texts(tmp_path / "x.parquet"))


def test_progress_counts_stored_bytes(tmp_path: Path) -> None:
    for packed, compress in COMPRESS.items():
        (tmp_path / f"a.txt{packed}").write_bytes(compress(os.urandom(300_000).hex().encode()))
        for suffix, write in RECORDS.items():
            (tmp_path / f"b{suffix}{packed}").write_bytes(compress(write(["x" * 100] * 3000)))
    steps: list[int] = []
    texts = read_texts(tmp_path, on_progress=steps.append)
    for _ in texts.chunks():
        assert texts.bytes_read <= (texts.size or 0)
    assert sum(steps) == texts.bytes_read == texts.size == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert min(steps) >= 0
    assert len(steps) > len(texts.sources)


def test_shards_partition_the_sources(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"{number}.txt").write_text(str(number))
    texts = read_texts([tmp_path, tmp_path / "missing"], on_error="skip", errors="bytes")
    shards = [texts.shard(index, 3) for index in range(3)]
    assert [list(shard) for shard in shards] == [[b"0", b"3", b"6"], [b"1", b"4"], [b"2", b"5"]]
    assert [len(shard.skipped_files) for shard in shards] == [1, 0, 0]
    assert list(texts.shard(8, 9)) == []
    for index, count in ((3, 3), (-1, 3), (0, 0)):
        with pytest.raises(CorpusError, match=f"shard {index} of {count}"):
            texts.shard(index, count)


def test_texts_travel_to_other_processes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    texts = pickle.loads(pickle.dumps(read_texts(tmp_path)))
    assert list(texts) == ["a"]


def test_unknown_choices_are_refused() -> None:
    for wrong in ({"errors": "ignore"}, {"on_error": "warn"}, {"file_format": "csv"}):
        ((name, value),) = wrong.items()
        with pytest.raises(CorpusError, match=f"{name}='{value}' is not known; use '"):
            read_texts([], **wrong)  # type: ignore[arg-type]


def test_repr_tells_the_size(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abc")
    assert repr(read_texts(tmp_path)) == "Texts(1 sources, 3 bytes, column='text', errors='strict')"


def test_import_loads_no_heavy_package() -> None:
    code = (
        "import sys, bytetok.training.corpus; "
        "print(*{'pyarrow', 'fsspec', 'zstandard', 'numpy', 'torch'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
