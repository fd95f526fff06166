"""tokenizer.json made on the spot, with every part that files have, against ``tokenizers``.

Whether our engine runs a file or leaves it to ``tokenizers`` is not asked here: ids and text must be the same.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cases import HANDWRITTEN
from hypothesis import given
from hypothesis import strategies as st
from peers import of_json, tiktoken_patterns
from small import CORPUS, trained
from strategies import texts
from vocabularies import TEXTS, AddedText, added_texts, added_tokens

import bytetok as bt
from bytetok.errors import SpecialTokenError
from bytetok.tokenizer import json_format

tokenizers = pytest.importorskip("tokenizers")

Content = dict[str, Any]
SPECIAL = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def check(folder: Path, content: Content, samples: Iterable[str]) -> Any:
    """Loads the file and holds ids, in both modes, and text to those of ``tokenizers``; returns the tokenizer."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    tokenizer, peer = bt.Tokenizer.load(path), of_json(content)
    assert peer.allowed is not None
    for text in samples:
        ids = tokenizer.encode(text, special="allow")
        assert ids == peer.allowed(text), text[:80]
        assert tokenizer.encode(text, special="text") == peer.text(text), text[:80]
        assert tokenizer.encode_batch([text, text], special="allow") == [ids, ids]
        assert tokenizer.decode(ids).removeprefix(" ") == str(peer.decode(ids)).removeprefix(" "), text[:80]
        # An unknown token that the model makes of a character is no special token in the text.
        if any(token_id in ids and token in text for token, token_id in tokenizer.vocab.special_tokens.items()):
            with pytest.raises(SpecialTokenError):
                tokenizer.encode(text)
    return tokenizer


def shortened() -> list[str]:
    return [case[:300] for cases in HANDWRITTEN.values() for case in cases]


# byte-level -----------------------------------------------------------------------------------------------------------


@cache
def _byte_level(pattern: str) -> Content:
    return json_format.to_json(trained(pattern).vocab, trained(pattern).pattern)


def byte_level(pattern: str = "gpt2", **parts: Any) -> Content:
    """A small trained tokenizer, with other parts."""
    content = copy.deepcopy(_byte_level(pattern))
    for name, part in parts.items():
        (content if name in content else content["model"])[name] = part
    return content


def step(kind: str, **options: Any) -> Content:
    return {"type": kind, **options}


def split(pattern: str, behavior: str = "Isolated", *, invert: bool = False, regex: bool = True) -> Content:
    return step("Split", pattern={"Regex" if regex else "String": pattern}, behavior=behavior, invert=invert)


BYTES = step("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
GPT2 = {**BYTES, "use_regex": True}
PREFIXED = {**GPT2, "add_prefix_space": True}

PRE_TOKENIZERS: dict[str, Content] = {
    "gpt2": GPT2,
    "none": BYTES,
    "prefix": PREFIXED,
    "digits": step("Sequence", pretokenizers=[step("Digits", individual_digits=True), GPT2]),
    "digits together": step("Sequence", pretokenizers=[step("Digits", individual_digits=False), GPT2]),
    "two splits": step("Sequence", pretokenizers=[split(r"\p{N}{1,3}"), split(r"\s+(?!\S)|\s+|[^\s]+"), BYTES]),
    "removed": step("Sequence", pretokenizers=[split(r"\s+", "Removed"), BYTES]),
    "merged": step("Sequence", pretokenizers=[split(r"\s", "MergedWithNext"), BYTES]),
    "merged before": step("Sequence", pretokenizers=[split(" ", "MergedWithPrevious", regex=False), BYTES]),
    "contiguous": step("Sequence", pretokenizers=[split(r"\p{P}", "Contiguous"), BYTES]),
    "inverted": step("Sequence", pretokenizers=[split(r"\p{L}+", invert=True), BYTES]),
    "a string": step("Sequence", pretokenizers=[split("a.", regex=False), BYTES]),
    "punctuation": step("Sequence", pretokenizers=[step("Punctuation", behavior="Isolated"), BYTES]),
    "white space": step("Sequence", pretokenizers=[step("WhitespaceSplit"), BYTES]),
    "words": step("Sequence", pretokenizers=[step("Whitespace"), BYTES]),
    "split then gpt2": step("Sequence", pretokenizers=[split("[0-9]"), GPT2]),
    "lookbehind": step("Sequence", pretokenizers=[split(r"(?<=\p{L})\p{N}+|\p{L}+(?=')"), BYTES]),
    "nested": step("Sequence", pretokenizers=[step("Sequence", pretokenizers=[split(r"\p{N}")]), BYTES]),
}


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_pre_tokenizers(name: str, tmp_path: Path) -> None:
    content = byte_level(pre_tokenizer=PRE_TOKENIZERS[name])
    check(tmp_path, content, [*shortened(), *CORPUS, "<|endoftext|>a <pad>\n12", " <pad> x"])


# `tokenizers` runs Oniguruma with Ruby's syntax, in which some of this means something else than in Perl or Python.
CL100K = tiktoken_patterns()["cl100k"]
REGEXES = [
    r"[^\r\n\p{N}]++", r"(?>\p{L}+)x?", r"\s*+\S", r"\A\w", r"\w\Z", r"\w\z", r"\h+", r"\H+", r"\d+", r"\bthe\b",
    r"\Bt", r"(?i)strasse|straße", r"(?i:[k-s])", r"\R", r"\X", r"\N+", r"[^\S\n]+", r"[a-z&&[^aeiou]]+",
    r"[\w&&\p{L}]+", r"\p{Han}+", r"\p{Greek}+", r"\p{Cyrillic}+", r"\p{Alpha}+", r"\p{^L}+", r"\P{L}+",
    r"\p{Lu}\p{Ll}*", r"[\p{L}\p{M}]+", r"\p{Punct}+", r"\p{Space}+", r"\p{P}+", r"\p{S}+", r"\p{Z}+", r"\p{Cc}+",
    r"\p{C}+", r"\p{Emoji}+", r"a{2,}", r"(.)\1", r"(?<x>.)\k<x>", r"(?<=a)b", r"(?<!a)b", r"(?<=a|bc)d",
    r"a(?=b)|a(?!b)", r"[a-]+", r"[\b]", r"\u00e9|\u6f22", r"\t|\n|\v|\f|\a|\e", r"\/|\-|\'",
    r"(?#note)ab", r"\G\w", r"[一-龥]+", r"[^a-zA-Z0-9\s]+", r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+", r".+",
    r"\O+", r"[^a]+", r"\p{L}+(?:['’]\p{L}+)?", r"\s+(?!\S)|\s", r"[\s\S]{3}", r"\p{Nl}+|\p{No}+", r"\Kab",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    r"\p{N}{1,3}+", r"\p{N}{2}+", r"^[a-z]+", r"[a-z]+$", r"(?m:a.b)", r"(?m)t.e", r"\w+", r"\W+",
    r"[[:alpha:]]+", r"[[:digit:]]+", r"[[:space:]]+", r"[[:punct:]]+", r"[[:upper:]][[:lower:]]*",
    r"(?i:ss|k|s)",
    # what tiktoken publishes for cl100k: possessive there, repeated here
    CL100K,
]  # fmt: skip
REGEX_TEXT = [
    "The 12345 cats' Straße, STRASSE\nthe end.\r\nab abcd aab bcd\n", "a\nb a b t\ne\u2028x\u0085y\x0b\x0c",
    "\nstart", "x\n", "ſs ßẞ K\u212a ſS we'LL I'ſ", "é漢字\u0301 かな ελ Ω", "१२३ Ⅷ ½ 12 1234567",
    "a.b a-b a/b 'x' … “q” © ™ +=$", "AbC dEF ghI", "😀👩🏽‍💻🇩🇪 \u200d\u00ad\ufeff", "\x00\x07\x1b\t\x7f\x1c",
    "aaaa aa a b", "", "\u3000\xa0 \u1680", "eé\u6f22 beef cafe 0xFF", "a\n\n  \t\r\n b  ",
]  # fmt: skip


def check_regex(folder: Path, regex: str) -> None:
    try:
        peer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(regex), "isolated")
    except Exception as err:
        pytest.skip(f"tokenizers does not take it: {err}")
    content = byte_level(pre_tokenizer=step("Sequence", pretokenizers=[split(regex), BYTES]))
    samples = [*REGEX_TEXT, *CORPUS]
    tokenizer = check(folder, content, samples)
    if isinstance(tokenizer, bt.Tokenizer):
        for text in samples:
            pieces = [piece.encode() for piece, _ in peer.pre_tokenize_str(text)]
            assert tokenizer.pattern.split(text) == pieces, text


@pytest.mark.parametrize("regex", REGEXES)
def test_regexes_mean_what_they_mean_to_tokenizers(regex: str, tmp_path: Path) -> None:
    check_regex(tmp_path, regex)


@pytest.mark.parametrize(
    "option", [{"ignore_merges": True}, {"dropout": None}, {"dropout": 0.0}, {"end_of_word_suffix": ""}], ids=str
)
def test_options_of_the_model(option: Content, tmp_path: Path) -> None:
    check(tmp_path, byte_level("llama3", **option), [*shortened(), *CORPUS])


NORMALIZERS: dict[str, Any] = {
    **{name: step(name) for name in ("NFC", "NFD", "NFKC", "NFKD")},
    "empty": step("Sequence", normalizers=[]),
    "one in a sequence": step("Sequence", normalizers=[step("NFC")]),
    "two": step("Sequence", normalizers=[step("NFD"), step("StripAccents")]),
    "lowercase": step("Lowercase"),
    "replace": step("Replace", pattern={"String": "e"}, content="E"),
    "prepend": step("Prepend", prepend="x"),
    "strip": step("Strip", strip_left=True, strip_right=False),
}


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizers(name: str, tmp_path: Path) -> None:
    content = byte_level("qwen2", normalizer=NORMALIZERS[name])
    around = ["e<pad>\u0301", "<|endoftext|>\u0301", " e\u0301<pad>\u1161\u11a8", "\u1100<pad>\u1161"]
    check(tmp_path, content, [*around, *shortened(), *CORPUS])


@pytest.mark.parametrize("name", ["NFC", "NFD", "NFKC", "NFKD"])
@given(data=st.data())
def test_normal_forms_of_any_text(name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    marks = st.sampled_from("\u0301\u0308\u0323\u0327\u05ae\u0315\u0f71\u0f72\u3099\u1161\u11a8\u0345\u093c\u0344")
    bases = st.sampled_from("aeoAKÅéệ각가\u1100\u212bｶガ\u0915ﬁ①ﷺ\u0958\ufb1d\U0001d15e\U000105d2漢\u2f00 <\n1")
    letters = st.one_of(marks, bases, st.characters(exclude_categories=["Cs"]))
    text = data.draw(st.lists(letters, max_size=12).map("".join))
    check(tmp_path_factory.mktemp(name), byte_level("qwen2", normalizer=step(name)), [text, f"<pad>{text}<pad>"])


# added tokens ---------------------------------------------------------------------------------------------------------


def with_added(added: Iterable[AddedText], normalized: Iterable[str] = (), **parts: Any) -> Content:
    content = byte_level(**parts)
    first = len(content["model"]["vocab"])
    for place, token in enumerate(added):
        entry = {**token.entry(first + place), "normalized": token.text in set(normalized)}
        content["added_tokens"].append(entry)
        content["model"]["vocab"][token.text] = entry["id"]
    return content


@given(added=added_tokens(), text=added_texts())
def test_added_tokens_with_any_flags(
    added: list[AddedText], text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check(tmp_path_factory.mktemp("added"), with_added(added), [text, f"<pad>{text}", f"{text} <|endoftext|>"])


@given(
    added=added_tokens(4),
    normalized=st.sets(st.sampled_from(TEXTS)),
    text=added_texts(),
    form=st.sampled_from([None, "NFC"]),
)
def test_added_tokens_that_are_normalized(
    added: list[AddedText], normalized: set[str], text: str, form: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = with_added(added, normalized, normalizer=form and step(form))
    check(tmp_path_factory.mktemp("added"), content, [text])


@pytest.mark.parametrize(
    "flags", [(), ("lstrip",), ("rstrip",), ("lstrip", "rstrip"), ("single_word",), ("single_word", "rstrip")], ids=str
)
@pytest.mark.parametrize("special", [True, False])
def test_flags_one_by_one(flags: tuple[str, ...], special: bool, tmp_path: Path) -> None:
    added = [
        AddedText("<m>", frozenset([*flags, *(["special"] if special else [])])),
        AddedText("word", frozenset(flags)),
    ]
    around = ["", *" \n_é\u03011漢.x\u200d\x1c²\u2160\0", "  ", "\t\u3000"]
    samples = [f"{left}{token.text}{right}" for token in added for left in around for right in around]
    samples += ["".join(samples), "<m><m>", "word word", "<m> <m>", "wordword", "<m>word"]
    check(tmp_path, with_added(added), samples)


# SentencePiece-style --------------------------------------------------------------------------------------------------

CONTROLS = ("<unk>", "<s>", "</s>")
REPLACE = step("Replace", pattern={"String": " "}, content="▁")
PREPEND = step("Prepend", prepend="▁")


def metaspace(scheme: str, *, split: bool = False) -> Content:
    return step("Metaspace", replacement="▁", prepend_scheme=scheme, split=split)


STYLES: dict[str, tuple[Any, Any]] = {
    "Llama 2": (step("Sequence", normalizers=[PREPEND, REPLACE]), None),
    "Gemma 3": (REPLACE, step("Split", pattern={"String": " "}, behavior="MergedWithPrevious", invert=False)),
    "Gemma 2": (REPLACE, None),
    "first": (None, metaspace("first")),
    "always": (None, metaspace("always")),
    "never": (None, metaspace("never")),
    "first, split": (None, metaspace("first", split=True)),
    "always, split": (None, metaspace("always", split=True)),
    "plain": (None, None),
    "NFC too": (step("Sequence", normalizers=[step("NFC"), PREPEND, REPLACE]), None),
}


@cache
def _pieces() -> tuple[dict[str, int], list[list[str]]]:
    """Pieces and merges that ``tokenizers`` trains, over ``▁``."""
    engine = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    controls = [*CONTROLS, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=700, special_tokens=controls, show_progress=False, min_frequency=1, limit_alphabet=90
    )
    lines = [part.replace(" ", "▁") for text in CORPUS for part in text.splitlines()]
    engine.train_from_iterator(lines * 2, trainer)
    model = json.loads(engine.to_str())["model"]
    return model["vocab"], model["merges"]


def sentencepiece(normalizer: Any, pre_tokenizer: Any, **model: Any) -> Content:
    vocab, merges = _pieces()
    decoders = [step("Replace", pattern={"String": "▁"}, content=" "), step("ByteFallback"), step("Fuse")]
    return {
        "version": "1.0",
        "added_tokens": [{"id": place, "content": text, **SPECIAL} for place, text in enumerate(CONTROLS)],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": step("Sequence", decoders=decoders),
        "model": {
            "type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": dict(vocab),
            "merges": [list(pair) for pair in merges], **model,
        },
    }  # fmt: skip


SAMPLES = [
    "<s>the court</s>", "the<s> court", " <s> a", "<s>", "<s><s> ", "a</s>\n", "<s> the", "<s>\u2581the", " the court",
    "  the  court ", "the\u2581court", "\n", "the\n\ncourt", "\u2581", " ", "   ", "<0x41>", "<unk>", "a<unk> b",
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_sentencepiece_styles(style: str, tmp_path: Path) -> None:
    check(tmp_path, sentencepiece(*STYLES[style]), [*SAMPLES, *shortened(), *CORPUS])


@pytest.mark.parametrize("style", STYLES)
@given(text=texts())
def test_sentencepiece_styles_on_any_text(style: str, text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(tmp_path_factory.mktemp("style"), sentencepiece(*STYLES[style]), [text, f"<s>{text}", f"{text}</s> {text}"])


@pytest.mark.parametrize("style", ["Llama 2", "Gemma 2", "first"])
@pytest.mark.parametrize(
    "option", [{"ignore_merges": True}, {"byte_fallback": False}, {"byte_fallback": False, "fuse_unk": False}], ids=str
)
def test_options_of_sentencepiece_models(style: str, option: Content, tmp_path: Path) -> None:
    check(tmp_path, sentencepiece(*STYLES[style], **option), [*SAMPLES, *shortened(), *CORPUS])


def test_missing_byte_tokens(tmp_path: Path) -> None:
    content = sentencepiece(*STYLES["Llama 2"])
    for byte in (0xC3, 0x41):
        del content["model"]["vocab"][f"<0x{byte:02X}>"]
    check(tmp_path, content, [*SAMPLES, *shortened(), *CORPUS])


def test_a_space_that_is_no_piece(tmp_path: Path) -> None:
    content = sentencepiece(*STYLES["Gemma 2"])
    vocab = {piece: token_id for piece, token_id in content["model"]["vocab"].items() if "▁" not in piece}
    content["model"]["vocab"] = {piece: place for place, piece in enumerate(vocab)}
    content["model"]["merges"] = [pair for pair in content["model"]["merges"] if "▁" not in "".join(pair)]
    check(tmp_path, content, [*SAMPLES, *shortened(), *CORPUS])


def test_pieces_that_no_merge_makes_are_not_found(tmp_path: Path) -> None:
    content = sentencepiece(*STYLES["Llama 2"])
    for piece in ("▁thecourt", "漢字漢", "zzz"):
        content["model"]["vocab"][piece] = len(content["model"]["vocab"])
    check(tmp_path, content, ["thecourt", "漢字漢字", "zzzz", *CORPUS])
