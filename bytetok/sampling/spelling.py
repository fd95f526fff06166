"""Which tokenizers can be followed byte by byte, under which law, and what stands before every text.

What could not be exact is refused here, by name.
"""

from __future__ import annotations

from typing import Literal

from bytetok import _core
from bytetok.errors import FormatError, InvalidPatternError, VocabMismatchError
from bytetok.tokenizer.foreign import ForeignTokenizer
from bytetok.tokenizer.tokenizer import Tokenizer

Law = Literal["canonical", "all"]

_PROBES = ("a", "the cat", "I am, 2.", "Zoë 日本")
"""Texts that tokens spell as they are, if they spell texts at all."""


def cover_of(tokenizer: Tokenizer | ForeignTokenizer, law: Law, excluded: list[int]) -> tuple[_core.Cover, bool]:
    """The coverings of a tokenizer's texts, and whether it puts a space before every text.

    ``excluded``: tokens that are no text. Raises VocabMismatchError for what the law would not be exact for.
    """
    if isinstance(tokenizer, ForeignTokenizer):
        return _foreign(tokenizer, law, excluded)
    cover = _cover(tokenizer, law, excluded)
    return cover, _check_canonical(tokenizer, cover) if law == "canonical" else _has_space(tokenizer)


def _foreign(tokenizer: ForeignTokenizer, law: Law, excluded: list[int]) -> tuple[_core.Cover, bool]:
    """Of a tokenizer that is not byte-pair encoding: law "all", if its tokens spell the text."""
    tokens = tokenizer.vocab.tokens
    unknown = tokenizer.unknown_id
    no_text = {*excluded} if unknown is None else {*excluded, unknown}
    has_space: bool | None = None
    for text in _PROBES:
        try:
            ids = tokenizer.encode(text, special="text")
        except FormatError:  # of a vocabulary that lacks a character and has no token for what is unknown
            continue
        spelled = b"".join(tokens[token] for token in ids)
        data = text.encode()
        if no_text.intersection(ids):
            continue  # a character that it does not know
        if spelled not in (data, b" " + data):
            raise VocabMismatchError(
                f"{tokenizer.name}: {tokenizer.reason}; its tokens for {text!r} spell {spelled!r}, so that they are no "
                "model of bytes"
            )
        has_space = spelled != data
    if has_space is None:
        raise VocabMismatchError(
            f"{tokenizer.name}: {tokenizer.reason}; it knows the characters of none of {_PROBES}, so nothing "
            "shows how its tokens spell a text, and they are no model of bytes"
        )
    if law == "canonical":
        raise VocabMismatchError(
            f'{tokenizer.name}: {tokenizer.reason}; law="canonical" knows the encodings of byte-pair encoding only; '
            'law="all" takes the tokens as they are'
        )
    # Under law "all" it does not matter how a text is encoded, so no merges, and nothing that cuts it.
    encoder = _core.Encoder(_core.Splitter([]), tokens, [bool(token) for token in tokens], merges=[])
    return _core.Cover(encoder, law, sorted(no_text)), has_space


def _cover(tokenizer: Tokenizer, law: Law, excluded: list[int]) -> _core.Cover:
    try:
        return _core.Cover(tokenizer.engine, law, excluded)
    except InvalidPatternError as err:
        raise VocabMismatchError(
            f"the split pattern of {tokenizer.name} cannot be followed byte by byte: {err}; "
            'law="all" takes the tokens as they are'
        ) from err


def _has_space(tokenizer: Tokenizer) -> bool:
    """Whether the vocabulary puts a space before every text."""
    scheme = tokenizer.vocab.characters
    if scheme is None or scheme.prefix == "none":
        return False
    if not scheme.prefix_always:
        raise VocabMismatchError(
            f"{tokenizer.name} puts a space before a text only if there is none; byte sampling needs one that always "
            "does"
        )
    return True


def _check_canonical(tokenizer: Tokenizer, cover: _core.Cover) -> bool:
    """Raises VocabMismatchError for what law "canonical" would not be exact for; else :func:`_has_space`."""
    has_space = _has_space(tokenizer)
    reason = _why_not_added(tokenizer)
    if cover.odd and tokenizer.vocab.characters is not None:
        reason = f"has {cover.odd} tokens that are whole texts but that merges never make"
    if reason is not None:
        raise VocabMismatchError(f'{tokenizer.name} {reason}; law="all" takes the tokens as they are')
    return has_space


def _why_not_added(tokenizer: Tokenizer) -> str | None:
    """What about the added tokens cannot be exact, if something cannot."""
    tokens = tokenizer.vocab.added_tokens.values()
    found = [token for token in tokens if not token.special]
    strip = [token.text for token in found if token.lstrip or token.rstrip]
    if strip:
        return (
            f"has {len(strip)} added tokens that take the white space beside them, such as {strip[0]!r}: texts with "
            "and without it are encoded alike, and none has a probability of its own"
        )
    words = [token.text for token in found if token.single_word]
    if words and tokenizer.vocab.characters is not None:
        return f"merges characters and has {len(words)} added tokens that are single words, such as {words[0]!r}"
    late = [token for token in found if token.normalized]
    if late and len(late) < len(found) and any(token.single_word for token in late):
        return f"looks for {late[0].text!r}, a single word, in what other added tokens leave"
    # Tokens looked for later do not hide those looked for before, whatever is to the left.
    for token in found:
        for other in tokens:
            if other.normalized != token.normalized and _may_overlap(token.text, other.text):
                return f"looks for {token.text!r} and {other.text!r}, which may overlap, one after the other"
    return None


def _may_overlap(one: str, other: str) -> bool:
    """Whether two texts may share a part of a text."""

    def reaches(a: str, b: str) -> bool:
        return any(a[start:].startswith(b) or b.startswith(a[start:]) for start in range(len(a)))

    return reaches(one, other) or reaches(other, one)
