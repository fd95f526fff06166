"""Do transformers 4 and 5 load the shipped vocabularies, and encode and decode as we do?

The two versions do not fit into one environment, nor beside the `regex` that the tests need, so each gets a temporary
one (no torch). Every folder in vocab/ is loaded by ``AutoTokenizer`` and ``PreTrainedTokenizerFast``; ids and decoded
text are compared on the probe text of ``bytetok.tokenizer.convert``, on held-out documents, and on text with special
tokens in it.

    python benchmarks/load_transformers.py [FOLDER...]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

VERSIONS = ("4.57.6", "5.23.0")


def peer_main(tasks: Path, out: Path) -> None:
    """Runs in the temporary environment, where bytetok is not: ids and text of every folder and loader."""
    import transformers

    results: dict[str, dict[str, Any]] = {}
    task = json.loads(tasks.read_text(encoding="utf-8"))
    for folder in task["folders"]:
        for loader in ("AutoTokenizer", "PreTrainedTokenizerFast"):
            tokenizer = getattr(transformers, loader).from_pretrained(folder)
            ids = [tokenizer(text)["input_ids"] for text in task["texts"]]
            results[f"{folder} {loader}"] = {
                "ids": ids,
                "texts": [tokenizer.decode(found, clean_up_tokenization_spaces=False) for found in ids],
                "special": sorted(tokenizer.all_special_tokens),
                "size": len(tokenizer),
                "class": type(tokenizer).__name__,
            }
    out.write_text(json.dumps({"version": transformers.__version__, "results": results}))


def texts_of() -> list[str]:
    """What is encoded: known trouble, real text, and text with special tokens in it."""
    from _machine import ROOT

    from bytetok.tokenizer.convert import PROBE
    from bytetok.training.corpus import read_texts

    held_out = list(islice(read_texts(ROOT / "vocab/corpora/legal-heldout.jsonl.zst"), 40))
    chat = "<|start|>user\nWhat is a tort?<|end|><|start|>assistant\n<|pad|><|endoftext|> 42 U.S.C. § 1983 (iv) R."
    return [*PROBE, *held_out, chat]


def measure(folders: Sequence[Path]) -> tuple[dict[str, dict[str, Any]], int]:
    """For each version and folder: how many texts have other ids, or decode to other text; and whether all is alike."""
    import bytetok as bt

    texts = texts_of()
    report: dict[str, dict[str, Any]] = {}
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        task = {"folders": [str(folder) for folder in folders], "texts": texts}
        (root / "tasks.json").write_text(json.dumps(task), encoding="utf-8")
        for version in VERSIONS:
            venv.create(root / version, with_pip=True)
            python = root / version / "bin" / "python"
            subprocess.run([python, "-m", "pip", "install", "-q", f"transformers=={version}"], check=True)
            subprocess.run([python, __file__, "--peer", root / "tasks.json", root / "out.json"], check=True)
            answer = json.loads((root / "out.json").read_text())
            for folder in folders:
                tokenizer = bt.Tokenizer.load(folder)
                ours = [tokenizer.encode(text, special="allow") for text in texts]
                decoded = [tokenizer.decode(ids) for ids in ours]
                for loader in ("AutoTokenizer", "PreTrainedTokenizerFast"):
                    theirs = answer["results"][f"{folder} {loader}"]
                    found = {
                        "class": theirs["class"],
                        "same_size": theirs["size"] == tokenizer.vocab_size,
                        "texts": len(texts),
                        "other_ids": sum(a != b for a, b in zip(ours, theirs["ids"], strict=True)),
                        "other_text": sum(a != b for a, b in zip(decoded, theirs["texts"], strict=True)),
                        "special_tokens": len(theirs["special"]),
                    }
                    wrong += found["other_ids"] + found["other_text"] + (not found["same_size"])
                    report.setdefault(answer["version"], {})[f"{folder.name} {loader}"] = found
                    print(answer["version"], folder.name, loader, found, file=sys.stderr)
    return report, wrong


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="tokenizers to load; all of vocab/ by default")
    parser.add_argument("--peer", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        peer_main(*arguments.peer)
        return
    from _machine import ROOT, Claim, machine, save

    folders = arguments.folders or sorted(path.parent for path in (ROOT / "vocab").glob("*/tokenizer.json"))
    report, wrong = measure(folders)
    versions = " and ".join(report)
    claim = Claim(f"transformers {versions} load {len(folders)} tokenizers", "texts that come out otherwise", wrong, 0)
    save("load_transformers", [claim], machine("tokenizers"), results=report)


if __name__ == "__main__":
    main()
