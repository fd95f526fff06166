"""``.tiktoken`` rank files: base64 token bytes and a rank on each line, the rank being the id."""

from __future__ import annotations

import base64
import binascii
import gzip
from collections.abc import Mapping
from pathlib import Path

from bytetok import _core
from bytetok.errors import FormatError
from bytetok.tokenizer.vocab import AddedToken, Vocab


def read_ranks(path: Path) -> dict[bytes, int]:
    """Read a rank file, gzipped or not; raises FormatError that names the line."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as err:
            raise FormatError(f"{path}: truncated or corrupt gzip: {err}") from err
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            encoded, rank = line.split()
            token = base64.b64decode(encoded, validate=True)
            ranks[token] = int(rank)
        except (ValueError, binascii.Error) as err:
            raise FormatError(
                f"{path}: line {number} is {line[:60]!r}, expected base64 token bytes, a space and a rank"
            ) from err
    return ranks


def vocab_of(ranks: Mapping[bytes, int], special_tokens: Mapping[str, int], place: str = "ranks") -> Vocab:
    """The vocabulary that a rank file means.

    tiktoken merges any two neighbors that join to a token, lowest rank first, so a token can come from several pairs:
    all of them become merges, with the rank of the token they make.
    """
    size = 1 + max([*ranks.values(), *special_tokens.values()], default=-1)
    tokens = [b""] * size
    for token, rank in ranks.items():
        if rank < 0 or tokens[rank]:
            raise FormatError(f"{place}: rank {rank} belongs to {tokens[rank]!r} and to {token!r}")
        tokens[rank] = token
    added = {}
    for text, token_id in special_tokens.items():
        if tokens[token_id]:
            raise FormatError(
                f"{place}: special token {text!r} has id {token_id}, which belongs to {tokens[token_id]!r}"
            )
        tokens[token_id] = text.encode()
        added[text] = AddedToken(text, token_id, special=True)
    used = set(ranks.values())
    ordinary = [token if token_id in used else b"" for token_id, token in enumerate(tokens)]
    merges = tuple((left, right) for left, right, _ in _core.merges_of_ranks(ordinary))
    return Vocab(tuple(tokens), merges, added, whole_first=True, ranked=True)
