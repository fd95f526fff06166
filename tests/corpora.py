"""Small corpora in every format, as bytes to be written, and a reader that checks chunks on the way."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import zstandard

from bytetok.training.corpus import Texts

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}
PACKED = [suffix for suffix in COMPRESS if suffix]
DOCS = ["first\r\n", "", "zweites\rDokument äöü", "\ufeff三\n\n", "nul\0 and 😀"]


def parquet(docs: list[str | None], **options: object) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": range(len(docs)), "text": pa.array(docs, pa.string())}), out, **options)
    return out.getvalue()


def jsonl(docs: list[str]) -> bytes:
    return b"".join(json.dumps({"id": 1, "text": doc}).encode() + b"\n" for doc in docs)


def arrow_file(docs: list[str]) -> bytes:
    out = io.BytesIO()
    pyarrow.feather.write_feather(pa.table({"id": range(len(docs)), "text": pa.array(docs, pa.string())}), out)
    return out.getvalue()


def arrow_stream(docs: list[str]) -> bytes:
    out = io.BytesIO()
    table = pa.table({"id": range(len(docs)), "text": pa.array(docs, pa.string())})
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return out.getvalue()


RECORDS: dict[str, Callable[[list[str]], bytes]] = {
    ".jsonl": jsonl,
    ".ndjson": jsonl,
    ".parquet": parquet,
    ".feather": arrow_file,
    ".arrow": arrow_stream,
}


def joined(texts: Texts) -> list[bytes]:
    """Join the chunks of each document, checking their order and size on the way."""
    docs: list[bytes] = []
    open_document = False
    for index, chunk, last in texts.chunks():
        assert isinstance(chunk, bytes)
        if not open_document:
            docs.append(b"")
        assert index == len(docs) - 1
        docs[-1] += chunk
        open_document = not last
    assert not open_document
    return docs
