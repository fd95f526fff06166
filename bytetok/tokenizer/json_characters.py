"""SentencePiece-style BPE in a tokenizer.json: merges of characters, spaces as ``▁``, unknown characters as bytes.

Such a file says where spaces go in one of several ways: by normalizers (Llama 2, Gemma) or by the pre_tokenizer
Metaspace (Mistral, newer Llama 2). What is exactly a :class:`CharacterScheme` is read as one, anything else is refused
with the field named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from bytetok.errors import LossyConversionError
from bytetok.tokenizer.json_added import NotOursError, flag_of, shown
from bytetok.tokenizer.json_bytes import type_of
from bytetok.tokenizer.json_model import read_entries, read_merges
from bytetok.tokenizer.vocab import AddedToken, CharacterScheme, Vocab

Prefix = tuple[Literal["none", "first", "each"], bool]
"""``prefix`` and ``prefix_always`` of a :class:`CharacterScheme`."""

MARK = "▁"
_BYTE_TOKENS = {f"<0x{byte:02X}>": byte for byte in range(256)}
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
_PREPEND = {"type": "Prepend", "prepend": MARK}
# What decoders of these files do; any other one would make other text of the same ids.
_UNREPLACE = {"type": "Replace", "pattern": {"String": MARK}, "content": " "}
_DECODER = [_UNREPLACE, {"type": "ByteFallback"}, {"type": "Fuse"}]
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def steps_of(part: Any, field: str) -> list[Any]:
    """The steps of a normalizer, pre_tokenizer or decoder, whether it is a Sequence, one step, or none."""
    if part is None:
        return []
    if not isinstance(part, dict) or part.get("type") != "Sequence":
        return [part]
    steps = part.get(field)
    if not isinstance(steps, list):
        raise NotOursError(f"{field} of a Sequence is {shown(steps)}")
    return [inner for step in steps for inner in steps_of(step, field)]


def read_prefix(normalizers: Sequence[Any], pre_tokenizer: Any, tokens: Mapping[str, int]) -> Prefix:
    """Where a space is put before text; NotOursError for steps that do something else as well.

    ``normalizers`` are what is left of the normalizer's steps after a Unicode normalization form.
    """
    prepends = [step for step in normalizers if step == _PREPEND]
    for place, step in enumerate(normalizers):
        if step not in (_PREPEND, _REPLACE):
            raise NotOursError(f"normalizer step {place} is {shown(step)}")
    splits = steps_of(pre_tokenizer, "pretokenizers")
    if _REPLACE in normalizers:
        for place, step in enumerate(splits):
            # After the replacement there is no space to split at, whatever is done with it.
            if not (isinstance(step, dict) and step.get("type") == "Split" and step.get("pattern") == {"String": " "}):
                raise NotOursError(f"pre_tokenizer step {place} is {shown(step)}")
        if len(prepends) > 1:
            raise NotOursError("normalizer prepends twice")
        return ("each", True) if prepends else ("none", True)
    if prepends or len(splits) != 1 or type_of(splits[0]) != "'Metaspace'":
        raise NotOursError(f"neither normalizer nor pre_tokenizer makes a {MARK!r} of each space and nothing else")
    return _of_metaspace(splits[0], tokens)


def _of_metaspace(step: Mapping[str, Any], tokens: Mapping[str, int]) -> Prefix:
    if step.get("replacement") != MARK:
        raise NotOursError(f"pre_tokenizer.replacement is {step.get('replacement')!r}")
    if flag_of(step, "split", True):
        # Splitting before each mark changes nothing if no token reaches over one.
        over = next((token for token in tokens if MARK in token[1:]), None)
        if over is not None:
            raise NotOursError(f"pre_tokenizer.split is true, but the token {shown(over)} reaches over a space")
    scheme = step.get("prepend_scheme", "always")
    if scheme not in ("always", "first", "never") or (step.get("add_prefix_space") is False and scheme != "never"):
        raise NotOursError(f"pre_tokenizer.prepend_scheme is {scheme!r}")
    prefixes: dict[str, Prefix] = {"always": ("each", False), "first": ("first", False), "never": ("none", True)}
    return prefixes[scheme]


def check_decoder(decoder: Any, prefix: Prefix) -> None:
    """Raise NotOursError for a decoder that does not just undo the marks, the bytes and the prefix, if there is one."""
    steps = steps_of(decoder, "decoders")
    expected = _DECODER if prefix[0] == "none" else [*_DECODER, _STRIP]
    for place, (found, wanted) in enumerate(zip_longest(steps, expected)):
        if found != wanted:
            described = [("nothing" if step is None else shown(step)) for step in (found, wanted)]
            raise NotOursError(f"decoder step {place} is {described[0]}, where {described[1]} would be ours")


def read_vocab(path: Path, model: Mapping[str, Any], added: dict[str, AddedToken], prefix: Prefix) -> Vocab:
    """The vocabulary of a model with byte fallback.

    Raises FormatError for a contradictory file, and NotOursError for a vocabulary in which our engine would see other
    tokens than `tokenizers` does.
    """
    entries, size = read_entries(path, model, added)
    if flag_of(model, "ignore_merges", False):
        raise NotOursError("model.ignore_merges is true, and text is not split into words")
    byte_ids = _byte_ids(entries, added)
    merges = read_merges(path, model.get("merges") or [], entries)
    by_id = {token_id: string for string, token_id in zip(_BYTE_TOKENS, byte_ids, strict=True)}
    merged = by_id.keys() & {token_id for merge in merges for token_id in merge}
    if merged:
        raise NotOursError(f"model.merges has the byte token {by_id[min(merged)]!r}")
    _check_added(added, entries, prefixed=prefix == ("each", True))
    tokens = [b""] * size
    strings: dict[bytes, str] = {}
    for string, token_id in [*entries.items(), *((token.text, token.id) for token in added.values())]:
        if string in _BYTE_TOKENS:
            tokens[token_id] = bytes([_BYTE_TOKENS[string]])
            continue
        if strings.setdefault(token := bytes_of(string), string) != string:
            raise NotOursError(f"tokens {shown(string)} and {shown(strings[token])} are the same text")
        tokens[token_id] = token
    if MARK not in entries:
        raise NotOursError(f"model.vocab lacks {MARK!r}, so a space becomes bytes")
    pieces = [string for string in entries if string not in added and string not in _BYTE_TOKENS]
    lacking = set("".join(pieces)) - entries.keys()
    if lacking:
        string = next(string for string in pieces if not lacking.isdisjoint(string))
        character = next(character for character in string if character in lacking)
        raise NotOursError(f"token {shown(string)} has the character {character!r}, which is not a token")
    pairs = tuple([(left, right) for left, right, _ in merges])
    return Vocab(tuple(tokens), pairs, added, characters=CharacterScheme(byte_ids, *prefix))


def bytes_of(string: str) -> bytes:
    """The bytes that a piece stands for."""
    try:
        return string.replace(MARK, " ").encode()
    except UnicodeEncodeError as err:
        raise NotOursError(f"token {shown(string)} holds a lone surrogate") from err


def _byte_ids(entries: Mapping[str, int], added: Mapping[str, AddedToken]) -> tuple[int, ...]:
    for string in _BYTE_TOKENS:
        if string not in entries:
            raise NotOursError(f"model.byte_fallback is true, but model.vocab lacks {string!r}")
        if string in added:
            raise NotOursError(f"the byte token {string!r} is an added token")
    return tuple(entries[string] for string in _BYTE_TOKENS)


def _check_added(added: Mapping[str, AddedToken], entries: Mapping[str, int], *, prefixed: bool) -> None:
    """`normalized` tokens are looked for in text whose spaces are marks already, and are normalized themselves."""
    for token in added.values():
        if len(token.text) == 1 and token.text not in entries:
            raise NotOursError(f"added token {token.text!r} is one character, and not in model.vocab")
        if token.normalized and (
            prefixed or token.lstrip or token.rstrip or token.single_word or {" ", MARK} & set(token.text)
        ):
            raise NotOursError(f"added token {shown(token.text)} is looked for after normalization")


def parts_of(vocab: Vocab, scheme: CharacterScheme, *, lossy: bool = False) -> dict[str, Any]:
    """What tokenizer.json says of a character scheme: normalizers, pre_tokenizer, decoder.

    Raises LossyConversionError for a space before the text that no part of tokenizer.json can put there; if ``lossy``,
    it goes before each stretch of text.
    """
    decoder = {"type": "Sequence", "decoders": _DECODER if scheme.prefix == "none" else [*_DECODER, _STRIP]}
    parts: dict[str, Any] = {"normalizers": [_REPLACE], "pre_tokenizer": None, "decoder": decoder}
    if scheme.prefix_always and (scheme.prefix == "each" or (lossy and scheme.prefix == "first")):
        parts["normalizers"] = [_PREPEND, _REPLACE]
        _refuse_normalized(vocab)
    elif scheme.prefix != "none" and not scheme.prefix_always:
        where = {"each": "always", "first": "first"}[scheme.prefix]
        parts["normalizers"] = []
        parts["pre_tokenizer"] = {
            "type": "Metaspace", "replacement": MARK, "prepend_scheme": where, "split": False
        }  # fmt: skip
    elif scheme.prefix == "first":
        raise LossyConversionError(
            "tokenizer.json cannot put a space before the text alone, whatever it begins with; keep the .model file"
        )
    return parts


def _refuse_normalized(vocab: Vocab) -> None:
    for token in vocab.added_tokens.values():
        if token.normalized:
            raise LossyConversionError(
                f"added token {shown(token.text)} is looked for after normalization, where `tokenizers` would put a "
                "space before it; make it not normalized"
            )


def strings_of(vocab: Vocab, scheme: CharacterScheme) -> list[str]:
    """The tokens as tokenizer.json writes them; LossyConversionError for one that is not UTF-8, or not its own text."""
    bytes_by_id = {token_id: byte for byte, token_id in enumerate(scheme.byte_ids)}
    texts = {token.id: token.text for token in vocab.added_tokens.values()}
    strings = []
    for token_id, token in enumerate(vocab.tokens):
        if token_id in bytes_by_id:
            strings.append(f"<0x{bytes_by_id[token_id]:02X}>")
            continue
        try:
            string = token.decode()
        except UnicodeDecodeError as err:
            raise LossyConversionError(f"token {token_id}, {token[:80]!r}, is not UTF-8, as tokenizer.json is") from err
        if re.fullmatch("<0x[0-9A-F]{2}>", string):
            raise LossyConversionError(f"token {token_id} is written {string!r}, which tokenizer.json takes for a byte")
        strings.append(texts.get(token_id, string.replace(" ", MARK)))
    return strings
