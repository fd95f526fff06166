"""A token model as a byte model: :class:`ByteSampler` and its states.

The probability of a text is the sum over its coverings, which :class:`bytetok._core.Cover` keeps byte by byte; this
module asks the token model about their nodes and adds up. Source: Phan et al., arXiv 2410.09303, section 4.2, with the
coverings that a split pattern still leaves open (the literal lemma keeps one of them and is wrong behind a pattern).
"""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bytetok import _core
from bytetok.errors import (
    EncodingError,
    ImpossibleByteError,
    InvalidPatternError,
    SamplingError,
    VocabMismatchError,
)
from bytetok.lm import Context, TokenLM
from bytetok.sampling.protocol import STOP, SYMBOLS, as_bytes, pushed_bytes
from bytetok.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from bytetok.sampling.score import Score

Law = Literal["canonical", "all"]

_LOST = 1e-6
"""What law "all" may lose at a byte unless told otherwise: nothing bounds how many sequences spell a text."""


class ByteSampler:
    """Next-byte probabilities of a token model, exact under a law that says which token sequences count.

    ``law="canonical"``: the sequences that some text is encoded as. ``law="all"``: every sequence that spells the text.
    Under both, special tokens are no text: what they have is left out, and the end of a text is the sum over the
    model's stop tokens where a sequence may end.

    ``epsilon`` is how much of the probability of the prefix may be lost at each byte by forgetting improbable
    coverings: 0 for none, which is the default of law "canonical". Law "all" has ever more coverings, and forgets
    coverings below 1e-6 unless told otherwise; :attr:`TokenByteState.lost` says what that came to.

    ``prompt_ids`` are token ids before the text, for example a chat template: ids, never bytes.

    A tokenizer that normalizes text (NFC of Qwen) makes this a model of normalized text: a prefix must be normalized.

    Raises VocabMismatchError for a tokenizer that the law cannot be exact for: Unigram, WordPiece, added tokens that
    depend on what is around them, tokens that merges never make.
    """

    def __init__(
        self,
        lm: TokenLM,
        law: Law = "canonical",
        *,
        epsilon: float | None = None,
        prompt_ids: Sequence[int] | None = None,
    ) -> None:
        if law not in ("canonical", "all"):
            raise SamplingError(f'law {law!r} is not one of "canonical", "all"')
        chosen = (_LOST if law == "all" else 0.0) if epsilon is None else float(epsilon)
        if not 0 <= chosen < 1:
            raise SamplingError(f"epsilon {epsilon!r} is outside 0 to 1")
        self.lm, self.law, self.epsilon = lm, law, chosen
        self.prompt_ids = tuple(prompt_ids or ())
        tokenizer = lm.tokenizer
        if not isinstance(tokenizer, Tokenizer):
            raise VocabMismatchError(
                f"{tokenizer.name}: {tokenizer.reason}; byte sampling needs byte-pair encoding, which this is not"
            )
        self._stops = np.array(sorted(set(lm.stop_ids)), dtype=np.int64)
        excluded = set(tokenizer.vocab.special_tokens.values()) | {int(stop) for stop in self._stops}
        self._excluded = sorted(excluded)
        self._tokenizer = tokenizer
        self._cover = _cover(tokenizer, law, self._excluded)
        self._has_space = _check_canonical(tokenizer, self._cover) if law == "canonical" else _has_space(tokenizer)

    def state(self, prefix: bytes | str = b"") -> TokenByteState:
        """The model behind a prefix, which may end anywhere, inside a character as well.

        Raises ImpossibleByteError if no token sequence spells it, and EncodingError if the tokenizer would change it.
        """
        data = as_bytes(prefix)
        form = self._tokenizer.normalizer
        if form is not None and not unicodedata.is_normalized(form, data.decode(errors="replace")):
            raise EncodingError(f"the prefix is not in form {form}, to which {self._tokenizer.name} would change it")
        return self._start.push(data)

    @cached_property
    def _start(self) -> TokenByteState:
        core = self._cover.start()
        (node,) = core.nodes()
        live = Live(node, None)
        live.context = self.lm.start(list(self.prompt_ids))
        live.learn(live.context.logprobs, keep=True)
        start = TokenByteState(self, b"", core, (live,), 0.0)
        if not self._has_space:
            return start
        # The vocabulary puts a space before every text; it is no part of the text.
        behind = start._pushed(ord(" "), 0)
        return TokenByteState(self, b"", behind._core, behind._lives, behind.lost, root=live)

    def next_byte(self, prefix: bytes | str) -> NDArray[np.float64]:
        """``state(prefix).next_byte()``."""
        return self.state(prefix).next_byte()

    def score(self, text: bytes | str, *, marginals: bool = False) -> Score:
        """What the text costs, byte by byte, from packed model calls: see :func:`bytetok.sampling.score.score`."""
        from bytetok.sampling.score import score

        return score(self, as_bytes(text), marginals=marginals)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model."""
        return self._tokenizer

    def with_prompt(
        self, prompt_ids: Sequence[int], *, stop_ids: Sequence[int] = (), is_rest: bool = False
    ) -> ByteSampler:
        """The same model behind other token ids; it shares all tables.

        ``stop_ids`` also end a text. ``is_rest``: the text goes on where the prompt ends, so a vocabulary that puts a
        space before every text does not put one here.
        """
        other = copy.copy(self)
        other.__dict__.pop("_start", None)
        other.prompt_ids = tuple(prompt_ids)
        other._stops = np.array(sorted({*map(int, self._stops), *stop_ids}), dtype=np.int64)
        other._has_space = self._has_space and not is_rest
        return other

    def chat(self, messages: Sequence[Mapping[str, Any]], *, template: str | None = None) -> ByteSampler:
        """The same model where it answers a chat: its texts are what the assistant says next.

        The messages are put before the text in the model's own chat template, see :meth:`TokenLM.chat_ids`; the token
        that ends a turn in it ends a text, too.
        """
        end = self.lm.turn_end(messages, template=template)
        other = self.with_prompt(
            self.lm.chat_ids(messages, template=template), stop_ids=[] if end is None else [end], is_rest=True
        )
        other.lm = self.lm.with_start(())  # the template is the whole prompt, its start token included
        return other

    def complete_tokens(self, prefix: bytes, rng: np.random.Generator) -> Iterator[bytes]:
        """Pieces of one random continuation, by one covering of the prefix and then tokens as the model gives them.

        That costs no more model calls than plain decoding. Behind the covering every token counts, as under law "all",
        so that under law "canonical" the distribution is that of ``state`` but for what the law leaves out.
        """
        state = self.state(prefix)
        weights, _ = state._evaluated
        logs = state._log_shares
        if state._root is not None:
            # The empty text, which is no tokens and not the space before every text.
            end = np.exp(row_of(state._root)[self._stops].astype(np.float64)).sum()
            if rng.random() < end / (end + np.exp(logs).sum()):
                return
        if logs.max() == -np.inf:
            raise ImpossibleByteError(f"the {len(prefix)} bytes of the prefix have probability 0")
        shares = np.exp(logs - logs.max())
        index = int(rng.choice(len(shares), p=shares / shares.sum()))
        live = state._lives[index]
        context, row = _context(live), row_of(live)
        if live.node.end < state._core.length:
            picked = state._core.pick(index, weights[index], float(rng.random()))
            if picked is None:
                raise SamplingError("a covering without tokens; please report it")  # cannot be: it has a share
            token, known = picked
            yield self._tokenizer.vocab.tokens[token][known:]
            (context,) = self.lm.extend([(context, token)])
            row = context.logprobs
        while True:
            chances = np.exp(row.astype(np.float64)) * self._counts
            total = chances.sum()
            if not total > 0:
                raise ImpossibleByteError("the model leaves no token possible but control tokens, and no end either")
            token = int(rng.choice(len(chances), p=chances / total))
            if token in self._stops:
                return
            yield self._tokenizer.vocab.tokens[token]
            (context,) = self.lm.extend([(context, token)])
            row = context.logprobs

    @cached_property
    def _counts(self) -> NDArray[np.float64]:
        """1 for the tokens that are text or an end, 0 for control tokens and rows without a token."""
        counts = np.zeros(self.lm.vocab_size)
        tokens = self._tokenizer.vocab.tokens
        counts[: len(tokens)] = [bool(token) for token in tokens][: len(counts)]
        counts[[token for token in self._excluded if token < len(counts)]] = 0
        counts[self._stops] = 1
        return counts


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
    flags = [
        text
        for text, token in tokenizer.vocab.added_tokens.items()
        if not token.special and (token.lstrip or token.rstrip or token.single_word)
    ]
    has_space = _has_space(tokenizer)
    instead = 'law="all" takes the tokens as they are'
    if flags:
        raise VocabMismatchError(
            f"{tokenizer.name} has {len(flags)} added tokens that depend on the text around them, such as "
            f"{flags[0]!r}; {instead}"
        )
    if cover.odd:
        raise VocabMismatchError(
            f"{tokenizer.name} has {cover.odd} tokens that are whole pretokens but that merges never make; {instead}"
        )
    return has_space


class Live:
    """A node of the coverings with what the model says about it, shared by all states that hold it."""

    __slots__ = ("context", "log_weight", "node", "parent", "row", "weights")

    def __init__(self, node: _core.CoverNode, parent: Live | None) -> None:
        self.node, self.parent = node, parent
        self.context: Context | None = None
        self.log_weight = 0.0
        """Natural log of the probability of its tokens."""
        self.row: NDArray[np.floating] | None = None
        """Natural logs of the probabilities of the next token, kept while a state holds the node."""
        self.weights: _core.CoverWeights | None = None

    def learn(self, row: NDArray[np.floating], *, keep: bool) -> None:
        """Take in what the model says behind this node; a row to be kept is copied."""
        if keep:
            self.row = row.copy() if row.base is not None else row
            self.weights = self.node.weights(row)


class TokenByteState:
    """A :class:`ByteSampler` behind a prefix. An immutable value: pushing gives another state."""

    def __init__(
        self,
        sampler: ByteSampler,
        prefix: bytes,
        core: _core.CoverState,
        lives: tuple[Live, ...],
        lost: float,
        *,
        root: Live | None = None,
    ) -> None:
        self.sampler, self.prefix = sampler, prefix
        self._core, self._lives = core, lives
        # Where a space stands before every text: the empty text is no tokens, not that space.
        self._root = root
        self.lost = lost
        """At most this share of the prefix's probability was forgotten (see ``epsilon``), added up over all bytes."""

    def push(self, byte: int | bytes) -> TokenByteState:
        """The state behind one more byte, or several; raises ImpossibleByteError where no covering is left."""
        state, data = self, pushed_bytes(byte)
        for at, value in enumerate(data):
            # Only the last state is seen: the others need no copy of a prefix that may be long.
            state = state._pushed(value, len(self.prefix) + at)
        if data:
            state.prefix = self.prefix + data
        return state

    def fork(self) -> TokenByteState:
        """This state: it never changes."""
        return self

    def _pushed(self, byte: int, offset: int) -> TokenByteState:
        """The state behind a byte, without its prefix."""
        core = self._core.push(bytes([byte]))
        known = {live.node.id: live for live in self._lives}
        lives = []
        for node in core.nodes():
            live = known.get(node.id)
            if live is None:
                parent = node.parent
                live = Live(node, known[parent.id] if parent is not None else None)
            lives.append(live)
        if not lives:
            raise ImpossibleByteError(
                f"byte 0x{byte:02X} at offset {offset} cannot follow: under law {self.sampler.law!r} no "
                "token sequence of this vocabulary spells the text so far"
            )
        state = TokenByteState(self.sampler, b"", core, tuple(lives), self.lost)
        return state._without_improbable() if self.sampler.epsilon > 0 else state

    def _without_improbable(self) -> TokenByteState:
        """This state without the coverings that together have less than epsilon of its probability."""
        logs = self._log_shares
        if logs.max() == -np.inf:
            return self  # nothing to choose from; asking what comes next says so
        shares = np.exp(logs - logs.max())
        shares /= shares.sum()
        order = np.argsort(shares)
        gone = order[np.cumsum(shares[order]) < self.sampler.epsilon]
        if len(gone) == 0:
            return self
        keep = np.ones(len(shares), dtype=bool)
        keep[gone] = False
        lives = tuple(live for live, stays in zip(self._lives, keep, strict=True) if stays)
        return TokenByteState(
            self.sampler, self.prefix, self._core.only(keep.tolist()), lives, self.lost + float(shares[gone].sum())
        )

    def next_byte(self) -> NDArray[np.float64]:
        """Natural-log probabilities of what comes next, shape ``(257,)``; index 256 is the end of the text.

        They sum to one: what the model gives to special tokens, and under law "canonical" to sequences that no text
        is encoded as, is left out byte by byte.
        """
        return self._table.copy()

    @property
    def log_prefix(self) -> float:
        """Natural log of the probability of the prefix: the sum over its coverings."""
        if not self.prefix:
            return 0.0
        logs = self._log_shares
        top = float(logs.max())
        return top + float(np.log(np.exp(logs - top).sum())) if top > -np.inf else top

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        weights, logs = self._evaluated
        top = float(logs.max())
        times = np.exp(logs - top) if top > -np.inf else np.zeros_like(logs)
        masses = np.zeros(SYMBOLS)
        masses[:STOP] = np.frombuffer(self._core.masses(weights, times.tolist()))
        stops = self.sampler._stops
        if self._root is not None:
            ends = [(self._root, float(np.exp(-top)))]
        else:
            possible = zip(self._lives, times.tolist(), self._core.may_end(), strict=True)
            ends = [(live, factor) for live, factor, may_end in possible if may_end]
        for live, factor in ends if len(stops) else []:
            masses[STOP] += factor * np.exp(row_of(live)[stops].astype(np.float64)).sum()
        total = masses.sum()
        if not total > 0:
            raise ImpossibleByteError(
                f"behind the {len(self.prefix)} bytes so far the model leaves no byte possible, and no end either"
            )
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(masses / total))

    @cached_property
    def _log_shares(self) -> NDArray[np.float64]:
        """The natural log of what each live node adds to the probability of the prefix."""
        weights, logs = self._evaluated
        with np.errstate(divide="ignore"):
            return np.asarray(logs + np.log(self._core.shares(weights)))

    @cached_property
    def _evaluated(self) -> tuple[list[_core.CoverWeights], NDArray[np.float64]]:
        """The weights and the log-probability of every live node, after one model call for all that are new."""
        new: list[Live] = []
        seen: set[int] = set()
        for live in self._lives:
            chain: list[Live] = []
            at: Live | None = live
            while at is not None and at.context is None and id(at) not in seen:
                seen.add(id(at))
                chain.append(at)
                at = at.parent
            new.extend(reversed(chain))
        if new:
            self._ask(new)
        weights = []
        for live in self._lives:
            if live.weights is None:
                live.learn(_context(live).logprobs, keep=True)
            if live.weights is not None:
                weights.append(live.weights)
        return weights, np.array([live.log_weight for live in self._lives])

    def _ask(self, new: list[Live]) -> None:
        """One model call for new nodes, of which parents come before children."""
        places = {id(live): place for place, live in enumerate(new)}
        held = {id(live) for live in self._lives}
        children: dict[int, list[Live]] = {}
        items: list[tuple[Context | int, int]] = []
        for live in new:
            parent, token = parent_of(live)
            items.append((_context(parent) if parent.context is not None else places[id(parent)], token))
            if parent.context is not None:
                live.log_weight = parent.log_weight + float(row_of(parent)[token])
            else:
                children.setdefault(places[id(parent)], []).append(live)

        def learn(place: int, row: NDArray[np.floating]) -> None:
            for child in children.get(place, ()):
                child.log_weight = new[place].log_weight + float(row[parent_of(child)[1]])
            new[place].learn(row, keep=id(new[place]) in held)

        for live, context in zip(new, self.sampler.lm.extend(items, reduce=learn), strict=True):
            live.context = context


def parent_of(live: Live) -> tuple[Live, int]:
    """The node before the last token, and that token."""
    parent, token = live.parent, live.node.token
    if parent is None or token is None:
        raise SamplingError("a covering without a beginning; please report it")  # cannot be: the start is known
    return parent, token


def _context(live: Live) -> Context:
    if live.context is None:
        raise SamplingError("a node that the model was not asked about; please report it")  # cannot be: parents first
    return live.context


def row_of(live: Live) -> NDArray[np.floating]:
    """Natural logs of the probabilities of the next token behind a node."""
    return live.row if live.row is not None else _context(live).logprobs
