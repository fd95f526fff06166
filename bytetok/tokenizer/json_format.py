"""tokenizer.json of Hugging Face: what our engine can run is read exactly, what it cannot is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bytetok._files import write_text
from bytetok.errors import FormatError
from bytetok.tokenizer.bytelevel import to_bytes, to_characters
from bytetok.tokenizer.patterns import NAMED, SplitPattern
from bytetok.tokenizer.vocab import AddedToken, Vocab

_FLAGS = ("special", "single_word", "lstrip", "rstrip", "normalized")


class NotOursError(Exception):
    """The file is sound as far as it was read, but describes a model that our engine does not run."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises FormatError that names the file and the byte offset."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as err:
        place = f" at byte {err.pos}" if isinstance(err, json.JSONDecodeError) else ""
        raise FormatError(f"{path}: not valid JSON{place}: {err}; is the file complete?") from err
    if not isinstance(content, dict):
        raise FormatError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def read(path: Path) -> tuple[Vocab, SplitPattern]:
    """Read a byte-level BPE tokenizer.json.

    Raises FormatError for a broken or contradictory file, and NotOursError for anything that is not plain byte-level
    BPE.
    """
    content = read_json(path)
    model = content.get("model")
    if not isinstance(model, dict):
        raise FormatError(f"{path}: no model; expected a Hugging Face tokenizer.json with a 'model' object")
    if model.get("type", "BPE" if "merges" in model else None) != "BPE":
        raise NotOursError(f"model.type is {model.get('type')!r}")
    if content.get("normalizer") is not None:
        raise NotOursError(f"normalizer is {_type_of(content['normalizer'])}")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "unk_token"):
        if model.get(key):
            raise NotOursError(f"model.{key} is {model[key]!r}")
    if model.get("byte_fallback"):
        raise NotOursError("model.byte_fallback is true")
    pattern = SplitPattern.of(_stages(content.get("pre_tokenizer")))
    return _vocab(path, model, content.get("added_tokens") or []), pattern


def _type_of(part: object) -> str:
    return repr(part.get("type")) if isinstance(part, dict) else type(part).__name__


def _stages(part: Any) -> list[str]:
    """The regexes of a pre_tokenizer that ends in ByteLevel."""
    parts = part.get("pretokenizers", []) if isinstance(part, dict) and part.get("type") == "Sequence" else [part]
    stages: list[str] = []
    for position, step in enumerate(parts):
        kind = step.get("type") if isinstance(step, dict) else None
        if kind == "ByteLevel" and position == len(parts) - 1:
            if step.get("add_prefix_space"):
                raise NotOursError("pre_tokenizer.add_prefix_space is true")
            if step.get("use_regex", True):
                stages += NAMED["gpt2"]
            return stages or list(NAMED["none"])
        if kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
            regex = step.get("pattern", {}).get("Regex")
            if regex is None:
                raise NotOursError("pre_tokenizer.pattern is a string, not a Regex")
            stages.append(regex)
        elif kind == "Digits" and step.get("individual_digits"):
            stages += NAMED["digits"]
        else:
            raise NotOursError(f"pre_tokenizer step {position} is {_type_of(step)}")
    raise NotOursError("pre_tokenizer does not end in ByteLevel")


def _vocab(path: Path, model: Mapping[str, Any], added: list[Any]) -> Vocab:
    entries = model.get("vocab")
    if not isinstance(entries, dict) or not all(isinstance(token_id, int) for token_id in entries.values()):
        raise FormatError(f"{path}: model.vocab should map tokens to ids")
    added_tokens = {}
    for entry in added:
        try:
            token = AddedToken(
                text=entry["content"],
                id=entry["id"],
                **{flag: bool(entry.get(flag)) for flag in _FLAGS},
            )
        except (KeyError, TypeError) as err:
            raise FormatError(f"{path}: added token {str(entry)[:80]} lacks a content or an id") from err
        # Without a normalizer, `normalized` changes nothing about where a token is found.
        added_tokens[token.text] = token
    size = 1 + max([*entries.values(), *(token.id for token in added_tokens.values())], default=-1)
    if size > 2 * (len(entries) + len(added_tokens)) + 1024:
        raise FormatError(
            f"{path}: ids go up to {size - 1} but there are only {len(entries)} tokens; is the file whole?"
        )
    added_ids = {token.id for token in added_tokens.values()}
    tokens = [b""] * size
    strings: dict[str, int] = {}
    for string, token_id in entries.items():
        if token_id < 0:
            raise FormatError(f"{path}: token {string!r} has the negative id {token_id}")
        if tokens[token_id]:
            raise FormatError(f"{path}: id {token_id} belongs to {tokens[token_id]!r} and to {string!r}")
        strings[string] = token_id
        tokens[token_id] = string.encode() if token_id in added_ids else to_bytes(string)
    for token in added_tokens.values():
        tokens[token.id] = token.text.encode()
    merges = []
    for rank, merge in enumerate(model.get("merges") or []):
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        for string in (left, right, left + right):
            if string not in strings:
                raise FormatError(
                    f"{path}: merge {rank}, {left!r} + {right!r}, needs {string!r}, which is not in vocab"
                )
        merges.append((strings[left], strings[right]))
    return Vocab(tuple(tokens), tuple(merges), added_tokens, whole_first=bool(model.get("ignore_merges")))


def to_json(vocab: Vocab, pattern: SplitPattern) -> dict[str, Any]:
    """The content of a tokenizer.json that ``tokenizers`` and transformers 4 and 5 load."""
    strings = [
        token.decode(errors="replace") if vocab.is_added(token_id) else to_characters(token)
        for token_id, token in enumerate(vocab.tokens)
    ]
    model_ids = [
        token_id
        for token_id, token in enumerate(vocab.tokens)
        if token and (not vocab.is_added(token_id) or strings[token_id] in vocab.special_tokens)
    ]
    if pattern.stages == NAMED["gpt2"]:
        pre_tokenizer: dict[str, Any] = _byte_level(use_regex=True)
    else:
        splits = [
            {"type": "Split", "pattern": {"Regex": stage}, "behavior": "Isolated", "invert": False}
            for stage in pattern.stages
            if pattern.name != "none"
        ]
        steps = [*splits, _byte_level(use_regex=False)]
        pre_tokenizer = {"type": "Sequence", "pretokenizers": steps} if splits else steps[0]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token.id,
                "content": token.text,
                "single_word": token.single_word,
                "lstrip": token.lstrip,
                "rstrip": token.rstrip,
                "normalized": token.normalized,
                "special": token.special,
            }
            for token in sorted(vocab.added_tokens.values(), key=lambda token: token.id)
        ],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": _byte_level(use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": vocab.whole_first,
            "vocab": {strings[token_id]: token_id for token_id in model_ids},
            "merges": [[strings[left], strings[right]] for left, right in vocab.merges],
        },
    }


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def config_of(vocab: Vocab, model_max_length: int | None = None) -> dict[str, Any]:
    """The content of tokenizer_config.json, with the class name that transformers 4 and 5 both know."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(token.id): {
                "content": token.text,
                "lstrip": token.lstrip,
                "normalized": token.normalized,
                "rstrip": token.rstrip,
                "single_word": token.single_word,
                "special": token.special,
            }
            for token in sorted(vocab.added_tokens.values(), key=lambda token: token.id)
        },
    }
    if model_max_length is not None:
        config["model_max_length"] = model_max_length
    roles = {
        "bos_token": ("<|start|>", "<|begin_of_text|>", "<s>"),
        "eos_token": ("<|end|>", "<|endoftext|>", "<|end_of_text|>", "</s>"),
        "pad_token": ("<|pad|>", "<pad>"),
        "unk_token": ("<|unk|>", "<unk>"),
        "sep_token": ("<|sep|>",),
        "cls_token": ("<|cls|>",),
        "mask_token": ("<|mask|>", "<mask>"),
    }
    special = vocab.special_tokens
    for role, texts in roles.items():
        found = next((text for text in texts if text in special), None)
        if found is not None:
            config[role] = found
    return config


def write(directory: Path, vocab: Vocab, pattern: SplitPattern, provenance: Mapping[str, Any]) -> None:
    """Write tokenizer.json, tokenizer_config.json and bytetok.json, each whole or not at all."""
    for name, content in (
        ("tokenizer.json", to_json(vocab, pattern)),
        ("tokenizer_config.json", config_of(vocab)),
        ("bytetok.json", dict(provenance)),
    ):
        write_text(directory / name, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
