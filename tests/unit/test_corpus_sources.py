"""Finding the files of a corpus: paths, globs, folders and URLs, looked up before anything is read."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from bytetok.errors import CorpusError, FormatError, MissingDependencyError
from bytetok.training.corpus import Source, Texts, read_texts


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small tree; the text of each file is its path."""
    names = "b.txt a.md c.unknown .hidden.txt sub/d.txt sub/.git/e.txt sub/deep/f.HTML sub/deep/.g.txt z/part-1.gz.txt"
    for name in names.split():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(texts: Texts) -> list[str]:
    return [source.path for source in texts.sources]


# --- files of this machine -----------------------------------------------------------------------


def test_folder(corpus: Path) -> None:
    expected = ["a.md", "b.txt", "sub/d.txt", "sub/deep/f.HTML", "z/part-1.gz.txt"]
    assert list(read_texts(".")) == expected
    assert list(read_texts(corpus)) == expected
    assert list(read_texts(f"{corpus}/")) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["b.txt"]),
        ("**/*.txt", ["b.txt", "sub/d.txt", "z/part-1.gz.txt"]),
        ("**", ["a.md", "b.txt", "c.unknown", "sub/d.txt", "sub/deep/f.HTML", "z/part-1.gz.txt"]),
        ("[ab].*", ["a.md", "b.txt"]),
        ("sub/?.txt", ["sub/d.txt"]),
        (".*.txt", [".hidden.txt"]),
        ("c.unknown", ["c.unknown"]),
    ],
)
def test_globs(corpus: Path, pattern: str, expected: list[str]) -> None:
    assert list(read_texts(pattern)) == expected
    assert names(read_texts(str(corpus / pattern))) == [str(corpus / name) for name in expected]


def test_lists_keep_their_order_and_repetitions(corpus: Path) -> None:
    texts = read_texts(["b.txt", Path("a.md"), ["sub/*.txt", ("b.txt",)], iter(["a document"]), [b"bytes"]])
    assert list(texts) == ["b.txt", "a.md", "sub/d.txt", "b.txt", "a document", "bytes"]


def test_names_tell_format_and_compression(tmp_path: Path) -> None:
    expected = {
        "a": ("text", None),
        "a.txt": ("text", None),
        "a.TXT.GZ": ("text", "gz"),
        "a.py.zst": ("text", "zst"),
        "a.jsonl.zstd": ("jsonl", "zst"),
        "a.ndjson": ("jsonl", None),
        "a.parquet": ("parquet", None),
        "a.b.arrow.xz": ("arrow", "xz"),
        "a.feather": ("arrow", None),
        "a.bz2": ("text", "bz2"),
        "a.json": ("text", None),
    }
    for name, (file_format, compression) in expected.items():
        (tmp_path / name).write_bytes(b"12345")
        source = Source(str(tmp_path / name), file_format, compression, 5)  # type: ignore[arg-type]
        assert read_texts(tmp_path / name).sources == (source,)
    (tmp_path / "a.jsonl").write_text('{"text": 1}')
    assert list(read_texts(tmp_path / "a.jsonl", file_format="text")) == ['{"text": 1}']


def test_a_compressed_file_without_another_suffix_counts_in_folders(tmp_path: Path) -> None:
    for name in ("part-0001.zst", "notes.docx.zst", "b.zip", "README"):
        (tmp_path / name).write_bytes(zstandard.compress(b"text"))
    assert list(read_texts(tmp_path)) == ["text"]


def test_an_existing_name_is_no_glob(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("literal")
    (tmp_path / "a1.txt").write_text("matched")
    assert list(read_texts(str(tmp_path / "a[1].txt"))) == ["literal"]
    (tmp_path / "a[1].txt").unlink()
    assert list(read_texts(str(tmp_path / "a[1].txt"))) == ["matched"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.txt", "^missing.txt cannot be read: No such file or directory; check the path"),
        (["b.txt", "nope"], "^nope cannot be read: No such file"),
        ("b.txt/c.txt", "^b.txt/c.txt cannot be read: Not a directory"),
        ("*.none", r"no file matches the glob \*\.none"),
        ("*/deep", r"the glob \*/deep matches only folders"),
        ("", "the path is empty"),
        ("nul\0.txt", r"^'nul\\x00.txt' cannot be read: embedded null byte"),
        (["A whole document.\nIts second line."], r"^'A whole document.\\nIts.*use Texts.from_documents"),
        (["x" * 9999], r"^x{497}\.\.\. cannot be read: .*use Texts.from_documents"),
        ("unknown", r"the folder unknown holds 1 file\(s\) but none that ends in \.arrow "),
        (["-", ["-"]], "listed twice"),
    ],
)
def test_nothing_there(corpus: Path, source: Any, message: str) -> None:
    (corpus / "unknown").mkdir()
    (corpus / "unknown" / "x.docx").touch()
    with pytest.raises(CorpusError, match=message):
        read_texts(source)


def test_an_empty_folder_is_an_empty_corpus(tmp_path: Path) -> None:
    assert list(read_texts(tmp_path)) == []
    assert read_texts(tmp_path).plain_files() == []


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.PDF", "a.docx"])
def test_archives_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    for source in (str(tmp_path / name), str(tmp_path / "*")):
        with pytest.raises(FormatError, match=rf"{name} is an archive or binary document"):
            read_texts(source)
    texts = read_texts(tmp_path / name, on_error="skip")
    assert list(texts) == []
    assert texts.skipped_files[0][0] == str(tmp_path / name)


def test_dangling_links_are_not_lost(corpus: Path) -> None:
    (corpus / "link.txt").symlink_to("nowhere")
    for source in (".", "*.txt", "link.txt"):
        with pytest.raises(CorpusError, match=r"link\.txt cannot be read: No such file"):
            read_texts(source)


def test_links_to_folders_are_followed_once(corpus: Path) -> None:
    (corpus / "sub" / "up").symlink_to(corpus)
    (corpus / "sub" / "zz").symlink_to(corpus / "sub" / "deep")
    assert len(read_texts(".").sources) == 5


@contextmanager
def unprivileged() -> Iterator[None]:
    """Drop root's right to read everything, for machines where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A folder that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_one_unreadable_file_among_thousands(public_path: Path) -> None:
    for number in range(2000):
        (public_path / f"{number:04}.txt").write_text("x")
    (public_path / "1234.txt").chmod(0)
    with unprivileged():
        with pytest.raises(CorpusError, match=r"1234\.txt cannot be read: Permission denied; .* permissions"):
            read_texts(public_path)
        texts = read_texts(public_path, on_error="skip")
        assert len(list(texts)) == 1999
        assert [Path(name).name for name, _ in texts.skipped_files] == ["1234.txt"]
        # What becomes unreadable after the look-up is found when it is opened.
        texts = read_texts(public_path / "0000.txt")
    (public_path / "0000.txt").chmod(0)
    (public_path / "locked").mkdir(mode=0)
    with unprivileged():
        with pytest.raises(CorpusError, match=r"0000\.txt cannot be read at byte offset 0: Permission denied"):
            list(texts)
        texts = read_texts(public_path, on_error="skip")
        assert [Path(name).name for name, _ in texts.skipped_files] == ["locked", "0000.txt", "1234.txt"]
    (public_path / "locked").chmod(0o755)


def test_pipes_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"through a pipe",))
    writer.start()
    texts = read_texts(path)
    assert texts.size is None
    assert texts.plain_files() is None
    assert list(texts) == ["through a pipe"]
    writer.join()
    with pytest.raises(CorpusError, match="a pipe"):
        list(texts)


def test_plain_files(corpus: Path) -> None:
    assert read_texts(["b.txt", "sub"]).plain_files() == ["b.txt", "sub/d.txt", "sub/deep/f.HTML"]
    (corpus / "x.jsonl").touch()
    (corpus / "x.txt.gz").touch()
    for other in ("x.jsonl", "x.txt.gz", "-", iter(["x"]), [b"x"]):
        assert read_texts(["b.txt", other]).plain_files() is None
    assert read_texts("b.txt", file_format="jsonl").plain_files() is None


def test_the_size_is_known_before_reading(corpus: Path) -> None:
    texts = read_texts(["b.txt", "sub/d.txt"])
    assert texts.size == len("b.txt") + len("sub/d.txt")
    assert read_texts(["b.txt", "-"]).size is None


# --- URLs ----------------------------------------------------------------------------------------


@pytest.fixture
def memory() -> Iterator[str]:
    """The root URL of a fresh tree in fsspec's memory file system."""
    filesystem = fsspec.filesystem("memory")
    root = f"/bytetok-{uuid.uuid4().hex}"
    for name, data in {
        "b.txt": b"b",
        "a.txt.zst": zstandard.compress(b"a"),
        "c.docx": b"c",
        ".hidden.txt": b"h",
        "sub/x.jsonl.zst": zstandard.compress(b'{"text": "x"}\n{"text": "y"}\n'),
        "sub/.git/z.txt": b"z",
    }.items():
        filesystem.pipe(f"{root}/{name}", data)
    with filesystem.open(f"{root}/sub/p.parquet", "wb") as file:
        pq.write_table(pa.table({"text": ["p", "q"]}), file)
    yield f"memory:/{root}"
    filesystem.rm(root, recursive=True)


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("b.txt", ["b"]),
        ("a.txt.zst", ["a"]),
        ("sub/x.jsonl.zst", ["x", "y"]),
        ("sub/p.parquet", ["p", "q"]),
        ("", ["a", "b", "p", "q", "x", "y"]),
        ("*.txt*", ["a", "b"]),
        ("**/*.jsonl.zst", ["x", "y"]),
        ("sub/*", ["p", "q", "x", "y"]),
        (".*.txt", ["h"]),
    ],
)
def test_urls(memory: str, tail: str, expected: list[str]) -> None:
    texts = read_texts(f"{memory}/{tail}")
    assert list(texts) == expected
    assert list(texts) == expected
    assert texts.bytes_read == texts.size
    assert all(name.startswith("memory://") for name in names(texts))
    assert texts.plain_files() is None


@pytest.mark.parametrize(
    ("tail", "error", "message"),
    [
        ("none.txt", CorpusError, "memory:.*/none.txt does not exist"),
        ("*.none", CorpusError, r"no file matches the glob memory:.*\*\.none"),
        ("c.docx", FormatError, r"c\.docx is an archive or binary document"),
    ],
)
def test_urls_without_a_corpus(memory: str, tail: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_texts(f"{memory}/{tail}")


def test_bad_urls_are_skipped_by_name(memory: str) -> None:
    texts = read_texts([f"{memory}/none.txt", f"{memory}/c.docx", f"{memory}/b.txt"], on_error="skip")
    assert list(texts) == ["b"]
    assert [name.rsplit("/")[-1] for name, _ in texts.skipped_files] == ["none.txt", "c.docx"]


def test_a_url_that_vanishes_before_it_is_read(memory: str) -> None:
    texts = read_texts(f"{memory}/b.txt")
    fsspec.filesystem("memory").rm(f"{memory}/b.txt")
    with pytest.raises(CorpusError, match=r"b\.txt cannot be read at byte offset 0"):
        list(texts)
    fsspec.filesystem("memory").pipe(f"{memory}/b.txt", b"b")


def test_errors_of_a_backend(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class BackendError(Exception):
        pass

    def fail(*_args: object, **_options: object) -> None:
        raise BackendError("no credentials")

    texts = read_texts([f"{memory}/b.txt", f"{memory}/sub/p.parquet"])
    filesystem = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(filesystem, "_open", fail)
    for source in texts.sources:
        with pytest.raises(CorpusError, match="cannot be read at byte offset 0: BackendError: no credentials"):
            list(Texts([source]))
    monkeypatch.setattr(filesystem, "info", fail)
    with pytest.raises(CorpusError, match=r"b\.txt cannot be listed: BackendError: no credentials"):
        read_texts(f"{memory}/b.txt")


def test_file_urls_are_local_files(corpus: Path) -> None:
    assert read_texts(f"file://{corpus}/b.txt").plain_files() == [f"{corpus}/b.txt"]
    assert list(read_texts(f"file://{corpus}/**/*.txt")) == ["b.txt", "sub/d.txt", "z/part-1.gz.txt"]
    assert len(read_texts(f"file://{corpus}").sources) == 5


def test_unknown_schemes() -> None:
    with pytest.raises(CorpusError, match="nosuch://x is not a URL that fsspec can open"):
        read_texts("nosuch://x")


def test_schemes_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingDependencyError, match=r"s3://bucket/x\.txt cannot be opened: .*s3fs"):
        read_texts("s3://bucket/x.txt")


def test_chained_urls(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("docs/a.txt", "zipped")
        archive.writestr("docs/b.jsonl", '{"text": "row"}')
    assert list(read_texts(f"zip://docs/a.txt::file://{tmp_path}/x.zip")) == ["zipped"]
    assert list(read_texts(f"zip://docs/*::file://{tmp_path}/x.zip")) == ["zipped", "row"]
