"""What evaluation needs of a tokenizer, and encoding that counts text and nothing else.

Special (control) tokens are no part of a text: it is encoded with ``special="text"``, and what a template puts around
it (BOS, ``[CLS]``, ...) is taken off again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from bytetok.errors import BytetokError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Document = str | bytes


class VocabLike(Protocol):
    """The part of a ``Vocab`` that evaluation reads."""

    @property
    def tokens(self) -> Sequence[bytes]:
        """Token bytes by id; ``b""`` for an id that holds no token."""

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Control tokens: text -> id."""

    @property
    def added_tokens(self) -> Mapping[str, Any]:
        """Tokens matched before splitting: text -> an object with ``id`` and ``special``."""


class TokenizerLike(Protocol):
    """The part of a ``Tokenizer`` that evaluation calls; any object with these methods can be evaluated."""

    @property
    def name(self) -> str:
        """A short name for tables."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids, control tokens included."""

    @property
    def vocab(self) -> VocabLike:
        """Token bytes and special tokens."""

    def encode(self, text: Document, *, special: Literal["text"]) -> list[int]:
        """Token ids of one text."""

    def encode_batch(
        self, docs: Sequence[Document], *, threads: int | None, special: Literal["text"]
    ) -> Sequence[Sequence[int]]:
        """Token ids of each text."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes that the ids spell."""

    def spans(self, ids: Sequence[int]) -> Sequence[tuple[int, int]]:
        """Each token's (start, end) in ``decode_bytes(ids)``, in bytes."""

    def token_bytes(self, token_id: int, /) -> bytes:
        """The bytes of one token."""


def control_ids(tokenizer: TokenizerLike) -> frozenset[int]:
    """Ids of special (control) tokens: those that text never turns into."""
    vocab = tokenizer.vocab
    added = (token.id for token in vocab.added_tokens.values() if token.special)
    return frozenset(vocab.special_tokens.values()) | frozenset(added)


def text_ids(tokenizer: TokenizerLike) -> NDArray[np.int64]:
    """Ids that text can turn into, ascending: all but control tokens and ids that hold no bytes."""
    import numpy as np

    control = control_ids(tokenizer)
    ids = [i for i, token in enumerate(tokenizer.vocab.tokens) if token and i not in control]
    return np.array(ids, dtype=np.int64)


def encode_texts(
    tokenizer: TokenizerLike, texts: Sequence[Document], *, threads: int | None = 1
) -> list[Sequence[int]]:
    """Token ids of each text, special-token text encoded as ordinary text, and without template tokens.

    Some tokenizers put tokens around every text (BOS, ``[CLS]`` ... ``[SEP]``). Counting them would charge each of
    twenty short terms one or two tokens that it does not have, so whatever ``encode("")`` gives is taken off both ends.
    """
    ids = tokenizer.encode_batch(list(texts), threads=threads, special="text")
    template = list(tokenizer.encode("", special="text"))
    if not template:
        return list(ids)
    return [_without_template(list(one), template) for one in ids]


def encode_each(
    tokenizer: TokenizerLike, texts: Sequence[Document], *, threads: int | None = 1
) -> list[Sequence[int] | None]:
    """As :func:`encode_texts`, with ``None`` for a text that the tokenizer refuses.

    A vocabulary trained on a limited alphabet lacks some bytes, and some tokenizers take no bytes at all. That is for
    the texts that we make up; a corpus that cannot be encoded is an error.
    """
    try:
        return list(encode_texts(tokenizer, texts, threads=threads))
    except (BytetokError, UnicodeError, TypeError):
        if len(texts) == 1:
            return [None]
    middle = len(texts) // 2
    return encode_each(tokenizer, texts[:middle], threads=threads) + encode_each(
        tokenizer, texts[middle:], threads=threads
    )


def _without_template(ids: list[int], template: list[int]) -> list[int]:
    for head in range(len(template), -1, -1):
        tail = len(template) - head
        if len(ids) >= len(template) and ids[:head] == template[:head] and ids[len(ids) - tail :] == template[head:]:
            return ids[head : len(ids) - tail]
    return ids
