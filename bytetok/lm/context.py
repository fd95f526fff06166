"""A node of the tree of contexts, and what a backend must do with such nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.floating[Any]]
"""Natural-log probabilities of the next token, shape (vocab_size,), not writable."""

Give = Callable[[int, Row], None]
"""Takes the number of a node in the call and its row. The row may be part of a block that the next rows share."""


class Backend(Protocol):
    """Evaluates new nodes. One :meth:`feed` is one model call."""

    path: str
    vocab_size: int
    limit: int | None
    calls: int
    positions: int

    def feed(self, nodes: Sequence[Context], wanted: Sequence[int], give: Give) -> None:
        """Evaluate ``nodes``, of which a parent comes before its children, and give the rows of ``wanted`` in order."""
        ...

    def row(self, node: Context) -> Row:
        """The row of a node that was fed but not wanted."""
        ...


class Context:
    """Tokens that a model has read; immutable. Made by :meth:`TokenLM.start` and :meth:`TokenLM.extend`.

    Holding a context keeps what the model remembers of it and of its ancestors; when the last reference goes, its
    memory is used for other contexts. ``parent`` is None for a context that :meth:`TokenLM.start` made. ``depth`` is
    the number of tokens read, start tokens included. ``token`` is the last of them, None if there is none.
    """

    __slots__ = ("__weakref__", "_backend", "_hidden", "_logprobs", "_path", "_slots", "depth", "parent", "tokens")

    def __init__(self, backend: Backend, parent: Context | None, tokens: tuple[int, ...]) -> None:
        self.parent = parent
        self.tokens = tokens
        """The tokens that this context adds to its parent: one, or all that it started with."""
        self.depth: int = (0 if parent is None else parent.depth) + len(tokens)
        self._backend = backend
        self._logprobs: Row | None = None
        # What the backends on a transformers model keep: the slots of `tokens`, the slots of the whole path where a
        # child asked for them, and the last hidden state as long as no row was made of it.
        self._slots: NDArray[np.int64] | None = None
        self._path: NDArray[np.int64] | None = None
        self._hidden: Any = None

    @property
    def token(self) -> int | None:
        """The last token."""
        return self.tokens[-1] if self.tokens else None

    @property
    def ids(self) -> list[int]:
        """All token ids of this context, start tokens included."""
        runs: list[tuple[int, ...]] = []
        node: Context | None = self
        while node is not None:
            runs.append(node.tokens)
            node = node.parent
        return [token for run in reversed(runs) for token in run]

    @property
    def logprobs(self) -> Row:
        """Natural-log probabilities of the next token, shape (vocab_size,), normalized, not writable.

        float32 from a transformers model, float32 or float64 from a callable. If they were not ``wanted`` when this
        context was made, they are computed when first asked for: from the kept hidden state, without a model call, or
        by one call of a callable. Raises ModelOutputError if they hold NaN.
        """
        if self._logprobs is None:
            self._logprobs = self._backend.row(self)
            self._hidden = None
        return self._logprobs

    def __repr__(self) -> str:
        return f"Context(depth={self.depth}, token={self.token})"


def describe(node: Context) -> str:
    """A context in a message: its last tokens, and how many there are."""
    ids = node.ids
    last = ", ".join(map(str, ids[-8:]))
    return f"the context of {len(ids)} tokens ending in [{last}]" if ids else "the empty context"
