"""tokenizer.json of Hugging Face: what our engine can run is read exactly, what it cannot is refused by name."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from bytetok._files import write_text
from bytetok.errors import CorpusError, FormatError, LossyConversionError
from bytetok.tokenizer import json_bytes, json_characters
from bytetok.tokenizer.bytelevel import to_characters
from bytetok.tokenizer.json_added import (
    NotOursError,
    flag_of,
    flags_of,
    may_be_pretoken,
    read_added,
    shown,
    spell_added,
)
from bytetok.tokenizer.patterns import NAMED, SplitPattern
from bytetok.tokenizer.scores import merges_of_scores
from bytetok.tokenizer.vocab import CharacterScheme, Vocab

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
"""A Unicode normalization form, as normalizers are called in the file."""

FORMS: tuple[Form, ...] = get_args(Form)
"""All of them."""


@dataclass(frozen=True)
class Described:
    """What a tokenizer.json says, as far as it decides about ids, and what it adds around a text afterwards."""

    vocab: Vocab
    pattern: SplitPattern
    normalizer: Form | None
    post_processor: Mapping[str, Any] | None


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises FormatError that names the file and the byte offset."""
    try:
        data = path.read_bytes()
    except OSError as err:
        raise CorpusError(f"{path}: cannot be read: {err}") from err
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as err:
        place = f" at byte {_byte_offset(err)}" if isinstance(err, json.JSONDecodeError) else ""
        raise FormatError(f"{path}: not valid JSON{place}: {err}; is the file complete?") from err
    if not isinstance(content, dict):
        raise FormatError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def _byte_offset(err: json.JSONDecodeError) -> int:
    return len(err.doc[: err.pos].encode(errors="surrogatepass"))


def read(path: Path, content: Mapping[str, Any] | None = None, *, own: Collection[str] = ()) -> Described:
    """Read a BPE tokenizer.json, of bytes or of characters with byte fallback; ``content`` is what it holds.

    ``own`` are regexes that need not mean the same to `tokenizers`, because we wrote them for ourselves.

    Raises FormatError for a broken or contradictory file, and NotOursError for a model that our engine does not run.
    """
    content = read_json(path) if content is None else content
    model = content.get("model")
    if not isinstance(model, dict):
        raise FormatError(f"{path}: no model; expected a Hugging Face tokenizer.json with a 'model' object")
    if model.get("type", "BPE" if "merges" in model else None) != "BPE":
        raise NotOursError(f"model.type is {model.get('type')!r}")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise NotOursError(f"model.{key} is {model[key]!r}")
    added = read_added(path, content.get("added_tokens", []))
    form, steps = _normalizer(content.get("normalizer"))
    if flag_of(model, "byte_fallback", False):
        entries = model.get("vocab")
        prefix = json_characters.read_prefix(
            steps, content.get("pre_tokenizer"), entries if isinstance(entries, dict) else {}
        )
        json_characters.check_decoder(content.get("decoder"), prefix)
        vocab = json_characters.read_vocab(path, model, added, prefix)
        pattern = SplitPattern.of("none")
    elif steps:
        raise NotOursError(f"normalizer is {shown(steps[0])}")
    else:
        pattern = json_bytes.read_pattern(content.get("pre_tokenizer"), own)
        vocab = json_bytes.read_vocab(path, model, added, pattern)
    post_processor = content.get("post_processor")
    return Described(vocab, pattern, form, post_processor if isinstance(post_processor, dict) else None)


def _normalizer(part: Any) -> tuple[Form | None, list[Any]]:
    """The Unicode normalization form that comes first, and the steps after it."""
    steps = json_characters.steps_of(part, "normalizers")
    first = json_bytes.type_of(steps[0]).strip("'") if steps else None
    form = next((form for form in FORMS if form == first), None)
    return form, steps[1:] if form else steps


def to_json(
    vocab: Vocab,
    pattern: SplitPattern,
    *,
    normalizer: Form | None = None,
    post_processor: Mapping[str, Any] | None = None,
    lossy: bool = False,
) -> dict[str, Any]:
    """The content of a tokenizer.json that ``tokenizers`` and transformers 4 and 5 load.

    Raises LossyConversionError for added tokens that would be found elsewhere, or not be told from other tokens. Of a
    SentencePiece vocabulary it also refuses a space before the text alone, and equal scores; with ``lossy`` the space
    goes before all text between added tokens, and equal scores go by id.
    """
    _refuse_pretokens(vocab, pattern)
    parts = _characters(vocab, vocab.characters, lossy=lossy) if vocab.characters else _bytes(vocab, pattern)
    first = [{"type": normalizer}] if normalizer else []
    normalizers = [*first, *parts.pop("normalizers")]
    strings, merges = parts.pop("strings"), parts.pop("merges")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": spell_added(vocab),
        "normalizer": _sequence("normalizers", normalizers),
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": None if post_processor is None else dict(post_processor),
        "decoder": parts["decoder"],
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": vocab.characters is not None,
            "ignore_merges": vocab.whole_first,
            # Added tokens too: `tokenizers` gives those that are not here ids of its own choice.
            "vocab": _model_vocab(vocab, strings),
            "merges": [[strings[left], strings[right]] for left, right in merges],
        },
    }


def _sequence(field: str, steps: Sequence[Any]) -> Any:
    """A normalizer or pre_tokenizer of these steps."""
    if len(steps) > 1:
        return {"type": "Sequence", field: list(steps)}
    return steps[0] if steps else None


def _bytes(vocab: Vocab, pattern: SplitPattern) -> dict[str, Any]:
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
        pre_tokenizer = _sequence("pretokenizers", steps)
    return {
        "normalizers": [],
        "pre_tokenizer": pre_tokenizer,
        "decoder": _byte_level(use_regex=True),
        "strings": strings,
        "merges": vocab.merges,
    }


def _characters(vocab: Vocab, scheme: CharacterScheme, *, lossy: bool) -> dict[str, Any]:
    parts = json_characters.parts_of(vocab, scheme, lossy=lossy)
    merges = vocab.merges if scheme.scores is None else merges_of_scores(vocab, scheme.scores, lossy=lossy)
    return {**parts, "strings": json_characters.strings_of(vocab, scheme), "merges": merges}


def _refuse_pretokens(vocab: Vocab, pattern: SplitPattern) -> None:
    for token in vocab.added_tokens.values() if vocab.whole_first else ():
        if may_be_pretoken(token, pattern):
            raise LossyConversionError(
                f"added token {shown(token.text)} is for single words only, but as a whole pretoken `tokenizers` "
                "would take it anywhere; make it an ordinary token, or let it match everywhere"
            )


def _model_vocab(vocab: Vocab, strings: Sequence[str]) -> dict[str, int]:
    """All tokens by their strings; LossyConversionError for two that are written alike, since the file has one id."""
    entries: dict[str, int] = {}
    for token_id, string in enumerate(strings):
        if string and entries.setdefault(string, token_id) != token_id:
            raise LossyConversionError(
                f"tokens {entries[string]} and {token_id} are both written {shown(string)} in tokenizer.json, because "
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
            str(token.id): {"content": token.text, **flags_of(token)}
            for token in sorted(vocab.added_tokens.values(), key=lambda token: token.id)
        },
    }
    if model_max_length is not None:
        config["model_max_length"] = model_max_length
    roles = {
        "bos_token": ("<|start|>", "<|begin_of_text|>", "<s>", "<bos>"),
        "eos_token": ("<|end|>", "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"),
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


def write(
    directory: Path,
    vocab: Vocab,
    pattern: SplitPattern,
    provenance: Mapping[str, Any],
    *,
    normalizer: Form | None = None,
    lossy: bool = False,
) -> None:
    """Write tokenizer.json, tokenizer_config.json and bytetok.json, each whole or not at all.

    ``provenance["post_processor"]`` is what a tokenizer.json that was read adds around a text: it goes back there.
    """
    rest = dict(provenance)
    post_processor = rest.pop("post_processor", None)
    contents = {
        "tokenizer.json": to_json(
            vocab, pattern, normalizer=normalizer, post_processor=post_processor, lossy=lossy
        ),
        "tokenizer_config.json": config_of(vocab),
        "bytetok.json": rest,
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
