"""Metrics against values computed by hand."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from fake_tokenizer import FakeTokenizer
from hypothesis import given
from hypothesis import strategies as st

from bytetok.errors import CorpusError, EncodingError, FormatError, TrainingError
from bytetok.tokenizer import Tokenizer
from bytetok.training import metrics
from bytetok.training.metrics import (
    DOMAIN_TERMS,
    FINANCIAL_TERMS,
    LEGAL_TERMS,
    RoundTripFailure,
    TextSize,
    batches,
    fewer,
    length_distribution,
    measure_usage,
    renyi_efficiency,
    term_counts,
    text_size,
    under_used,
    utilization,
)


def counts_of(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_fewer_is_one_minus_the_ratio() -> None:
    # KL3M's "83 % fewer" was 7.70 / 4.20 - 1; fewer is 45 %.
    assert fewer(4.20, 7.70) == pytest.approx(0.4545, abs=1e-4)
    assert fewer(120, 100) == pytest.approx(-0.2)
    assert fewer(5, 0) is None


def test_text_size_counts_bytes_code_points_and_runs_of_non_white_space() -> None:
    assert text_size("né  a\u00a0b\n") == TextSize(1, 10, 8, 3)  # the no-break space is white space, too
    assert text_size(b"a\xff b") == TextSize(1, 4, 4, 2)
    assert text_size("") == TextSize(1, 0, 0, 0)
    assert TextSize(1, 2, 3, 4) + TextSize(10, 20, 30, 40) == TextSize(11, 22, 33, 44)


def test_compression_by_hand() -> None:
    tokenizer = FakeTokenizer(words=[b"the", b" cat", "é".encode()])
    usage = measure_usage(tokenizer, ["the cat", "thé"])
    # "the", " cat" | "t", "h", "é" (one token of two bytes): 5 tokens, 11 bytes, 10 characters, 3 words
    assert usage.tokens == 5
    assert usage.size == TextSize(2, 11, 10, 3)
    assert usage.bytes_per_token == pytest.approx(11 / 5)
    assert usage.tokens_per_character == pytest.approx(0.5)
    assert usage.fertility == pytest.approx(5 / 3)
    assert usage.counts[256] == usage.counts[257] == usage.counts[258] == 1
    assert usage.counts[ord("t")] == 1
    assert usage.round_trip.exact


def test_nothing_to_divide_by_gives_none() -> None:
    usage = measure_usage(FakeTokenizer(), ["", ""])
    assert (usage.bytes_per_token, usage.tokens_per_character, usage.fertility) == (None, None, None)
    assert usage.size.documents == 2
    assert measure_usage(FakeTokenizer(), [" \n"]).fertility is None


@pytest.mark.parametrize("text", ["\0", "\r", "a\rb\0\0", "x", "\ufeff", "𝔘"])
def test_odd_documents_are_ordinary_documents(text: str) -> None:
    usage = measure_usage(FakeTokenizer(), [text])
    assert usage.tokens == len(text.encode())
    assert usage.round_trip.exact


def test_round_trip_names_the_first_failing_document_and_byte() -> None:
    usage = measure_usage(FakeTokenizer(lossy=True), ["fine", "one\rtwo", "\r"])
    assert usage.round_trip.failures == 2
    assert usage.round_trip.first == RoundTripFailure(1, 3, b"\rtwo", b"two")
    assert not usage.round_trip.exact


def test_round_trip_offset_past_the_shorter_text() -> None:
    first = measure_usage(FakeTokenizer(lossy=True), ["ab\r"]).round_trip.first
    assert first == RoundTripFailure(0, 2, b"\r", b"")


def test_usage_adds_and_shifts_the_failing_document() -> None:
    tokenizer = FakeTokenizer(lossy=True)
    a, b = measure_usage(tokenizer, ["a", "b"]), measure_usage(tokenizer, ["c", "d\r"])
    whole = measure_usage(tokenizer, ["a", "b", "c", "d\r"])
    assert (a + b).counts.tolist() == whole.counts.tolist()
    assert (a + b).size == whole.size
    assert (a + b).round_trip == whole.round_trip
    assert whole.round_trip.first is not None
    assert whole.round_trip.first.document == 3


def test_batches_never_cut_a_document_and_stop_at_max_bytes() -> None:
    documents = ["aaaa", "bb", "cccccc", "d"]
    grouped = list(batches(documents, batch_bytes=6))
    assert [batch for batch, _ in grouped] == [["aaaa", "bb"], ["cccccc"], ["d"]]
    assert [size.bytes for _, size in grouped] == [6, 6, 1]
    assert [batch for batch, _ in batches(documents, max_bytes=5)] == [["aaaa", "bb"]]
    assert list(batches([])) == []


def test_many_short_documents_are_split_into_batches() -> None:
    assert [len(batch) for batch, _ in batches(["x"] * 2500)] == [1024, 1024, 452]


@given(st.text(alphabet="a \n\u00a0é\x1c"), st.integers(1, 5))
def test_words_are_counted_in_pieces(text: str, step: int) -> None:
    assert metrics._num_words(text, step) == len(text.split())


class Arrays(FakeTokenizer):
    """Gives ids as an array where asked, as the real one does."""

    def encode(self, text: str | bytes, *, special: str, out: str = "list") -> object:  # type: ignore[override]
        ids = super().encode(text, special=special)
        if out == "numpy":
            self.batches.append(-1)
            return np.array(ids, dtype=np.uint32)
        return ids


@pytest.mark.parametrize("kind", [FakeTokenizer, Arrays])
@pytest.mark.parametrize("lossy", [False, True])
def test_large_documents_are_measured_like_small_ones(
    monkeypatch: pytest.MonkeyPatch, kind: type[FakeTokenizer], lossy: bool
) -> None:
    documents = ["x", "the cat\r sat", "the", "on the mat, the cat\r"]
    small = measure_usage(kind(words=[b"the", b" cat"], lossy=lossy), documents)
    monkeypatch.setattr(metrics, "_LARGE", 8)
    monkeypatch.setattr(metrics, "_DECODED", 2)
    tokenizer = kind(words=[b"the", b" cat"], lossy=lossy)
    large = measure_usage(tokenizer, documents)
    assert large.counts.tolist() == small.counts.tolist()
    assert (large.size, large.round_trip.failures) == (small.size, small.round_trip.failures)
    assert large.round_trip.failures == (2 if lossy else 0)
    if lossy:
        assert large.round_trip.first is not None
        assert (large.round_trip.first.document, large.round_trip.first.byte) == (1, 7)
    assert tokenizer.batches.count(-1) == (2 if kind is Arrays else 0)


def test_max_bytes_stops_reading_the_source() -> None:
    def endless() -> object:
        while True:
            yield "ten bytes."

    assert measure_usage(FakeTokenizer(), endless(), max_bytes=95).size.documents == 10  # type: ignore[arg-type]


def test_a_document_that_is_not_text_is_refused_with_its_index() -> None:
    with pytest.raises(CorpusError, match=r"document 1 is dict .*expected str or bytes"):
        measure_usage(FakeTokenizer(), ["a", {"text": "b"}])  # type: ignore[list-item]


def test_lone_surrogate_is_refused_with_document_and_byte() -> None:
    with pytest.raises(EncodingError, match=r"document 1 holds a lone surrogate '\\ud800' at byte 3 \(character 2\)"):
        measure_usage(FakeTokenizer(), ["fine", "aé\ud800"])


def test_renyi_efficiency_by_hand() -> None:
    # p = (1/2, 1/4, 1/4): sum p^2.5 = 0.1767767 + 2 * 0.03125 = 0.2392767; H = ln(.) / -1.5; V = 4
    expected = math.log(0.5**2.5 + 2 * 0.25**2.5) / -1.5 / math.log(4)
    assert renyi_efficiency(counts_of(2, 1, 1, 0), 4) == pytest.approx(expected)
    assert expected == pytest.approx(0.687749, abs=1e-6)
    # alpha = 1 is Shannon: 1.5 bits of 2; alpha = 2 the collision entropy: -log2(3/8) of 2
    assert renyi_efficiency(counts_of(2, 1, 1, 0), 4, alpha=1) == pytest.approx(0.75)
    assert renyi_efficiency(counts_of(2, 1, 1, 0), 4, alpha=2) == pytest.approx(-math.log2(3 / 8) / 2)


def test_renyi_efficiency_extremes() -> None:
    assert renyi_efficiency(counts_of(7, 7, 7, 7), 4) == pytest.approx(1.0)
    assert renyi_efficiency(counts_of(5, 0, 0, 0), 4) == 0.0
    assert renyi_efficiency(counts_of(0, 0), 2) is None
    assert renyi_efficiency(counts_of(3), 1) is None
    with pytest.raises(TrainingError, match="alpha is 0"):
        renyi_efficiency(counts_of(1, 1), 2, alpha=0)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=20), st.sampled_from([0.5, 1, 2, 2.5, 8]))
def test_renyi_efficiency_is_between_zero_and_one(values: list[int], alpha: float) -> None:
    efficiency = renyi_efficiency(counts_of(*values), len(values), alpha=alpha)
    assert (efficiency is None) == (sum(values) == 0)
    if efficiency is not None:
        assert 0 <= efficiency <= 1 + 1e-9


def test_utilization_and_under_used_look_at_text_tokens_only() -> None:
    counts = counts_of(9, 0, 10, 3, 0)
    ids = counts_of(0, 1, 2, 3)  # id 4 is a control token
    assert utilization(counts, ids) == 0.75
    assert under_used(counts, ids) == [0, 1, 3]
    assert under_used(counts, ids, fewer_than=1) == [1]
    assert utilization(counts, counts_of()) is None


def test_length_distribution_covers_the_whole_vocabulary_but_control_tokens() -> None:
    tokenizer = FakeTokenizer(words=[b"the", b"of", "é".encode()], specials=["<|endoftext|>"])
    assert length_distribution(tokenizer) == {1: 256, 2: 2, 3: 1}


def test_term_counts() -> None:
    tokenizer = FakeTokenizer(words=[b"res ", b"judicata"], specials=["<s>"], template=[258])
    assert term_counts(tokenizer, ["res judicata", "EBITDA", ""]) == {"res judicata": 2, "EBITDA": 6, "": 0}


class Ascii(FakeTokenizer):
    """Its alphabet lacks every byte above 0x7F."""

    def encode(self, text: str | bytes, *, special: str) -> list[int]:
        data = text.encode() if isinstance(text, str) else text
        if not data.isascii():
            raise FormatError("a byte that the vocabulary lacks")
        return super().encode(data, special=special)


def test_terms_outside_the_alphabet_have_no_count() -> None:
    assert term_counts(Ascii(), ["ab", "§ 1", "c", "é"]) == {"ab": 2, "§ 1": None, "c": 1, "é": None}
    with pytest.raises(FormatError):  # a corpus that cannot be encoded is an error
        measure_usage(Ascii(), ["é"])


def test_the_built_in_terms_are_those_of_the_paper() -> None:
    assert len(LEGAL_TERMS) == len(FINANCIAL_TERMS) == 10
    assert set(DOMAIN_TERMS) == {"legal", "financial"}
    assert "Fed. R. Civ. P. 12(b)(6)" in LEGAL_TERMS


# Column of the paper's figures/domain_term_counts.csv -> tokenizer file
PUBLISHED = {
    "kl3m-001-32k": "kl3m-001-32k.json",
    "kl3m-003-64k": "kl3m-003-64k-rebuilt.json",
    "kl3m-004-char-4k-cased": "kl3m-004-char-4k-cased.json",
    "kl3m-004-char-8k-cased": "kl3m-004-char-8k-cased.json",
    "kl3m-004-char-16k-cased": "kl3m-004-char-16k-cased.json",
}


@pytest.mark.parametrize(("column", "file"), PUBLISHED.items())
def test_term_counts_are_those_the_paper_prints(shared_data: Path, column: str, file: str) -> None:
    with (shared_data / "kl3m/figures/domain_term_counts.csv").open(encoding="utf-8", newline="") as handle:
        printed = {row["Term"]: int(row[column]) for row in csv.DictReader(handle)}
    tokenizer = Tokenizer.load(shared_data / "kl3m" / file)
    assert term_counts(tokenizer, [*LEGAL_TERMS, *FINANCIAL_TERMS]) == printed


def test_nothing_of_a_tokenizer_of_ours_is_lost(shared_data: Path) -> None:
    tokenizer = Tokenizer.load(shared_data / "kl3m" / "kl3m-003-64k-rebuilt.json")
    text = (shared_data / "sec-filings" / "Oracle.10-Q.txt").read_bytes()[:100_000]
    usage = measure_usage(tokenizer, [text, b"\xff\x00\r", ""], threads=2)
    assert usage.round_trip.exact
    assert usage.tokens == sum(len(tokenizer.encode(doc, special="text")) for doc in (text, b"\xff\x00\r"))
