"""A memory budget holds for the whole process, and what goes to disk for it does not change the counts.

The figure for 2 GB of text is measured by ``benchmarks/count_memory.py``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

MEGABYTE = 10**6

# VmHWM, because what getrusage says of a process includes the one that started it.
RUN = """
import re
import sys
from pathlib import Path
from bytetok.training.corpus import read_texts
from bytetok.training.counts import count_to_parquet
text, out, memory, threads = sys.argv[1:]
count_to_parquet(read_texts(text), out, memory=memory or None, threads=int(threads))
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="this system does not tell the peak of a process's memory"
)


def peak(text: Path, out: Path, memory: str, threads: int = 1) -> int:
    """Count in a process of its own; its peak resident set size in bytes."""
    arguments = [sys.executable, "-c", RUN, str(text), str(out), memory, str(threads)]
    return int(subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout) * 1024


def write_words(text: Path, count: int) -> None:
    """Words of six random letters, hardly any of them twice; but the first ones again at the end."""
    words = np.random.default_rng(0).integers(ord("a"), ord("z") + 1, (count, 7), dtype=np.uint8)
    words[:, 0] = ord(" ")
    with text.open("wb") as file:
        file.write(words.tobytes())
        file.write(words[:100_000].tobytes() * 2)


def test_a_budget_bounds_the_process_and_changes_nothing(tmp_path: Path) -> None:
    text, whole = tmp_path / "text.txt", tmp_path / "whole.parquet"
    write_words(text, 4_200_000)
    assert peak(text, whole, "") > 250 * MEGABYTE  # so the bounds below mean something
    for threads in (1, 2):
        out = tmp_path / f"{threads}.parquet"
        assert peak(text, out, "200MB", threads) <= 200 * MEGABYTE
        assert out.read_bytes() == whole.read_bytes()


def test_a_table_too_large_to_grow_is_written_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    write_words(text, 7_200_000)
    assert peak(text, tmp_path / "out.parquet", "512MB") <= 512 * MEGABYTE
