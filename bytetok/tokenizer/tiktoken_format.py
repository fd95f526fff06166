"""``.tiktoken`` rank files: base64 token bytes and a rank on each line, the rank being the id."""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from bytetok import _core
from bytetok.errors import CorpusError, FormatError
from bytetok.tokenizer.vocab import AddedToken, Vocab


def read_ranks(path: Path) -> dict[bytes, int]:
    """Read a rank file, gzipped or not; raises FormatError that names the line."""
    try:
        data = path.read_bytes()
    except OSError as err:
        raise CorpusError(f"{path}: cannot be read: {err}") from err
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as err:
            raise FormatError(f"{path}: truncated or corrupt gzip: {err}") from err
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            encoded, digits = line.split()
            token, rank = base64.b64decode(encoded, validate=True), int(digits)
        except (ValueError, binascii.Error) as err:
            raise FormatError(
                f"{path}: line {number} is {line[:60]!r}, expected base64 token bytes, a space and a rank"
            ) from err
        if not token or ranks.setdefault(token, rank) != rank:
            raise FormatError(f"{path}: line {number} is {line[:60]!r}, but a token is not empty and has one rank")
    if not ranks:
        raise FormatError(f"{path}: the file is empty, expected lines of base64 token bytes, a space and a rank")
    return ranks


def description_path(path: Path) -> Path:
    """The file beside a rank file that says what ranks do not: the split pattern and the added tokens."""
    return path.with_name(path.name.split(".tiktoken")[0] + ".bytetok.json")


def spell_ranks(vocab: Vocab) -> str:
    """The rank file of a vocabulary's ordinary tokens, in the order of their ids; added tokens are not in it."""
    ordinary = vocab.ordinary()
    return "".join(
        f"{base64.b64encode(token).decode()} {token_id}\n"
        for token_id, token in enumerate(vocab.tokens)
        if ordinary[token_id]
    )


def is_ranked(tokens: Sequence[bytes], merges: Sequence[tuple[int, int]]) -> bool:
    """Whether merges are those that a rank file of ``tokens`` means: all pairs that join to a token, by its id.

    Ids are then the same whether equal ranks or the places in the list decide: of the pairs that join to one token, at
    most one can ever be neighbors, because between the token's ends merging goes as it does on the token alone.
    """
    expected = _core.merges_of_ranks(list(tokens))
    if len(expected) != len(merges):
        return False
    made = {(left, right): token for left, right, token in expected}
    products = [made.get(pair) for pair in merges]
    if None in products or len(set(merges)) != len(merges):
        return False
    return all(first <= second for first, second in pairwise(products))  # type: ignore[operator]


def vocab_of(
    ranks: Mapping[bytes, int],
    special_tokens: Mapping[str, int] | Mapping[str, AddedToken],
    place: str = "ranks",
) -> Vocab:
    """The vocabulary that a rank file means.

    tiktoken merges any two neighbors that join to a token, lowest rank first, so a token can come from several pairs:
    all of them are merges, with the rank of the token they make. ``special_tokens`` are ids by text, or whole added
    tokens. Raises FormatError for ids that clash.
    """
    added = {
        text: token if isinstance(token, AddedToken) else AddedToken(text, token, special=True)
        for text, token in special_tokens.items()
    }
    owners: dict[int, bytes] = {}
    for kind, token, token_id in [
        *(("token", token, rank) for token, rank in ranks.items()),
        *(("special token", token.text.encode(), token.id) for token in added.values()),
    ]:
        if token_id < 0 or owners.setdefault(token_id, token) is not token:
            taken = f", which belongs to {owners[token_id][:80]!r}" if token_id >= 0 else "; ids count from 0"
            raise FormatError(f"{place}: the {kind} {token[:80]!r} has id {token_id}{taken}")
    size = 1 + max(owners, default=-1)
    if size > 2 * len(owners) + 1024:
        raise FormatError(
            f"{place}: ids go up to {size - 1} but there are only {len(owners)} tokens; is the file whole?"
        )
    tokens = tuple([owners.get(token_id, b"") for token_id in range(size)])
    return Vocab(tokens, None, added, whole_first=True, ranked=True)
