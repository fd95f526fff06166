"""Byte-level BPE in a tokenizer.json: the stages of splitting, and tokens written in GPT-2's characters."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bytetok.errors import FormatError, InvalidPatternError
from bytetok.tokenizer.bytelevel import CHARACTERS, to_bytes
from bytetok.tokenizer.json_added import NotOursError, flag_of, refuse_double_roles
from bytetok.tokenizer.json_model import read_entries, read_merges
from bytetok.tokenizer.patterns import NAMED, SplitPattern
from bytetok.tokenizer.tekken_format import TEKKEN_PATTERN
from bytetok.tokenizer.tiktoken_format import is_ranked
from bytetok.tokenizer.vocab import AddedToken, Vocab

# Regexes whose matches leave nothing between them, on any text.
_COVERING = {NAMED[name][0] for name in ("gpt2", "cl100k", "o200k", "llama3", "qwen2")} | {TEKKEN_PATTERN}

# What is known to mean the same in Ruby's syntax, which `tokenizers` reads, as in Rust's and Perl's: no anchors (they
# match at every line), no word characters and POSIX classes (other characters belong to them), no flags (in Ruby "ss"
# is "ß" if case does not matter, and "m" is another flag), no {2}+ (possessive here, repeated there), no operators in
# classes.
_SCRIPTS = "Han|Hiragana|Katakana|Hangul|Latin|Greek|Cyrillic|Arabic|Hebrew|Thai|Devanagari"
_SET = rf"\\[rntsSdD]|\\[pP]\{{(?:[A-Z][a-z]?|{_SCRIPTS})\}}|\\[^A-Za-z0-9]"
_SAFE = re.compile(
    rf"(?:{_SET}|\[\^?(?:{_SET}|(?!&&|--|~~)[^\[\]\\])+\]"
    r"|\(\?i:'s\|'t\|'re\|'ve\|'m\|'ll\|'d\)|'\(\?i:\[sdmt\]\|ll\|ve\|re\)"
    r"|\((?!\?)|\(\?(?:[:=!>]|<[=!])|\)|\||[*+?][+?]?|\{\d+(?:,\d*)?\}(?![+?])|[^\\^$\[\](){}|*+?])*"
)
_KNOWN = {stage for stages in NAMED.values() for stage in stages} | {TEKKEN_PATTERN}


def read_pattern(part: Any, own: Collection[str] = ()) -> SplitPattern:
    """The split pattern of a pre_tokenizer that ends in ByteLevel; NotOursError names the step that is not ours.

    ``own`` are regexes that are written as our engine reads them, because we wrote the file.
    """
    try:
        return SplitPattern.of(_stages(part, own))
    except InvalidPatternError as err:
        raise NotOursError(str(err)) from err


def _stages(part: Any, own: Collection[str]) -> list[str]:
    parts = part.get("pretokenizers") if isinstance(part, dict) and part.get("type") == "Sequence" else [part]
    if not isinstance(parts, list):
        raise NotOursError("pre_tokenizer.pretokenizers is not a list")
    stages: list[str] = []
    for position, step in enumerate(parts):
        kind = step.get("type") if isinstance(step, dict) else None
        if kind == "ByteLevel" and position == len(parts) - 1:
            if flag_of(step, "add_prefix_space", True):
                raise NotOursError("pre_tokenizer.add_prefix_space is true")
            if flag_of(step, "use_regex", True):
                stages += NAMED["gpt2"]
            return stages or list(NAMED["none"])
        if kind == "Split":
            stages.append(_split(step, position, own))
        elif kind == "Digits" and flag_of(step, "individual_digits", False):
            stages += NAMED["digits"]
        else:
            raise NotOursError(f"pre_tokenizer step {position} is {type_of(step)}")
    raise NotOursError("pre_tokenizer does not end in ByteLevel")


def _split(step: Mapping[str, Any], position: int, own: Collection[str]) -> str:
    described = step.get("pattern")
    regex = described.get("Regex") if isinstance(described, dict) else None
    if not isinstance(regex, str):
        raise NotOursError(f"pre_tokenizer step {position}: pattern is not a Regex")
    if regex not in own and regex not in _KNOWN and not _SAFE.fullmatch(regex):
        raise NotOursError(f"pre_tokenizer step {position}: `tokenizers` may read the regex otherwise than we do")
    # "Removed" with "invert" keeps the matches and drops what is between them, of which there may be nothing.
    behavior, invert = step.get("behavior"), flag_of(step, "invert", False)
    if (behavior == "Removed" and invert and regex in _COVERING) or (behavior == "Isolated" and not invert):
        return regex
    raise NotOursError(f"pre_tokenizer step {position} is 'Split' with behavior {behavior!r} and invert {invert}")


def type_of(part: object) -> str:
    """What a part of the file calls itself."""
    return repr(part.get("type")) if isinstance(part, dict) else type(part).__name__


def read_vocab(path: Path, model: Mapping[str, Any], added: dict[str, AddedToken], pattern: SplitPattern) -> Vocab:
    """The vocabulary of a byte-level model.

    Raises FormatError for a contradictory file, and NotOursError for added tokens that only `tokenizers` finds where
    it does, and for an unknown token that text could become.
    """
    entries, size = read_entries(path, model, added)
    if model.get("unk_token") and not all(character in entries for character in CHARACTERS):
        raise NotOursError(f"model.unk_token is {model['unk_token']!r}, for bytes that have no token")
    tokens = [b""] * size
    for string, token_id in entries.items():
        if string not in added:
            tokens[token_id] = _token_bytes(string)
    for token in added.values():
        tokens[token.id] = token.text.encode()
    whole_first = flag_of(model, "ignore_merges", False)
    merges = read_merges(path, model.get("merges") or [], entries)
    refuse_double_roles(added, entries, merges, pattern if whole_first else None)
    pairs = tuple([(left, right) for left, right, _ in merges])
    added_ids = {token.id for token in added.values()}
    ordinary = [b"" if token_id in added_ids else token for token_id, token in enumerate(tokens)]
    if whole_first and is_ranked(ordinary, pairs):
        return Vocab(tuple(tokens), None, added, whole_first, ranked=True)
    return Vocab(tuple(tokens), pairs, added, whole_first)


def _token_bytes(string: str) -> bytes:
    try:
        return to_bytes(string)
    except FormatError as err:
        raise NotOursError(str(err)) from err
