"""Work on a Ray cluster: what every kind of it shares, and the counter of :mod:`bytetok.training.counts`.

Sources are grouped into units. A task counts one unit with the very function that counts on one machine and gives back
a sorted count file; the caller merges these from its own disk. A unit depends on nothing but its sources, so a task
whose worker or node dies is run again elsewhere, and the merged file cannot tell.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bytetok.errors import BytetokError, CorpusError, MissingDependencyError, TrainingError
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.training.corpus import OnError, Texts
from bytetok.training.corpus_sources import SkippedFile, Source, label, shown
from bytetok.training.corpus_streams import Errors
from bytetok.training.counts import Progress, count_to_parquet, merge_to_parquet, parse_size
from bytetok.training.counts_file import Header

Unit: TypeAlias = tuple[Source, ...]

# Stored bytes of a unit: so few that a lost node loses little work, so many that starting a task does not count.
_LEAST_UNIT = 8 << 20
_MOST_UNIT = 256 << 20
_MOST_SOURCES = 10_000
_QUEUE = 64  # units to wait for a CPU, besides two for each CPU
# A node may be lost under the same unit this often. A unit that takes its worker down each time ends the run.
RETRIES = 10
_REMEDY = "if nodes run out of memory, pass memory="
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

    The file is the one that :func:`~bytetok.training.counts.count_to_parquet` writes, byte for byte, also when workers
    or whole nodes are lost on the way.

    Every node must be able to read the files by the same absolute path (or URL), and needs this version of bytetok-lm.
    A file is the least that is handed out: to keep many CPUs busy, have many files. Documents in memory are sent along,
    each collection whole. Count files come back through Ray's object store to the temporary folder (``TMPDIR``) of the
    machine that calls, which merges them in little memory. Ctrl-C cancels what runs and leaves no file.

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
    check_request(texts, workers)
    if memory is not None:
        parse_size(memory)
    with connected(address) as ray, tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        job = _Job(texts.column, texts.errors, texts.on_error, compiled, memory)
        return merge_to_parquet(_run(ray, job, texts, workers, Path(folder), progress), path)


def check_request(texts: object, workers: int | None) -> None:
    """Raise CorpusError for a corpus that other machines cannot read, TrainingError for no workers."""
    if not isinstance(texts, Texts):
        raise CorpusError(
            f"a cluster reads what read_texts returns, got {type(texts).__name__}; call read_texts(...), or "
            "Texts.from_documents(...) for documents in memory"
        )
    if texts.one_shot:
        stream = next(source.path for source in texts.sources if source.one_shot)
        raise CorpusError(
            f"{shown(stream)} can be read only once and only here, by no other machine of a cluster; write it to a "
            "file that every node can read"
        )
    if workers is not None and workers < 1:
        raise TrainingError(f"workers is {workers}; at least one is needed")


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The module ray, connected to a cluster: by the connection that is open, or by one for the time of the block.

    Raises MissingDependencyError where Ray is not installed, TrainingError where there is no cluster at ``address``.
    """
    try:
        import ray
    except ImportError as err:
        raise MissingDependencyError("a cluster needs the package ray; pip install 'bytetok-lm[ray]'") from err
    if ray.is_initialized():
        ours = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", ours):
            raise TrainingError(
                f"ray is connected to {ours} already, so it cannot connect to {address!r}; call ray.shutdown() first, "
                "or leave the address out"
            )
        yield ray
        return
    try:
        _check_listens(address or os.environ.get("RAY_ADDRESS", ""))
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as err:
        place = "on this machine" if address is None else f"at {shown(address)}"
        raise TrainingError(
            f"no ray cluster can be used {place}: {err}; start one with `ray start --head`, and see `ray status`"
        ) from err
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_listens(address: str) -> None:
    """Raise OSError if nobody listens at ``host:port``, where ``ray.init`` would try for ten minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "://" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def units_of(sources: Sequence[Source], workers: int, *, in_order: bool = False) -> Iterator[Unit]:
    """Group sources for ``workers``; there is always a unit. What has no known size is a unit of its own.

    Only with ``in_order`` are these, too, where they were among the others.
    """
    known = sum(source.size or 0 for source in sources)
    # Four units a worker, so that all workers end at about the same time.
    goal = min(max(known // (4 * max(workers, 1)), _LEAST_UNIT), _MOST_UNIT)
    unit: list[Source] = []
    size = 0
    for source in sources:
        source = for_any_node(source)
        if source.size is None:
            if unit and in_order:
                yield tuple(unit)
                unit, size = [], 0
            yield (source,)
            continue
        unit.append(source)
        size += source.size
        if size >= goal or len(unit) >= _MOST_SOURCES:
            yield tuple(unit)
            unit, size = [], 0
    if unit or not sources:
        yield tuple(unit)


def for_any_node(source: Source) -> Source:
    """The source by its absolute path, since workers have another current folder."""
    return replace(source, path=str(Path(source.path).absolute())) if source.is_local_file else source


def _run(
    ray: Any, job: _Job, texts: Texts, workers: int | None, folder: Path, progress: Progress | None
) -> list[Path]:
    """Count all units, put their count files into ``folder``, and list them in the order of the units."""
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_count)
    waiting = enumerate(units_of(texts.sources, workers or cpus(ray)))
    running: dict[Any, tuple[int, Unit]] = {}
    shards: dict[int, Path] = {}
    skipped_files: dict[int, tuple[SkippedFile, ...]] = {}
    texts.skipped = texts.bytes_read = 0
    try:
        while True:
            for index, unit in islice(waiting, max(most_at_once(ray, workers) - len(running), 0)):
                running[submit(task, unit, job, unit)] = index, unit
            if not running:
                break
            reference = ray.wait(list(running), num_returns=1)[0][0]
            index, unit = running[reference]
            counted: _Counted = fetch(ray, reference, unit, "counted", _REMEDY)
            shards[index] = folder / f"{index}.parquet"
            counted.file.tofile(shards[index])
            skipped_files[index] = counted.skipped_files
            texts.skipped += counted.skipped
            texts.bytes_read += counted.read
            # The object store keeps what either of these refers to.
            del running[reference], reference, counted
            if progress is not None:
                progress(texts.bytes_read)
    finally:
        cancel(ray, list(running))
    texts._skipped_now = [file for index in sorted(skipped_files) for file in skipped_files[index]]
    return [shards[index] for index in sorted(shards)]


def most_at_once(ray: Any, workers: int | None) -> int:
    """How many tasks to have at once, running and waiting: a cluster that grows on demand grows by what waits."""
    return workers or _QUEUE + 2 * cpus(ray)


def cpus(ray: Any) -> int:
    """The CPUs that the cluster has now."""
    return int(ray.cluster_resources().get("CPU", 0))


def submit(task: Any, unit: Unit, *arguments: Any) -> Any:
    """Start a task for a unit; raises CorpusError for documents in memory that cannot be sent."""
    try:
        return task.remote(*arguments)
    except (TypeError, AttributeError, pickle.PicklingError) as err:
        raise CorpusError(
            f"{_named(unit)} cannot be sent to a cluster: {err}; write the documents to a file that every node can read"
        ) from err


def fetch(ray: Any, reference: Any, unit: Unit, done: str, remedy: str) -> Any:
    """Fetch what a task gave back. Errors of this package come as they were raised on the node.

    Any other is a TrainingError that says that the unit could not be ``done``, such as ``"counted"``; and the
    ``remedy``, where a worker may have died for lack of memory.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as err:
        if isinstance(err.cause, BytetokError):
            raise err.cause from None
        reason = (str(err).strip().splitlines() or [type(err).__name__])[-1]
        raise TrainingError(
            f"{_named(unit)} could not be {done} on the cluster: {reason}; every node needs the same versions of "
            "Python, ray and bytetok-lm, and room in its temporary folder"
        ) from err
    except ray.exceptions.RayError as err:
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise TrainingError(
            f"{_named(unit)} could not be {done} on the cluster: {reason}; {remedy}"
        ) from err


def _named(unit: Unit) -> str:
    if not unit:
        return "the empty corpus"
    return label(unit[0].path) + (f" and {len(unit) - 1} more" if len(unit) > 1 else "")


def cancel(ray: Any, running: Sequence[Any]) -> None:
    """Stop tasks whose result nobody waits for, and let them delete their temporary files."""
    if not running:
        return
    with suppress(ray.exceptions.RayError):  # the error on its way says more than that the cluster is gone
        # To cancel a task that has just ended aborts the process (seen in Ray 2.60, "task that was not pending").
        _, unfinished = ray.wait(running, num_returns=len(running), timeout=0, fetch_local=False)
        for reference in unfinished:
            ray.cancel(reference)
        if unfinished:
            ray.wait(unfinished, num_returns=len(unfinished), timeout=_PATIENCE, fetch_local=False)


# --- on the nodes -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """What to do with every unit."""

    column: str
    errors: Errors
    on_error: OnError
    pattern: SplitPattern
    memory: int | str | None


@dataclass(frozen=True)
class _Counted:
    """A count file as its bytes, the bytes read for it, and the rows and files that were skipped."""

    file: npt.NDArray[np.uint8]  # an array, because Ray hands those over without a copy
    read: int
    skipped: int
    skipped_files: tuple[SkippedFile, ...]


def _count(job: _Job, unit: Unit) -> _Counted:
    texts = Texts(unit, column=job.column, errors=job.errors, on_error=job.on_error)
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        shard = Path(folder, "counts.parquet")
        header = count_to_parquet(texts, shard, pattern=job.pattern, memory=job.memory)
        return _Counted(
            np.fromfile(shard, dtype=np.uint8), texts.bytes_read or header.bytes, texts.skipped, texts.skipped_files
        )
