"""Tokens that text never turns into."""

from __future__ import annotations

from fake_tokenizer import FakeTokenizer

from bytetok.training.reachability import completions, find_unreachable


def test_every_token_of_a_plain_tokenizer_is_reachable() -> None:
    found = find_unreachable(FakeTokenizer(words=[b"the", b"\xe2\x80", "é".encode()], specials=["<s>"]))
    assert found.unreachable == found.unreachable_added == found.unchecked == ()
    assert found.control == (259,)
    assert found.checked == 259


def test_dead_tokens_are_found_and_added_ones_kept_apart() -> None:
    tokenizer = FakeTokenizer(words=[b"dead", b"alive"], added=[b"gone", b"here"], dead=[b"dead", b"gone"])
    found = find_unreachable(tokenizer)
    assert found.unreachable == (256,)
    assert found.unreachable_added == (258,)
    assert found.context_only == ()


def test_a_twin_with_the_same_bytes_is_unreachable() -> None:
    assert find_unreachable(FakeTokenizer(words=[b"x"])).unreachable == (ord("x"),)  # the later one wins in the fake


class NeedsSpace(FakeTokenizer):
    """``ing`` exists only after a letter, ``def`` only at the beginning of a line that is not the first."""

    def encode(self, text: str | bytes, *, special: str) -> list[int]:
        data = text.encode() if isinstance(text, str) else text
        ids: list[int] = []
        for i in super().encode(data, special=special):
            before = self.vocab.tokens[ids[-1]][-1:] if ids else b""
            token = self.vocab.tokens[i]
            if (token == b"ing" and not before.isalpha()) or (token == b"def" and before != b"\n"):
                ids.extend(token)
            else:
                ids.append(i)
        return ids


def test_tokens_that_need_a_neighbor_are_reachable_in_context_only() -> None:
    found = find_unreachable(NeedsSpace(words=[b"ing", b"def"]))
    assert found.unreachable == ()
    assert found.context_only == (256, 257)


def test_a_token_seen_in_a_corpus_is_reachable() -> None:
    tokenizer = FakeTokenizer(words=[b"dead"], dead=[b"dead"])
    assert find_unreachable(tokenizer, seen=[256]).unreachable == ()


class WholeCharacters(FakeTokenizer):
    """Partial characters merge only where the whole character is there, as under a split pattern over text."""

    def encode(self, text: str | bytes, *, special: str) -> list[int]:
        data = text.encode() if isinstance(text, str) else text
        try:
            data.decode()
        except UnicodeDecodeError:
            return list(data)
        return super().encode(data, special=special)


def test_partial_characters_are_tried_completed() -> None:
    # "a" + the first two bytes of a three-byte character; the last two bytes of one; bytes that UTF-8 forbids
    words = [b"a\xe2\x80", b"\x80\xa6b", b"\xff\xff"]
    found = find_unreachable(WholeCharacters(words=words))
    assert found.context_only == (256, 257)
    assert found.unreachable == (258,)


def test_a_tokenizer_that_takes_only_text_leaves_some_bytes_unchecked() -> None:
    found = find_unreachable(FakeTokenizer(words=[b"dead"], dead=[b"dead"], text_only=True))
    # 0xC0, 0xC1 and 0xF5..0xFF are in no UTF-8 text: nothing can be said about those
    assert found.unchecked == (0xC0, 0xC1, *range(0xF5, 0x100))
    assert found.unreachable == (256,)
    assert found.checked == 257 - 13


def test_completions_are_valid_texts_around_the_token() -> None:
    for token in (b"\xe2", b"\xe2\x80", b"\x80\xa6", b"\xa6", b"a\xf0", b"\x9f\x98\x80", b" \xd0", b"\xbf\xd1"):
        made = list(completions(token))
        assert made, token
        assert all(token in text.encode() for text in made)
    assert list(completions(b"ok")) == ["ok"]
    assert list(completions(b"\xff")) == []
