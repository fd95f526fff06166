"""Regexes as byte automata, UTF-8, and models that obey them."""

from __future__ import annotations

import math
import pickle
import re
from collections import deque

import numpy as np
import pytest
from byte_models import AtMostTwo, TableModel, fixed_model, ngram_model, random_model, texts
from hypothesis import given
from hypothesis import strategies as st

from bytetok.errors import ConstraintError, ImpossibleByteError
from bytetok.sampling.constraints import Automaton, ByteRegex, Constrained, allowed_symbols
from bytetok.sampling.ensembles import Mixture, Product
from bytetok.sampling.protocol import STOP, SYMBOLS
from bytetok.sampling.utf8 import AfterCharacter, Utf8, unfinished

WORDS = ["", "a", "b", "ab", "ba", "aab", "abb", "A", "aB", "1", "12", "a1", "é", "É", "aé", "ß", "ſ", "K", "k", " ",
         "\n", "a\n", "_", "-", "]", "^", "\\", "x", "日", "日本", "😀", "😀a", "\x00", "٣", "½", "{", "a{", "}", "a{}",
         "{,", "\x07", "\x0b", "aaa", "aaaa", "ababab", "(", ".", "\u2028", "A1_"]  # fmt: skip

PATTERNS = [
    "", "a", "ab", "a|b", "a|", "(a|b)*", "(?:ab)+", "a?b?", "a*?b+?", "a{2}", "a{2,}", "a{,2}", "a{1,3}?", "a{,}",
    "a{", "a{}", "{", "[ab]+", "[^a]", "[^a]+", "[]]", "[^]]", "[a\\]]", "[\\w-]", "[a-b0-9]*", r"\d", r"\d+", r"\D",
    r"\w+", r"\W", r"\s", r"\S+", ".", ".*", "(?s).", "(?i)a", "(?i)ß", "(?i)k", "(?i)s", "(?i)[a-k]+", "(?i:a)b",
    "(?i)(?-i:a)B", "(?a)\\d", "(?a)\\w+", "(?a:\\w)\\w", "(?u:a)", "é", "[é-ü]", "日本?", "[😀-😎]a?", "(?P<name>ab)+",
    "a(?#comment)b", "^ab$", "^a|b$", r"\Aab\Z", "^$", "(?m)^a$", r"\x61", r"\u65e5", r"\U0001F600", r"\N{BULLET}|a",
    r"\n", r"\07", r"\141", r"\0", r"\\", r"\.", r"\(", r"\-", r"[\x00-\x1f]", "(a|ab)(b|)", "((a*)*)*", "(|a)+", "()",
    "(){5}", "((a|b)(a|b)){2,3}", "[ -~]+", "(?:)", "x*", r"[^\W\d_]+", "[[]|a", r"a\{",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_texts_match_as_with_re(pattern: str) -> None:
    regex, expected = ByteRegex(pattern), re.compile(pattern)
    for word in WORDS:
        assert regex.matches(word) == bool(expected.fullmatch(word)), word


ATOMS = st.sampled_from(["a", "b", "1", "é", "日", ".", r"\w", r"\W", r"\d", r"\s", "[ab]", "[^a]", "[à日]", "[a-z1]"])


def combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(parts, parts).map("".join),
        st.tuples(parts, parts).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(parts, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
        parts.map(lambda one: f"(?i:{one})"),
    )


@given(st.recursive(ATOMS, combined, max_leaves=8), st.lists(st.text("abé日A1 \nß", max_size=6), max_size=8))
def test_any_regex_matches_what_re_matches(pattern: str, words: list[str]) -> None:
    regex, expected = ByteRegex(pattern), re.compile(pattern)
    for word in ["", *words]:
        assert regex.matches(word) == bool(expected.fullmatch(word)), word


@given(st.recursive(ATOMS, combined, max_leaves=8), st.integers(0, 2**32))
def test_from_every_state_a_match_is_reached_and_it_is_text(pattern: str, seed: int) -> None:
    regex, rng = ByteRegex(pattern), np.random.default_rng(seed)
    state, text = regex.start, b""
    for _ in range(8):
        bytes_on = np.flatnonzero(regex.allowed(state))
        if not len(bytes_on):
            break
        byte = int(rng.choice(bytes_on))
        state = regex.step(state, byte)
        text += bytes([byte])
    text += shortest(regex, state)
    assert re.fullmatch(pattern, text.decode())


def shortest(automaton: Automaton, state: object) -> bytes:
    """The shortest text that leads from a state to the end."""
    waiting, seen = deque([(state, b"")]), {state}
    while waiting:
        at, text = waiting.popleft()
        if automaton.accepts(at):
            return text
        for byte in np.flatnonzero(allowed_symbols(automaton, at)[:STOP]).tolist():
            target = automaton.step(at, byte)
            if target not in seen:
                seen.add(target)
                waiting.append((target, text + bytes([byte])))
    raise AssertionError("no way to the end")


def test_a_class_of_characters_is_its_utf8_to_the_last_character() -> None:
    for pattern in (".", r"\w", "[^a]", r"[\ud000-\ue100]", "[߾-\u0801]", "[\uffff-\U00010001]"):
        regex, expected = ByteRegex(pattern), re.compile(pattern)
        for code in [*range(0x900), *range(0xD000, 0xE200, 7), 0xD7FF, 0xE000, *range(0xFFF0, 0x10010), 0x10FFFF]:
            if not 0xD800 <= code < 0xE000:
                assert regex.matches(chr(code)) == bool(expected.fullmatch(chr(code))), hex(code)
        assert not regex.matches(b"\xed\xa0\x80")  # a surrogate
        assert not regex.matches(b"\xc1\xa1")  # an overlong a
        assert not regex.matches(b"\xf4\x90\x80\x80")  # above the last code point


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "does not compile"),
        ("a**", "does not compile"),
        ("[", "does not compile"),
        ("a{3,2}", "does not compile"),
        (r"[^\s\S]", "no text matches"),
        (r"a[^\w\W]b", "no text matches"),
        ("\\ud800", "no text matches"),
        ("(?=a)a", "group"),
        ("(?!a)b", "group"),
        ("(?<=a)b", "group"),
        ("(?<!a)b", "group"),
        ("(?>a)", "group"),
        ("(a)(?(1)b|c)", "group"),
        ("(?P<n>a)(?P=n)", "group"),
        (r"(a)\1", "back-reference"),
        (r"a\b", "word boundary"),
        (r"\Ba", "word boundary"),
        ("a++", "possessive"),
        ("a{2}+", "possessive"),
        ("a^b", "anchor"),
        ("a$b", "anchor"),
        ("(a$)", "anchor"),
        (r"$\d", "anchor"),
        ("(?x) a", "flag x"),
        ("(?x: a)", "group"),
        (r"\w{9999}", "more than 100,000 states"),
        ("(((a{100}){100}){100}){100}", "states"),
        ("(" * 20_000 + ")" * 20_000, "nested too deeply"),
        ("a{99999999999999999999}", "does not compile"),
    ],
)
def test_a_regex_that_cannot_be_an_automaton_is_named(pattern: str, words: str) -> None:
    with pytest.raises(ConstraintError, match=words):
        ByteRegex(pattern)


def test_a_regex_is_text() -> None:
    with pytest.raises(ConstraintError, match="bytes"):
        ByteRegex(b"a")  # type: ignore[arg-type]


def test_a_large_automaton_costs_what_is_visited() -> None:
    # Determinized as a whole, this has 2 ** 200 states.
    regex = ByteRegex("(a|b)*a(a|b){200}")
    assert regex.matches("b" * 50 + "a" + "ab" * 100)
    assert not regex.matches("a" + "b" + "ab" * 100)


def test_a_regex_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(ByteRegex("a+"))).matches("aa")


@given(st.binary(max_size=6))
def test_utf8_is_what_python_decodes(data: bytes) -> None:
    utf8 = Utf8()
    state = utf8.start
    for byte in data:
        state = utf8.step(state, byte) if state is not None else None
    try:
        data.decode()
        is_text = True
    except UnicodeDecodeError:
        is_text = False
    assert (state is not None and utf8.accepts(state)) == is_text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=4))
def test_what_a_cut_text_has_begun(text: str) -> None:
    data = text.encode()
    for at in range(len(data) + 1):
        begun = unfinished(data[:at])
        whole = data[: at - len(begun)]
        assert whole.decode(errors="strict") is not None
        if begun:
            assert Utf8(begun).start.missing
    assert unfinished(data) == b""


def test_what_no_character_begins_with() -> None:
    for data in (b"", b"a", b"\x80", b"\xc0", b"\xff", b"\xe0\x80", b"\xed\xa0", b"\xf4\x90", "é".encode()):
        assert unfinished(data) == b""
    assert unfinished(b"\xff\xe6\x97") == b"\xe6\x97"
    with pytest.raises(ConstraintError, match="not the beginning"):
        Utf8(b"\x80")


MODEL = random_model(11, b"abc")


def test_a_constrained_model_is_masked_and_renormalized() -> None:
    state = Constrained(MODEL, ByteRegex("(ab|b)c?")).state(b"cc")
    table = np.exp(MODEL.table(b"cc"))
    expected = np.zeros(SYMBOLS)
    expected[[97, 98]] = table[[97, 98]] / table[[97, 98]].sum()
    np.testing.assert_allclose(np.exp(state.next_byte()), expected, atol=1e-14)
    assert np.exp(state.push(b"a").next_byte())[98] == pytest.approx(1)
    end = state.push(b"abc")
    assert end.prefix == b"ccabc"
    assert np.exp(end.next_byte())[STOP] == pytest.approx(1)
    for text in (b"c", b"aa", b"abcc"):
        with pytest.raises(ImpossibleByteError, match="not allowed by ByteRegex"):
            state.push(text)
    np.testing.assert_allclose(end.fork().next_byte(), Constrained(MODEL, ByteRegex("")).next_byte(b"ccabc"))


def test_texts_of_a_constrained_model_sum_to_one() -> None:
    model = Constrained(MODEL, ByteRegex("(a|b){1,3}c"))
    total = 0.0
    for text in texts(b"abc", 4):
        if not re.fullmatch("(a|b){1,3}c", text.decode()):
            continue
        state, log = model.state(), 0.0
        for byte in text:
            log += state.next_byte()[byte]
            state = state.push(byte)
        total += math.exp(log + state.next_byte()[STOP])
    assert total == pytest.approx(1)


def test_a_model_to_which_all_that_is_allowed_is_impossible() -> None:
    state = Constrained(fixed_model({97: 0.5, STOP: 0.5}), ByteRegex("b")).state()
    with pytest.raises(ImpossibleByteError, match=r"under ByteRegex\('b'\) leaves no byte possible"):
        state.next_byte()


def test_constraints_work_in_ensembles_and_around_them() -> None:
    other = ngram_model(b"abcabcaabbcc")
    regex = ByteRegex("[ab]{2}c")
    inside = Mixture([Constrained(MODEL, regex), Constrained(other, regex)])
    around = Constrained(Product([MODEL, other]), regex)
    for model in (inside, around):
        state = model.state(b"")
        for byte in b"bac":
            table = state.next_byte()
            allowed = allowed_symbols(regex, _place(regex, state.prefix))
            assert (np.isfinite(table) <= allowed).all()
            state = state.push(byte)
        assert np.exp(state.next_byte())[STOP] == pytest.approx(1)


def _place(regex: ByteRegex, text: bytes) -> int:
    state = regex.start
    for byte in text:
        target = regex.step(state, byte)
        assert target is not None
        state = target
    return state


def test_an_automaton_of_ones_own() -> None:
    state = Constrained(fixed_model({97: 0.9, 98: 0.05, STOP: 0.05}), AtMostTwo()).state()
    assert np.exp(state.next_byte())[97] == pytest.approx(1)
    assert np.exp(state.push(b"aa").next_byte())[STOP] == pytest.approx(1)
    with pytest.raises(ImpossibleByteError, match="not allowed"):
        state.push(b"aaa")
    with pytest.raises(ConstraintError, match="no text satisfies"):
        Constrained(TableModel(lambda _: np.ones(SYMBOLS)), AtMostTwo(3))


def test_first_the_rest_of_a_character() -> None:
    automaton = AfterCharacter("日".encode()[:1], ByteRegex("a?"))
    state: object = automaton.start
    assert not automaton.accepts(state)
    assert automaton.step(state, 97) is None
    for byte in "日a".encode()[1:]:
        state = automaton.step(state, byte)  # type: ignore[arg-type]
        assert automaton.can_finish(state)  # type: ignore[arg-type]
    assert automaton.accepts(state)  # type: ignore[arg-type]
    assert automaton.step(state, 97) is None  # type: ignore[arg-type]
