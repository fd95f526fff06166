"""Hypothesis strategies: vocabularies that engines get wrong, and text that meets their merges.

Engines that look for the longest token instead of merging (ours among them) rest on what vocabularies usually are: each
merge makes a new token of older ones. Here merges come in any order, make tokens that others make too, or are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import strategies as st

import bytetok as bt
from bytetok.tokenizer import SplitPattern
from bytetok.tokenizer.vocab import CharacterScheme

# Small alphabets make merges meet. UTF-8 bytes of one script share their first bytes, and merges cross characters.
ALPHABETS = (b"a", b"ab", b"abc", b"ab ", b"abcdefgh", "éè".encode(), "漢字".encode(), "😀😁a".encode(), b"a\x00\xff")


@dataclass(frozen=True)
class Made:
    """A vocabulary: the bytes of tokens by id, merges in rank order (of ranks, None), and its letters."""

    tokens: tuple[bytes, ...]
    merges: tuple[tuple[int, int], ...] | None
    letters: bytes
    whole_first: bool = False

    def tokenizer(self, pattern: str = "none") -> bt.Tokenizer:
        ranked = self.merges is None
        vocab = bt.Vocab(self.tokens, self.merges, whole_first=self.whole_first, ranked=ranked)
        return bt.Tokenizer(vocab, SplitPattern.of(pattern))


def _grown(draw: st.DrawFn, letters: Sequence[bytes], most: int) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """Tokens that grow out of the letters, and the pairs that make them, in the order in which they were made."""
    tokens = list(letters)
    pairs = []
    for _ in range(draw(st.integers(0, most))):
        # Young tokens are drawn more often, so that some get long.
        left, right = (tokens[-1 - draw(st.integers(0, len(tokens) - 1)) // draw(st.integers(1, 3))] for _ in "lr")
        if len(left + right) > 40:
            continue
        pairs.append((left, right))
        if left + right not in tokens:
            tokens.append(left + right)
    return tokens, pairs


@st.composite
def merging(draw: st.DrawFn, max_merges: int = 24) -> Made:
    """Byte-level BPE by merges: orderly ones, or in any order, doubled, incomplete, with tokens that nothing makes."""
    letters = draw(st.sampled_from(ALPHABETS))
    tokens, pairs = _grown(draw, [bytes([byte]) for byte in dict.fromkeys(letters)], max_merges)
    if draw(st.integers(0, 2)) == 0:  # as a trainer would leave it: each merge makes the next token
        made = {left + right: (left, right) for left, right in reversed(pairs)}
        return _made(tokens, [made[token] for token in tokens if token in made], letters, draw(st.booleans()))
    if draw(st.booleans()):  # further ways to make the same tokens
        known = set(tokens)
        others = [(t[:cut], t[cut:]) for t in tokens for cut in range(1, len(t)) if {t[:cut], t[cut:]} <= known]
        if others:
            pairs += draw(st.lists(st.sampled_from(others), max_size=8))
    if draw(st.booleans()):
        pairs = list(draw(st.permutations(pairs)))
    if pairs and draw(st.booleans()):  # tokens that nothing makes any more
        gone = draw(st.sets(st.integers(0, len(pairs) - 1), max_size=3))
        pairs = [pair for place, pair in enumerate(pairs) if place not in gone]
    if draw(st.booleans()):
        tokens += [token for token in draw(st.lists(_over(letters), max_size=4, unique=True)) if token not in tokens]
    if draw(st.booleans()):
        tokens = list(draw(st.permutations(tokens)))
    return _made(tokens, list(dict.fromkeys(pairs)), letters, draw(st.booleans()))


def _made(tokens: list[bytes], pairs: list[tuple[bytes, bytes]], letters: bytes, whole_first: bool) -> Made:
    id_of = {token: index for index, token in enumerate(tokens)}
    return Made(tuple(tokens), tuple((id_of[left], id_of[right]) for left, right in pairs), letters, whole_first)


@st.composite
def ranked(draw: st.DrawFn, max_tokens: int = 24) -> Made:
    """Byte-level BPE by ranks: tokens in any order, some of which no two others join to."""
    letters = draw(st.sampled_from(ALPHABETS))
    tokens, _ = _grown(draw, [bytes([byte]) for byte in dict.fromkeys(letters)], max_tokens)
    tokens += [token for token in draw(st.lists(_over(letters), max_size=8, unique=True)) if token not in tokens]
    if draw(st.booleans()):
        tokens = list(draw(st.permutations(tokens)))
    if draw(st.booleans()):  # gaps between the ids
        place = draw(st.integers(0, len(tokens)))
        tokens[place:place] = [b""] * draw(st.integers(1, 3))
    return Made(tuple(tokens), None, letters, True)


def _over(letters: bytes, most: int = 9) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(letters), min_size=2, max_size=most).map(bytes)


def words(made: Made, max_size: int = 14) -> st.SearchStrategy[bytes]:
    """Bytes of tokens, of runs and of single letters, so that most borders could be within a token."""
    fragments = st.one_of(
        st.sampled_from([token for token in made.tokens if token]),
        st.sampled_from(made.letters).map(lambda byte: bytes([byte])),
        st.builds(
            lambda byte, times: bytes([byte]) * times, st.sampled_from(made.letters), st.integers(2, 70)
        ),
    )
    return st.lists(fragments, max_size=max_size).map(b"".join)


# character schemes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Characters:
    """A SentencePiece-style vocabulary: pieces as files spell them (``▁`` for a space), merges, and scores by id."""

    pieces: tuple[str, ...]
    merges: tuple[tuple[int, int], ...]
    scores: tuple[float, ...]
    byte_ids: tuple[int, ...]
    letters: str

    def __repr__(self) -> str:
        pieces = {
            piece: (token_id, self.scores[token_id])
            for token_id, piece in enumerate(self.pieces)
            if token_id not in self.byte_ids
        }
        merges = [f"{self.pieces[left]}+{self.pieces[right]}" for left, right in self.merges]
        return f"Characters(<0x00> is {self.byte_ids[0]}, {pieces}, {merges})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # hypothesis would print every field, a line for each byte token
        printer.text(repr(self))

    @property
    def tokens(self) -> tuple[bytes, ...]:
        """The bytes that each piece stands for."""
        of_bytes = {token_id: bytes([byte]) for byte, token_id in enumerate(self.byte_ids)}
        spelled = (piece.replace("▁", " ").encode() for piece in self.pieces)
        return tuple(of_bytes.get(token_id, token) for token_id, token in enumerate(spelled))

    def tokenizer(
        self, by: str = "scores", prefix: Literal["none", "first", "each"] = "none", *, prefix_always: bool = True
    ) -> bt.Tokenizer:
        """The tokenizer that merges by ``"scores"`` or by ``"merges"``."""
        scores = self.scores if by == "scores" else None
        scheme = CharacterScheme(self.byte_ids, prefix, prefix_always, scores)
        merges = self.merges if by == "merges" else None
        return bt.Tokenizer(bt.Vocab(self.tokens, merges, characters=scheme), SplitPattern.of("none"))

    def texts(self, max_size: int = 14) -> st.SearchStrategy[str]:
        """Text of pieces, letters, runs, and characters that are no pieces."""
        known = [piece for token_id, piece in enumerate(self.pieces) if token_id not in self.byte_ids]
        fragments = st.one_of(
            st.sampled_from(known).map(lambda piece: piece.replace("▁", " ")),
            st.sampled_from(self.letters),
            st.builds(lambda letter, times: letter * times, st.sampled_from(self.letters), st.integers(2, 40)),
            st.sampled_from(["▁", " ", "\n", "é", "漢", "😀", "<0x41>", "z", "\0", "\u0301", "<unk>"]),
        )
        return st.lists(fragments, max_size=max_size).map("".join)


@st.composite
def characters(draw: st.DrawFn, max_merges: int = 20, *, with_space: bool = False) -> Characters:
    """Merges of characters in any order, and scores with ties; byte tokens first or last.

    ``with_space``: one of the characters is a space, as in every file; without it, a space becomes bytes of U+2581.
    """
    letters = draw(st.sampled_from(["a", "ab", "漢字a", " ", "a ", "ab ", "aé ", "😀 a", "\na "][3 * with_space :]))
    start = [letter.replace(" ", "▁").encode() for letter in letters]
    grown, pairs = _grown(draw, start, max_merges)
    pieces = [token.decode() for token in grown]
    if draw(st.booleans()):
        pairs = list(draw(st.permutations(pairs)))
    if draw(st.booleans()):
        pieces = list(draw(st.permutations(pieces)))
    spelled_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = ["<unk>", *(spelled_bytes + pieces if draw(st.booleans()) else pieces + spelled_bytes)]
    id_of = {piece: index for index, piece in enumerate(pieces)}
    # Few values, so that scores tie; a SentencePiece file has whole numbers, but need not.
    score_of = {piece: draw(st.integers(-9, 9)) / 2 for piece in pieces if piece not in spelled_bytes}
    return Characters(
        tuple(pieces),
        tuple((id_of[left.decode()], id_of[right.decode()]) for left, right in dict.fromkeys(pairs)),
        tuple(score_of.get(piece, 0.0) for piece in pieces),
        tuple(id_of[piece] for piece in spelled_bytes),
        letters,
    )


# added tokens ---------------------------------------------------------------------------------------------------------

FLAGS = ("special", "single_word", "lstrip", "rstrip")
# None is one character that stands for a byte in tokenizer.json, or made of such: `tokenizers` decodes that as bytes.
TEXTS = (
    "<a>", "<a", "a>", ">>", "ab", "abab", "ba", " ab", "b ", "  ", "é漢", "\u0301", "__", "漢", "<s>", "<s><s>", "s><",
    "\n",
)  # fmt: skip


@dataclass(frozen=True)
class AddedText:
    """An added token without its id."""

    text: str
    flags: frozenset[str]

    def entry(self, token_id: int) -> dict[str, object]:
        """The entry in tokenizer.json."""
        flags = {flag: flag in self.flags for flag in FLAGS}
        return {"id": token_id, "content": self.text, "normalized": False, **flags}

    def token(self, token_id: int) -> bt.AddedToken:
        return bt.AddedToken(self.text, token_id, **dict.fromkeys(self.flags, True))


def added_tokens(max_size: int = 6) -> st.SearchStrategy[list[AddedText]]:
    """Added tokens that contain, begin and end one another, with any flags."""
    made = st.builds(AddedText, st.sampled_from(TEXTS), st.frozensets(st.sampled_from(FLAGS), max_size=2))
    return st.lists(made, max_size=max_size, unique_by=lambda token: token.text)


def added_texts() -> st.SearchStrategy[str]:
    """Text in which they touch each other, words and white space."""
    between = list("abx \t\u3000\x1c<>sé_1\u200d漢ª²\u2160")
    return st.lists(st.sampled_from([*TEXTS, *between]), max_size=12).map("".join)
