"""What streams cost, seen by a tokenizer that is never certain."""

from __future__ import annotations

import numpy as np
import pytest

from bytetok.tokenizer.streaming import Decoder, counted_until


class Uncertain:
    """One id a character, none of which is known to stay; it notes how much text it was given."""

    def __init__(self) -> None:
        self.read = 0

    def encode_beginning(
        self, text: str, *, is_rest: bool = False, special: str = "raise"
    ) -> tuple[list[int], int, int]:
        self.read += len(text)
        return list(map(ord, text)), 0, 0


@pytest.mark.parametrize("length", [0, 1, 1024, 1_000_000])
def test_counting_to_a_limit_reads_no_more_than_a_few_times_the_text(length: int) -> None:
    tokenizer = Uncertain()
    assert counted_until(tokenizer, "a" * length, 10) == (length if length <= 10 else None)
    assert tokenizer.read <= 4 * length


class Letters:
    def decode_bytes(self, ids: list[int], *, is_rest: bool = False) -> bytes:
        return bytes(ids)


def test_a_decoder_takes_one_id_of_any_kind_or_several() -> None:
    decoder = Decoder(Letters())
    pieces = [decoder.push(one) for one in (104, np.uint32(105), [33], np.array([195, 169], dtype=np.uint32))]
    assert pieces == ["h", "i", "!", "é"]
