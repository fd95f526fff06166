"""tekken.json of mistral-common: ranks of bytes as in a ``.tiktoken`` file, behind a block of special tokens.

The id of a token is its rank plus the number of special tokens, and only as many ranks count as the vocabulary size
leaves room for. What a file may leave out is filled in as mistral-common 1.13.1 does.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bytetok.errors import FormatError, InvalidPatternError
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.tokenizer.tiktoken_format import vocab_of
from bytetok.tokenizer.vocab import AddedToken, Vocab

TEKKEN_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The split pattern of every tekken.json published so far."""

# Special tokens of a file that lists none, which mistral-common allows up to version 7.
_UNLISTED = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
    "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
)  # fmt: skip
_LAST_UNLISTED_VERSION = 7


def is_tekken(content: Mapping[str, Any]) -> bool:
    """Whether the content of a JSON file has the shape of a tekken.json, whatever its name."""
    return isinstance(content.get("config"), dict) and isinstance(content.get("vocab"), list)


def read(path: Path, content: Mapping[str, Any]) -> tuple[Vocab, SplitPattern]:
    """The vocabulary and split pattern of a tekken.json, given what it holds.

    mistral-common never finds special tokens in text, control tokens or not: all are special here, and
    ``special="text"`` gives its ids. Raises FormatError that names the field for a file that contradicts itself, and
    for a split pattern that is not known to match all text (tiktoken drops what is not matched).
    """
    config = content["config"]
    size = _whole_number(path, config, "default_vocab_size")
    specials = _whole_number(path, config, "default_num_special_tokens")
    entries = content["vocab"]
    if not 256 <= size - specials <= len(entries):
        raise FormatError(
            f"{path}: config.default_vocab_size is {size} and config.default_num_special_tokens {specials}, which asks "
            f"for {size - specials} tokens of 256 to {len(entries)} that vocab has; is the file whole?"
        )
    ranks: dict[bytes, int] = {}
    for rank, entry in enumerate(entries[: size - specials]):
        token = _token(path, rank, entry)
        if ranks.setdefault(token, rank) != rank:
            raise FormatError(f"{path}: vocab[{rank}] and vocab[{ranks[token]}] are both {token[:80]!r}")
    added = _special_tokens(path, content, specials)
    numbered = {token: specials + rank for token, rank in ranks.items()}
    return vocab_of(numbered, added, place=str(path)), _pattern(path, config.get("pattern"))


def _pattern(path: Path, regex: object) -> SplitPattern:
    if not isinstance(regex, str):
        raise FormatError(f"{path}: config.pattern is {_shown(regex)}, expected a regex")
    try:
        pattern = SplitPattern.of([regex])
    except InvalidPatternError as err:
        raise FormatError(f"{path}: config.pattern: {err}") from err
    if regex != TEKKEN_PATTERN and pattern.name is None:
        raise FormatError(
            f"{path}: config.pattern is {_shown(regex)}, which no published file has; whether it matches all text is "
            "not known, and what it does not match has no ids in mistral-common"
        )
    return pattern


def _token(path: Path, rank: int, entry: object) -> bytes:
    if not isinstance(entry, dict) or not isinstance(entry.get("token_bytes"), str):
        raise FormatError(f"{path}: vocab[{rank}] is {_shown(entry)}, expected an object with rank and token_bytes")
    if entry.get("rank") != rank or type(entry["rank"]) is not int:
        raise FormatError(f"{path}: vocab[{rank}].rank is {_shown(entry.get('rank'))}; ranks are places in the list")
    try:
        token = base64.b64decode(entry["token_bytes"], validate=True)
    except (ValueError, binascii.Error) as err:
        raise FormatError(f"{path}: vocab[{rank}].token_bytes is {_shown(entry['token_bytes'])}, not base64") from err
    if rank < 256 and token != bytes([rank]):
        raise FormatError(f"{path}: vocab[{rank}] is {token[:80]!r}; the first 256 tokens are the bytes in order")
    text = entry.get("token_str")
    if not token or (text is not None and (not isinstance(text, str) or text.encode(errors="replace") != token)):
        raise FormatError(f"{path}: vocab[{rank}] is {token[:80]!r} by token_bytes, but {_shown(text)} by token_str")
    return token


def _special_tokens(path: Path, content: Mapping[str, Any], number: int) -> dict[str, AddedToken]:
    listed = content.get("special_tokens")
    if listed is None:
        version = str(content["config"].get("version"))
        if not version.removeprefix("v").isdigit() or int(version.removeprefix("v")) > _LAST_UNLISTED_VERSION:
            raise FormatError(
                f"{path}: no special_tokens, and config.version is {version!r}; files after version "
                f"v{_LAST_UNLISTED_VERSION} list them"
            )
        listed = [{"rank": rank, "token_str": text} for rank, text in enumerate(_UNLISTED)]
    if not isinstance(listed, list) or len(listed) > number:
        raise FormatError(
            f"{path}: special_tokens is {_shown(listed)}, expected a list of at most {number} tokens, which is "
            "config.default_num_special_tokens"
        )
    tokens: dict[str, AddedToken] = {}
    fill = [{"rank": rank, "token_str": f"<SPECIAL_{rank}>"} for rank in range(len(listed), number)]
    for place, entry in enumerate([*listed, *fill]):
        text, rank = (entry.get("token_str"), entry.get("rank")) if isinstance(entry, dict) else (None, None)
        if not isinstance(text, str) or not text or text in tokens or rank != place or type(rank) is not int:
            raise FormatError(
                f"{path}: special_tokens[{place}] is {_shown(entry)}, expected the rank {place} and a token_str that "
                "no other has"
            )
        try:
            text.encode()
        except UnicodeEncodeError as err:
            raise FormatError(f"{path}: special_tokens[{place}], {_shown(text)}, holds a lone surrogate") from err
        tokens[text] = AddedToken(text, place, special=True)
    return tokens


def _whole_number(path: Path, config: Mapping[str, Any], field: str) -> int:
    value = config.get(field)
    if type(value) is not int or value < 0:
        raise FormatError(f"{path}: config.{field} is {_shown(value)}, expected a whole number")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
