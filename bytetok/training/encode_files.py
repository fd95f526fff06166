"""Encodes corpora to files of token ids: on this machine or a cluster, in constant memory, and to be gone on with.

A run writes parts of a few million ids into the folder ``OUT.partial`` and from them ``OUT``, which appears when it is
whole. What cuts the run off, be it Ctrl-C, an error or the power, leaves the parts, and the same call goes on after the
last of them; the file is then the one that a run without interruption writes, byte for byte. A corpus of a single part
leaves nothing behind, nor does one that cannot be read twice.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Literal, Protocol

from bytetok.errors import TrainingError
from bytetok.tokenizer.tokenizer import Special
from bytetok.training import cluster
from bytetok.training.cluster import Unit
from bytetok.training.corpus import Texts
from bytetok.training.corpus_sources import Source
from bytetok.training.corpus_streams import Advance
from bytetok.training.encode_cluster import RayEngine
from bytetok.training.encode_parts import BATCH_BYTES, PART_IDS, BatchEncoder, EncodeJob, Part, encode_parts, special_id
from bytetok.training.encode_resume import Done, PartFolder, Plan, unfinished
from bytetok.training.encoding import Document
from bytetok.training.ids_write import IdType, PathName, ids_writer

_BATCH_BYTES, _PART_IDS = BATCH_BYTES, PART_IDS  # what a cluster's nodes are told, too

Progress = Callable[[int], None]
"""Hears how many stored bytes have been read so far."""


@dataclass(frozen=True)
class Encoded:
    """How much was encoded: documents, their UTF-8 bytes, and tokens; and how many documents earlier runs had done."""

    documents: int
    bytes: int
    tokens: int
    reused: int = 0


def encode_corpus(
    tokenizer: BatchEncoder,
    texts: Texts | Iterable[Document],
    out: PathName | IO[str],
    *,
    special: Special = "raise",
    begin: str | None = None,
    end: str | None = None,
    dtype: IdType | None = None,
    threads: int | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> Encoded:
    """Encode every document of a corpus into a file, or go on with a run that was cut off.

    Args:
        tokenizer: what :meth:`Tokenizer.load <bytetok.Tokenizer.load>` returns.
        texts: what :func:`~bytetok.read_texts` returns, or documents.
        out: the file to write, whole or not at all; its suffix says which kind, see
            :mod:`bytetok.training.ids_write`. Or an open text stream, which gets a line of ids a document.
        special: what to do with the text of special tokens in documents, as for ``Tokenizer.encode``.
        begin: a special token to put before every document, such as ``"<s>"``.
        end: a special token to put after every document, such as ``"<|endoftext|>"``.
        dtype: the type of ids in ``.parquet``, ``.arrow``, ``.npy`` and ``.bin``; uint32 if not given, but in ``.bin``
            what its readers expect.
        threads: on this machine, all cores by default; on a cluster, how many tasks of one CPU each at once.
        engine: ``"ray"`` encodes on a Ray cluster. Every node must be able to read the files by the same absolute path
            or URL; a file is the least that is handed out. The result is that of this machine, byte for byte, also when
            nodes are lost on the way.
        address: the cluster, as for :func:`~bytetok.training.cluster.count_on_ray`.
        restart: begin anew, whatever an earlier run left in ``OUT.partial``.
        progress: hears the stored bytes that are read.

    Raises:
        CorpusError, EncodingError, FormatError: texts that cannot be read or encoded, with file and document; an
            earlier run with other options or other texts; another process at the same file.
        SpecialTokenError: a document holds the text of a special token, and ``special`` is ``"raise"``.
        UnknownTokenError: ``begin`` or ``end`` is no special token of the vocabulary.
        VocabMismatchError: an earlier run with another tokenizer.
        TrainingError: threads below 1; no cluster; a task that failed for reasons that are not the corpus's.
        MissingDependencyError: Ray is not installed.
    """
    corpus = texts if isinstance(texts, Texts) else Texts.from_documents(texts, errors="bytes")
    begin_ids, end_ids = special_id(tokenizer, begin), special_id(tokenizer, end)
    reading = corpus.column, corpus.errors, corpus.on_error
    job = EncodeJob(tokenizer, *reading, special, begin_ids, end_ids, _BATCH_BYTES, _PART_IDS)
    write_to = ids_writer(out, dtype=dtype, vocab_size=tokenizer.vocab_size)
    if threads is not None and threads < 1:
        raise TrainingError(f"threads is {threads}; at least one is needed")
    with ExitStack() as stack:
        on = stack.enter_context(_engine(engine, corpus, threads, address))
        _claim(corpus)
        kept, units = stack.enter_context(_kept(job, corpus, out, on, restart=restart))
        totals = _Totals(corpus, progress)
        for done in map(kept.done, range(len(units))) if kept else ():
            totals.reuse(done)
        parts = stack.enter_context(closing(on.parts(job, _grouped(corpus.sources, units), kept, totals.advance)))
        with write_to as write, ThreadPoolExecutor(1) as writer:
            writing: Future[None] | None = None
            for part in parts:
                if writing is not None:
                    writing.result()
                writing = writer.submit(write, part.ids, part.lengths)
                totals.add(part)
            if writing is not None:
                writing.result()
    return totals.encoded()


class _Engine(Protocol):
    def units(self, sources: Sequence[Source]) -> list[int]:
        """How many sources each unit has, where no earlier run says so."""

    def parts(
        self, job: EncodeJob, units: Sequence[Unit], kept: PartFolder | None, advance: Advance
    ) -> Generator[Part]:
        """All parts in order: those that are kept, and others as they are made, which are kept too."""


class _LocalEngine:
    def __init__(self, threads: int | None) -> None:
        self._threads = threads

    def units(self, sources: Sequence[Source]) -> list[int]:
        return [len(sources)]

    def parts(
        self, job: EncodeJob, units: Sequence[Unit], kept: PartFolder | None, advance: Advance
    ) -> Generator[Part]:
        for unit, sources in enumerate(units):
            done = Done() if kept is None else kept.done(unit)
            if kept is not None:
                yield from (kept.load(unit, number) for number in range(done.parts))
            if done.is_whole:
                continue
            made = encode_parts(job, sources, done.end, threads=self._threads, advance=advance)
            for number, part in enumerate(made, done.parts):
                # The very last part goes into the output and is there as soon as that is.
                if kept is not None and not (part.is_last and unit == len(units) - 1):
                    kept.add(unit, number, part)
                yield part


@contextmanager
def _engine(name: str, corpus: Texts, threads: int | None, address: str | None) -> Iterator[_Engine]:
    if name == "local":
        yield _LocalEngine(threads)
    elif name == "ray":
        cluster.check_request(corpus, threads)
        with cluster.connected(address) as ray:
            yield RayEngine(ray, threads)
    else:
        raise TrainingError(f"the engine {name!r} is not known; use 'local' or 'ray'")


@contextmanager
def _kept(
    job: EncodeJob, corpus: Texts, out: PathName | IO[str], engine: _Engine, *, restart: bool
) -> Iterator[tuple[PartFolder | None, list[int]]]:
    """Where parts are kept, if they are, and how many sources each unit has."""
    units = engine.units(corpus.sources)
    can_go_on = all(source.is_local_file or source.remote is not None for source in corpus.sources)
    if can_go_on and isinstance(out, str | os.PathLike):
        with unfinished(out, Plan.of(job, corpus.sources, units), restart=restart) as found:
            yield found
    elif isinstance(engine, RayEngine):  # parts do not come in order
        with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
            yield PartFolder(Path(folder)), units
    else:
        yield None, units


def _grouped(sources: Sequence[Source], units: Sequence[int]) -> list[Unit]:
    ends = list(accumulate(units))
    return [tuple(sources[end - size : end]) for end, size in zip(ends, units, strict=True)]


def _claim(corpus: Texts) -> None:
    """A stream can be read once, by parts as by iteration."""
    if corpus._spent:
        next(iter(corpus))  # raises
    corpus._spent = corpus.one_shot


class _Totals:
    """Adds up what the parts say of themselves."""

    def __init__(self, corpus: Texts, progress: Progress | None) -> None:
        self._corpus, self._progress = corpus, progress
        self._documents = self._bytes = self._tokens = self._heard = self._reused = 0
        corpus.skipped = corpus.bytes_read = 0
        corpus._skipped_now = []

    def reuse(self, done: Done) -> None:
        """So much need not be read again."""
        self._reused += done.documents
        self.advance(done.read)

    def advance(self, count: int) -> None:
        """So many stored bytes more are read."""
        self._heard += count
        if self._progress is not None:
            self._progress(self._heard)

    def add(self, part: Part) -> None:
        """A part is in the output."""
        self._documents += len(part.lengths)
        self._bytes += part.bytes
        self._tokens += len(part.ids)
        self._corpus.bytes_read += part.read
        self._corpus.skipped += part.skipped
        self._corpus._skipped_now += part.skipped_files

    def encoded(self) -> Encoded:
        """What was done."""
        return Encoded(self._documents, self._bytes, self._tokens, self._reused)
