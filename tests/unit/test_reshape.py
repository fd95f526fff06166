"""Pruning and comparing vocabularies."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from small import CORPUS, extended, of_merges, trained
from strategies import counts

import bytetok as bt
from bytetok.errors import TrainingError, UnknownTokenError, VocabMismatchError
from bytetok.tokenizer.derivation import derivations
from bytetok.tokenizer.foreign_json import JsonTokenizer
from bytetok.tokenizer.tiktoken_format import vocab_of
from bytetok.training.reshape import diff, id_map, prune

NONE = bt.SplitPattern.of("none")


def counted(words: dict[bytes, int], pattern: str = "none") -> bt.PretokenCounts:
    return bt.PretokenCounts.from_dict(words, pattern=pattern)


# pruning --------------------------------------------------------------------------------------------------------------

CHAIN = of_merges(b"abcd", [(b"a", b"b"), (b"ab", b"c"), (b"c", b"d"), (b"abc", b"d")])
"""Tokens a b c d ab abc cd abcd: abcd is made of abc and d, abc of ab and c."""


def test_the_least_used_leaf_goes_first() -> None:
    used = counted({b"abcd": 1, b"abc": 10, b"ab": 5, b"cd": 2})
    tokens = [prune(CHAIN, used, vocab_size=size).vocab.tokens[4:] for size in (8, 7, 6, 5, 4)]
    assert tokens == [(b"ab", b"abc", b"cd", b"abcd"), (b"ab", b"abc", b"cd"), (b"ab", b"abc"), (b"ab",), ()]


def test_a_token_that_others_need_stays_though_it_is_never_used() -> None:
    pruned = prune(CHAIN, counted({b"abcd": 3, b"cd": 1}), vocab_size=7)
    assert pruned.vocab.tokens[4:] == (b"ab", b"abc", b"abcd")
    assert pruned.encode("abcd") == [6]
    assert pruned.vocab.merges == ((0, 1), (4, 2), (5, 3))


def test_uses_fall_to_the_parts() -> None:
    """abcd, used 4 times, gives its uses to abc, which then outlives cd with 3."""
    pruned = prune(CHAIN, counted({b"abcd": 4, b"cd": 3}), vocab_size=7)
    assert b"cd" not in pruned.vocab.tokens  # 3 uses are fewer than 4
    pruned = prune(CHAIN, counted({b"abcd": 4, b"cd": 5}), vocab_size=7)
    assert pruned.vocab.tokens[4:] == (b"ab", b"abc", b"cd")
    pruned = prune(CHAIN, counted({b"abcd": 4, b"cd": 5, b"abc": 2}), vocab_size=6)
    assert pruned.vocab.tokens[4:] == (b"ab", b"abc")  # 4 + 2 uses are more than 5


def test_of_tokens_used_alike_the_later_goes() -> None:
    tokenizer = of_merges(b"abcd", [(b"a", b"b"), (b"c", b"d"), (b"b", b"c")])
    for size, left in ((6, (b"ab", b"cd")), (5, (b"ab",))):
        assert prune(tokenizer, counted({b"zz": 1}), vocab_size=size).vocab.tokens[4:] == left


def test_what_is_kept_on_request_stays_with_its_parts() -> None:
    used = counted({b"cd": 100})
    assert prune(CHAIN, used, vocab_size=7, keep=[b"abc"]).vocab.tokens[4:] == (b"ab", b"abc", b"cd")
    assert prune(CHAIN, used, vocab_size=6, keep=[b"abc"]).vocab.tokens[4:] == (b"ab", b"abc")
    assert prune(CHAIN, used, vocab_size=5, keep=[b"a", b"ab"]).vocab.tokens[4:] == (b"ab",)
    with pytest.raises(TrainingError, match="no room for the 6 tokens that stay"):
        prune(CHAIN, used, vocab_size=5, keep=[b"abc"])


def test_a_kept_token_must_be_there_and_be_made() -> None:
    with pytest.raises(UnknownTokenError, match="b'zz'"):
        prune(CHAIN, counted({b"a": 1}), vocab_size=6, keep=[b"zz"])
    dead = of_merges(b"abc", [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")])
    with pytest.raises(TrainingError, match=r"b'abc', cannot be kept: its bytes never become it, but \[0, 3\]"):
        prune(dead, counted({b"a": 1}), vocab_size=6, keep=[b"abc"])


def test_dead_tokens_go_even_if_there_is_room() -> None:
    dead = of_merges(b"abc", [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")])
    pruned = prune(dead, counted({b"ab": 1, b"bc": 1}), vocab_size=6)
    assert pruned.vocab.tokens == (b"a", b"b", b"c", b"bc", b"ab")
    assert pruned.provenance["pruned"]["unreachable"] == 1


def test_special_and_added_tokens_stay_and_gaps_close() -> None:
    vocab = bt.Vocab(
        (b"<s>", b"a", b"", b"b", b"ab", b"(x)", b"aab"),
        ((1, 3), (1, 4)),
        {"<s>": bt.AddedToken("<s>", 0, special=True), "(x)": bt.AddedToken("(x)", 5, single_word=True)},
    )
    tokenizer = bt.Tokenizer(vocab, NONE)
    pruned = prune(tokenizer, counted({b"ab": 1}), vocab_size=5)
    assert pruned.vocab.tokens == (b"<s>", b"a", b"b", b"ab", b"(x)")
    assert pruned.vocab.merges == ((1, 2),)
    assert pruned.vocab.added_tokens["(x)"] == bt.AddedToken("(x)", 4, single_word=True)
    assert id_map(tokenizer, pruned) == {0: 0, 1: 1, 3: 2, 4: 3, 5: 4}
    with pytest.raises(TrainingError, match="vocab_size 3 has no room for the 4 tokens"):
        prune(tokenizer, counted({b"ab": 1}), vocab_size=3)


@pytest.mark.parametrize("size", [0, -1, 257])
def test_a_vocabulary_below_its_bytes_is_an_error(size: int) -> None:
    with pytest.raises(TrainingError, match=f"vocab_size {size} has no room for the 258"):
        prune(trained(), bt.count_pretokens(CORPUS), vocab_size=size)


def test_a_larger_vocabulary_is_no_pruning() -> None:
    with pytest.raises(TrainingError, match=r"vocab_size 421 is more than the 420 tokens there are.* extend"):
        prune(trained(), bt.count_pretokens(CORPUS), vocab_size=421)
    same = prune(trained(), bt.count_pretokens(CORPUS), vocab_size=420)
    assert same.vocab == trained().vocab


def test_counts_of_another_pattern_are_an_error() -> None:
    with pytest.raises(VocabMismatchError, match="splits by o200k, the counts were made by gpt2"):
        prune(trained(), bt.count_pretokens(CORPUS, pattern="gpt2"), vocab_size=300)


def test_a_foreign_tokenizer_is_an_error() -> None:
    words = {"type": "WordPiece", "unk_token": "?", "vocab": {"?": 0, "court": 1}, "continuing_subword_prefix": "##",
             "max_input_chars_per_word": 100}  # fmt: skip
    foreign = JsonTokenizer(
        Path("tokenizer.json"),
        json.dumps({"version": "1.0", "model": words}),
        name="wp",
        reason="model.type is 'WordPiece'",
    )
    with pytest.raises(TrainingError, match="cannot be pruned: only byte-level BPE"):
        prune(foreign, bt.count_pretokens(CORPUS), vocab_size=300)  # type: ignore[arg-type]


def test_provenance_says_what_was_done() -> None:
    tokenizer = bt.Tokenizer(trained().vocab, trained().pattern, name="mine", provenance={"corpus": "filings"})
    pruned = prune(tokenizer, bt.count_pretokens(CORPUS), vocab_size=300, keep=[b"a"])
    assert (pruned.name, pruned.pattern, pruned.provenance["corpus"]) == ("mine", tokenizer.pattern, "filings")
    assert pruned.provenance["pruned"] == {
        "from": 420, "to": 300, "unreachable": 0, "kept_on_request": 1, "documents": len(CORPUS),
        "bytes": sum(len(text.encode()) for text in CORPUS), "pretokens_with_unknown_bytes": 0,
    }  # fmt: skip


def test_counts_past_32_and_64_bits_are_exact() -> None:
    """ab is used 2^33 times more than cd, in two pretokens whose counts only together pass 2^64."""
    tokenizer = of_merges(b"abcd", [(b"c", b"d"), (b"a", b"b")])
    huge = (1 << 64) - 1
    used = counted({b"cda": huge, b"cdb": huge - 5, b"ab": huge, b"abb": huge - 4})
    assert prune(tokenizer, used, vocab_size=5).vocab.tokens[4:] == (b"ab",)
    used = counted({b"cda": huge, b"cdb": huge - 3, b"ab": huge, b"abb": huge - 4})
    assert prune(tokenizer, used, vocab_size=5).vocab.tokens[4:] == (b"cd",)


def test_pretokens_with_bytes_that_are_not_there_are_left_out_and_counted() -> None:
    pruned = prune(CHAIN, counted({b"ab": 1, b"cdz": 7, b"zz": 2}), vocab_size=5)
    assert pruned.vocab.tokens[4:] == (b"ab",)
    assert pruned.provenance["pruned"]["pretokens_with_unknown_bytes"] == 9


def test_whole_pretokens_count_as_themselves_and_fall_to_what_their_bytes_become() -> None:
    tokenizer = bt.Tokenizer(bt.Vocab((b"a", b"b", b"c", b"ab", b"abca"), ((0, 1),), whole_first=True), NONE)
    assert tokenizer.encode("abca") == [4]
    assert prune(tokenizer, counted({b"abca": 3, b"ab": 2}), vocab_size=4).vocab.tokens[3:] == (b"abca",)
    pruned = prune(tokenizer, counted({b"abca": 2, b"ab": 3}), vocab_size=4)
    assert pruned.vocab.tokens[3:] == (b"ab",)
    assert (pruned.vocab.whole_first, pruned.encode("abca")) == (True, [3, 2, 0])


def test_a_rank_file_stays_one() -> None:
    vocab = vocab_of({b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"ab": 4, b"abc": 5, b"ca": 6}, {"<s>": 9})
    tokenizer = bt.Tokenizer(vocab, NONE)
    pruned = prune(tokenizer, counted({b"abc": 3, b"bc": 3, b"abab": 1}), vocab_size=6)
    assert pruned.vocab == vocab_of({b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"abc": 4}, {"<s>": 5})
    assert pruned.encode("cabc<s>", special="allow") == [2, 4, 5]


@given(counts(), counts(), st.integers(0, 30), st.integers(0, 30))
def test_every_token_that_is_left_encodes_to_itself(
    learned: dict[bytes, int], used: dict[bytes, int], new_tokens: int, less: int
) -> None:
    tokenizer = bt.train_bpe(counted(learned), vocab_size=257 + new_tokens, special_tokens=["<s>"], min_count=1)
    size = max(257, len(tokenizer.vocab) - less)
    pruned = prune(tokenizer, counted(used), vocab_size=size)
    assert len(pruned.vocab) == size
    assert all(derivation.made for derivation in derivations(pruned.vocab).values())
    for token_id, token in enumerate(pruned.vocab.tokens):
        assert pruned.encode(token, special="allow") == [token_id]
    kept = id_map(tokenizer, pruned)
    assert all(tokenizer.vocab[old] == pruned.vocab[new] for old, new in kept.items())
    assert sorted(kept) == list(kept)
    assert all(first < second for first, second in pairwise(kept.values()))
    old_order = [(tokenizer.vocab[left], tokenizer.vocab[right]) for left, right in tokenizer.vocab.merges]
    new_order = [(pruned.vocab[left], pruned.vocab[right]) for left, right in pruned.vocab.merges]
    assert new_order == [pair for pair in old_order if pair in set(new_order)]
    for word in used:
        assert pruned.decode_bytes(pruned.encode(word, special="text")) == word


@given(counts(max_count=3), st.integers(1, 20))
def test_pruning_by_one_takes_the_token_that_costs_least(words: dict[bytes, int], new_tokens: int) -> None:
    """Checked by encoding: of all tokens that could go alone, none is used less on the corpus."""
    tokenizer = bt.train_bpe(counted(words), vocab_size=256 + new_tokens, min_count=1)
    size = len(tokenizer.vocab)
    if size == 256:
        return
    uses = [0] * size
    for word, count in words.items():
        for token_id in tokenizer.encode(word):
            uses[token_id] += count
    inner = {part for pair in tokenizer.vocab.merges for part in pair}
    least = min((uses[token_id], -token_id) for token_id in range(256, size) if token_id not in inner)
    pruned = prune(tokenizer, counted(words), vocab_size=size - 1)
    (gone,) = set(range(size)) - set(id_map(tokenizer, pruned))
    assert (uses[gone], -gone) == least


def test_pruning_down_is_close_to_training_small() -> None:
    """On its own corpus a pruned vocabulary encodes about as well as one trained at that size."""
    counts_of_corpus = bt.count_pretokens(CORPUS)
    pruned = prune(trained(vocab_size=600), counts_of_corpus, vocab_size=420)
    tokens = sum(pruned.count(text, special="text") for text in CORPUS)
    assert tokens <= 1.1 * sum(trained().count(text, special="text") for text in CORPUS)


# comparing ------------------------------------------------------------------------------------------------------------


def test_equal_tokenizers_do_not_differ() -> None:
    found = diff(trained(), trained().renamed("other"))
    assert not found
    assert found.to_dict()["equal"] is True
    assert found.names == ("small-o200k", "other")
    assert found.common == 418


def test_a_pruned_vocabulary_differs_by_what_went() -> None:
    pruned = prune(CHAIN, counted({b"abcd": 4, b"cd": 5}), vocab_size=7)
    found = diff(CHAIN, pruned)
    assert found
    assert (found.sizes, found.common) == ((8, 7), 7)
    assert (found.only_in_a, found.only_in_b, found.moved) == ((b"abcd",), (), ())
    assert found.merges_only_in_a == ((b"abc", b"d"),)
    assert not found.merges_reordered
    assert diff(pruned, CHAIN).only_in_b == (b"abcd",)


def test_every_kind_of_difference_is_found() -> None:
    added = {"<s>": bt.AddedToken("<s>", 5, special=True), "(a)": bt.AddedToken("(a)", 6)}
    vocab = bt.Vocab((b"a", b"b", b"c", b"ab", b"bc", b"<s>", b"(a)"), ((0, 1), (1, 2)), added)
    a = bt.Tokenizer(vocab, NONE, name="a")
    added = {"<s>": bt.AddedToken("<s>", 5, special=True, lstrip=True), "<t>": bt.AddedToken("<t>", 6)}
    tokens = (b"a", b"b", b"c", b"bc", b"ab", b"<s>", b"<t>", b"\xff")
    vocab = bt.Vocab(tokens, ((1, 2), (0, 1)), added, whole_first=True)
    b = bt.Tokenizer(vocab, bt.SplitPattern.of("lines"), name="b")
    found = diff(a, b)
    assert found.sizes == (7, 8)
    assert found.common == 5
    assert (found.only_in_a, found.only_in_b) == ((), (b"\xff",))
    assert found.moved == ((b"ab", 3, 4), (b"bc", 4, 3))
    assert (found.added_only_in_a, found.added_only_in_b) == (("(a)",), ("<t>",))
    assert [old.text for old, _ in found.added_changed] == ["<s>"]
    assert (found.merges_only_in_a, found.merges_only_in_b, found.merges_reordered) == ((), (), True)
    assert (found.patterns, found.rules) == (("none", "lines"), ("whole_first",))

    described = json.loads(json.dumps(found.to_dict()))
    assert described["only_in_b"] == ["ÿ"]
    assert described["moved"][0] == {"token": "ab", "a": 3, "b": 4}
    assert described["added_changed"][0]["b"]["lstrip"] is True
    out = io.StringIO()
    Console(file=out, width=120, color_system=None).print(found.table())
    title = "a (7 ids) and b (8 ids)"
    for part in (title, "tokens only in b", r"b'\xff'", "'ab' 3 → 4", "differs", "none   lines", "<t>"):
        assert part in out.getvalue()


def test_markup_in_tokens_is_text() -> None:
    out = io.StringIO()
    table = diff(trained(), extended(trained(), added={"[red]x[/nope]": {}})).table()
    Console(file=out, width=200, color_system=None).print(table)
    assert "[red]x[/nope]" in out.getvalue()


@pytest.mark.parametrize(
    "other",
    [
        extended(trained(), added={"x": {}}),
        bt.Tokenizer(trained().vocab, bt.SplitPattern.of("gpt2")),
        bt.Tokenizer(
            bt.Vocab((*trained().vocab.tokens, b""), trained().vocab.merges, trained().vocab.added_tokens),
            trained().pattern,
        ),
        bt.Tokenizer(
            bt.Vocab(trained().vocab.tokens, trained().vocab.merges[:-1], trained().vocab.added_tokens),
            trained().pattern,
        ),
    ],
)
def test_any_difference_makes_it_true(other: bt.Tokenizer) -> None:
    assert diff(trained(), other)
    assert diff(other, trained())


def test_foreign_tokenizers_compare_by_their_tokens() -> None:
    class Foreign:
        name, pattern = "wordpiece", None
        vocab = bt.Vocab((b"the", b" court"))

    found = diff(trained(), Foreign())  # type: ignore[arg-type]
    assert found.patterns == ("o200k", "unknown")
    assert len(found.merges_only_in_a) == len(trained().vocab.merges)
