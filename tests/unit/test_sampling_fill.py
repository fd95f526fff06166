"""Infilling: by search, against brute force, and the prompts of models that were trained for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from byte_models import TableModel, fixed_model, log_prefix, ngram_model, random_model, texts
from hypothesis import given
from hypothesis import strategies as st

from bytetok.errors import ImpossibleByteError, SamplingError
from bytetok.sampling.constraints import ByteRegex
from bytetok.sampling.ensembles import Mixture
from bytetok.sampling.fill import fill
from bytetok.sampling.infilling import InfillingFormat, infilling_format, infilling_model
from bytetok.sampling.join import join
from bytetok.sampling.protocol import STOP, ByteModel
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.tokenizer.vocab import CharacterScheme, Vocab, special_tokens_from


def brute_force(
    model: TableModel, prefix: bytes, suffix: bytes, alphabet: bytes, max_bytes: int
) -> list[tuple[bytes, float]]:
    """All middles, best first."""
    found = []
    for middle in texts(alphabet, max_bytes):
        text = prefix + middle + suffix
        log = log_prefix(model, text) - log_prefix(model, prefix)
        if not suffix:
            log += float(model.table(text)[STOP])
        if log > -math.inf:
            found.append((middle, log))
    return sorted(found, key=lambda one: -one[1])


@given(
    st.integers(0, 1_000),
    st.text("ab", max_size=2).map(str.encode),
    st.text("ab", max_size=4).map(str.encode),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.4]),
)
def test_the_search_finds_what_brute_force_finds(
    seed: int, prefix: bytes, suffix: bytes, max_bytes: int, zeros: float
) -> None:
    model = random_model(seed, zeros=zeros)
    if log_prefix(model, prefix) == -math.inf:
        return
    expected = brute_force(model, prefix, suffix, b"ab", max_bytes)
    if not expected:
        with pytest.raises(ImpossibleByteError, match="no middle of up to"):
            join(model, prefix, suffix, max_bytes=max_bytes)
        return
    found = join(model, prefix, suffix, max_bytes=max_bytes, n=5)
    assert found.is_exact
    np.testing.assert_allclose([one.logprob for one in found.middles], [log for _, log in expected[:5]], atol=1e-9)
    for one in found.middles:
        assert dict(expected)[one.bytes] == pytest.approx(one.logprob)
        assert one.logprobs.sum() == pytest.approx(log_prefix(model, prefix + one.bytes) - log_prefix(model, prefix))


def test_no_table_is_asked_for_twice_and_no_text_that_costs_more_than_the_best() -> None:
    model = random_model(3)
    model.calls.clear()
    found = join(model, b"a", b"bba", max_bytes=8)
    assert len(model.calls) == len(set(model.calls)) == found.evaluations
    best = found.middles[0].logprob
    for text in model.calls:
        assert log_prefix(model, text) - log_prefix(model, b"a") >= best - 1e-12


@given(st.integers(0, 100), st.integers(1, 3))
def test_a_beam_says_when_it_may_have_lost_something(seed: int, beam: int) -> None:
    model = random_model(seed, b"abc")
    [best] = join(model, b"", b"cab", max_bytes=5).middles
    found = join(model, b"", b"cab", max_bytes=5, beam=beam)
    assert found.middles[0].logprob <= best.logprob + 1e-12
    if found.is_exact:
        assert found.middles[0].bytes == best.bytes
    assert join(model, b"", b"cab", max_bytes=5, beam=3**5).middles[0].bytes == best.bytes


def test_a_beam_is_a_beam() -> None:
    # Of each length only the most probable one: the search goes where each byte is the best, and joins from there.
    model = random_model(8, b"abc", stop=False)
    found = join(model, b"", b"ab", max_bytes=6, beam=1, n=7)
    greedy = b""
    for _ in range(6):
        greedy += bytes([int(np.argmax(model.table(greedy)))])
    assert {one.bytes for one in found.middles} <= {greedy[:size] for size in range(7)}
    assert not found.is_exact


def test_when_the_budget_ends_what_is_nearest_to_the_end_is_returned() -> None:
    model = random_model(2, b"abc")
    [best] = join(model, b"", b"abcabc", max_bytes=6).middles
    for budget in (1, 2, 5, 20):
        found = join(model, b"", b"abcabc", max_bytes=6, max_evaluations=budget)
        assert not found.is_exact
        assert found.evaluations <= budget + 6
        [one] = found.middles
        assert one.logprob <= best.logprob + 1e-12
        assert one.logprob == pytest.approx(log_prefix(model, one.bytes + b"abcabc"))
    assert join(model, b"", b"abcabc", max_bytes=6, max_evaluations=100_000).is_exact


def test_only_the_first_bytes_of_the_suffix_count() -> None:
    model = random_model(4)
    [short] = join(model, b"", b"abbb", max_bytes=3, join_bytes=2).middles
    assert short == join(model, b"", b"ab", max_bytes=3).middles[0]
    assert join(model, b"", b"abbb", max_bytes=3, join_bytes=None).middles[0].logprob == pytest.approx(
        brute_force(model, b"", b"abbb", b"ab", 3)[0][1]
    )


def test_middles_are_whole_characters_with_what_is_around_them() -> None:
    # Half characters are what this model likes best.
    model = fixed_model({0xC3: 0.5, 0xA9: 0.3, 97: 0.1, 98: 0.1})
    for prefix, suffix in ((b"", b"b"), (b"\xc3", b"b"), (b"a", b"\xa9b"), (b"\xc3", b"\xa9"), (b"", b"")):
        source = model if suffix else fixed_model({0xC3: 0.4, 0xA9: 0.3, 97: 0.1, 98: 0.1, STOP: 0.1})
        for one in join(source, prefix, suffix, max_bytes=3, n=10).middles:
            (prefix + one.bytes + suffix).decode()
    raw = join(model, b"", b"b", max_bytes=1, n=3, valid_utf8=False)
    assert [one.bytes for one in raw.middles] == [b"", b"\xc3", b"\xa9"]


def test_a_constraint_on_the_middle() -> None:
    model = random_model(6)
    wanted = [one for one in brute_force(model, b"", b"ab", b"ab", 5) if ByteRegex("b(a|b){2,3}").matches(one[0])]
    found = join(model, b"", b"ab", max_bytes=5, n=20, constraint=ByteRegex("b(a|b){2,3}"))
    np.testing.assert_allclose([one.logprob for one in found.middles], [log for _, log in wanted][:20], atol=1e-9)
    with pytest.raises(ImpossibleByteError):
        join(model, b"", b"ab", max_bytes=1, constraint=ByteRegex("bb"))


@pytest.mark.parametrize(
    "limits", [{"max_bytes": -1}, {"n": 0}, {"beam": 0}, {"max_evaluations": 0}, {"join_bytes": 0}]
)
def test_limits_out_of_range_are_named(limits: dict[str, int]) -> None:
    with pytest.raises(SamplingError, match=next(iter(limits))):
        join(random_model(0), b"", b"a", **limits)  # type: ignore[arg-type]


def test_fill_by_search() -> None:
    code = "def add(a, b):\n    return a + b\n\nprint(add(1, 2))\n"
    model = ngram_model((code * 3).encode(), order=6)
    at = code.index("ret") + 3
    end = code.index("\n\nprint")
    done = fill(model, code[:at], code[end:], join_bytes=8)
    assert (done.text, done.stop_reason) == ("urn a + b", "suffix")
    assert done.logprobs is not None
    assert done.logprob == pytest.approx(log_prefix(model, code[:end].encode()) - log_prefix(model, code[:at].encode()))
    # An ensemble has no tokens of its own, and is searched as well.
    assert fill(Mixture([model, model]), prefix=code[:at], suffix=code[end:], join_bytes=8).text == "urn a + b"
    # A regex is for what follows the character that the prefix began, which is finished first.
    both = fill(model, "é".encode()[:1], "b", regex="b", max_bytes=4)
    assert both.bytes[1:] == b"b"
    assert both.text == (b"\xc3" + both.bytes).decode()


# Prompts of models that were trained for it ---------------------------------------------------------------------------


def byte_tokenizer(specials: Sequence[str]) -> Tokenizer:
    """Bytes, "ab", and control tokens."""
    added = special_tokens_from(specials, 257)
    tokens = (*(bytes([b]) for b in range(256)), b"ab", *(text.encode() for text in added))
    return Tokenizer(Vocab(tokens, ((97, 98),), added), SplitPattern.of("gpt2"))


FAMILIES = {
    "starcoder": ["<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<|endoftext|>"],
    "santacoder": ["<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>", "<|endoftext|>"],
    "deepseek": ["<｜fim▁begin｜>", "<｜fim▁end｜>", "<｜fim▁hole｜>", "<｜end▁of▁sentence｜>", "<|EOT|>"],
    "qwen": ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|endoftext|>"],
    "codegemma": ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file_separator|>", "<eos>"],
    "codellama": ["▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>", "</s>"],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_told_by_its_tokens(family: str) -> None:
    tokenizer = byte_tokenizer(FAMILIES[family])
    found = infilling_format(tokenizer)
    assert found is not None
    assert (found.family, found.prefix_id, found.middle_id, found.suffix_id) == (family, 257, 258, 259)
    assert set(found.stop_ids) == {260, 261}
    assert found.orders == (("psm",) if family in ("qwen", "deepseek") else ("psm", "spm"))
    ids, begun = found.prompt_ids(tokenizer, "ab<", "b" + FAMILIES[family][0])
    # The text of a control token in the suffix is text.
    assert ids == [257, 256, ord("<"), 259, ord("b"), *FAMILIES[family][0].encode(), 258]
    assert begun == b""
    ids, begun = found.prompt_ids(tokenizer, "xa", "bab", "spm")
    assert (ids, begun) == ([257, 259, ord("b"), 256, 258], b"xa")
    with pytest.raises(SamplingError, match="mps"):
        found.prompt_ids(tokenizer, "", "", "mps")  # type: ignore[arg-type]


@pytest.mark.parametrize("specials", [[], ["<fim_prefix>", "<fim_suffix>"], ["<|endoftext|>"]])
def test_a_tokenizer_without_the_tokens_has_no_format(specials: list[str]) -> None:
    assert infilling_format(byte_tokenizer(specials)) is None


def test_cut_characters_in_prefix_and_suffix() -> None:
    tokenizer = byte_tokenizer(FAMILIES["starcoder"])
    found = infilling_format(tokenizer)
    assert found is not None
    ids, _ = found.prompt_ids(tokenizer, b"\xc3", b"\xa9", "psm")
    assert ids == [257, 0xC3, 259, 0xA9, 258]


def sentencepiece_tokenizer() -> Tokenizer:
    """Like CodeLlama: a space before the text, and control tokens that are pieces."""
    byte_ids = tuple(range(256))
    pieces = [b" ", b"a", b" a", b" <PRE>", b" <SUF>", b" <MID>", b" <EOT>"]
    tokens = (*(bytes([b]) for b in range(256)), *pieces)
    scores = (*[0.0] * 256, -3.0, -2.0, -1.0, *[-9.0] * 4)
    scheme = CharacterScheme(byte_ids, "first", True, scores)
    return Tokenizer(Vocab(tokens, characters=scheme), SplitPattern.of("none"))


def test_a_sentencepiece_suffix_gets_no_space_before_it() -> None:
    tokenizer = sentencepiece_tokenizer()
    assert tokenizer.encode("a") == [258]
    found = infilling_format(tokenizer)
    assert found == InfillingFormat("codellama", 259, 260, 261, (262,), ("psm", "spm"))
    assert found.prompt_ids(tokenizer, "a", "a", "psm") == ([259, 258, 260, 257, 261], b"")
    assert found.prompt_ids(tokenizer, "a", "a", "spm") == ([259, 260, 257, 261], b"a")


class Prompted(TableModel):
    """A model with a tokenizer: notes what it is given to stand before its text, and writes one middle."""

    def __init__(self, tokenizer: Tokenizer, middle: bytes = b"", given: Any = None) -> None:
        self.tokenizer, self.middle, self.given = tokenizer, middle, given
        super().__init__(self._probabilities)

    def _probabilities(self, text: bytes) -> np.ndarray:
        values = np.full(257, 1e-9)
        rest = self.middle[len(text) :]
        values[rest[0] if rest else STOP] = 1
        return values

    def with_prompt(
        self, prompt_ids: Sequence[int], *, stop_ids: Sequence[int] = (), is_rest: bool = False
    ) -> ByteModel:
        return Prompted(self.tokenizer, self.middle, (list(prompt_ids), tuple(stop_ids), is_rest))


def test_fill_by_tokens() -> None:
    tokenizer = byte_tokenizer(FAMILIES["starcoder"])
    model = Prompted(tokenizer, b"xyz")
    done = fill(model, "ab", "ab", temperature=0)
    assert (done.text, done.stop_reason) == ("xyz", "stop")
    prompted, begun = infilling_model(model, "ab", "ab", "psm")
    assert isinstance(prompted, Prompted)
    assert prompted.given == ([257, 256, 259, 256, 258], (261, 260), True)
    assert begun == b""
    # Suffix first: the model reads the prefix byte by byte, and goes on with it.
    prompted, begun = infilling_model(model, "xy", "ab", "spm")
    assert isinstance(prompted, Prompted)
    assert (prompted.given, begun) == (([257, 259, 256, 258], (261, 260), False), b"xy")
    assert fill(model, "xy", "ab", order="spm", temperature=0).text == "z"
    assert fill(model, "", "ab", stop="z", temperature=0).text == "xy"
    # On request, the model's own tokens are left alone.
    assert fill(model, "xy", "z", method="search", max_bytes=2).stop_reason == "suffix"


def test_a_model_without_the_tokens_is_searched() -> None:
    model = Prompted(byte_tokenizer([]), b"abcd")
    assert fill(model, "a", "d", max_bytes=3).text == "bc"
    with pytest.raises(SamplingError, match="no control tokens"):
        fill(model, "a", "d", method="tokens")
    with pytest.raises(SamplingError, match="TableModel has no tokenizer"):
        fill(random_model(0), "a", "b", method="tokens")
    with pytest.raises(SamplingError, match="method='guess'"):
        fill(model, "a", "d", method="guess")  # type: ignore[arg-type]
    for options in ({"order": "psm"}, {"stop": "x"}):
        with pytest.raises(SamplingError, match="order and stop"):
            fill(random_model(0), "a", "b", **options)  # type: ignore[arg-type]
    with pytest.raises(SamplingError, match="both"):
        fill(random_model(0), "a", "b", regex="a", constraint=ByteRegex("a"))
