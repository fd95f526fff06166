"""A published tokenizer.json with three split stages, DeepSeek's, in every library that loads it.

::

    python benchmarks/encode_deepseek.py --peers ~/peers/bin/python     # 3 minutes
    python benchmarks/encode_deepseek.py --quick                        # writes nothing

Measured as ``encode_speed.py`` does: documents of 8 KB, MB per CPU second on one pinned core, first pass of a fresh
process and median of later passes. The reference for the ids is ``tokenizers``. Every library reads the same file and
matches its added tokens in the text.
"""

from __future__ import annotations

from _encoding import (
    Texts,
    against_best,
    exactness,
    file_of,
    finish,
    machine_with_peers,
    measure,
    offered,
    parser,
    plain,
)
from _libraries import Files
from _machine import Claim, corpus

CALLS = {
    "numpy": ("bytetok", "gigatoken", "tuetoken", "iree", "splintr"),
    "list": (
        "bytetok", "gigatoken", "fastokens", "snaptokens", "splintr", "tuetoken", "kitoken", "iree", "tokenizers",
    ),
    "batch_numpy": ("bytetok", "gigatoken", "fastokens", "snaptokens"),
}  # fmt: skip
TEXTS = ("mixed", "english", "code", "multilingual")


def main() -> None:
    """Measure, compare, print and save."""
    options = parser("Encoding with the tokenizer.json of DeepSeek V3.", rounds=3).parse_args()
    where = machine_with_peers(options.peers)
    path = file_of("deepseek-v3")
    files = Files(json=path, ours=path)
    rounds, warm, size = (1, 2, 1_000_000) if options.quick else (options.rounds, 4, 4_000_000)
    results = {}
    for text in TEXTS[:1] if options.quick else TEXTS:
        for call, libraries in CALLS.items():
            results[text, call] = measure(
                options.peers,
                offered(where, libraries, options.libraries),
                files,
                Texts(corpus(f"{text}10.txt"), limit=size),
                call,
                rounds=rounds,
                warm=warm,
                reference="tokenizers",
                label=f"DeepSeek, {text}, {call}",
            )
    rows: list[Claim] = []
    for (text, call), found in results.items():
        for which, bar in (("cold", 1.3), ("warm", None)):
            what = f"DeepSeek V3, {text}, {call.replace('_', ' ')}, {which} : best peer"
            rows += against_best(found, which, what, bar)
    rows.append(exactness(results.values()))
    finish(
        "encode_deepseek",
        rows,
        where,
        write=not (options.quick or options.libraries),
        rounds=rounds,
        text_bytes=size,
        speeds=[{"text": text, "call": call, "libraries": plain(found)} for (text, call), found in results.items()],
    )


if __name__ == "__main__":
    main()
