"""Tokenizers that our engine does not own, run by ``tokenizers`` behind the methods of :class:`Tokenizer`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from bytetok.errors import EncodingError, FormatError, MissingDependencyError, SpecialTokenError, UnknownTokenError
from bytetok.tokenizer.bytelevel import BYTES, to_bytes
from bytetok.tokenizer.tokenizer import Special
from bytetok.tokenizer.vocab import AddedToken


class ForeignVocab:
    """Token bytes of a foreign tokenizer. Unlike :class:`Vocab` it knows no merges and allows equal tokens."""

    def __init__(self, tokens: tuple[bytes, ...], added_tokens: dict[str, AddedToken]) -> None:
        self.tokens = tokens
        self.added_tokens = added_tokens

    @property
    def special_tokens(self) -> dict[str, int]:
        """Ids of the control tokens by their text."""
        return {text: token.id for text, token in self.added_tokens.items() if token.special}

    def __len__(self) -> int:
        return len(self.tokens)


class ForeignTokenizer:
    """A tokenizer.json that runs on the ``tokenizers`` package (extra ``hf``): WordPiece, Unigram, normalizers etc.

    Text that its normalizer changes does not round-trip; :meth:`decode_bytes` gives what the tokens spell.
    """

    pattern = None

    def __init__(self, path: Path, *, name: str, reason: str) -> None:
        """``reason`` says why our engine does not run the file."""
        try:
            from tokenizers import Tokenizer as Engine
        except ImportError as err:
            raise MissingDependencyError(
                f"{path} needs the package 'tokenizers', because {reason}; pip install 'bytetok-lm[hf]'"
            ) from err
        self._content = path.read_text(encoding="utf-8")
        try:
            self._engine = Engine.from_str(self._content)
        except Exception as err:  # `tokenizers` raises bare Exception for any bad file
            raise FormatError(f"{path}: neither bytetok ({reason}) nor tokenizers can read it: {err}") from err
        self._engine.no_padding()
        self._engine.no_truncation()
        self._path = path
        self.name = name
        self.reason = reason

    @cached_property
    def vocab(self) -> ForeignVocab:
        """Token bytes by id."""
        description: dict[str, Any] = json.loads(self._content)
        added = {
            entry["content"]: AddedToken(entry["content"], entry["id"], special=bool(entry.get("special")))
            for entry in description.get("added_tokens") or []
        }
        added_ids = {token.id for token in added.values()}
        entries = self._engine.get_vocab(with_added_tokens=True)
        tokens = [b""] * (1 + max(entries.values(), default=-1))
        byte_level = '"ByteLevel"' in json.dumps(description.get("decoder"))
        for string, token_id in entries.items():
            if token_id in added_ids:
                tokens[token_id] = string.encode()
            elif byte_level:
                # KL3M's character vocabularies hold a few characters that stand for no byte.
                tokens[token_id] = to_bytes(string) if all(c in BYTES for c in string) else string.encode()
            else:
                tokens[token_id] = _spelled(string)
        return ForeignVocab(tuple(tokens), added)

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return len(self.vocab)

    def encode(self, text: str | bytes, *, special: Special = "raise") -> list[int]:
        """Encode text to token ids; see :meth:`Tokenizer.encode`. Bytes must be UTF-8."""
        return self.encode_batch([text], special=special)[0]

    def encode_batch(
        self, docs: Iterable[str | bytes], *, threads: int | None = None, special: Special = "raise"
    ) -> list[list[int]]:
        """Encode many texts; ``tokenizers`` chooses its own number of threads."""
        texts = [_text(doc) for doc in docs]
        if special == "raise":
            for text in texts:
                for token in self.vocab.special_tokens:
                    if token in text:
                        raise SpecialTokenError(
                            f"the text holds the special token {token!r} at character {text.index(token)}; pass "
                            'special="allow" or special="text"'
                        )
        self._engine.encode_special_tokens = special != "allow"
        return [list(encoded.ids) for encoded in self._engine.encode_batch_fast(texts, add_special_tokens=False)]

    def count(self, text: str | bytes, *, special: Special = "raise") -> int:
        """The number of tokens of a text."""
        return len(self.encode(text, special=special))

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token; raises UnknownTokenError for an id outside the vocabulary."""
        if not 0 <= token_id < len(self.vocab):
            raise UnknownTokenError(f"token id {token_id} is outside 0 to {len(self.vocab) - 1}")
        return self.vocab.tokens[token_id]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that the tokens spell."""
        return b"".join([self.token_bytes(token_id) for token_id in ids])

    def decode(self, ids: Iterable[int]) -> str:
        """The text that the tokenizer's own decoder makes of ids."""
        return str(self._engine.decode(list(ids), skip_special_tokens=False))

    def spans(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """The byte offsets ``(start, end)`` of each token in ``decode_bytes(ids)``."""
        spans, start = [], 0
        for token_id in ids:
            end = start + len(self.token_bytes(token_id))
            spans.append((start, end))
            start = end
        return spans

    def __repr__(self) -> str:
        return f"ForeignTokenizer({self.name!r}, {self.vocab_size:,} tokens, runs on `tokenizers`: {self.reason})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._path, self.name, self.reason)


def _rebuild(path: Path, name: str, reason: str) -> ForeignTokenizer:
    return ForeignTokenizer(path, name=name, reason=reason)


def _spelled(token: str) -> bytes:
    """The bytes of a SentencePiece or WordPiece token: ``▁`` is a space, ``<0x0A>`` a byte, ``##`` only a mark."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        try:
            return bytes([int(token[3:5], 16)])
        except ValueError:
            pass
    if token.startswith("##") and len(token) > 2:
        token = token[2:]
    return token.replace("▁", " ").encode()


def _text(doc: str | bytes) -> str:
    if isinstance(doc, bytes):
        try:
            return doc.decode()
        except UnicodeDecodeError as err:
            raise EncodingError(f"byte offset {err.start} is not UTF-8, and this tokenizer takes text only") from err
    try:
        doc.encode()
    except UnicodeEncodeError as err:
        raise EncodingError(f"the str holds a lone surrogate at character {err.start}, which has no UTF-8") from err
    return doc
