"""A Ray cluster on this machine: a head and worker nodes as processes, at a loopback address.

A test module imports ``ray_fixture``, ``cluster_fixture`` and ``corpus_fixture`` to have the fixtures so named.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

WORDS = "The plaintiff's naïve motion — № 1234567 — 原告の申立て was denied;\n\tsee 12 U.S.C. § 1841(a).\r\n"
# Ray takes 127.0.0.1 for "this machine as others see it", and would leave the loopback interface.
LOOPBACK = "127.0.0.2"
NODE = {"num_cpus": 1, "node_ip_address": LOOPBACK, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module", name="ray")
def ray_fixture() -> Iterator[ModuleType]:
    """Ray, told to send this module along, which workers cannot import."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield ray
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module", name="cluster")
def cluster_fixture(ray: ModuleType) -> Iterator[Any]:
    """A head that runs no tasks, and two workers of one CPU each."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray")  # not tmp_path: a socket's path has at most 107 bytes
    Path(folder, "ray").mkdir()  # Ray writes the address of the cluster into this folder of TMPDIR
    settings = {
        "health_check_initial_delay_ms": 500,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 3,
    }
    head = NODE | {"num_cpus": 0, "include_dashboard": False, "temp_dir": folder, "_system_config": settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)  # of the workers: what is killed cannot tidy up
        started = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            started.add_node(**NODE)
        yield started
        started.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(name="corpus")
def corpus_fixture(tmp_path: Path) -> Path:
    """A folder of files of several kinds."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for index in range(6):
        (folder / f"{index}.txt").write_bytes(f"{WORDS * 50}{index} words{index}".encode())
    (folder / "empty.txt").touch()
    (folder / "packed.txt.gz").write_bytes(gzip.compress(WORDS.encode() * 2000))
    rows = [{"text": f"{WORDS}{index}"} for index in range(200)] + [{"text": None}]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@dataclass(frozen=True)
class Watched:
    """Documents that do something before each, and leave a mark when they are begun, stopped and ended."""

    name: str
    documents: tuple[str, ...]
    marks: Path
    before_each: Callable[[], None]

    def __iter__(self) -> Iterator[str]:
        import ray

        attempt = f"{self.name}.{uuid.uuid4().hex}"
        (self.marks / f"{attempt}.begun").write_text(ray.get_runtime_context().get_node_id())
        try:
            for document in self.documents:
                self.before_each()
                yield document
            (self.marks / f"{attempt}.ended").touch()
        finally:
            (self.marks / f"{attempt}.stopped").touch()


def attempts(marks: Path, mark: str) -> set[str]:
    """The attempts that left a mark, each as ``name.number``."""
    return {path.stem for path in marks.glob(f"*.{mark}")}


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.05)


def is_first(mark: Path) -> bool:
    """Whether nobody, in any process, has asked for this mark before."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def nap() -> None:
    """Take some time."""
    time.sleep(0.06)


def die() -> None:
    """End the process at once."""
    os._exit(1)


@contextmanager
def losing_a_node(cluster: Any, marks: Path) -> Iterator[dict[str, set[str]]]:
    """Kill a node in the middle of a unit; the attempts that were killed, and those that had ended before."""
    victim = min(cluster.worker_nodes, key=lambda node: str(node.node_id))
    seen: dict[str, set[str]] = {}

    def on_victim() -> set[str]:
        begun = {path.stem for path in marks.glob("*.begun") if path.read_text() == victim.node_id}
        return begun - attempts(marks, "ended")

    def kill() -> None:
        wait_for(lambda: bool(attempts(marks, "ended")) and bool(on_victim()))
        # Ray kills its daemon, which the workers outlive by seconds; a machine that is gone takes all at once.
        daemon = psutil.Process(victim.all_processes["raylet"][0].process.pid)
        for process in [daemon, *daemon.children(recursive=True)]:
            process.kill()
        seen["killed"] = on_victim()
        seen["ended"] = attempts(marks, "ended")
        cluster.remove_node(victim, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield seen
    finally:
        killer.join()
        cluster.add_node(**NODE)  # the other tests want two as well
