"""Encoding that counts text and nothing else."""

from __future__ import annotations

from fake_tokenizer import FakeTokenizer

from bytetok.errors import FormatError
from bytetok.training.encoding import control_ids, encode_each, encode_texts, text_ids
from bytetok.training.metrics import measure_usage


def test_template_and_special_tokens_are_never_counted() -> None:
    plain = FakeTokenizer(specials=["<s>", "</s>"])
    with_bos = FakeTokenizer(specials=["<s>", "</s>"], template=[256])
    assert encode_texts(with_bos, ["ab", ""]) == encode_texts(plain, ["ab", ""]) == [[97, 98], []]
    assert measure_usage(with_bos, ["<s>"]).tokens == 3  # special-token text is ordinary text
    assert control_ids(plain) == {256, 257}
    assert text_ids(plain).tolist() == list(range(256))


def test_template_around_the_text_is_taken_off_both_ends() -> None:
    class Wrapped(FakeTokenizer):
        def encode(self, text: str | bytes, *, special: str) -> list[int]:
            return [256, *super().encode(text, special=special), 257]

    assert encode_texts(Wrapped(specials=["[CLS]", "[SEP]"]), ["ab", ""]) == [[97, 98], []]


def test_gaps_and_control_tokens_are_no_text_tokens() -> None:
    tokenizer = FakeTokenizer(words=[b"the", b"", b"of"], specials=["<s>"])
    assert text_ids(tokenizer).tolist() == [*range(256), 256, 258]


def test_a_refused_text_does_not_take_its_neighbors_along() -> None:
    class Picky(FakeTokenizer):
        def encode(self, text: str | bytes, *, special: str) -> list[int]:
            if "bad" in str(text):
                raise FormatError("bad text")
            return super().encode(text, special=special)

    assert encode_each(Picky(), ["a", "bad", "b", "c", "bad"]) == [[97], None, [98], [99], None]
    assert encode_each(Picky(), []) == []
