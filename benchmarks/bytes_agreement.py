"""Next-byte probabilities at every byte beside ByteSampler's, and what each costs.

::

    python benchmarks/bytes_agreement.py --source byte-sampler/src --peers ~/peers/bin/python     # 6 minutes

The peer is github.com/SewoongLab/byte-sampler (Hayase et al., arXiv 2506.14123) at the commit f27de98, with
transformers 4.53.3 and what its pyproject.toml lists; nothing of it is here. Both read SmolLM2-135M in float32 from one
folder, with the same start token and the same two stop tokens. *Distance* is the total variation of two distributions
of 257 outcomes.

Beside ours there is a third one, made here: **every leaf**, which is what the peer's default computes by its source.
Its nodes are ours. As last tokens it takes all that fit the bytes, whether a text is encoded so or not, and control
tokens count as the bytes of their names (which it also counts as the end, where they are stop tokens).
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import Claim, machine, save

import bytetok as bt
from bytetok.lm import packages
from bytetok.sampling import TokenByteState

STOPS = [0, 2]
PROSE = (
    "It wasn't a quiet year: in 1998 the harbour's 1,250 boats stayed in port, and nobody - least of all the mayor "
    "- knew why.  \"We'll wait,\" she'd said.\n\nThe café on the corner closed at noon — as it always had — and the "
    "old men, who'd come for the coffee, went home without it. 東京 was far away."
)
CODE = (
    "import os\n\n\ndef add(a, b=12):\n    # the sum, or None\n    if a is None:\n        return b\n\n"
    '    return a + b\n\n\nclass Pile(list):\n    """A list that isn\'t sorted."""\n\n    def top(self):\n'
    "\t\treturn self[-1]  \n\n\nprint(add(1, 20), Pile([3, 4]).top(), os.path.join('a', \"b\"))\n"
)
TEXTS = {"prose": PROSE, "code": CODE}


class EveryLeaf:
    """The masses of what comes next, with every token that fits as a last one."""

    def __init__(self, tokenizer: Any) -> None:
        texts = {token: text.encode() for text, token in tokenizer.vocab.special_tokens.items()}
        named = [texts.get(token, content) for token, content in enumerate(tokenizer.vocab.tokens)]
        order = sorted((token for token, content in enumerate(named) if content), key=named.__getitem__)
        self.tokens, self.ids = [named[token] for token in order], np.array(order)

    def table(self, state: TokenByteState) -> np.ndarray:
        """Natural logs, normalized, shape (257,)."""
        masses = np.zeros(257)
        for live in state.lives:
            known = state.prefix[live.node.end :]
            row = live.logs.astype(np.float64) + live.log_weight
            low = bisect.bisect_left(self.tokens, known)
            high = bisect.bisect_left(self.tokens, known + b"\xff" * 64)
            for at, mass in zip(range(low, high), np.exp(row[self.ids[low:high]]), strict=True):
                if len(self.tokens[at]) > len(known):
                    masses[self.tokens[at][len(known)]] += mass
            if not known:
                masses[256] += np.exp(row[STOPS]).sum()
        with np.errstate(divide="ignore"):
            return np.log(masses / masses.sum())


def walk(sampler: bt.ByteSampler, text: bytes) -> tuple[np.ndarray, dict[str, Any]]:
    """Ours: natural logs ``(n + 1, 257)`` before each byte and at the end, and what they cost."""
    lm = sampler.lm
    spent = _time_of_model(lm.model)
    before = lm.calls, lm.positions
    rows, started = [], time.perf_counter()
    state = sampler.state()
    for at in range(len(text) + 1):
        rows.append(state.next_byte())
        state = state.push(text[at]) if at < len(text) else state
    seconds = time.perf_counter() - started
    return np.array(rows), {
        "calls": lm.calls - before[0] + 1, "positions": lm.positions - before[1] + 1, "model_seconds": spent(),
        "seconds": seconds,
    }  # fmt: skip


def _time_of_model(model: Any) -> Any:
    """Count the seconds in the layers and the output matrix, until the function that is returned is called."""
    total, began = [0.0], [0.0]

    def enter(*_: Any) -> None:
        began[0] = time.perf_counter()

    def leave(*_: Any) -> None:
        total[0] += time.perf_counter() - began[0]

    parts = (model.get_decoder(), model.get_output_embeddings())
    hooks = [
        hook for part in parts for hook in (part.register_forward_pre_hook(enter), part.register_forward_hook(leave))
    ]

    def end() -> float:
        for hook in hooks:
            hook.remove()
        return total[0]

    return end


def every_leaf(sampler: bt.ByteSampler, text: bytes) -> np.ndarray:
    """As :func:`walk`, with every leaf."""
    leaves, state, rows = EveryLeaf(sampler.tokenizer), sampler.state(), []
    for at in range(len(text) + 1):
        state.next_byte()  # asks the model about the nodes
        rows.append(leaves.table(state))
        state = state.push(text[at]) if at < len(text) else state
    return np.array(rows)


def peer(python: str, source: str, threads: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What the peer says, by "TEXT WAY", and its costs and versions."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peer.npz"
        texts = {name: text.encode().decode("latin-1") for name, text in TEXTS.items()}
        asked = {
            "source": source, "model": str(packages.model_folder("smollm2")), "start": 0, "stops": STOPS,
            "threads": threads, "texts": texts, "out": str(out),
        }  # fmt: skip
        worker = Path(__file__).with_name("_byte_sampler.py")
        subprocess.run([python, str(worker)], input=json.dumps(asked), text=True, check=True)
        with np.load(out) as found:
            return {name: found[name] for name in found if name != "costs"}, json.loads(str(found["costs"]))


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Total variation of each pair of rows of logs."""
    return np.asarray(0.5 * np.abs(np.exp(one) - np.exp(other)).sum(axis=1))


def described(found: np.ndarray, what: str, text: bytes) -> dict[str, Any]:
    """Quantiles of distances, and where the largest are."""
    worst = np.argsort(-found)[:6].tolist()
    return {
        "between": what, "places": len(found), "median": float(np.median(found)), "p90": float(np.quantile(found, 0.9)),
        "max": float(found.max()), "below": {str(bar): int((found < bar).sum()) for bar in (1e-5, 1e-4, 1e-3)},
        "worst": [[at, text[max(0, at - 12) : at].decode("latin-1"), float(found[at])] for at in worst],
    }  # fmt: skip


def claims_of(name: str, found: dict[str, Any], costs: dict[str, Any], size: int) -> Iterable[Claim]:
    """The rows of one text."""
    for key, label in (
        ("plain ours", "as it is : ours"),
        ("plain every leaf", "as it is : every leaf on our nodes"),
        ("filtered ours", "with filter_tensors : ours"),
    ):
        one = found[key]
        figure = f"median {one['median']:.1e}, 90 % {one['p90']:.1e}; {one['below']['0.001']} of {one['places']} < 1e-3"
        yield Claim(f"{name}, ByteSampler {label}: largest distance", figure, one["max"])
    ours = costs["ours"]
    for way in ("plain", "filtered"):
        other = costs[way]

        def per_byte(key: str, ours: dict[str, Any] = ours, other: dict[str, Any] = other) -> str:
            return f"{ours[key] / size:.2f} : {other[key] / size:.2f} {key}/byte"

        rest = [1000 * (one["seconds"] - one["model_seconds"]) / size for one in (ours, other)]
        speeds = [size / one["seconds"] for one in (ours, other)]
        yield Claim(
            f"{name}, ours : ByteSampler {way}, bytes per second",
            f"{speeds[0]:.1f} : {speeds[1]:.1f}; {per_byte('calls')}; {per_byte('positions')}; "
            f"{rest[0]:.2f} : {rest[1]:.2f} ms/byte outside the model",
            speeds[0] / speeds[1],
        )


def main() -> None:
    """Compare, print, write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", required=True, metavar="DIR", help="the folder src of the peer's repository")
    parser.add_argument("--peers", default=os.environ.get("BYTETOK_PEERS", sys.executable), metavar="PYTHON")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    where = machine("torch", "transformers", "numpy")
    torch.set_num_threads(options.threads)
    tables, said = peer(options.peers, options.source, options.threads)
    sampler = bt.ByteSampler(bt.TokenLM.from_package("smollm2"))
    sampler.next_byte("What is made on first use is made.")
    claims: list[Claim] = []
    details: dict[str, Any] = {}
    for name, text in TEXTS.items():
        data = text.encode()
        ours, cost = walk(sampler, data)
        leaves = every_leaf(sampler, data)
        pairs = {"plain ours": ours, "plain every leaf": leaves, "filtered ours": ours}
        found = {key: described(distances(tables[f"{name} {key.split()[0]}"], other), key, data)
                 for key, other in pairs.items()}  # fmt: skip
        costs = {"ours": cost, **{way: said["costs"][f"{name} {way}"] for way in ("plain", "filtered")}}
        claims += claims_of(name, found, costs, len(data))
        details[name] = {"bytes": len(data), "distances": found, "costs": costs}
    save("bytes_agreement", claims, where, peer=said["versions"], texts=details)


if __name__ == "__main__":
    main()
