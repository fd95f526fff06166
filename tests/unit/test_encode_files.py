"""Corpora encoded into files, and back."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_tokenizer import FakeTokenizer

from bytetok.errors import EncodingError, FormatError, SpecialTokenError, TrainingError, UnknownTokenError
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training import encode_files
from bytetok.training.bpe import train_bpe
from bytetok.training.corpus import Texts
from bytetok.training.counts import PretokenCounts
from bytetok.training.encode_files import encode_corpus
from bytetok.training.ids_read import decode_files, read_ids

DOCS = ["the cat", "", "the\nthe größer\n", "\0" * 7, "a" * 3000]
SUFFIXES = [".parquet", ".arrow", ".npy", ".bin", ".txt"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    counts = PretokenCounts.from_dict({b"the": 9, b" cat": 5, b" the": 3}, "gpt2")
    return train_bpe(counts, vocab_size=262, special_tokens=["<|end|>"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_documents_come_back(tokenizer: Tokenizer, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ids{suffix}"
    done = encode_corpus(tokenizer, DOCS, path, threads=2)
    expected = [tokenizer.encode(doc) for doc in DOCS]
    assert list(read_ids(path)) == expected
    assert [one.decode() for one in decode_files(tokenizer, [path])] == DOCS
    assert (done.documents, done.tokens) == (len(DOCS), sum(map(len, expected)))
    assert done.bytes == sum(len(doc.encode()) for doc in DOCS)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("docs", [[], ["", ""]])
def test_nothing_to_encode_is_a_file_of_nothing(
    tokenizer: Tokenizer, tmp_path: Path, suffix: str, docs: list[str]
) -> None:
    path = tmp_path / f"ids{suffix}"
    assert encode_corpus(tokenizer, docs, path).tokens == 0
    assert list(read_ids(path)) == [[] for _ in docs]


def test_many_batches_are_one_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    docs = [f"{number} the cat" for number in range(3000)]
    for suffix in SUFFIXES:
        path = tmp_path / f"ids{suffix}"
        encode_corpus(tokenizer, Texts.from_documents(docs), path, threads=2)
        assert [one.decode() for one in decode_files(tokenizer, [path])] == docs


def test_an_open_stream_gets_lines(tokenizer: Tokenizer) -> None:
    out = io.StringIO()
    encode_corpus(tokenizer, ["the cat", ""], out)
    assert out.getvalue() == " ".join(map(str, tokenizer.encode("the cat"))) + "\n\n"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_no_file(tokenizer: Tokenizer, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ids{suffix}"
    with pytest.raises(SpecialTokenError, match=r"^document 1: .*<\|end\|>"):
        encode_corpus(tokenizer, ["fine", "not <|end|> fine"], path)
    assert list(tmp_path.iterdir()) == []


def test_special_tokens_as_text_or_as_themselves(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for special, first in (("text", tokenizer.encode("<")[0]), ("allow", 0)):
        encode_corpus(tokenizer, ["<|end|>"], tmp_path / "ids.txt", special=special)  # type: ignore[arg-type]
        assert next(iter(read_ids(tmp_path / "ids.txt")))[0] == first


def test_the_document_with_a_lone_surrogate_is_named(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(EncodingError, match="document 2"):
        encode_corpus(tokenizer, ["a", "b", "\ud800"], tmp_path / "ids.txt")


def test_requests_are_checked_before_anything_is_written(tokenizer: Tokenizer, tmp_path: Path) -> None:
    out = tmp_path / "ids.npy"
    with pytest.raises(UnknownTokenError, match="'<eos>' is no special token"):
        encode_corpus(tokenizer, DOCS, out, end="<eos>")
    with pytest.raises(TrainingError, match="threads is 0"):
        encode_corpus(tokenizer, DOCS, out, threads=0)
    with pytest.raises(TrainingError, match="'spark' is not known"):
        encode_corpus(tokenizer, DOCS, out, engine="spark")  # type: ignore[arg-type]
    with pytest.raises(FormatError, match=r"not written as \.csv"):
        encode_corpus(tokenizer, DOCS, tmp_path / "ids.csv")
    assert list(tmp_path.iterdir()) == []


def test_documents_of_any_bytes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    docs = [b"\xff\xfe", "größer".encode(), b""]
    encode_corpus(tokenizer, docs, tmp_path / "ids.npy", end="<|end|>")
    assert list(read_ids(tmp_path / "ids.npy")) == [[*tokenizer.encode(doc), 0] for doc in docs]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_disk_that_is_full_is_an_error(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(encode_files, "_BATCH_BYTES", 1)
    monkeypatch.setattr(encode_files, "_PART_IDS", 1)

    @contextmanager
    def full(*_: object, **__: object) -> Iterator[Callable[..., None]]:
        def write(ids: object, lengths: object) -> None:
            raise OSError(28, "No space left on device")

        yield write

    monkeypatch.setattr(encode_files, "ids_writer", full)
    with pytest.raises(OSError, match="No space left"):
        encode_corpus(tokenizer, DOCS, tmp_path / "ids.npy", threads=threads)


def test_foreign_tokenizers_encode_corpora_too(tmp_path: Path) -> None:
    """Those whose batches are lists of lists."""
    tokenizer = FakeTokenizer(words=[b"the"], specials=["<|end|>"], text_only=False)
    encode = tokenizer.encode_batch
    tokenizer.encode_batch = lambda docs, *, threads, special: encode(docs, threads=threads, special="text")  # type: ignore[method-assign]
    encode_corpus(tokenizer, DOCS, tmp_path / "ids.parquet", end="<|end|>")
    end = tokenizer.vocab.special_tokens["<|end|>"]
    expected = [[*tokenizer.encode(doc, special="text"), end] for doc in DOCS]
    assert list(read_ids(tmp_path / "ids.parquet")) == expected
