"""Domain tokens: the lists, where they are placed, and that Hugging Face `tokenizers` then matches them as promised."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regex16 import regex

from bytetok.errors import EncodingError, MissingDependencyError, TrainingError
from bytetok.training import domain
from bytetok.training.domain import (
    DOMAIN_GROUPS,
    AddedTokenSpec,
    Placement,
    count_added,
    domain_tokens,
    pad_size,
    place_domain_tokens,
    reserved_tokens,
)

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + _ENDING,
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + _ENDING,
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
tokenizers = pytest.importorskip("tokenizers")

PATTERNS = {"gpt2": GPT2, "o200k": O200K}
BYTES = [bytes([byte]) for byte in range(256)]


def splitter(pattern: str) -> Callable[[str], list[bytes]]:
    compiled = regex.compile(pattern)
    return lambda text: [match[0].encode() for match in compiled.finditer(text)]


def place(
    strings: Iterable[str], pattern: str = "gpt2", vocab: Sequence[bytes] = BYTES, **options: object
) -> Placement:
    split = splitter(PATTERNS[pattern])
    return place_domain_tokens(strings, pattern, vocab_tokens=vocab, split=split, **options)  # type: ignore[arg-type]


def texts_of(added: Sequence[AddedTokenSpec]) -> list[str]:
    return [token.text for token in added]


# --- the lists


def test_every_group_is_free_of_duplicates_and_single_characters() -> None:
    for group in DOMAIN_GROUPS:
        strings = domain_tokens([group])
        assert strings, group
        assert len(set(strings)) == len(strings), group
        assert min(map(len, strings)) >= 2, group


def test_citation_pieces_come_from_reporters_db_by_frequency() -> None:
    pieces = domain_tokens(["citations"])
    assert {"U.S.", "F.2d", "F.3d", "Fed.", "Ass'n", "App.", "C.F.R.", "(2d)", "Cal.App.4th"} <= set(pieces)
    assert pieces.index("L.") < pieces.index("Cal.") < pieces.index("Yerg.")
    assert not {"(5", "(2)", "L", "", "a b"} & set(pieces)
    if importlib.metadata.version("reporters-db") == "3.2.67":
        # 2,860 by the rule of the KL3M trainer and 33 of editions, less "(1877)", "(2)" and "(5", which have no letter.
        assert len(pieces) == 2860 + 33 - 3


def test_without_reporters_db_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reporters_db", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bytetok-lm\[domain\]'"):
        domain_tokens(["citations"])
    assert len(domain_tokens(["years"])) == 275  # the other groups need nothing


def test_enumerations_by_hand() -> None:
    marks = domain_tokens(["enumerations"])
    assert marks[:3] == ("(a)", "(b)", "(c)")
    assert {"(z)", "(A)", "(Z)", "(1)", "(99)", "(ii)", "(iv)", "(xiv)", "(xix)", "(xx)", "(XVIII)", "(XX)"} <= set(
        marks
    )
    assert not {"(0)", "(100)", "(xxi)", "(iiii)"} & set(marks)
    assert len(marks) == 26 + 26 + 99 + 2 * (20 - len({"i", "v", "x"}))


def test_years_and_numbers_include_both_ends() -> None:
    assert domain_tokens(["years"])[:: 2050 - 1776] == ("1776", "2050")
    assert domain_tokens(["numbers"])[:: 999 - 10] == ("10", "999")


def test_fragments_by_hand() -> None:
    assert {"<td", "<td>", "</td>", "<TD>", "</TABLE>", " href=", " HREF="} <= set(domain_tokens(["html"]))
    assert {"##", "######", "**", "~~", "```", "![", "](", "--------", "..", "===="} <= set(domain_tokens(["markdown"]))
    assert {'{"', '":"', '","', "null", "true", "false"} <= set(domain_tokens(["json"]))
    assert {"<!--", "-->", "<![CDATA[", "]]>", "<?xml", "/>"} <= set(domain_tokens(["xml"]))
    assert set(domain_tokens(["whitespace"])) >= {"  ", " " * 8, "\n\n", "\t\t", "\r\n", "\r\n\r\n"}
    assert not {" " * 9, " ", "\n", "\t"} & set(domain_tokens(["whitespace"]))


def test_groups_keep_their_order_and_extra_comes_last_once() -> None:
    assert domain_tokens(["xml", "html"], ["zz", "-->", "aa", "zz"])[:2] == ("<!--", "-->")
    joined = domain_tokens(["xml", "html"], ["zz", "-->", "aa", "zz"])
    assert joined[-2:] == ("zz", "aa")
    assert joined.count("-->") == 1
    assert domain_tokens([]) == ()


def test_an_unknown_group_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(TrainingError, match=r"'cites'; known: citations, enumerations"):
        domain_tokens(["cites"])


def test_lists_and_placement_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from bytetok.training.domain import *\n"
        "strings = domain_tokens(DOMAIN_GROUPS)\n"
        "tokens = {bytes([b]) for b in range(256)} | {c.encode() + b'(a)' for c in 'abcdefghij'}\n"
        "print(strings, place_domain_tokens(strings, 'p', vocab_tokens=tokens, split=lambda t: [t[:1].encode(), b'x']))"
    )
    outputs = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        outputs.add(run.stdout)
    assert len(outputs) == 1


# --- placement by hand


def test_a_string_in_the_vocabulary_needs_nothing() -> None:
    placement = place(["Fed", "(a)"], vocab=[*BYTES, b"Fed", b" Fed", b"(a)", b" (a)"])
    assert (placement.whole, placement.added, placement.dropped) == ((), (), ())
    assert placement.present == ("Fed", " Fed", "(a)", " (a)")


def test_one_pretoken_is_whole_with_its_form_after_a_space() -> None:
    assert place(["EBITDA", "1998", "**"]).whole == (b"EBITDA", b" EBITDA", b"1998", b" 1998", b"**")
    assert place(["EBITDA"], space_prefixed=False).whole == (b"EBITDA",)


def test_a_string_across_pretokens_is_added() -> None:
    placement = place(["U.S.C.", "(a)", "F.3d", "</td>", " href=", "<td"])
    assert placement.whole == ()
    assert placement.added == (
        AddedTokenSpec("U.S.C.", single_word=True),
        AddedTokenSpec(" U.S.C.", single_word=False),
        AddedTokenSpec("(a)", single_word=False),
        AddedTokenSpec(" (a)", single_word=False),
        AddedTokenSpec("F.3d", single_word=True),  # " F.3d" would be guarded on the left too, and rejected after words
        AddedTokenSpec("</td>", single_word=False),
        AddedTokenSpec(" href=", single_word=False),
        AddedTokenSpec("<td", single_word=True),
    )
    assert not any(token.normalized or token.special for token in placement.added)


def test_the_split_pattern_decides() -> None:
    # o200k cuts numbers after three digits and takes one sign before letters.
    assert place(["1998", "<td", "998"], "o200k").whole == (b"<td", b"998")
    assert place(["1998", "<td", "998"], "o200k").added == (AddedTokenSpec("1998", single_word=True),)


def test_white_space_that_is_not_one_pretoken_is_dropped() -> None:
    placement = place(["\n  ", "  "], "o200k")
    assert placement.whole == (b"  ",)
    assert placement.added == ()
    assert placement.dropped == (("\n  ", "white space that is more than one pretoken of 'o200k'"),)


def test_single_characters_are_dropped() -> None:
    placement = place([" ", "\n", "§", "x"], vocab=[])
    assert len(placement) == 0
    assert [text for text, _ in placement.dropped] == [" ", "\n", "§", "x"]


def test_an_added_token_that_would_cut_another_token_is_dropped() -> None:
    # " the U.S. dollar" is a superword: with an added token "U.S." it could never be made again.
    vocab = [*BYTES, b" the U.S. dollar"]
    placement = place(["U.S.", "S.D."], vocab=vocab)
    assert texts_of(placement.added) == ["S.D.", " S.D."]
    assert [text for text, _ in placement.dropped] == ["U.S.", " U.S."]
    assert all("' the U.S. dollar'" in reason for _, reason in placement.dropped)


def test_an_added_token_guarded_within_the_other_token_stays() -> None:
    assert texts_of(place(["cal.", "R.R."], vocab=[*BYTES, b"medical. x"], space_prefixed=False).added) == [
        "cal.",
        "R.R.",
    ]
    assert texts_of(place(["cal."], vocab=[*BYTES, b"medi cal. x"], space_prefixed=False).added) == []


def test_a_search_never_straddles_two_tokens() -> None:
    assert texts_of(place(["a.b"], vocab=[b"a.", b"b", b"\xff", b"x\xff"]).added) == ["a.b"]


def test_counts_give_the_priority_and_the_limit_the_number() -> None:
    counts = {"(a)": 5, " (a)": 9, "EBITDA": 7, "S.D.": 1}
    placement = place(["S.D.", "(a)", "EBITDA"], counts=counts, min_count=2, limit=2)
    assert placement.whole == (b"EBITDA",)
    assert placement.added == (AddedTokenSpec(" (a)", single_word=False),)
    assert len(placement) == 2
    assert dict(placement.dropped) == {
        "S.D.": "seen 1 times, fewer than 2",
        " S.D.": "seen 0 times, fewer than 2",
        " EBITDA": "seen 0 times, fewer than 2",
        "(a)": "over the limit of 2 domain tokens",
    }


def test_without_counts_the_given_order_is_the_priority() -> None:
    assert place(["(b)", "xy", "(a)"], limit=3).whole == (b"xy",)
    assert texts_of(place(["(b)", "xy", "(a)"], limit=3).added) == ["(b)", " (b)"]
    assert len(place(["(b)", "xy"], limit=0)) == 0


def test_forms_with_equal_counts_keep_their_order() -> None:
    counts = {"(b)": 3, "(a)": 3, "(c)": 4}
    assert texts_of(place(["(b)", "(a)", "(c)"], counts=counts, min_count=1).added) == ["(c)", "(b)", "(a)"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"strings": [""]}, TrainingError, "empty string"),
        ({"strings": ["a\ud800"]}, EncodingError, "lone surrogate at character 1"),
        ({"strings": ["ab"], "limit": -1}, TrainingError, "limit of domain tokens is -1"),
        ({"strings": ["ab"], "min_count": 3}, TrainingError, "min_count=3 .* pass counts="),
    ],
)
def test_bad_requests(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        place(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ("a.", True), (".a", True), ("(a)", False), ("_x_", True), ("9%", True), ("§ 1", True), ("...", False),
        ("e\u0301.", True), (".e\u0301", True), (".-\u200d", True), (".‿", True), ("日。", True), ("。、", False),
    ],
)  # fmt: skip
def test_guarded_where_an_edge_is_a_word_character(text: str, guarded: bool) -> None:
    one_character_each = place_domain_tokens(
        [text], "characters", vocab_tokens=BYTES, split=lambda t: [c.encode() for c in t], space_prefixed=False
    )
    assert one_character_each.added == (AddedTokenSpec(text, single_word=guarded),)


# --- padding


@pytest.mark.parametrize(("size", "padded"), [(1, 1), (2, 2), (3, 4), (4095, 4096), (4096, 4096), (4097, 8192)])
def test_pad_size_by_hand(size: int, padded: int) -> None:
    assert pad_size(size) == padded


@given(st.integers(1, 2**70))
def test_pad_size_is_the_least_power_of_two(size: int) -> None:
    padded = pad_size(size)
    assert padded.bit_count() == 1
    assert padded // 2 < size <= padded


def test_reserved_tokens_pass_over_taken_names() -> None:
    assert reserved_tokens(3) == ("<|reserved_0|>", "<|reserved_1|>", "<|reserved_2|>")
    assert reserved_tokens(2, taken=["<|reserved_0|>", "x", "<|reserved_2|>"]) == ("<|reserved_1|>", "<|reserved_3|>")
    assert reserved_tokens(0) == ()


def test_padding_refuses_impossible_sizes() -> None:
    with pytest.raises(TrainingError, match="0 tokens; expected 1 or more"):
        pad_size(0)
    with pytest.raises(TrainingError, match="-1 tokens; expected 0 or more"):
        reserved_tokens(-1)


# --- as Hugging Face `tokenizers` runs it

TEXT = (
    "Under the rules of the court, the medical. plan of the Federal court is fair. See 5 U.S.C. § 552(a)(1); 28 C.F.R. "
    "§ 14.2(a). In 1998 the (unfair) plan: medical plans, federal courts; courts, courts (a) and (ii), 1998 and 2001. "
) * 20


def hugging_face(pattern: str) -> tuple[object, list[bytes]]:
    """A small byte-level BPE trained on TEXT, with its tokens as bytes."""
    pre_tokenizers = tokenizers.pre_tokenizers
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(PATTERNS[pattern]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer, [as_bytes(tokenizer.id_to_token(number)) for number in range(tokenizer.get_vocab_size())]


@functools.cache
def letters() -> dict[int, str]:
    """The visible character that stands for each byte in a byte-level tokenizer.json."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = (byte for byte in range(256) if byte not in visible)
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + number) for number, byte in enumerate(hidden)}


def as_bytes(token: str) -> bytes:
    back = {letter: byte for byte, letter in letters().items()}
    return bytes(back[letter] for letter in token)


def with_placement(tokenizer: object, placement: Placement) -> object:
    """The tokenizer with the whole tokens in its vocabulary and the added tokens beside it."""
    written = json.loads(tokenizer.to_str())  # type: ignore[attr-defined]
    vocab = written["model"]["vocab"]
    for token in placement.whole:
        vocab["".join(letters()[byte] for byte in token)] = len(vocab)
    loaded = tokenizers.Tokenizer.from_str(json.dumps(written))
    loaded.add_tokens([tokenizers.AddedToken(token.text, **flags(token)) for token in placement.added])
    return loaded


def flags(token: AddedTokenSpec) -> dict[str, bool]:
    return {"single_word": token.single_word, "normalized": token.normalized, "special": token.special}


def pieces(tokenizer: object, text: str) -> list[str]:
    encoding = tokenizer.encode(text)  # type: ignore[attr-defined]
    return [text[start:end] for start, end in encoding.offsets]


def encode_all(tokenizer: object, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("pattern", ["gpt2", "o200k"])
def test_every_placed_token_is_alive_and_none_dies(pattern: str) -> None:
    """Each new token encodes its own text as itself, and so does every token that did so before."""
    tokenizer, vocab = hugging_face(pattern)
    placement = place(domain_tokens(DOMAIN_GROUPS), pattern, vocab)
    assert len(placement) > 7000
    after = with_placement(tokenizer, placement)
    forms = [*(token.decode() for token in placement.whole), *texts_of(placement.added)]
    known = [token.decode() for token in vocab if token.isascii()]
    single = [text for text, ids in zip(known, encode_all(tokenizer, known), strict=True) if len(ids) == 1]
    assert len(single) > 200
    broken = [
        text for text, ids in zip([*forms, *single], encode_all(after, [*forms, *single]), strict=True) if len(ids) != 1
    ]
    assert broken == []
    assert after.decode(after.encode(TEXT).ids) == TEXT  # type: ignore[attr-defined]


def test_an_unchecked_added_token_does_kill_others() -> None:
    """The control: what the test above would catch."""
    tokenizer, vocab = hugging_face("gpt2")
    assert b" court" in vocab
    after = with_placement(tokenizer, Placement((), (AddedTokenSpec(" ", single_word=False),), (), ()))
    assert len(after.encode(" court").ids) > 1  # type: ignore[attr-defined]


INSIDE = [("medical.", "cal."), ("FAIR.", "R."), ("year 20171", "2017"), ("xU.S.C.", "U.S."), ("U.S.C", "U.S.")]


@pytest.mark.parametrize(("text", "inside"), INSIDE)
@pytest.mark.parametrize("pattern", ["gpt2", "o200k"])
def test_mistake_9_no_match_inside_words(pattern: str, text: str, inside: str) -> None:
    tokenizer, vocab = hugging_face(pattern)
    placement = place(["cal.", "R.", "2017", "U.S."], pattern, vocab)
    assert inside not in pieces(with_placement(tokenizer, placement), text)
    careless = Placement((), (AddedTokenSpec(inside, single_word=False),), (), ())
    assert inside in pieces(with_placement(tokenizer, careless), text)  # as the KL3M files have it


def test_mistake_9_no_lone_space_before_a_citation() -> None:
    tokenizer, vocab = hugging_face("gpt2")
    ours = with_placement(tokenizer, place(["Fed.", "R.", "Civ.", "P."], "gpt2", vocab))
    assert pieces(ours, "under Fed. R. Civ. P. 12")[-6:-2] == [" Fed.", " R.", " Civ.", " P."]


def test_mistake_7_no_group_places_white_space_as_an_added_token() -> None:
    for pattern in PATTERNS:
        placement = place(domain_tokens(DOMAIN_GROUPS), pattern)
        assert not [token for token in placement.added if not token.text.strip()]
        assert not {b" ", b"\n", b"\t", b"\r"} & set(placement.whole)


def test_mistake_11_padding_is_no_white_space() -> None:
    assert all(name.strip() == name and not name.isspace() for name in reserved_tokens(500))


def test_uri_starts_are_alive_where_a_bare_one_would_not_be() -> None:
    tokenizer, vocab = hugging_face("gpt2")
    ours = with_placement(tokenizer, place(domain_tokens(["uris"]), "gpt2", vocab))
    assert " https://" in pieces(ours, "see https://sec.gov and (www.sec.gov)")
    assert " (www." in pieces(ours, "see https://sec.gov and (www.sec.gov)")
    bare = with_placement(tokenizer, place(["https://"], "gpt2", vocab, space_prefixed=False))
    assert "https://" not in pieces(bare, "see https://sec.gov")


FRAGMENTS = [
    "a",
    "U.S.",
    "U.S.C.",
    " ",
    "  ",
    "(a)",
    "(ii)",
    "F.3d",
    "1998",
    "8",
    ".",
    "\n",
    "é",
    "_",
    "<td",
    ">",
    "e\u0301",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join))
def test_count_added_agrees_with_tokenizers(text: str) -> None:
    placement = place(["U.S.", "U.S.C.", "U.S.C.A.", "(a)", "(ii)", "F.3d", "<td", "a.", "<td>", ".8", "S.", "3d8"])
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    words.add_tokens([tokenizers.AddedToken(token.text, **flags(token)) for token in placement.added])
    found = [token for token in words.encode(text).tokens if token != "?"]
    counts = count_added([text, ""], placement.added)
    assert {token: count for token, count in counts.items() if count} == {token: found.count(token) for token in found}
    assert list(counts) == texts_of(placement.added)


def test_count_added_by_hand() -> None:
    added = place(["U.S.", "U.S.C.", "(a)", "cal."]).added
    counts = count_added(["the U.S.C. of the U.S., U.S.(a) (a)", "medical. U.S.x(a)"], added)
    # The form after a space has no guard on its right, where it ends in a stop: " U.S.(a)", " U.S.x".
    assert counts == {
        "U.S.": 0, " U.S.": 3, "U.S.C.": 0, " U.S.C.": 1, "(a)": 2, " (a)": 1, "cal.": 0, " cal.": 0,
    }  # fmt: skip
    assert count_added(["abc"], []) == {}


@settings(deadline=None)
@given(st.lists(st.text("ab.(", min_size=1, max_size=4), min_size=1, unique=True), st.text("ab.( ", max_size=30))
def test_the_shared_expression_finds_the_longest(strings: list[str], text: str) -> None:
    compiled = regex.compile(domain._alternatives(sorted(strings)))
    longest_first = regex.compile("|".join(regex.escape(s) for s in sorted(strings, key=len, reverse=True)))
    assert [m.span() for m in compiled.finditer(text)] == [m.span() for m in longest_first.finditer(text)]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.text("aB1.( _é'", min_size=1, max_size=5), max_size=8),
    st.lists(st.binary(min_size=1, max_size=6) | st.text("aB1.( ", min_size=1).map(str.encode), max_size=8),
    st.none() | st.integers(0, 6),
    st.none() | st.dictionaries(st.text("aB1.(", min_size=1, max_size=3), st.integers(0, 5)),
    st.booleans(),
    st.sampled_from(["gpt2", "o200k"]),
)
def test_placement_laws(
    strings: list[str],
    vocab: list[bytes],
    limit: int | None,
    counts: dict[str, int] | None,
    spaced: bool,
    pattern: str,
) -> None:
    placement = place(strings, pattern, vocab, limit=limit, counts=counts, space_prefixed=spaced)
    split = splitter(PATTERNS[pattern])
    forms = [token.decode() for token in placement.whole] + texts_of(placement.added)
    everything = [*forms, *placement.present, *(text for text, _ in placement.dropped)]
    assert len(everything) == len(set(everything))
    assert set(strings) <= set(everything) <= {*strings, *(f" {text}" for text in strings)}
    assert limit is None or len(placement) <= limit
    for text in forms:
        assert len(text) > 1
        assert text.encode() not in vocab
    for token in placement.whole:
        assert split(token.decode()) == [token]
    for token in placement.added:
        assert len(split(token.text)) > 1
        assert not token.text.isspace()
        edge_is_word = regex.match(r"\w", token.text[0]) or regex.match(r"\w", token.text[-1])
        assert token.single_word == bool(edge_is_word)
        if not token.single_word:
            assert not any(token.text.encode() in other for other in [*vocab, *placement.whole])
