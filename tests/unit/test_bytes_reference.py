"""The oracles of byte laws against hand-worked cases and other ways to say the same."""

from __future__ import annotations

import math
import random
from itertools import pairwise, product

import bytes_reference
import numpy as np
import pytest
from byte_checks import END, EVERY_BYTE, Encoded, Hashed, Markov, oracle, toy
from bytes_reference import ALPHABET, STOP, ByteChain, Canonical, completions, read
from reference import naive_encode

import bytetok as bt
from bytetok.tokenizer import SplitPattern

PATTERNS = ("none", "gpt2", "cl100k", "o200k", "llama3", "qwen2", "deepseek-v3", "digits", "whitespace")

# Merges across whatever a pattern may cut: the same tokens under every pattern.
MERGES = "a+a,aa+a,_+_,^+^,_+a,'+l,'l+l,1+1,a+_,^+_,a+^,l+a,'+s,1+a,a+1"
TRICKY = toy("a \n'l1s", MERGES)
EVERY = toy(b"a \n'l1s" + EVERY_BYTE, MERGES)


def tricky(pattern: str, base: bt.Tokenizer = TRICKY) -> bt.Tokenizer:
    return bt.Tokenizer(base.vocab, SplitPattern.of(pattern))


def texts(seed: int, letters: bytes, most: int, count: int) -> list[bytes]:
    rng = random.Random(seed)
    return [bytes(rng.choices(letters, k=rng.randint(0, most))) for _ in range(count)]


# by hand --------------------------------------------------------------------------------------------------------------


def test_growing_text_changes_the_whole_tail() -> None:
    made = toy("abc", "a+c,b+b,a+b,c+b,cb+b,a+cbb")  # a c b ac bb ab cb cbb acbb
    found = Canonical(made)
    spell = lambda ids: b" ".join(made.token_bytes(index) for index in ids)  # noqa: E731
    for text in (b"abacb", b"abacbb", b"acbb", b"cbb"):
        merged = naive_encode(made.vocab.tokens, made.vocab.merges, text)
        assert [spell(ids) for ids in found.sequences(text)] == [spell(merged)]


@pytest.mark.parametrize(
    ("pattern", "text", "borders"),
    [
        ("gpt2", "b\n\n", {(1,), (1, 3), (1, 2, 3)}),
        ("gpt2", "a  ", {(1,), (1, 2), (1, 3)}),
        ("cl100k", "a  ", {(1,), (1, 2), (1, 3), (1, 2, 3)}),
        ("cl100k", "\n\t ", {(), (1,), (1, 2), (3,), (1, 3), (1, 2, 3)}),
        ("gpt2", "a'l", {(1,), (1, 2), (1, 2, 3)}),
        ("gpt2", "a'll", {(1, 4)}),
        ("o200k", "a'l", {(), (1,), (1, 3)}),
        ("cl100k", "1234", {(3,), (3, 4)}),
        ("none", "a b", {(), (3,)}),
        ("digits", "a12", {(1, 2, 3)}),
    ],
)
def test_borders_that_a_text_may_get(pattern: str, text: str, borders: set[tuple[int, ...]]) -> None:
    assert {ends for ends, _ in Canonical(tricky(pattern)).borders(text.encode())} == borders


def test_what_a_broken_character_is() -> None:
    assert read(b"a\xc3") == ([("a", 1)], b"\xc3")
    assert read(b"\xe2\x80a") == ([("\ufffd", 1), ("\ufffd", 1), ("a", 1)], b"")
    assert read("é漢".encode() + b"\xf0\x9f\x98") == ([("é", 2), ("漢", 3)], b"\xf0\x9f\x98")
    assert read(b"\x80") == ([("\ufffd", 1)], b"")
    assert completions(b"\xed\xa0") == ()  # surrogates
    assert len(completions(b"\xc3", "every")) == 64
    assert {character.isspace() for character in completions(b"\xe2\x80")} == {True, False}


def test_a_character_that_begins_a_word_or_ends_one() -> None:
    # "a" and the first byte of "é" are one pretoken, of "×" they are two, and of no character they are two.
    made = toy(b"a\xc3", [(b"a", b"\xc3")], "gpt2")
    ids = {made.token_bytes(index): index for index in range(3)}
    found = Canonical(made).sequences(b"a\xc3")
    assert found == {(ids[b"a\xc3"],), (ids[b"a"], ids[b"\xc3"])}


# the same, said otherwise ---------------------------------------------------------------------------------------------


def is_canonical(tokenizer: bt.Tokenizer, ids: tuple[int, ...], ends: list[bytes]) -> bool:
    """The definition as it stands, with the splitter of the engine, for one sequence."""
    tokens, merges = tokenizer.vocab.tokens, tokenizer.vocab.merges
    spelled = b"".join(tokens[index] for index in ids)
    at = np.cumsum([0, *(len(tokens[index]) for index in ids)]).tolist()
    for end in ends:
        borders = np.cumsum([0, *map(len, tokenizer.pattern.split(spelled + end))]).tolist()
        inside = [border for border in borders if border < len(spelled)]
        if not set(inside) <= set(at):
            continue
        cuts = [*inside, len(spelled)]
        if all(
            [*ids[at.index(left) : at.index(right)]] == naive_encode(tokens, merges, spelled[left:right])
            for left, right in pairwise(cuts)
        ):
            return True
    return not ids


def ends_of(size: int, alphabet: str = "a \n'ls1.é") -> list[bytes]:
    return ["".join(end).encode() for n in range(size + 1) for end in product(alphabet, repeat=n)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_definition_sequence_by_sequence(pattern: str) -> None:
    made = tricky(pattern)
    found = Canonical(made)
    ends = ends_of(3)
    tokens = made.vocab.tokens
    for text in texts(3, b"aa  \n'l1", 5, 12):
        spellings: list[tuple[int, ...]] = [()]
        for at in range(len(text)):
            spellings += [
                (*ids, index)
                for ids in spellings
                if len(b"".join(tokens[i] for i in ids)) == at
                for index, token in enumerate(tokens)
                if text.startswith(token, at)
            ]
        for ids in spellings:
            spelled = b"".join(tokens[index] for index in ids)
            assert is_canonical(made, ids, ends) == (ids in found.sequences(spelled)), (text, ids)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_the_encoder_makes_of_longer_text_is_canonical(pattern: str) -> None:
    made = tricky(pattern)
    found = Canonical(made)
    for text in texts(4, b"aa  \n\n'l1", 7, 60):
        ids = tuple(made.encode(text))
        assert found.exact(text) == ids
        for size in range(len(ids) + 1):
            beginning = ids[:size]
            assert beginning in found.sequences(made.decode_bytes(beginning))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_canonical_begins_the_encoding_of_some_text(pattern: str) -> None:
    # Not so in general: a last pretoken that must go on may merge differently whatever follows.
    made = tricky(pattern, EVERY)
    ends = [*ends_of(2, "a \n'ls1.x\0"), b"  x"]
    for text in texts(5, b"aa  \n'l1", 6, 12):
        for ids in Canonical(made).sequences(text):
            assert any(tuple(made.encode(text + end)[: len(ids)]) == ids for end in ends), (text, ids)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_sequences_may_be_pruned_as_they_grow(pattern: str) -> None:
    made = tricky(pattern)
    found = Canonical(made)
    pruned, whole = (oracle(made, "canonical", canonical=found, prune=prune) for prune in (True, False))
    for text in texts(6, b"aa  \n'l1", 4, 8):
        assert sorted(pruned.covers(text)) == sorted(whole.covers(text))
        assert np.array_equal(pruned.masses(text), whole.masses(text))


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if name != "none"])
def test_two_characters_more_say_nothing_new(pattern: str) -> None:
    made = tricky(pattern)
    short, long = Canonical(made), Canonical(made, depth=3, alphabet="xsl漢\u03011 \n'./\0")
    for text in texts(7, b" \n'lx1A.", 6, 6):
        assert short.borders(text) == long.borders(text)


def test_one_character_of_each_kind_is_enough() -> None:
    rng = random.Random(8)
    many = "".join(chr(code) for code in range(0x3000) if rng.random() < 0.05) + "".join(map(chr, range(128)))
    for pattern in PATTERNS:
        made = tricky(pattern)
        short, long = Canonical(made), Canonical(made, alphabet=ALPHABET + many)
        for text in texts(9, b" \n'lx1A.", 5, 4):
            assert short.borders(text) == long.borders(text)


def test_a_pattern_of_ones_own_may_look_further(monkeypatch: pytest.MonkeyPatch) -> None:
    # digits in threes from the right: the third digit from here decides
    made = toy("1a", "1+1", r"\d{1,3}(?=(?:\d{3})*(?!\d))|\D+")
    counts = lambda: [len(Canonical(made, depth=depth, alphabet="1a").borders(b"11")) for depth in range(6)]  # noqa: E731
    whole = counts()[5]
    assert counts()[1:] == [whole] * 5
    monkeypatch.setattr(bytes_reference, "DIGITS", ())
    assert counts()[1] < whole
    assert counts()[2:] == [whole] * 4


# probabilities --------------------------------------------------------------------------------------------------------


def test_without_a_split_pattern_the_lemma_holds() -> None:
    made = toy("ab", "a+b,ab+a,b+b,aba+b,a+a")
    truth = oracle(made, "canonical", seed=5)
    tokens, merges = made.vocab.tokens[:-2], made.vocab.merges
    encode = lambda text: tuple(naive_encode(tokens, merges, text))  # noqa: E731
    for text in (bytes(letters) for size in range(1, 7) for letters in product(b"ab", repeat=size)):
        total = 0.0
        for start in range(len(text)):
            before = encode(text[:start])
            for index, token in enumerate(tokens):
                if token.startswith(text[start:]) and encode(text[:start] + token) == (*before, index):
                    ids = (*before, index)
                    total += math.exp(sum(truth.logprobs(ids[:at])[ids[at]] for at in range(len(ids))))
        assert math.isclose(math.log(total), truth.log_prefix(text), abs_tol=1e-12)


def test_behind_a_split_pattern_it_does_not() -> None:
    made = toy("b\ndef", "^+^,d+e,de+f", "gpt2")
    two, one = made.vocab.id_of(b"\n\n"), made.vocab.id_of(b"\n")
    truth = oracle(made, "canonical")
    x = b"b\n\n"
    covers = {ids for ids, _, _ in truth.covers(x)}
    b = made.vocab.id_of(b"b")
    assert covers == {(b, two), (b, one, one)}
    assert made.encode(x) == [b, two]
    # After the token "\n\n" nothing but white space can come, so "def" has all of its mass from the other cover.
    first = {spelled for _, spelled, _ in truth.covers(x + b"d")}
    assert first == {b"b\n\nd", b"b\n\nde", b"b\n\ndef"}
    assert all(ids[:3] == (b, one, one) for ids, _, _ in truth.covers(x + b"d"))
    assert all(two in ids for ids, _, _ in truth.covers(x + b"\n"))


@pytest.mark.parametrize("model", ["hashed", "markov"])
@pytest.mark.parametrize("law", ["canonical", "all"])
def test_what_can_follow_has_the_mass_of_what_it_follows(law: str, model: str) -> None:
    made = tricky("gpt2")
    size = made.vocab_size
    truth = oracle(made, law, model=Markov(3, size) if model == "markov" else Hashed(3, size))  # type: ignore[arg-type]
    for text in texts(10, b"aa  \n'l1", 5, 20):
        masses, whole = truth.masses(text), math.exp(truth.log_prefix(text))
        for byte in np.flatnonzero(masses[:256]):
            assert math.isclose(masses[byte], math.exp(truth.log_prefix(text + bytes([byte]))), rel_tol=1e-12)
        leaked = 0.0  # to <s>, the one token that is neither ordinary nor a stop, from spellings that end here
        if law == "all":
            for ids, spelled, logprob in truth.covers(text):
                leaked += math.exp(logprob + truth.logprobs(ids)[truth.start_ids[0]]) if spelled == text else 0.0
            assert math.isclose(masses.sum() + leaked, whole, rel_tol=1e-12)
        else:
            assert masses.sum() < whole
        assert math.isclose(np.exp(truth.next_byte(text)).sum(), 1.0, rel_tol=1e-12)


def test_every_spelling_of_a_markov_model_by_a_table() -> None:
    """Forward sums over (last token, end) instead of sequences."""
    made = toy("ab", "a+b,ab+a,b+b,a+a,aa+aa")
    model = Markov(11, made.vocab_size)
    truth = oracle(made, "all", model=model, start=False)
    tokens = made.vocab.tokens[:-2]
    for text in (b"a", b"abab", b"aaaabba", b"bbabaabb"):
        total, spelled = 0.0, {(index, 0): 0.0 for index in range(len(tokens))}
        ending: dict[tuple[int, int], float] = {}
        for end in range(len(text)):
            starts = [(None, 1.0)] if end == 0 else [(i, p) for (i, at), p in ending.items() if at == end]
            for index, token in enumerate(tokens):
                mass = sum(p * (model.first if i is None else model.matrix[i])[index] for i, p in starts)
                if token.startswith(text[end:]):
                    total += mass
                if text.startswith(token, end):
                    ending[index, end + len(token)] = mass
        assert spelled
        assert math.isclose(math.log(total), truth.log_prefix(text), abs_tol=1e-12)
        stopping = sum(p * model.matrix[i][truth.stop_ids[0]] for (i, at), p in ending.items() if at == len(text))
        assert math.isclose(stopping, truth.masses(text)[STOP], rel_tol=1e-12)


@pytest.mark.parametrize("law", ["canonical", "all"])
@pytest.mark.parametrize("pattern", ["none", "gpt2", "cl100k", "o200k"])
def test_a_chain_of_bytes_comes_back(pattern: str, law: str) -> None:
    chain = ByteChain(2, b"a \n'", 5)
    made = tricky(pattern)
    stop = made.vocab.special_tokens[END]
    model = Encoded(chain.texts, made.encode, stop, made.vocab_size)
    truth = oracle(made, law, model=model, start=False)  # type: ignore[arg-type]
    for text in texts(12, b"a \n'", 5, 25):
        masses = truth.masses(text)
        assert np.allclose(masses / masses.sum(), chain.next_byte(text), rtol=1e-10, atol=0)


@pytest.mark.parametrize("law", ["canonical", "all"])
def test_the_law_of_whole_texts_is_a_law(law: str) -> None:
    truth = oracle(tricky("gpt2"), law)  # type: ignore[arg-type]
    strings = truth.strings(2)
    assert math.isclose(sum(strings.values()), 1.0, rel_tol=1e-12)
    assert math.isclose(strings[b""], math.exp(truth.next_byte(b"")[STOP]), rel_tol=1e-12)


def test_the_other_reading_of_broken_characters_is_no_law() -> None:
    """If what follows must complete a character, adding a byte can make a text more likely."""
    made = toy(b"ab\xc3\xa9", [(b"a", b"\xc3")], "gpt2")
    for broken in (True, False):
        found = Canonical(made, broken=broken, alphabet="ab")
        sequences = found.sequences(b"a\xc3")
        pieces = {tuple(made.token_bytes(index) for index in ids) for ids in sequences}
        # completed, "é" is a letter and "×" is none; left broken, U+FFFD is none either
        assert pieces == {(b"a\xc3",), (b"a", b"\xc3")}
    made = toy(b"ab\xc4\x81", [(b"a", b"\xc4")], "gpt2")  # all of C4 xx are letters
    after = [Canonical(made, broken=broken).sequences(b"a\xc4") for broken in (True, False)]
    assert len(after[0]) == 2
    assert len(after[1]) == 1
    assert any(ids[:2] not in after[1] for ids in Canonical(made, broken=False).sequences(b"a\xc4b"))
