"""A process that measures one library: commands come as lines of JSON on stdin, one line of JSON answers each.

Started by ``_encoding.py`` on a pinned core. A process answers when it is asked, so that libraries are measured in turn
and yet stay warm. Times are CPU seconds of the whole process, all threads, and wall seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _libraries import Call, Calls, Files, open_library


class Session:
    """What the commands of one process share: the library, the texts, and lists of ids to decode."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.texts: list[str] = []
        self.ids: list[list[int]] = []

    def open(self, library: str, files: dict[str, str], threads: int) -> dict[str, Any]:
        """Import the library and load the tokenizer; numpy is there before, whoever needs it."""
        import numpy  # noqa: F401

        start = time.process_time()
        self.calls = open_library(library, Files(**files), threads=threads)
        return {"cpu": time.process_time() - start}

    def read(self, path: str, size: int, limit: int, lines: bool) -> dict[str, Any]:
        """Read the first ``limit`` bytes of a file and cut them into texts of at most ``size`` bytes."""
        with Path(path).open("rb") as file:
            data = file.read(limit)
        self.texts = list(cut(data, size, lines=lines))
        return {"texts": len(self.texts), "bytes": sum(len(text.encode()) for text in self.texts)}

    def warm_up(self, call: str, text: str) -> dict[str, Any]:
        """One short text, so that what a library builds when it is first used is built."""
        self._call(call)([text] if call.startswith("batch") else text)
        return {}

    def measure(self, call: str) -> dict[str, Any]:
        """One pass over all texts (or lists of ids, for ``decode``)."""
        function = self._call(call)
        run = _batch if call.startswith("batch") else _each
        inputs = self.ids if call.startswith("decode") else self.texts
        wall, cpu = time.perf_counter(), time.process_time()
        run(function, inputs)
        return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}

    def digests(self, call: str, every: int) -> dict[str, Any]:
        """A hash and the number of the ids of each ``every``-th text, so that two libraries can be compared."""
        function, texts = self._call(call), self.texts[::every]
        if call == "count":
            return {"counts": [int(function(text)) for text in texts]}
        found = list(map(_plain, unbatched(function(texts)) if call.startswith("batch") else map(function, texts)))
        hashes = [hashlib.sha256(array("I", ids).tobytes()).hexdigest()[:16] for ids in found]
        return {"digests": hashes, "counts": list(map(len, found))}

    def write_ids(self, call: str, path: str) -> dict[str, Any]:
        """Write the ids of all texts to a file: a line of JSON each."""
        with Path(path).open("w", encoding="utf-8") as file:
            for text in self.texts:
                file.write(json.dumps(_plain(self._call(call)(text))) + "\n")
        return {}

    def read_ids(self, path: str) -> dict[str, Any]:
        """Read lists of ids to decode."""
        with Path(path).open(encoding="utf-8") as file:
            self.ids = [json.loads(line) for line in file]
        return {"ids": sum(map(len, self.ids))}

    def check_decode(self, call: str) -> dict[str, Any]:
        """How many lists of ids do not give the text back."""
        wrong = 0
        for ids, text in zip(self.ids, self.texts, strict=True):
            decoded = self._call(call)(ids)
            wrong += decoded != (text if isinstance(decoded, str) else text.encode())
        return {"wrong": wrong}

    def memory(self) -> dict[str, Any]:
        """Peak resident memory of this process so far, in bytes."""
        return {"peak": peak_memory()}

    def _call(self, name: str) -> Call:
        function: Call | None = getattr(self.calls, name)
        if function is None:
            raise LookupError("not offered")
        return function


def cut(data: bytes, size: int, *, lines: bool) -> Iterator[str]:
    """Cut UTF-8 into texts of at most ``size`` bytes, after a line end or (``lines`` false) after any white space.

    Where there is none within ``size`` bytes, the cut is between characters. An unfinished character at the end of
    ``data`` is left out.
    """
    end = len(data)
    while end and data[end - 1 : end] >= b"\x80" and not _is_whole(data[max(0, end - 4) : end]):
        end -= 1
    start = 0
    while start < end:
        stop = min(start + size, end)
        if stop < end:
            newline = data.rfind(b"\n", start, stop)
            place = newline if lines else max(newline, data.rfind(b" ", start, stop))
            if place >= 0:
                stop = place + 1
            while 0x80 <= data[stop] < 0xC0:
                stop -= 1
        yield data[start:stop].decode()
        start = stop


def _is_whole(tail: bytes) -> bool:
    """Whether bytes (at most four) end with a whole character; what is before it may be cut."""
    for length in range(1, len(tail) + 1):
        try:
            tail[-length:].decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


def peak_memory() -> int:
    """``VmHWM`` in bytes: unlike what ``wait4`` reports, it starts anew with the program."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("the kernel does not report VmHWM")


def _each(function: Call, inputs: list[Any]) -> None:
    for one in inputs:
        function(one)


def _batch(function: Call, inputs: list[Any]) -> None:
    function(inputs)


def unbatched(result: Any) -> Iterator[Any]:
    """The ids of each text in what a batch call returned: a list, or all ids with offsets or lengths."""
    if not (isinstance(result, tuple) and len(result) == 2):
        yield from result
        return
    import numpy

    ids, ends = result
    if isinstance(ends, bytes):
        ends = numpy.frombuffer(ends, dtype=numpy.uint64)
    ends = numpy.asarray(ends).astype(numpy.int64)
    if len(ends) == 0 or ends[0] != 0 or int(ends[-1]) != len(ids):
        ends = numpy.concatenate([[0], numpy.cumsum(ends)])
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        yield ids[start:end]


def _plain(ids: Any) -> list[int]:
    return ids if type(ids) is list else [int(one) for one in ids]


def main() -> None:
    """Answer commands until stdin closes. What a library raises is an answer as well."""
    cores = json.loads(sys.argv[1])
    os.sched_setaffinity(0, cores)
    session = Session()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        command = json.loads(line)
        function: Callable[..., dict[str, Any]] = getattr(session, command.pop("do"))
        try:
            answer = function(**command)
        except BaseException as err:  # a Rust panic is no Exception
            answer = {"error": f"{type(err).__name__}: {err}"[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
