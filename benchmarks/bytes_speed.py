"""What exact bytes cost: model calls and positions, time over plain decoding, and time outside the model.

::

    python benchmarks/bytes_speed.py --quick          # a minute or two; writes nothing
    python benchmarks/bytes_speed.py                  # half an hour on one core

For each kind of text, pieces of 500 bytes: 200 are read, and behind each of the 300 that follow the next-byte
distribution is asked for. Beside one another in the same minute, for each piece:

* **plain**: the model of transformers with its own cache, one call for each token of those 300 bytes; no bytes.
* **one by one**: a call whenever there is something new (``ahead=0``), which is how published byte samplers go.
* **exact**: as it comes.
* **0.01**: ``epsilon=0.01``; the largest certified error and the bits per byte are told.

Then ``complete()`` beside ``generate`` for as many tokens, ``score()`` of 1,000 bytes beside one call for its tokens,
two models as one beside the slower one's plain decoding, and how long the tables of a vocabulary take.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _bytes import MODELS, SEED, documents, human_eval, is_like
from _machine import Claim, machine, save

import bytetok as bt

READ, ASKED = 200, 300
KINDS = {"english": "English", "code": "Python", "chinese": "Chinese"}


def pieces(kind: str, count: int) -> Iterator[bytes]:
    """Texts of 500 bytes that begin and end between characters."""
    if kind == "code":
        texts = [task["prompt"] + task["canonical_solution"] for task in human_eval()[SEED :: 164 // count]]
    else:
        texts = [text[at : at + 700] for _, text in documents(kind) for at in [min(2000, len(text) // 2)]]
        texts = [text for text in texts if is_like(kind, text[:500])]
    found = 0
    for text in texts:
        data = text.encode()
        end = READ + ASKED
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
        if len(data) >= end and found < count:
            found += 1
            yield data[:end]


class Clock:
    """Seconds inside the token model, without what its caller does with the rows."""

    def __init__(self, lm: bt.TokenLM) -> None:
        self.lm, self.seconds = lm, 0.0
        extend = lm.extend

        def timed(items: Any, *, wanted: Any = None, reduce: Any = None) -> Any:
            outside = [0.0]

            def give(number: int, row: Any) -> None:
                begin = time.perf_counter()
                reduce(number, row)
                outside[0] += time.perf_counter() - begin

            begin = time.perf_counter()
            made = extend(items, wanted=wanted, reduce=None if reduce is None else give)
            self.seconds += time.perf_counter() - begin - outside[0]
            return made

        lm.extend = timed  # type: ignore[method-assign]


def plain(lm: bt.TokenLM, text: bytes) -> dict[str, float]:
    """Decoding of the tokens of the bytes asked about, with transformers alone."""
    import torch
    from transformers import DynamicCache

    encode = lambda data: [int(one) for one in lm.tokenizer.encode(data.decode())]  # noqa: E731
    before = [*lm.start_ids, *encode(text[:READ].decode(errors="ignore").encode())]
    tokens = encode(text[READ:].decode(errors="ignore").encode())
    cache = DynamicCache()
    with torch.inference_mode():
        lm.model(input_ids=torch.tensor([before]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        begin = time.perf_counter()
        for token in tokens:
            lm.model(input_ids=torch.tensor([[token]]), past_key_values=cache, use_cache=True).logits[0, -1].argmax()
        return {"calls": len(tokens), "seconds": time.perf_counter() - begin}


def walk(model: Any, lms: list[bt.TokenLM], clocks: list[Clock], text: bytes) -> dict[str, float]:
    """Next-byte distributions behind each of the bytes asked about."""
    state = model.state(text[:READ])
    state.next_byte()
    before = [(lm.calls, lm.positions, clock.seconds) for lm, clock in zip(lms, clocks, strict=True)]
    begin, bits, error = time.perf_counter(), 0.0, 0.0
    for byte in text[READ:]:
        bits -= float(state.next_byte()[byte]) / np.log(2)
        error = max(error, getattr(state, "error", 0.0))
        state = state.push(byte)
    state.next_byte()
    seconds = time.perf_counter() - begin
    spent = sum(clock.seconds - one[2] for clock, one in zip(clocks, before, strict=True))
    return {
        "calls": lms[0].calls - before[0][0],
        "positions": lms[0].positions - before[0][1],
        "seconds": seconds,
        "outside": seconds - spent,
        "bits": bits,
        "error": error,
    }


def read_texts(name: str, count: int, say: Callable[[str], None]) -> dict[str, dict[str, dict[str, float]]]:
    """By kind and way: sums over the pieces, divided by bytes where that makes sense."""
    lm = bt.TokenLM.from_package(name)  # type: ignore[arg-type]
    clock = Clock(lm)
    exact = bt.ByteSampler(lm)
    ways = {"exact": exact, "one by one": bt.ByteSampler(lm, ahead=0), "0.01": bt.ByteSampler(lm, epsilon=0.01)}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for kind in KINDS:
        rows: dict[str, list[dict[str, float]]] = {}
        for number, text in enumerate(pieces(kind, count), 1):
            say(f"{name} {kind} {number}/{count}")
            asked = len(text) - READ
            rows.setdefault("plain", []).append({**plain(lm, text), "bytes": asked})
            for way, model in ways.items():
                rows.setdefault(way, []).append({**walk(model, [lm], [clock], text), "bytes": asked})
        found[kind] = {way: summed(each, rows["plain"]) for way, each in rows.items()}
    return found


def summed(rows: list[dict[str, float]], plain_rows: list[dict[str, float]]) -> dict[str, float]:
    """Figures a byte over all pieces, and bytes a second over plain decoding as the median of the pieces."""
    count = sum(row["bytes"] for row in rows)
    found = {key: sum(row[key] for row in rows) / count for key in ("calls", "positions", "bits") if key in rows[0]}
    if "outside" in rows[0]:
        found["outside_ms"] = float(np.median([row["outside"] / row["bytes"] for row in rows]) * 1e3)
        found["error"] = max(row["error"] for row in rows)
    ratios = [base["seconds"] / row["seconds"] for row, base in zip(rows, plain_rows, strict=True)]
    found["speed"] = float(np.median(ratios))
    found["ms"] = float(np.median([row["seconds"] / row["bytes"] for row in rows]) * 1e3)
    return found


def complete_beside_generate(name: str, rounds: int) -> float:
    """Seconds a token of ``complete`` over those of ``generate``, both sampling at temperature 1."""
    import torch

    lm = bt.TokenLM.from_package(name)  # type: ignore[arg-type]
    sampler = bt.ByteSampler(lm)
    prompt = "The history of the city begins with a small settle"
    ids = torch.tensor([[*lm.start_ids, *map(int, lm.tokenizer.encode(prompt))]])
    ratios = []
    for seed in range(rounds + 1):
        before, begin = lm.calls, time.perf_counter()
        bt.complete(sampler, prompt, max_bytes=250, seed=seed)
        ours, calls = time.perf_counter() - begin, lm.calls - before
        begin = time.perf_counter()
        made = lm.model.generate(
            ids, do_sample=True, top_k=0, max_new_tokens=calls, min_new_tokens=calls, pad_token_id=0,
            attention_mask=torch.ones_like(ids),
        )  # fmt: skip
        theirs = (time.perf_counter() - begin) / (made.shape[1] - ids.shape[1])
        if seed:  # the first warms up
            ratios.append(ours / calls / theirs)
    return float(np.median(ratios))


def score_beside_tokens(name: str, rounds: int) -> tuple[float, int]:
    """Seconds of ``score`` of 1,000 bytes over one call for its tokens, and the model calls of the former."""
    import torch

    lm = bt.TokenLM.from_package(name)  # type: ignore[arg-type]
    sampler = bt.ByteSampler(lm)
    text = next(text for _, text in documents("english") if is_like("english", text[:1000])).encode()[:1000]
    text = text.decode(errors="ignore").encode()
    ids = torch.tensor([[*lm.start_ids, *map(int, lm.tokenizer.encode(text.decode()))]])
    sampler.state().next_byte()
    ratios, calls = [], 0
    for number in range(rounds + 1):
        begin = time.perf_counter()
        with torch.inference_mode():
            logs = torch.log_softmax(lm.model(input_ids=ids, use_cache=False).logits[0].float(), dim=-1)
            float(logs[:-1].gather(1, ids[0, 1:, None]).sum())
        theirs = time.perf_counter() - begin
        before, begin = lm.calls, time.perf_counter()
        sampler.score(text)
        calls = lm.calls - before
        if number:
            ratios.append((time.perf_counter() - begin) / theirs)
    return float(np.median(ratios)), calls


def ensemble(count: int, say: Callable[[str], None]) -> dict[str, float]:
    """Two models as a mixture, beside plain decoding of the slower one."""
    lms = [bt.TokenLM.from_package(name) for name in MODELS]  # type: ignore[arg-type]
    clocks = [Clock(lm) for lm in lms]
    both = bt.Mixture([bt.ByteSampler(lm) for lm in lms])
    ratios, outside = [], []
    for number, text in enumerate(pieces("english", count), 1):
        say(f"ensemble {number}/{count}")
        slower = max(plain(lm, text)["seconds"] for lm in lms)
        row = walk(both, lms, clocks, text)
        ratios.append(slower / row["seconds"])
        outside.append(row["outside"] / (len(text) - READ) * 1e3)
    return {"speed": float(np.median(ratios)), "outside_ms": float(np.median(outside))}


def start_up(name: str) -> float:
    """Seconds until the tables of a vocabulary are made, with the tokenizer and the model in memory."""
    lm = bt.TokenLM.from_package(name)  # type: ignore[arg-type]
    lm.start()
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        bt.ByteSampler(lm)
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="one piece a kind, SmolLM2 alone; writes nothing")
    options.add_argument("--pieces", type=int, default=6, help="a kind (default: 6)")
    options.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    args = options.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    where = machine("torch", "transformers", "numpy")
    count, rounds = (1, 1) if args.quick else (args.pieces, 5)
    names = ["smollm2"] if args.quick else [*MODELS]

    def say(what: str) -> None:
        print(f"\r{what:60}", end="", file=sys.stderr, flush=True)

    found = {name: read_texts(name, count, say) for name in names}
    print(file=sys.stderr)
    for name, kinds in found.items():
        for kind, by_way in kinds.items():
            for way, row in by_way.items():
                print(f"{name:12} {kind:8} {way:10} " + " ".join(f"{k} {v:.4g}" for k, v in row.items()))
    claims = []
    bars = {"english": (0.40, 0.25), "code": (0.36, 0.30), "chinese": (None, None)}
    for name, kinds in found.items():
        model = MODELS[name]
        for kind, by_way in kinds.items():
            tokens = by_way["plain"]["calls"]
            both = zip(("exact", "0.01"), bars[kind], strict=True)
            for way, bar in both:
                row = by_way[way]
                what = "exact" if way == "exact" else f"epsilon 0.01 (at most {row['error']:.4f})"
                figure = f"{row['calls']:.3f} ({row['positions']:.2f} positions; plain decoding {tokens:.3f})"
                claims.append(
                    Claim(
                        f"{model}, {KINDS[kind]}, {what}: calls a byte",
                        figure,
                        row["calls"],
                        bar if name == "smollm2" else None,
                    )
                )
            row = by_way["0.01"]
            claims.append(
                Claim(
                    f"{model}, {KINDS[kind]}, epsilon 0.01: positions a byte",
                    f"{row['positions']:.2f}",
                    row["positions"],
                    1.2,
                )
            )
            row = by_way["exact"]
            claims.append(
                Claim(
                    f"{model}, {KINDS[kind]}, exact: bytes a second over plain decoding",
                    f"{row['speed']:.2f} (one by one {by_way['one by one']['speed']:.2f}, epsilon 0.01 "
                    f"{by_way['0.01']['speed']:.2f})",
                    row["speed"], 0.5, at_least=True,
                )
            )  # fmt: skip
            claims.append(
                Claim(
                    f"{model}, {KINDS[kind]}, exact: milliseconds a byte outside the model",
                    f"{row['outside_ms']:.2f}", row["outside_ms"], {"smollm2": 0.3, "gemma3-270m": 1.0}[name],
                )
            )  # fmt: skip
    for name in names:
        say(f"{name}: complete, score")
        ratio = complete_beside_generate(name, rounds)
        claims.append(Claim(f"{MODELS[name]}: complete() over generate, seconds a token", f"{ratio:.2f}", ratio, 1.10))
        ratio, calls = score_beside_tokens(name, rounds)
        figure = f"{ratio:.2f} ({calls} call{'s' if calls > 1 else ''})"
        claims.append(Claim(f"{MODELS[name]}: score() of 1,000 bytes over scoring its tokens", figure, ratio, 6))
        seconds = start_up(name)
        claims.append(Claim(f"{MODELS[name]}: seconds to make the tables", f"{seconds:.2f}", seconds, 3))
    together = {} if args.quick else ensemble(count, say)
    if together:
        claims.append(
            Claim(
                "both as a mixture, English: bytes a second over plain decoding of the slower",
                f"{together['speed']:.2f}", together["speed"], 0.4, at_least=True,
            )
        )  # fmt: skip
    print(file=sys.stderr)
    if args.quick:
        for claim in claims:
            print(claim.what, claim.figure, claim.passed)
        return
    save(
        "bytes_speed", claims, where, seed=SEED, law="canonical", read=READ, asked=ASKED, pieces=count,
        threads=args.threads, ensemble=together, figures=found,
    )  # fmt: skip


if __name__ == "__main__":
    main()
