"""Progress on stderr: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import sys

import pytest
import rich.progress

from bytetok.cli import progress as module
from bytetok.cli.progress import Pace, Unit, added, progress


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def paced(total: int | None, unit: Unit, steps: list[tuple[float, int]]) -> str:
    clock = Clock()
    pace = Pace(total, unit, clock)
    for seconds, done in steps:
        clock.now += seconds
        pace.reached(done)
    return pace.words()


@pytest.mark.parametrize(
    ("total", "unit", "steps", "words"),
    [
        (None, "bytes", [], "0 bytes"),
        (2_000_000, "bytes", [(0.1, 500_000)], "500.0 kB of 2.0 MB (25 %)"),
        (2_000_000, "bytes", [(2, 500_000)], "500.0 kB of 2.0 MB (25 %), 250.0 kB/s, 6.0 s left"),
        (None, "bytes", [(2, 500_000)], "500.0 kB, 250.0 kB/s"),
        (1000, "tokens", [(1, 300), (1, 400)], "400 of 1,000 tokens (40 %), 200 tokens/s, 3.0 s left"),
        (1000, "tokens", [(2, 1000)], "1,000 of 1,000 tokens (100 %), 500 tokens/s"),
        (1000, "bytes", [(2, 1500)], "1.5 kB of 1.0 kB (100 %), 750 bytes/s"),
        (0, "bytes", [(2, 0)], "0 bytes"),
    ],
)
def test_words(total: int | None, unit: Unit, steps: list[tuple[float, int]], words: str) -> None:
    assert paced(total, unit, steps) == words


def test_the_estimate_follows_the_last_seconds() -> None:
    """A slow start is forgotten: after 100 s at 1/s and 20 s at 100/s, the rest goes at 100/s."""
    slow = [(1.0, done) for done in range(1, 101)]
    fast = [(1.0, 100 + 100 * step) for step in range(1, 21)]
    assert paced(4100, "tokens", slow + fast).endswith("100 tokens/s, 20.0 s left")


def test_short_work_says_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("counting", 100) as update:
        update(50)
    assert capsys.readouterr() == ("", "")


def test_long_work_says_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINE_SECONDS", 0.0)
    with progress("counting", 4000) as update:
        update(1000)
        update(2000)
    assert capsys.readouterr() == ("", "counting: 1.0 kB of 4.0 kB (25 %)\ncounting: 2.0 kB of 4.0 kB (50 %)\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("total", [4000, None])
def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch, total: int | None) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    shown: list[object] = []
    real = rich.progress.Progress.update

    def update(self: rich.progress.Progress, *args: object, **fields: object) -> None:
        shown.append(fields["words"])
        real(self, *args, **fields)  # type: ignore[arg-type]
        self.refresh()

    monkeypatch.setattr(rich.progress.Progress, "update", update)
    with progress("counting", total) as tell:
        tell(1000)
    assert shown == ["1.0 kB of 4.0 kB (25 %)" if total else "1.0 kB"]
    assert "counting" in terminal.getvalue()
    assert "1.0 kB" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[1A\x1b[2K")  # the last line is taken back


def test_a_dumb_terminal_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    with progress("counting", 4000) as tell:
        tell(1000)
    assert terminal.getvalue() == ""


def test_amounts_since_the_last_call_add_up() -> None:
    heard: list[int] = []
    add = added(heard.append)
    for more in (3, 0, 4):
        add(more)
    assert heard == [3, 3, 7]
