"""Mixtures, products and proxies of byte models."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from byte_models import (
    TableModel,
    TableState,
    WithLogPrefix,
    fixed_model,
    log_prefix,
    log_text,
    random_model,
    texts,
)
from hypothesis import given
from hypothesis import strategies as st

from bytetok.errors import EncodingError, ImpossibleByteError, SamplingError
from bytetok.sampling.ensembles import Mixture, Product, Proxy
from bytetok.sampling.protocol import STOP, SYMBOLS, ByteModel, as_bytes, pushed_bytes

A, B = ord("a"), ord("b")


def log_sum(logs: np.ndarray, axis: int | None = None) -> Any:
    return np.logaddexp.reduce(logs, axis=axis)


def chain(model: ByteModel, text: bytes) -> float:
    """Natural log of the probability of exactly this text, from next-byte tables and pushes."""
    state, log = model.state(b""), 0.0
    for byte in text:
        table = state.next_byte()
        assert log_sum(table) == pytest.approx(0, abs=1e-12)
        log += table[byte]
        if table[byte] == -math.inf:
            return -math.inf
        state = state.push(byte)
    return log + float(state.next_byte()[STOP])


MEMBERS = [random_model(seed) for seed in (1, 2, 3)]


@pytest.mark.parametrize("kind", [TableModel, WithLogPrefix])
@pytest.mark.parametrize("zeros", [0.0, 0.3])
@pytest.mark.parametrize("start", [None, [5, 1, 2]])
def test_a_bayesian_mixture_is_the_mean_of_the_probabilities_of_strings(
    kind: type[TableModel], zeros: float, start: list[float] | None
) -> None:
    members = [random_model(seed, zeros=zeros, kind=kind) for seed in (4, 5, 6)]
    mixture = Mixture(members, "bayes", start=start)
    shares = np.array(start or [1, 1, 1]) / sum(start or [1, 1, 1])
    for text in texts(b"ab", 5):
        expected = log_sum(np.log(shares) + [log_text(model, text) for model in members])
        assert chain(mixture, text) == pytest.approx(expected, abs=1e-12)


@given(st.text("ab", max_size=6), st.text("ab", max_size=6), st.sampled_from([TableModel, WithLogPrefix]))
def test_a_state_of_a_prefix_is_the_state_that_was_pushed(one: str, two: str, kind: type[TableModel]) -> None:
    members = [random_model(seed, zeros=0.2, kind=kind) for seed in (1, 7)]
    proxy = Proxy(*members, members[0])
    for model in (Mixture(members, "bayes"), Mixture(members, [0.9, 0.1]), Product(members), proxy):
        try:
            whole = model.state(one + two)
        except ImpossibleByteError:
            with pytest.raises(ImpossibleByteError):
                model.state(one).push(two.encode())
            continue
        pushed = model.state(one).push(two.encode())
        assert whole.prefix == pushed.prefix == (one + two).encode()
        np.testing.assert_allclose(whole.next_byte(), pushed.next_byte(), atol=1e-12)
        np.testing.assert_array_equal(pushed.fork().next_byte(), pushed.next_byte())


def test_a_fixed_mixture_is_the_mean_of_tables() -> None:
    mixture = Mixture(MEMBERS, [1, 2, 5])
    for text in texts(b"ab", 4):
        expected = np.average(np.exp([model.table(text) for model in MEMBERS]), axis=0, weights=[1, 2, 5])
        np.testing.assert_allclose(np.exp(mixture.next_byte(text)), expected, atol=1e-14)
    np.testing.assert_allclose(mixture.state("ab").weights, [0.125, 0.25, 0.625])
    equal = np.mean(np.exp([model.table(b"a") for model in MEMBERS]), axis=0)
    np.testing.assert_allclose(np.exp(Mixture(MEMBERS).next_byte("a")), equal, atol=1e-14)


def test_a_product_is_the_geometric_mean() -> None:
    tables = np.array([model.table(b"ab") for model in MEMBERS])
    with np.errstate(invalid="ignore"):
        cases = [
            (Product(MEMBERS), tables.mean(axis=0)),
            (Product(MEMBERS, power=2), 2 * tables.mean(axis=0)),
            (Product(MEMBERS, [1, 0.5, 2]), np.array([1, 0.5, 2]) @ np.where(np.isfinite(tables), tables, -1e9)),
        ]
    for product, logs in cases:
        np.testing.assert_allclose(np.exp(product.next_byte("ab")), np.exp(logs - log_sum(logs)), atol=1e-12)


def test_a_proxy_is_the_difference_of_logs() -> None:
    base, expert, anti = ({A: 0.5, B: 0.3, STOP: 0.2}, {A: 0.1, B: 0.8, STOP: 0.1}, {A: 0.4, B: 0.4, STOP: 0.2})
    for alpha in (0, 0.5, 1, 3):
        proxy = Proxy(*map(fixed_model, (base, expert, anti)), alpha=alpha)
        expected = np.array([base[at] * (expert[at] / anti[at]) ** alpha for at in (A, B, STOP)])
        np.testing.assert_allclose(np.exp(proxy.next_byte(b"")[[A, B, STOP]]), expected / expected.sum(), atol=1e-12)


def test_zeros_of_a_proxy() -> None:
    base = fixed_model({A: 0.5, B: 0.3, STOP: 0.2})
    expert = fixed_model({A: 0.1, B: 0.8, STOP: 0.1})
    # The anti-expert cannot spell b: that counts as its floor, and does not become infinity.
    anti = fixed_model({A: 0.5, STOP: 0.5})
    weights = np.array([0.5 * 0.1 / 0.5, 0.3 * 0.8 / 0.01, 0.2 * 0.1 / 0.5])
    proxy = Proxy(base, expert, anti, anti_floor=0.01)
    np.testing.assert_allclose(np.exp(proxy.next_byte(b"")[[A, B, STOP]]), weights / weights.sum(), atol=1e-12)
    # Behind b the anti-expert is lost, and the base goes on alone.
    np.testing.assert_allclose(proxy.next_byte(b"b"), base.table(b""))
    assert proxy.state(b"b").members[2] is None
    # What is impossible to the expert is impossible, also when the base goes on alone.
    proxy = Proxy(base, fixed_model({B: 0.8, STOP: 0.2}), anti)
    for text in (b"", b"b"):
        assert proxy.next_byte(text)[A] == -math.inf
        with pytest.raises(ImpossibleByteError, match=r"members \[1"):
            proxy.state(text).push(A)
    # Without the steering, the expert does not matter.
    np.testing.assert_allclose(Proxy(base, fixed_model({B: 1}), anti, alpha=0).next_byte(b"a"), base.table(b""))
    # Nothing is possible to all.
    with pytest.raises(ImpossibleByteError, match="no byte possible"):
        Proxy(fixed_model({A: 1}), fixed_model({B: 1}), anti).next_byte(b"")


@pytest.mark.parametrize("weights", [None, "bayes", [3, 1]])
def test_a_dead_member_leaves_a_mixture(weights: Any) -> None:
    only_a, both = fixed_model({A: 0.9, STOP: 0.1}), fixed_model({A: 0.2, B: 0.7, STOP: 0.1})
    mixture = Mixture([only_a, both], weights)
    state = mixture.state(b"a").push(B)
    np.testing.assert_allclose(state.weights, [0, 1])
    np.testing.assert_allclose(state.next_byte(), both.table(b""))
    np.testing.assert_allclose(mixture.next_byte(b"ab"), both.table(b""))
    with pytest.raises(ImpossibleByteError, match=r"members \[0, 1\] of 2"):
        state.push(b"ac")
    with pytest.raises(ImpossibleByteError, match="b'c'"):
        mixture.state(b"c")


def test_a_dead_member_makes_a_product_impossible() -> None:
    product = Product([fixed_model({A: 0.9, STOP: 0.1}), fixed_model({A: 0.2, B: 0.7, STOP: 0.1})])
    assert product.next_byte(b"")[B] == -math.inf
    with pytest.raises(ImpossibleByteError, match="Product has no answer"):
        product.state(b"").push(B)
    with pytest.raises(ImpossibleByteError, match="leaves no byte possible"):
        Product([fixed_model({A: 1}), fixed_model({B: 1})]).next_byte(b"")


class Lazy(TableModel):
    """A model that notices only at the next table that what it read is impossible."""

    def state(self, prefix: bytes | str = b"") -> Any:
        outer = self

        class State(TableState):
            def push(self, byte: int | bytes) -> State:
                return State(outer, self.prefix + pushed_bytes(byte))

            def next_byte(self) -> np.ndarray:
                if log_prefix(outer, self.prefix) == -math.inf:
                    raise ImpossibleByteError(f"{self.prefix!r}")
                return super().next_byte()

            @property
            def log_prefix(self) -> float:
                outer.calls.append(self.prefix)
                return log_prefix(outer, self.prefix)

        return State(self, as_bytes(prefix))


@pytest.mark.parametrize("weights", [None, "bayes"])
def test_members_that_notice_late_that_they_are_dead(weights: Any) -> None:
    only_a, both = Lazy(fixed_model({A: 0.9, STOP: 0.1}).probabilities), fixed_model({A: 0.2, B: 0.7, STOP: 0.1})
    mixture = Mixture([only_a, both], weights)
    for state in (mixture.state(b"ab"), mixture.state(b"").push(b"ab")):
        np.testing.assert_allclose(state.next_byte(), both.table(b""))
    for ensemble in (Mixture([only_a, only_a], weights), Product([only_a, both]), Proxy(only_a, both, both)):
        with pytest.raises(ImpossibleByteError):
            ensemble.next_byte(b"ab")


def test_a_text_is_read_at_once_where_the_states_know_their_prefix() -> None:
    members = [Lazy(model.probabilities) for model in MEMBERS]
    Mixture(members, "bayes").state(b"").push(b"abba" * 5).next_byte()
    # Before, behind, and the table; not one for each byte.
    assert [len(model.calls) for model in members] == [3, 3, 3]


def test_a_member_of_weight_zero_is_not_asked() -> None:
    never = fixed_model({B: 1.0})
    for ensemble in (Mixture([MEMBERS[0], never], [1, 0]), Product([MEMBERS[0], never], [1, 0])):
        np.testing.assert_allclose(ensemble.next_byte(b"aa"), MEMBERS[0].table(b"aa"), atol=1e-12)
    assert never.calls == []


def test_ensembles_nest() -> None:
    inner = Mixture(MEMBERS[:2], "bayes")
    outer = Mixture([inner, MEMBERS[2]], "bayes", start=[2, 1])
    flat = Mixture(MEMBERS, "bayes")
    for text in texts(b"ab", 4):
        np.testing.assert_allclose(outer.next_byte(text), flat.next_byte(text), atol=1e-12)
    mean = Product([Proxy(*MEMBERS), Mixture(MEMBERS)]).next_byte(b"ab")
    assert log_sum(mean) == pytest.approx(0, abs=1e-12)


def test_members_may_have_prompts_of_their_own() -> None:
    prompts = [b"ba", b"", b"aab"]
    mixture = Mixture(MEMBERS, "bayes")
    state = mixture.state(b"", prefixes=prompts)
    np.testing.assert_allclose(state.weights, 1 / 3)  # different texts are no evidence
    for text in texts(b"ab", 4):
        own = [log_prefix(m, p + text) - log_prefix(m, p) for m, p in zip(MEMBERS, prompts, strict=True)]
        weights = np.exp(own - log_sum(np.array(own)))
        tables = np.exp([m.table(p + text) for m, p in zip(MEMBERS, prompts, strict=True)])
        for behind in (state.push(text), mixture.state(text, prefixes=prompts)):
            assert behind.prefix == text
            np.testing.assert_allclose(behind.weights, weights, atol=1e-12)
            np.testing.assert_allclose(np.exp(behind.next_byte()), weights @ tables, atol=1e-12)
    with pytest.raises(SamplingError, match="2 prefixes for 3 members"):
        mixture.state(b"", prefixes=[b"", b""])


def test_evidence_of_long_texts_does_not_underflow() -> None:
    fair, unfair = fixed_model({A: 0.5, B: 0.5}), fixed_model({A: 0.501, B: 0.499})
    state = Mixture([fair, unfair], "bayes").state(b"ab" * 3_000)
    ratio = 3_000 * math.log(0.501 * 0.499 / 0.25)
    np.testing.assert_allclose(state.weights, np.array([1, math.exp(ratio)]) / (1 + math.exp(ratio)), rtol=1e-6)


def test_threads_are_used_only_if_asked_for_and_change_nothing() -> None:
    names: set[str] = set()

    def noting(model: TableModel) -> TableModel:
        def probabilities(text: bytes) -> np.ndarray:
            names.add(threading.current_thread().name)
            return model.probabilities(text)

        return TableModel(probabilities)

    members = [noting(model) for model in MEMBERS]
    alone = [kind(members).next_byte("abba") for kind in (Mixture, Product)]
    assert names == {threading.main_thread().name}
    names.clear()
    shared = [kind(members, threads=True).next_byte("abba") for kind in (Mixture, Product)]
    assert threading.main_thread().name not in names
    np.testing.assert_array_equal(alone, shared)


def test_members_are_normalized_first() -> None:
    class Leaky(TableModel):
        def table(self, text: bytes) -> np.ndarray:
            return super().table(text) - 0.7

    np.testing.assert_allclose(
        Mixture([Leaky(MEMBERS[0].probabilities), MEMBERS[1]]).next_byte(b"a"),
        Mixture(MEMBERS[:2]).next_byte(b"a"),
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mixture([]), "no members"),
        (lambda: Product([]), "no members"),
        (lambda: Mixture(MEMBERS, [1, 2]), "for 3 members"),
        (lambda: Mixture(MEMBERS, [1, -1, 1]), "from 0 up"),
        (lambda: Mixture(MEMBERS, [0, 0, 0]), "not all of them 0"),
        (lambda: Mixture(MEMBERS, [1, math.nan, 1]), "from 0 up"),
        (lambda: Mixture(MEMBERS, "uniform"), "bayes"),
        (lambda: Mixture(MEMBERS, start=[1, 1, 1]), "start weights"),
        (lambda: Product(MEMBERS, power=0), "power"),
        (lambda: Product(MEMBERS, [1, math.inf, 1]), "from 0 up"),
        (lambda: Proxy(*MEMBERS, alpha=-1), "alpha"),
        (lambda: Proxy(*MEMBERS, alpha=math.nan), "alpha"),
        (lambda: Proxy(*MEMBERS, anti_floor=0), "anti_floor"),
        (lambda: Product(MEMBERS).state().weights, "no weights"),
        (lambda: Mixture([TableModel(lambda _: np.ones(256))]).next_byte(b""), r"\(256,\)"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], object], words: str) -> None:
    with pytest.raises(SamplingError, match=words):
        make()


def test_what_cannot_be_pushed() -> None:
    state = Mixture(MEMBERS).state(b"a")
    with pytest.raises(ImpossibleByteError, match="cannot be pushed"):
        state.push(STOP)
    with pytest.raises(ImpossibleByteError, match="-1"):
        state.push(-1)
    with pytest.raises(EncodingError, match="lone surrogate at character 1"):
        Mixture(MEMBERS).state("a\udc80")
    assert state.push(b"") is state
    assert state.next_byte().shape == (SYMBOLS,)
    with pytest.raises(ValueError, match="read-only"):
        state.next_byte()[0] = 1
