"""Does llama.cpp cut text as we do? Vocabularies of every split pattern that it may know, tokenized by both.

llama.cpp knows split patterns by name only (``tokenizer.ggml.pre`` in a GGUF file), as approximations of the regexes
in its own regex engine. This trains a vocabulary for each of our patterns, writes it into a GGUF file with a model of
zeros, has the server of llama.cpp tokenize the same texts, and counts the texts whose ids differ. ``LLAMA_CPP_PRE`` in
``bytetok/tokenizer/patterns.py`` holds the names that this found fit.

    python benchmarks/llama_cpp_parity.py            # installs xllamacpp and gguf into a temporary environment
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PEERS = ("xllamacpp==2026.10.11549", "gguf==0.19.0")
CANDIDATES = {
    "o200k": ("gpt-4o", "granite-embed-multi-97m"),
    "gpt2": ("gpt-2",),
    "cl100k": ("llama-bpe", "dbrx"),
    "llama3": ("llama-bpe",),
    "qwen2": ("qwen2",),
    "deepseek-v3": ("deepseek-v3",),
}
SHIPPED = {"general-64k": ("gpt-4o",), "legal-32k": ("gpt-4o",)}
VOCAB_SIZE = 32_000
PIECE = 2_000  # characters of a text


# the side of llama.cpp ------------------------------------------------------------------------------------------------


def write_gguf(source: Path, pre: str, target: Path) -> None:
    """A GGUF file with the vocabulary of a tokenizer.json and one layer of zeros, which the server wants to see."""
    import gguf
    import numpy as np

    content = json.loads(source.read_text(encoding="utf-8"))
    entries, added = content["model"]["vocab"], content["added_tokens"]
    size = 1 + max([*entries.values(), *(token["id"] for token in added)])
    tokens, kinds = [f"[unused{place}]" for place in range(size)], [gguf.TokenType.UNUSED] * size
    for token, token_id in entries.items():
        tokens[token_id], kinds[token_id] = token, gguf.TokenType.NORMAL
    for token in added:
        tokens[token["id"]] = token["content"]
        kinds[token["id"]] = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
    width = 32
    writer = gguf.GGUFWriter(target, "llama")
    for name, value in {
        "context_length": 512, "embedding_length": width, "block_count": 1, "feed_forward_length": width,
        "head_count": 1, "head_count_kv": 1, "layer_norm_rms_eps": 1e-5, "rope_dimension_count": width,
        "vocab_size": size,
        "tokenizer_model": "gpt2", "tokenizer_pre": pre, "token_list": tokens, "token_types": kinds,
        "token_merges": [" ".join(pair) for pair in content["model"]["merges"]],
        "add_bos_token": False, "add_eos_token": False,
    }.items():  # fmt: skip
        getattr(writer, f"add_{name}")(value)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (size, width), "output_norm": (width,)}
    shapes |= {f"blk.0.{name}": (width,) for name in ("attn_norm", "ffn_norm")}
    matrices = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    shapes |= {f"blk.0.{name}": (width, width) for name in matrices}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tokenize(source: Path, pre: str, texts: Sequence[str]) -> Iterator[list[int]]:
    """The ids that the server of llama.cpp gives each text, special tokens parsed and none added."""
    import xllamacpp

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.gguf"
        write_gguf(source, pre, path)
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx, parameters.n_parallel, parameters.n_gpu_layers = 64, 1, 0
        parameters.port, parameters.warmup, parameters.verbosity = 18_231, False, 0
        server = xllamacpp.Server(parameters)
        for text in texts:
            body = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
            request = urllib.request.Request(
                f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request) as answer:
                yield json.load(answer)["tokens"]


def peer_main(source: Path, pre: str, texts: Path, out: Path) -> None:
    """Runs in the temporary environment, where bytetok is not."""
    out.write_text(json.dumps(list(tokenize(source, pre, json.loads(texts.read_text(encoding="utf-8"))))))


# our side -------------------------------------------------------------------------------------------------------------


def pieces(text: str) -> list[str]:
    """Text in pieces that end at line ends, about PIECE characters long."""
    found, start = [], 0
    while start < len(text):
        end = text.find("\n", start + PIECE) + 1 or len(text)
        found.append(text[start:end])
        start = end
    return found


def samples() -> dict[str, list[str]]:
    """Texts by kind: the benchmark corpora, the Universal Declaration in every language, and known trouble."""
    from _machine import corpus

    from bytetok.tokenizer.convert import PROBE

    kinds = {kind: pieces(corpus(f"{kind}1.txt").read_text(encoding="utf-8")) for kind in ("english", "legal", "code")}
    kinds["multilingual"] = pieces(corpus("multilingual1.txt").read_text(encoding="utf-8"))
    with corpus("udhr.jsonl").open(encoding="utf-8") as lines:
        kinds["declaration"] = [json.loads(line)["text"][:PIECE] for line in lines]
    kinds["trouble"] = [*PROBE, *(" ".join(probe.split()) for probe in PROBE)]
    # White space at the end of a text, where the patterns differ most, and contractions that Unicode folds.
    kinds["end"] = [f"word{space}" for space in (" ", "   ", "\n", "\n  ", " \n\n \t", "\r\n ", "\u3000 ", "\n \x85")]
    kinds["folded"] = ["it's IT'S it'ſ X'ſa 'ſtreet", "we'RE I'LL d'ſé"]
    return kinds


def measure() -> dict[str, dict[str, Any]]:
    """For each pattern or shipped vocabulary and each name of llama.cpp: the share of texts with other ids, by kind."""
    from _machine import ROOT, corpus

    import bytetok as bt

    kinds = samples()
    names = [kind for kind, texts in kinds.items() for _ in texts]
    texts = [text for found in kinds.values() for text in found]
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        venv.create(root / "peers", with_pip=True)
        python = root / "peers" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", *PEERS], check=True)
        (root / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        for name, pres in {**CANDIDATES, **SHIPPED}.items():
            if name in SHIPPED:
                tokenizer = bt.Tokenizer.load(ROOT / "vocab" / name)
            else:
                counts = bt.count_pretokens(bt.read_texts(corpus("mixed10.txt")), pattern=name, threads=2)
                tokenizer = bt.train_bpe(counts, vocab_size=VOCAB_SIZE, special_tokens=["<|endoftext|>"])
            tokenizer.save(root / name)
            ours = tokenizer.encode_batch(texts, special="allow")
            for pre in pres:
                arguments = [root / name / "tokenizer.json", pre, root / "texts.json", root / "ids.json"]
                subprocess.run([python, __file__, "--peer", *arguments], check=True, stdout=subprocess.DEVNULL)
                theirs = json.loads((root / "ids.json").read_text())
                results.setdefault(name, {})[pre] = compare(texts, names, ours, theirs)
                print(f"{name:12} {pre:24} {results[name][pre]['differ']}", file=sys.stderr)
    return results


def compare(
    texts: Sequence[str], kinds: Sequence[str], ours: Sequence[list[int]], theirs: Sequence[list[int]]
) -> dict[str, Any]:
    """The share of texts with other ids by kind, tokens in all, and the first differences."""
    differ = {}
    percent = round(100 * sum(a != b for a, b in zip(ours, theirs, strict=True)) / len(texts), 3)
    for kind in dict.fromkeys(kinds):
        others = sum(a != b for k, a, b in zip(kinds, ours, theirs, strict=True) if k == kind)
        differ[kind] = round(others / kinds.count(kind), 4)
    examples = []
    for text, a, b in zip(texts, ours, theirs, strict=True):
        if a != b and len(examples) < 4:
            at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
            examples.append({"text": text[:60], "token": at, "ours": a[at : at + 4], "llama_cpp": b[at : at + 4]})
    tokens = [sum(map(len, ours)), sum(map(len, theirs))]
    return {"percent": percent, "differ": differ, "tokens": tokens, "examples": examples}


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", nargs=4, type=str, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        source, pre, texts, out = arguments.peer
        peer_main(Path(source), pre, Path(texts), Path(out))
        return
    from _machine import Claim, machine, save

    from bytetok.tokenizer.patterns import LLAMA_CPP_PRE

    results = measure()
    claims = [
        # o200k is known to differ: the engine of llama.cpp has no classes for case and marks outside ASCII.
        Claim(f"llama.cpp, {name} as {pre}", "texts with other ids, %", results[name][pre]["percent"], bar)
        for name, pre in LLAMA_CPP_PRE.items()
        if name in results
        for bar in [None if name == "o200k" else 0.0]
    ]
    save("llama_cpp_parity", claims, {**machine("tokenizers"), "peers": PEERS}, results=results)


if __name__ == "__main__":
    main()
