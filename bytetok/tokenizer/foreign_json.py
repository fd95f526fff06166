"""tokenizer.json that our engine does not run, on the package ``tokenizers`` (extra ``hf``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bytetok.errors import FormatError, MissingDependencyError
from bytetok.tokenizer.bytelevel import BYTES, to_bytes
from bytetok.tokenizer.foreign import ForeignTokenizer, ForeignVocab, rebuild
from bytetok.tokenizer.json_added import read_added

if TYPE_CHECKING:
    from bytetok.tokenizer.tokenizer import Special

_MARK = "▁"
_BYTE_TOKENS = {f"<0x{byte:02X}>": bytes([byte]) for byte in range(256)}


class JsonTokenizer(ForeignTokenizer):
    """A tokenizer.json of WordPiece, Unigram, other normalizers and the like. Safe to share between threads."""

    package = "tokenizers"

    def __init__(self, path: Path, content: str, *, name: str, reason: str) -> None:
        """``content`` is that of the file; ``reason`` says why our engine does not run it.

        Raises MissingDependencyError without the package, and FormatError for a file that it does not run either.
        """
        self._path, self._content = path, content
        self.name = name
        self.reason = reason
        try:
            import tokenizers  # noqa: F401
        except ImportError as err:
            raise MissingDependencyError(
                f"{path} needs the package 'tokenizers', because {reason}; pip install 'bytetok-lm[hf]'"
            ) from err
        self._of_text = self._make()

    def _make(self) -> Any:
        from tokenizers import Tokenizer as Engine

        try:
            engine = Engine.from_str(self._content)
        except BaseException as err:  # `tokenizers` raises bare Exception for any bad file
            _let_through(err)
            raise FormatError(
                f"{self._path}: neither bytetok ({self.reason}) nor tokenizers can read it: {err}"
            ) from err
        engine.no_padding()
        engine.no_truncation()
        engine.encode_special_tokens = True
        return engine

    @cached_property
    def _of_tokens(self) -> Any:
        # A second engine, because setting its option while another thread encodes would be that thread's option too.
        engine = self._make()
        engine.encode_special_tokens = False
        return engine

    def _encode(self, texts: Sequence[str], special: Special, threads: int | None) -> list[list[int]]:
        engine = self._of_tokens if special == "allow" else self._of_text
        try:
            if threads == 1 or len(texts) < 2:
                return [list(engine.encode(text, add_special_tokens=False).ids) for text in texts]
            return [list(encoded.ids) for encoded in engine.encode_batch_fast(texts, add_special_tokens=False)]
        except BaseException as err:  # such as a character without a token, where the file names no unknown one
            _let_through(err)
            raise FormatError(f"{self._path}: tokenizers cannot encode this text: {err}") from err

    def _decode(self, ids: list[int]) -> str:
        return str(self._of_text.decode(ids, skip_special_tokens=False))

    def _special_in(self, text: str) -> tuple[int, str] | None:
        present = {token_id: token for token, token_id in self.vocab.special_tokens.items() if token in text}
        if not present:
            return None
        # Flags may keep it from being found, and a model may give its id for something else.
        encoded = self._of_tokens.encode(text, add_special_tokens=False)
        for token_id, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
            token = present.get(token_id)
            if token is not None and (at := text.find(token, start, end)) >= 0:
                return at, token
        return None

    @property
    def unknown_id(self) -> int | None:
        """That of the model; see the class above."""
        model: dict[str, Any] = json.loads(self._content).get("model") or {}
        unknown = model.get("unk_id")
        if isinstance(unknown, int):
            return unknown
        return self._of_text.token_to_id(model["unk_token"]) if isinstance(model.get("unk_token"), str) else None

    def _read_vocab(self) -> ForeignVocab:
        described: dict[str, Any] = json.loads(self._content)
        added = read_added(self._path, described.get("added_tokens") or [])
        # `tokenizers` may give an added token another id than the file says; what it gives counts.
        entries = self._of_text.get_vocab(with_added_tokens=True)
        spell = _Spelling(described)
        tokens = [b""] * (1 + max(entries.values(), default=-1))
        for string, token_id in entries.items():
            tokens[token_id] = spell.added(string) if string in added else spell.token(string)
        return ForeignVocab(tuple(tokens), added)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (JsonTokenizer, (self._path, self._content, self.name, self.reason))


class _Spelling:
    """What the strings of a tokenizer.json stand for, by its model and decoder."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        model = described.get("model") or {}
        decoder = json.dumps(described.get("decoder"), ensure_ascii=False)
        self._byte_level = '"ByteLevel"' in decoder
        self._marks = '"Metaspace"' in decoder or _MARK in decoder
        self._fallback = bool(model.get("byte_fallback"))
        is_word_piece = model.get("type", "WordPiece") == "WordPiece"
        self._prefix = str((model.get("continuing_subword_prefix") or "##") if is_word_piece else "")
        self._suffix = str(model.get("end_of_word_suffix") or "") if '"BPEDecoder"' in decoder else ""

    def added(self, string: str) -> bytes:
        """An added token goes through the decoder as others do, but is not written in GPT-2's characters."""
        return (string.replace(_MARK, " ") if self._marks else string).encode()

    def token(self, string: str) -> bytes:
        """The bytes of an ordinary token."""
        if self._byte_level:
            # KL3M's character vocabularies hold a few characters that stand for no byte.
            return to_bytes(string) if all(c in BYTES for c in string) else string.encode()
        if self._fallback and string in _BYTE_TOKENS:
            return _BYTE_TOKENS[string]
        if self._prefix and string != self._prefix:
            string = string.removeprefix(self._prefix)
        if self._suffix and string.endswith(self._suffix):
            string = string.removesuffix(self._suffix) + " "
        return self.added(string)


def _let_through(err: BaseException) -> None:
    """Raise what is no failure of `tokenizers`, whose panics are no ``Exception``."""
    if isinstance(err, KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError):
        raise err
