"""Parity: what the same text costs in different languages.

A tokenizer trained on English charges other languages more tokens for the same content, and with them context, time and
money. The measure is the premium of a language: its tokens over the tokens of the same text in the reference language.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bytetok.errors import CorpusError, TrainingError
from bytetok.training.encoding import TokenizerLike, encode_each

LanguageSource = Mapping[str, str] | str | os.PathLike[str]


@dataclass(frozen=True)
class LanguageCost:
    """Cost of one language.

    Attributes:
        tokens: tokens of the text in this language; ``None`` if the tokenizer's alphabet lacks some of it.
        premium: ``tokens`` / tokens of the reference language; 1.0 is parity, 3.0 three times the price. ``None``
            without tokens in the one or the other.
        bytes: UTF-8 bytes of the text.
        characters: Unicode code points of the text.
    """

    tokens: int | None
    premium: float | None
    bytes: int
    characters: int


def parity(tokenizer: TokenizerLike, languages: Mapping[str, str], *, reference: str = "en") -> dict[str, LanguageCost]:
    """Cost of the same text in each language, in the order given.

    Args:
        tokenizer: what is measured.
        languages: language -> text; all texts must say the same.
        reference: the language that the others are compared with.

    Raises:
        TrainingError: ``reference`` is not among ``languages``.
    """
    if not languages:
        return {}
    if reference not in languages:
        raise TrainingError(
            f"the reference language {reference!r} is not among the languages given "
            f"({', '.join(sorted(languages))[:80]}); add its text, or name another reference"
        )
    encoded = encode_each(tokenizer, list(languages.values()))
    tokens = {language: None if ids is None else len(ids) for language, ids in zip(languages, encoded, strict=True)}
    return {
        language: LanguageCost(
            tokens[language],
            _ratio(tokens[language], tokens[reference]),
            len(text.encode("utf-8")),
            len(text),
        )
        for language, text in languages.items()
    }


def _ratio(tokens: int | None, base: int | None) -> float | None:
    return None if tokens is None or not base else tokens / base


def udhr_article() -> dict[str, str]:
    """Article 1 of the Universal Declaration of Human Rights in 18 languages, by ISO 639-1 code, English first.

    Two sentences: enough to see a threefold price, not a difference of a few percent. Source: United Nations, OHCHR.
    """
    text = resources.files("bytetok.training").joinpath("udhr_article1.toml").read_text(encoding="utf-8")
    return {language: str(value) for language, value in tomllib.loads(text).items()}


def read_languages(source: LanguageSource) -> dict[str, str]:
    """Parallel texts from a mapping, a folder of ``<language>.txt`` files, or a parquet file.

    A parquet file has string columns ``language`` and ``text``; the texts of one language are joined with newlines in
    the order of the rows. Raises ``CorpusError`` if the source is missing, is neither, or holds no text.
    """
    if isinstance(source, Mapping):
        return dict(source)
    path = Path(source)
    if path.is_dir():
        texts = {file.stem: _read(file) for file in sorted(path.glob("*.txt"))}
        if not texts:
            raise CorpusError(f"no .txt files in folder {str(path)!r}; expected one <language>.txt per language")
        return texts
    if path.suffix == ".parquet" and path.is_file():
        return _from_parquet(path)
    raise CorpusError(
        f"cannot read parallel texts from {str(path)!r}; expected a folder of <language>.txt files, or a .parquet file "
        "with columns language and text"
    )


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as err:
        raise CorpusError(f"{str(file)!r} is not UTF-8 at byte {err.start}; convert it to UTF-8") from err
    except OSError as err:
        raise CorpusError(f"cannot read {str(file)!r}: {err.strerror}") from err


def _from_parquet(path: Path) -> dict[str, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, columns=["language", "text"]).to_pylist()
    except (pa.ArrowException, OSError) as err:
        raise CorpusError(f"cannot read columns language and text from {str(path)!r}: {str(err)[:200]}") from err
    parts: dict[str, list[str]] = {}
    for index, row in enumerate(rows):
        language, text = row.get("language"), row.get("text")
        if not isinstance(language, str) or not isinstance(text, str):
            raise CorpusError(
                f"row {index} of {str(path)!r} has language {repr(language)[:40]} and text {repr(text)[:40]}; "
                "expected two strings"
            )
        parts.setdefault(language, []).append(text)
    if not parts:
        raise CorpusError(f"{str(path)!r} has no rows; expected columns language and text")
    return {language: "\n".join(texts) for language, texts in parts.items()}
