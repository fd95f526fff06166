"""Which tokens of a vocabulary can text ever turn into?

A vocabulary may hold tokens that no text produces: their merges were taken away, the split pattern always cuts them
apart, or an added token gets in first. They cost rows of the embedding and are never trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bytetok.training.encoding import Document, TokenizerLike, control_ids, encode_each, text_ids

# Beside common neighbors that a token may need ("s" for the contractions of GPT patterns) a letter and a symbol so rare
# that no merge takes them: they shape the pretoken and leave the token alone.
_BEFORE = ("", " ", "a", ".", "\n", "ꙮ", "¤")
_AFTER = ("", " ", "s", ".", "\n", "ꙮ", "¤")
_CONTEXTS = (
    *(pair for pair in itertools.product(_BEFORE, _AFTER) if pair != ("", "")),
    *(("A", ""), ("", "A"), ("0", ""), ("", "0")),
)
_MAX_COMPLETIONS = 256
_BATCH = 8192


@dataclass(frozen=True)
class Reachability:
    """What became of every token of a vocabulary when it was encoded again. All ids ascend.

    Attributes:
        unreachable: ids of ordinary tokens that were never produced.
        unreachable_added: ids of added (not control) tokens that were never produced.
        context_only: ids that do not encode to themselves alone (or cannot, being part of a character in a tokenizer
            that takes only text), but were produced by some other text.
        unchecked: ids of tokens that are not UTF-8, in a tokenizer that takes only text, and that no completed
            character produced: nothing can be said about them.
        control: ids of special (control) tokens; they are not produced by text on purpose and are not checked.
        checked: number of tokens checked.
    """

    unreachable: tuple[int, ...]
    unreachable_added: tuple[int, ...]
    context_only: tuple[int, ...]
    unchecked: tuple[int, ...]
    control: tuple[int, ...]
    checked: int


def find_unreachable(tokenizer: TokenizerLike, *, seen: Iterable[int] = (), threads: int | None = 1) -> Reachability:
    """Find the tokens that do not come back when their own bytes are encoded.

    The base definition: a token is reachable **alone** if ``encode(its bytes) == [its id]``. Tokens that are UTF-8
    are encoded as text, others as bytes. For BPE without a split pattern this is exact. A split pattern may need
    neighbors, so each token that fails alone is tried again

    * valid UTF-8: between each pair out of nothing, a space, a common and a rare letter, a full stop, a rare symbol and
      a newline, and with a capital letter or a digit before or after (52 contexts);
    * not UTF-8: with its first and last partial characters completed in up to 256 ways.

    It is *unreachable* if its id appears in none of these encodings, nor in ``seen``. That is a finding by trial: a
    token that only some rarer context produces is listed although it lives.

    Args:
        tokenizer: what is examined.
        seen: ids known to occur, such as those of a corpus; they need no further proof.
        threads: handed to ``encode_batch``.
    """
    control = control_ids(tokenizer)
    added = {token.id for token in tokenizer.vocab.added_tokens.values()} - control
    tokens = tokenizer.vocab.tokens
    ids = [int(i) for i in text_ids(tokenizer)]
    produced = set(seen)
    texts = {i: text for i in ids if (text := _text_or_none(tokens[i])) is not None}
    partial = [i for i in ids if i not in texts]

    alone = _produced_alone(tokenizer, list(texts), list(texts.values()), produced, threads)
    takes_bytes = True
    for i, got in zip(partial, encode_each(tokenizer, [tokens[i] for i in partial], threads=threads), strict=True):
        if got is None:
            takes_bytes = False
            continue
        produced.update(got)
        if list(got) == [i]:
            alone.add(i)

    failing = [i for i in ids if i not in alone]
    for before, after in _CONTEXTS:
        left = [before + texts[i] + after for i in failing if i in texts and i not in produced]
        _collect(tokenizer, left, produced, threads)
    for i in failing:
        if i not in texts and i not in produced:
            _collect(tokenizer, list(itertools.islice(completions(tokens[i]), _MAX_COMPLETIONS)), produced, threads)

    missing = [i for i in failing if i not in produced]
    unchecked = [i for i in missing if i not in texts and not takes_bytes]
    gone = [i for i in missing if i in texts or takes_bytes]
    return Reachability(
        unreachable=tuple(i for i in gone if i not in added),
        unreachable_added=tuple(i for i in gone if i in added),
        context_only=tuple(i for i in failing if i in produced),
        unchecked=tuple(unchecked),
        control=tuple(sorted(control)),
        checked=len(ids) - len(unchecked),
    )


def _text_or_none(token: bytes) -> str | None:
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _produced_alone(
    tokenizer: TokenizerLike, ids: Sequence[int], texts: Sequence[str], produced: set[int], threads: int | None
) -> set[int]:
    alone: set[int] = set()
    for start in range(0, len(ids), _BATCH):
        part = slice(start, start + _BATCH)
        for i, got in zip(ids[part], encode_each(tokenizer, texts[part], threads=threads), strict=True):
            produced.update(got or ())
            if got is not None and list(got) == [i]:
                alone.add(i)
    return alone


def _collect(tokenizer: TokenizerLike, texts: Sequence[Document], produced: set[int], threads: int | None) -> None:
    for start in range(0, len(texts), _BATCH):
        for got in encode_each(tokenizer, texts[start : start + _BATCH], threads=threads):
            produced.update(got or ())


def completions(token: bytes) -> Iterator[str]:
    """Valid texts made of ``token`` by completing a partial character at its start and at its end; none if impossible.

    Two- and three-byte characters are completed at the start, characters of any length at the end, with up to 64
    choices for the byte nearest to the token.
    """
    head = len(token) - len(token.lstrip(bytes(range(0x80, 0xC0))))
    heads = [b""] if head == 0 else list(_leads(head))
    tails = list(_tails(token[head:]))
    for lead, tail in itertools.product(heads, tails):
        text = _text_or_none(lead + token + tail)
        if text is not None:
            yield text


def _leads(continuation: int) -> Iterator[bytes]:
    """Byte sequences that begin a character whose last ``continuation`` bytes are given."""
    if continuation == 1:
        yield from (bytes([lead]) for lead in range(0xC2, 0xE0))
        yield from (bytes([lead, mid]) for mid in (0x80, 0xA0, 0xB8) for lead in range(0xE0, 0xF0))
    elif continuation == 2:
        yield from (bytes([lead]) for lead in range(0xE0, 0xF0))
        yield from (bytes([0xF0, mid]) for mid in range(0x90, 0xC0))
    elif continuation == 3:
        yield from (bytes([lead]) for lead in range(0xF0, 0xF5))


def _tails(token: bytes) -> Iterator[bytes]:
    """Byte sequences that complete the last character of ``token``; ``b""`` if it is complete."""
    for back in range(1, min(3, len(token)) + 1):
        lead = token[-back]
        if lead < 0x80:
            break
        if lead >= 0xC0:
            length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            missing = length - back
            if missing > 0:
                for byte in range(0x80, 0xC0):
                    yield bytes([byte]) + b"\x80" * (missing - 1)
                return
            break
    yield b""
