"""What the benchmark scripts share: where a figure was measured, one process measured whole, results kept as JSON.

Nothing here imports numpy or bytetok: on Linux the peak memory of a child starts at its parent's, so a benchmark that
reports the memory of its children stays small itself.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"


def corpus(name: str) -> Path:
    """A file below ``$BYTETOK_CACHE/corpora``; ends the script with what to run if it is not there."""
    cache = Path(os.environ.get("BYTETOK_CACHE") or Path.home() / ".cache" / "bytetok").expanduser()
    path = cache / "corpora" / name
    if not path.is_file():
        sys.exit(f"corpora/{name} is not in the cache; build it as benchmarks/README.md says")
    return path


def machine(*packages: str) -> dict[str, Any]:
    """Where and when: CPU, memory, load, Python, commit and the versions of ``packages`` that are installed.

    Call it before the first measurement; :func:`save` adds the load at the end.
    """
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "core_sha256": _core_sha256(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30, 1),
        # Other work on the cores can double even CPU seconds: ratios of interleaved runs hold, absolute figures do not.
        "load_average": [round(os.getloadavg()[0], 2)],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": versions,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _core_sha256() -> str:
    """The compiled module that was measured: a build may be older than the commit."""
    built = sorted(ROOT.glob("bytetok/_core*.so"))
    if not built:
        return "installed"
    with built[0].open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "bytetok", "rust_ext")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (" with changes" if changed else "")


@dataclass(frozen=True)
class Run:
    """One process from start to end: CPU seconds (user and system), wall seconds, peak resident memory in MB (1e6)."""

    cpu: float
    wall: float
    rss: float


def run(code: str, *arguments: object, threads: int = 1) -> Run:
    """Run Python code in a fresh process on ``threads`` cores. ``sys.argv[1:]`` are the arguments.

    Ends the script if the process fails.
    """
    cores = sorted(os.sched_getaffinity(0))[:threads]
    pinned = f"import os; os.sched_setaffinity(0, {cores})\n{code}"
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", pinned, *map(str, arguments)], env=environment, stdout=subprocess.DEVNULL
    )
    # wait4 gives the usage of this child alone; getrusage(RUSAGE_CHILDREN) keeps the largest memory of all so far.
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"a measured process failed with {process.returncode}: {code.splitlines()[-1][:80]}")
    return Run(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024 / 1e6)


def interleaved(jobs: Mapping[str, Callable[[], Run]], *, rounds: int) -> dict[str, list[Run]]:
    """Run every job once a round, A B C A B C, so that what else the machine does falls on all alike."""
    runs: dict[str, list[Run]] = {name: [] for name in jobs}
    for number in range(rounds):
        for name, job in jobs.items():
            one = job()
            runs[name].append(one)
            print(
                f"  {number + 1}/{rounds}  {name:<28} CPU {one.cpu:6.2f} s  wall {one.wall:6.2f} s  {one.rss:5.0f} MB",
                file=sys.stderr,
            )
    return runs


def median(runs: Sequence[Run]) -> Run:
    """The median of each figure by itself."""
    return Run(*(statistics.median(getattr(one, field) for one in runs) for field in ("cpu", "wall", "rss")))


@dataclass(frozen=True)
class Claim:
    """A figure against its bar: at most ``bar``, or at least where ``at_least``. ``bar`` None: reported, not judged."""

    what: str
    figure: str
    value: float
    bar: float | None = None
    at_least: bool = False

    @property
    def passed(self) -> bool | None:
        """Whether the bar is reached; None where there is none."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar


def save(script: str, claims: Sequence[Claim], where: dict[str, Any], **details: Any) -> None:
    """Print the claims and write ``results/SCRIPT.json`` with them, the machine and all details.

    Ends the script without writing if the compiled module is another one than when ``where`` was taken.
    """
    from table import rows

    where["load_average"].append(round(os.getloadavg()[0], 2))
    entries = [{**vars(claim), "passed": claim.passed} for claim in claims]
    result = {"script": script, "machine": where, "claims": entries, **details}
    print("\n".join(rows(result)))
    if _core_sha256() != where["core_sha256"]:
        sys.exit("bytetok was built again meanwhile, so these are figures of two builds; nothing is written, run again")
    path = RESULTS / f"{script}.json"
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
