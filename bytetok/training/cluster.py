"""The counter of :mod:`bytetok.training.counts` on a Ray cluster.

Sources are grouped into units. A task counts one unit with the very function that counts on one machine and gives back a
sorted count file; the driver merges these as they lie on its disk. A unit depends on nothing but its sources, so a task
whose worker or node dies is run again elsewhere, and the merged file cannot tell.
"""

from __future__ import annotations

import logging
import os
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bytetok.errors import BytetokError, CorpusError, MissingDependencyError, TrainingError
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.training.corpus import Texts
from bytetok.training.corpus_sources import SkippedFile, Source, shown
from bytetok.training.corpus_streams import Errors
from bytetok.training.counts import Progress, count_to_parquet, merge_to_parquet, parse_size
from bytetok.training.counts_file import Header

Unit: TypeAlias = tuple[Source, ...]
Counted: TypeAlias = tuple[npt.NDArray[np.uint8], int, list[SkippedFile]]
"""A count file, the number of rows skipped, and the files skipped."""

# A unit holds this much stored text: so little that a lost node loses minutes and the last unit does not keep all others
# waiting, so much that starting a task does not count.
_LEAST_UNIT = 8 << 20
_MOST_UNIT = 256 << 20
_MOST_SOURCES = 10_000
# A node may be lost under the same unit this often. A unit that takes its worker down each time ends the run.
_RETRIES = 10
_PATIENCE = 5.0  # seconds for canceled tasks to delete their temporary files


def count_on_ray(
    texts: Texts,
    path: str | os.PathLike[str],
    *,
    pattern: str | Sequence[str] | SplitPattern = "o200k",
    workers: int | None = None,
    memory: int | str | None = None,
    address: str | None = None,
    progress: Progress | None = None,
) -> Header:
    """Count the pretokens of a corpus on a Ray cluster into a parquet file.

    The file is the one that :func:`~bytetok.training.counts.count_to_parquet` writes, byte for byte, also when workers or
    whole nodes are lost on the way.

    Every node must be able to read the files by the same absolute path (or URL), and needs this version of bytetok-lm. A
    file is the least that is handed out: to keep many CPUs busy, have many files. Documents in memory are sent along, as
    one unit a collection. Count files come back through Ray's object store to the temporary folder (``TMPDIR``) of the
    machine that calls, which merges them in little memory.

    Args:
        texts: what :func:`~bytetok.read_texts` returns, of anything but standard input, pipes and iterators.
        path: the parquet file to write, whole or not at all.
        pattern: a split pattern, as for :func:`~bytetok.training.counts.count_pretokens`.
        workers: at most this many tasks at once, of one CPU each; by default as many as the cluster has CPUs for.
        memory: the bound of each task's tables, as for :func:`~bytetok.training.counts.count_pretokens`.
        address: the cluster, as for ``ray.init``: ``host:port``, ``"auto"`` or ``ray://...``. By default the connection
            that is open; else ``RAY_ADDRESS``, the cluster on this machine, or a new one on this machine, until the end
            of the call.
        progress: hears the stored bytes of the units that are counted.

    Raises:
        MissingDependencyError: Ray is not installed.
        TrainingError: there is no cluster at ``address``; or a task failed for reasons that are not the corpus's.
        CorpusError, EncodingError, FormatError, InvalidPatternError: as when counting on one machine.
    """
    compiled = SplitPattern.of(pattern)
    _check_request(texts, workers, memory)
    try:
        import ray
    except ImportError as err:
        raise MissingDependencyError(
            "counting on a cluster needs the package ray; pip install 'bytetok-lm[ray]'"
        ) from err
    with _connected(ray, address), tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        shards = _run(ray, texts, compiled, memory, workers, Path(folder), progress)
        return merge_to_parquet(shards, path)


def _check_request(texts: object, workers: int | None, memory: int | str | None) -> None:
    if not isinstance(texts, Texts):
        raise CorpusError(
            f"a cluster counts what read_texts returns, got {type(texts).__name__}; call read_texts(...), or "
            "Texts.from_documents(...) for documents in memory"
        )
    if texts.one_shot:
        stream = next(source.path for source in texts.sources if source.one_shot)
        raise CorpusError(
            f"{shown(stream)} can be read only once and only here, by no other machine of a cluster; write it to a file "
            "that every node can read"
        )
    if workers is not None and workers < 1:
        raise TrainingError(f"workers is {workers}; at least one is needed")
    if memory is not None:
        parse_size(memory)


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Use the open connection to a cluster, or have one for the time of the block."""
    if ray.is_initialized():
        ours = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", ours):
            raise TrainingError(
                f"ray is connected to {ours} already, so it cannot connect to {address!r}; call ray.shutdown() first, or "
                "leave the address out"
            )
        yield
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as err:
        place = "on this machine" if address is None else f"at {shown(address)}"
        raise TrainingError(f"no ray cluster can be used {place}: {err}; start one with `ray start --head`") from err
    try:
        yield
    finally:
        ray.shutdown()


def _units(sources: Iterable[Source], goal: int) -> Iterator[Unit]:
    """Group sources, in order, to about ``goal`` stored bytes. What has no known size is a unit of its own."""
    unit: list[Source] = []
    size = 0
    for source in sources:
        if source.is_local_file:
            # The workers have another current folder.
            source = replace(source, path=str(Path(source.path).absolute()))
        if source.size is None:
            yield (source,)
            continue
        unit.append(source)
        size += source.size
        if size >= goal or len(unit) >= _MOST_SOURCES:
            yield tuple(unit)
            unit, size = [], 0
    if unit:
        yield tuple(unit)


def _run(
    ray: Any,
    texts: Texts,
    pattern: SplitPattern,
    memory: int | str | None,
    workers: int | None,
    folder: Path,
    progress: Progress | None,
) -> list[Path]:
    """Count all units and put their count files into ``folder``; in the order of the units."""
    cpus = workers or int(ray.cluster_resources().get("CPU", 1))
    known = sum(source.size or 0 for source in texts.sources)
    # Four units a worker, so that all end at about the same time.
    units = _units(texts.sources, min(max(known // (4 * max(cpus, 1)), _LEAST_UNIT), _MOST_UNIT))
    task = ray.remote(num_cpus=1, max_retries=_RETRIES)(_count_unit)
    options = (texts.column, texts.errors, texts.on_error, pattern, memory)
    waiting = enumerate(units)
    running: dict[Any, tuple[int, Unit]] = {}
    done: dict[int, tuple[Path, list[SkippedFile]]] = {}
    texts.skipped = texts.bytes_read = 0
    try:
        while True:
            # A cluster that grows on demand grows by what waits.
            most = workers or 64 + 2 * int(ray.cluster_resources().get("CPU", 0))
            for index, unit in islice(waiting, max(most - len(running), 0)):
                running[_submit(task, unit, options)] = index, unit
            if not running:
                break
            for reference in ray.wait(list(running), num_returns=1)[0]:
                index, unit = running[reference]
                counted, skipped_rows, skipped_files = _result(ray, reference, unit)
                shard = folder / f"{index}.parquet"
                counted.tofile(shard)
                del running[reference], reference, counted  # the object store keeps the file as long as these do
                done[index] = shard, skipped_files
                texts.skipped += skipped_rows
                texts.bytes_read += sum(source.size or 0 for source in unit)
                if progress is not None:
                    progress(texts.bytes_read)
    finally:
        _cancel(ray, list(running))
    ...
