"""Completing texts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from byte_models import AtMostTwo, TableModel, fixed_model, log_prefix, ngram_model, random_model
from hypothesis import given
from hypothesis import strategies as st

from bytetok.errors import ConstraintError, EncodingError, ImpossibleByteError, SamplingError
from bytetok.sampling.complete import Completion, complete, sample, stream
from bytetok.sampling.ensembles import Mixture, Product
from bytetok.sampling.protocol import STOP, SYMBOLS

TEXT = "The naïve café sells 日本 tea. The naïve café closes at 10. 😀 Ünïcödé! " * 3
NGRAM = ngram_model(TEXT.encode())
UNIFORM = TableModel(lambda _: np.ones(SYMBOLS))
ENDLESS = fixed_model({**dict.fromkeys(b"abc", 1.0)})


def spelling(text: str | bytes) -> TableModel:
    """A model that nearly always writes one text, and then stops."""
    data = text.encode() if isinstance(text, str) else text

    def probabilities(context: bytes) -> np.ndarray:
        values = np.full(SYMBOLS, 1e-6)
        values[data[len(context)] if len(context) < len(data) else STOP] = 1.0
        return values

    return TableModel(probabilities)


def test_a_greedy_completion_by_hand() -> None:
    model = spelling("ab日c")
    done = complete(model, "a", temperature=0)
    assert (done.text, done.bytes, done.stop_reason) == ("b日c", "b日c".encode(), "stop")
    assert done.logprobs is not None
    assert done.logprobs.shape == (5,)
    assert done.logprob == pytest.approx(log_prefix(model, "ab日c".encode()) - log_prefix(model, b"a"))


def test_the_prompt_may_end_anywhere() -> None:
    whole = "ab日c".encode()
    for at in range(len(whole) + 1):
        done = complete(spelling(whole), whole[:at], temperature=0)
        assert whole[:at] + done.bytes == whole
        # The character that the prompt began is the first of the text.
        assert done.text == ("ab日c"[min(at, 2) :] if at < 5 else "ab日c"[at - 2 :])
        assert "".join(stream(spelling(whole), whole[:at], temperature=0)) == done.text


def test_max_bytes_ends_before_a_character_that_does_not_fit() -> None:
    model, reasons = spelling("é日x"), []
    for size in range(8):
        done = complete(model, "", max_bytes=size, temperature=0)
        assert done.bytes == "é日x".encode()[: [0, 0, 2, 2, 2, 5, 6, 6][size]]
        assert done.logprobs is not None
        assert len(done.logprobs) == len(done.bytes)
        assert "".join(stream(model, "", max_bytes=size, temperature=0)) == done.text
        reasons.append(done.stop_reason)
    assert reasons == ["max_bytes"] * 7 + ["stop"]
    raw = complete(model, "", max_bytes=3, temperature=0, valid_utf8=False)
    assert raw.bytes == "é日".encode()[:3]
    assert raw.text == "é\ufffd"
    assert "".join(stream(model, "", max_bytes=3, temperature=0, valid_utf8=False)) == raw.text


def test_the_model_is_not_asked_for_more_than_is_wanted() -> None:
    model = spelling("abcdef")
    complete(model, "ab", max_bytes=3, temperature=0)
    assert model.calls == [b"ab", b"abc", b"abcd"]
    model.calls.clear()
    assert complete(model, "ab", max_bytes=0).text == ""
    assert model.calls == []
    pieces = stream(model, "", temperature=0)
    assert next(pieces) == "a"
    assert model.calls == [b""]


@pytest.mark.parametrize(
    ("stop", "text", "reason"),
    [
        ("c", "ab", "stop_string"),
        (["c"], "ab", "stop_string"),
        (b"bc", "a", "stop_string"),
        (["cd", "bc"], "a", "stop_string"),
        (["c", "abc", "bc"], "", "stop_string"),  # three end at the same byte: the longest began first
        (["de", "cdx"], "abc", "stop_string"),
        ("é", "abcde", "stop_string"),
        (b"\xa9", "abcde", "stop_string"),  # the second byte of é, whose first is then left out
        (["x", "bd"], "abcdeé", "stop"),
        ((), "abcdeé", "stop"),
    ],
)
def test_stop_strings(stop: Any, text: str, reason: str) -> None:
    model = spelling("--abcdeé")
    done = complete(model, "--", temperature=0, stop=stop)
    assert (done.text, done.stop_reason) == (text, reason)
    assert done.logprobs is not None
    assert len(done.logprobs) == len(done.bytes)
    assert "".join(stream(model, "--", temperature=0, stop=stop)) == text


def test_a_stop_string_that_begins_in_the_prompt_is_not_looked_for() -> None:
    assert complete(spelling("abcabd"), "ab", temperature=0, stop="abc").text == "cabd"


def test_a_stream_holds_back_what_may_become_a_stop_string() -> None:
    pieces = list(stream(spelling("a##b###c"), "", temperature=0, stop="###"))
    assert pieces == ["a", "##b"]
    assert list(stream(spelling("a##"), "", temperature=0, stop="###")) == ["a", "##"]


@given(
    st.integers(0, 2**32),
    st.integers(0, 30),
    st.lists(st.sampled_from(["e", "é", " c", "日", "naï", b"\xaf", "The"]), max_size=2),
    st.binary(max_size=3).map(lambda data: TEXT.encode()[: 4 + len(data)]),
    st.booleans(),
    st.sampled_from([NGRAM, UNIFORM, Product([NGRAM, UNIFORM])]),
)
def test_a_stream_joined_is_the_completion_and_no_piece_ends_inside_a_character(
    seed: int, max_bytes: int, stop: list[str | bytes], prompt: bytes, valid_utf8: bool, model: Any
) -> None:
    options: dict[str, Any] = {"max_bytes": max_bytes, "stop": stop, "valid_utf8": valid_utf8}
    done = complete(model, prompt, seed=seed, **options)
    pieces = list(stream(model, prompt, seed=seed, **options))
    assert "".join(pieces) == done.text
    assert all(pieces)
    assert len(done.bytes) <= max_bytes
    assert not any((one.encode() if isinstance(one, str) else one) in done.bytes for one in stop)
    if valid_utf8:
        assert "\ufffd" not in done.text
        assert not done.bytes or (prompt + done.bytes).decode().endswith(done.text)
    assert complete(model, prompt, seed=seed, **options).bytes == done.bytes


def test_valid_utf8_never_stops_inside_a_character() -> None:
    stopping = fixed_model({0xE6: 0.3, 0x97: 0.1, 0xA5: 0.1, 97: 0.1, STOP: 0.4})
    for done in sample(stopping, 50, prompt=b"\xe6", seed=0):
        (b"\xe6" + done.bytes).decode()
    with pytest.raises(ImpossibleByteError, match="all that is allowed after b'\\\\xe6'"):
        complete(fixed_model({0xE6: 0.5, 97: 0.5}), b"\xe6")


def test_samples_have_the_distribution_of_the_model() -> None:
    model = random_model(5, b"ab")
    done = sample(model, 4_000, prompt="b", seed=1, max_bytes=2)
    counts = Counter(one.bytes for one in done)
    expected = {
        text: math.exp(log_prefix(model, b"b" + text) - log_prefix(model, b"b"))
        * (math.exp(model.table(b"b" + text)[STOP]) if len(text) < 2 else 1)
        for text in (b"", b"a", b"b", b"aa", b"ab", b"ba", b"bb")
    }
    assert sum(expected.values()) == pytest.approx(1)
    square = sum((counts[text] - 4_000 * share) ** 2 / (4_000 * share) for text, share in expected.items())
    assert square < 22.46  # 6 degrees of freedom, one in a thousand


def test_seeds_and_samples() -> None:
    assert complete(NGRAM, "The", seed=3).bytes == complete(NGRAM, "The", seed=3).bytes
    rng = np.random.default_rng(3)
    assert complete(NGRAM, "The", seed=rng).bytes == complete(NGRAM, "The", seed=3).bytes
    five, two = (sample(NGRAM, n, prompt="The", seed=9, max_bytes=40) for n in (5, 2))
    assert [one.bytes for one in five[:2]] == [one.bytes for one in two]
    assert len({one.bytes for one in five}) > 2
    assert sample(NGRAM, 0) == []
    assert sample(spelling("ab"), temperature=0)[0].bytes == b"ab"


@given(st.integers(0, 2**32), st.sampled_from([r"\d{3}-\d{4}", "(yes|no)", r"[\w日]+ [^\x00-\x7f]{2,3}", ""]))
def test_a_regex_limits_the_output(seed: int, regex: str) -> None:
    done = complete(Mixture([NGRAM, UNIFORM]), "The ", seed=seed, regex=regex, max_bytes=2_000)
    assert re.fullmatch(regex, done.text)
    assert done.stop_reason == ("stop" if "+" in regex and len(done.text.split()[-1]) < 3 else "constraint")
    # Logs are those of the model, not of what the constraint left.
    assert done.logprob == pytest.approx(
        sum(Mixture([NGRAM, UNIFORM]).next_byte(b"The " + done.bytes[:at])[b] for at, b in enumerate(done.bytes))
    )


def test_a_regex_begins_behind_the_character_that_the_prompt_began() -> None:
    model = spelling("日5x")
    done = complete(model, "日".encode()[:2], regex="[0-9]", temperature=0)
    assert (done.text, done.stop_reason) == ("日5", "constraint")
    # If bytes are only bytes, the regex is for the first of them.
    done = complete(model, "日".encode()[:2], regex="[0-9]", temperature=0, valid_utf8=False)
    assert done.bytes == b"0"


def test_other_limits() -> None:
    assert complete(UNIFORM, "", constraint=AtMostTwo(), seed=0).text == "aa"
    assert complete(spelling("12345"), "", regex=r"\d+", max_bytes=3, temperature=0).stop_reason == "max_bytes"
    assert complete(spelling("12"), "", regex=r"\d+", temperature=0).stop_reason == "stop"
    assert complete(spelling("1234"), "", regex=r"\d+", stop="3", temperature=0).text == "12"
    assert set(complete(ENDLESS, "", top_k=1, seed=0, max_bytes=9).text) == {"a"}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"max_bytes": -1}, SamplingError, "max_bytes"),
        ({"stop": ""}, SamplingError, "empty"),
        ({"stop": ["a", b""]}, SamplingError, "empty"),
        ({"temperature": -1}, SamplingError, "temperature"),
        ({"top_k": 0}, SamplingError, "top_k"),
        ({"top_p": 0}, SamplingError, "top_p"),
        ({"min_p": 2}, SamplingError, "min_p"),
        ({"seed": -1}, SamplingError, "seed"),
        ({"regex": "("}, ConstraintError, "compile"),
        ({"regex": r"[^\s\S]"}, ConstraintError, "no text"),
        ({"regex": "a", "constraint": AtMostTwo()}, SamplingError, "both"),
        ({"stop": [1]}, EncodingError, "int"),
    ],
)
def test_bad_options_are_named_before_anything_is_written(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    for function in (complete, stream):
        with pytest.raises(error, match=words):
            function(UNIFORM, "", **options)
    with pytest.raises(SamplingError, match="n is -1"):
        sample(UNIFORM, -1)


class Fast(TableModel):
    """A model that also writes several bytes at once; ``fast`` counts how often it was asked to."""

    fast = 0

    def __init__(self, probabilities: Callable[[bytes], np.ndarray], size: int = 3) -> None:
        super().__init__(probabilities)
        self.size = size

    def complete_tokens(self, prefix: bytes, rng: np.random.Generator) -> Iterator[bytes]:
        self.fast += 1
        text, piece = prefix, b""
        while True:
            symbol = int(rng.choice(SYMBOLS, p=np.exp(self.table(text))))
            if symbol == STOP:
                break
            text += bytes([symbol])
            piece += bytes([symbol])
            if len(piece) == self.size:
                yield piece
                piece = b""
        yield piece


def test_a_model_that_completes_by_tokens_does_so_where_it_may() -> None:
    model = Fast(fixed_model({97: 0.5, 98: 0.4, STOP: 0.1}).probabilities)
    done = complete(model, "", seed=0)
    assert (model.fast, model.calls, done.logprobs, done.logprob) == (1, [], None, None)
    assert done.stop_reason == "stop"
    assert complete(model, "", seed=0, max_bytes=2).bytes == done.bytes[:2]
    assert "".join(stream(model, "", seed=0)) == done.text
    before = model.fast
    for options in ({"temperature": 0}, {"top_k": 2}, {"regex": "a*"}, {"logprobs": True}, {"temperature": 0.5}):
        slow: Completion = complete(model, "", seed=0, max_bytes=4, **options)  # type: ignore[arg-type]
        assert slow.logprobs is not None
    complete(Mixture([model]), "", seed=0, max_bytes=4)
    assert model.fast == before


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("valid_utf8", [True, False])
def test_bytes_by_tokens_have_the_distribution_of_bytes_one_by_one(size: int, valid_utf8: bool) -> None:
    # é, with stops and letters inside of it that only a model without the limit may write.
    values = {0xC3: 0.4, 0xA9: 0.2, 97: 0.2, STOP: 0.2}
    fast, slow = Fast(fixed_model(values).probabilities, size), fixed_model(values)
    options: dict[str, Any] = {"max_bytes": 3, "valid_utf8": valid_utf8}
    both = [Counter(one.bytes for one in sample(m, 4_000, seed=s, **options)) for m, s in ((fast, 1), (slow, 2))]
    assert fast.fast == 4_000
    common = [text for text in both[1] if both[0][text] + both[1][text] > 20]
    square = sum((both[0][t] - both[1][t]) ** 2 / (both[0][t] + both[1][t]) for t in common)
    # Two samples of the same distribution: chi-square, with mean and variance of its degrees of freedom.
    assert square < len(common) + 4 * math.sqrt(2 * len(common))
    if valid_utf8:
        for text in both[0]:
            text.decode()
