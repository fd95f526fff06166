"""ByteSampler (SewoongLab) at every byte of some texts, in a Python of its own; `bytes_agreement.py` starts it.

Reads one JSON object from standard input and writes what it found into a .npz file. Nothing here imports bytetok.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers


def load(folder: Path, start: int, threads: int) -> Any:
    """The model in the peer's own class, in float32."""
    from byte_sampling.byte_conditioning import ByteConditioning

    torch.set_num_threads(threads)
    config = transformers.AutoConfig.from_pretrained(folder)
    rope = getattr(config, "rope_parameters", None) or {}
    config.rope_theta = rope.get("rope_theta", config.rope_theta)  # which transformers 4 passes over
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, config=config, torch_dtype=torch.float32).eval()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), bos_token="<|endoftext|>", eos_token="<|im_end|>"
    )
    made = ByteConditioning(model, tokenizer)
    made.bos = start  # it takes the id 0 for none
    return made


def walk(made: Any, text: bytes, stops: list[int], filtered: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """Natural logs ``(n + 1, 257)`` before each byte and at the end, normalized, and what they cost."""
    sampler = made.BytewiseBatchSampler(made, batch_size=1, filter_tensors=filtered, stop_override=torch.tensor(stops))
    forward, count = made.model.forward, {"calls": 0, "positions": 0, "model_seconds": 0.0}

    def counted(ids: Any, **options: Any) -> Any:
        started = time.perf_counter()
        found = forward(ids, **options)
        count["calls"] += 1
        count["positions"] += int(ids.shape[-1])
        count["model_seconds"] += time.perf_counter() - started
        return found

    made.model.forward = counted
    rows, error, started = [], None, time.perf_counter()
    try:
        with torch.inference_mode():
            for at in range(len(text) + 1):
                rows.append(torch.log_softmax(sampler.get_dists()[0].double(), 0).numpy())
                if at < len(text):
                    sampler.add_context([text[at : at + 1]])
    except Exception as err:  # what it cannot do is a result
        error = f"{type(err).__name__}: {err}"[:200]
        traceback.print_exc()
    finally:
        made.model.forward = forward
    return np.array(rows), {**count, "seconds": time.perf_counter() - started, "error": error}


def main() -> None:
    """Answer the request on standard input."""
    asked = json.load(sys.stdin)
    sys.path.insert(0, asked["source"])
    made = load(Path(asked["model"]), asked["start"], asked["threads"])
    tables, costs = {}, {}
    for name, text in asked["texts"].items():
        for way in ("plain", "filtered"):
            tables[f"{name} {way}"], costs[f"{name} {way}"] = walk(
                made, text.encode("latin-1"), asked["stops"], way == "filtered"
            )
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    np.savez(asked["out"], costs=json.dumps({"costs": costs, "versions": versions}), **tables)


if __name__ == "__main__":
    main()
