"""Encoding on a Ray cluster, by the function that encodes on one machine.

A task encodes one unit of sources and hands over its parts one by one, so that neither a node nor the caller holds more
than a few of them, however large a file is. The caller keeps them on disk and gives them on in the order of documents.
A task whose worker or node dies is run again elsewhere; as parts depend on nothing but the sources, nobody can tell.
"""

from __future__ import annotations

import pickle
from collections.abc import Generator, Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from bytetok.training import cluster
from bytetok.training.cluster import Unit
from bytetok.training.corpus_sources import Source
from bytetok.training.corpus_streams import Advance
from bytetok.training.encode_parts import EncodeJob, Part, Position, encode_parts
from bytetok.training.encode_resume import PartFolder

_AHEAD = 2  # parts that a task makes before anybody takes them
_REMEDY = "nodes need memory for the longest document, and about 200 MB"


class RayEngine:
    """Encodes units as tasks of one CPU each, at most ``workers`` at once. ``ray`` is the module, connected."""

    def __init__(self, ray: Any, workers: int | None) -> None:
        self._ray, self._workers = ray, workers

    def units(self, sources: Sequence[Source]) -> list[int]:
        """How many sources each unit has."""
        workers = self._workers or cluster.cpus(self._ray)
        return [len(unit) for unit in cluster.units_of(sources, workers, in_order=True)]

    def parts(
        self, job: EncodeJob, units: Sequence[Unit], kept: PartFolder | None, advance: Advance
    ) -> Generator[Part]:
        """All parts of all units in order: those that are kept, and others as they are made, which are kept too.

        Raises as :func:`~bytetok.training.encode_parts.encode_parts`, and TrainingError for a task that failed for
        reasons that are not the corpus's.
        """
        assert kept is not None
        run = _Run(self._ray, self._workers, job, [tuple(map(cluster.for_any_node, unit)) for unit in units], kept)
        try:
            for unit in range(len(units)):
                for number in count():
                    run.receive(unit, number, advance)
                    part = kept.load(unit, number)
                    yield part
                    if part.is_last:
                        break
        finally:
            run.cancel()


class _Run:
    """The tasks that are running, and the units that wait for one."""

    def __init__(
        self, ray: Any, workers: int | None, job: EncodeJob, units: Sequence[Unit], kept: PartFolder
    ) -> None:
        self._ray, self._workers, self._units, self._kept = ray, workers, units, kept
        # Sent once, not with every task.
        self._job = ray.put(ray.cloudpickle.dumps(job))
        options = {"num_returns": "streaming", "_generator_backpressure_num_objects": _AHEAD}
        self._task = ray.remote(num_cpus=1, max_retries=cluster.RETRIES, **options)(_encode)
        self._waiting = ((unit, done) for unit in range(len(units)) if not (done := kept.done(unit)).is_whole)
        self._running: dict[Any, tuple[int, int]] = {}

    def receive(self, unit: int, number: int, advance: Advance) -> None:
        """Take what is ready, and wait until the part that the caller wants is there."""
        while True:
            self._submit()
            is_there = self._kept.has(unit, number)
            if not self._running:
                return
            ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=0 if is_there else None)
            for parts in ready:
                self._take(parts, advance)
            if is_there:
                return

    def _submit(self) -> None:
        for _ in range(cluster.most_at_once(self._ray, self._workers) - len(self._running)):
            if (found := next(self._waiting, None)) is None:
                return
            unit, done = found
            sources = self._units[unit]
            self._running[cluster.submit(self._task, sources, self._job, sources, done.end)] = unit, done.parts

    def _take(self, parts: Any, advance: Advance) -> None:
        unit, number = self._running[parts]
        reference = next(parts, None)
        if reference is None:
            del self._running[parts]
            return
        part: Part = cluster.fetch(self._ray, reference, self._units[unit], "encoded", _REMEDY)
        self._kept.add(unit, number, part)
        self._running[parts] = unit, number + 1
        advance(part.read)

    def cancel(self) -> None:
        """Stop what is running."""
        cluster.cancel(self._ray, [parts.completed() for parts in self._running])


# --- on the nodes -------------------------------------------------------------------------------


def _encode(packed: bytes, sources: Unit, start: Position) -> Iterator[Part]:
    yield from encode_parts(_unpacked(packed), sources, start, threads=1)


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> EncodeJob:
    """The job, made ready once for the many units that a worker encodes."""
    job: EncodeJob = pickle.loads(packed)
    return job
