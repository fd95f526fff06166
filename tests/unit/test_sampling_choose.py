"""One symbol of 257."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytetok.errors import ImpossibleByteError, SamplingError
from bytetok.sampling.choose import Settings, choose, generator, generators, reshape
from bytetok.sampling.protocol import STOP, SYMBOLS, normalized


def logs_of(values: dict[int, float]) -> np.ndarray:
    table = np.zeros(SYMBOLS)
    table[list(values)] = list(values.values())
    with np.errstate(divide="ignore"):
        return np.log(table / table.sum())


LOGS = logs_of({97: 0.4, 98: 0.3, 99: 0.2, STOP: 0.1})


def kept(**settings: Any) -> dict[int, float]:
    probabilities = np.exp(reshape(LOGS, Settings(**settings)))
    return {int(at): round(float(probabilities[at]), 9) for at in np.flatnonzero(probabilities)}


def test_each_setting_by_hand() -> None:
    assert kept() == {97: 0.4, 98: 0.3, 99: 0.2, STOP: 0.1}
    assert kept(temperature=0) == {97: 1.0}
    assert kept(top_k=2) == {97: round(4 / 7, 9), 98: round(3 / 7, 9)}
    assert kept(top_p=0.4) == {97: 1.0}
    assert set(kept(top_p=0.41)) == {97, 98}
    assert set(kept(top_p=1.0)) == {97, 98, 99, STOP}
    assert set(kept(min_p=0.5)) == {97, 98, 99}
    assert set(kept(min_p=1.0)) == {97}
    # top-p counts among what top-k left: 4/7 alone reaches 0.5
    assert kept(top_k=2, top_p=0.5) == {97: 1.0}
    squared = np.array([16, 9, 4, 1]) / 30
    np.testing.assert_allclose(list(kept(temperature=0.5).values()), squared, atol=1e-8)


def test_temperature_comes_before_the_cuts() -> None:
    # At temperature 0.5 the first has 16/30 alone, at 1 only 0.4.
    assert set(kept(temperature=0.5, top_p=0.5)) == {97}
    assert set(kept(top_p=0.5)) == {97, 98}


def test_ties_go_to_the_lowest_byte() -> None:
    logs = logs_of({200: 1, 97: 1, 98: 1, STOP: 1})
    assert choose(logs, generator(0), temperature=0) == 97
    assert np.flatnonzero(np.isfinite(reshape(logs, Settings(top_k=2)))).tolist() == [97, 98]


@pytest.mark.parametrize("temperature", [1e-300, 1e-9, 1e300])
def test_extreme_temperatures_neither_overflow_nor_lose_what_is_possible(temperature: float) -> None:
    logs = reshape(LOGS, Settings(temperature))
    assert np.exp(logs).sum() == pytest.approx(1)
    if temperature < 1:
        assert choose(LOGS, generator(0), temperature) == 97
    else:
        np.testing.assert_allclose(np.exp(logs[[97, 98, 99, STOP]]), 0.25)


def test_draws_have_the_distribution() -> None:
    rng = generator(7)
    counts = np.bincount([choose(LOGS, rng) for _ in range(20_000)], minlength=SYMBOLS)
    expected = 20_000 * np.array([0.4, 0.3, 0.2, 0.1])
    observed = counts[[97, 98, 99, STOP]]
    assert observed.sum() == 20_000
    # chi-square with 3 degrees of freedom: 16.27 at one in a thousand
    assert ((observed - expected) ** 2 / expected).sum() < 16.27


class _End(np.random.Generator):
    def random(self, *_: Any, **__: Any) -> float:  # type: ignore[override]
        return math.nextafter(1.0, 0.0)


def test_the_last_number_of_all_draws_the_last_possible_symbol() -> None:
    logs = logs_of({97: 0.1, 98: 0.2, 99: 0.7})
    assert choose(logs, _End(np.random.PCG64(0))) == 99


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": math.nan}, "top_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"min_p": 2}, "min_p"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(SamplingError, match=word):
        choose(LOGS, generator(0), **settings)


def test_what_is_no_table_is_named() -> None:
    with pytest.raises(SamplingError, match=r"\(256,\)"):
        choose(np.zeros(256), generator(0))
    broken = LOGS.copy()
    broken[5] = math.nan
    with pytest.raises(SamplingError, match="nan at symbol 5"):
        choose(broken, generator(0))
    with pytest.raises(ImpossibleByteError, match="no byte possible"):
        choose(np.full(SYMBOLS, -math.inf), generator(0))


def test_seeds() -> None:
    draws = [[choose(LOGS, rng) for _ in range(20)] for rng in generators(3, 4)]
    again = [[choose(LOGS, rng) for _ in range(20)] for rng in generators(3, 2)]
    assert again == draws[:2]
    assert len({tuple(row) for row in draws}) == 4
    given_rng = np.random.default_rng(0)
    assert generator(given_rng) is given_rng
    for make in (generator, lambda seed: generators(seed, 1)):
        with pytest.raises(SamplingError, match="seed"):
            make(-1)


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(any),
    st.floats(0.05, 5),
    st.none() | st.integers(1, 5),
    st.none() | st.floats(0.01, 1),
    st.none() | st.floats(0, 1),
)
def test_whatever_the_settings_the_best_symbol_stays_and_all_sums_to_one(
    values: list[float], temperature: float, top_k: int | None, top_p: float | None, min_p: float | None
) -> None:
    logs = logs_of(dict(zip([0, 97, 255, STOP], values, strict=True)))
    shaped = reshape(logs, Settings(temperature, top_k, top_p, min_p))
    assert np.exp(shaped).sum() == pytest.approx(1)
    assert shaped[np.argmax(logs)] > -np.inf
    assert (np.isfinite(shaped) <= np.isfinite(logs)).all()
    if top_k is not None:
        assert np.isfinite(shaped).sum() <= top_k
    np.testing.assert_allclose(normalized(shaped, "it"), shaped, atol=1e-12)
