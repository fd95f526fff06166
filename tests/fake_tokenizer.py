"""A tokenizer small enough to compute by hand: greedy longest match over a list of byte strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

BYTES = tuple(bytes([b]) for b in range(256))


@dataclass
class FakeTokenizer:
    """Ids: the 256 bytes, then ``words``, then ``specials``.

    ``pieces`` are cut off on both sides before matching, so that no token crosses them (a split pattern's doing).
    ``template`` is put before every text, as BOS is. ``dead`` words are never matched.
    """

    words: Sequence[bytes] = ()
    name: str = "fake"
    specials: Sequence[str] = ()
    added: Sequence[bytes] = ()
    template: Sequence[int] = ()
    dead: Sequence[bytes] = ()
    lossy: bool = False
    text_only: bool = False
    batches: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        tokens = (*BYTES, *self.words, *self.added, *(text.encode() for text in self.specials))
        first_added = 256 + len(self.words)
        first_special = first_added + len(self.added)
        added = {word.decode(): SimpleNamespace(id=first_added + i, special=False) for i, word in enumerate(self.added)}
        special = {text: first_special + i for i, text in enumerate(self.specials)}
        self.vocab: Any = SimpleNamespace(tokens=tokens, special_tokens=special, added_tokens=added)
        self.vocab_size = len(tokens)
        self._ids = {token: i for i, token in enumerate(tokens[:first_special]) if token not in self.dead}
        self._longest = max(map(len, self._ids))

    def encode(self, text: str | bytes, *, special: str) -> list[int]:
        assert special == "text"
        if self.text_only and isinstance(text, bytes):
            raise TypeError("text only")
        data = text.encode() if isinstance(text, str) else text
        ids = list(self.template)
        at = 0
        while at < len(data):
            for length in range(self._longest, 0, -1):
                token = data[at : at + length]
                if len(token) == length and token in self._ids:
                    ids.append(self._ids[token])
                    at += length
                    break
        return ids

    def encode_batch(self, docs: Sequence[str | bytes], *, threads: int | None, special: str) -> list[list[int]]:
        self.batches.append(len(docs))
        return [self.encode(doc, special=special) for doc in docs]

    def token_bytes(self, token_id: int) -> bytes:
        return bytes(self.vocab.tokens[token_id])

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        data = b"".join(self.vocab.tokens[i] for i in ids)
        return data.replace(b"\r", b"") if self.lossy else data

    def spans(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        spans, end = [], 0
        for i in ids:
            spans.append((end, end + len(self.vocab.tokens[i])))
            end = spans[-1][1]
        return spans
