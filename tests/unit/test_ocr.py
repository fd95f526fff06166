"""OCR noise and what it does to token boundaries."""

from __future__ import annotations

import pytest
from fake_tokenizer import FakeTokenizer
from hypothesis import given
from hypothesis import strategies as st

from bytetok.errors import TrainingError
from bytetok.training.ocr import (
    CONFUSIONS,
    BoundaryConsistency,
    Damaged,
    LineSample,
    boundary_consistency,
    confuse,
)


def test_confusions_are_single_ascii_characters_and_symmetric() -> None:
    for char, others in CONFUSIONS.items():
        assert len(char) == 1
        assert char.isascii()
        assert char not in others
        for other in others:
            assert char in CONFUSIONS[other]
    assert {"l1", "o0", "ec", "S5", "B8"} <= {a + b for a, others in CONFUSIONS.items() for b in others}


@given(st.text(), st.integers(0, 5), st.integers(0, 3))
def test_damage_keeps_the_length_and_hits_only_the_places_named(line: str, seed: int, errors: int) -> None:
    damaged = confuse(line, seed=seed, errors=errors)
    assert len(damaged.text) == len(line)
    assert len(damaged.text.encode()) == len(line.encode())
    differing = [i for i, (a, b) in enumerate(zip(line, damaged.text, strict=True)) if a != b]
    assert tuple(differing) == damaged.positions
    assert len(differing) == min(errors, sum(char in CONFUSIONS for char in line))
    for i in differing:
        assert damaged.text[i] in CONFUSIONS[line[i]]


def test_damage_is_the_same_everywhere() -> None:
    # Pinned: reports made on different machines and Python versions must compare.
    assert confuse("habeas corpus") == Damaged("habeas conpus", (9,))
    assert confuse("habeas corpus", seed=1) == Damaged("habeas corpu5", (12,))
    assert confuse("Fed. R. Civ. P. 12(b)(6)", seed=7, errors=3) == Damaged("Fad. R. Civ. R. 12(b](6)", (1, 13, 20))


def test_every_place_is_hit_by_some_seed() -> None:
    places = {confuse("lol", seed=seed).positions for seed in range(60)}
    assert places == {(0,), (1,), (2,)}


def test_a_line_without_a_confusable_character_stays() -> None:
    assert confuse("§ ä 日本") == Damaged("§ ä 日本", ())
    assert confuse("") == Damaged("", ())
    with pytest.raises(TrainingError, match="errors is -1"):
        confuse("a", errors=-1)


def test_boundaries_by_hand() -> None:
    # "lol" is one token; every damage leaves three single bytes: A = {3}, B = {1, 2, 3}.
    one = boundary_consistency(FakeTokenizer(words=[b"lol"]), ["lol"])
    assert one == BoundaryConsistency(lines=1, errors=1, clean=1, damaged=3, shared=1)
    assert one.changed == 2
    assert one.jaccard == pytest.approx(1 / 3)
    assert one.changed_per_error == 2.0
    assert one.share_of_clean == 2.0
    assert one.tokens_per_line == 1.0
    # Single bytes never move: A = B.
    stable = boundary_consistency(FakeTokenizer(), ["lol", "lol"])
    assert stable is not None
    assert (stable.jaccard, stable.changed_per_error, stable.tokens_per_line) == (1.0, 0.0, 3.0)


def test_lines_are_averaged_micro_and_undamaged_ones_left_out() -> None:
    tokenizer = FakeTokenizer(words=[b"lol", b"aaaa"])
    both = boundary_consistency(tokenizer, ["lol", "§§", "bq", ""])
    # "lol": A = {3}, B = {1, 2, 3}; "bq": A = B = {1, 2}; the others cannot be damaged
    assert both == BoundaryConsistency(lines=2, errors=2, clean=3, damaged=5, shared=3)
    assert both.jaccard == pytest.approx(3 / 5)
    assert both.changed_per_error == 1.0
    assert both.share_of_clean == pytest.approx(2 / 3)


def test_template_tokens_make_no_boundaries() -> None:
    with_bos = FakeTokenizer(words=[b"lol"], specials=["<s>"], template=[257])
    assert boundary_consistency(with_bos, ["lol"]) == boundary_consistency(FakeTokenizer(words=[b"lol"]), ["lol"])


def test_nothing_to_damage_is_no_result() -> None:
    assert boundary_consistency(FakeTokenizer(), ["§", ""]) is None
    assert boundary_consistency(FakeTokenizer(), []) is None
    assert boundary_consistency(FakeTokenizer(), ["lol"], errors=0) is None


def test_several_errors_a_line() -> None:
    result = boundary_consistency(FakeTokenizer(), ["lol", "b"], errors=2)
    assert result is not None
    assert result.errors == 3  # two in the first, one in the second, which has no more


def test_sample_takes_all_lines_while_they_fit() -> None:
    sample = LineSample(10)
    sample.add("one\r\ntwo\n\n§§\nthree")
    sample.add(b"four\n\xff\xfe bad\nfive\r")
    assert sample.lines() == ["one", "two", "three", "four", "five"]
    assert sample.seen == 5


def test_sample_is_bounded_seeded_and_uniform() -> None:
    def draw(seed: int) -> list[str]:
        sample = LineSample(20, seed=seed)
        for start in range(0, 200, 50):
            sample.add("\n".join(f"line {i}" for i in range(start, start + 50)))
        assert sample.seen == 200
        return sample.lines()

    assert draw(1) == draw(1) != draw(2)
    assert len(set(draw(1))) == 20
    # Each line is kept with probability 1/10: over 200 seeds each half of the lines gets 2000, give or take.
    kept = [int(line.split()[1]) for seed in range(200) for line in draw(seed)]
    assert 1850 < sum(number < 100 for number in kept) < 2150


def test_a_book_without_newlines_does_not_become_one_line() -> None:
    sample = LineSample(2)
    sample.add("l" * 1_000_000)
    assert [len(line) for line in sample.lines()] == [1000]
    none = LineSample(0)
    none.add("line")
    assert none.lines() == []
    with pytest.raises(TrainingError, match="sample size is -1"):
        LineSample(-1)
