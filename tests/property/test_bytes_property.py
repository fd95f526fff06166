"""Byte laws of token models against enumeration: any merges, any texts, every pattern, both laws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from byte_checks import CLOSE, EVERY_BYTE, Canonical, Hashed, Markov, check, oracle, sampler_of, toy
from bytes_reference import STOP, ByteOracle
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import to_characters
from vocabularies import Characters, characters, merging, ranked, words

import bytetok as bt

PATTERNS = ("gpt2", "cl100k", "o200k", "llama3", "qwen2", "deepseek-v3", "digits", "whitespace", "none")
# Groups of digits from the right, in two stages: the borders depend on how many digits there will be.
RIGHT_ALIGNED = (r"\d{1,3}(?=(?:\d{3})*(?!\d))", bt.SplitPattern.of("gpt2").stages[0])
LAWS = ("canonical", "all")
# Each example builds a vocabulary and enumerates a few hundred sequences at every prefix.
FEW = settings(max_examples=max(5, settings().max_examples // 4))

# What the patterns disagree about, a few characters at a time, so that merges meet and borders are in doubt.
LETTERS = (
    "a \n", "a'l", "a's ", "A'Sa", "1a", "1 ", " \t\n", "\r\n.", "a./ ", "aA ", "é ", "a×", "漢a", "\u2003 a", "😀 ",
    "ｱ1",
)  # fmt: skip
NUMBERS = ("1a", "1 ", "12", "1a \n", "²1")


@dataclass(frozen=True)
class Toy:
    """A vocabulary that any pattern may cut, and texts of its bytes."""

    letters: bytes
    merges: tuple[tuple[bytes, bytes], ...]
    others: tuple[bytes, ...]
    whole_first: bool
    seed: int

    def __repr__(self) -> str:
        merges = [f"{to_characters(left)}+{to_characters(right)}" for left, right in self.merges]
        return f"Toy({self.letters!r}, {merges}, {self.others}, {self.whole_first=}, {self.seed=})"

    def tokenizer(self, pattern: str | Sequence[str], **added: Sequence[str]) -> bt.Tokenizer:
        options = {"others": self.others, "whole_first": self.whole_first, **added}
        return toy(self.letters, self.merges, pattern, **options)  # type: ignore[arg-type]


@st.composite
def toys(draw: st.DrawFn, max_merges: int = 10, alphabets: Sequence[str] = LETTERS) -> Toy:
    """Merges of any tokens, young ones more often, so that they cross whatever the pattern cuts."""
    letters = draw(st.sampled_from(alphabets)).encode()
    tokens = [bytes([byte]) for byte in dict.fromkeys(letters)]
    pairs: dict[tuple[bytes, bytes], None] = {}
    drawn = st.tuples(st.integers(0, 2**20), st.integers(0, 3))
    for place, sort in draw(st.lists(drawn, min_size=4, max_size=max_merges)):
        left, right = tokens[place % len(tokens)], tokens[place // 97 % len(tokens)]
        left = tokens[-1] if sort == 0 else left
        if len(left + right) <= 6:
            pairs[left, right] = None
            tokens += [left + right] if left + right not in tokens else []
    some = st.lists(st.sampled_from(letters), min_size=2, max_size=4).map(bytes)
    others = draw(st.lists(some, max_size=2, unique=True))
    others = [token for token in others if token not in tokens]
    # With others, a token may be a whole pretoken that no merge makes.
    whole_first = draw(st.booleans())
    return Toy(letters, tuple(pairs), tuple(others), whole_first, draw(st.integers(0, 2**31)))


def texts(made: Toy, most: int = 7) -> st.SearchStrategy[bytes]:
    """Tokens and single bytes in any order, so that coverings are many, and characters are cut and broken."""
    tokens = [left + right for left, right in made.merges]
    letters = st.sampled_from(made.letters).map(lambda byte: bytes([byte]))
    fragments = st.one_of(st.sampled_from(tokens or [made.letters]), letters)
    return st.lists(fragments, min_size=2, max_size=6).map(lambda parts: b"".join(parts)[:most])


def truth_of(made: Toy, pattern: str | Sequence[str], law: str, markov: bool = False) -> ByteOracle:
    tokenizer = made.tokenizer(pattern)
    size = tokenizer.vocab_size + made.seed % 3  # rows that pad the model's output
    model = Markov(made.seed, size) if markov else Hashed(made.seed, size)
    return oracle(tokenizer, law, model=model, start=bool(made.seed % 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("pattern", [*PATTERNS, pytest.param(RIGHT_ALIGNED, id="right-aligned")])
@FEW
@given(data=st.data())
def test_next_byte_is_that_of_the_covers(pattern: str | tuple[str, ...], law: str, data: st.DataObject) -> None:
    made = data.draw(toys(alphabets=NUMBERS if pattern is RIGHT_ALIGNED else LETTERS))
    check(truth_of(made, pattern, law, data.draw(st.booleans())), data.draw(texts(made)))


# Letters that are words, and letters that are none.
TOUCHING = ("a.", "ab ", "a_ ", "é. ", "1a-", "漢a ", ".\n ", "a'l")


@st.composite
def added_texts(draw: st.DrawFn, letters: str) -> dict[str, list[str]]:
    """Added tokens of these letters by kind, which hold, begin and end one another."""
    some = st.text(letters, min_size=1, max_size=4)
    sorts = st.sampled_from(["added", "single", "single", "hiding"])
    kinds = draw(st.dictionaries(some, sorts, min_size=1, max_size=4))
    return {kind: [text for text in kinds if kinds[text] == kind] for kind in ("added", "single", "hiding")}


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "whitespace", "none"])
@FEW
@given(data=st.data())
def test_added_tokens_and_what_touches_them(pattern: str, data: st.DataObject) -> None:
    made = data.draw(toys(alphabets=TOUCHING))
    added = data.draw(added_texts(made.letters.decode()))
    truth = oracle(made.tokenizer(pattern, **added), "canonical", seed=made.seed % 100)
    parts = st.one_of(texts(made, 4), st.sampled_from([text.encode() for some in added.values() for text in some]))
    check(truth, b"".join(data.draw(st.lists(parts, min_size=1, max_size=3)))[:7])


@pytest.mark.parametrize("law", LAWS)
@FEW
@given(data=st.data())
def test_merges_in_any_order(law: str, data: st.DataObject) -> None:
    made = data.draw(merging(8))
    pattern = data.draw(st.sampled_from(PATTERNS))
    tokens = made.tokens
    assert made.merges is not None
    pairs = [(tokens[left], tokens[right]) for left, right in made.merges]
    letters = bytes(sorted(set(made.letters)))
    singles = [bytes([letter]) for letter in letters]
    # `toy` makes tokens in the order of merges; the order of ids is of no matter, that of merges is.
    others = [token for token in tokens if token not in singles]
    truth = oracle(_of(letters, pairs, others, pattern, made.whole_first), law, seed=data.draw(st.integers(0, 99)))  # type: ignore[arg-type]
    check(truth, data.draw(words(made, 5))[:7])


def _of(
    letters: bytes, pairs: list[tuple[bytes, bytes]], others: list[bytes], pattern: str, whole_first: bool
) -> bt.Tokenizer:
    base = toy(letters, (), pattern, others=others, whole_first=whole_first)
    id_of = base.vocab.id_of
    merges = tuple((id_of(left), id_of(right)) for left, right in pairs)
    vocab = bt.Vocab(base.vocab.tokens, merges, base.vocab.added_tokens, whole_first)
    return bt.Tokenizer(vocab, base.pattern)


@pytest.mark.parametrize("law", LAWS)
@FEW
@given(data=st.data())
def test_ranks_in_any_order(law: str, data: st.DataObject) -> None:
    made = data.draw(ranked(8))
    pattern = data.draw(st.sampled_from(PATTERNS))
    order = [token for token in made.tokens if token]
    specials = {text: bt.AddedToken(text, len(order) + i, special=True) for i, text in enumerate(("<s>", "</s>"))}
    vocab = bt.Vocab((*order, b"<s>", b"</s>"), None, specials, True, ranked=True)
    tokenizer = bt.Tokenizer(vocab, bt.SplitPattern.of(pattern))
    truth = oracle(tokenizer, law, seed=data.draw(st.integers(0, 99)))  # type: ignore[arg-type]
    check(truth, data.draw(words(made, 5))[:7])


@pytest.mark.parametrize("law", LAWS)
@settings(max_examples=max(3, settings().max_examples // 15))
@given(data=st.data())
def test_all_bytes_have_tokens(law: str, data: st.DataObject) -> None:
    """256 bytes and a few merges, in which all other bytes are unlikely."""
    made = data.draw(toys(6))
    pattern = data.draw(st.sampled_from(PATTERNS))
    tokenizer = toy(made.letters + EVERY_BYTE, made.merges, pattern, others=made.others)
    likely = [index for index, token in enumerate(tokenizer.vocab.tokens) if set(token) <= set(made.letters)]
    truth = oracle(tokenizer, law, model=Hashed(made.seed, tokenizer.vocab_size, likely=likely))  # type: ignore[arg-type]
    text = data.draw(texts(made, 3))
    check(truth, text + data.draw(st.sampled_from([b"", b"\x80", b"\xe2", b"x"])), first=max(0, len(text) - 1))


def with_ends(made: Characters, by: str, prefix: str) -> bt.Tokenizer:
    """The tokenizer with ``<s>`` and ``</s>``."""
    tokenizer = made.tokenizer(by, prefix)  # type: ignore[arg-type]
    vocab, size = tokenizer.vocab, tokenizer.vocab_size
    added = {text: bt.AddedToken(text, size + i, special=True) for i, text in enumerate(("<s>", "</s>"))}
    scheme = vocab.characters
    assert scheme is not None
    if scheme.scores is not None:
        scheme = scheme._replace(scores=(*scheme.scores, 0.0, 0.0))
    merges = vocab.merges if by == "merges" else None
    tokens = (*vocab.tokens, b"<s>", b"</s>")
    return bt.Tokenizer(bt.Vocab(tokens, merges, added, characters=scheme), tokenizer.pattern)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("prefix", ["none", "first"])
@pytest.mark.parametrize("by", ["merges", "scores"])
@FEW
@given(data=st.data())
def test_character_schemes(by: str, prefix: str, law: str, data: st.DataObject) -> None:
    made = data.draw(characters(8, with_space=True))
    tokenizer = with_ends(made, by, prefix)
    likely = [index for index, token in enumerate(made.tokens) if index not in made.byte_ids and token != b"<unk>"]
    model = Hashed(data.draw(st.integers(0, 99)), tokenizer.vocab_size, likely=likely)
    truth = oracle(tokenizer, law, model=model)  # type: ignore[arg-type]
    text = data.draw(made.texts(3)).encode()[:5]
    assume(b"\xe2\x96" not in text)  # "▁", whole or begun: a case of its own
    # How a text is spelled of which nothing but the added space is there, the law of all spellings leaves open.
    check(truth, text, first=1 if law == "all" and prefix != "none" else 0)


# the rules of states --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS)
@FEW
@given(data=st.data())
def test_states_are_values(law: str, data: st.DataObject) -> None:
    made = data.draw(toys())
    truth = truth_of(made, data.draw(st.sampled_from(PATTERNS)), law)
    sampler = sampler_of(truth)
    text = data.draw(texts(made))
    assume(truth.log_prefix(text) > -math.inf)
    cut = data.draw(st.integers(0, len(text)))
    early = sampler.state(text[:cut])
    row, log_prefix = early.next_byte().copy(), early.log_prefix
    whole = early.push(text[cut:]) if cut < len(text) else early
    # pushed at once, byte by byte, and built from scratch
    stepped = early.fork()
    for byte in text[cut:]:
        stepped = stepped.push(byte)
    built = sampler.state(text)
    for state in (stepped, built, built.fork()):
        assert state.prefix == whole.prefix == text
        assert np.allclose(state.next_byte(), whole.next_byte(), rtol=0, atol=CLOSE)
        assert abs(state.log_prefix - whole.log_prefix) < CLOSE
    # other ways on from the early state, and back
    for byte in set(made.letters):
        if np.isfinite(row[byte]):
            other = early.fork().push(byte)
            assert np.allclose(other.next_byte(), truth.next_byte(text[:cut] + bytes([byte])), rtol=0, atol=CLOSE)
    assert early.prefix == text[:cut]
    assert np.array_equal(early.next_byte(), row)
    assert early.log_prefix == log_prefix
    assert np.allclose(sampler.next_byte(text), whole.next_byte(), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("law", LAWS)
@FEW
@given(data=st.data())
def test_scores_are_those_step_by_step(law: str, data: st.DataObject) -> None:
    made = data.draw(toys())
    truth = truth_of(made, data.draw(st.sampled_from(PATTERNS)), law)
    text = data.draw(texts(made))
    assume(text and truth.log_prefix(text) > -math.inf)
    score = sampler_of(truth).score(text, marginals=True)
    rows = [truth.next_byte(text[:size]) for size in range(len(text))]
    steps = [row[byte] for row, byte in zip(rows, text, strict=True)]
    assert score.marginals.shape == (len(text), 257)
    assert np.allclose(score.logprobs, steps, rtol=0, atol=CLOSE)
    assert np.allclose(np.exp(score.marginals), np.exp(rows), rtol=0, atol=CLOSE)
    assert math.isclose(score.bits_per_byte, -sum(steps) / len(text) / math.log(2), abs_tol=CLOSE)
    without = sampler_of(truth).score(text)
    assert without.marginals is None
    assert np.allclose(without.logprobs, steps, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("law", LAWS)
@FEW
@given(data=st.data())
def test_a_text_that_ends(law: str, data: st.DataObject) -> None:
    """Canonical: the probability of the tokens. All: no less than that."""
    made = data.draw(toys())
    pattern = data.draw(st.sampled_from(PATTERNS))
    truth = truth_of(made, pattern, law)
    text = data.draw(texts(made, 6))
    assume(truth.log_prefix(text) > -math.inf)
    ids = (*truth.tokenizer.encode(text), truth.stop_ids[0])
    by_tokens = sum(truth.logprobs(ids[:at])[index] for at, index in enumerate(ids))
    masses = truth.masses(text)
    sampler = sampler_of(truth)
    mass = math.log(masses.sum()) + sampler.next_byte(text)[STOP]
    if law == "canonical":
        assert abs(mass - by_tokens) < CLOSE
    else:
        assert mass > by_tokens - CLOSE
        assert truth.log_prefix(text) > oracle(
            truth.tokenizer, "canonical", model=truth.model, start=bool(truth.start_ids)  # type: ignore[arg-type]
        ).log_prefix(text) - CLOSE


# the oracle's continuations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", PATTERNS)
@FEW
@given(data=st.data())
def test_a_longer_continuation_opens_no_border(pattern: str, data: st.DataObject) -> None:
    made = data.draw(toys())
    tokenizer = made.tokenizer(pattern)
    text = data.draw(texts(made, 6)) + data.draw(st.sampled_from([b"", b" ", b"  ", b"\n ", b"'", b"'l"]))
    short, long = Canonical(tokenizer), Canonical(tokenizer, depth=2, alphabet="xXsl漢\u03011 \t\n'./\0")
    assert short.borders(text) >= long.borders(text)
