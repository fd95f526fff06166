"""The added tokens of a tokenizer.json: read, spelled, and refused where they would be found otherwise than there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bytetok.errors import FormatError
from bytetok.tokenizer.bytelevel import BYTES
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.tokenizer.vocab import AddedToken, Vocab

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


class NotOursError(Exception):
    """The file is sound as far as it was read, but describes a model that our engine does not run."""


def shown(value: object) -> str:
    """The repr of a value, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def flag_of(part: Mapping[str, Any], name: str, default: bool) -> bool:
    """An option that is true or false; NotOursError if it is something else, which `tokenizers` may make sense of."""
    value = part.get(name, default)
    if type(value) is not bool:
        raise NotOursError(f"{name} is {shown(value)}")
    return value


def read_added(path: Path, added: object) -> dict[str, AddedToken]:
    """Read a list of added tokens as tokenizer.json has it; FormatError names the one that is broken."""
    if not isinstance(added, list):
        raise FormatError(f"{path}: added_tokens is {shown(added)}, expected a list")
    tokens: dict[str, AddedToken] = {}
    for place, entry in enumerate(added):
        text, token_id = (entry.get("content"), entry.get("id")) if isinstance(entry, dict) else (None, None)
        if not isinstance(text, str) or not text or type(token_id) is not int or text in tokens:
            raise FormatError(
                f"{path}: added token {place} is {shown(entry)}, expected an object with a content that no other has, "
                "and an id"
            )
        try:
            text.encode()
        except UnicodeEncodeError as err:
            raise FormatError(f"{path}: added token {place}, {shown(text)}, holds a lone surrogate") from err
        flags = {flag: entry.get(flag, False) for flag in _FLAGS}
        for flag, value in flags.items():
            if type(value) is not bool:
                raise FormatError(
                    f"{path}: added token {place}, {shown(text)}: {flag} is {shown(value)}, expected true or false"
                )
        tokens[text] = AddedToken(text, token_id, **flags)
    return tokens


def spell_added(vocab: Vocab) -> list[dict[str, Any]]:
    """The added tokens as tokenizer.json has them, in the order of their ids."""
    ordered = sorted(vocab.added_tokens.values(), key=lambda token: token.id)
    return [{"id": token.id, "content": token.text, **flags_of(token)} for token in ordered]


def flags_of(token: AddedToken) -> dict[str, bool]:
    """The flags of a token as tokenizer.json has them."""
    return {flag: getattr(token, flag) for flag in _FLAGS}


def check_added_ids(path: Path, tokens: Mapping[str, AddedToken], entries: Mapping[str, int]) -> None:
    """`tokenizers` looks added tokens up in the vocabulary, or numbers them, and only warns if the file differs."""
    highest = -1
    for place, (text, token) in enumerate(tokens.items()):
        given = entries.get(text, max(len(entries), highest + 1))
        if given != token.id:
            raise FormatError(
                f"{path}: added token {place}, {shown(text)}, has id {token.id}, but `tokenizers` would give it "
                f"{given}; put added tokens into model.vocab to keep their ids"
            )
        highest = max(highest, token.id)


def refuse_double_roles(
    added: Mapping[str, AddedToken],
    entries: Mapping[str, int],
    merges: Sequence[tuple[int, int, int]],
    whole: SplitPattern | None,
) -> None:
    """An added token that text can also turn into by itself, by merges or as a ``whole`` pretoken, has two roles."""
    shared = {text for text in added if text in entries}
    in_merges = {token_id for merge in merges for token_id in merge}
    merged = {text for text in shared if entries[text] in in_merges or text in BYTES}
    if whole is not None:
        merged |= {text for text in shared if may_be_pretoken(added[text], whole)}
    if merged:
        raise NotOursError(f"added token {shown(min(merged))} is an ordinary token, too")


def may_be_pretoken(token: AddedToken, pattern: SplitPattern) -> bool:
    """Whether text can leave the added token to the split pattern, which then leaves it whole."""
    return token.single_word and pattern.split(token.text) == [token.text.encode()]
