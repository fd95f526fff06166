"""The tokenizer: text to ids and back, exactly."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from bytetok import _core
from bytetok.errors import EncodingError, UnknownTokenError
from bytetok.tokenizer import json_format
from bytetok.tokenizer.patterns import LLAMA_CPP_PRE, SplitPattern
from bytetok.tokenizer.vocab import Vocab

if TYPE_CHECKING:
    from bytetok.tokenizer.foreign import ForeignTokenizer

Normalizer = Literal["NFC", "NFD", "NFKC", "NFKD"]
"""A Unicode normalization form, with the tables of ``tokenizers``."""

Special = Literal["raise", "text", "allow"]
"""What to do with the text of a special token in the input: raise, encode it as text, or encode it as that token."""


class Tokenizer:
    """Byte-level BPE with a split pattern and added tokens. Immutable, picklable, safe to share between threads.

    Make one with :meth:`load`, with :func:`bytetok.train_bpe`, or from a :class:`Vocab` and a :class:`SplitPattern`.
    ``provenance`` says where it came from, and is saved as bytetok.json.
    """

    def __init__(
        self,
        vocab: Vocab,
        pattern: SplitPattern,
        *,
        normalizer: Normalizer | None = None,
        name: str = "tokenizer",
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.vocab = vocab
        self.pattern = pattern
        self.normalizer: Normalizer | None = normalizer
        self.name = name
        self.provenance: Mapping[str, Any] = dict(provenance or {})

    @classmethod
    def load(cls, path_or_name: str | os.PathLike[str]) -> Tokenizer | ForeignTokenizer:
        """Load a folder, a tokenizer.json, a ``.tiktoken`` rank file, or a reference by name such as ``"gpt-4o"``.

        Byte-level BPE runs on our engine. Other models (WordPiece, Unigram, SentencePiece-style BPE, anything with a
        normalizer) run on the ``tokenizers`` package behind the same methods.

        Raises FormatError for a broken file or one that nothing here can run, and CorpusError for a missing one.
        """
        from bytetok.tokenizer.loading import load

        return load(path_or_name)

    @cached_property
    def _encoder(self) -> _core.Encoder:
        vocab = self.vocab
        if vocab.characters is not None or self.normalizer is not None:
            raise NotImplementedError("the engine does not run character schemes and normalizers yet")
        added = [
            (token.text, token.id, token.special, token.single_word, token.lstrip, token.rstrip)
            for token in vocab.added_tokens.values()
        ]
        return _core.Encoder(
            self.pattern.core,
            list(vocab.tokens),
            vocab.ordinary(),
            vocab.merge_triples,
            added,
            vocab.whole_first,
            vocab.ranked,
        )

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return len(self.vocab)

    @overload
    def encode(self, text: str | bytes, *, special: Special = ..., out: Literal["list"] = ...) -> list[int]: ...
    @overload
    def encode(self, text: str | bytes, *, special: Special = ..., out: Literal["numpy"]) -> NDArray[np.uint32]: ...
    def encode(
        self, text: str | bytes, *, special: Special = "raise", out: Literal["list", "numpy"] = "list"
    ) -> list[int] | NDArray[np.uint32]:
        """Encode text to token ids, as a list or as a read-only uint32 array of shape ``(n,)``.

        Nothing is added at either end. Raises SpecialTokenError if the text holds the text of a special token and
        ``special`` is ``"raise"``; EncodingError for a ``str`` with lone surrogates; FormatError for a byte that an
        incomplete vocabulary lacks.
        """
        ids = np.frombuffer(self._encoder.encode(text, special), dtype=np.uint32)
        return ids if out == "numpy" else ids.tolist()

    def encode_batch(
        self, docs: Iterable[str | bytes], *, threads: int | None = None, special: Special = "raise"
    ) -> list[list[int]]:
        """Encode many texts on ``threads`` threads (all cores by default), each as :meth:`encode` would."""
        if isinstance(docs, (str, bytes)):
            raise EncodingError(f"expected an iterable of texts, got one {type(docs).__name__}; pass [text]")
        if threads is None:
            threads = os.cpu_count() or 1
        if threads < 1:
            raise EncodingError(f"threads is {threads}; at least one is needed")
        encoded = self._encoder.encode_batch(list(docs), special, threads)
        return [np.frombuffer(ids, dtype=np.uint32).tolist() for ids in encoded]

    def count(self, text: str | bytes, *, special: Special = "raise") -> int:
        """The number of tokens of a text."""
        return len(self._encoder.encode(text, special)) // 4

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token; raises UnknownTokenError for an id outside the vocabulary."""
        return self.vocab[token_id]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that ids stand for, special tokens as their text.

        Raises UnknownTokenError with the place of a bad id.
        """
        tokens, size = self.vocab.tokens, len(self.vocab)
        parts = []
        for position, token_id in enumerate(ids):
            if not 0 <= token_id < size:
                raise UnknownTokenError(f"id {token_id} at position {position} is outside 0 to {size - 1}")
            parts.append(tokens[token_id])
        return b"".join(parts)

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids stand for; bytes that are not UTF-8 become U+FFFD. :meth:`decode_bytes` loses nothing."""
        return self.decode_bytes(ids).decode(errors="replace")

    def spans(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """The byte offsets ``(start, end)`` of each token in ``decode_bytes(ids)``."""
        ends = np.cumsum([0, *(len(self.token_bytes(token_id)) for token_id in ids)]).tolist()
        return list(pairwise(ends))

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write tokenizer.json, tokenizer_config.json and bytetok.json (provenance) into a folder.

        ``tokenizers`` and transformers 4 and 5 load the folder and encode as this tokenizer does. Raises
        LossyConversionError for a vocabulary that tokenizer.json cannot express.
        """
        json_format.write(Path(directory), self.vocab, self.pattern, self.description())

    def description(self) -> dict[str, Any]:
        """What bytetok.json says: the version, the split pattern, the size, and the provenance."""
        from bytetok._version import __version__

        facts = {
            "bytetok": __version__,
            "pattern": {"name": self.pattern.name, "stages": list(self.pattern.stages)},
            "vocab_size": self.vocab_size,
            "llama_cpp_pre": self.llama_cpp_pre,
        }
        # The provenance of a loaded tokenizer has facts of its own, which may no longer be true.
        return {**facts, **self.provenance, **facts}

    @property
    def llama_cpp_pre(self) -> str | None:
        """The name that llama.cpp needs as ``tokenizer.ggml.pre`` to encode as this tokenizer does, or None.

        None for a pattern that it does not know, and for domain tokens: it has no tokens for single words or whole
        pretokens. See :data:`bytetok.tokenizer.patterns.LLAMA_CPP_PRE`.
        """
        has_flags = any(t.single_word or t.lstrip or t.rstrip for t in self.vocab.added_tokens.values())
        if has_flags or (self.vocab.whole_first and not self.vocab.ranked):
            return None
        return LLAMA_CPP_PRE.get(self.pattern.name or "")

    def to_tiktoken(self) -> Any:
        """This tokenizer as a ``tiktoken.Encoding``; see :func:`bytetok.tokenizer.convert.to_tiktoken`."""
        from bytetok.tokenizer.convert import to_tiktoken

        return to_tiktoken(self)

    def to_hf(self) -> Any:
        """This tokenizer as a transformers tokenizer; see :func:`bytetok.tokenizer.convert.to_hf`."""
        from bytetok.tokenizer.convert import to_hf

        return to_hf(self)

    def renamed(self, name: str) -> Tokenizer:
        """The same tokenizer under another name, for tables."""
        return Tokenizer(
            self.vocab, self.pattern, normalizer=self.normalizer, name=name, provenance=self.provenance
        )

    def __repr__(self) -> str:
        return f"Tokenizer({self.name!r}, {self.vocab_size:,} tokens, pattern {self.pattern})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.vocab, self.pattern, self.normalizer, self.name, dict(self.provenance))


def _rebuild(
    vocab: Vocab, pattern: SplitPattern, normalizer: Normalizer | None, name: str, provenance: dict[str, Any]
) -> Tokenizer:
    return Tokenizer(vocab, pattern, normalizer=normalizer, name=name, provenance=provenance)

