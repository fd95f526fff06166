"""Decoding: a list of ids to ``str``, and to ``bytes``.

::

    python benchmarks/decode_speed.py --peers ~/peers/bin/python     # 2 minutes
    python benchmarks/decode_speed.py --quick                        # writes nothing

tiktoken's o200k ids of 8 KB documents, as lists of Python's ints, decoded one list a call. MB (1e6 bytes of the text
that comes out) per CPU second on one pinned core, the median of passes in turn; the first pass is not counted. Every
text that comes out is compared with what went in.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from _encoding import Texts, Worker, finish, machine_with_peers, offered, openai_files, parser
from _libraries import Files
from _machine import Claim, corpus

CALLS = {
    "decode": (
        "bytetok", "iree", "tuetoken", "gigatoken", "rs-bpe", "quicktok", "splintr", "tiktoken", "snaptokens",
        "fastokens", "tokenizers",
    ),
    "decode_bytes": ("bytetok", "gigatoken", "quicktok", "splintr", "tiktoken", "kitoken"),
}  # fmt: skip
TEXTS = ("english", "code", "multilingual")


def in_turn(
    python: str, libraries: list[str], files: Files, texts: Texts, ids: Path, call: str, *, passes: int, budget: float
) -> dict[str, dict[str, Any]]:
    """MB per CPU second of each pass, and how many texts came out wrong; or an error."""
    found: dict[str, dict[str, Any]] = {library: {"speeds": []} for library in libraries}
    workers = [Worker(python, library, files) for library in libraries]
    try:
        for worker in workers:
            if "error" in worker.opened:
                found[worker.library]["error"] = worker.opened["error"]
                continue
            worker.read(texts)
            worker.ask("read_ids", path=str(ids))
            # The first pass: what is built once is built.
            found[worker.library] |= worker.ask("check_decode", call=call)
        spent = dict.fromkeys(libraries, 0.0)
        for _ in range(passes):
            for worker in workers:
                one = found[worker.library]
                if "error" in one or spent[worker.library] > budget:
                    continue
                answer = worker.ask("measure", call=call)
                spent[worker.library] += answer["cpu"]
                one["speeds"].append(round(worker.bytes / 1e6 / answer["cpu"], 2))
    finally:
        for worker in workers:
            worker.close()
    for one in found.values():
        one["speed"] = statistics.median(one["speeds"]) if one["speeds"] else None
    return found


def main() -> None:
    """Measure, compare, print and save."""
    options = parser("Decoding speed beside other libraries.", rounds=9).parse_args()
    where = machine_with_peers(options.peers)
    passes, size = (3, 1_000_000) if options.quick else (options.rounds, 4_000_000)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        files = openai_files("o200k", folder)
        for name in TEXTS[:1] if options.quick else TEXTS:
            texts, ids = Texts(corpus(f"{name}10.txt"), limit=size), Path(folder, f"{name}.ids")
            with Worker(options.peers, "tiktoken", files) as reference:
                reference.read(texts)
                reference.ask("write_ids", call="list", path=str(ids))
            for call, libraries in CALLS.items():
                there = offered(where, libraries, options.libraries)
                found = in_turn(options.peers, there, files, texts, ids, call, passes=passes, budget=3)
                results[f"{name}, {call}"] = found
                shown = ", ".join(f"{library} {_shown(one)}" for library, one in found.items())
                print(f"{name}, {call}: {shown}", file=sys.stderr)
    rows, wrong, checked = [], 0, 0
    for what, found in results.items():
        ours = found.get("bytetok", {})
        peers = {library: one["speed"] for library, one in found.items() if library != "bytetok" and one["speed"]}
        if not ours.get("speed") or not peers:
            continue
        order = sorted(peers, key=lambda library: -peers[library])
        best, rest = order[0], ", ".join(f"{library} {peers[library]:.0f}" for library in order[1:4])
        lossy = f" ({found[best]['wrong']} texts wrong)" if found[best]["wrong"] else ""
        figure = f"{ours['speed']:.0f} : {best}{lossy} {peers[best]:.0f} MB/s; {rest}"
        bar = 1.0 if what.endswith(", decode") else None
        what = f"o200k, {what.replace('_', ' ')} : best peer"
        rows.append(Claim(what, figure, ours["speed"] / peers[best], bar, at_least=True))
        wrong, checked = wrong + ours["wrong"], checked + 1
    rows.append(Claim("texts that come out wrong", f"of {checked} kinds", wrong, 0))
    finish("decode_speed", rows, where, write=not (options.quick or options.libraries), passes=passes, results=results)


def _shown(one: dict[str, Any]) -> str:
    if not one["speed"]:
        return str(one.get("error"))
    return f"{one['speed']:.0f}{'!' if one['wrong'] else ''}"


if __name__ == "__main__":
    main()
