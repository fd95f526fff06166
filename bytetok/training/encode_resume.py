"""What a run leaves on disk until it is finished, so that the same command goes on where it stopped.

Beside ``OUT`` stands the folder ``OUT.partial``. In it are ``plan.json``, which says what is being encoded, and the
parts that are done, each a file that is there whole or not at all. Parts belong to units, groups of sources that are
encoded independently of each other; on one machine all sources are one unit.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from bytetok._files import atomic_path, write_text
from bytetok.errors import CorpusError, VocabMismatchError
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training.corpus_sources import Source, label, shown
from bytetok.training.encode_parts import START, BatchEncoder, EncodeJob, Part, Position
from bytetok.training.ids_write import PathName, index_path

_FORMAT = 1
_PLAN, _LOCK = "plan.json", "lock"
_OURS = re.compile(r"plan\.json|lock|\d+-\d+\.ids|\..*\.part")
_PROBE = "The naïve plaintiff’s 1,234 claims —\n\tsee 12 U.S.C. § 1841(a).  原告の申立て <|endoftext|> 🙂🙃"
_HOW_TO_RESTART = "repeat the command as it was, or begin anew with --restart (restart=True)"
# A run that failed may go on with these: what they change is only what happens where the run would have failed.
_STRICT = {"special": "raise", "errors": "strict", "on_error": "raise"}


def partial_folder(out: PathName) -> Path:
    """Where the parts of an unfinished run are."""
    return Path(f"{os.fspath(out)}.partial")


# ---------------------------------------------------------------------------------------------------------- the parts


@dataclass(frozen=True)
class Done:
    """How many parts of a unit are there, where they end, if they are all; and their documents and stored bytes."""

    parts: int = 0
    end: Position = START
    is_whole: bool = False
    documents: int = 0
    read: int = 0


class PartFolder:
    """Parts as files of a folder. They may be added in any order of units, but within each in theirs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, unit: int, number: int, part: Part) -> None:
        """Keep a part."""
        about = {
            "end": part.end,
            "is_last": part.is_last,
            "bytes": part.bytes,
            "read": part.read,
            "skipped": part.skipped,
            "skipped_files": part.skipped_files,
            "documents": len(part.lengths),
            "tokens": len(part.ids),
            "sum": _sum(part),
        }
        with atomic_path(self._path(unit, number)) as temporary, temporary.open("wb") as file:
            file.write(json.dumps(about).encode() + b"\n")
            file.write(part.ids.astype("<u4", copy=False).data)
            file.write(part.lengths.astype("<i8", copy=False).data)

    def load(self, unit: int, number: int) -> Part:
        """Read a part; raises CorpusError for one that was damaged since."""
        path = self._path(unit, number)
        with path.open("rb") as file:
            about = _about(file)
            if about is not None:
                ids = np.fromfile(file, "<u4", about["tokens"])
                lengths = np.fromfile(file, "<i8", about["documents"])
                files = tuple((path, message) for path, message in about["skipped_files"])
                numbers = (about["bytes"], about["read"], about["skipped"])
                part = Part(ids, lengths, Position(*about["end"]), about["is_last"], *numbers, files)
                if _sum(part) == about["sum"]:
                    return part
        path.unlink()
        raise CorpusError(f"{path} was damaged, perhaps as the machine went down, and is deleted; run the same again")

    def has(self, unit: int, number: int) -> bool:
        """Whether a part is there."""
        return self._path(unit, number).exists()

    def done(self, unit: int) -> Done:
        """What is there of a unit, up to the first part that is not there or not whole."""
        parts = documents = read = 0
        end = START
        while self.has(unit, parts):
            with self._path(unit, parts).open("rb") as file:
                about = _about(file)
            if about is None:
                break
            parts += 1
            documents += about["documents"]
            read += about["read"]
            end = Position(*about["end"])
            if about["is_last"]:
                return Done(parts, end, True, documents, read)
        return Done(parts, end, False, documents, read)

    def _path(self, unit: int, number: int) -> Path:
        return self.folder / f"{unit:06}-{number:06}.ids"


def _sum(part: Part) -> int:
    return int(part.ids.sum(dtype=np.uint64)) + int(part.lengths.sum())


def _about(file: IO[bytes]) -> dict[str, Any] | None:
    """The first line of a part, or None if the file is not whole."""
    try:
        about: dict[str, Any] = json.loads(file.readline())
        size = file.tell() + 4 * about["tokens"] + 8 * about["documents"]
    except (ValueError, KeyError, TypeError):
        return None
    return about if os.fstat(file.fileno()).st_size == size else None


# ----------------------------------------------------------------------------------------------------------- the plan


@dataclass(frozen=True)
class Plan:
    """What is encoded and how.

    ``sources``: path, format, stored size and time of change of each. ``units``: how many sources each unit has.
    """

    tokenizer: str
    options: dict[str, Any]
    sources: list[list[Any]]
    units: list[int]
    format: int = _FORMAT

    @classmethod
    def of(cls, job: EncodeJob, sources: Sequence[Source], units: Sequence[int]) -> Plan:
        """The plan of a job."""
        names = ("column", "errors", "on_error", "special", "begin", "end")
        options = {name: getattr(job, name) for name in names}
        listed = [[source.path, source.format, source.size, _changed(source)] for source in sources]
        return cls(_fingerprint(job.tokenizer), json.loads(json.dumps(options)), listed, list(units))


def _changed(source: Source) -> int | None:
    return Path(source.path).stat().st_mtime_ns if source.is_local_file else None


def _fingerprint(tokenizer: BatchEncoder) -> str:
    """A hash of what decides ids. Of a tokenizer that is not ours: its tokens, and what it makes of a text."""
    if isinstance(tokenizer, Tokenizer):
        vocab = tokenizer.vocab
        merges = () if vocab.ranked else vocab.merges  # which follow from the tokens then
        kind = vocab.whole_first, vocab.ranked, vocab.characters, tokenizer.pattern.stages, tokenizer.normalizer
        facts: Any = vocab.tokens, merges, dict(vocab.added_tokens), kind
    else:
        known = tokenizer.vocab
        probe = list(tokenizer.encode_batch([_PROBE], special="text")[0])
        facts = type(tokenizer).__name__, known.tokens, dict(known.special_tokens), probe
    return hashlib.sha256(repr(facts).encode()).hexdigest()


@contextmanager
def unfinished(out: PathName, plan: Plan, *, restart: bool = False) -> Iterator[tuple[PartFolder, list[int]]]:
    """The parts of a run that was cut off, or none yet, and the units they belong to; deleted when the block succeeds.

    When it fails, the parts stay. Raises VocabMismatchError for parts of another tokenizer; CorpusError for parts made
    with other options or of other texts, for a folder that is none of ours, and while another process is at it.
    ``restart`` deletes what is there.
    """
    folder = partial_folder(out)
    parts = PartFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _check_ours(folder)
    with _locked(folder):
        before = _left_behind(out, folder, restart=restart)
        if before is not None:
            _check_same(folder, before, plan, parts)
            plan = replace(plan, units=before.units)
        write_text(folder / _PLAN, json.dumps(asdict(plan)))
        try:
            yield parts, plan.units
            _delete(folder)
        finally:
            if not any(folder.glob("*.ids")):
                _delete(folder)
                with suppress(OSError):  # nobody else writes here, but nothing depends on it either
                    folder.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out; the system lifts the lock when the process ends, however it does."""
    try:
        import fcntl
    except ImportError:  # not POSIX
        yield
        return
    with (folder / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            raise CorpusError(f"another process is writing to {folder}; wait for it, or choose another output") from err
        yield


def _check_ours(folder: Path) -> None:
    foreign = sorted(entry.name for entry in folder.iterdir() if not _OURS.fullmatch(entry.name))
    if foreign:
        raise CorpusError(
            f"the folder {folder} is for an unfinished run, but holds {shown(foreign[0])}; move it, or choose another "
            "output"
        )


def _left_behind(out: PathName, folder: Path, *, restart: bool) -> Plan | None:
    """The plan of a run that was cut off; what it was writing at that moment is deleted."""
    for path in (Path(out), index_path(out)):
        for temporary in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 12}.part"):
            temporary.unlink(missing_ok=True)
    for temporary in folder.glob(".*.part"):
        temporary.unlink(missing_ok=True)
    # Parts without a plan are what is left of a run that succeeded, and was cut off as it tidied up.
    if restart or not (folder / _PLAN).exists() or not any(folder.glob("*.ids")):
        _delete(folder, but=_LOCK)
        return None
    try:
        return Plan(**json.loads((folder / _PLAN).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as err:
        raise CorpusError(f"{folder / _PLAN} cannot be read: {err}; {_HOW_TO_RESTART}") from err


def _check_same(folder: Path, before: Plan, now: Plan, parts: PartFolder) -> None:
    if before.format != now.format:
        raise CorpusError(f"{folder} was written by another version of bytetok; {_HOW_TO_RESTART}")
    if before.tokenizer != now.tokenizer:
        raise VocabMismatchError(f"{folder} holds ids of another tokenizer; {_HOW_TO_RESTART}")
    for name, value in before.options.items():
        if now.options.get(name) != value and (name not in _STRICT or value != _STRICT[name]):
            raise CorpusError(
                f"{folder} was made with {name}={shown(value)}, and now it is {shown(now.options.get(name))}; "
                f"{_HOW_TO_RESTART}"
            )
    if [one[0] for one in before.sources] != [one[0] for one in now.sources]:
        raise CorpusError(f"{folder} was made of other files, or in another order; {_HOW_TO_RESTART}")
    first = 0
    for unit, size in enumerate(before.units):
        done = parts.done(unit)
        for index in range(first, min(first + done.end.source + 1, first + size) if done.parts else first):
            if before.sources[index] != now.sources[index]:
                raise CorpusError(
                    f"{label(before.sources[index][0])} has changed since it was encoded into {folder}; "
                    f"{_HOW_TO_RESTART}"
                )
        first += size


def _delete(folder: Path, *, but: str = "") -> None:
    """Delete what is ours; the plan first, since parts without a plan count for nothing."""
    for path in [folder / _PLAN, *folder.glob(".*.part"), *folder.glob("*.ids"), folder / _LOCK]:
        if path.name != but:
            path.unlink(missing_ok=True)
