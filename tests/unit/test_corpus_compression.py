"""Decompression: all members, bounded output, and no truncated or damaged file that passes for a whole one."""

from __future__ import annotations

import gzip
import lzma
import struct
from pathlib import Path

import pytest
import zstandard
from corpora import COMPRESS, PACKED

from bytetok.errors import CorpusError, EncodingError, FormatError
from bytetok.training.corpus import read_texts


@pytest.mark.parametrize("packed", PACKED)
def test_every_truncation_is_found(tmp_path: Path, packed: str) -> None:
    whole = COMPRESS[packed](b"some text\n" * 20)
    path = tmp_path / f"cut.txt{packed}"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorpusError, match=rf"cut\.txt{packed} is truncated: .* ends at byte {length};"):
            list(read_texts(path))


@pytest.mark.parametrize("packed", PACKED)
def test_members_padding_and_garbage(tmp_path: Path, packed: str) -> None:
    one, two = (COMPRESS[packed](part) for part in (b"one ", b"two"))
    path = tmp_path / f"x.txt{packed}"
    path.write_bytes(one + COMPRESS[packed](b"") + two + b"\0" * 512)
    assert list(read_texts(path)) == ["one two"]
    path.write_bytes(one + two[:-3])
    with pytest.raises(CorpusError, match="truncated"):
        list(read_texts(path))
    path.write_bytes(one + b"garbage, longer than any header there is")
    with pytest.raises(FormatError, match="is not valid"):
        list(read_texts(path))
    texts = read_texts(path, on_error="skip")
    assert list(texts) == ["one "]
    assert len(texts.skipped_files) == 1


@pytest.mark.parametrize("packed", PACKED)
def test_plain_text_under_a_compressed_name(tmp_path: Path, packed: str) -> None:
    path = tmp_path / f"x.txt{packed}"
    path.write_bytes(b"this is only text, whatever the name says")
    with pytest.raises(FormatError, match=rf"x\.txt{packed} is not valid {packed} data"):
        list(read_texts(path))


def test_damage_is_found(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"text " * 100))
    data[-6] ^= 1  # in the checksum
    (tmp_path / "x.txt.gz").write_bytes(data)
    with pytest.raises(FormatError, match="is not valid"):
        list(read_texts(tmp_path / "x.txt.gz"))


def test_many_small_members(tmp_path: Path) -> None:
    path = tmp_path / "x.txt.gz"
    path.write_bytes(gzip.compress(b"line\n") * 5000)
    assert list(read_texts(path)) == ["line\n" * 5000]


def test_zstd_long_windows_and_skippable_frames(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    encoder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    long_window = encoder.compress(b"long ") + encoder.flush()
    skippable = struct.pack("<II", 0x184D2A50, 7) + b"ignored"
    path = tmp_path / "x.txt.zst"
    path.write_bytes(skippable + long_window + skippable + COMPRESS[".zst"](b"window"))
    assert list(read_texts(path)) == ["long window"]


@pytest.mark.parametrize(
    ("name", "data", "hint"),
    [
        ("a.txt", gzip.compress(b"x"), "name it .gz"),
        ("a.txt", COMPRESS[".zst"](b"x"), "name it .zst"),
        ("a.txt", lzma.compress(b"x"), "name it .xz"),
        ("a.txt", "text".encode("utf-16"), "UTF-16"),
        ("a.txt", b"caf\xe9", 'errors="replace"'),
    ],
)
def test_what_is_not_utf8_gets_a_hint(tmp_path: Path, name: str, data: bytes, hint: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(EncodingError, match=hint):
        list(read_texts(tmp_path / name))
