"""Byte sampling where it is easily wrong, a case a test; each is held to enumeration at every prefix."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from byte_checks import CLOSE, END, EVERY_BYTE, START, check, chi_square, oracle, same, sampler_of, toy
from bytes_reference import STOP, ByteChain, ByteOracle, Canonical, Encoded, Hashed, batched
from sentencepiece_files import BYTES

import bytetok as bt
from bytetok.errors import ImpossibleByteError, VocabMismatchError
from bytetok.tokenizer import SplitPattern
from bytetok.tokenizer.derivation import pretoken_encoder
from bytetok.tokenizer.references import available_references
from bytetok.tokenizer.vocab import CharacterScheme

both_laws = pytest.mark.parametrize("law", ["canonical", "all"])
PATTERNS = ("gpt2", "cl100k", "o200k", "llama3", "qwen2", "deepseek-v3", "digits", "whitespace", "none")
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)


def finite(row: np.ndarray) -> bytes:
    """The bytes that are possible."""
    return bytes(np.flatnonzero(np.isfinite(row[:256])).tolist())


def check_all(made: bt.Tokenizer, law: str, pattern: str, *texts: str) -> None:
    """:func:`check` of several texts, with the tokenizer's tokens behind another pattern."""
    truth = oracle(bt.Tokenizer(made.vocab, SplitPattern.of(pattern)), law)  # type: ignore[arg-type]
    sampler = sampler_of(truth)
    for text in texts:
        check(truth, text, sampler=sampler)


# split patterns -------------------------------------------------------------------------------------------------------

RETURN = toy(
    "return b\ndfx( ", "r+e,t+u,re+tu,retu+r,retur+n,_+b,^+^,d+e,de+f,_+f", "gpt2",
)  # fmt: skip


@both_laws
@every_pattern
def test_a_blank_line_then_def(law: str, pattern: str) -> None:
    made = bt.Tokenizer(RETURN.vocab, SplitPattern.of(pattern))
    check(oracle(made, law), "return b\n\ndef f(", first=7)


def test_a_blank_line_is_one_token_or_two() -> None:
    """What the literal lemma loses: it keeps the encoding of the prefix, after which only white space can come."""
    truth = oracle(RETURN, "canonical")
    x = b"return b\n\n"
    sampler = sampler_of(truth)
    encoded = tuple(RETURN.encode(x))
    covers = {ids: math.exp(logprob) for ids, _, logprob in truth.covers(x)}
    newline = RETURN.vocab.id_of(b"\n")
    two = (*encoded[:-1], newline, newline)
    assert covers.keys() == {encoded, two}
    state = sampler.state(x)
    assert abs(state.log_prefix - math.log(sum(covers.values()))) < CLOSE
    # All that "d" can have comes from the other covering.
    step = truth.logprobs(two)
    def_mass = sum(math.exp(step[index]) for index, token in truth.ordinary if token.startswith(b"d"))
    masses = truth.masses(x)
    assert math.isclose(masses[ord("d")], covers[two] * def_mass, rel_tol=1e-12)
    assert abs(math.exp(state.next_byte()[ord("d")]) - masses[ord("d")] / masses.sum()) < CLOSE


SPACES = toy("a1\n .", "_+_,__+__,_+a,_+1,_+.,^+_,^+^,_+^,a+_")


@both_laws
@every_pattern
def test_a_prompt_that_ends_in_white_space(law: str, pattern: str) -> None:
    """In one, two and three spaces, in line feeds, in both: ``check`` looks at every prefix and all that follows."""
    check_all(SPACES, law, pattern, "a   a", "a   1", "a   .", " \n a", "a\n\n a", "a \n1", "\n\n\na", "\n  \n ")


QUOTES = toy("ael'sSx ", "'+l,'l+l,'+s,'+a,l+l,a+',_+',a+'l,a+l,'+S,e+'")


@both_laws
@every_pattern
def test_contractions_that_grow(law: str, pattern: str) -> None:
    check_all(QUOTES, law, pattern, "'ll", "a'll", "a'l a", "x'la", "''s", " 's", "a'Sa", "a'lll", "'e'l")


DIGITS = toy("12a ", "1+1,11+1,11+11,1+2,a+1,1+a,_+1")


@both_laws
@every_pattern
def test_digits_in_groups(law: str, pattern: str) -> None:
    check_all(DIGITS, law, pattern, "11111", "a11a", " 111", "1211a")


def test_a_fourth_digit_starts_a_group() -> None:
    truth = oracle(bt.Tokenizer(DIGITS.vocab, SplitPattern.of("cl100k")), "canonical")
    four = DIGITS.vocab.id_of(b"1111")
    assert all(four not in ids for ids, _, _ in truth.covers(b"1111"))
    assert any(four in ids for ids, _, _ in oracle(DIGITS, "canonical").covers(b"1111"))


@both_laws
@pytest.mark.parametrize("text", ["11", "1111", "a1111a"])
def test_digits_in_groups_from_the_right(law: str, text: str) -> None:
    """A pattern of one's own, which looks as far ahead as digits go."""
    made = bt.Tokenizer(DIGITS.vocab, SplitPattern.of(r"\d{1,3}(?=(?:\d{3})*(?!\d))|\D+"))
    check(oracle(made, law, canonical=Canonical(made, depth=4, alphabet="1a ")), text)


# characters and bytes -------------------------------------------------------------------------------------------------


def in_pieces(text: str, merges: list[tuple[bytes, bytes]], pattern: str) -> bt.Tokenizer:
    return toy(text.encode() + b"a \x80", merges, pattern)


@both_laws
@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "deepseek-v3", "none"])
@pytest.mark.parametrize("text", ["aéa", "é ", "a×a", "a漢a", " 漢", "a😀", "a\u2003a", "e\u0301a", "aĀa"])
def test_a_prompt_cut_inside_a_character(law: str, pattern: str, text: str) -> None:
    data = text.encode()
    merges = [(data[:1], data[1:2]), (data[1:2], data[2:3])]
    merges += [(data[:2], data[2:3])] if len(data) > 3 else []
    check(oracle(in_pieces(text, merges, pattern), law), data)


@both_laws
@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "deepseek-v3", "none"])
@pytest.mark.parametrize("text", [b"\x80", b"\x80a", b"a\x80a", b" \x80 a", b"\x80\x80\x80"])
def test_a_lone_continuation_byte(law: str, pattern: str, text: bytes) -> None:
    made = toy(b"a \x80", [(b"\x80", b"a"), (b" ", b"\x80"), (b"a", b"\x80"), (b"\x80", b"\x80")], pattern)
    check(oracle(made, law), text)


@both_laws
@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "deepseek-v3", "none"])
@pytest.mark.parametrize(
    "text", [b"\xff", b"a\xc3a", b"\xe2\x80a", b"\xe2a", b"\xf0\x80a", b"\xed\xa0\x80", b"\xc3\xc3\xa9", b"a\xf0\x9f "]
)
def test_bytes_that_are_not_utf8(law: str, pattern: str, text: bytes) -> None:
    letters = text + b"a "
    made = toy(letters, [(text[:1], text[1:2])] if len(text) > 1 else [], pattern)
    check(oracle(made, law), text)


# tokens ---------------------------------------------------------------------------------------------------------------


@both_laws
def test_equal_letters(law: str) -> None:
    check(oracle(toy("ab", "a+a,aa+a,aa+aa,aaaa+b"), law), "aaaaaaab")


@both_laws
def test_tokens_that_begin_others(law: str) -> None:
    check(oracle(toy("abc", "a+c,b+b,a+b,c+b,cb+b,a+cbb"), law), "abacbbacb")


def test_a_token_that_merging_never_makes() -> None:
    made = toy("ab", "a+b", others=[b"abb"])
    never = made.vocab.id_of(b"abb")
    for law in ("canonical", "all"):
        truth = oracle(made, law)  # type: ignore[arg-type]
        assert any(never in ids for ids, _, _ in truth.covers(b"abb")) == (law == "all")
        check(truth, "abba")


@both_laws
def test_a_token_that_nothing_leaves_possible(law: str) -> None:
    made = toy("abc", "a+b,b+c")
    never = [made.vocab.id_of(b"b"), made.vocab.id_of(b"bc")]
    truth = oracle(made, law, model=Hashed(3, made.vocab_size, never=never))
    sampler = sampler_of(truth)
    check(truth, "aba", sampler=sampler)
    check(truth, "acb", sampler=sampler)  # ends at "acb", which is impossible
    assert sampler.next_byte(b"c")[ord("b")] == -np.inf
    for impossible in (b"b", b"acb", b"z"):
        with pytest.raises(ImpossibleByteError):
            sampler.state(impossible).next_byte()


@both_laws
def test_rows_that_pad_the_output(law: str) -> None:
    made = toy("ab", "a+b")
    check(oracle(made, law, padded=7), "abba")


@both_laws
def test_tokens_without_bytes(law: str) -> None:
    base = toy("ab", "a+b")
    tokens = (*base.vocab.tokens, b"", b"")
    made = bt.Tokenizer(bt.Vocab(tokens, base.vocab.merges, base.vocab.added_tokens), base.pattern)
    check(oracle(made, law), "abba")


@both_laws
def test_two_ways_to_stop(law: str) -> None:
    base = toy("ab", "a+b")
    size = base.vocab_size
    added = {**base.vocab.added_tokens, "<end>": bt.AddedToken("<end>", size, special=True)}
    made = bt.Tokenizer(bt.Vocab((*base.vocab.tokens, b"<end>"), base.vocab.merges, added), base.pattern)
    check(oracle(made, law, stops=[made.vocab.special_tokens[END], size]), "abba")


@both_laws
def test_special_tokens_in_the_prompt_are_bytes(law: str) -> None:
    made = toy("a</s>", "<+/,s+>,</+s>")
    truth = oracle(made, law)
    stop = made.vocab.special_tokens[END]
    assert all(stop not in ids for ids, _, _ in truth.covers(b"a</s>a"))
    check(truth, "a</s>a")


@both_laws
def test_prompt_ids_are_before_the_text(law: str) -> None:
    made = toy("ab", "a+b")
    ids = [made.vocab.special_tokens[START], made.vocab.id_of(b"a"), made.vocab.special_tokens[END]]
    truth = oracle(made, law)
    behind = ByteOracle(truth.model, made, truth.law, stop_ids=truth.stop_ids, start_ids=[*truth.start_ids, *ids])
    # The "a" of the prompt is no part of the text, and merges with nothing in it.
    check(behind, "bab", sampler=sampler_of(truth, prompt_ids=ids))


@both_laws
@pytest.mark.parametrize("start", [True, False])
def test_an_empty_prompt_with_and_without_a_start_token(law: str, start: bool) -> None:
    truth = oracle(toy("ab", "a+b"), law, start=start)
    state = sampler_of(truth).state(b"")
    assert state.log_prefix == 0.0
    same(state.next_byte(), truth.next_byte(b""), b"")


@both_laws
def test_a_single_byte(law: str) -> None:
    made = toy(EVERY_BYTE, [(b"a", b"b"), (b"\xc3", b"\xa9")], "gpt2")
    truth = oracle(made, law)
    sampler = sampler_of(truth)
    for byte in (0x00, 0x20, 0x61, 0x80, 0xC3, 0xFF):
        same(sampler.next_byte(bytes([byte])), truth.next_byte(bytes([byte])), bytes([byte]))


@both_laws
@pytest.mark.parametrize("pattern", ["gpt2", "none"])
def test_ranks_instead_of_merges(law: str, pattern: str) -> None:
    # "aab" is joined from "aa" and "b", "abb" from "ab" and "b"; lower ids first
    made = toy("ab ", others=[b"ab", b"aa", b"aab", b" a", b"abb"], ranked=True, pattern=pattern)
    check(oracle(made, law), "aab abb")


@both_laws
@pytest.mark.parametrize("pattern", ["gpt2", "none"])
def test_whole_pretokens_that_merges_make_too(law: str, pattern: str) -> None:
    made = toy("ab ", "a+b,ab+b,_+a", pattern, whole_first=True)
    check(oracle(made, law), "abb ab")


@both_laws
@pytest.mark.parametrize("pattern", ["gpt2", "none"])
def test_whole_pretokens_that_no_merge_makes(law: str, pattern: str) -> None:
    """``ignore_merges``: whether the token counts shows when the pretoken ends."""
    made = toy("abc ", "a+b,_+a", pattern, others=[b"abc", b" abc"], whole_first=True)
    check(oracle(made, law), "abc abca")


def test_what_merges_make_of_a_whole_pretoken_is_no_pretoken() -> None:
    made = toy("abc ", "a+b,_+a", "gpt2", others=[b"abc"], whole_first=True)
    ab, c, odd = map(made.vocab.id_of, (b"ab", b"c", b"abc"))
    truth = oracle(made, "canonical")
    # alone, or as the beginning of a longer one
    assert {ids for ids, _, _ in truth.covers(b"abc")} == {(odd,), (ab, c)}
    assert all(ids[:2] != (ab, c) for ids, _, _ in truth.covers(b"abc "))
    assert all(ids[0] != odd for ids, _, _ in truth.covers(b"abca"))
    assert {ids for ids, _, _ in truth.covers(b"aabc")} >= {(made.vocab.id_of(b"a"), ab, c)}
    sampler = sampler_of(truth)
    for text in ("abc", "abc abc", "abcabc", "aabc", "cabc ", " abc a"):
        check(truth, text, sampler=sampler)


ODD = toy(
    "a1 \n'", "a+a,1+1,_+a", others=[b"a1", b"111", b"\n\n", b"  ", b"'aa", b"aaa", b"aaaaa", b" \n", b"11a", b"\n "],
    whole_first=True,
)  # fmt: skip


@every_pattern
def test_whole_pretokens_where_borders_are_in_doubt(pattern: str) -> None:
    check_all(ODD, "canonical", pattern, "a11 a", "1111", "\n\na", "a  a", "  \n a", "'aaa", "aaaaaa", "\n \n")


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "none"])
@pytest.mark.parametrize("text", [b"\xc3\xa9 ", b"a\xc3\xa9a", b"\xc3a", b"\xc3\xc3\xa9", b" \xc3"])
def test_whole_pretokens_that_end_inside_a_character(pattern: str, text: bytes) -> None:
    others = [b"a\xc3", b" \xc3", b"\xc3\xc3", b"\xc3\xa9a"]
    made = toy(b"a \xc3\xa9", [(b"\xc3", b"\xa9")], pattern, others=others, whole_first=True)
    check(oracle(made, "canonical"), text)


@pytest.mark.slow
@pytest.mark.skipif("llama3" not in available_references(), reason="llama3 is not in the cache")
def test_the_whole_pretokens_of_llama_3() -> None:
    """588 tokens that merges never make; of two of them, all spellings, by a model that knows few other tokens."""
    made = bt.Tokenizer.load("llama3")
    assert isinstance(made, bt.Tokenizer)
    vocab = made.vocab
    ids = [index for index, is_ordinary in enumerate(vocab.ordinary()) if is_ordinary]
    merging = pretoken_encoder(vocab, whole_first=False)
    by_merges = merging.encode_batch([vocab.tokens[index] for index in ids], "text", 1)
    odd = {index: merged for index, merged in zip(ids, by_merges, strict=True) if list(merged) != [index]}
    assert len(odd) == 588
    for token, after in ((b"lardan", b"x"), (" việc".encode(), b".")):
        index = vocab.id_of(token)
        spelled = [index, *odd[index], *(vocab.id_of(other) for other in (b"x", b" x", b".", after))]
        stop = vocab.special_tokens["<|end_of_text|>"]
        some = {stop, *spelled, *(vocab.id_of(bytes([byte])) for byte in token)}
        model = Hashed(1, made.vocab_size, never=sorted(set(range(made.vocab_size)) - some))
        truth = oracle(made, "canonical", model=model, start=False, stops=[stop])
        check(truth, token + after, first=len(token))


@both_laws
@pytest.mark.parametrize("pattern", ["gpt2", "none"])
def test_added_tokens_that_are_not_special(law: str, pattern: str) -> None:
    made = toy("ab <>", "a+b,_+a,<+a,b+>", pattern, added=["<ab>", "b a"])
    truth = oracle(made, law)
    check(truth, "ab <ab>b ab")
    added = made.vocab.added_tokens["<ab>"].id
    ways = [ids for ids, spelled, _ in truth.covers(b"<ab>") if spelled == b"<ab>"]
    assert (added,) in ways
    assert (len(ways) == 1) == (law == "canonical")


@both_laws
@pytest.mark.parametrize("pattern", ["gpt2", "o200k", "none"])
def test_added_tokens_that_are_single_words(law: str, pattern: str) -> None:
    """Whether a token counts shows one character later; where it is refused, its text is text, all of it."""
    made = toy("aU.S 1", "U+.,S+.,_+U,1+1,11+11,.+1,U.+S,U.S+.,.+a", pattern, single=["U.S.", "1111"], added=[".1"])
    truth = oracle(made, law)
    sampler = sampler_of(truth)
    for text in ("U.S.", "aU.S. ", "U.S.a", "U.S..", "1111a", " 1111 ", "11111", "a1111", ".1111", "U.S.1"):
        check(truth, text, sampler=sampler)


def test_a_single_word_takes_its_text_only_between_others() -> None:
    made = toy("ab ", "a+b,_+ab", "gpt2", single=["ab"])
    (word,) = (token.id for text, token in made.vocab.added_tokens.items() if text == "ab")
    merged = made.vocab.id_of(b"ab")
    truth = oracle(made, "canonical")
    spelled = {ids for ids, text, _ in truth.covers(b"ab") if text == b"ab"}
    assert spelled == {(word,), (merged,)}  # the second if a letter comes next
    assert all(ids[0] != word for ids, _, _ in truth.covers(b"aba"))
    assert all(ids[0] == word for ids, _, _ in truth.covers(b"ab "))
    check(truth, "ab aba ab")


@pytest.mark.parametrize("text", ["aé", "é", "é漢", "漢é "])
def test_a_single_word_beside_half_a_character(text: str) -> None:
    """Whether a character is a word's may show before it is whole, or not."""
    data = "é漢.\u2003".encode() + b"a \xff"
    made = toy(data, [(b"\xc3", b"\xa9"), (b"\xe6", b"\xbc"), (b"a", b"\xe2")], "gpt2", single=["é", "a"])
    truth = oracle(made, "canonical")
    for some in (text.encode(), text.encode() + b"\xe6\xbc", text.encode() + b"\xe2\x80\x83", text.encode() + b"\xff"):
        check(truth, some[:6])


def test_a_control_token_hides_what_begins_in_it() -> None:
    made = toy("abc", "a+b,b+c,ab+c", "none", added=["bc"], hiding=["abc"])
    truth = oracle(made, "canonical")
    (found,) = (token.id for text, token in made.vocab.added_tokens.items() if text == "bc")
    assert all(found not in ids for ids, _, _ in truth.covers(b"abc"))
    for text in ("abc", "bbc", "ababc", "aabca"):
        check(truth, text)


@pytest.mark.parametrize("name", ["legal-32k", "finance-32k"])
def test_the_shipped_vocabularies_with_single_words(name: str) -> None:
    made = bt.Tokenizer.load(Path(__file__).parents[2] / "vocab" / name)
    assert isinstance(made, bt.Tokenizer)
    words = [token for token in made.vocab.added_tokens.values() if token.single_word]
    assert len(words) > 40
    word = made.vocab.added_tokens["U.S."]
    spelled = made.encode("U.S.x")
    assert word.single_word
    assert word.id not in spelled
    # A model that is sure of one text or the other, token by token.
    whole = made.encode("U.S. x")
    assert whole[0] == word.id
    for ids, after, never in ((spelled, "x", " ."), (whole, " ", "U")):
        others = sorted(set(range(made.vocab_size)) - {*ids, made.vocab.special_tokens["<|endoftext|>"]})
        truth = Hashed(1, made.vocab_size, never=others)
        lm = bt.TokenLM(batched(truth), made, stop_ids=[made.vocab.special_tokens["<|endoftext|>"]])
        row = bt.ByteSampler(lm).next_byte("U.S.")
        assert np.isfinite(row[ord(after)])
        assert not any(np.isfinite(row[ord(other)]) for other in never)
        assert np.isfinite(row[STOP]) == (ids is whole)


def test_added_tokens_that_take_white_space_are_refused() -> None:
    base = toy("ab ", "a+b", "gpt2", added=["ab"])
    (token,) = (token for text, token in base.vocab.added_tokens.items() if text == "ab")
    added = {**base.vocab.added_tokens, "ab": token._replace(lstrip=True)}
    made = bt.Tokenizer(bt.Vocab(base.vocab.tokens, base.vocab.merges, added), base.pattern)
    assert made.encode("a ab") == made.encode("aab")  # what the token took is gone
    truth = oracle(base, "canonical")
    truth.tokenizer = made
    with pytest.raises(VocabMismatchError, match="white space beside them, such as 'ab'"):
        sampler_of(truth)


@both_laws
def test_two_tokens_of_the_same_bytes(law: str) -> None:
    """An added token spells what a merge makes; both count under law "all", the added one is what encoding gives."""
    made = toy("ab", "a+b", added=["ab"])
    truth = oracle(made, law)
    spellings = {ids for ids, spelled, _ in truth.covers(b"ab") if spelled == b"ab"}
    assert len(spellings) == (1 if law == "canonical" else 3)
    check(truth, "abab")


# SentencePiece-style --------------------------------------------------------------------------------------------------


def characters(letters: str, merges: str, prefix: str = "none") -> bt.Tokenizer:
    """``<0x00>`` to ``<0xFF>``, the letters (``_`` is a space), what the merges make, ``<s>`` and ``</s>``."""
    spelled = lambda text: text.replace("_", " ").encode()  # noqa: E731
    tokens = [bytes([byte]) for byte in range(len(BYTES))]
    tokens += [spelled(letter) for letter in letters]
    pairs = []
    for left, right in (merge.split("+") for merge in merges.split(",")):
        pair = tuple(tokens.index(spelled(part), 256) for part in (left, right))
        pairs.append((pair[0], pair[1]))
        tokens.append(spelled(left + right))
    size = len(tokens)
    added = {text: bt.AddedToken(text, size + i, special=True) for i, text in enumerate((START, END))}
    scheme = CharacterScheme(tuple(range(256)), prefix)  # type: ignore[arg-type]
    vocab = bt.Vocab((*tokens, START.encode(), END.encode()), tuple(pairs), added, characters=scheme)
    return bt.Tokenizer(vocab, SplitPattern.of("none"))


def mostly_text(made: bt.Tokenizer, law: str, seed: int = 1) -> ByteOracle:
    """The oracle of a model that seldom says a byte token."""
    likely = list(range(256, made.vocab_size))
    return oracle(made, law, model=Hashed(seed, made.vocab_size, likely=likely))  # type: ignore[arg-type]


@both_laws
def test_the_space_before_the_text_is_not_in_it(law: str) -> None:
    made = characters("_ab", "a+b,_+ab,_+a", "first")
    truth = mostly_text(made, law)
    covers = {tuple(made.token_bytes(index) for index in ids) for ids, _, _ in truth.covers(b"ab")}
    if law == "canonical":
        assert covers == {(b" ab",)}
    else:
        assert {(b" ab",), (b" a", b"b"), (b" ", b"ab"), (b" ", b"a", b"b")} <= covers
    check(truth, "ab a", first=1)
    # the empty text has no tokens, and no space
    state = sampler_of(truth).state(b"")
    assert state.log_prefix == 0.0
    same(state.next_byte(), truth.next_byte(b""), b"")


@both_laws
def test_a_text_that_starts_with_a_space_has_two(law: str) -> None:
    check(mostly_text(characters("_ab", "_+_,a+b,_+ab,_+a", "first"), law), " ab", first=1)


@both_laws
def test_characters_without_a_token_are_bytes(law: str) -> None:
    made = characters("_aé", "a+é,_+a")
    truth = mostly_text(made, law)
    if law == "canonical":
        covers = lambda text: [ids for ids, spelled, _ in truth.covers(text) if spelled == text]  # noqa: E731
        assert covers("é".encode()) == [(made.vocab.id_of("é".encode()),)]
        assert covers("è".encode()) == [(0xC3, 0xA8)]
        assert covers(b"a") == [(made.vocab.id_of(b"a"),)]  # not <0x61>
    check(truth, "aéè漢a")


@both_laws
def test_a_byte_token_and_a_letter_are_the_same_bytes(law: str) -> None:
    truth = mostly_text(characters("_ab", "a+b"), law)
    count = {len([ids for ids, spelled, _ in truth.covers(b"ab") if spelled == b"ab"])}
    assert count == {1 if law == "canonical" else 5}
    check(truth, "abba")


@both_laws
def test_broken_characters_are_bytes(law: str) -> None:
    truth = mostly_text(characters("_aé漢", "a+é"), law)
    for text in (b"\x80", b"a\xc3a", b"\xe6\xbc", b"\xff"):
        check(truth, text)


def test_a_space_mark_is_a_space_and_no_text_of_its_own() -> None:
    made = characters("_ab", "a+b")
    truth = mostly_text(made, "canonical")
    mark = "▁".encode()
    assert truth.log_prefix(mark[:2]) > -math.inf  # another character may begin so
    assert truth.log_prefix(mark) == -math.inf
    with pytest.raises(ImpossibleByteError):
        sampler_of(truth).state(mark).next_byte()


def test_a_space_only_where_there_is_none_makes_two_texts_one() -> None:
    """ "a" and " a" have the same tokens, so neither has a probability of its own."""
    base = characters("_ab", "a+b", "first")
    scheme = CharacterScheme(tuple(range(256)), "first", prefix_always=False)
    vocab = bt.Vocab(base.vocab.tokens, base.vocab.merges, base.vocab.added_tokens, characters=scheme)
    made = bt.Tokenizer(vocab, base.pattern)
    assert made.encode("a") == made.encode(" a")
    with pytest.raises(NotImplementedError):
        oracle(made, "canonical")
    truth = mostly_text(base, "canonical")
    truth.tokenizer = made
    with pytest.raises(VocabMismatchError):
        sampler_of(truth)


# whole laws -----------------------------------------------------------------------------------------------------------

SOURCE = toy("a \n'", "a+a,_+_,^+^,_+a,'+a,a+_,aa+a,^+_")


@both_laws
@every_pattern
def test_a_markov_source_is_recovered(law: str, pattern: str) -> None:
    """A model of canonical tokens, exact for a Markov chain of bytes, gives the chain's transitions back."""
    made = bt.Tokenizer(SOURCE.vocab, SplitPattern.of(pattern))
    chain = ByteChain(4, b"a \n'", 6)
    model = Encoded(chain.texts, made.encode, made.vocab.special_tokens[END], made.vocab_size)
    truth = oracle(made, law, model=model, start=False)  # type: ignore[arg-type]
    sampler = sampler_of(truth)
    random = np.random.default_rng(3)
    for _ in range(12):
        state = sampler.state()
        log_prefix = 0.0
        while True:
            step = chain.next_byte(state.prefix)
            found = np.exp(state.next_byte())
            assert np.abs(found - step).max() < 1e-9, state.prefix
            assert abs(state.log_prefix - log_prefix) < 1e-9
            byte = int(random.choice(257, p=step))
            if byte == STOP:
                break
            log_prefix += math.log(step[byte])
            state = state.push(byte)


@both_laws
@pytest.mark.parametrize("pattern", ["none", "gpt2", "cl100k"])
def test_samples_have_the_law_of_whole_texts(law: str, pattern: str) -> None:
    made = toy("a \n", "a+a,_+a,^+^,_+_", pattern)
    truth = oracle(made, law, seed=8)
    most, count = 3, 4000
    expected = truth.strings(most)
    sampler = sampler_of(truth)
    random = np.random.default_rng(5)
    steps: dict[bytes, np.ndarray] = {}
    states = {b"": sampler.state()}
    drawn: Counter[bytes] = Counter()
    for _ in range(count):
        x = b""
        while len(x) < most:
            if x not in steps:
                row = np.exp(states[x].next_byte())
                steps[x] = row / row.sum()
            byte = int(random.choice(257, p=steps[x]))
            if byte == STOP:
                break
            if x + bytes([byte]) not in states:
                states[x + bytes([byte])] = states[x].push(byte)
            x += bytes([byte])
        drawn[x] += 1
    statistic, freedom = chi_square(drawn, expected)
    # the normal approximation of Wilson and Hilferty: above 4 once in 30,000 runs
    deviation = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    assert deviation < 4, (statistic, freedom)
    assert freedom > 5


@both_laws
def test_which_bytes_are_possible(law: str) -> None:
    truth = oracle(toy("ab", "a+b"), law)
    assert finite(sampler_of(truth).next_byte(b"")) == b"ab"
