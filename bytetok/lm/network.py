"""A transformers causal LM in two parts: the body makes hidden states, the head makes logits of chosen ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from bytetok.errors import ModelOutputError
from bytetok.lm.context import Context, Give, Row, describe
from bytetok.lm.few_rows import speed_up

_BLOCK = 32 << 20
"""Bytes of float32 logits at a time. A vocabulary of 262k times a text of 1,000 tokens would be a gigabyte."""


class Network:
    """The model, and how it is called. ``hidden`` once for a call, ``rows`` for the positions that are asked for.

    The head is the model itself around a stand-in for its body, so what a family does behind its output layer, such
    as capping logits, is done. Where the model cannot be taken apart, hidden states *are* the logits: correct, but
    all of them are made.
    """

    def __init__(self, model: Any) -> None:
        self.model = model.eval()
        self.config = model.config.get_text_config(decoder=True)
        weight = model.get_input_embeddings().weight
        self.device: torch.device = weight.device
        self.dtype: torch.dtype = weight.dtype
        self._body: Any = None
        self._head: Any = None
        self._given = _Given()
        speed_up(self.model)
        self._take_apart()
        with torch.inference_mode():
            self.vocab_size = int(self.logits(self.hidden([[0]], use_cache=False)[0]).shape[1])

    def _take_apart(self) -> None:
        prefix = getattr(self.model, "base_model_prefix", "")
        body = getattr(self.model, prefix, None)
        # accelerate's hooks replace the forward of this very object, so that a copy would still run the body.
        if body is None or body is self.model or hasattr(self.model, "_hf_hook"):
            return
        head = copy.copy(self.model)
        head._modules = {**self.model._modules, prefix: self._given}
        ids = torch.zeros(1, 2, dtype=torch.long, device=self.device)
        try:
            with torch.inference_mode():
                expected = self.model(input_ids=ids, use_cache=False).logits
                output = body(input_ids=ids, use_cache=False)
                self._given.kind = type(output)
                self._body, self._head = body, head
                found = self.logits(output.last_hidden_state[0])
            same = torch.allclose(found, expected[0].float(), atol=1e-4, equal_nan=True)
        except Exception:  # whatever a family's forward may not like: then it stays whole
            same = False
        if not same:
            self._body = self._head = None

    def hidden(self, ids: Sequence[Sequence[int]] | torch.Tensor, **options: Any) -> torch.Tensor:
        """Hidden states (sequences, tokens, size) behind the body, of ids (sequences, tokens)."""
        tensor = torch.as_tensor(ids, dtype=torch.long, device=self.device)
        if self._body is None:
            logits: torch.Tensor = self.model(input_ids=tensor, **options).logits
            return logits
        states: torch.Tensor = self._body(input_ids=tensor, **options).last_hidden_state
        return states

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32 logits (n, vocab_size) of hidden states (n, size)."""
        if self._head is None:
            return hidden.float()
        self._given.hidden = hidden[None]
        try:
            logits: torch.Tensor = self._head(input_ids=None, inputs_embeds=hidden[None]).logits[0]
        finally:
            self._given.hidden = None
        return logits.float()

    def rows(self, hidden: torch.Tensor, nodes: Sequence[Context]) -> Iterator[Row]:
        """The log-probabilities of each of ``nodes``, whose hidden states (n, size) these are, block by block."""
        size = max(1, _BLOCK // (4 * self.vocab_size))
        for begin in range(0, len(nodes), size):
            with torch.inference_mode():
                block = torch.log_softmax(self.logits(hidden[begin : begin + size]), dim=-1).cpu().numpy()
            block.flags.writeable = False
            # NaN or +inf among the logits makes the sum NaN, and so the first column with all others.
            for node, row in zip(nodes[begin : begin + size], block, strict=True):
                if row[0] != row[0]:
                    raise ModelOutputError(f"the model's logits after {describe(node)} hold NaN or +inf")
                yield row

    def give(
        self,
        hidden: torch.Tensor,
        positions: Sequence[int],
        nodes: Sequence[Context],
        wanted: Sequence[int],
        give: Give,
    ) -> None:
        """Give the rows of ``wanted`` of the hidden states (n, size), node i's at ``positions[i]``.

        Nodes that are then without a row are left their state, copied: one that lives on must not keep those of its
        whole call.
        """
        places = [positions[number] for number in wanted]
        chosen = hidden if places == list(range(len(hidden))) else hidden[places]
        found = self.rows(chosen, [nodes[number] for number in wanted])
        for number, row in zip(wanted, found, strict=True):
            give(number, row)
        for node, position in zip(nodes, positions, strict=True):
            if node._logprobs is None:
                node._hidden = hidden[position].clone()


class _Given(torch.nn.Module):
    """Stands in for the body: returns the hidden states it was given, in the kind of output the body has."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: torch.Tensor | None = None
        self.kind: Any = None

    def forward(self, *args: Any, **options: Any) -> Any:
        return self.kind(last_hidden_state=self.hidden)
