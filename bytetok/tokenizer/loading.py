"""Finds out what a path or a name holds, and loads it with the engine that owns it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bytetok.errors import CorpusError, FormatError
from bytetok.tokenizer.patterns import NAMED, SplitPattern
from bytetok.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from bytetok.tokenizer.foreign import ForeignTokenizer

# Each format is imported where it is met: what starts with one tokenizer should not wait for the others.

# What a folder may hold, the best described first.
_FOLDER_FILES = ("tokenizer.json", "tekken.json", "tokenizer.model")


def load(path_or_name: str | os.PathLike[str]) -> Tokenizer | ForeignTokenizer:
    """See :meth:`Tokenizer.load`."""
    path = Path(path_or_name)
    if path.is_dir():
        file = next((path / name for name in _FOLDER_FILES if (path / name).is_file()), None)
        if file is None:
            raise FormatError(
                f"{path}: the folder has no {', '.join(_FOLDER_FILES[:-1])} or {_FOLDER_FILES[-1]}; is it a tokenizer?"
            )
        return load_file(file, name=path.resolve().name)
    if path.is_file():
        return load_file(path, name=_name_of(path))
    from bytetok.tokenizer import hub, references

    name = os.fspath(path_or_name)
    if references.is_reference(name):
        return _load_reference(name)
    if hub.is_hub_id(name):
        return load_file(hub.find(name, _FOLDER_FILES), name=name)
    raise CorpusError(
        f"{name!r}: no such file or folder, and not the name of a reference tokenizer "
        f"({', '.join(references.reference_names())})"
    )


def _name_of(path: Path) -> str:
    """What to call the tokenizer of a file: the file's name, or its folder's if all such files are called alike."""
    import re  # a millisecond that a file which knows its own name does not need

    stem = re.split(r"\.(?:tiktoken|model|spm|json|bytetok)\b", path.name)[0]
    return path.resolve().parent.name if stem in ("tokenizer", "tekken") else stem


def load_file(path: Path, *, name: str) -> Tokenizer | ForeignTokenizer:
    """Load one file by what is in it; its name only tells JSON from the rest."""
    if path.name.endswith((".tiktoken", ".tiktoken.gz")):
        return load_ranks(path, name=name)
    if path.suffix == ".json":
        return _load_json(path, name=name)
    if path.suffix == ".bytetok":
        from bytetok.tokenizer import binary_format

        return binary_format.read(path)
    from bytetok.tokenizer import sentencepiece_format

    data = sentencepiece_format.read_bytes(path)
    if sentencepiece_format.is_ranks(data):
        return load_ranks(path, name=name)
    if data[:1] == b"\n" or path.suffix in (".model", ".spm") or ".model." in path.name:
        return _load_model(path, data, name=name)
    raise FormatError(
        f"{path}: unknown kind of tokenizer file; expected tokenizer.json, tekken.json, .tiktoken, .model, or .bytetok"
    )


def _load_reference(name: str) -> Tokenizer | ForeignTokenizer:
    from bytetok.tokenizer import references

    found = references.find_reference(name)
    reference = found.reference
    if found.source.format == "tiktoken":
        return load_ranks(
            found.path, name=reference.name, pattern=reference.pattern, special_tokens=reference.special_tokens
        )
    return load_file(found.path, name=reference.name)


def load_ranks(
    path: Path, *, name: str, pattern: str | None = None, special_tokens: Mapping[str, int] | None = None
) -> Tokenizer:
    """Load a rank file. Its split pattern and special tokens are not in the file: they come from the caller, from
    ``NAME.bytetok.json`` beside it (see :mod:`bytetok.tokenizer.convert`), or are those of the published encoding that
    has this name or these very bytes.

    Raises FormatError for a broken file, and one whose pattern nothing says.
    """
    from bytetok.tokenizer import tiktoken_format

    described = tiktoken_format.description_path(path)
    if pattern is None and described.is_file():
        return _load_described(path, described, name)
    ranks = tiktoken_format.read_ranks(path)
    if pattern is None:
        pattern, special_tokens = _published(path, name)
    vocab = tiktoken_format.vocab_of(ranks, special_tokens or {}, place=str(path))
    return Tokenizer(vocab, SplitPattern.of(pattern), name=name, provenance={"source": path.name})


def _load_described(path: Path, described: Path, name: str) -> Tokenizer:
    from bytetok.tokenizer import json_format, tiktoken_format
    from bytetok.tokenizer.json_added import read_added

    content = json_format.read_json(described)
    pattern = content.get("pattern")
    stages = pattern.get("stages") if isinstance(pattern, dict) else None
    if not isinstance(stages, list) or not all(isinstance(stage, str) for stage in stages):
        raise FormatError(f"{described}: expected the split pattern of {path.name}, with a list of stages")
    added = read_added(described, content.pop("added_tokens", None))
    normalizer = content.pop("normalizer", None)
    if normalizer not in (None, *json_format.FORMS):
        raise FormatError(f"{described}: the normalizer is {normalizer!r}, expected one of {json_format.FORMS}")
    vocab = tiktoken_format.vocab_of(tiktoken_format.read_ranks(path), added, place=str(path))
    return Tokenizer(vocab, SplitPattern.of(stages), normalizer=normalizer, name=name, provenance=content)


def _published(path: Path, name: str) -> tuple[str, Mapping[str, int]]:
    import hashlib

    from bytetok.tokenizer import references

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    # The name first: gpt-4o and gpt-oss share their ranks.
    named = [known for known in references.REFERENCES if name in (known.name, *known.aliases)]
    same = [known for known in references.REFERENCES if any(source.sha256 == digest for source in known.sources)]
    for reference in [*named, *same]:
        if reference.pattern is not None:
            return reference.pattern, reference.special_tokens
    raise FormatError(
        f"{path}: a rank file does not say its split pattern; name the file after a published encoding, such as "
        "o200k_base.tiktoken, or load it with bytetok.tokenizer.loading.load_ranks(path, name=..., pattern=...)"
    )


def _load_json(path: Path, *, name: str) -> Tokenizer | ForeignTokenizer:
    from bytetok.tokenizer import json_format, tekken_format
    from bytetok.tokenizer.json_added import NotOursError

    content = json_format.read_json(path)
    if tekken_format.is_tekken(content):
        vocab, pattern = tekken_format.read(path, content)
        return Tokenizer(vocab, pattern, name=name, provenance={"source": path.name})
    provenance = _provenance(path.parent / "bytetok.json")
    described = provenance.get("pattern")
    own = described.get("stages") if isinstance(described, dict) else None
    try:
        found = json_format.read(path, content, own=own if isinstance(own, list) else ())
    except NotOursError as err:
        from bytetok.tokenizer.foreign_json import JsonTokenizer

        return JsonTokenizer(path, path.read_text(encoding="utf-8"), name=name, reason=str(err))
    pattern = found.pattern
    if found.post_processor is not None:
        provenance["post_processor"] = found.post_processor
    # Two names may stand for the same regexes, as qwen2 and qwen3 do; the tokenizer keeps the one it was made with.
    if isinstance(described, dict) and NAMED.get(str(described.get("name"))) == pattern.stages:
        pattern = SplitPattern(pattern.stages, described["name"])
    return Tokenizer(found.vocab, pattern, normalizer=found.normalizer, name=name, provenance=provenance)


def _load_model(path: Path, data: bytes, *, name: str) -> Tokenizer | ForeignTokenizer:
    from bytetok.tokenizer import sentencepiece_format
    from bytetok.tokenizer.json_added import NotOursError

    model = sentencepiece_format.parse(path, data)
    try:
        vocab = sentencepiece_format.to_vocab(model)
    except NotOursError as err:
        from bytetok.tokenizer.foreign_model import SentencePieceTokenizer

        return SentencePieceTokenizer(path, data, name=name, reason=str(err))
    return Tokenizer(vocab, SplitPattern.of("none"), name=name, provenance={"source": path.name})


def _provenance(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    import json

    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return {}  # only a note about where the tokenizer came from; the tokenizer itself was read whole
    return content if isinstance(content, dict) else {}
