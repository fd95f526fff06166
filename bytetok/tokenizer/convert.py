"""Tokenizers from one format to another, and to the objects of other packages, with the same ids or not at all.

A ``.tiktoken`` file holds ranks only: which pairs merge is what their bytes say. That is less than a list of merges
can say, so a vocabulary is written as ranks only if the two are proven to encode alike (:func:`check_ranks`). What was
written is then read back, and must give the same ids on a probe text that holds every token.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from bytetok._files import atomic_path, write_text
from bytetok.errors import FormatError, LossyConversionError, MissingDependencyError
from bytetok.tokenizer import json_format, tiktoken_format
from bytetok.tokenizer.derivation import derivations
from bytetok.tokenizer.json_added import spell_added
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.tokenizer.tokenizer import Tokenizer

PROBE: tuple[str, ...] = (
    "The quick brown fox, it's said, wasn't WE'LL over 12345 lazy dogs; naïve Straße İstanbul ǅungla x'ſ 'S ''s.",
    "В суде 1-й инстанции: «Договор №42». Ελληνικά Άλφα. שלום ١٢٣٤. مرحبا بالعالم. नमस्ते दुनिया १२३। สวัสดีครับ ๑๒",
    "日本語のテキスト、カタカナと漢字。中文文本，标点符号。한국어 텍스트입니다. 𠮷野家 𐐀𐐨 e\u0301te\u0301 n\u0303",
    'def f(x: int) -> str:\n\treturn f"{x!r:>10}"  # comment\n\n\nclass A:\n    pass\r\n{"k":[1,2.5e-3,null]}\n',
    "1 12 123 1234 12345678901234567890 3.14 1,000 0x1F 2024-01-31 ½ ² Ⅷ ٣ 〇 §362(a)(1) 26 C.F.R. $1.2 billion (5)",
    "  two   three    \t\ttabs\t \n \n\n  \r\n\r\n \xa0nbsp\u3000wide\u2028line\x85next \x1c\u200bzero  end   ",
    "👩🏽‍💻🇩🇪👍🏽 ☺️ ❤️‍🔥 ✓ → ∑ © ™ ''--!!??..://www.example.com/a_b?q=1&r=%20#frag <p class=\"x\">&nbsp;</p> \ue000\x00",
)
"""Text of many kinds, on which conversions are checked beside the tokens themselves."""


def convert(
    source: Tokenizer | str | os.PathLike[str], target: str | os.PathLike[str], *, lossy: bool = False
) -> Tokenizer:
    """Write a tokenizer in another format, and return what loads back from there.

    ``target``: a name that ends in ``.tiktoken`` gets a rank file, and beside it ``NAME.bytetok.json`` with the split
    pattern, the normalizer and the added tokens, without which ranks mean nothing; one that ends in ``.json`` gets a
    tokenizer.json alone; one that ends in ``.bytetok`` our own file, and any other is a folder, as
    :meth:`Tokenizer.save` writes them.

    Raises LossyConversionError if the target cannot give the same ids for every text, naming the first difference. With
    ``lossy=True`` the file is written all the same: every token keeps its id, but text may be cut otherwise. Raises
    FormatError for a tokenizer that our engine does not run, and for formats that are only read.
    """
    tokenizer = source if isinstance(source, Tokenizer) else Tokenizer.load(source)
    if not isinstance(tokenizer, Tokenizer):
        raise FormatError(
            f"{tokenizer.name} cannot be converted, because {tokenizer.reason}; only what our own engine runs can be"
        )
    path = Path(target)
    if path.suffix in (".model", ".spm") or path.name == "tekken.json":
        raise FormatError(f"{path}: this format is only read; write a tokenizer.json, which has all that it has")
    if path.suffix == ".tiktoken":
        _refuse_characters(tokenizer)
        if not lossy:
            check_ranks(tokenizer)
    # Nothing reaches the target before it has been read back.
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        trial = Path(folder) / path.name
        _write(tokenizer, trial, lossy=lossy)
        converted = Tokenizer.load(trial)
        if not isinstance(converted, Tokenizer):
            raise LossyConversionError(f"{path.name} would not be read back by our own engine: {converted.reason}")
        if not lossy:
            _check_probe(tokenizer, converted.encode, f"{path.name} read back")
            if path.suffix not in (".tiktoken", ".bytetok") and (peer := _peer(trial)) is not None:
                _check_probe(tokenizer, peer, "the package tokenizers", text_only=True)
        whole = trial.is_dir()
        for file in (trial if whole else trial.parent).iterdir():
            with atomic_path((path if whole else path.parent) / file.name) as temporary:
                shutil.copyfile(file, temporary)
    return converted.renamed(tokenizer.name)


def _write(tokenizer: Tokenizer, path: Path, *, lossy: bool) -> None:
    if path.suffix == ".tiktoken":
        description = {
            **tokenizer.description(),
            "normalizer": tokenizer.normalizer,
            "added_tokens": spell_added(tokenizer.vocab),
        }
        write_text(tiktoken_format.description_path(path), json_format.spell(description))
        write_text(path, tiktoken_format.spell_ranks(tokenizer.vocab))
    elif path.suffix == ".json":
        write_text(path, json_format.spell(_to_json(tokenizer, lossy=lossy)))
    elif path.suffix == ".bytetok":
        tokenizer.save(path)
    else:
        json_format.write(
            path,
            tokenizer.vocab,
            tokenizer.pattern,
            tokenizer.description(),
            normalizer=tokenizer.normalizer,
            lossy=lossy,
        )


def _to_json(tokenizer: Tokenizer, *, lossy: bool) -> dict[str, Any]:
    return json_format.to_json(
        tokenizer.vocab,
        tokenizer.pattern,
        normalizer=tokenizer.normalizer,
        post_processor=tokenizer.provenance.get("post_processor"),
        lossy=lossy,
    )


def _refuse_characters(tokenizer: Tokenizer) -> None:
    if tokenizer.vocab.characters is not None:
        raise LossyConversionError(
            f"{tokenizer.name} merges characters, and unknown ones become bytes; ranks merge bytes, and no rank file "
            "gives such ids; write a tokenizer.json"
        )


def check_ranks(tokenizer: Tokenizer) -> None:
    """Raise LossyConversionError unless a rank file gives the same ids as this vocabulary's merges on every text.

    It does if merges make every token of its own bytes, in the order of ids. Then two neighbors that join to a token
    are always the pair that makes it (see :mod:`bytetok.tokenizer.derivation`), and the lowest rank is the lowest id. A
    token that merges never make is allowed where whole pretokens come first and ranks do not make it either.
    """
    vocab = tokenizer.vocab
    if vocab.ranked:
        return
    found = derivations(vocab)
    unmade = [token_id for token_id, derivation in found.items() if not derivation.made]
    if unmade and vocab.whole_first:
        ranks = {vocab.tokens[token_id]: token_id for token_id in found}
        by_ranks = derivations(tiktoken_format.vocab_of(ranks, vocab.added_tokens))
        unmade = [token_id for token_id in unmade if by_ranks[token_id].made]
    if unmade:
        first = unmade[0]
        raise LossyConversionError(
            f"token {first}, {vocab.tokens[first][:80]!r}, is never made by merges, which turn its bytes into "
            f"{list(found[first].parts)}; ranks would make it; prune it, or pass lossy=True to accept other ids"
        )
    rank_of: dict[tuple[int, ...], int] = {}
    for rank, pair in enumerate(vocab.merges):
        rank_of.setdefault(pair, rank)
    in_order = sorted((rank_of[made.parts], token_id) for token_id, made in found.items() if made.parts and made.made)
    for (rank, token_id), (_, following) in pairwise(in_order):
        if following < token_id:
            raise LossyConversionError(
                f"merge {rank} makes token {token_id}, and a later one token {following}; in a rank file lower ids "
                "merge first, so text would be cut otherwise; pass lossy=True to accept that"
            )


def to_tiktoken(tokenizer: Tokenizer, *, lossy: bool = False) -> Any:
    """The tokenizer as a ``tiktoken.Encoding`` (extra ``tiktoken``), with the same ids for every ``str``.

    Raises LossyConversionError for what tiktoken cannot express: merges that are not ranks (:func:`check_ranks`),
    several stages of splitting, a normalizer, added tokens that are not special or have flags, special tokens that
    begin alike, merges of characters, and a byte that has no token. With ``lossy=True`` only the last two are refused,
    because tiktoken panics at a byte without a token, and of several stages the last one splits.
    """
    tiktoken = _optional("tiktoken", "tiktoken")
    _refuse_characters(tokenizer)
    vocab = tokenizer.vocab
    missing = [byte for byte in range(256) if vocab.get(bytes([byte])) is None]
    if missing:
        raise LossyConversionError(
            f"the vocabulary has no token for {len(missing)} bytes, such as 0x{missing[0]:02X}; tiktoken needs all 256"
        )
    if not lossy:
        check_ranks(tokenizer)
        _check_for_tiktoken(tokenizer)
    ordinary = vocab.ordinary()
    encoding = tiktoken.Encoding(
        tokenizer.name,
        pat_str=_one_regex(tokenizer.pattern),
        mergeable_ranks={token: token_id for token_id, token in enumerate(vocab.tokens) if ordinary[token_id]},
        special_tokens={text: token.id for text, token in vocab.added_tokens.items()},
    )

    def encode(text: str, *, special: str) -> list[int]:
        allowed = "all" if special == "allow" else set()
        return list(encoding.encode(text, allowed_special=allowed, disallowed_special=()))

    if not lossy:
        _check_probe(tokenizer, encode, "tiktoken", text_only=True)
    return encoding


def _check_for_tiktoken(tokenizer: Tokenizer) -> None:
    stages = len(tokenizer.pattern.stages)
    if stages > 1:
        raise LossyConversionError(f"the split pattern has {stages} stages, tiktoken takes one; use tokenizer.json")
    if tokenizer.normalizer is not None:
        raise LossyConversionError(f"the text is normalized to {tokenizer.normalizer}; tiktoken does not normalize")
    added = tokenizer.vocab.added_tokens
    for text, token in added.items():
        if not token.special or token.single_word or token.lstrip or token.rstrip:
            raise LossyConversionError(
                f"added token {text!r} is not special, or has flags; tiktoken knows special tokens only, without flags"
            )
    for text, following in pairwise(sorted(added)):
        if following.startswith(text):
            raise LossyConversionError(
                f"special token {following!r} begins with {text!r}; tiktoken does not look for the longest first"
            )


def _one_regex(pattern: SplitPattern) -> str:
    stage = pattern.stages[-1]
    if pattern.name not in (None, "digits"):
        return stage  # these leave nothing between their matches
    # tiktoken drops what no match covers; here it is a pretoken, up to the next match.
    return f"(?:{stage})|(?:(?!{stage})[\\s\\S])+"


def to_hf(tokenizer: Tokenizer, *, lossy: bool = False) -> Any:
    """The tokenizer as a ``transformers.PreTrainedTokenizerFast`` (extra ``torch``), as if saved and loaded there.

    It adds around a text what the tokenizer.json that was loaded says, if there was one. Raises LossyConversionError
    for what tokenizer.json cannot express.
    """
    engine = _optional("tokenizers", "hf").Tokenizer
    fast = _optional("transformers", "torch").PreTrainedTokenizerFast
    content = json.dumps(_to_json(tokenizer, lossy=lossy))
    config = json_format.config_of(tokenizer.vocab)
    roles = {key: value for key, value in config.items() if key.endswith("_token") or key.startswith("clean_up")}
    return fast(tokenizer_object=engine.from_str(content), **roles)


def _optional(package: str, extra: str) -> Any:
    # By name, because no module of this room may import torch's world where an import can be seen.
    try:
        return importlib.import_module(package)
    except ImportError as err:
        raise MissingDependencyError(
            f"this needs the package {package!r}, which cannot be imported: {err}; pip install 'bytetok-lm[{extra}]'"
        ) from err


def _peer(path: Path) -> Callable[..., list[int]] | None:
    """The `tokenizers` package on a file that was written, or None where it is not installed."""
    try:
        engine = importlib.import_module("tokenizers").Tokenizer
    except ImportError:
        return None
    loaded = engine.from_file(str(path / "tokenizer.json" if path.is_dir() else path))

    def encode(text: str, *, special: str) -> list[int]:
        loaded.encode_special_tokens = special != "allow"
        return list(loaded.encode(text, add_special_tokens=False).ids)

    return encode


def _probes(tokenizer: Tokenizer, *, text_only: bool) -> Iterator[str | bytes]:
    vocab = tokenizer.vocab
    yield from PROBE
    texts = [text for token in vocab.tokens if (text := token.decode(errors="ignore"))]
    yield "".join(texts)
    yield " ".join(texts)
    yield from (f"a{text}b {text} {text}\n" for text in list(vocab.added_tokens)[:2000])
    if not text_only:
        yield b"".join(vocab.tokens)
        yield random.Random(0).randbytes(1 << 14)


def _check_probe(
    tokenizer: Tokenizer, encode: Callable[..., list[int]], place: str, *, text_only: bool = False
) -> None:
    for probe in _probes(tokenizer, text_only=text_only):
        for special in ("text", "allow"):
            try:
                ours = tokenizer.encode(probe, special=special)
            except FormatError:
                continue  # a byte that this vocabulary lacks; there are no ids to compare
            theirs = encode(probe, special=special)
            if ours != theirs:
                raise LossyConversionError(_difference(tokenizer, probe, ours, theirs, place))


def _difference(tokenizer: Tokenizer, probe: str | bytes, ours: list[int], theirs: list[int], place: str) -> str:
    same = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
    same = min(len(ours), len(theirs)) if same is None else same
    data = probe.encode() if isinstance(probe, str) else probe
    at = len(tokenizer.decode_bytes(ours[:same]))
    return (
        f"ids would change: at byte {at} of a probe text, before {data[at : at + 40]!r}, this tokenizer gives "
        f"{ours[same : same + 5]} and {place} {theirs[same : same + 5]}; pass lossy=True to accept that"
    )
