"""Tokenizers that are not byte-pair encoding: law "all" where tokens spell the text, a refusal where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from test_foreign import load, unigram, word_piece

import bytetok as bt
from bytetok.errors import VocabMismatchError

STOP_ID = 1


def lm_of(tokenizer: Any, row: np.ndarray) -> bt.TokenLM:
    """A model that says the same whatever came before."""
    return bt.TokenLM(
        lambda sequences: np.tile(np.log(row), (len(sequences), 1)),
        tokenizer,
        stop_ids=[STOP_ID],
        vocab_size=len(row),
    )


def truth(tokens: dict[int, bytes], row: np.ndarray, text: bytes) -> np.ndarray:
    """Next-byte probabilities by adding up all ways to spell the text."""

    def spelled(data: bytes) -> list[float]:
        ways = [1.0] + [0.0] * len(data)
        for end in range(1, len(data) + 1):
            for token, content in tokens.items():
                if data[:end].endswith(content):
                    ways[end] += ways[end - len(content)] * row[token]
        return ways

    def covered(data: bytes) -> float:
        ways = spelled(data)
        return sum(
            ways[start] * sum(row[token] for token, content in tokens.items() if content.startswith(data[start:]))
            for start in range(len(data))
        )

    masses = np.array([covered(text + bytes([byte])) for byte in range(256)] + [spelled(text)[-1] * row[STOP_ID]])
    return masses / masses.sum()


def test_unigram_under_law_all_is_the_sum_over_all_spellings(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, unigram())
    rng = np.random.default_rng(5)
    row = rng.dirichlet(np.ones(tokenizer.vocab_size))
    special = set(tokenizer.vocab.special_tokens.values())
    tokens = {
        number: content for number, content in enumerate(tokenizer.vocab.tokens) if number not in special and content
    }
    sampler = bt.ByteSampler(lm_of(tokenizer, row), law="all", epsilon=0)
    for text in (b"a", b"a b", b"the", "é".encode(), b" a"):
        # The vocabulary puts a space before every text.
        np.testing.assert_allclose(np.exp(sampler.next_byte(text)), truth(tokens, row, b" " + text), atol=1e-12)
    assert bt.complete(sampler, "a", max_bytes=5, seed=1).bytes == bt.complete(sampler, "a", max_bytes=5, seed=1).bytes


def test_law_canonical_refuses_unigram_and_both_refuse_word_pieces(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, unigram())
    row = np.full(tokenizer.vocab_size, 1 / tokenizer.vocab_size)
    with pytest.raises(VocabMismatchError, match='law="all" takes the tokens as they are'):
        bt.ByteSampler(lm_of(tokenizer, row))
    pieces = load(tmp_path, word_piece())
    row = np.full(pieces.vocab_size, 1 / pieces.vocab_size)
    for law in ("canonical", "all"):
        with pytest.raises(VocabMismatchError, match="no model of bytes"):
            bt.ByteSampler(lm_of(pieces, row), law=law)  # type: ignore[arg-type]


def test_a_vocabulary_that_lacks_characters_is_probed_with_those_it_has(tmp_path: Path) -> None:
    described = unigram()
    described["added_tokens"] = described["added_tokens"][:2]
    described["model"] = {"type": "Unigram", "unk_id": None, "byte_fallback": False, "vocab": [
        ["<unk>", 0.0], ["<s>", 0.0], ["▁", -3.0], *([letter, -4.0] for letter in "thecatw")]}  # fmt: skip
    tokenizer = load(tmp_path, described)
    row = np.random.default_rng(1).dirichlet(np.ones(tokenizer.vocab_size))
    sampler = bt.ByteSampler(lm_of(tokenizer, row), law="all", epsilon=0)
    table = np.exp(sampler.next_byte(b"the c"))
    assert table[ord("a")] > 0
    assert table[ord("z")] == 0


def test_a_vocabulary_of_which_nothing_is_known_is_refused(tmp_path: Path) -> None:
    described = unigram()
    described["added_tokens"] = described["added_tokens"][:2]
    described["model"] = {"type": "Unigram", "unk_id": 0, "byte_fallback": False, "vocab": [
        ["<unk>", 0.0], ["<s>", 0.0], ["▁", -3.0], ["語", -4.0]]}  # fmt: skip
    tokenizer = load(tmp_path, described)
    row = np.full(tokenizer.vocab_size, 1 / tokenizer.vocab_size)
    with pytest.raises(VocabMismatchError, match="nothing shows how its tokens spell"):
        bt.ByteSampler(lm_of(tokenizer, row), law="all")
