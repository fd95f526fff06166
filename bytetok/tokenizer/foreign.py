"""Tokenizers that our engine does not own, run by other packages behind the methods of :class:`Tokenizer`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

from bytetok.errors import EncodingError, SpecialTokenError, UnknownTokenError
from bytetok.tokenizer.streaming import Encoder, one_or_more, spans_of
from bytetok.tokenizer.vocab import AddedToken

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bytetok.tokenizer.tokenizer import Special


class ForeignVocab:
    """Token bytes of a foreign tokenizer. Unlike :class:`Vocab` it knows no merges and allows equal tokens.

    An id that no token has holds ``b""``.
    """

    def __init__(self, tokens: tuple[bytes, ...], added_tokens: dict[str, AddedToken]) -> None:
        self.tokens = tokens
        self.added_tokens = added_tokens

    @property
    def special_tokens(self) -> dict[str, int]:
        """Ids of the control tokens by their text."""
        return {text: token.id for text, token in self.added_tokens.items() if token.special}

    def __len__(self) -> int:
        return len(self.tokens)


class ForeignTokenizer(ABC):
    """What :class:`Tokenizer` does, for a model that another package runs: Unigram, WordPiece, other normalizers.

    Text that its normalizer changes does not round-trip: :meth:`decode_bytes` gives what the tokens spell, and
    :meth:`decode` the text that the package makes of them. Arrays, streams and limits cost as much as encoding all of
    the text; what is appended is encoded with all that was there before.
    """

    pattern = None
    package = "another package"
    """The package that runs it."""
    name: str
    reason: str
    """Why our engine does not run it."""

    @cached_property
    def vocab(self) -> ForeignVocab:
        """Token bytes by id."""
        return self._read_vocab()

    @property
    def unknown_id(self) -> int | None:
        """The token for what has none, which spells nothing; None if there is none, or if it is a control token."""
        return None

    @abstractmethod
    def _read_vocab(self) -> ForeignVocab:
        """Token bytes by id, which are kept."""

    @abstractmethod
    def _encode(self, texts: Sequence[str], special: Special, threads: int | None) -> list[list[int]]:
        """The ids of texts without lone surrogates; "raise" has been dealt with."""

    @abstractmethod
    def _decode(self, ids: list[int]) -> str:
        """The text of ids that exist."""

    @abstractmethod
    def _special_in(self, text: str) -> tuple[int, str] | None:
        """Where the first special token in a text begins, in characters, and which it is."""

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
        """Encode text to token ids; see :meth:`Tokenizer.encode`. Bytes must be UTF-8."""
        ids = self.encode_batch([text], threads=1, special=special)[0]
        if out == "list":
            return ids
        _check_out(out)
        import numpy as np

        array = np.array(ids, dtype=np.uint32)
        array.flags.writeable = False
        return array

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
        """Encode many texts; see :meth:`Tokenizer.encode_batch`. With more than one, the package counts its threads."""
        if isinstance(docs, (str, bytes)):
            raise EncodingError(f"expected an iterable of texts, got one {type(docs).__name__}; pass [text]")
        if threads is not None and threads < 1:
            raise EncodingError(f"threads is {threads}; at least one is needed")
        if special not in ("raise", "text", "allow"):
            raise ValueError(f"special={special!r} is not one of 'raise', 'text', 'allow'")
        texts = [_text(doc) for doc in docs]
        for text in texts if special == "raise" else ():
            found = self._special_in(text)
            if found is not None:
                at, token = found
                raise SpecialTokenError(
                    f"the text holds the special token {token!r} at byte {len(text[:at].encode())}; pass "
                    'special="allow" to encode it as that token, or special="text" as text'
                )
        encoded = self._encode(texts, special, threads)
        if out == "list":
            return encoded
        _check_out(out)
        import numpy as np

        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        ids = np.fromiter((token_id for ids in encoded for token_id in ids), dtype=np.uint32, count=int(offsets[-1]))
        return ids, offsets

    def count(self, text: str | bytes, *, special: Special = "raise") -> int:
        """The number of tokens of a text."""
        return len(self.encode(text, special=special))

    def count_until(self, text: str, limit: int, *, special: Special = "raise") -> int | None:
        """The number of tokens of a text, or None if it is more than ``limit``."""
        if limit < 0:
            raise EncodingError(f"limit is {limit}; a number of tokens is 0 or more")
        count = self.count(text, special=special)
        return count if count <= limit else None

    def encode_beginning(
        self, text: str, *, is_rest: bool = False, special: Special = "raise"
    ) -> tuple[list[int], int, int]:
        """The ids of a text that may go on, of which none is known to stay."""
        return self.encode(text, special=special), 0, 0

    def encoder(self, *, special: Special = "raise") -> Encoder:
        """An encoder of text that is still being written; see :class:`bytetok.tokenizer.streaming.Encoder`."""
        return Encoder(self, special=special)

    def decoder(self) -> ForeignDecoder:
        """A decoder of ids that come one by one, with the methods of :class:`bytetok.tokenizer.streaming.Decoder`."""
        return ForeignDecoder(self)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token; raises UnknownTokenError for an id that no token has."""
        tokens = self.vocab.tokens
        if not 0 <= token_id < len(tokens) or not tokens[token_id]:
            raise UnknownTokenError(f"no token has the id {token_id}; ids go from 0 to {len(tokens) - 1}")
        return tokens[token_id]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that the tokens spell. Raises UnknownTokenError with the place of an id that no token has."""
        tokens = self.vocab.tokens
        return b"".join([tokens[token_id] for token_id in self._checked(ids)])

    def decode(self, ids: Iterable[int]) -> str:
        """The text that the package makes of ids; UnknownTokenError with the place of an id that no token has."""
        return self._decode(self._checked(ids))

    def _checked(self, ids: Iterable[int]) -> list[int]:
        tokens, checked = self.vocab.tokens, list(ids)
        for place, token_id in enumerate(checked):
            if not 0 <= token_id < len(tokens) or not tokens[token_id]:
                raise UnknownTokenError(
                    f"id {token_id} at position {place} is no token; ids go from 0 to {len(tokens) - 1}"
                )
        return checked

    def spans(self, ids: Sequence[int], *, unit: Literal["bytes", "characters"] = "bytes") -> list[tuple[int, int]]:
        """The offsets ``(start, end)`` of each token in ``decode_bytes(ids)``, or in the characters of that."""
        return spans_of([self.token_bytes(token_id) for token_id in ids], self.decode_bytes(ids), unit)

    def __repr__(self) -> str:
        kind, size = type(self).__name__, f"{self.vocab_size:,} tokens"
        return f"{kind}({self.name!r}, {size}, runs on {self.package}: {self.reason})"


class ForeignDecoder:
    """Turns ids into text one after the other, by decoding all of them again.

    What was pushed and returned so far, joined, is a beginning of ``tokenizer.decode(all_ids)``; after :meth:`finish`
    it is all of it.
    """

    def __init__(self, tokenizer: ForeignTokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._given = ""

    def push(self, ids: int | Iterable[int]) -> str:
        """The characters that are complete now; ``ids`` is one id or several.

        Raises UnknownTokenError for an id that no token has; nothing is taken in then.
        """
        ids = [*self._ids, *one_or_more(ids)]
        # What is part of a character decodes to U+FFFD, for now.
        return self._grow(ids, self._tokenizer.decode(ids).rstrip("\ufffd"))

    def finish(self) -> str:
        """What is left, as U+FFFD if it is part of a character; the decoder can then be used anew."""
        rest = self._grow(self._ids, self._tokenizer.decode(self._ids))
        self._ids, self._given = [], ""
        return rest

    def _grow(self, ids: list[int], text: str) -> str:
        self._ids = ids
        if not text.startswith(self._given):
            return ""
        new = text[len(self._given) :]
        self._given = text
        return new


def _check_out(out: str) -> None:
    if out != "numpy":
        raise ValueError(f"out={out!r} is not one of 'list', 'numpy'")


def _text(doc: str | bytes) -> str:
    if isinstance(doc, bytes):
        try:
            return doc.decode()
        except UnicodeDecodeError as err:
            raise EncodingError(f"byte offset {err.start} is not UTF-8, and this tokenizer takes text only") from err
    if not isinstance(doc, str):
        raise EncodingError(f"expected str or bytes, got {type(doc).__name__}")
    try:
        doc.encode()
    except UnicodeEncodeError as err:
        raise EncodingError(f"the str holds a lone surrogate at character {err.start}, which has no UTF-8") from err
    return doc


def rebuild(kind: type[Any], state: tuple[Any, ...]) -> Any:
    """For pickle, which calls no keywords."""
    *values, name, reason = state
    return kind(*values, name=name, reason=reason)
