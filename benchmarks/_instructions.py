"""Counts the instructions of a process between marks, with valgrind: the same on a busy machine as on a quiet one.

A measured program marks a place by calling ``os.getppid()``, which nothing else calls: callgrind dumps its counters
there. valgrind's processor has AVX2 but no AVX-512, so what is counted is the code that runs on such a machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from _encoding import environment


def require_valgrind() -> None:
    """End the script with what to do if valgrind is not there."""
    if shutil.which("valgrind") is None:
        sys.exit("valgrind counts the instructions and is not installed (apt-get install valgrind)")


def between_marks(python: str, code: str, *arguments: object) -> list[int]:
    """Instructions from each mark to the next in a program, one number fewer than there are marks.

    Raises RuntimeError with the last line of the program's complaint if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        out = Path(folder, "counts")
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={out}", "--quiet",
             python, "-c", code, *map(str, arguments)],
            env={**environment(), "PYTHONHASHSEED": "0", "PYTHONMALLOC": "pymalloc"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            complaints = done.stderr.strip().splitlines()
            raise RuntimeError(complaints[-1][:300] if complaints else "no message")
        dumps = sorted(Path(folder).glob("counts.*"), key=lambda path: int(path.suffix[1:]))
        # The first dump is what came before the first mark; what comes after the last is in the file without a number.
        return [_total(path) for path in dumps[1:]]


def _total(path: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"callgrind wrote no total into {path.name}")
    return int(found[1])
