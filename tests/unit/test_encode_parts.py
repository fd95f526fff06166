"""The work of encoding: parts that any later run, on any machine, can go on from."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from bytetok.errors import BytetokError, CorpusError, EncodingError, SpecialTokenError, UnknownTokenError
from bytetok.tokenizer.tokenizer import Special, Tokenizer
from bytetok.training import encode_parts as module
from bytetok.training.bpe import train_bpe
from bytetok.training.corpus import Texts, read_texts
from bytetok.training.counts import PretokenCounts
from bytetok.training.encode_parts import EncodeJob, Part, Position, ahead, encode_parts, special_id


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    counts = PretokenCounts.from_dict({b"the": 9, b" cat": 5, b" the": 3}, "gpt2")
    return train_bpe(counts, vocab_size=263, special_tokens=["<s>", "</s>"])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Files of several kinds with empty documents, rows without text, and documents of many sizes."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.txt").write_text("the cat")
    (folder / "b.txt").touch()
    rows = [{"text": "the größer " * (index % 7)} for index in range(12)]
    for place in (0, 5, 6, 14):
        rows.insert(place, {"text": None})  # type: ignore[dict-item]
    (folder / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "d.txt.gz").write_bytes(gzip.compress(b"the cat " * 140_000))  # longer than a chunk of the reader
    (folder / "e.txt").write_text("the end")
    return folder


def job_of(tokenizer: Any, texts: Texts, **options: Any) -> EncodeJob:
    special = options.pop("special", "raise")
    return EncodeJob(tokenizer, texts.column, texts.errors, texts.on_error, special, **options)


def documents_of(parts: Iterable[Part]) -> list[list[int]]:
    found = []
    for part in parts:
        assert part.ids.dtype == np.uint32
        assert part.lengths.dtype == np.int64
        assert part.lengths.sum() == len(part.ids)
        if len(part.lengths):
            found += [piece.tolist() for piece in np.split(part.ids, np.cumsum(part.lengths)[:-1])]
    return found


def totals(parts: Sequence[Part]) -> tuple[int, int, int, tuple[Any, ...]]:
    files = tuple(file for part in parts for file in part.skipped_files)
    return sum(p.bytes for p in parts), sum(p.read for p in parts), sum(p.skipped for p in parts), files


@pytest.mark.parametrize(("batch_bytes", "part_ids"), [(1, 1), (50, 100), (50, 1), (1 << 20, 1 << 20)])
def test_parts_are_the_documents_in_order(
    tokenizer: Tokenizer, corpus: Path, batch_bytes: int, part_ids: int
) -> None:
    texts = read_texts(corpus)
    heard: list[int] = []
    job = job_of(tokenizer, texts, batch_bytes=batch_bytes, part_ids=part_ids)
    parts = list(encode_parts(job, texts.sources, threads=1, advance=heard.append))
    documents = list(texts)
    assert documents_of(parts) == [tokenizer.encode(document) for document in documents]
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert totals(parts) == (sum(len(one.encode()) for one in documents), texts.size, 4, ())
    assert sum(heard) == texts.size
    assert all(len(part.ids) >= part_ids for part in parts[:-1])
    assert (len(parts) > 3) == (part_ids <= 100)


@pytest.mark.parametrize("batch_bytes", [1, 60])
def test_work_goes_on_after_any_part(tokenizer: Tokenizer, corpus: Path, batch_bytes: int) -> None:
    texts = read_texts(corpus)
    job = job_of(tokenizer, texts, batch_bytes=batch_bytes, part_ids=1)
    parts = list(encode_parts(job, texts.sources))
    assert len(parts) > 5
    for done in range(len(parts) + 1):
        start = parts[done - 1].end if done else Position(0, 0)
        heard: list[int] = []
        rest = list(encode_parts(job, texts.sources, start, advance=heard.append))
        assert documents_of([*parts[:done], *rest]) == documents_of(parts)
        assert totals([*parts[:done], *rest]) == totals(parts)
        assert sum(heard) == totals(rest)[1]
        assert rest[-1].is_last


def test_skipped_files_are_told_once(tokenizer: Tokenizer, corpus: Path) -> None:
    (corpus / "c.jsonl").write_text('{"text": "the"}\n{"text": null}\n{"text": "cat"}\nwrong\n{"text": "not read"}\n')
    (corpus / "e.txt").write_bytes(b"as far as it is \xff")
    texts = read_texts(corpus, on_error="skip")
    job = job_of(tokenizer, texts, batch_bytes=1, part_ids=1)
    parts = list(encode_parts(job, texts.sources))
    assert documents_of(parts) == [tokenizer.encode(document) for document in texts]
    assert totals(parts)[1:] == (texts.size, 1, texts.skipped_files)
    assert [Path(path).name for path, _ in texts.skipped_files] == ["c.jsonl", "e.txt"]
    for done in range(1, len(parts)):
        rest = list(encode_parts(job, texts.sources, parts[done - 1].end))
        assert totals([*parts[:done], *rest]) == totals(parts)


def test_nothing_is_one_empty_part(tokenizer: Tokenizer) -> None:
    (part,) = encode_parts(job_of(tokenizer, Texts([])), [])
    assert (len(part.ids), len(part.lengths), part.is_last) == (0, 0, True)


@pytest.mark.parametrize(("begin", "end"), [((), (5,)), ((4,), ()), ((4,), (5,)), ((4, 5), (6, 7))])
def test_ids_are_put_around_every_document(
    tokenizer: Tokenizer, corpus: Path, begin: tuple[int, ...], end: tuple[int, ...]
) -> None:
    texts = read_texts(corpus)
    parts = list(encode_parts(job_of(tokenizer, texts, begin=begin, end=end, batch_bytes=50), texts.sources))
    assert documents_of(parts) == [[*begin, *tokenizer.encode(document), *end] for document in texts]


def test_special_tokens_by_their_text(tokenizer: Tokenizer) -> None:
    assert special_id(tokenizer, None) == ()
    assert special_id(tokenizer, "</s>") == (1,)
    with pytest.raises(UnknownTokenError, match=r"'the' is no special token of this vocabulary; expected one of '<s>'"):
        special_id(tokenizer, "the")
    bare = train_bpe(PretokenCounts.from_dict({b"the": 9}, "gpt2"), vocab_size=257)
    with pytest.raises(UnknownTokenError, match="it has none at all"):
        special_id(bare, "<s>")


# ---------------------------------------------------------------------------------------------- kinds of tokenizers


class Lists:
    """Gives lists, as an older tokenizer or one of another engine does."""

    vocab_size = 256
    vocab = None

    def encode_batch(
        self, docs: Iterable[str | bytes], *, threads: int | None = None, special: Special = "raise"
    ) -> list[list[int]]:
        return [list(doc) for doc in docs if isinstance(doc, bytes)]


class Arrays:
    """Gives ids of all documents in one array."""

    vocab_size = 256
    vocab = None

    def __init__(self) -> None:
        self.threads: set[int | None] = set()

    def encode_batch(
        self,
        docs: Sequence[bytes],
        *,
        threads: int | None = None,
        special: Special = "raise",
        out: str = "list",
    ) -> tuple[Any, Any]:
        assert out == "numpy"
        self.threads.add(threads)
        ids = np.frombuffer(b"".join(docs), dtype=np.uint8).astype(np.uint32)
        return ids, np.cumsum([0, *map(len, docs)], dtype=np.int64)


@pytest.mark.parametrize("kind", [Lists, Arrays])
@pytest.mark.parametrize("documents", [["ab", "", "größer"], [""], []])
def test_lists_and_arrays_are_the_same(kind: type, documents: list[str]) -> None:
    texts = Texts.from_documents(documents)
    tokenizer = kind()
    parts = list(encode_parts(job_of(tokenizer, texts, end=(0,)), texts.sources, threads=3))
    assert documents_of(parts) == [[*one.encode(), 0] for one in documents]
    assert kind is Lists or tokenizer.threads == {3}


# --------------------------------------------------------------------------------------------------------- bad texts


def test_the_place_of_a_document_that_cannot_be_encoded(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "the"}\n{"text": null}\n{"text": "the <s>"}\n{"text": "cat"}\n')
    (tmp_path / "b.txt").write_text("</s>")

    def encoded(name: str) -> list[Part]:
        texts = read_texts(tmp_path / name)
        return list(encode_parts(job_of(tokenizer, texts), texts.sources))

    with pytest.raises(SpecialTokenError, match=r"a\.jsonl: document 1: .*<s>"):
        encoded("a.jsonl")
    with pytest.raises(SpecialTokenError, match=r"b\.txt: [^:]*</s>"):
        encoded("b.txt")
    in_memory = Texts.from_documents(["the", "cat", "<s>"])
    with pytest.raises(SpecialTokenError, match=r"^document 2: .*<s>"):
        list(encode_parts(job_of(tokenizer, in_memory), in_memory.sources))


def test_what_is_done_before_a_bad_document_can_be_kept(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "the"}\n{"text": "cat"}\nwrong\n')
    texts = read_texts(tmp_path)
    parts = encode_parts(job_of(tokenizer, texts, batch_bytes=1, part_ids=1), texts.sources)
    assert documents_of([next(parts), next(parts)]) == [tokenizer.encode("the"), tokenizer.encode("cat")]
    with pytest.raises(BytetokError, match="line 3"):
        next(parts)


@pytest.mark.parametrize(
    ("document", "error", "complaint"),
    [("\ud800", EncodingError, "document 1: .*lone surrogate"), (7, BytetokError, "document 1: expected text")],
)
def test_documents_that_are_no_text(tokenizer: Tokenizer, document: Any, error: type, complaint: str) -> None:
    texts = Texts.from_documents(["fine", document])
    with pytest.raises(error, match=complaint):
        list(encode_parts(job_of(tokenizer, texts), texts.sources))


def test_a_missing_file_is_named(tokenizer: Tokenizer, corpus: Path) -> None:
    texts = read_texts(corpus)
    (corpus / "b.txt").unlink()
    with pytest.raises(CorpusError, match=r"b\.txt cannot be read"):
        list(encode_parts(job_of(tokenizer, texts), texts.sources))


def test_batches_of_tiny_documents_end_too(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_DOCUMENTS", 4)
    texts = Texts.from_documents([""] * 10)
    parts = list(encode_parts(job_of(tokenizer, texts, end=(0,), part_ids=1), texts.sources))
    assert [len(part.lengths) for part in parts] == [4, 4, 2]


# ------------------------------------------------------------------------------------------------------ reading ahead


def test_items_come_in_order_one_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    for taken, number in enumerate(ahead(items())):
        time.sleep(0.002)
        assert number == taken
        assert len(made) <= taken + 2
    assert made == list(range(20))
    assert list(ahead(iter([]))) == []


def test_an_error_comes_after_what_was_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise CorpusError("no more")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(CorpusError, match="no more"):
        next(taken)


def test_reading_stops_when_nobody_wants_more() -> None:
    is_closed = Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            is_closed.set()

    taken = ahead(items())
    assert next(taken) == 0
    taken.close()
    assert is_closed.wait(10)
