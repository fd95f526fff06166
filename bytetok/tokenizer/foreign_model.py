"""SentencePiece models that our engine does not run, on the package ``sentencepiece`` (extra ``spm``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bytetok.errors import FormatError, MissingDependencyError
from bytetok.tokenizer.foreign import ForeignTokenizer, ForeignVocab, rebuild
from bytetok.tokenizer.sentencepiece_format import BYTE, CONTROL, UNKNOWN, USER_DEFINED, parse
from bytetok.tokenizer.vocab import AddedToken

if TYPE_CHECKING:
    from bytetok.tokenizer.tokenizer import Special


class SentencePieceTokenizer(ForeignTokenizer):
    """A ``.model`` file: Unigram, or BPE with a normalizer. ``special="text"`` is what sentencepiece itself does.

    It finds no control symbols in text. With ``special="allow"`` the text between them is encoded as if each stretch
    were all there is.
    """

    package = "sentencepiece"

    def __init__(self, path: Path, data: bytes, *, name: str, reason: str) -> None:
        """``data`` is the content of the file; ``reason`` says why our engine does not run it.

        Raises MissingDependencyError without the package, and FormatError for a file that it does not run either.
        """
        self._path, self._data = path, data
        self.name = name
        self.reason = reason
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as err:
            raise MissingDependencyError(
                f"{path} needs the package 'sentencepiece', because {reason}; pip install 'bytetok-lm[spm]'"
            ) from err
        try:
            self._engine = SentencePieceProcessor(model_proto=data)
        except Exception as err:  # RuntimeError, and OSError where it takes the content for a name
            raise FormatError(f"{path}: neither bytetok ({reason}) nor sentencepiece can read it: {err}") from err

    def _encode(self, texts: Sequence[str], special: Special, threads: int | None) -> list[list[int]]:
        if special != "allow":
            if threads == 1 or len(texts) < 2:
                return [list(self._engine.encode(text)) for text in texts]
            return [list(ids) for ids in self._engine.encode(list(texts), num_threads=threads or -1)]
        special_ids = self.vocab.special_tokens
        encoded = []
        for text in texts:
            # Every second part is a control symbol.
            parts = self._finder.split(text) if special_ids else [text]
            ids = (
                [special_ids[part]] if place % 2 else self._engine.encode(part) for place, part in enumerate(parts)
            )
            encoded.append([token_id for found in ids for token_id in found])
        return encoded

    def _decode(self, ids: list[int]) -> str:
        return str(self._engine.decode(ids))

    def _special_in(self, text: str) -> tuple[int, str] | None:
        found = self._finder.search(text) if self.vocab.special_tokens else None
        return (found.start(), found.group()) if found else None

    @cached_property
    def _finder(self) -> re.Pattern[str]:
        longest_first = sorted(self.vocab.special_tokens, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first))})")

    def _read_vocab(self) -> ForeignVocab:
        added: dict[str, AddedToken] = {}
        tokens = []
        for token_id, piece in enumerate(parse(self._path, self._data).pieces):
            if piece.type == BYTE:
                tokens.append(bytes([int(piece.text[3:5], 16)]))
                continue
            tokens.append(piece.text.replace("▁", " ").encode())
            if piece.type in (UNKNOWN, CONTROL, USER_DEFINED):
                added[piece.text] = AddedToken(piece.text, token_id, special=piece.type != USER_DEFINED)
        return ForeignVocab(tuple(tokens), added)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (SentencePieceTokenizer, (self._path, self._data, self.name, self.reason))
