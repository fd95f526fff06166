"""Where a corpus lies: paths, globs, folders, URLs and Python objects become a list of `Source` values.

Everything is looked up here, before the first byte of text is read, so that a misspelled path fails in the first second
of a run and not in its third hour.
"""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias

from bytetok.errors import BytetokError, CorpusError, FormatError, MissingDependencyError

FileFormat: TypeAlias = Literal["text", "jsonl", "parquet", "arrow"]
Compression: TypeAlias = Literal["gz", "zst", "xz", "bz2"]
SkippedFile: TypeAlias = tuple[str, str]

STDIN = "-"
COMPRESSIONS: Mapping[str, Compression] = {".gz": "gz", ".zst": "zst", ".zstd": "zst", ".xz": "xz", ".bz2": "bz2"}
RECORD_FORMATS: Mapping[str, FileFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
# Suffixes that a folder is searched for. A path or glob that the user spells out is text whatever its suffix.
TEXT_SUFFIXES = frozenset({".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".htm", ".html", ".xml"})
# A tar header or the text layer of a PDF can be valid UTF-8: reading these as text would train on rubbish in silence.
NOT_TEXT = frozenset(
    {".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar", ".lz4", ".br", ".lzma"}
    | {".pdf", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".epub"}
)


@dataclass(frozen=True)
class Source:
    """One file, URL, stream or Python iterable of a corpus.

    ``path`` is the path or URL, ``-`` for standard input, or ``<type>`` for an iterable. ``size`` is the stored
    (compressed) size in bytes, ``None`` where it is unknown. ``one_shot`` sources can be read only once.
    """

    path: str
    format: Literal["text", "jsonl", "parquet", "arrow", "documents"]
    compression: Compression | None = None
    size: int | None = None
    one_shot: bool = False
    remote: tuple[Any, str] | None = field(default=None, repr=False, compare=False)  # fsspec filesystem, path in it
    documents: Iterable[Any] | None = field(default=None, repr=False, compare=False)

    @property
    def is_local_file(self) -> bool:
        """Whether this is a regular file of this machine, which can be opened by ``path`` and seeked in."""
        return self.remote is None and self.documents is None and not self.one_shot


def from_documents(documents: Iterable[Any]) -> Source:
    """Make a source of documents in memory: ``str``, ``bytes`` or mappings with a text column."""
    if isinstance(documents, (str, bytes, bytearray, memoryview)):
        raise CorpusError(f"{shown(documents)} is one document; wrap it in a list to make a corpus of it")
    if isinstance(documents, Mapping):
        keys = ", ".join(repr(key) for key in list(documents)[:10])
        raise CorpusError(
            f"a mapping is not a corpus (its keys are {keys}); choose one value, as in dataset['train'], or wrap a "
            "single row in a list"
        )
    if hasattr(documents, "read"):
        raise CorpusError(f"{shown(documents)} is an open file; pass its path instead, or '-' for standard input")
    if hasattr(documents, "columns") and hasattr(documents, "dtypes"):
        # Iterating a pandas frame gives its column names, which would pass for documents.
        raise CorpusError("a data frame is not a corpus; pass the text column itself, as in frame['text']")
    if not isinstance(documents, Iterable):
        raise CorpusError(f"{shown(documents)} is neither a path, URL or glob nor an iterable of documents")
    one_shot = isinstance(documents, Iterator)
    return Source(f"<{type(documents).__name__}>", "documents", one_shot=one_shot, documents=documents)


def resolve(source: object, *, file_format: FileFormat | None, skipped: list[SkippedFile] | None) -> list[Source]:
    """Find every source that ``source`` names (see `bytetok.training.corpus.read_texts` for what it may be).

    Files that are missing, unreadable or not text are appended to ``skipped`` with the reason; with ``skipped=None``
    they raise. A glob or folder without any usable file always raises.

    Raises:
        CorpusError: nothing there, or no permission.
        FormatError: an archive or office document that has to be unpacked first.
        MissingDependencyError: a URL scheme whose fsspec package is not installed.
    """
    found = list(_resolve(source, file_format, skipped))
    if sum(one.path == STDIN for one in found) > 1:
        raise CorpusError("standard input ('-') is listed twice, but it can be read only once; list it once")
    return found


def _resolve(source: object, file_format: FileFormat | None, skipped: list[SkippedFile] | None) -> Iterator[Source]:
    if isinstance(source, (list, tuple)):
        if source and all(isinstance(item, (Mapping, bytes)) for item in source):
            yield from_documents(source)
            return
        for item in source:
            yield from _resolve(item, file_format, skipped)
    elif isinstance(source, (str, os.PathLike)):
        path = os.fsdecode(source)
        if path == STDIN:
            yield Source(STDIN, file_format or "text", one_shot=True)
        elif "://" in path:
            yield from _remote(path, file_format, skipped)
        else:
            yield from _local(path, file_format, skipped)
    else:
        yield from_documents(source)  # type: ignore[arg-type]  # refuses what is not iterable


# --- files of this machine ----------------------------------------------------------------------


def _local(path: str, file_format: FileFormat | None, skipped: list[SkippedFile] | None) -> Iterator[Source]:
    if not path:
        raise CorpusError("the path is empty; pass a file, folder, glob or URL ('.' is the current folder)")
    if path.startswith("~"):
        with suppress(RuntimeError):  # no such user: then it is a file name that starts with a tilde
            path = str(Path(path).expanduser())
    # A file named literally "a[1].txt" wins over the glob; only what does not exist is a pattern.
    is_pattern = glob.has_magic(path) and not os.path.lexists(path)
    try:
        is_folder = not is_pattern and stat.S_ISDIR(Path(path).stat().st_mode)
    except (OSError, ValueError) as err:
        _refuse(_cannot_read(path, err), path, skipped, err)
        return
    for name in _glob(path) if is_pattern else _walk(path, skipped) if is_folder else [path]:
        try:
            yield _local_file(name, file_format)
        except BytetokError as err:
            _refuse(err, name, skipped, err.__cause__)


def _local_file(path: str, file_format: FileFormat | None) -> Source:
    try:
        info = Path(path).stat()
        if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as err:
        raise _cannot_read(path, err) from err
    name_format, compression = _format_of(path, file_format)
    if stat.S_ISREG(info.st_mode):
        return Source(path, name_format, compression, info.st_size)
    # A pipe such as the shell's <(zcat x) is empty when it is opened for the second time.
    return Source(path, name_format, compression, one_shot=True)


def _glob(pattern: str) -> list[str]:
    names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  # Path.glob takes no absolute or hidden-file rule
    if not names:
        raise CorpusError(f"no file matches the glob {label(pattern)}; check its folder and quote it in the shell")
    # Only a directory that is really there is left out: a dangling link must fail by name.
    files = [name for name in names if not Path(name).is_dir()]
    if not files:
        raise CorpusError(f"the glob {label(pattern)} matches only folders; pass the folders, or end it in '/*'")
    return files


def _walk(folder: str, skipped: list[SkippedFile] | None) -> list[str]:
    def unlistable(err: OSError) -> None:
        name = str(err.filename or folder)
        _refuse(_cannot_read(name, err), name, skipped, err)

    seen: set[Path] = set()
    files: list[str] = []
    others = 0
    for base, folders, names in os.walk(folder, followlinks=True, onerror=unlistable):
        real = Path(base).resolve()
        if real in seen:  # a link that leads back up, or a second name of the same folder
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = [name for name in names if not name.startswith(".")]
        known = [str(Path(base, name)) for name in visible if _is_known(name)]
        files += known
        others += len(visible) - len(known)
    _check_folder(folder, len(files), others)
    return sorted(files)


def _cannot_read(path: str, err: OSError | ValueError) -> CorpusError:
    reason = (err.strerror or str(err)) if isinstance(err, OSError) else str(err)
    remedy = "check the path and its permissions"
    if isinstance(err, (FileNotFoundError, ValueError)) or getattr(err, "errno", None) == errno.ENAMETOOLONG:
        remedy = "check the path; to read documents from memory use Texts.from_documents(...)"
    return CorpusError(f"{label(path)} cannot be read: {reason}; {remedy}")


# --- URLs ---------------------------------------------------------------------------------------


def _remote(url: str, file_format: FileFormat | None, skipped: list[SkippedFile] | None) -> Iterator[Source]:
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    try:
        filesystem, path = url_to_fs(url)
    except ImportError as err:
        raise MissingDependencyError(f"{label(url)} cannot be opened: {err}") from err
    except Exception as err:  # a backend raises what it likes: its own classes, ValueError for a scheme nobody knows
        raise CorpusError(f"{label(url)} is not a URL that fsspec can open: {err}") from err
    if isinstance(filesystem, LocalFileSystem):
        yield from _local(path, file_format, skipped)
        return
    try:
        found = _remote_files(filesystem, url, path)
    except BytetokError:
        raise
    except FileNotFoundError as err:
        _refuse(CorpusError(f"{label(url)} does not exist; check the URL"), url, skipped, err)
        return
    except Exception as err:
        reason = f"{type(err).__name__}: {err}"
        _refuse(CorpusError(f"{label(url)} cannot be listed: {reason}; check the URL and access"), url, skipped, err)
        return
    for name, inner, info in found:
        try:
            name_format, compression = _format_of(inner, file_format)
            yield Source(name, name_format, compression, info.get("size"), remote=(filesystem, inner))
        except BytetokError as err:
            _refuse(err, name, skipped, None)


def _remote_files(filesystem: Any, url: str, path: str) -> list[tuple[str, str, Mapping[str, Any]]]:
    """List (URL, path in the file system, its info) of the file, folder or glob at ``path``."""
    if glob.has_magic(path) and not filesystem.exists(path):
        root = path[: path.rfind("/", 0, _first_magic(path)) + 1]
        listing = filesystem.glob(path, detail=True)
        hidden_too = _is_hidden(path[len(root) :])  # the pattern itself asks for hidden files
        files = {
            name: info
            for name, info in listing.items()
            if info["type"] != "directory" and (hidden_too or not _is_hidden(name[len(root) :]))
        }
        if not files:
            raise CorpusError(f"no file matches the glob {label(url)}; check its folder")
    else:
        info = filesystem.info(path)
        if info["type"] != "directory":
            return [(url, path, info)]
        root = path.rstrip("/") + "/"
        listing = {
            name: info for name, info in filesystem.find(path, detail=True).items() if not _is_hidden(name[len(root) :])
        }
        files = {name: info for name, info in listing.items() if _is_known(name)}
        _check_folder(url, len(files), len(listing) - len(files))
    return [(filesystem.unstrip_protocol(name), name, files[name]) for name in sorted(files)]


def _first_magic(path: str) -> int:
    return min(path.find(sign) for sign in "*?[" if sign in path)


def _is_hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in relative.split("/"))


# --- names --------------------------------------------------------------------------------------


def _format_of(path: str, file_format: FileFormat | None) -> tuple[FileFormat, Compression | None]:
    inner, compression = _inner_suffix(path)
    if file_format is not None:
        return file_format, compression
    if inner in NOT_TEXT:
        raise FormatError(
            f"{label(path)} is an archive or binary document by its suffix {inner!r}; unpack it or extract its text "
            "first"
        )
    return RECORD_FORMATS.get(inner, "text"), compression


def _is_known(path: str) -> bool:
    """Whether a folder search takes this file."""
    inner, compression = _inner_suffix(path)
    return inner in TEXT_SUFFIXES or inner in RECORD_FORMATS or (compression is not None and not inner)


def _inner_suffix(path: str) -> tuple[str, Compression | None]:
    """Give the suffix below a compression suffix (``a.jsonl.zst`` -> ``.jsonl``, ``zst``), lower case."""
    name = PurePosixPath(path.split("?", 1)[0].lower() if "://" in path else path.lower())
    compression = COMPRESSIONS.get(name.suffix)
    return (name.with_suffix("").suffix if compression else name.suffix), compression


def _check_folder(folder: str, files: int, others: int) -> None:
    if others and not files:
        suffixes = " ".join(sorted(TEXT_SUFFIXES | RECORD_FORMATS.keys()))
        raise CorpusError(
            f"the folder {label(folder)} holds {others} file(s) but none that ends in {suffixes} (also compressed); "
            "to read other names as text pass a glob such as 'folder/**/*'"
        )


def _refuse(error: BytetokError, path: str, skipped: list[SkippedFile] | None, cause: BaseException | None) -> None:
    if skipped is None:
        raise error from cause
    skipped.append((path, str(error)))


def label(path: str) -> str:
    """Give a path or URL as error messages show it: whole, since its end matters most, and always printable."""
    text = path if path.isprintable() else repr(path)
    return text if len(text) <= 500 else text[:497] + "..."


def shown(value: object) -> str:
    """Give the ``repr`` of a value as error messages show it, in at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
