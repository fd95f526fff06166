"""The binary file of a tokenizer: the same ids from the file, and whatever is damaged is refused or does no harm.

Files with a right checksum are tried as well: someone may have made them on purpose. Their ids may then be anything,
but nothing may panic, loop or read where it should not.
"""

from __future__ import annotations

import contextlib
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from children import in_child
from hypothesis import given
from hypothesis import strategies as st
from small import CORPUS, extended, trained
from vocabularies import characters, merging, ranked, words

import bytetok as bt
from bytetok.errors import BytetokError, CorpusError, FormatError

TEXTS = [*CORPUS, "", "a", "\0\xff", "é漢字😀" * 20, "a" * 50, "the court " * 50, "\n\n \t x"]
MASK = (1 << 64) - 1


def domain() -> bt.Tokenizer:
    added = {"(a)": {}, "cal.": {"single_word": True}, "<x>": {"lstrip": True, "rstrip": True}}
    return extended(trained("o200k"), whole=[b" 1998", b"qua"], added={**added, "ü": {"normalized": True}})


def through(tokenizer: bt.Tokenizer, path: Path) -> Any:
    tokenizer.save(path)
    return bt.Tokenizer.load(path)


@pytest.mark.parametrize("tokenizer", [trained("o200k"), trained("deepseek-v3"), domain()], ids=str)
def test_a_file_is_the_tokenizer(tokenizer: bt.Tokenizer, tmp_path: Path) -> None:
    loaded = through(tokenizer, tmp_path / "x.bytetok")
    for text in TEXTS:
        ids = tokenizer.encode(text, special="allow")
        assert loaded.encode(text, special="allow") == ids
        assert loaded.decode_bytes(ids) == tokenizer.decode_bytes(ids)
    assert (loaded.vocab, loaded.pattern) == (tokenizer.vocab, tokenizer.pattern)
    assert loaded.vocab_size == tokenizer.vocab_size
    loaded.save(tmp_path / "again.bytetok")
    assert (tmp_path / "again.bytetok").read_bytes() == (tmp_path / "x.bytetok").read_bytes()
    again = pickle.loads(pickle.dumps(loaded))
    assert again.encode_batch(TEXTS, special="allow") == tokenizer.encode_batch(TEXTS, special="allow")


@given(data=st.data())
def test_any_vocabulary_comes_back(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("file") / "x.bytetok"
    if data.draw(st.booleans()):
        made = data.draw(st.one_of(merging(), ranked()))
        tokenizer, text = made.tokenizer(), data.draw(words(made))
    else:
        scheme = data.draw(characters(with_space=True))
        prefix = data.draw(st.sampled_from(["none", "first", "each"]))
        tokenizer = scheme.tokenizer(data.draw(st.sampled_from(["scores", "merges"])), prefix)  # type: ignore[arg-type]
        text = data.draw(scheme.texts()).encode()
    loaded = through(tokenizer, path)
    ids = tokenizer.encode(text)
    assert loaded.encode(text) == ids
    assert (loaded.decode_bytes(ids), loaded.decode(ids)) == (tokenizer.decode_bytes(ids), tokenizer.decode(ids))
    assert loaded.vocab == tokenizer.vocab


def test_a_file_may_be_replaced_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "x.bytetok"
    first = through(trained("o200k"), path)
    second = through(trained("gpt2"), path)
    assert first.encode(CORPUS[1]) == trained("o200k").encode(CORPUS[1])
    assert second.encode(CORPUS[1]) == trained("gpt2").encode(CORPUS[1])
    path.unlink()
    assert first.encode(CORPUS[3]) == trained("o200k").encode(CORPUS[3])


# damage ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "x.bytetok"
    domain().save(path)
    return path.read_bytes()


def test_what_is_cut_off_is_refused(contents: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.bytetok"
    rng = random.Random(1)
    for size in [0, 1, 7, 8, 15, 16, 23, 63, 64, len(contents) - 1, *(rng.randrange(len(contents)) for _ in range(40))]:
        path.write_bytes(contents[:size])
        with pytest.raises(FormatError, match=r"x\.bytetok"):
            bt.Tokenizer.load(path)
    path.write_bytes(contents + b"\0")
    with pytest.raises(FormatError, match=r"x\.bytetok"):
        bt.Tokenizer.load(path)


def test_every_changed_byte_is_found(contents: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.bytetok"
    rng = random.Random(2)
    for place in [*range(0, 230, 3), *(rng.randrange(len(contents)) for _ in range(120))]:
        damaged = bytearray(contents)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"x\.bytetok"):
            bt.Tokenizer.load(path)


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        bt.Tokenizer.load(tmp_path / "missing.bytetok")
    (tmp_path / "folder.bytetok").mkdir()
    with pytest.raises(BytetokError):
        bt.Tokenizer.load(tmp_path / "folder.bytetok")


def checksum(data: bytes) -> int:
    """That of rust_ext/src/encode/file.rs."""
    sums = [0x9E3779B97F4A7C15] * 8
    whole = len(data) // 64 * 64
    for block in struct.iter_unpack("<8Q", data[:whole]):
        for lane, word in enumerate(block):
            mixed = ((sums[lane] ^ word) * 0xD6E8FEB86659FD93) & MASK
            sums[lane] = (mixed << 29 | mixed >> 35) & MASK
    found = len(data)
    for byte in data[whole:]:
        found = ((found ^ byte) * 0x100000001B3) & MASK
    for lane in sums:
        mixed = ((found ^ lane) * 0xD6E8FEB86659FD93) & MASK
        found = (mixed << 31 | mixed >> 33) & MASK
    return found


def with_checksum(data: bytearray) -> bytes:
    data[8:16] = checksum(bytes(data[16:])).to_bytes(8, "little")
    return bytes(data)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file so small that its checksum is quickly made in Python, and a change often meets something."""
    path = tmp_path_factory.mktemp("tiny") / "x.bytetok"
    tokens = [b"a", b"b", b"c", b"ab", b"abc", b"cab", b"abcab", b"aa", b"aaaa", b"bb", b"<s>", b"zz"]
    merges = ((0, 1), (3, 2), (2, 3), (4, 3), (0, 0), (7, 7), (1, 1))
    added = {"<s>": bt.AddedToken("<s>", 10, special=True)}
    vocab = bt.Vocab(tuple(tokens), merges, added, whole_first=True)
    bt.Tokenizer(vocab, bt.SplitPattern.of("gpt2")).save(path)
    return path.read_bytes()


def test_the_checksum_is_that_of_the_file(tiny: bytes) -> None:
    assert with_checksum(bytearray(tiny)) == tiny


NUMBERS = (0, 1, 2, 3, 5, 7, 11, 12, 64, 255, 1 << 16, 1 << 31, (1 << 32) - 2, (1 << 32) - 1)
TINY_TEXTS = ("abcabcab", "a" * 70, "cabab" * 30, "<s>", "", "bbb", "zz")


def use(tokenizer: Any, text: str) -> None:
    """Whatever reads the tables of the file."""
    jobs = (
        lambda: tokenizer.decode(tokenizer.encode(text, special="allow")),
        lambda: tokenizer.encode_batch([text, text], threads=2, special="text"),
        lambda: tokenizer.count_until(text, 3, special="text"),
        lambda: [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)],
        lambda: tokenizer.vocab,
    )
    for job in jobs:
        with contextlib.suppress(BytetokError):
            job()


def sections(data: bytes) -> list[tuple[int, int]]:
    """Where each begins and ends; see rust_ext/src/encode/file.rs."""
    (count,) = struct.unpack_from("<Q", data, 16)
    numbers = struct.unpack_from(f"<{2 * count}Q", data, 24)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def used_after(contents: list[bytes], path: Path) -> int:
    """Loads and uses each of the files; returns how many were taken for good ones."""
    good = 0
    for data in contents:
        path.write_bytes(data)
        with contextlib.suppress(BytetokError):
            tokenizer = bt.Tokenizer.load(path)
            good += 1
            for text in TINY_TEXTS:
                use(tokenizer, text)
    return good


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("seed", range(4))
def test_a_file_made_to_do_harm_does_none(seed: int, tiny: bytes, tmp_path: Path) -> None:
    rng = random.Random(seed)
    bounds = sections(tiny)
    used = [place for start, end in bounds[1:] for place in range(start, end - 3, 4)]
    shorter = range(*bounds[4])  # tried below
    made = []
    for _ in range(400):
        damaged = bytearray(tiny)
        for _ in range(rng.randint(1, 3)):
            place = rng.choice([place for place in rng.choices(used, k=9) if place not in shorter])
            damaged[place : place + 4] = rng.choice(NUMBERS).to_bytes(4, "little")
        made.append(with_checksum(damaged))
    assert in_child(lambda: used_after(made, tmp_path / "x.bytetok")) > 40


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_beginning_that_is_no_token_does_no_harm(tiny: bytes, tmp_path: Path) -> None:
    start, end = sections(tiny)[4]
    made = []
    for place in range(start, end, 4):
        for number in (12, 255, 1 << 31, (1 << 32) - 2):
            damaged = bytearray(tiny)
            damaged[place : place + 4] = number.to_bytes(4, "little")
            made.append(with_checksum(damaged))
    assert in_child(lambda: used_after(made, tmp_path / "x.bytetok"), 10) < len(made)


def test_bounds_that_lie_are_refused(tiny: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.bytetok"
    count = len(sections(tiny))
    refused = 0
    for place in range(16, 24 + 16 * count, 8):
        for number in (0, 1, 3, len(tiny), len(tiny) + 64, 1 << 32, 1 << 63, (1 << 64) - 1):
            damaged = bytearray(tiny)
            damaged[place : place + 8] = number.to_bytes(8, "little")
            refused += used_after([with_checksum(damaged)], path) == 0
    assert refused > 8 * count
