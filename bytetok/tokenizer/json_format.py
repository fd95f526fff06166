"""tokenizer.json of Hugging Face: what our engine can run is read exactly, what it cannot is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bytetok._files import write_text
from bytetok.errors import CorpusError, FormatError, InvalidPatternError, LossyConversionError
from bytetok.tokenizer.bytelevel import BYTES, to_bytes, to_characters
from bytetok.tokenizer.patterns import NAMED, SplitPattern
from bytetok.tokenizer.tiktoken_format import is_ranked
from bytetok.tokenizer.vocab import AddedToken, Vocab

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


class NotOursError(Exception):
    """The file is sound as far as it was read, but describes a model that our engine does not run."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises FormatError that names the file and the byte offset."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as err:
        raise CorpusError(f"{path}: cannot be read: {err}") from err
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
    try:
        pattern = SplitPattern.of(_stages(content.get("pre_tokenizer")))
    except InvalidPatternError as err:
        raise NotOursError(str(err)) from err
    return _vocab(path, model, content.get("added_tokens") or [], pattern), pattern


def _type_of(part: object) -> str:
    return repr(part.get("type")) if isinstance(part, dict) else type(part).__name__


def _stages(part: Any) -> list[str]:
    """The regexes of a pre_tokenizer that ends in ByteLevel."""
    parts = part.get("pretokenizers") if isinstance(part, dict) and part.get("type") == "Sequence" else [part]
    if not isinstance(parts, list):
        raise NotOursError("pre_tokenizer.pretokenizers is not a list")
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
            described = step.get("pattern")
            regex = described.get("Regex") if isinstance(described, dict) else None
            if not isinstance(regex, str):
                raise NotOursError("pre_tokenizer.pattern is not a Regex")
            stages.append(regex)
        elif kind == "Digits" and step.get("individual_digits"):
            stages += NAMED["digits"]
        else:
            raise NotOursError(f"pre_tokenizer step {position} is {_type_of(step)}")
    raise NotOursError("pre_tokenizer does not end in ByteLevel")


def _vocab(path: Path, model: Mapping[str, Any], added: object, pattern: SplitPattern) -> Vocab:
    entries = model.get("vocab")
    if not isinstance(entries, dict):
        raise FormatError(f"{path}: model.vocab is {_shown(entries)}, expected an object of tokens and ids")
    added_tokens = read_added(path, added)
    _check_added_ids(path, added_tokens, entries)
    _refuse_two_passes(added_tokens)
    owners: dict[int, str] = {}
    for string, token_id in [*entries.items(), *((token.text, token.id) for token in added_tokens.values())]:
        if type(token_id) is not int or token_id < 0:
            raise FormatError(f"{path}: token {_shown(string)} has id {_shown(token_id)}; ids are whole numbers from 0")
        if owners.setdefault(token_id, string) != string:
            raise FormatError(f"{path}: id {token_id} belongs to {_shown(owners[token_id])} and to {_shown(string)}")
    size = 1 + max(owners, default=-1)
    if size > 2 * len(owners) + 1024:
        raise FormatError(
            f"{path}: ids go up to {size - 1} but there are only {len(owners)} tokens; is the file whole?"
        )
    tokens = [b""] * size
    for string, token_id in entries.items():
        if string not in added_tokens:
            tokens[token_id] = _token_bytes(string)
    for token in added_tokens.values():
        tokens[token.id] = token.text.encode()
    whole_first = bool(model.get("ignore_merges"))
    merges = _merges(path, model.get("merges") or [], entries)
    _refuse_double_roles(added_tokens, entries, merges, pattern if whole_first else None)
    pairs = tuple((entries[left], entries[right]) for left, right in merges)
    added_ids = {token.id for token in added_tokens.values()}
    ordinary = [b"" if token_id in added_ids else token for token_id, token in enumerate(tokens)]
    return Vocab(tuple(tokens), pairs, added_tokens, whole_first, whole_first and is_ranked(ordinary, pairs))


def read_added(path: Path, added: object) -> dict[str, AddedToken]:
    """Read a list of added tokens as tokenizer.json has it; FormatError names the one that is broken."""
    if not isinstance(added, list):
        raise FormatError(f"{path}: added_tokens is {_shown(added)}, expected a list")
    tokens: dict[str, AddedToken] = {}
    for place, entry in enumerate(added):
        text, token_id = (entry.get("content"), entry.get("id")) if isinstance(entry, dict) else (None, None)
        if not isinstance(text, str) or not text or type(token_id) is not int or text in tokens:
            raise FormatError(
                f"{path}: added token {place} is {_shown(entry)}, expected an object with a content that no other has, "
                "and an id"
            )
        try:
            text.encode()
        except UnicodeEncodeError as err:
            raise FormatError(f"{path}: added token {place}, {_shown(text)}, holds a lone surrogate") from err
        tokens[text] = AddedToken(text, token_id, **{flag: bool(entry.get(flag)) for flag in _FLAGS})
    return tokens


def spell_added(vocab: Vocab) -> list[dict[str, Any]]:
    """The added tokens as tokenizer.json has them, in the order of their ids."""
    ordered = sorted(vocab.added_tokens.values(), key=lambda token: token.id)
    return [{"id": token.id, "content": token.text, **_flags_of(token)} for token in ordered]


def _flags_of(token: AddedToken) -> dict[str, bool]:
    return {flag: getattr(token, flag) for flag in _FLAGS}


def _check_added_ids(path: Path, tokens: Mapping[str, AddedToken], entries: Mapping[str, int]) -> None:
    """`tokenizers` looks added tokens up in the vocabulary, or numbers them, and only warns if the file differs."""
    highest = -1
    for place, (text, token) in enumerate(tokens.items()):
        given = entries.get(text, max(len(entries), highest + 1))
        if given != token.id:
            raise FormatError(
                f"{path}: added token {place}, {_shown(text)}, has id {token.id}, but `tokenizers` would give it "
                f"{given}; put added tokens into model.vocab to keep their ids"
            )
        highest = max(highest, token.id)


def _refuse_two_passes(tokens: Mapping[str, AddedToken]) -> None:
    """Without a normalizer, `normalized` only says that a token is looked for after all others have been found."""
    first = [token for token in tokens.values() if not token.normalized]
    second = [token for token in tokens.values() if token.normalized]
    if not first or not second:
        return
    # Alike ends and beginnings are enough to overlap; the second pass also sees a border where the first found a token.
    if any(token.single_word or token.lstrip or token.rstrip for token in tokens.values()) or _overlap(first, second):
        raise NotOursError("added tokens are found in two passes, by `normalized`, that see each other's text")


def _overlap(first: Sequence[AddedToken], second: Sequence[AddedToken]) -> bool:
    """Whether a token of one list can share text with one of the other: a part of it, or an end that is a beginning."""
    for ours, theirs in ((first, second), (second, first)):
        whole = {token.text for token in theirs}
        beginnings = {text[:length] for text in whole for length in range(1, len(text) + 1)}
        for text in (token.text for token in ours):
            for start in range(len(text)):
                for end in range(start + 1, len(text) + 1):
                    if text[start:end] not in beginnings:
                        break
                    if end == len(text) or text[start:end] in whole:
                        return True
    return False


def _merges(path: Path, merges: object, entries: Mapping[str, int]) -> list[tuple[str, str]]:
    if not isinstance(merges, list):
        raise FormatError(f"{path}: model.merges is {_shown(merges)}, expected a list")
    pairs: dict[tuple[str, str], None] = {}
    for rank, merge in enumerate(merges):
        pair = tuple(merge.split(" ")) if isinstance(merge, str) else merge
        if not isinstance(pair, (tuple, list)) or [type(part) for part in pair] != [str, str]:
            raise FormatError(f"{path}: merge {rank} is {_shown(merge)}, expected two tokens")
        left, right = pair
        for string in (left, right, left + right):
            if string not in entries:
                raise FormatError(
                    f"{path}: merge {rank} of {_shown(left)} and {_shown(right)} needs the token {_shown(string)}, "
                    "which is not in model.vocab"
                )
        pairs.pop((left, right), None)  # of a pair that is there twice, the last rank counts in `tokenizers`
        pairs[left, right] = None
    return list(pairs)


def _refuse_double_roles(
    added: Mapping[str, AddedToken],
    entries: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    whole: SplitPattern | None,
) -> None:
    """An added token that text can also turn into by itself, by merges or as a ``whole`` pretoken, has two roles."""
    shared = {text for text in added if text in entries}
    merged = shared & {string for left, right in merges for string in (left, right, left + right)}
    merged |= {text for text in shared if text in BYTES}
    if whole is not None:
        merged |= {text for text in shared if _may_be_pretoken(added[text], whole)}
    if merged:
        raise NotOursError(f"added token {_shown(min(merged))} is an ordinary token, too")


def _may_be_pretoken(token: AddedToken, pattern: SplitPattern) -> bool:
    """Whether text can leave the added token to the split pattern, which then leaves it whole."""
    return token.single_word and pattern.split(token.text) == [token.text.encode()]


def _token_bytes(string: str) -> bytes:
    try:
        return to_bytes(string)
    except FormatError as err:
        raise NotOursError(str(err)) from err


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def to_json(vocab: Vocab, pattern: SplitPattern) -> dict[str, Any]:
    """The content of a tokenizer.json that ``tokenizers`` and transformers 4 and 5 load.

    Raises LossyConversionError for added tokens that would be found elsewhere, or not be told from other tokens.
    """
    _refuse_mixed(vocab, pattern)
    strings = [
        token.decode(errors="replace") if vocab.is_added(token_id) else to_characters(token)
        for token_id, token in enumerate(vocab.tokens)
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
        "added_tokens": spell_added(vocab),
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
            # Added tokens too: `tokenizers` gives those that are not here ids of its own choice.
            "vocab": _model_vocab(vocab, strings),
            "merges": [[strings[left], strings[right]] for left, right in vocab.merges],
        },
    }


def _refuse_mixed(vocab: Vocab, pattern: SplitPattern) -> None:
    try:
        _refuse_two_passes(vocab.added_tokens)
    except NotOursError as err:
        raise LossyConversionError(f"tokenizer.json cannot say it: {err}; give all the same `normalized`") from err
    for token in vocab.added_tokens.values() if vocab.whole_first else ():
        if _may_be_pretoken(token, pattern):
            raise LossyConversionError(
                f"added token {_shown(token.text)} is for single words only, but as a whole pretoken `tokenizers` "
                "would take it anywhere; make it an ordinary token, or let it match everywhere"
            )


def _model_vocab(vocab: Vocab, strings: Sequence[str]) -> dict[str, int]:
    """All tokens by their strings; LossyConversionError for two that are written alike, since the file has one id."""
    entries: dict[str, int] = {}
    for token_id, string in enumerate(strings):
        if string and entries.setdefault(string, token_id) != token_id:
            raise LossyConversionError(
                f"tokens {entries[string]} and {token_id} are both written {_shown(string)} in tokenizer.json, because "
                "one of them is an added token; it cannot hold both, so leave the added token out"
            )
    return entries


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def config_of(vocab: Vocab, model_max_length: int | None = None) -> dict[str, Any]:
    """The content of tokenizer_config.json, with the class name that transformers 4 and 5 both know."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(token.id): {"content": token.text, **_flags_of(token)}
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
    contents = {
        "tokenizer.json": to_json(vocab, pattern),
        "tokenizer_config.json": config_of(vocab),
        "bytetok.json": dict(provenance),
    }
    # All are spelled out before any is written, so that provenance that JSON cannot hold leaves no half of a tokenizer.
    spelled = {name: spell(content) for name, content in contents.items()}
    for name, text in spelled.items():
        write_text(directory / name, text)


def spell(content: dict[str, Any]) -> str:
    """JSON for people to read and for diffs to follow: a token or a merge a line, where `indent` has four a merge."""
    lists: dict[str, str] = {}
    if "model" in content:
        model = content["model"]
        vocab = [f"{json.dumps(token, ensure_ascii=False)}: {number}" for token, number in model["vocab"].items()]
        merges = [json.dumps(merge, ensure_ascii=False) for merge in model["merges"]]
        lists = {'"@vocab"': "{\n" + ",\n".join(vocab) + "\n}", '"@merges"': "[\n" + ",\n".join(merges) + "\n]"}
        content = {**content, "model": {**model, "vocab": "@vocab", "merges": "@merges"}}
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    for mark, spelled in lists.items():
        # The model is the last part of the file, so the last mark is ours whatever the special tokens are called.
        before, _, after = text.rpartition(mark)
        text = before + spelled + after
    return text
