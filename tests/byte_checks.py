"""What the tests of byte models share: tokenizers made by hand, a sampler beside its oracle, and the comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from bytes_reference import STOP, ByteOracle, Canonical, Encoded, Hashed, Law, Markov, batched

import bytetok as bt
from bytetok.errors import ImpossibleByteError
from bytetok.tokenizer import SplitPattern

START, END = "<s>", "</s>"
EVERY_BYTE = bytes(range(256))
# Log probabilities of the sampler and of the oracle differ by rounding alone.
CLOSE = 1e-10


def toy(
    letters: bytes | str,
    merges: str | Iterable[tuple[bytes, bytes]] = (),
    pattern: str | Sequence[str] = "none",
    *,
    others: Sequence[bytes] = (),
    whole_first: bool = False,
    ranked: bool = False,
    added: Sequence[str] = (),
    single: Sequence[str] = (),
    hiding: Sequence[str] = (),
) -> bt.Tokenizer:
    """A tokenizer of these letters, of merges such as ``"a+b,ab+c"`` (``_`` is a space, ``^`` a line feed), of
    ``others``, which nothing makes, of ``added`` tokens that are not special, of those among them that are ``single``
    words, of special ones (``hiding``), and at last of ``<s>`` and ``</s>``.
    """
    letters = letters.encode() if isinstance(letters, str) else letters
    tokens = [bytes([letter]) for letter in dict.fromkeys(letters)]
    if isinstance(merges, str):
        spelled = merges.replace("_", " ").replace("^", "\n").encode()
        merges = [] if not spelled else [tuple(merge.split(b"+")) for merge in spelled.split(b",")]  # type: ignore[misc]
    pairs = []
    for left, right in merges:
        pairs.append((tokens.index(left), tokens.index(right)))
        if left + right not in tokens:
            tokens.append(left + right)
    tokens += others
    texts = {}
    for text in (*added, *single, *hiding, START, END):
        special = text in (*hiding, START, END)
        texts[text] = bt.AddedToken(text, len(tokens), special=special, single_word=text in single)
        tokens.append(text.encode())
    vocab = bt.Vocab(tuple(tokens), None if ranked else tuple(pairs), texts, whole_first or ranked, ranked)
    return bt.Tokenizer(vocab, SplitPattern.of(pattern))


def oracle(
    tokenizer: bt.Tokenizer,
    law: Law,
    *,
    model: Hashed | Markov | Encoded | None = None,
    seed: int = 1,
    padded: int = 0,
    start: bool = True,
    stops: Sequence[int] | None = None,
    **options: Any,
) -> ByteOracle:
    """The oracle of a tokenizer with ``<s>`` and ``</s>``: of a hashed model, unless another is given."""
    ids = tokenizer.vocab.special_tokens
    stops = stops or [ids[END]]
    return ByteOracle(
        model or Hashed(seed, tokenizer.vocab_size + padded),
        tokenizer,
        law,
        stop_ids=stops,
        start_ids=[ids[START]] if start else [],
        **options,
    )


def lm_of(truth: ByteOracle) -> Any:
    """The oracle's model as a ``TokenLM``."""
    lm = pytest.importorskip("bytetok.lm")
    return lm.TokenLM(
        batched(truth.model), truth.tokenizer, stop_ids=list(truth.stop_ids), start_ids=list(truth.start_ids),
        vocab_size=truth.model.vocab_size,  # type: ignore[attr-defined]
    )  # fmt: skip


def sampler_of(truth: ByteOracle, **options: Any) -> Any:
    """A ``ByteSampler`` of the oracle's model and law."""
    sampling = pytest.importorskip("bytetok.sampling.sampler")
    # Law "all" forgets improbable coverings unless told not to.
    return sampling.ByteSampler(lm_of(truth), law=truth.law, **{"epsilon": 0.0, **options})


def check(truth: ByteOracle, text: bytes | str, *, first: int = 0, sampler: Any = None) -> None:
    """Holds the sampler to the oracle at every prefix of ``text`` from ``first`` bytes on, grown and built at once.

    Ends where a prefix is impossible: there the sampler must say so, at the latest when it is asked what comes next.
    """
    text = text.encode() if isinstance(text, str) else text
    sampler = sampler or sampler_of(truth)
    grown = sampler.state()
    before = 0.0
    for size in range(len(text) + 1):
        x = text[:size]
        expected = truth.log_prefix(x)
        if size and expected == -math.inf:
            for state in (grown, sampler.state(x[:-1])):
                with pytest.raises(ImpossibleByteError):
                    state.push(x[-1]).next_byte()
            return
        if size:
            grown = grown.push(x[-1])
        if size < first:
            continue
        built = sampler.state(x)
        for state in (grown, built):
            assert state.prefix == x
            assert abs(state.log_prefix - expected) < CLOSE, (x, state.log_prefix, expected)
            same(state.next_byte(), truth.next_byte(x), x)
        assert expected <= before + 1e-12
        before = expected
        follow(truth, x, expected)


def follow(truth: ByteOracle, x: bytes, log_prefix: float) -> None:
    """The oracle's own rules: what can follow has no more mass than what it follows."""
    masses = truth.masses(x)
    assert masses.sum() <= math.exp(log_prefix) * (1 + 1e-12)


def same(found: np.ndarray, expected: np.ndarray, x: bytes) -> None:
    """Two rows of next-byte log probabilities agree, and each is a distribution."""
    assert found.shape == (257,)
    assert found.dtype == np.float64
    # Where one is impossible, the other is impossible.
    differing = np.flatnonzero(np.isfinite(found) != np.isfinite(expected))
    assert not differing.size, (x, [(int(b), found[b], expected[b]) for b in differing[:5]])
    some = np.isfinite(expected)
    worst = np.abs(found[some] - expected[some])
    assert worst.max() < CLOSE, (x, int(np.flatnonzero(some)[worst.argmax()]), worst.max())
    assert abs(np.exp(found[some]).sum() - 1) < CLOSE


def chi_square(counts: Mapping[bytes, int], law: Mapping[bytes, float]) -> tuple[float, int]:
    """The statistic and its degrees of freedom; texts expected fewer than five times count as one."""
    total = sum(counts.values())
    assert set(counts) <= set(law), "a text was drawn that is impossible"
    common = [x for x, probability in law.items() if probability * total >= 5]
    rest = total - sum(counts.get(x, 0) for x in common)
    pairs = [(counts.get(x, 0), law[x] * total) for x in common]
    expected_rest = total - sum(expected for _, expected in pairs)
    if expected_rest > 1:
        pairs.append((rest, expected_rest))
    return sum((seen - expected) ** 2 / expected for seen, expected in pairs), len(pairs) - 1


__all__ = [
    "CLOSE", "END", "EVERY_BYTE", "START", "STOP", "Canonical", "Encoded", "Hashed", "Markov", "check", "chi_square",
    "lm_of", "oracle", "same", "sampler_of", "toy",
]  # fmt: skip
