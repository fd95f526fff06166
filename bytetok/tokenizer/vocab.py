"""The vocabulary: which bytes each token id stands for, and how tokens merge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from bytetok import _core
from bytetok.errors import FormatError, SpecialTokenError, UnknownTokenError


class AddedToken(NamedTuple):
    """A token that is found in the text before it is split, as in Hugging Face's added vocabulary.

    ``special`` tokens are control tokens and never stand for text. ``single_word``: only where no word character
    touches it. ``lstrip`` and ``rstrip``: it takes the white space beside it. ``normalized``: it is looked for after
    normalization.
    """

    text: str
    id: int
    special: bool = False
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


class CharacterScheme(NamedTuple):
    """SentencePiece-style BPE: merging starts from characters, and a character that no token holds becomes bytes.

    ``byte_ids``: the ids of the tokens ``<0x00>`` to ``<0xFF>``. ``prefix``: a space is put before nothing, before the
    text, or before each stretch of text between added tokens; if not ``prefix_always``, only where there is none yet.
    ``scores``: by id; any two neighbors that join to a token merge, highest score first, as in a SentencePiece file. If
    None, the vocabulary's merges decide, as in tokenizer.json.

    Token bytes are what a token stands for: ``▁`` is a space, ``<0x0A>`` a line feed. A ``▁`` in the
    text is a space too.
    """

    byte_ids: tuple[int, ...]
    prefix: Literal["none", "first", "each"] = "none"
    prefix_always: bool = True
    scores: tuple[float, ...] | None = None


class Vocab:
    """Token bytes by id, added tokens by text, and merges as pairs of ids in rank order. Immutable.

    An id that no token has (a gap, as in o200k_base between its ranks and its special tokens) holds ``b""``.
    ``whole_first``: a pretoken that is a token as a whole is that token whatever the merges say (``ignore_merges`` in
    tokenizer.json). ``ranked``: any two neighbors that join to a token merge, lowest id first, as in a ``.tiktoken``
    file; merges then follow from the tokens and need not be given. ``characters``: merging starts from characters
    instead of bytes, see :class:`CharacterScheme`.

    Raises FormatError for two ordinary tokens of the same bytes, and SpecialTokenError for clashing added tokens.
    """

    def __init__(
        self,
        tokens: tuple[bytes, ...],
        merges: tuple[tuple[int, int], ...] | None = None,
        added_tokens: Mapping[str, AddedToken] | None = None,
        whole_first: bool = False,
        ranked: bool = False,
        characters: CharacterScheme | None = None,
    ) -> None:
        self.tokens = tokens
        self.added_tokens: Mapping[str, AddedToken] = MappingProxyType(dict(added_tokens or {}))
        self.whole_first = whole_first
        self.ranked = ranked
        self.characters = characters
        # None where they follow from the ranks: hundreds of thousands of pairs, of use only to other formats.
        self.given_merges = merges if merges is not None or ranked else ()
        ids: dict[int, str] = {}
        for text, token in self.added_tokens.items():
            if not 0 <= token.id < len(self.tokens):
                raise SpecialTokenError(f"added token {text!r} has id {token.id}, outside 0 to {len(self.tokens) - 1}")
            if not text or token.text != text or self.tokens[token.id] != self._bytes_of(text):
                raise SpecialTokenError(
                    f"added token {token.text!r} stands under {text!r} and has id {token.id}, whose token is "
                    f"{self.tokens[token.id][:80]!r}; all three must be the same text, and not empty"
                )
            if ids.setdefault(token.id, text) != text:
                raise SpecialTokenError(f"added tokens {ids[token.id]!r} and {text!r} both have id {token.id}")
        if characters is not None and (len(characters.byte_ids) != 256 or len(set(characters.byte_ids)) != 256):
            raise FormatError(
                "byte fallback needs 256 tokens, <0x00> to <0xFF>, each with its own id; got "
                f"{len(set(characters.byte_ids))}"
            )
        if characters is not None and not all(0 <= token_id < len(tokens) for token_id in characters.byte_ids):
            raise FormatError(f"a byte token has an id outside 0 to {len(tokens) - 1}")
        self._ids  # noqa: B018 - finds duplicates now, not at first use
        self._frozen = True

    def __setattr__(self, name: str, value: object) -> None:
        # What is derived from the tokens may be kept later, what it is derived from may not change.
        if "_frozen" in self.__dict__ and name in _FIELDS:
            raise AttributeError(f"a Vocab is immutable, and {name} cannot be set; make another one")
        super().__setattr__(name, value)

    def _bytes_of(self, text: str) -> bytes:
        text = text.replace("▁", " ") if self.characters else text
        return text.encode(errors="surrogatepass")

    @cached_property
    def merges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of ids in rank order; of a ranked vocabulary, all pairs that join to a token, by the id of that."""
        if self.given_merges is not None:
            return self.given_merges
        ordinary = [token if is_ordinary else b"" for token, is_ordinary in zip(self, self.ordinary(), strict=True)]
        return tuple((left, right) for left, right, _ in _core.merges_of_ranks(ordinary))

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        apart = self._apart
        ids = {token: token_id for token_id, token in enumerate(self.tokens) if token}
        if len(ids) == len(self.tokens):  # the usual case, in which there is nothing to look at one by one
            for token_id in apart:
                del ids[self.tokens[token_id]]
            return ids
        ids = {}
        for token_id, token in enumerate(self.tokens):
            if token and token_id not in apart and ids.setdefault(token, token_id) != token_id:
                raise FormatError(f"token {token[:80]!r} has two ids, {ids[token]} and {token_id}; ids must be unique")
        return ids

    @cached_property
    def _apart(self) -> frozenset[int]:
        """Ids that no merging makes."""
        if self.characters is None:
            return self._added_ids
        if self.characters.scores is None:
            return frozenset(self.characters.byte_ids)
        # Where whatever joins to a token merges, control tokens must not be there to be joined to.
        return frozenset({*self.characters.byte_ids, *self.special_tokens.values()})

    @cached_property
    def _added_ids(self) -> frozenset[int]:
        return frozenset(token.id for token in self.added_tokens.values())

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Ids of the control tokens by their text."""
        return {text: token.id for text, token in self.added_tokens.items() if token.special}

    def is_added(self, token_id: int) -> bool:
        """Whether an id belongs to an added token, special or not."""
        return token_id in self._added_ids

    def id_of(self, token: bytes) -> int:
        """The id of an ordinary token; raises UnknownTokenError if there is none."""
        try:
            return self._ids[token]
        except KeyError:
            raise UnknownTokenError(f"token {token[:80]!r} is not in this vocabulary of {len(self)}") from None

    def get(self, token: bytes) -> int | None:
        """The id of an ordinary token, or None."""
        return self._ids.get(token)

    @cached_property
    def merge_triples(self) -> list[tuple[int, int, int]]:
        """Merges as ``(left, right, token)``; raises FormatError if one needs or makes a token that is not there."""
        triples = []
        for rank, (left, right) in enumerate(self.merges):
            if not (0 <= left < len(self.tokens) and 0 <= right < len(self.tokens)):
                raise FormatError(f"merge {rank} joins ids {left} and {right}; ids go from 0 to {len(self.tokens) - 1}")
            joined = self.tokens[left] + self.tokens[right]
            token = self._ids.get(joined)
            if token is None:
                raise FormatError(f"merge {rank} makes {joined[:80]!r}, which is not in the vocabulary")
            triples.append((left, right, token))
        return triples

    def ordinary(self) -> list[bool]:
        """For each id, whether merging can make it: not added tokens, gaps, and the bytes of a character scheme.

        With a character scheme an added token may be made of text as well, as in SentencePiece files.
        """
        apart = self._apart
        return [bool(token) and token_id not in apart for token_id, token in enumerate(self.tokens)]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, token_id: int) -> bytes:
        if not 0 <= token_id < len(self.tokens):
            raise UnknownTokenError(f"token id {token_id} is outside 0 to {len(self.tokens) - 1}")
        return self.tokens[token_id]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocab) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((self.tokens, self.whole_first, self.ranked))

    def _parts(self) -> tuple[Any, ...]:
        return self.tokens, self.merges, dict(self.added_tokens), self.whole_first, self.ranked, self.characters

    def __repr__(self) -> str:
        kind = "characters" if self.characters else "bytes"
        return f"Vocab({len(self):,} tokens of {kind}, {len(self.added_tokens):,} added)"

    def __reduce__(self) -> tuple[type[Vocab], tuple[Any, ...]]:
        added = dict(self.added_tokens)
        return Vocab, (self.tokens, self.given_merges, added, self.whole_first, self.ranked, self.characters)


_FIELDS = frozenset({"tokens", "given_merges", "added_tokens", "whole_first", "ranked", "characters"})


def special_tokens_from(texts: Sequence[str], first_id: int = 0) -> dict[str, AddedToken]:
    """Number special tokens from ``first_id``; raises SpecialTokenError for an empty or a repeated one."""
    tokens: dict[str, AddedToken] = {}
    if isinstance(texts, (str, bytes)):
        raise SpecialTokenError(f"special tokens are {texts!r}; expected a list of texts, such as [{texts!r}]")
    for text in texts:
        if not isinstance(text, str):
            raise SpecialTokenError(f"special token {text!r} is a {type(text).__name__}; expected a str")
        if not text:
            raise SpecialTokenError("a special token is empty; every special token needs a text to be found by")
        if text in tokens:
            raise SpecialTokenError(f"special token {text!r} is given twice; each may appear once")
        try:
            text.encode()
        except UnicodeEncodeError as err:
            raise SpecialTokenError(f"special token {text!r} holds a lone surrogate and has no UTF-8") from err
        tokens[text] = AddedToken(text, first_id + len(tokens), special=True)
    return tokens
