"""Byte probabilities of token models by enumeration: slow and obvious, the truth that the byte sampler is held to.

A *cover* of ``x`` is a token sequence whose bytes start with ``x`` and whose last token holds the last byte of ``x``;
the empty sequence covers ``b""``. Under the law ``"all"`` the probability of ``x`` is the sum over all covers, under
``"canonical"`` over those that are *canonical as far as they go*: some continuation ``y`` of their bytes exists so that
the pretokens of the whole have no border inside a token, and the tokens in each pretoken are what BPE makes of it; in
the last pretoken, of the part that is there. :class:`Canonical` tries the continuations, one by one.

What follows from that definition, and what the tests of this file rest on:

* A beginning of a canonical sequence is canonical: what the sequence spells after it, and then ``y``, is its ``y``. The
  pretokens are the same, and BPE of a beginning of a pretoken that ends at a token border is the beginning of its
  tokens: no merge crosses that border, so none is done in another order. Hence sequences may be pruned as they grow.
* That needs every string of bytes to be a ``y``, also one that leaves a character broken: each byte of it is then a
  pretoken's U+FFFD, as in the encoder. If ``y`` always had to complete a character, ``a`` + ``C3`` could be less likely
  than ``a`` + ``C3`` + ``b``. ``broken=False`` is that other definition; they differ only where ``x`` ends inside a
  character, and nowhere if no token joins bytes of a character to bytes outside.
* Sequences with the same bytes are canonical by their pretokens only, so the tokens of each possible set of borders
  are all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from reference import _merge_best, naive_added, naive_encode, naive_encode_characters, naive_encode_ranked, naive_split
from regex16 import regex

import bytetok as bt

Ids = tuple[int, ...]
Law = Literal["canonical", "all"]
STOP = 256

# One of every kind of character that a pattern tells apart, and every letter that a contraction is spelled with.
LETTERS = "xXé\u01c5\u02b0漢㐀"  # Ll, Lu, Ll outside ASCII, Lt, Lm, Lo in and outside the range that DeepSeek cuts out
CONTRACTIONS = "strevmldSTREVMLDſ"
# P and Cf that are word characters, M, Nd, No, Nl, white space, P in and outside ASCII, S, Cc
OTHERS = "_\u200d\u03011²Ⅷ \t\n\r'./…©\x00\ufffd"
ALPHABET = LETTERS + CONTRACTIONS + OTHERS

# cl100k sees white space at the end of a text as one pretoken; what it becomes otherwise may show two characters later.
WHITE_SPACE = " \nx"
# A pattern of one's own may group digits from the right: how many are yet to come then moves all borders before.
DIGITS = tuple("1" * count + end for count in (2, 3, 4) for end in ("", "x", " "))
# Behind an added token that is not all there: whether it counts may depend on whether a word goes on.
ADDED_ENDS = (b"", b"x", b" ", b".", b"1")

KINDS = regex.compile(
    r"(?s)(\s)|(\p{Pc}|\u200c|\u200d)|([一-龥぀-ゟ゠-ヿ])|(ſ)|(▁)|(\p{Lu})|(\p{Ll})|(\p{Lt})|(\p{Lm})|(\p{Lo})|(\p{M})|(\p{Nd})|(\p{N})|(\p{P})|(\p{S})|(.)"
)


@cache
def completions(begun: bytes, wanted: str = "kinds") -> tuple[str, ...]:
    """Characters whose UTF-8 starts with these bytes and goes on: one of each kind, or with ``"every"`` each of them.

    Empty if no character starts so, and for a whole character.
    """
    sizes = ((2, 0xC2, 0xDF), (3, 0xE0, 0xEF), (4, 0xF0, 0xF4))
    size = next((size for size, first, last in sizes if first <= begun[0] <= last), 0)
    missing = size - len(begun)
    if missing < 1 or any(byte & 0xC0 != 0x80 for byte in begun[1:]):
        return ()
    bits = begun[0] & (0x7F >> size)
    for byte in begun[1:]:
        bits = bits << 6 | byte & 0x3F
    least = (0x80, 0x800, 0x10000)[size - 2]
    codes = range(max(bits << 6 * missing, least), min((bits + 1) << 6 * missing, 0x110000))
    every = [chr(code) for code in codes if not 0xD800 <= code < 0xE000]
    if wanted == "every":
        return tuple(every)
    first: dict[int | None, str] = {}
    for match in KINDS.finditer("".join(every)):
        first.setdefault(match.lastindex, match.group())
    return tuple(first.values())


def read(data: bytes) -> tuple[list[tuple[str, int]], bytes]:
    """The characters of ``data`` with their sizes in bytes, and what is left: the bytes of a character that has begun.

    Each byte that is not UTF-8 is a U+FFFD, as the splitter reads it.
    """
    begun = next((data[-size:] for size in (3, 2, 1) if size <= len(data) and completions(data[-size:])), b"")
    characters = []
    at = 0
    while at < len(data) - len(begun):
        for size in (1, 2, 3, 4):
            try:
                characters.append((data[at : at + size].decode(), size))
                break
            except UnicodeDecodeError:
                continue
        else:
            characters.append(("\ufffd", 1))
        at += characters[-1][1]
    return characters, begun


class Canonical:
    """Which token sequences of a BPE tokenizer are canonical as far as they go.

    ``depth``: how many characters continuations have, over ``alphabet``, after a character that has begun was completed
    or broken. One, three of white space, and four of digits are enough for every pattern with a name, and for digits in
    groups of three from the right. ``broken``: whether a character may stay broken. Added tokens that take white space
    are not known.
    """

    def __init__(
        self, tokenizer: bt.Tokenizer, *, depth: int = 1, alphabet: str = ALPHABET, broken: bool = True
    ) -> None:
        self.tokenizer, self.vocab, self.stages = tokenizer, tokenizer.vocab, tokenizer.pattern.stages
        self.depth, self.alphabet, self.broken = depth, alphabet, broken
        self.added = [
            {"id": token.id, "content": text, "special": token.special, "single_word": token.single_word}
            for text, token in self.vocab.added_tokens.items()
        ]
        if all(token.special for token in self.vocab.added_tokens.values()):
            self.added = []  # special tokens are text here, and change nothing unless another is inside
        if any(t.lstrip or t.rstrip for t in self.vocab.added_tokens.values() if not t.special):
            raise NotImplementedError("texts that are encoded alike")
        apart = [] if self.vocab.characters is not None else [token.id for token in self.vocab.added_tokens.values()]
        control = {*apart, *self.vocab.special_tokens.values()}
        self._tokens = [b"" if index in control else token for index, token in enumerate(self.vocab.tokens)]
        self._known: dict[bytes, frozenset[Ids]] = {}
        # Texts and pretokens come again and again, and the textbook is slow.
        self._pieces = cache(self._pieces_of)
        self._whole, self._begun, self._merged = map(cache, (self._whole_of, self._begun_of, self._merged_of))

    def sequences(self, data: bytes) -> frozenset[Ids]:
        """All canonical sequences that spell ``data``."""
        if data not in self._known:
            if self.vocab.characters is not None:
                found = {self._of_characters(data, closed=False)}
            else:
                found = {self._of_borders(data, *borders) for borders in self.borders(data)}
            self._known[data] = frozenset(ids for ids in found if ids is not None)
        return self._known[data]

    def exact(self, data: bytes) -> Ids | None:
        """The one sequence that the encoder makes of ``data`` if nothing follows; None for a byte without a token."""
        if self.vocab.characters is not None:
            return self._of_characters(data, closed=True)
        return self._of_borders(data, *self._borders(*self._broken(data), len(data)))

    def merged(self, pretoken: bytes) -> list[int] | None:
        """What merging alone makes of a pretoken; None for a byte without a token."""
        try:
            return self._begun(pretoken)
        except KeyError:
            return None

    # what the split pattern says

    def borders(self, data: bytes) -> set[tuple[Ids, Ids]]:
        """The possible sets of pretoken borders up to the end of ``data``, and which added tokens are at them."""
        return {self._borders(text, sizes, len(data)) for text, sizes in self.continuations(data)}

    def continuations(self, data: bytes) -> Iterator[tuple[str, list[int]]]:
        """``data`` with each continuation, as characters and their sizes; what follows has size 1 a character."""
        characters, begun = read(data)
        start, known = "".join(character for character, _ in characters), [size for _, size in characters]
        ends = ["".join(end) for size in range(self.depth + 1) for end in product(self.alphabet, repeat=size)]
        ends += ["".join(end) for size in range(self.depth + 1, 4) for end in product(WHITE_SPACE, repeat=size)]
        ends += DIGITS
        if not begun or self.broken:
            for end in ends:
                yield start + "\ufffd" * len(begun) + end, known + [1] * (len(begun) + len(end))
        for character in completions(begun) if begun else ():
            for end in ends:
                yield start + character + end, known + [len(character.encode())] + [1] * len(end)
        for entry in self.added:
            text = entry["content"].encode()
            for cut in range(1, len(text)):
                if data.endswith(text[:cut]):
                    for end in ADDED_ENDS:
                        yield self._broken(data + text[cut:] + end)

    def _broken(self, data: bytes) -> tuple[str, list[int]]:
        characters, begun = read(data)
        characters += [("\ufffd", 1)] * len(begun)
        return "".join(character for character, _ in characters), [size for _, size in characters]

    def _borders(self, text: str, sizes: Sequence[int], end: int) -> tuple[Ids, Ids]:
        """Ends of pretokens, in bytes, up to ``end``, and beside each the id of the added token there, or -1.

        An added token that goes on after ``end`` has the end -1.
        """
        ends, ids = [], []
        at = place = 0
        for piece, token_id in self._pieces(text):
            if at >= end:
                break
            at += sum(sizes[place : place + len(piece)])
            place += len(piece)
            if at <= end or token_id >= 0:
                ends.append(at if at <= end else -1)
                ids.append(token_id)
        return tuple(ends), tuple(ids)

    def _pieces_of(self, text: str) -> list[tuple[str, int]]:
        """Pretokens, and added tokens with their ids, which are cut out before."""
        texts = {entry["id"]: entry["content"] for entry in self.added}
        pieces: list[tuple[str, int]] = []
        for part in naive_added(text, self.added, special_as_text=True):
            if isinstance(part, int):
                pieces.append((texts[part], part))
            else:
                pieces += [(piece, -1) for piece in naive_split(part, self.stages)]
        return pieces

    # what BPE says

    def _of_borders(self, data: bytes, ends: Ids, added: Ids) -> Ids | None:
        ids: list[int] = []
        at = 0
        try:
            for end, token_id in zip(ends, added, strict=True):
                if end < 0:
                    return None
                ids += [token_id] if token_id >= 0 else self._whole(data[at:end])
                at = end
            return (*ids, *self._begun(data[at:]))
        except KeyError:
            return None

    def _whole_of(self, pretoken: bytes) -> list[int]:
        if self.vocab.ranked:
            return naive_encode_ranked(self._tokens, pretoken)
        if self.vocab.whole_first and pretoken in self._tokens:
            return [self._tokens.index(pretoken)]
        return self._begun(pretoken)

    def _begun_of(self, pretoken: bytes) -> list[int]:
        """What merging alone makes; a pretoken that goes on is not yet a token as a whole."""
        if not self.vocab.ranked:
            return naive_encode(self._tokens, self.vocab.merges, pretoken)
        id_of = {token: index for index, token in enumerate(self._tokens) if token}
        return _merge_best(
            [id_of[bytes([byte])] for byte in pretoken],
            lambda pair: id_of.get(self._tokens[pair[0]] + self._tokens[pair[1]]),
            lambda left, right: id_of[self._tokens[left] + self._tokens[right]],
        )

    def _of_characters(self, data: bytes, *, closed: bool) -> Ids | None:
        """One pretoken of characters. Bytes of one that has begun are byte tokens, which never merge."""
        scheme = self.vocab.characters
        assert scheme is not None
        characters, begun = read(data)
        if begun and not closed and not self.broken:
            known = {token for index, token in enumerate(self._tokens) if index not in scheme.byte_ids}
            if all(character.encode() in known for character in completions(begun, "every")):
                return None
        ids: list[int] = []
        run = ""
        at = 0
        for character, size in [*characters, *([("\ufffd", 1)] * len(begun))]:
            is_broken = data[at : at + size] != character.encode()
            if is_broken:
                ids += [*self._merged(run), scheme.byte_ids[data[at]]]
            run = "" if is_broken else run + character
            at += size
        return (*ids, *self._merged(run))

    def _merged_of(self, text: str) -> list[int]:
        scheme = self.vocab.characters
        assert scheme is not None
        by = {"merges": self.vocab.merges} if scheme.scores is None else {"scores": scheme.scores}
        return naive_encode_characters(self._tokens, text, byte_ids=scheme.byte_ids, **by)  # type: ignore[arg-type]


class ByteOracle:
    """The law of bytes that a token model has, by enumerating covers.

    ``model`` gives the natural-log probabilities ``(vocab,)`` of the next token after a context of ids, and ``vocab``
    may exceed the tokenizer's. Ordinary tokens are all but special tokens, stop tokens, and tokens without bytes. The
    space that a SentencePiece-style vocabulary puts before a text is spelled, and is not part of ``x``; the empty text
    has none.
    """

    def __init__(
        self,
        model: Callable[[Ids], NDArray[np.float64]],
        tokenizer: bt.Tokenizer,
        law: Law,
        *,
        stop_ids: Sequence[int],
        start_ids: Sequence[int] = (),
        canonical: Canonical | None = None,
        prune: bool = True,
    ) -> None:
        self.law, self.stop_ids, self.start_ids, self.prune = law, tuple(stop_ids), tuple(start_ids), prune
        self.model, self.tokenizer, self.canonical = model, tokenizer, canonical or Canonical(tokenizer)
        apart = {*stop_ids, *tokenizer.vocab.special_tokens.values()}
        self.ordinary = [
            (index, token) for index, token in enumerate(tokenizer.vocab.tokens) if token and index not in apart
        ]
        scheme = tokenizer.vocab.characters
        if scheme is not None and scheme.prefix != "none" and not scheme.prefix_always:
            raise NotImplementedError("two texts have the same tokens")
        self.added = b"" if scheme is None or scheme.prefix == "none" else b" "
        self._logprobs: dict[Ids, NDArray[np.float64]] = {}
        self.log_prefix, self.masses = cache(self._log_prefix_of), cache(self._masses_of)

    def logprobs(self, ids: Ids) -> NDArray[np.float64]:
        if ids not in self._logprobs:
            self._logprobs[ids] = self.model((*self.start_ids, *ids))
        return self._logprobs[ids]

    def covers(self, x: bytes) -> list[tuple[Ids, bytes, float]]:
        """All covers of ``x``: their ids, their bytes, and their log probability."""
        text = self.added + x if x else b""
        return [grown for grown in self._grown(text, len(text)) if len(grown[1]) >= len(text)]

    def _log_prefix_of(self, x: bytes) -> float:
        """The natural log of the probability of all texts that start with ``x``."""
        return _log(math.fsum(math.exp(logprob) for _, _, logprob in self.covers(x)))

    def _masses_of(self, x: bytes) -> NDArray[np.float64]:
        """``(257,)``: the probability of ``x`` and each next byte, and of ``x`` and the stop; not logarithms."""
        text = self.added + x
        parts: list[list[float]] = [[] for _ in range(257)]
        for ids, spelled, logprob in self._grown(text, len(text) + 1):
            if len(spelled) > len(text):
                parts[spelled[len(text)]].append(math.exp(logprob))
            elif spelled == (text if x else b"") and (self.law == "all" or ids == self.canonical.exact(spelled)):
                parts[STOP] += [math.exp(logprob + self.logprobs(ids)[stop]) for stop in self.stop_ids]
        return np.array([math.fsum(part) for part in parts])

    def next_byte(self, x: bytes) -> NDArray[np.float64]:
        """``(257,)`` natural logs, normalized; all -inf where nothing is possible."""
        masses = self.masses(x)
        with np.errstate(divide="ignore"):
            return np.log(masses) - _log(math.fsum(masses))

    def strings(self, most: int) -> dict[bytes, float]:
        """The law of texts of up to ``most`` bytes that step-by-step sampling draws; longer ones are cut there."""
        law: dict[bytes, float] = {}
        open_texts = {b"": 1.0}
        for size in range(most + 1):
            following: dict[bytes, float] = {}
            for x, probability in open_texts.items():
                if size == most:
                    law[x] = law.get(x, 0.0) + probability
                    continue
                step = np.exp(self.next_byte(x))
                law[x] = probability * step[STOP]
                following.update({x + bytes([b]): probability * step[b] for b in np.flatnonzero(step[:256])})
            open_texts = following
        return {x: probability for x, probability in law.items() if probability > 0}

    def _grown(self, text: bytes, reach: int) -> Iterator[tuple[Ids, bytes, float]]:
        """Sequences that agree with ``text``, each beginning of each; none goes on that holds ``reach`` bytes."""
        stack: list[tuple[Ids, bytes, float]] = [((), b"", 0.0)]
        while stack:
            ids, spelled, logprob = stack.pop()
            reached = len(spelled) >= reach
            if self.law == "canonical" and (self.prune or reached) and ids not in self.canonical.sequences(spelled):
                continue
            yield ids, spelled, logprob
            if reached:
                continue
            step = self.logprobs(ids)
            for index, token in self.ordinary:
                grown = spelled + token
                shared = min(len(grown), len(text))
                if step[index] > -math.inf and grown[:shared] == text[:shared]:
                    stack.append(((*ids, index), grown, logprob + float(step[index])))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


# toy models -----------------------------------------------------------------------------------------------------------


class Hashed:
    """A token model without structure: the probabilities after each context are drawn anew, from context and seed.

    ``vocab_size`` columns; ``likely`` ids share about 0.9 of the mass where there are any; ``never`` ids have none.
    """

    def __init__(self, seed: int, vocab_size: int, *, likely: Sequence[int] = (), never: Sequence[int] = ()) -> None:
        self.seed, self.vocab_size, self.likely, self.never = seed, vocab_size, tuple(likely), tuple(never)

    def __call__(self, context: Ids) -> NDArray[np.float64]:
        random = np.random.default_rng([self.seed, len(context), *context])
        weights = random.gamma(0.7, size=self.vocab_size) + 1e-3
        if self.likely:
            favoured = random.gamma(0.7, size=len(self.likely)) + 1e-3
            weights *= 0.1 / weights.sum()
            weights[list(self.likely)] += 0.9 * favoured / favoured.sum()
        weights[list(self.never)] = 0.0
        return _logs(weights)


class Markov:
    """A token model whose next token depends on the last: ``matrix`` ``(vocab, vocab)``, ``first`` ``(vocab,)``."""

    def __init__(self, seed: int, vocab_size: int) -> None:
        random = np.random.default_rng(seed)
        self.vocab_size = vocab_size
        self.matrix = random.dirichlet(np.full(vocab_size, 0.7), size=vocab_size)
        self.first = random.dirichlet(np.full(vocab_size, 0.7))

    def __call__(self, context: Ids) -> NDArray[np.float64]:
        return _logs(self.matrix[context[-1]] if context else self.first)


class Encoded:
    """The token model of a source of texts: what comes next in the encoding, given all of the encoding so far.

    It gives canonical sequences all the mass. After a context that no text has, all ids are equally likely.
    """

    def __init__(
        self, texts: dict[bytes, float], encode: Callable[[bytes], Sequence[int]], stop: int, size: int
    ) -> None:
        self.vocab_size = size
        self._next: dict[Ids, NDArray[np.float64]] = {}
        for text, probability in texts.items():
            ids = (*encode(text), stop)
            for at, index in enumerate(ids):
                self._next.setdefault(ids[:at], np.zeros(size))[index] += probability

    def __call__(self, context: Ids) -> NDArray[np.float64]:
        return _logs(self._next.get(context, np.ones(self.vocab_size)))


class ByteChain:
    """A Markov chain of bytes: after each byte, the next one or the stop; after ``most`` bytes always the stop."""

    def __init__(self, seed: int, letters: bytes, most: int) -> None:
        self.seed, self.letters, self.most = seed, letters, most
        random = np.random.default_rng(seed)
        self._steps = random.dirichlet(np.ones(len(letters) + 1), size=len(letters) + 1)

    def next_byte(self, x: bytes) -> NDArray[np.float64]:
        """``(257,)`` probabilities."""
        step = np.zeros(257)
        if len(x) == self.most:
            step[STOP] = 1.0
        else:
            step[[*self.letters, STOP]] = self._steps[self.letters.index(x[-1]) if x else -1]
        return step

    @cached_property
    def texts(self) -> dict[bytes, float]:
        """All texts with their probabilities."""
        law: dict[bytes, float] = {}
        open_texts = [(b"", 1.0)]
        while open_texts:
            x, probability = open_texts.pop()
            step = self.next_byte(x)
            law[x] = probability * step[STOP]
            open_texts += [(x + bytes([b]), probability * step[b]) for b in self.letters if step[b] > 0]
        return law


def batched(model: Callable[[Ids], NDArray[np.float64]]) -> Callable[[list[list[int]]], NDArray[np.float64]]:
    """The model in the form that ``TokenLM`` takes: contexts in, a row of logarithms each out."""
    return lambda contexts: np.stack([model(tuple(context)) for context in contexts])


def _logs(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        logs: NDArray[np.float64] = np.log(weights / weights.sum())
    return logs
