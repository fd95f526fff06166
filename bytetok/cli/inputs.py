"""Opens what the user named: texts, or count files in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bytetok.cli.exits import wrong_usage
from bytetok.cli.options import cores
from bytetok.cli.progress import progress
from bytetok.cli.terminal import note
from bytetok.errors import FormatError

if TYPE_CHECKING:
    from bytetok.tokenizer.patterns import SplitPattern
    from bytetok.tokenizer.tokenizer import Tokenizer
    from bytetok.training.corpus import Texts
    from bytetok.training.counts import PretokenCounts

_LISTED = 10


def open_texts(
    files: Sequence[str],
    *,
    column: str = "text",
    errors: Literal["strict", "replace", "bytes"] = "strict",
    on_error: Literal["raise", "skip"] = "raise",
    file_format: Literal["text", "jsonl", "parquet", "arrow"] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Texts:
    """The corpus in ``files``; everything is looked up now, nothing read."""
    from bytetok.training.corpus import read_texts

    return read_texts(
        list(files), column=column, errors=errors, on_error=on_error, file_format=file_format, on_progress=on_progress
    )


def count_files(texts: Texts) -> list[str]:
    """The paths, if all files are count files; none, if they are texts. Wrong usage if they are mixed."""
    from bytetok.training.counts_file import is_counts

    candidates = [one.path for one in texts.sources if one.is_local_file and one.format == "parquet"]
    shards = [path for path in candidates if is_counts(path)]
    if shards and len(shards) < len(texts.sources):
        other = next(one.path for one in texts.sources if one.path not in shards)
        wrong_usage(
            f"{shards[0]} holds counts and {other} holds text; count the text first (bytetok count), then give only "
            "count files",
            "FILES",
        )
    return shards


def report_skipped(texts: Texts) -> dict[str, Any]:
    """Say on stderr what was left out of a corpus; returned as values for JSON."""
    files = texts.skipped_files
    if files:
        note(f"skipped {len(files):,} {'file' if len(files) == 1 else 'files'}:")
        for _, message in files[:_LISTED]:
            note(f"  {message}")
        if len(files) > _LISTED:
            note(f"  and {len(files) - _LISTED:,} more")
    if texts.skipped:
        note(f"skipped {texts.skipped:,} {'row' if texts.skipped == 1 else 'rows'} without text")
    listed = [{"path": path, "error": message} for path, message in files]
    return {"skipped_files": listed, "skipped_rows": texts.skipped}


def own_tokenizer(name: str, verb: str) -> Tokenizer:
    """Load a tokenizer that runs on our engine, so that its merges are known; FormatError for any other."""
    from bytetok.tokenizer.tokenizer import Tokenizer

    loaded = Tokenizer.load(name)
    if isinstance(loaded, Tokenizer):
        return loaded
    raise FormatError(
        f"{name!r} cannot be {verb}: bytetok knows the merges of byte-level BPE only, and here {loaded.reason}"
    )


def pretokens_of(texts: Texts, pattern: SplitPattern, *, threads: int | None, memory: int | None) -> PretokenCounts:
    """The counts in count files, or of texts, counted now."""
    from bytetok.training.counts import PretokenCounts, count_pretokens

    if shards := count_files(texts):
        return PretokenCounts.load(shards)
    with progress("counting", texts.size) as update:
        return count_pretokens(texts, pattern=pattern, threads=cores(threads), memory=memory, progress=update)
