"""How far long work is: a bar on a terminal, a line every ten seconds where stderr is a file or a pipe."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from bytetok.cli.terminal import note, size_words, time_words

Unit = Literal["bytes", "tokens", "documents"]
Update = Callable[[int], None]
"""Hears how much has been done so far."""

_LINE_SECONDS = 10.0
_WINDOW_SECONDS = 15.0
_WINDOW_STEP = 0.5


@contextmanager
def progress(label: str, total: int | None, unit: Unit = "bytes") -> Iterator[Update]:
    """Show on stderr how much of ``total`` is done, how fast, and how long the rest will take.

    Give the block's value the amount done so far. Nothing stays on the screen when the block ends, and short work where
    there is no terminal prints nothing at all.
    """
    from rich.console import Console

    pace = Pace(total, unit)
    stderr = Console(stderr=True)
    if not stderr.is_terminal or stderr.is_dumb_terminal:
        yield _lines(label, pace)
        return

    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[words]}")
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task(label, total=total, words="")

        def update(done: int) -> None:
            pace.reached(done)
            bar.update(task, completed=done, words=pace.words())

        yield update


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Show on a terminal that work of unknown length goes on."""
    from rich.console import Console

    stderr = Console(stderr=True)
    if stderr.is_terminal and not stderr.is_dumb_terminal:
        with stderr.status(label):
            yield
    else:
        yield


def added(update: Update) -> Update:
    """For a library function that tells how much was done since its last call."""
    done = 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        update(done)

    return add


class Pace:
    """The speed of the last seconds, and what is left at that speed.

    Not of the whole run: merges are slow at first and fast later, so an average would promise hours for minutes.
    """

    def __init__(self, total: int | None, unit: Unit, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._unit, self._clock = total, unit, clock
        self._past = deque([(clock(), 0)])
        self._done = 0

    def reached(self, done: int) -> None:
        """``done`` units are done."""
        now = self._clock()
        self._done = done
        if now - self._past[-1][0] >= _WINDOW_STEP:
            self._past.append((now, done))
            while len(self._past) > 2 and now - self._past[1][0] >= _WINDOW_SECONDS:
                self._past.popleft()

    def words(self) -> str:
        """``"1.2 GB of 3.4 GB (35 %), 120.0 MB/s, 0:18 left"``."""
        parts = [self._amount(self._done)]
        if self._total:
            done = parts[0].removesuffix(f" {self._unit}") if self._unit != "bytes" else parts[0]
            share = f"{min(1.0, self._done / self._total):.0%}".replace("%", " %")
            parts[0] = f"{done} of {self._amount(self._total)} ({share})"
        then, before = self._past[0]
        seconds = self._clock() - then
        if seconds >= 1 and self._done > before:
            rate = (self._done - before) / seconds
            parts.append(f"{self._amount(rate)}/s")
            if self._total and self._total > self._done:
                parts.append(f"{time_words((self._total - self._done) / rate)} left")
        return ", ".join(parts)

    def _amount(self, count: float) -> str:
        return size_words(count) if self._unit == "bytes" else f"{count:,.0f} {self._unit}"


def _lines(label: str, pace: Pace) -> Update:
    last = time.monotonic()

    def update(done: int) -> None:
        nonlocal last
        pace.reached(done)
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            note(f"{label}: {pace.words()}")

    return update
