"""A tokenizer as one binary file, mapped into memory: nothing is parsed or built, so that it is ready at once.

The engine's tables lie in the file as they are used (``rust_ext/src/encode/file.rs``). Beside them are a JSON object
with what else a :class:`Tokenizer` is made of, and, for when the vocabulary itself is asked for, its merges and scores.
The file belongs to one version of the format; it is a cache, to be made again from the tokenizer that it came from.
"""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bytetok import _core
from bytetok._files import atomic_path
from bytetok.errors import FormatError
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.tokenizer.vocab import AddedToken, CharacterScheme, Vocab

if TYPE_CHECKING:
    from bytetok.tokenizer.tokenizer import Tokenizer

def write(path: Path, tokenizer: Tokenizer) -> None:
    """Write a tokenizer into one file, whole or not at all."""
    vocab = tokenizer.vocab
    scheme = vocab.characters
    given = vocab.given_merges
    meta = {
        "name": tokenizer.name,
        "pattern": {"name": tokenizer.pattern.name, "stages": list(tokenizer.pattern.stages)},
        "normalizer": tokenizer.normalizer,
        "whole_first": vocab.whole_first,
        "ranked": vocab.ranked,
        # In the order of AddedToken's fields, and of what the engine takes.
        "added": list(vocab.added_tokens.values()),
        "characters": None if scheme is None else {"prefix": scheme.prefix, "prefix_always": scheme.prefix_always},
        "scores": scheme is not None and scheme.scores is not None,
        "merges": None if given is None else len(given),
        "provenance": dict(tokenizer.provenance),
    }
    more = array("I", [token_id for pair in given or () for token_id in pair]).tobytes()
    if scheme is not None:
        more += array("I", scheme.byte_ids).tobytes() + array("d", scheme.scores or ()).tobytes()
    contents = tokenizer.engine.to_file(json.dumps(meta).encode(), more)
    with atomic_path(path) as temporary:
        temporary.write_bytes(contents)


def read(path: Path) -> Tokenizer:
    """Open a file that :func:`write` wrote.

    Raises FormatError for one that is cut off, damaged, or of another version of the format.
    """
    from bytetok.tokenizer.tokenizer import Tokenizer

    stored = _core.StoredEncoder(path)
    try:
        meta = json.loads(stored.meta)
        pattern = SplitPattern(tuple(meta["pattern"]["stages"]), meta["pattern"]["name"])
        scheme = meta["characters"]
        encoder = stored.encoder(
            pattern.core,
            added=[tuple(token) for token in meta["added"]],
            normalizer=meta["normalizer"],
            prefix=scheme and scheme["prefix"],
            prefix_always=bool(scheme and scheme["prefix_always"]),
        )
        return Tokenizer.from_engine(
            encoder,
            lambda: _vocab(path, stored, encoder, meta),
            pattern,
            prefix=scheme and scheme["prefix"],
            normalizer=meta["normalizer"],
            name=meta["name"],
            provenance=meta["provenance"],
        )
    except (KeyError, TypeError, ValueError) as err:
        if isinstance(err, FormatError):
            raise
        raise FormatError(f"{path}: its description is broken ({err!r}); write the file anew") from err


def _vocab(path: Path, stored: _core.StoredEncoder, encoder: _core.Encoder, meta: dict[str, Any]) -> Vocab:
    more = memoryview(stored.more)
    count = 8 * (meta["merges"] or 0)
    numbers = more[:count].cast("I").tolist()
    scheme = None
    if meta["characters"] is not None:
        byte_ids = tuple(more[count : count + 1024].cast("I").tolist())
        # A copy, because scores need not lie where a double may.
        scores = array("d", more[count + 1024 :].tobytes()) if meta["scores"] else None
        scheme = CharacterScheme(byte_ids, **meta["characters"], scores=None if scores is None else tuple(scores))
    if len(numbers) % 2:
        raise FormatError(f"{path}: its merges are cut off; write the file anew")
    return Vocab(
        encoder.tokens(),
        None if meta["merges"] is None else tuple(zip(numbers[::2], numbers[1::2], strict=True)),
        {token[0]: AddedToken(*token) for token in meta["added"]},
        whole_first=meta["whole_first"],
        ranked=meta["ranked"],
        characters=scheme,
    )
