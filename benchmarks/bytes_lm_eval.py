"""A small offline task of each kind through lm-eval: a byte model, an ensemble, and lm-eval's own model of tokens.

::

    python benchmarks/bytes_lm_eval.py            # 15 minutes on one core; needs lm-eval, which CI does not install

Items are made of held-out English documentation: **words**, the last word of a sentence among three words that end
other ones; **closed**, the same with a full stop behind each; **lines**, the last word of a sentence asked for after
two examples; **texts**, whole sentences. The model of tokens is ``hf`` of lm-eval on the same weights, with the same
start token. Its score of a choice is the probability of one token sequence; ours is that of all texts that begin so:
" cat" is the beginning of " category" as well, but " cat." is not. So on "closed" the two should nearly agree.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import Claim, corpus, machine, save

import bytetok as bt
from bytetok.lm import packages

SENTENCE = re.compile(r"(?<=[.\n] )[A-Z][a-z]+(?: [a-z,'-]+){6,16}( [a-z]{4,10})\.(?=\s)")
CHOICES = {
    "output_type": "multiple_choice", "doc_to_text": "{{context}}", "doc_to_target": "{{answer}}",
    "target_delimiter": "", "metric_list": [{"metric": "acc"}],
}  # fmt: skip
ENSEMBLE = 8
"""Items of each task for the ensemble, which is asked byte by byte."""

TASKS: dict[str, dict[str, Any]] = {
    "words": {**CHOICES, "doc_to_choice": "{{words}}"},
    "closed": {**CHOICES, "doc_to_choice": "{{closed}}"},
    "lines": {
        "output_type": "generate_until", "doc_to_text": "{{question}}", "doc_to_target": "{{line}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 5}, "metric_list": [{"metric": "exact_match"}],
    },
    "texts": {
        "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "byte_perplexity"}],
    },
}  # fmt: skip


def sentences() -> Iterator[tuple[str, str]]:
    """(A sentence without its last word and full stop, " " and that word), of held-out English documents."""
    for text in bt.read_texts(corpus("general/heldout.jsonl.zst"), column="text"):
        found = SENTENCE.search(text[: 1 << 16])
        if found is not None and text[:4000].isascii():
            yield text[found.start() : found.start(1)].replace("\n", " "), found[1]


def documents(folder: Path, sizes: dict[str, int]) -> None:
    """Write the items of each task, and the task, into a folder."""
    pairs = list(dict.fromkeys(sentences()))
    rng = random.Random(0)
    words = sorted({word for _, word in pairs})
    docs: dict[str, list[dict[str, Any]]] = {name: [] for name in TASKS}
    asked = "Sentence: {}{}.\nLast word:{}\n\n"
    for context, word in pairs[: sizes["words"]]:
        others = rng.sample([one for one in words if one != word], 3)
        answer = rng.randrange(4)
        choices = [*others[:answer], word, *others[answer:]]
        one = {"context": context, "answer": answer, "words": choices, "closed": [f"{choice}." for choice in choices]}
        docs["words"].append(one)
        docs["closed"].append(one)
    examples = "".join(asked.format(*pair, pair[1]) for pair in pairs[-2:])
    for context, word in pairs[: sizes["lines"]]:
        docs["lines"].append({"question": examples + asked.format(context, word, "").rstrip("\n"), "line": word})
    docs["texts"] = [{"text": "".join(pair) + "."} for pair in pairs[-sizes["texts"] :]]
    (folder / "tasks").mkdir()
    for name, task in TASKS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in docs[name]))
        files = {"data_files": {"test": str(folder / f"{name}.jsonl")}, "cache_dir": str(folder / "cache")}
        data = {"task": name, "dataset_path": "json", "test_split": "test", "dataset_kwargs": files}
        (folder / "tasks" / f"{name}.yaml").write_text(json.dumps({**data, **task}))


def evaluated(model: Any, folder: Path, names: list[str], limit: int | None = None) -> dict[str, Any]:
    """Scores of tasks or of their first ``limit`` items, the log-probabilities of all choices, and the seconds."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    started = time.perf_counter()
    manager = TaskManager(include_path=str(folder / "tasks"))
    found = lm_eval.simple_evaluate(
        model=model, tasks=names, task_manager=manager, bootstrap_iters=0, log_samples=True, limit=limit
    )
    scores = {name: found["results"][name][f"{TASKS[name]['metric_list'][0]['metric']},none"] for name in names}
    logs = {}
    for name in {"words", "closed"} & {*names}:
        samples = sorted(found["samples"][name], key=lambda one: one["doc_id"])
        logs[name] = [[one[0] for one in sample["filtered_resps"]] for sample in samples]
    return {"scores": scores, "logs": logs, "seconds": round(time.perf_counter() - started, 1)}


def of_tokens(*, starts: bool) -> Any:
    """lm-eval's own model of SmolLM2, with the start token that ours has; whole texts get one without ``starts``."""
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    folder = packages.model_folder("smollm2")
    inner = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if starts:
        inner.post_processor = TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|endoftext|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return HFLM(pretrained=model, tokenizer=tokenizer, add_bos_token=starts, device="cpu", batch_size=1)


def main() -> None:
    """Evaluate, compare, write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few items; writes nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    where = machine("torch", "transformers", "lm_eval", "datasets")
    from bytetok.integrations.lm_eval import ByteEvalLM

    sizes = {"words": 3, "lines": 2, "texts": 2} if options.quick else {"words": 40, "lines": 20, "texts": 10}
    with tempfile.TemporaryDirectory() as name:
        documents(Path(name), sizes)
        found = {"hf": evaluated(of_tokens(starts=True), Path(name), ["words", "closed", "lines"])}
        found["hf"]["scores"] |= evaluated(of_tokens(starts=False), Path(name), ["texts"])["scores"]
        small = bt.ByteSampler(bt.TokenLM.from_package("smollm2"))
        found["bytes"] = evaluated(ByteEvalLM(small), Path(name), [*TASKS])
        both = bt.Mixture([small, bt.ByteSampler(bt.TokenLM.from_package("gemma3-270m"))])
        limit, few = (1 if options.quick else ENSEMBLE), ["closed", "lines"]
        for kind, model in (("ensemble", both), ("bytes", small)):
            found[f"{kind}, first {limit}"] = evaluated(ByteEvalLM(model), Path(name), few, limit)
    claims = []
    for task in TASKS:
        figures = [f"{kind} {one['scores'][task]:.3f}" for kind, one in found.items() if task in one["scores"]]
        what = "byte perplexity" if task == "texts" else "exact match" if task == "lines" else "accuracy"
        value = found["bytes"]["scores"][task]
        claims.append(Claim(f"lm-eval, {task}: {what} of the byte model", "; ".join(figures), value))
    for task in ("words", "closed"):
        gap = np.array(found["bytes"]["logs"][task]) - np.array(found["hf"]["logs"][task])
        figure = f"median {np.median(gap):.4f}, from {gap.min():.4f} to {gap.max():.4f} nats over {gap.size} choices"
        claims.append(Claim(f"lm-eval, {task}: log-probability, bytes less tokens, largest", figure, float(gap.max())))
    if options.quick:
        print(json.dumps(found, indent=1), *claims, sep="\n")
    else:
        save("bytes_lm_eval", claims, where, items=sizes, found=found)


if __name__ == "__main__":
    main()
