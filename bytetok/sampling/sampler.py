"""A token model as a byte model: :class:`ByteSampler` and its states.

The probability of a text is the sum over its coverings, which :class:`bytetok._core.Cover` keeps byte by byte; this
module asks the token model about their nodes and adds up. Source: Phan et al., arXiv 2410.09303, section 4.2, with the
coverings that a split pattern still leaves open (the literal lemma keeps one of them and is wrong behind a pattern).
"""

from __future__ import annotations

import copy
import threading
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import (
    EncodingError,
    ImpossibleByteError,
    SamplingError,
)
from bytetok.lm import TokenLM
from bytetok.sampling.ahead import AHEAD
from bytetok.sampling.live import Live
from bytetok.sampling.protocol import as_bytes
from bytetok.sampling.spelling import Law, cover_of
from bytetok.sampling.state import TokenByteState
from bytetok.tokenizer.foreign import ForeignTokenizer
from bytetok.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from bytetok.sampling.score import Score

_LOST = 1e-6
"""What law "all" may lose at a byte unless told otherwise: nothing bounds how many sequences spell a text."""


class ByteSampler:
    """Next-byte probabilities of a token model, exact under a law that says which token sequences count.

    ``law="canonical"``: the sequences that some text is encoded as. ``law="all"``: every sequence that spells the text.
    Under both, special tokens are no text: what they have is left out, and the end of a text is the sum over the
    model's stop tokens where a sequence may end.

    ``epsilon``: how far from exact an answer may be. Under law "canonical" it bounds the total variation between each
    ``next_byte`` and the exact one, 0 by default: coverings that together have no more than that share of the text so
    far are not asked about until they do, which saves model calls; :attr:`TokenByteState.error` is the bound reached.
    Law "all" has ever more coverings, and forgets those that together have less than ``epsilon`` at a byte, 1e-6 by
    default; :attr:`TokenByteState.lost` says what that came to.

    ``ahead``: how many token positions a model call may have beyond those that it needs. They are spent on the bytes
    that are likeliest to come, which then need no call of their own, and change no answer. 0 for none.

    ``prompt_ids`` are token ids before the text, for example a chat template (:meth:`chat`): ids, never bytes. They
    come after the model's ``start_ids``.

    A tokenizer that normalizes text (NFC of Qwen) makes this a model of normalized text: a prefix must be normalized.

    Raises VocabMismatchError for a tokenizer that the law cannot be exact for: under law "canonical" Unigram, and added
    tokens that take the white space beside them; under both WordPiece, whose tokens do not spell the text.
    """

    def __init__(
        self,
        lm: TokenLM,
        law: Law = "canonical",
        *,
        epsilon: float | None = None,
        ahead: int = AHEAD,
        prompt_ids: Sequence[int] | None = None,
    ) -> None:
        if not hasattr(lm, "extend"):
            raise SamplingError(
                f'the model is a {type(lm).__name__}; expected a TokenLM, such as TokenLM.from_package("smollm2")'
            )
        if law not in ("canonical", "all"):
            raise SamplingError(f'law {law!r} is not one of "canonical", "all"')
        chosen = (_LOST if law == "all" else 0.0) if epsilon is None else float(epsilon)
        if not 0 <= chosen < 1:
            raise SamplingError(f"epsilon {epsilon!r} is outside 0 to 1")
        if ahead < 0:
            raise SamplingError(f"ahead is {ahead}; expected a number of token positions from 0 up")
        self.lm, self.law, self.epsilon, self.ahead = lm, law, chosen, ahead
        self.defers = chosen if law == "canonical" else 0.0
        """What share of a text's probability an answer may do without."""
        self.forgets = chosen if law == "all" else 0.0
        """What share of a text's probability is forgotten at a byte."""
        if isinstance(prompt_ids, str):
            raise SamplingError("prompt_ids is a str; expected token ids, such as those of tokenizer.encode")
        self.prompt_ids = tuple(prompt_ids or ())
        self.lock = threading.RLock()
        """Held while states are asked what comes next: they share what the model says, and threads may share them."""
        self._tokenizer = tokenizer = lm.tokenizer
        self.stops = np.array(sorted(set(lm.stop_ids)), dtype=np.int64)
        self._excluded = sorted({*tokenizer.vocab.special_tokens.values(), *map(int, self.stops)})
        self._cover, self._has_space = cover_of(tokenizer, law, self._excluded)

    def state(self, prefix: bytes | str = b"") -> TokenByteState:
        """The model behind a prefix, which may end anywhere, inside a character as well.

        Raises ImpossibleByteError if no token sequence spells it, and EncodingError if the tokenizer would change it.
        """
        data = as_bytes(prefix)
        form = self._tokenizer.normalizer if isinstance(self._tokenizer, Tokenizer) else None
        if form is not None and not unicodedata.is_normalized(form, data.decode(errors="replace")):
            raise EncodingError(f"the prefix is not in form {form}, to which {self._tokenizer.name} would change it")
        return self._start.push(data)

    @cached_property
    def _start(self) -> TokenByteState:
        core = self._cover.start()
        node = core.node(0)
        if node is None:
            raise SamplingError("no covering of the empty text; please report it")  # cannot be: no tokens is one
        live = Live(node, None, 0.0)
        live.context = self.lm.start(list(self.prompt_ids))
        live.learn(live.context.logprobs)
        start = TokenByteState(self, b"", core, (live,), 0.0)
        if not self._has_space:
            return start
        # The vocabulary puts a space before every text; it is no part of the text.
        behind = start.step(ord(" "), 0)
        return TokenByteState(self, b"", behind.core, behind.lives, behind.lost, root=live)

    def next_byte(self, prefix: bytes | str) -> NDArray[np.float64]:
        """``state(prefix).next_byte()``."""
        return self.state(prefix).next_byte()

    def score(self, text: bytes | str, *, marginals: bool = False) -> Score:
        """What the text costs, byte by byte, from packed model calls: see :func:`bytetok.sampling.score.score`."""
        from bytetok.sampling.score import score

        return score(self, as_bytes(text), marginals=marginals)

    @property
    def tokenizer(self) -> Tokenizer | ForeignTokenizer:
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
        other.stops = np.array(sorted({*map(int, self.stops), *stop_ids}), dtype=np.int64)
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
        logs = state.log_shares
        if state.root is not None:
            # The empty text, which is no tokens and not the space before every text.
            end = np.exp(state.root.logs[self.stops].astype(np.float64)).sum()
            if rng.random() < end / (end + np.exp(logs).sum()):
                return
        if logs.max() == -np.inf:
            raise ImpossibleByteError(f"the {len(prefix)} bytes of the prefix have probability 0")
        shares = np.exp(logs - logs.max())
        index = int(rng.choice(len(shares), p=shares / shares.sum()))
        context, row, picked = state.pick(index, float(rng.random()))
        if picked is not None:
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
            if token in self.stops:
                return
            yield self._tokenizer.vocab.tokens[token]
            (context,) = self.lm.extend([(context, token)])
            row = context.logprobs

    def __repr__(self) -> str:
        epsilon = f", epsilon={self.epsilon:g}" if self.epsilon else ""
        prompt = f", {len(self.prompt_ids)} prompt ids" if self.prompt_ids else ""
        return f"ByteSampler({self._tokenizer.name!r}, law={self.law!r}{epsilon}{prompt})"

    @cached_property
    def alike(self) -> NDArray[np.float32]:
        """A row in which all tokens have the same probability."""
        return np.full(self.lm.vocab_size, 1 / self.lm.vocab_size, dtype=np.float32)

    @cached_property
    def _counts(self) -> NDArray[np.float64]:
        """1 for the tokens that are text or an end, 0 for control tokens and rows without a token."""
        counts = np.zeros(self.lm.vocab_size)
        tokens = self._tokenizer.vocab.tokens
        counts[: len(tokens)] = [bool(token) for token in tokens][: len(counts)]
        counts[[token for token in self._excluded if token < len(counts)]] = 0
        counts[self.stops] = 1
        return counts
