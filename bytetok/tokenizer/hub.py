"""Tokenizers by their Hugging Face id, from the local cache of ``huggingface_hub`` or downloaded through it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bytetok.errors import CorpusError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE_ENDINGS = (".json", ".tiktoken", ".gz", ".model", ".spm", ".bytetok")


def is_hub_id(name: str) -> bool:
    """Whether a name that is no path here could be ``organization/repository``, and is not a mistyped path."""
    return _ID.fullmatch(name) is not None and not name.endswith(_FILE_ENDINGS) and not Path(name).parent.is_dir()


def find(name: str, files: Sequence[str]) -> Path:
    """The first of ``files`` that the repository ``name`` has: what is in the cache first, then what the hub serves.

    Raises CorpusError, saying what to do, if there is none, the hub cannot be reached, or the package is missing.
    """
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError as err:
        raise CorpusError(
            f"{name!r}: no such file or folder; if it is a Hugging Face id, its tokenizer can be loaded with "
            "pip install 'bytetok-lm[hf]'"
        ) from err
    for file in files:
        cached = try_to_load_from_cache(name, file)
        if isinstance(cached, str):
            return Path(cached)
    for file in files:
        try:
            return Path(hf_hub_download(name, file))
        except LocalEntryNotFoundError as err:  # which is an EntryNotFoundError, too
            raise CorpusError(
                f"{name!r}: no such file or folder, not in the local Hugging Face cache, and the hub cannot be reached "
                f"({_first_line(err)}); download it where there is a network: hf download {name} {files[0]}"
            ) from err
        except EntryNotFoundError:
            continue
        except Exception as err:  # no such repository, no right to it, no network: each has a class of its own
            raise CorpusError(
                f"{name!r}: no such file or folder, and from the Hugging Face hub it cannot be had: {_first_line(err)}"
            ) from err
    raise CorpusError(f"{name!r}: the Hugging Face repository has none of {', '.join(files)}")


def _first_line(err: Exception) -> str:
    lines = str(err).strip().splitlines()
    return f"{type(err).__name__}: {lines[0][:200]}" if lines else type(err).__name__
