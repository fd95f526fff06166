"""Files of token ids: written and read back, in three formats."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bytetok.errors import CorpusError, EncodingError, FormatError, SpecialTokenError, UnknownTokenError
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training.bpe import train_bpe
from bytetok.training.corpus import Texts
from bytetok.training.counts import PretokenCounts
from bytetok.training.encode_files import encode_corpus
from bytetok.training.ids_read import decode_files, read_ids
from bytetok.training.ids_write import index_path

DOCS = ["the cat", "", "the\nthe größer\n", "\0" * 7, "a" * 3000]
SUFFIXES = [".parquet", ".npy", ".txt"]


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


def test_numpy_files_are_plain_arrays(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "some.corpus.npy"
    encode_corpus(tokenizer, DOCS, path)
    ids, ends = np.load(path, mmap_mode="r"), np.load(tmp_path / "some.corpus.idx.npy", mmap_mode="r")
    assert (ids.dtype, ends.dtype) == (np.uint32, np.uint64)
    assert ends.tolist() == np.cumsum([0, *(len(tokenizer.encode(doc)) for doc in DOCS)]).tolist()
    assert ids[ends[2] : ends[3]].tolist() == tokenizer.encode(DOCS[2])


def test_parquet_files_have_one_column_of_uint32(tokenizer: Tokenizer, tmp_path: Path) -> None:
    encode_corpus(tokenizer, DOCS, tmp_path / "ids.parquet")
    table = pq.read_table(tmp_path / "ids.parquet")
    assert table.schema.names == ["ids"]
    assert table.schema.field("ids").type == pa.list_(pa.uint32())
    assert table.column("ids").to_pylist() == [tokenizer.encode(doc) for doc in DOCS]


def test_an_open_stream_gets_lines(tokenizer: Tokenizer) -> None:
    out = io.StringIO()
    encode_corpus(tokenizer, ["the cat", ""], out)
    assert out.getvalue() == " ".join(map(str, tokenizer.encode("the cat"))) + "\n\n"


def test_text_may_be_json_lists_or_have_commas() -> None:
    lines = "1 2\n[3, 4]\n\n 5,6 \n[]\n"
    assert list(read_ids(io.StringIO(lines))) == [[1, 2], [3, 4], [], [5, 6], []]
    assert [json.loads(line) for line in ("[3, 4]", "[]")] == [[3, 4], []]


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


# ---------------------------------------------------------------------------------------------------------- bad files


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


def test_files_of_another_format(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for name in ("ids.parquet", "ids.npy"):
        (tmp_path / name).write_bytes(b"what is this")
        with pytest.raises(FormatError, match="not a whole"):
            list(read_ids(tmp_path / name))
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "texts.parquet")
    with pytest.raises(FormatError, match="no column 'ids'"):
        list(read_ids(tmp_path / "texts.parquet"))


def test_an_array_needs_its_own_index(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "ids.npy"
    encode_corpus(tokenizer, DOCS, path)
    np.save(index_path(path), np.array([0, 1], dtype=np.uint64))
    with pytest.raises(FormatError, match="of another file"):
        list(read_ids(path))
    index_path(path).unlink()
    with pytest.raises(FormatError, match=r"ids\.idx\.npy: no such file"):
        list(read_ids(path))


def test_ids_of_another_tokenizer_name_the_document(tokenizer: Tokenizer) -> None:
    with pytest.raises(UnknownTokenError, match=r"^document 1: id 262 at position 2"):
        list(decode_files(tokenizer, [io.StringIO("1\n2 3 262\n")]))
