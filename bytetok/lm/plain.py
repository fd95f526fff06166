"""Models without a usable cache: every sequence again from its first token, in padded batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bytetok.lm.context import Context, Give, Row
from bytetok.lm.network import Network

_BATCH = 16_384
"""Tokens in a batch, padding included."""


class PlainBackend:
    """Correct for every causal model, and slow. ``positions`` counts whole sequences, without padding."""

    path = "plain"

    def __init__(self, network: Network) -> None:
        self._network = network
        self.vocab_size = network.vocab_size
        self.limit: int | None = getattr(network.config, "max_position_embeddings", None)
        self.calls = 0
        self.positions = 0

    def feed(self, nodes: Sequence[Context], wanted: Sequence[int], give: Give) -> None:
        """Evaluate the leaves of ``nodes``; what lies on the way to them is read off on the way."""
        inner = {id(node.parent) for node in nodes}
        leaf_of: dict[int, int] = {}
        leaves: list[Context] = []
        for node in reversed(nodes):
            if id(node) not in inner:
                leaf_of[id(node)] = len(leaves)
                leaves.append(node)
            leaf_of.setdefault(id(node.parent), leaf_of[id(node)])
        sequences = [leaf.ids for leaf in leaves]
        self.calls += 1
        self.positions += sum(map(len, sequences))
        states = self._states(sequences, [(leaf_of[id(node)], node.depth - 1) for node in nodes])
        self._network.give(states, range(len(nodes)), nodes, wanted, give)

    def row(self, node: Context) -> Row:
        return next(self._network.rows(node._hidden[None], [node]))

    def _states(self, sequences: list[list[int]], places: list[tuple[int, int]]) -> torch.Tensor:
        """Hidden states at ``places`` (sequence, position)."""
        size = max(1, _BATCH // max(map(len, sequences)))
        found: list[torch.Tensor | None] = [None] * len(places)
        for begin in range(0, len(sequences), size):
            batch = sequences[begin : begin + size]
            longest = max(map(len, batch))
            # What stands to the right of a token cannot change it, so any id will do there.
            ids = [sequence + [0] * (longest - len(sequence)) for sequence in batch]
            mask = [[1] * len(sequence) + [0] * (longest - len(sequence)) for sequence in batch]
            with torch.inference_mode():
                hidden = self._network.hidden(
                    ids, attention_mask=torch.tensor(mask, device=self._network.device), use_cache=False
                )
            for number, (sequence, position) in enumerate(places):
                if begin <= sequence < begin + len(batch):
                    found[number] = hidden[sequence - begin, position].clone()
        return torch.stack([state for state in found if state is not None])
