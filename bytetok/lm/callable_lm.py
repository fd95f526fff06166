"""A token model that is a plain function of lists of ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bytetok.errors import ModelOutputError
from bytetok.lm.context import Context, Give, Row, describe

_TOLERANCE = 1e-3


class CallableBackend:
    """Calls ``fn`` once for all wanted contexts of a call. ``positions`` counts the tokens of the lists it is given."""

    path = "callable"
    limit: int | None = None

    def __init__(self, fn: Callable[[list[list[int]]], Any], vocab_size: int | None, start: list[int]) -> None:
        """Without ``vocab_size`` the columns of ``fn([start])`` are counted; that call is not."""
        self._fn = fn
        self.calls = 0
        self.positions = 0
        self.vocab_size: int = self._rows([start], vocab_size).shape[1] if vocab_size is None else vocab_size

    def feed(self, nodes: Sequence[Context], wanted: Sequence[int], give: Give) -> None:
        if not wanted:
            return
        chosen = [nodes[number] for number in wanted]
        rows = self._evaluate(chosen)
        for number, row in zip(wanted, rows, strict=True):
            give(number, row)

    def row(self, node: Context) -> Row:
        row: Row = self._evaluate([node])[0]
        return row

    def _evaluate(self, nodes: Sequence[Context]) -> NDArray[np.floating[Any]]:
        sequences = [node.ids for node in nodes]
        self.calls += 1
        self.positions += sum(map(len, sequences))
        rows = self._rows(sequences, self.vocab_size)
        with np.errstate(invalid="ignore", over="ignore"):
            top = rows.max(axis=1)
            sums = top + np.log(np.exp(rows - top[:, None]).sum(axis=1, dtype=np.float64))
        for node, total in zip(nodes, sums, strict=True):
            if not abs(total) <= _TOLERANCE:  # NaN is not
                raise ModelOutputError(
                    f"the log-probabilities after {describe(node)} are not normalized: the logarithm of their sum is "
                    f"{total:.4g}, expected 0; are they logits, or probabilities?"
                )
        return rows

    def _rows(self, sequences: list[list[int]], size: int | None) -> NDArray[np.floating[Any]]:
        # A copy, because a function may return the same array each time.
        rows = np.array(self._fn(sequences))
        if rows.dtype not in (np.float32, np.float64):
            rows = rows.astype(np.float32 if rows.dtype == np.float16 else np.float64)
        if rows.ndim != 2 or len(rows) != len(sequences) or size not in (None, rows.shape[1]):
            raise ModelOutputError(
                f"the function returned an array of shape {rows.shape} for {len(sequences)} sequences; expected "
                f"({len(sequences)}, {'vocab_size' if size is None else size})"
            )
        rows.flags.writeable = False
        return rows
