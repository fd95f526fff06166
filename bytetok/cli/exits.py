"""How a command ends: one message and an exit code for everything that can go wrong."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from bytetok.errors import BytetokError

FAILED, INTERRUPTED, PIPE_CLOSED = 1, 130, 141
"""Exit codes; wrong usage is 2, as everywhere. The last two are what a shell reports for SIGINT and SIGPIPE."""

_GREEDY = "--on"


class _Plain:
    """Help without what a reader does not need: types of switches and arguments, ragged paragraphs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help: str | None = _reflowed(getattr(self, "help", None) or "")

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options, ``--help`` last."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if param.param_type_name == "argument":
                param.display_type_rich = _nothing
            elif param.is_flag:
                param.metavar = ""
        return params


def _nothing(ctx: Any) -> None:
    return None


def _reflowed(text: str) -> str:
    """The help with each paragraph on one line, for the terminal to fold; examples, which are indented, as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(f"[not dim]{part}[/]" if "\n  " in part else part.replace("\n", " ") for part in paragraphs)


class Commands(_Plain, TyperGroup):
    """All commands, with errors turned into messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the user typed."""
        with _errors_as_messages():
            result = super().invoke(ctx)
            sys.stdout.flush()  # a closed pipe is met here rather than when the interpreter ends
            return result


class Command(_Plain, TyperCommand):
    """A command whose ``--on`` takes every word up to the next option.

    The shell expands ``--on heldout/*.txt`` to ``--on heldout/a.txt heldout/b.txt``; an option of one value would leave
    the second file among the tokenizers.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options; ``--help`` stands under the last heading rather than under one of its own."""
        params = super().get_params(ctx)
        if len(params) > 1 and "--help" in params[-1].opts:
            params[-1].rich_help_panel = getattr(params[-2], "rich_help_panel", None)
        return params

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command's name."""
        return super().parse_args(ctx, _spread(args) if any(_GREEDY in one.opts for one in self.params) else args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; wrong usage found on the way is reported as if the parser had found it."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as err:
            err.ctx = err.ctx or ctx
            raise


def _spread(args: Sequence[str]) -> list[str]:
    """``--on a b`` as ``--on a --on b``."""
    spread: list[str] = []
    taking = False
    for position, word in enumerate(args):
        if word == "--":  # everything after it is an argument
            return [*spread, *args[position:]]
        if word.startswith("-") and word != "-":
            taking = word == _GREEDY
            spread.append(word)
        elif taking:
            # The option itself stands before its first value already.
            spread += [word] if spread[-1] == _GREEDY else [_GREEDY, word]
        else:
            spread.append(word)
    return spread


def wrong_usage(message: str, option: str) -> NoReturn:
    """Exit with 2, the usage line and ``message`` about ``option``."""
    raise typer.BadParameter(message, param_hint=f"'{option}'")


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    try:
        yield
    except BytetokError as err:
        _fail(str(err))
    except BrokenPipeError:
        # What is still in the buffer would raise again when the interpreter flushes it at exit.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None
    except OSError as err:
        where = f"{os.fsdecode(err.filename)}: " if isinstance(err.filename, str | bytes) else ""
        _fail(f"{where}{err.strerror or err}")
    except MemoryError:
        _fail("out of memory; for counting and training, --memory 2GB keeps the tables within that size on disk")
    except KeyboardInterrupt:
        typer.echo("interrupted; no file was left half-written", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _fail(message: str) -> NoReturn:
    typer.echo(f"{typer.style('error:', fg='red', bold=True)} {message}", err=True)
    raise typer.Exit(FAILED)
