"""How merges make tokens, against merging step by step."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from small import extended, of_merges, trained
from strategies import counts

import bytetok as bt
from bytetok.tokenizer.derivation import Derivation, derivations
from bytetok.tokenizer.tiktoken_format import vocab_of


def test_a_token_is_made_by_its_last_pair() -> None:
    vocab = of_merges(b"abc", [(b"a", b"b"), (b"ab", b"c")]).vocab
    assert derivations(vocab) == {
        0: Derivation((), made=True),
        1: Derivation((), made=True),
        2: Derivation((), made=True),
        3: Derivation((0, 1), made=True),
        4: Derivation((3, 2), made=True),
    }


def test_of_two_ways_the_one_that_happens_counts() -> None:
    vocab = of_merges(b"abc", [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c"), (b"a", b"bc")]).vocab
    assert derivations(vocab)[vocab.id_of(b"abc")] == Derivation((vocab.id_of(b"a"), vocab.id_of(b"bc")), made=True)


def test_a_token_that_an_earlier_merge_cuts_apart_is_never_made() -> None:
    vocab = of_merges(b"abc", [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")]).vocab
    assert derivations(vocab)[vocab.id_of(b"abc")] == Derivation((0, vocab.id_of(b"bc")), made=False)


def test_tokens_without_merges_are_not_made() -> None:
    vocab = extended(trained(), whole=[b"qua"]).vocab
    found = derivations(vocab)
    assert found[vocab.id_of(b"qua")].made is False
    assert b"".join(vocab[part] for part in found[vocab.id_of(b"qua")].parts) == b"qua"
    assert 0 not in found, "special tokens are not made of bytes"


def test_a_byte_that_is_not_there_leaves_no_parts() -> None:
    vocab = bt.Vocab((b"a", b"ax"))
    assert derivations(vocab)[1] == Derivation((), made=False)


@given(counts(), st.integers(1, 25))
def test_what_training_makes_is_made_by_its_own_merge(word_counts: dict[bytes, int], new_tokens: int) -> None:
    counted = bt.PretokenCounts.from_dict(word_counts, pattern="none")
    vocab = bt.train_bpe(counted, vocab_size=256 + new_tokens, min_count=1).vocab
    found = derivations(vocab)
    assert [found[token].parts for _, _, token in vocab.merge_triples] == list(vocab.merges)
    assert all(derivation.made for derivation in found.values())


@given(st.sets(st.text("abc", min_size=2, max_size=5).map(str.encode), max_size=14))
def test_ranks_make_a_token_of_two_parts_or_never(tokens: set[bytes]) -> None:
    """The last pair comes from merging by hand, on the token alone and in any surroundings."""
    order = [b"a", b"b", b"c", *sorted(tokens, key=lambda token: (len(token), token[::-1]))]
    vocab = vocab_of({token: rank for rank, token in enumerate(order)}, {})
    found = derivations(vocab)
    for token_id, whole in enumerate(order):
        parts = [whole[at : at + 1] for at in range(len(whole))]
        last: list[bytes] = []
        while True:
            joined = enumerate(left + right for left, right in pairwise(parts))
            pairs = [(order.index(token), at) for at, token in joined if token in order]
            if not pairs:
                break
            last = list(parts)
            _, at = min(pairs)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        made = parts == [whole]
        expected = last if made else parts
        assert found[token_id].made is made
        assert [vocab[part] for part in found[token_id].parts] == expected
