"""``model.vocab`` and ``model.merges`` of a tokenizer.json, with contradictions named by their place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bytetok.errors import FormatError
from bytetok.tokenizer.json_added import check_added_ids, shown
from bytetok.tokenizer.vocab import AddedToken


def read_entries(path: Path, model: Mapping[str, Any], added: Mapping[str, AddedToken]) -> tuple[dict[str, int], int]:
    """The tokens of ``model.vocab`` with their ids, and how many ids there are with the added tokens.

    Raises FormatError for ids that are none, that two tokens share, or that go far beyond the number of tokens, and for
    added tokens that would not keep theirs.
    """
    entries = model.get("vocab")
    if not isinstance(entries, dict):
        raise FormatError(f"{path}: model.vocab is {shown(entries)}, expected an object of tokens and ids")
    check_added_ids(path, added, entries)
    ids = [*entries.values(), *(token.id for text, token in added.items() if text not in entries)]
    if set(map(type, ids)) - {int} or len(set(ids)) < len(ids) or min(ids, default=0) < 0:
        _refuse_ids(path, entries, added)
    size = 1 + max(ids, default=-1)
    if size > 2 * len(ids) + 1024:
        raise FormatError(f"{path}: ids go up to {size - 1} but there are only {len(ids)} tokens; is the file whole?")
    return entries, size


def _refuse_ids(path: Path, entries: Mapping[str, Any], added: Mapping[str, AddedToken]) -> None:
    owners: dict[int, str] = {}
    for string, token_id in [*entries.items(), *((token.text, token.id) for token in added.values())]:
        if type(token_id) is not int or token_id < 0:
            raise FormatError(f"{path}: token {shown(string)} has id {shown(token_id)}; ids are whole numbers from 0")
        if owners.setdefault(token_id, string) != string:
            raise FormatError(f"{path}: id {token_id} belongs to {shown(owners[token_id])} and to {shown(string)}")


def read_merges(path: Path, merges: object, entries: Mapping[str, int]) -> list[tuple[int, int, int]]:
    """The merges in rank order as ids, ``(left, right, token)``; FormatError for one that needs or makes no token."""
    if not isinstance(merges, list):
        raise FormatError(f"{path}: model.merges is {shown(merges)}, expected a list")
    made: dict[tuple[int, int], int] = {}
    get = entries.get
    for rank, merge in enumerate(merges):
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or type(parts[0]) is not str or type(parts[1]) is not str:
            raise FormatError(f"{path}: merge {rank} is {shown(merge)}, expected two tokens")
        left, right = parts
        first, second, both = get(left), get(right), get(left + right)
        if first is None or second is None or both is None:
            missing = next(string for string in (left, right, left + right) if string not in entries)
            raise FormatError(
                f"{path}: merge {rank} of {shown(left)} and {shown(right)} needs the token {shown(missing)}, "
                "which is not in model.vocab"
            )
        pair = (first, second)
        made.pop(pair, None)  # of a pair that is there twice, the last rank counts in `tokenizers`
        made[pair] = both
    return [(left_id, right_id, token) for (left_id, right_id), token in made.items()]
