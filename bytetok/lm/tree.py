"""Tree attention: the new tokens of many contexts in one forward, each seeing its own ancestors only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bytetok.lm.cache import PooledCache, Step
from bytetok.lm.context import Context, Give, Row
from bytetok.lm.network import Network

_WALK = 32
"""Ancestors between two contexts that know their whole path: what a walk costs against the memory of knowing it."""


class TreeBackend:
    """One forward for each call, over the tokens that are new in it."""

    path = "tree"

    def __init__(self, network: Network) -> None:
        """Raises ValueError for a model with layers whose attention is neither full nor a sliding window."""
        self._network = network
        self.vocab_size = network.vocab_size
        self.limit: int | None = getattr(network.config, "max_position_embeddings", None)
        self.calls = 0
        self.positions = 0
        self.cache = PooledCache(network.config.num_hidden_layers)
        self._windows = windows(network.config)

    def feed(self, nodes: Sequence[Context], wanted: Sequence[int], give: Give) -> None:
        """One forward over the tokens of ``nodes``: position id = depth, attention to ancestors and itself."""
        new = np.concatenate([self.cache.pool.give(node) for node in nodes])
        tokens = [token for node in nodes for token in node.tokens]
        ends = np.cumsum([len(node.tokens) for node in nodes]) - 1
        depth = self.cache.pool.depth[new]
        if len(nodes) == 1 and nodes[0].parent is None:
            # A text alone: transformers makes the causal mask itself, or none at all.
            step, mask = Step(new, None), None
        else:
            step, mask = self._plan(nodes, new, depth)
        self.calls += 1
        self.positions += len(tokens)
        self.cache.begin(step)
        try:
            with torch.inference_mode():
                hidden = self._network.hidden(
                    [tokens],
                    attention_mask=mask,
                    position_ids=torch.as_tensor(depth, device=self._network.device)[None],
                    past_key_values=self.cache,
                    use_cache=True,
                )[0]
                self._network.give(hidden, ends.tolist(), nodes, wanted, give)
        except BaseException:
            self.cache.clear(new)
            raise
        finally:
            self.cache.begin(None)

    def row(self, node: Context) -> Row:
        return next(self._network.rows(node._hidden[None], [node]))

    def _plan(self, nodes: Sequence[Context], new: NDArray[np.int64], depth: NDArray[np.int64]) -> tuple[Step, Any]:
        number = {id(node): index for index, node in enumerate(nodes)}
        past = {
            id(node.parent): ancestry(node.parent)
            for node in nodes
            if node.parent is not None and id(node.parent) not in number
        }
        kept = np.unique(np.concatenate([np.zeros(0, np.int64), *past.values()]))
        high = self.cache.pool.high
        # The pool as it lies, unless too much of it is other contexts' or free: reading costs no copy, but attention.
        if high <= 2 * (len(kept) + len(new)) + 64:
            step, slots = Step(new, high), np.arange(high)
        else:
            slots = np.concatenate([kept, new])
            step = Step(new, slots)
        column = np.zeros(self.cache.pool.capacity, np.int64)
        column[slots] = np.arange(len(slots))
        seen = np.zeros((len(new), len(slots)), np.bool_)
        at = 0
        last: list[int] = []
        for node in nodes:
            count = len(node.tokens)
            mine = column[new[at : at + count]]
            if node.parent is not None:
                parent = number.get(id(node.parent))
                if parent is None:
                    seen[at : at + count, column[past[id(node.parent)]]] = True
                else:
                    seen[at : at + count] = seen[last[parent]]
            if count == 1:
                seen[at, mine[0]] = True
            else:
                seen[at : at + count, mine] = np.tri(count, dtype=np.bool_)
            at += count
            last.append(at - 1)
        return step, self._masks(seen, self.cache.pool.depth[slots], depth)

    def _masks(self, seen: NDArray[np.bool_], columns: NDArray[np.int64], depth: NDArray[np.int64]) -> Any:
        """Additive masks (1, 1, new tokens, columns): one, or one for each type of layer."""
        masks = {}
        for kind, window in self._windows.items():
            near = seen
            if window is not None and depth.max() >= window:
                near = seen & (columns[None] > depth[:, None] - window)
            allowed = torch.from_numpy(near).to(self._network.device)
            mask = torch.zeros(allowed.shape, dtype=self._network.dtype, device=self._network.device)
            masks[kind] = mask.masked_fill_(~allowed, torch.finfo(mask.dtype).min)[None, None]
        return masks if len(masks) > 1 else next(iter(masks.values()))


def ancestry(node: Context) -> NDArray[np.int64]:
    """The slots of a context and its ancestors, from the first token on."""
    parts: list[NDArray[np.int64]] = []
    at: Context | None = node
    while at is not None and at._path is None:
        if at._slots is not None:
            parts.append(at._slots)
        at = at.parent
    if at is not None and at._path is not None:
        parts.append(at._path)
    path = np.concatenate(parts[::-1])
    if len(parts) > _WALK:
        node._path = path
    return path


def windows(config: Any) -> Mapping[str, int | None]:
    """How far back each type of attention layer sees: tokens, itself included, or None for all.

    Raises ValueError for other types of layers.
    """
    window = getattr(config, "sliding_window", None)
    kinds = list(dict.fromkeys(getattr(config, "layer_types", None) or ()))
    if not kinds:
        kinds = ["full_attention" if window is None else "sliding_attention"]
    for kind in kinds:
        if kind not in ("full_attention", "sliding_attention") or (kind == "sliding_attention" and window is None):
            raise ValueError(f"layers of the type {kind!r}")
    return {kind: window if kind == "sliding_attention" else None for kind in kinds}
