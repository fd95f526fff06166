"""Jobs in a process of their own, so that what hangs or crashes is a failed test and not the end of all."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable


def in_child(job: Callable[[], object], seconds: float = 60) -> object:
    """The result of a job in a forked process; fails if that does not end well and in time."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def work() -> None:
        sender.send(job())

    child = context.Process(target=work)
    child.start()
    sender.close()  # so that a child that dies is heard
    try:
        assert receiver.poll(seconds), f"the forked process does not answer in {seconds} seconds"
        answer = receiver.recv()
        child.join(seconds)
        assert child.exitcode == 0
        return answer
    except EOFError:
        child.join(seconds)
        raise AssertionError(f"the forked process died with {child.exitcode}") from None
    finally:
        child.kill()
        child.join()
