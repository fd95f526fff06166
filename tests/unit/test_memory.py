"""A document of any size takes constant memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import re, sys
import bytetok as bt
counts = bt.count_pretokens(bt.read_texts(sys.argv[1]), pattern=sys.argv[2])
# Not ru_maxrss, which a child inherits from the process that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
print(counts.documents, counts.bytes, peak)
"""


@pytest.fixture(scope="module")
def long_document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 MB in one document."""
    path = tmp_path_factory.mktemp("memory") / "long.txt"
    paragraph = "".join(f"Section {number}. The parties agree to term {number * 7919}.\n" for number in range(20_000))
    with path.open("w", encoding="utf-8") as file:
        for _ in range(160_000_000 // len(paragraph)):
            file.write(paragraph)
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("pattern", ["o200k", "lines"])
def test_one_long_document_is_counted_in_little_memory(long_document: Path, pattern: str) -> None:
    command = [sys.executable, "-c", COUNT, str(long_document), pattern]
    documents, size, peak = map(int, subprocess.run(command, check=True, capture_output=True).stdout.split())
    assert (documents, size) == (1, long_document.stat().st_size)
    # An interpreter with numpy and our modules takes about 40 MB; the document alone is 160 MB.
    assert peak < 100_000_000
