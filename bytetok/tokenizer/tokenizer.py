"""The tokenizer: text to ids and back, exactly."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from bytetok import _core
from bytetok.errors import EncodingError, UnknownTokenError
from bytetok.tokenizer.patterns import LLAMA_CPP_PRE, SplitPattern
from bytetok.tokenizer.streaming import Decoder, Encoder, counted_until, spans_of
from bytetok.tokenizer.vocab import Vocab

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
        self._vocab: Vocab | Callable[[], Vocab] = vocab
        self.pattern = pattern
        self.normalizer: Normalizer | None = normalizer
        self.name = name
        self.provenance: Mapping[str, Any] = dict(provenance or {})

    @classmethod
    def from_engine(
        cls,
        engine: _core.Encoder,
        vocab: Callable[[], Vocab],
        pattern: SplitPattern,
        *,
        prefix: str | None,
        normalizer: Normalizer | None,
        name: str,
        provenance: Mapping[str, Any],
    ) -> Tokenizer:
        """A tokenizer whose engine is there already, and whose vocabulary is made when it is asked for."""
        tokenizer = cls.__new__(cls)
        tokenizer._vocab = vocab
        tokenizer.pattern, tokenizer.normalizer = pattern, normalizer
        tokenizer.name, tokenizer.provenance = name, dict(provenance)
        # What would otherwise be worked out from the vocabulary.
        tokenizer.__dict__.update(_encoder=engine, _prefix=prefix)
        return tokenizer

    @classmethod
    def load(cls, path_or_name: str | os.PathLike[str]) -> Tokenizer | ForeignTokenizer:
        """Load a tokenizer: a path, the id of a model on the Hugging Face hub, or the name of a published one.

        A folder, a tokenizer.json, a ``.tiktoken`` rank file, a tekken.json, a SentencePiece ``.model``, or a
        ``.bytetok`` file of :meth:`save`; ``"gpt-4o"`` and other names are found in installed packages. BPE of any kind
        runs on our engine, byte-level or SentencePiece-style, with NFC, NFD, NFKC and NFKD. WordPiece, Unigram, and
        what else our engine does not know run on the packages ``tokenizers`` and ``sentencepiece`` behind the same
        methods; :attr:`ForeignTokenizer.reason` says why.

        Raises FormatError for a broken file or one that nothing here can run, and CorpusError for a missing one.
        """
        from bytetok.tokenizer.loading import load

        tokenizer = load(path_or_name)
        if isinstance(tokenizer, Tokenizer):
            tokenizer._encoder  # noqa: B018 - what is wrong with it shows now, and the first text does not wait
        return tokenizer

    @property
    def vocab(self) -> Vocab:
        """Token bytes, merges and added tokens. Of a tokenizer in one file they are read when they are asked for."""
        if not isinstance(self._vocab, Vocab):
            self._vocab = self._vocab()
        return self._vocab

    @cached_property
    def _encoder(self) -> _core.Encoder:
        vocab = self.vocab
        scheme = vocab.characters
        by_rank = vocab.ranked or (scheme is not None and scheme.scores is not None)
        return _core.Encoder(
            self.pattern.core,
            list(vocab.tokens),
            vocab.ordinary(),
            merges=None if by_rank else vocab.merge_triples,
            ranks=_ranks_of(scheme.scores) if scheme is not None and scheme.scores is not None else None,
            added=list(vocab.added_tokens.values()),
            whole_first=vocab.whole_first,
            normalizer=self.normalizer,
            characters=(list(scheme.byte_ids), scheme.prefix, scheme.prefix_always) if scheme is not None else None,
        )

    @property
    def engine(self) -> _core.Encoder:
        """The compiled encoder, for other parts of this package."""
        return self._encoder

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        return len(self._encoder)

    @property
    def is_linear(self) -> bool:
        """Whether encoding takes time in proportion to the text, whatever it is.

        It does for every split pattern with a name, and with every vocabulary; any other regex runs on an engine that
        may backtrack, up to a limit that is an error.
        """
        return self._encoder.is_linear

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
        incomplete vocabulary lacks; InvalidPatternError if a regex without a scanner backtracks without end.
        """
        if out == "list":
            return self._encoder.encode(text, special)
        if out != "numpy":
            raise ValueError(f"out={out!r} is not one of 'list', 'numpy'")
        import numpy as np

        return np.frombuffer(self._encoder.encode_to_bytes(text, special), dtype=np.uint32)

    @overload
    def encode_batch(
        self,
        docs: Iterable[str | bytes],
        *,
        threads: int | None = ...,
        special: Special = ...,
        out: Literal["list"] = ...,
    ) -> list[list[int]]: ...
    @overload
    def encode_batch(
        self, docs: Iterable[str | bytes], *, threads: int | None = ..., special: Special = ..., out: Literal["numpy"]
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]: ...
    def encode_batch(
        self,
        docs: Iterable[str | bytes],
        *,
        threads: int | None = None,
        special: Special = "raise",
        out: Literal["list", "numpy"] = "list",
    ) -> list[list[int]] | tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Encode many texts on ``threads`` threads (all cores by default), each as :meth:`encode` would.

        As lists, or with ``out="numpy"`` as a ragged pair: all ids in one uint32 array ``(n,)``, and int64 offsets
        ``(len(docs) + 1,)``, so that the ids of document ``i`` are ``ids[offsets[i]:offsets[i + 1]]``.
        """
        if isinstance(docs, (str, bytes)):
            raise EncodingError(f"expected an iterable of texts, got one {type(docs).__name__}; pass [text]")
        if threads is None:
            threads = os.cpu_count() or 1
        if threads < 1:
            raise EncodingError(f"threads is {threads}; at least one is needed")
        if out == "list":
            return self._encoder.encode_batch(list(docs), special, threads)
        if out != "numpy":
            raise ValueError(f"out={out!r} is not one of 'list', 'numpy'")
        import numpy as np

        ids, offsets = self._encoder.encode_ragged(list(docs), special, threads)
        return np.frombuffer(ids, dtype=np.uint32), np.frombuffer(offsets, dtype=np.int64)

    def count(self, text: str | bytes, *, special: Special = "raise") -> int:
        """The number of tokens of a text."""
        return self._encoder.count(text, special)

    def count_until(self, text: str, limit: int, *, special: Special = "raise") -> int | None:
        """The number of tokens of a text, or None if it is more than ``limit``.

        Stops reading soon after the limit is passed, so that a question about a context window costs what fits into it.
        """
        return counted_until(self, text, limit, special=special)

    def encode_beginning(
        self, text: str, *, is_rest: bool = False, special: Special = "raise"
    ) -> tuple[list[int], int, int]:
        """The ids of a text that may go on, how many of them stay whatever follows, and the UTF-8 bytes of these.

        With ``is_rest``, the text is what follows such a stable beginning. :meth:`encoder` does the bookkeeping.
        """
        ids, stable, size = self._encoder.encode_stable(text, special, is_rest)
        return memoryview(ids).cast("I").tolist(), stable, size

    def encoder(self, *, special: Special = "raise") -> Encoder:
        """An encoder of text that is still being written; see :class:`bytetok.tokenizer.streaming.Encoder`."""
        return Encoder(self, special=special)

    def decoder(self) -> Decoder:
        """A decoder of ids that come one by one; see :class:`bytetok.tokenizer.streaming.Decoder`."""
        return Decoder(self)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token; raises UnknownTokenError for an id outside the vocabulary."""
        if not 0 <= token_id < len(self._encoder):
            raise UnknownTokenError(f"token id {token_id} is outside 0 to {len(self._encoder) - 1}")
        return self._encoder.token(token_id)

    def decode_bytes(self, ids: Iterable[int], *, is_rest: bool = False) -> bytes:
        """The bytes that ids stand for, special tokens as their text.

        The space that a SentencePiece-style vocabulary puts before a text is taken off, unless the ids go on where
        others ended (``is_rest``). Raises UnknownTokenError with the place of an id that no token has.
        """
        data = self._encoder.decode(ids)
        return data.removeprefix(b" ") if self._has_prefix and not is_rest else data

    def decode(self, ids: Iterable[int]) -> str:
        """The text that ids stand for; bytes that are not UTF-8 become U+FFFD. :meth:`decode_bytes` loses nothing."""
        return self._encoder.decode_text(ids, self._has_prefix)

    @property
    def _has_prefix(self) -> bool:
        return self._prefix not in (None, "none")

    @cached_property
    def _prefix(self) -> str | None:
        return self.vocab.characters.prefix if self.vocab.characters is not None else None

    def spans(
        self, ids: Sequence[int], *, unit: Literal["bytes", "characters"] = "bytes"
    ) -> list[tuple[int, int]]:
        """The offsets ``(start, end)`` of each token in ``decode_bytes(ids)``, or in characters of ``decode(ids)``.

        A token that is only part of a character spans, in characters, the whole of it.
        """
        return spans_of([self.token_bytes(token_id) for token_id in ids], self.decode_bytes(ids), unit)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a folder, or one binary file if the name ends in ``.bytetok``.

        The folder holds tokenizer.json, tokenizer_config.json and bytetok.json (provenance); ``tokenizers`` and
        transformers 4 and 5 load it and encode as this tokenizer does. The file is mapped into memory when it is
        loaded, by this version of bytetok, and is ready at once. Raises LossyConversionError for a vocabulary that
        tokenizer.json cannot express.
        """
        if Path(path).suffix == ".bytetok":
            from bytetok.tokenizer import binary_format

            binary_format.write(Path(path), self)
        else:
            from bytetok.tokenizer import json_format

            json_format.write(
                Path(path), self.vocab, self.pattern, self.description(), normalizer=self.normalizer
            )

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


def _ranks_of(scores: Sequence[float]) -> list[int]:
    """Merges go by score, the highest first; equal scores have equal ranks."""
    order = {score: rank for rank, score in enumerate(sorted(set(scores), reverse=True))}
    return [order[score] for score in scores]


def _rebuild(
    vocab: Vocab, pattern: SplitPattern, normalizer: Normalizer | None, name: str, provenance: dict[str, Any]
) -> Tokenizer:
    return Tokenizer(vocab, pattern, normalizer=normalizer, name=name, provenance=provenance)

