"""Input that nobody sends on purpose: each gets its own clear error, or a result that is defined.

Broken files (truncated archives, unreadable files, bytes that are not UTF-8) are in ``test_corpus*.py``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from reference import naive_train_bpe

import bytetok as bt
from bytetok.errors import (
    BytetokError,
    EncodingError,
    InvalidPatternError,
    SpecialTokenError,
    TrainingError,
    VocabMismatchError,
)
from bytetok.tokenizer import SplitPattern
from bytetok.tokenizer.patterns import NAMED

MEGABYTE = 1 << 20
NAMES = list(NAMED)


def counted(**words: int) -> bt.PretokenCounts:
    return bt.PretokenCounts.from_dict({word.encode(): count for word, count in words.items()}, pattern="none")


# corpora --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("docs", [[], [""], ["", "", ""]], ids=["no documents", "one empty", "empty ones"])
def test_an_empty_corpus_counts_nothing_and_trains_nothing(docs: list[str]) -> None:
    counts = bt.count_pretokens(docs, pattern="o200k")
    assert (len(counts), counts.total, list(counts.items())) == (0, 0, [])
    with pytest.raises(TrainingError, match=r"no pretokens|empty"):
        bt.train_bpe(counts, vocab_size=300)


def test_an_iterator_is_read_once_and_lazily() -> None:
    seen = []

    def docs() -> Iterator[str]:
        for number in range(5):
            seen.append(number)
            yield f"doc {number}"

    assert bt.count_pretokens(docs(), pattern="whitespace").total == 10
    assert seen == [0, 1, 2, 3, 4]


def test_an_error_of_the_corpus_reaches_the_caller() -> None:
    def docs() -> Iterator[str]:
        yield "fine"
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        bt.count_pretokens(docs(), pattern="o200k", threads=2)


@pytest.mark.parametrize("bad", [None, 3, ["nested"], object()], ids=repr)
def test_a_document_that_is_no_text_is_refused(bad: object) -> None:
    with pytest.raises((TypeError, BytetokError), match=r"document|str"):
        bt.count_pretokens(["fine", bad], pattern="o200k")  # type: ignore[list-item]


def test_one_string_is_not_a_corpus_of_letters() -> None:
    with pytest.raises((TypeError, BytetokError), match=r"str"):
        bt.count_pretokens("a single text", pattern="o200k")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("text", ["ab\ud800cd", "\udfff", "x" * 70_000 + "\udc80"], ids=["high", "low", "late"])
def test_a_lone_surrogate_is_an_encoding_error(text: str, threads: int) -> None:
    with pytest.raises(EncodingError, match=r"surrogate") as caught:
        bt.count_pretokens(["fine", text], pattern="o200k", threads=threads)
    offset = len(text[: next(at for at, char in enumerate(text) if "\ud800" <= char <= "\udfff")])
    assert str(offset) in str(caught.value), "the message gives the place"
    with pytest.raises(EncodingError, match=r"surrogate"):
        SplitPattern.of("o200k").split(text)


@pytest.mark.parametrize("name", NAMES)
def test_nuls_and_controls_are_text(name: str) -> None:
    text = "\x00\x00a\x00 \x01\x1f\x7f\x00\n\x00"
    assert b"".join(SplitPattern.of(name).split(text)) == text.encode()
    counts = bt.count_pretokens([text], pattern=name)
    assert sum(len(piece) * count for piece, count in counts.items()) == len(text)
    tokenizer = bt.train_bpe(counts, vocab_size=260, min_count=1)
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()


# a megabyte without a border ------------------------------------------------------------------------------------------

LONG = {
    "a": "a" * MEGABYTE,
    "caret": "^" * MEGABYTE,
    "spaces": " " * MEGABYTE,
    "newlines": "\n" * MEGABYTE,
    "digits": "7" * MEGABYTE,
    "han": "漢" * (MEGABYTE // 3),
    "marks": "a" + "\u0301" * (MEGABYTE // 2),
    "mixed spaces": " \t\u3000\xa0" * (MEGABYTE // 7),
    "joined": "👩\u200d💻\u200d" * (MEGABYTE // 14),
    "upper": "ABCD" * (MEGABYTE // 4),
    "case": "aB" * (MEGABYTE // 2),
    "json": '{"k":[1,2],"s":"x"},' * (MEGABYTE // 20),
    "quotes": "'" * MEGABYTE,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_a_megabyte_without_a_border_splits_in_linear_time(name: str, text: str) -> None:
    pattern = SplitPattern.of(name)
    began = time.process_time()
    pieces = pattern.split(text)
    # Linear code takes a few hundredths of a second; anything quadratic takes minutes.
    assert time.process_time() - began < 5
    assert b"".join(pieces) == text.encode()


@pytest.mark.timeout(120)
def test_a_megabyte_run_of_one_letter_trains() -> None:
    text = "a" * (MEGABYTE + 1)
    counts = bt.count_pretokens([text], pattern="o200k")
    assert list(counts.items()) == [(text.encode(), 1)]
    began = time.process_time()
    tokenizer = bt.train_bpe(counts, vocab_size=280, min_count=2)
    assert time.process_time() - began < 5
    tokens, merges = naive_train_bpe({text.encode(): 1}, vocab_size=280, min_count=2)
    assert (list(tokenizer.vocab.tokens), list(tokenizer.vocab.merges)) == (tokens, merges)
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()


@pytest.mark.slow
def test_one_document_of_a_gigabyte_counts() -> None:
    words = "the quick brown fox. "
    times = (1 << 30) // len(words) + 1
    counts = bt.count_pretokens([words * times], pattern="o200k")
    middle = dict.fromkeys((b" brown", b" fox", b" quick", b"."), times)
    assert dict(counts.items()) == {b"the": 1, b" the": times - 1, **middle, b" ": 1}
    assert counts.bytes == times * len(words)


# split patterns -------------------------------------------------------------------------------------------------------


def test_a_regex_that_never_matches_leaves_each_document_whole() -> None:
    counts = bt.count_pretokens(["a b", "a b", "c"], pattern=r"never\d")
    assert list(counts.items()) == [(b"a b", 2), (b"c", 1)]


@pytest.mark.parametrize("pattern", ["a*", "x?", r"\b", "(?=a)", r"$", "a|", ["a+", "b*"]], ids=repr)
def test_a_regex_that_matches_nothing_is_an_error(pattern: str | list[str]) -> None:
    with pytest.raises(InvalidPatternError, match=r"empty"):
        bt.count_pretokens(["aab aab"], pattern=pattern)


@pytest.mark.parametrize("pattern", ["(a", "[b", r"\p{Nonsense}", "(?<n>a", "*", r"\q"], ids=repr)
def test_a_regex_that_does_not_compile_is_an_error(pattern: str) -> None:
    with pytest.raises(InvalidPatternError) as caught:
        SplitPattern.of(pattern)
    assert repr(pattern)[1:-1].replace("\\\\", "\\") in str(caught.value).replace("\\\\", "\\")


@pytest.mark.timeout(60)
def test_a_regex_that_backtracks_forever_is_an_error() -> None:
    with pytest.raises(InvalidPatternError, match=r"backtrack"):
        SplitPattern.of(r"(a|aa)+(?!a)\1b").split("a" * 5_000)


@pytest.mark.parametrize("pattern", [[], "", "o100k", 7, None, [7]], ids=repr)
def test_a_pattern_that_is_neither_a_name_nor_a_regex_is_an_error(pattern: object) -> None:
    with pytest.raises((TypeError, InvalidPatternError)):
        SplitPattern.of(pattern)  # type: ignore[arg-type]


def test_shards_of_different_patterns_do_not_add() -> None:
    left, right = (bt.count_pretokens(["some text"], pattern=name) for name in ("gpt2", "o200k"))
    with pytest.raises(VocabMismatchError) as caught:
        _ = left + right
    assert "gpt2" in str(caught.value)
    assert "o200k" in str(caught.value)


# counts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, 2**64, 2**70], ids=str)
def test_a_count_that_is_no_64_bit_number_is_an_error(bad: int) -> None:
    with pytest.raises((BytetokError, OverflowError, ValueError)):
        bt.PretokenCounts.from_dict({b"word": bad}, pattern="none")


def test_a_count_that_is_no_whole_number_is_an_error() -> None:
    with pytest.raises((TypeError, BytetokError)):
        bt.PretokenCounts.from_dict({b"word": 3.5}, pattern="none")  # type: ignore[dict-item]


def test_counts_that_pass_64_bits_together_are_an_error_and_not_a_small_number() -> None:
    half = counted(a=2**63)
    with pytest.raises(BytetokError, match=r"2\^64|64 bits"):
        _ = half + half


def test_pair_counts_past_64_bits_are_an_error_and_not_a_wrong_order() -> None:
    # The words fit 64 bits together, the pairs in them do not: (c, d) occurs 9 * 2^61 times, (a, b) 8 * 2^61 times.
    words = {"ab" * 8: 2**61, "cd" * 9: 2**61}
    with pytest.raises(TrainingError, match=r"2\^64|64 bits"):
        bt.train_bpe(counted(**words), vocab_size=6, alphabet="seen")


# training requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vocab_size", [1, 255, 257], ids=str)
def test_a_vocabulary_smaller_than_its_alphabet_is_an_error(vocab_size: int) -> None:
    with pytest.raises(TrainingError, match=str(vocab_size)) as caught:
        bt.train_bpe(counted(ab=3), vocab_size=vocab_size, special_tokens=["<a>", "<b>"])
    assert "258" in str(caught.value), "the message names the least size that works"


def test_a_vocabulary_of_the_alphabet_alone_is_fine() -> None:
    vocab = bt.train_bpe(counted(ab=3), vocab_size=258, special_tokens=["<a>", "<b>"]).vocab
    assert (len(vocab), vocab.merges) == (258, ())
    assert set(vocab.tokens[2:]) == {bytes([byte]) for byte in range(256)}


def test_training_ends_when_no_pair_is_left() -> None:
    vocab = bt.train_bpe(counted(ab=3, cd=1), vocab_size=100_000, min_count=2).vocab
    assert [vocab.tokens[left] + vocab.tokens[right] for left, right in vocab.merges] == [b"ab"]


@pytest.mark.parametrize("special", [["<a>", "<a>"], ["<a>", "<b>", "<a>"]], ids=str)
def test_a_special_token_given_twice_is_an_error(special: list[str]) -> None:
    with pytest.raises(SpecialTokenError, match="<a>"):
        bt.train_bpe(counted(ab=3), vocab_size=300, special_tokens=special)


@pytest.mark.parametrize("special", ["", "\ud800", b"<b>"], ids=["empty", "surrogate", "bytes"])
def test_a_special_token_that_is_no_text_is_an_error(special: str) -> None:
    with pytest.raises((TypeError, BytetokError), match=r"special token"):
        bt.train_bpe(counted(ab=3), vocab_size=300, special_tokens=["<a>", special])


@pytest.mark.parametrize("alphabet", ["bytes", "seen"])
def test_a_special_token_that_is_a_byte_of_the_alphabet_is_an_error(alphabet: str) -> None:
    with pytest.raises(BytetokError, match="'a'"):
        bt.train_bpe(counted(ab=3), vocab_size=300, special_tokens=["<a>", "a"], alphabet=alphabet)


@pytest.mark.parametrize("special", ["<a>", "é", "漢字"])
def test_special_tokens_as_one_string_are_an_error(special: str) -> None:
    with pytest.raises((TypeError, BytetokError)):
        bt.train_bpe(counted(ab=3), vocab_size=300, special_tokens=special)


@pytest.mark.parametrize(
    "options",
    [
        {"vocab_size": 0},
        {"vocab_size": -1},
        {"min_count": 0},
        {"min_count": -1},
        {"max_token_length": 0},
        {"max_token_length": -3},
        {"length_unit": "words"},
        {"alphabet": "greek"},
        {"alphabet": 0},
        {"alphabet": -1},
    ],
    ids=str,
)
def test_a_request_without_meaning_is_a_training_error(options: dict[str, object]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(TrainingError) as caught:
        bt.train_bpe(counted(ab=3), **{"vocab_size": 300, **options})
    assert name in str(caught.value) or name.replace("_", " ") in str(caught.value)
    assert str(value) in str(caught.value).replace(",", "").replace("_", "")


@pytest.mark.parametrize("vocab_size", [10**8, 4 * 10**9, 2**33, 2**80], ids=str)
def test_a_vocabulary_without_end_is_an_error_or_ends_with_the_pairs(vocab_size: int) -> None:
    # In a process of its own: memory for that many tokens, taken at once, would end the process and the test run.
    script = (
        "import bytetok as bt\n"
        "counts = bt.PretokenCounts.from_dict({b'abab': 3}, pattern='none')\n"
        "try:\n"
        f"    print(bt.train_bpe(counts, vocab_size={vocab_size}).vocab_size)\n"
        "except (bt.BytetokError, OverflowError) as error:\n"
        "    print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr[:300]
    assert ended.stdout.strip() == "258" or str(vocab_size) in ended.stdout or "too big" in ended.stdout


@pytest.mark.parametrize("threads", [0, -1], ids=str)
def test_no_threads_count_nothing_and_say_so(threads: int) -> None:
    with pytest.raises(ValueError, match="threads"):
        bt.count_pretokens(["text"], pattern="o200k", threads=threads)
