"""One pool of key and value slots for all contexts of a model, behind the interface of transformers' caches.

A slot holds the keys and values of one token in every layer. Slots are numbers; who may attend to whom is in the mask
(:mod:`bytetok.lm.tree`). Free slots are used lowest first, so that live ones stay close together and a forward can
read the pool as it lies, without copying it.
"""

from __future__ import annotations

import heapq
import weakref
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.cache_utils import Cache, CacheLayerMixin

from bytetok.lm.context import Context

_FIRST = 64


class SlotPool:
    """Which slots are in use, and how deep the token in each is."""

    def __init__(self) -> None:
        self.depth: NDArray[np.int64] = np.zeros(_FIRST, np.int64)
        self.used: NDArray[np.bool_] = np.zeros(_FIRST, np.bool_)
        self._free = list(range(_FIRST))
        # Contexts die whenever the collector likes, also while a slot is being taken: they only leave a note.
        self._returned: list[NDArray[np.int64]] = []

    @property
    def capacity(self) -> int:
        """Slots there are; grows by doubling and never shrinks."""
        return len(self.used)

    @property
    def in_use(self) -> int:
        """Slots that living contexts hold."""
        self._collect()
        return int(self.used.sum())

    @property
    def high(self) -> int:
        """One more than the highest slot in use."""
        used = np.flatnonzero(self.used)
        return int(used[-1]) + 1 if len(used) else 0

    def give(self, node: Context) -> NDArray[np.int64]:
        """Slots for the tokens of ``node``, ascending; free again when it dies."""
        self._collect()
        count = len(node.tokens)
        while len(self._free) < count:
            capacity = self.capacity
            self.depth = np.concatenate([self.depth, np.zeros(capacity, np.int64)])
            self.used = np.concatenate([self.used, np.zeros(capacity, np.bool_)])
            self._free.extend(range(capacity, 2 * capacity))  # higher than all others: the heap stays one
        slots = np.array([heapq.heappop(self._free) for _ in range(count)], np.int64)
        self.used[slots] = True
        self.depth[slots] = np.arange(node.depth - count, node.depth)
        weakref.finalize(node, self._returned.append, slots).atexit = False
        node._slots = slots
        return slots

    def _collect(self) -> None:
        while self._returned:
            slots = self._returned.pop()
            self.used[slots] = False
            for slot in slots.tolist():
                heapq.heappush(self._free, slot)


class Step:
    """One forward: the slots its tokens are written to, and the slots its attention reads, in the mask's order."""

    def __init__(self, new: NDArray[np.int64], read: NDArray[np.int64] | int | None) -> None:
        """``read``: slots; or a number n for the first n as they lie; or None for the new tokens alone."""
        self._read = read
        self._new = new
        self._tensors: dict[tuple[torch.device, bool], torch.Tensor] = {}
        first = int(new[0])
        # Written as a slice where they lie side by side, which is the rule.
        self.run = slice(first, first + len(new)) if new[-1] - first == len(new) - 1 else None

    @property
    def length(self) -> int:
        """Columns of the mask."""
        if self._read is None:
            return len(self._new)
        return self._read if isinstance(self._read, int) else len(self._read)

    @property
    def first(self) -> int | None:
        """Read so many slots from the first on; None if it is none or a list."""
        return self._read if isinstance(self._read, int) else None

    @property
    def alone(self) -> bool:
        """Read nothing but the new tokens."""
        return self._read is None

    def tensor(self, device: torch.device, *, new: bool) -> torch.Tensor:
        """The slots to write (``new``) or to read, on the device of a layer."""
        key = (device, new)
        if key not in self._tensors:
            self._tensors[key] = torch.as_tensor(self._new if new else self._read, device=device)
        return self._tensors[key]


class PoolLayer(CacheLayerMixin):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """Keys and values of one layer, each (capacity, heads, size): the rows of a slot side by side."""

    is_sliding = False

    def __init__(self, pool: SlotPool) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self._pool = pool
        self.step: Step | None = None

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor | None = None) -> None:
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **options: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new tokens' (1, heads, tokens, size); return all that the mask has columns for, same layout."""
        if self.step is None:
            raise RuntimeError("a slot pool is used by one forward at a time, which TokenLM starts")
        self.keys = self._written(self.keys, key_states[0], self.step)
        self.values = self._written(self.values, value_states[0], self.step)
        self.is_initialized = True
        if self.step.alone:
            return key_states, value_states
        return self._read(self.keys, self.step), self._read(self.values, self.step)

    def _written(self, stored: torch.Tensor | None, states: torch.Tensor, step: Step) -> torch.Tensor:
        heads, _, size = states.shape
        if stored is None or len(stored) < self._pool.capacity:
            # Zeros, not whatever was in that memory: a masked slot counts 0 times its value, and 0 * NaN is NaN.
            grown = states.new_zeros(self._pool.capacity, heads, size)
            if stored is not None:
                grown[: len(stored)] = stored
            stored = grown
        rows = states.transpose(0, 1)
        if step.run is not None:
            stored[step.run] = rows
        else:
            stored.index_copy_(0, step.tensor(states.device, new=True), rows)
        return stored

    def _read(self, stored: torch.Tensor, step: Step) -> torch.Tensor:
        if step.first is not None:
            rows = stored[: step.first]
        else:
            rows = stored.index_select(0, step.tensor(stored.device, new=False))
        return rows.transpose(0, 1)[None]

    def get_seq_length(self, *args: Any) -> int:
        return 0

    def get_mask_sizes(self, *args: Any) -> tuple[int, int]:
        # Only asked for where no mask is given: the new tokens alone.
        return (self.step.length if self.step is not None else 0), 0

    def get_max_length(self) -> int:
        return -1

    def get_max_cache_shape(self) -> int:  # its name before transformers 5
        return -1


class PooledCache(Cache):  # type: ignore[misc, unused-ignore]
    """The layers of a model over one :class:`SlotPool`."""

    def __init__(self, layers: int) -> None:
        self.pool = SlotPool()
        self._pooled = [PoolLayer(self.pool) for _ in range(layers)]
        super().__init__(layers=[*self._pooled])

    def begin(self, step: Step | None) -> None:
        """Set what the next forward writes and reads; None after it."""
        for layer in self._pooled:
            layer.step = step

    def clear(self, slots: NDArray[np.int64]) -> None:
        """Forget what a failed forward wrote: it may be NaN, and even a masked NaN spoils a sum."""
        with torch.inference_mode():
            for stored in (stored for layer in self._pooled for stored in (layer.keys, layer.values)):
                if stored is not None:
                    stored[torch.as_tensor(slots[slots < len(stored)], device=stored.device)] = 0

    @property
    def is_whole(self) -> bool:
        """Whether every layer kept its keys and values here; a state-space layer does not."""
        return all(layer.keys is not None for layer in self._pooled)
