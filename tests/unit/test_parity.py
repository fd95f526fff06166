"""The price of the same text in other languages."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_tokenizer import FakeTokenizer

from bytetok.errors import CorpusError, TrainingError
from bytetok.training.parity import LanguageCost, parity, read_languages, udhr_article


def test_premium_by_hand() -> None:
    tokenizer = FakeTokenizer(words=[b"free"], specials=["<s>"], template=[257])
    costs = parity(tokenizer, {"en": "free", "el": "αβ", "xx": ""})
    assert costs["en"] == LanguageCost(tokens=1, premium=1.0, bytes=4, characters=4)
    assert costs["el"] == LanguageCost(tokens=4, premium=4.0, bytes=4, characters=2)
    assert costs["xx"].premium == 0.0
    assert parity(tokenizer, {"en": "free", "el": "αβ"}, reference="el")["en"].premium == 0.25


def test_an_empty_reference_gives_no_premium() -> None:
    assert parity(FakeTokenizer(), {"en": "", "de": "a"})["de"].premium is None


def test_the_reference_has_to_be_there() -> None:
    with pytest.raises(TrainingError, match="reference language 'en' is not among the languages given"):
        parity(FakeTokenizer(), {"de": "a"})
    assert parity(FakeTokenizer(), {}) == {}


def test_the_built_in_text() -> None:
    texts = udhr_article()
    assert len(texts) == 18
    assert next(iter(texts)) == "en"
    assert texts["en"].startswith("All human beings are born free and equal")
    for text in texts.values():
        assert text == unicodedata.normalize("NFC", text).strip()
        assert len(text) > 40


def test_read_a_mapping_a_folder_and_a_parquet_file(tmp_path: Path) -> None:
    texts = {"de": "eins\nzwei", "en": "one\ntwo"}
    assert read_languages(texts) == texts
    folder = tmp_path / "parallel"
    folder.mkdir()
    for language, text in texts.items():
        (folder / f"{language}.txt").write_bytes(text.encode())
    assert read_languages(folder) == texts
    table = pa.table({"language": ["de", "en", "de", "en"], "text": ["eins", "one", "zwei", "two"]})
    pq.write_table(table, tmp_path / "p.parquet")
    assert read_languages(tmp_path / "p.parquet") == texts


def test_bad_sources_say_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected a folder of"):
        read_languages(tmp_path / "missing")
    with pytest.raises(CorpusError, match=r"no \.txt files"):
        read_languages(tmp_path)
    (tmp_path / "en.txt").write_bytes(b"ab\xff")
    with pytest.raises(CorpusError, match=r"en\.txt' is not UTF-8 at byte 2"):
        read_languages(tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CorpusError, match="cannot read columns language and text"):
        read_languages(tmp_path / "bad.parquet")
    pq.write_table(pa.table({"language": ["en"], "text": [None]}), tmp_path / "null.parquet")
    with pytest.raises(CorpusError, match=r"row 0 of .* has language 'en' and text None"):
        read_languages(tmp_path / "null.parquet")
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "other.parquet")
    with pytest.raises(CorpusError, match="cannot read columns language and text"):
        read_languages(tmp_path / "other.parquet")
    pq.write_table(pa.table({"language": pa.array([], pa.string()), "text": []}), tmp_path / "empty.parquet")
    with pytest.raises(CorpusError, match="has no rows"):
        read_languages(tmp_path / "empty.parquet")
