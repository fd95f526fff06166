"""Where results go: checked before long work begins, written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bytetok.errors import FormatError

_OURS = "bytetok.json"


def check_file(path: str) -> None:
    """Raise FormatError or OSError now if a file could not be written to ``path`` in the end."""
    if Path(path).is_dir():
        raise FormatError(f"{path!r} is a folder; name a file in it, such as {str(Path(path, 'out'))!r}")
    _check_writable(Path(path).absolute().parent)


def check_folder(path: str) -> None:
    """Raise FormatError or OSError now if a tokenizer could not be saved to the folder ``path`` in the end.

    A folder that is new, empty, or holds a tokenizer of ours is fine; any other is somebody's work.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise FormatError(f"{path!r} is a file, and a tokenizer is saved as a folder; choose another name")
    if folder.is_dir() and not (folder / _OURS).is_file():
        others = sorted(entry.name for entry in folder.iterdir())
        if others:
            shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
            raise FormatError(
                f"{path!r} is a folder that holds no tokenizer of bytetok but other files ({shown}); choose a new or "
                "empty folder"
            )
    _check_writable(folder.absolute())


def _check_writable(folder: Path) -> None:
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(20, "not a folder, so nothing can be written below it", str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "no permission to write here", str(folder))


@contextmanager
def whole_folder(path: str) -> Iterator[Path]:
    """A temporary folder that becomes ``path`` when the block succeeds, and is deleted when it fails."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Named before it is made, so that an interrupt has no moment in which the folder is there and nobody knows it.
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.part"
    try:
        temporary.mkdir()
        yield temporary
        if target.exists():
            for file in sorted(temporary.iterdir()):
                file.replace(target / file.name)
        else:
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
