"""ByteSampler where the laws are not in question: settings, prompts, packed scores, sampling by tokens."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest
from byte_checks import Canonical, chi_square, oracle, sampler_of, toy

import bytetok as bt
from bytetok.errors import EncodingError, ImpossibleByteError, SamplingError, VocabMismatchError
from bytetok.sampling import ByteSampler, score
from bytetok.sampling.live import Live


def small(law: str = "canonical", **options: Any) -> ByteSampler:
    made = toy("ab ", "a+b,_+a", "gpt2")
    sampler: ByteSampler = sampler_of(oracle(made, law), **options)  # type: ignore[arg-type]
    return sampler


@pytest.mark.parametrize("law", ["canonical", "all"])
def test_a_packed_score_is_that_of_single_bytes(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "_PIECE", 3)
    sampler = small(law)
    text = b"ab a baab"
    state, tables = sampler.state(), []
    for byte in text:
        tables.append(state.next_byte())
        state = state.push(byte)
    calls = sampler.lm.calls
    packed = sampler.score(text, marginals=True)
    assert sampler.lm.calls - calls == 3
    assert packed.marginals is not None
    np.testing.assert_allclose(np.exp(packed.marginals), np.exp(np.array(tables)), atol=1e-12)
    assert packed.logprobs == pytest.approx([table[byte] for table, byte in zip(tables, text, strict=True)], abs=1e-10)
    assert packed.log_stop == pytest.approx(state.next_byte()[256], abs=1e-10)
    assert packed.bits_per_byte == pytest.approx(-packed.logprobs.mean() / np.log(2))


def test_the_score_of_nothing_and_of_the_impossible() -> None:
    assert len(small().score(b"").logprobs) == 0
    assert np.isnan(small().score(b"").bits_per_byte)
    with pytest.raises(ImpossibleByteError, match="0x78 at offset 2"):
        small().score(b"abx")


def test_forgetting_improbable_coverings_is_told() -> None:
    exact, lossy = small("all").state("ab a ba"), small("all", epsilon=0.05).state("ab a ba")
    assert exact.lost == 0
    assert 0 < lossy.lost < 1
    gap = np.abs(np.exp(exact.next_byte()) - np.exp(lossy.next_byte())).sum() / 2
    assert gap <= lossy.lost


def tables_of(sampler: ByteSampler, text: bytes) -> tuple[np.ndarray, float]:
    """The tables behind every beginning of a text, and the largest error that was told."""
    state, tables, error = sampler.state(), [], 0.0
    for byte in text:
        tables.append(np.exp(state.next_byte()))
        error = max(error, state.error)
        state = state.push(byte)
    return np.array(tables), error


@pytest.mark.parametrize("law", ["canonical", "all"])
@pytest.mark.parametrize("epsilon", [0.0, 0.02])
def test_asking_ahead_changes_no_answer(law: str, epsilon: float) -> None:
    text = b"ab a baab ab a baab a"
    plain, ahead = small(law, epsilon=epsilon, ahead=0), small(law, epsilon=epsilon, ahead=8)
    expected, _ = tables_of(plain, text)
    start = ahead.lm.calls
    found, error = tables_of(ahead, text)
    gap = np.abs(found - expected).sum(axis=1).max() / 2
    assert gap <= (1e-12 if epsilon == 0 else 2 * epsilon)
    assert error <= epsilon
    assert ahead.lm.calls - start < plain.lm.calls


@pytest.mark.parametrize("epsilon", [0.3, 0.1, 0.01, 1e-4])
def test_epsilon_bounds_every_answer(epsilon: float) -> None:
    rng = np.random.default_rng(3)
    exact, close = small(), small(epsilon=epsilon)
    asked = 0
    for _ in range(20):
        text = bytes(rng.choice(list(b"ab "), size=12).tolist())
        state, other = exact.state(), close.state()
        for byte in text:
            true, found = np.exp(state.next_byte()), np.exp(other.next_byte())
            assert np.abs(true - found).sum() / 2 <= other.error + 1e-12
            assert other.error <= epsilon
            assert ((found > 0) == (true > 0))[:256].all(), "what only unasked nodes can spell is not impossible"
            assert abs(other.push(byte).log_prefix - state.push(byte).log_prefix) <= -np.log1p(-epsilon) + 1e-12
            state, other = state.push(byte), other.push(byte)
            asked += 1
    assert close.lm.positions <= exact.lm.positions
    assert asked == 240


def test_what_was_asked_ahead_is_let_go_of() -> None:
    """A long text keeps what the model said behind its last few nodes, not behind all."""

    def count() -> int:
        gc.collect()
        return sum(type(one) is Live for one in gc.get_objects())  # isinstance would ask modules of torch what they are

    sampler = small()
    before = count()  # of states that other tests still hold
    state = sampler.state()
    for byte in b"ab a baab" * 40:
        state.next_byte()
        state = state.push(byte)
    assert count() < before + 60
    assert len(state.prefix) == 360


def test_tokens_are_sampled_as_the_bytes_are() -> None:
    sampler = small("all")
    rng = np.random.default_rng(7)
    state = sampler.state("a")
    law = {bytes([symbol]) if symbol < 256 else b"": chance for symbol, chance in enumerate(np.exp(state.next_byte()))}
    law = {first: chance for first, chance in law.items() if chance > 0}
    counts = Counter(b"".join(_first(sampler.complete_tokens(b"a", rng)))[:1] for _ in range(3000))
    statistic, freedom = chi_square(counts, law)
    assert statistic < freedom + 5 * np.sqrt(2 * freedom)


def _first(pieces: object) -> list[bytes]:
    """Pieces up to the first that holds a byte."""
    found = []
    for piece in pieces:  # type: ignore[attr-defined]
        found.append(piece)
        if piece:
            break
    return found


def test_a_prompt_of_ids_comes_before_the_text() -> None:
    sampler = small()
    ids = sampler.tokenizer.encode("ab ")
    behind = sampler.with_prompt(ids)
    assert behind.prompt_ids == tuple(ids)
    assert not np.allclose(behind.next_byte("a"), sampler.next_byte("a"))
    again = ByteSampler(sampler.lm, prompt_ids=ids)
    np.testing.assert_array_equal(behind.next_byte("a"), again.next_byte("a"))
    assert behind.state("").log_prefix == 0


@pytest.mark.parametrize(("options", "message"), [({"law": "some"}, "law 'some'"), ({"epsilon": 1.5}, "epsilon 1.5")])
def test_settings_that_are_none(options: dict[str, object], message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        ByteSampler(small().lm, **options)  # type: ignore[arg-type]


def test_a_prefix_that_the_tokenizer_would_change_is_an_error() -> None:
    plain = toy("ab\u0301e\u00e9", "a+b", "gpt2")
    normal = bt.Tokenizer(plain.vocab, plain.pattern, normalizer="NFC")
    sampler = sampler_of(oracle(plain, "canonical"))
    other = ByteSampler(bt.TokenLM(sampler.lm._backend._fn, normal, stop_ids=sampler.lm.stop_ids, start_ids=[0]))
    assert np.isfinite(other.next_byte("\u00e9")).any()
    with pytest.raises(EncodingError, match="not in form NFC"):
        other.state("e\u0301")


def patterned(pattern: str) -> ByteSampler:
    """``small`` behind a pattern of the user's own."""
    made = toy("ab 1", "a+b,1+1,11+1", pattern)
    sampler: ByteSampler = sampler_of(oracle(made, "canonical"))
    return sampler


@pytest.mark.parametrize("pattern", [r"(?<=a)b|[\s\S]", r"\bab|[\s\S]", r"(a)\1|[\s\S]", r"a{1,65}|[\s\S]"])
def test_a_pattern_that_cannot_be_followed_is_an_error(pattern: str) -> None:
    with pytest.raises(VocabMismatchError, match="cannot be followed byte by byte"):
        patterned(pattern)


def test_digits_grouped_from_the_right() -> None:
    """1111 is 1 and 111: where the first group ends depends on how many digits are yet to come."""
    sampler = patterned(r"\d{1,3}(?=(?:\d{3})*(?!\d))|\D+")
    truth = oracle(sampler.tokenizer, "canonical")
    # Farther ahead than any group, over every kind of character that the pattern knows.
    slow = oracle(sampler.tokenizer, "canonical", canonical=Canonical(sampler.tokenizer, depth=7, alphabet="1a "))
    for text in (b"1", b"11", b"111", b"1111", b"11111"):
        assert sampler.state(text).log_prefix == pytest.approx(truth.log_prefix(text), abs=1e-10)
        assert slow.log_prefix(text) == pytest.approx(truth.log_prefix(text), abs=1e-10)


def test_a_long_text_is_let_go_of_on_a_small_stack() -> None:
    sampler = small()

    def grow() -> None:
        assert len(sampler.state(b"ab ba " * 10_000).prefix) == 60_000

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=grow)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert not thread.is_alive()


def test_what_is_no_model_is_named() -> None:
    sampler = small()
    for call, message in {
        lambda: bt.ByteSampler("smollm2"): "is a str; expected a TokenLM",  # type: ignore[arg-type]
        lambda: bt.complete("smollm2", "a"): "is a str; expected a byte model",  # type: ignore[arg-type]
        lambda: bt.complete(sampler.lm, "a"): r"wrap it: ByteSampler\(lm\)",  # type: ignore[arg-type]
        lambda: bt.fill(sampler.lm, "a", "b"): r"wrap it: ByteSampler\(lm\)",  # type: ignore[arg-type]
        lambda: bt.Mixture([sampler.lm]): "member 0 is a TokenLM",  # type: ignore[list-item]
        lambda: bt.Mixture(sampler): "takes a list of byte models",  # type: ignore[arg-type]
        lambda: bt.Mixture([sampler], [sampler]): "expected a list of 1 numbers",  # type: ignore[list-item]
        lambda: bt.complete(sampler, "a", temperature="0"): "temperature is '0', a str",  # type: ignore[arg-type]
        lambda: ByteSampler(sampler.lm, prompt_ids="ab"): "prompt_ids is a str",  # type: ignore[arg-type]
        lambda: ByteSampler(sampler.lm, ahead=-1): "ahead is -1",
    }.items():
        with pytest.raises(SamplingError, match=message):
            call()
    with pytest.raises(EncodingError, match="push takes a byte"):
        sampler.state().push("b")  # type: ignore[arg-type]


def test_values_say_what_they_are() -> None:
    sampler = small(epsilon=0.01)
    assert repr(sampler).startswith("ByteSampler(")
    assert "law='canonical', epsilon=0.01" in repr(sampler)
    assert "behind 2 bytes, b'ab'" in repr(sampler.state("ab"))
    assert repr(bt.Mixture([sampler, sampler])).startswith("Mixture([ByteSampler(")
    assert "Mixture of 1 behind b'ab'" in repr(bt.Mixture([sampler]).state("ab"))


@pytest.mark.parametrize("epsilon", [0.0, 0.05])
def test_threads_may_share_a_state(epsilon: float) -> None:
    sampler = small(epsilon=epsilon)
    text = b"ab a baab ab"
    expected = [small(epsilon=epsilon).state(text[:end]).next_byte() for end in range(len(text))]
    for _ in range(10):
        states = [sampler.state()]
        for byte in text[:-1]:
            states.append(states[-1].push(byte))
        found: list[list[np.ndarray]] = [[] for _ in range(6)]

        def ask(number: int, states: list[Any] = states, found: list[list[np.ndarray]] = found) -> None:
            order = states if number % 2 else states[::-1]
            tables = [state.next_byte() for state in order]
            found[number] = tables if number % 2 else tables[::-1]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for tables in found:
            assert len(tables) == len(text)
            for table, exact in zip(tables, expected, strict=True):
                assert np.abs(np.exp(table) - np.exp(exact)).sum() / 2 <= 2 * epsilon + 1e-12
