"""Text that hurts: one string of 1 MB without a place to cut, or of characters that no vocabulary knows.

::

    python benchmarks/encode_adversarial.py --peers ~/peers/bin/python     # 5 minutes
    python benchmarks/encode_adversarial.py --quick                        # writes nothing

The files are ``adv_*.txt`` of the corpora. Each library encodes one short sentence in a fresh process, so that what it
builds when it is first used is built, and then the whole file as one string to a list of ids, once. MB per CPU second
on one pinned core, the median of the rounds. The ids are compared with tiktoken's.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from typing import Any

from _encoding import Texts, Worker, expected_of, finish, machine_with_peers, offered, openai_files, parser
from _libraries import Files
from _machine import Claim, corpus

TEXTS = {
    "a1m": "one letter",
    "ws1m": "spaces",
    "letters1m": "random letters",
    "wsmix1m": "mixed white space",
    "digits1m": "digits",
    "cjk1m": "random Han",
    "unicode1m": "random code points",
}
BARS = {"a1m": 80, "ws1m": 80, "letters1m": 10}
LIBRARIES = (
    "bytetok", "quicktok", "rs-bpe", "toktok", "gigatoken", "fastokens", "snaptokens", "tuetoken", "splintr", "iree",
    "kitoken", "tiktoken", "tokenizers",
)  # fmt: skip
SENTENCE = "The quick brown fox jumps over the lazy dog; 12 naïve cafés.\n"


def first_pass(python: str, library: str, files: Files, texts: Texts, expected: dict[str, Any]) -> dict[str, Any]:
    """MB per CPU second and whether the ids are the reference's; or an error."""
    call = "count" if library == "toktok" else "list"
    with Worker(python, library, files) as worker:
        if "error" in worker.opened:
            return worker.opened
        worker.read(texts)
        warmed = worker.ask("warm_up", call=call, text=SENTENCE)
        answer = warmed if "error" in warmed else worker.ask("measure", call=call)
        if "error" in answer:
            return answer
        checked = worker.digests(call)
        if "error" in checked:
            return checked
        key = "counts" if call == "count" else "digests"
        return {"speed": round(worker.bytes / 1e6 / answer["cpu"], 2), "equal": checked[key] == expected[key]}


def main() -> None:
    """Measure, compare, print and save."""
    arguments = parser("Encoding 1 MB strings that hurt.", rounds=3)
    arguments.add_argument("--texts", nargs="+", choices=tuple(TEXTS), default=tuple(TEXTS))
    arguments.add_argument("--encoding", choices=("cl100k", "o200k"), default="cl100k")
    options = arguments.parse_args()
    where = machine_with_peers(options.peers)
    libraries = offered(where, LIBRARIES, options.libraries)
    rounds = 1 if options.quick else options.rounds
    names = [name for name in options.texts if name in BARS or not options.quick]
    results: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        files = openai_files(options.encoding, folder)
        for name in names:
            texts = Texts(corpus(f"adv_{name}.txt"), size=2_000_000, limit=2_000_000)
            expected = expected_of(options.peers, "tiktoken", files, texts)
            found: dict[str, dict[str, Any]] = {library: {"speeds": [], "equal": True} for library in libraries}
            for _ in range(rounds):
                for library in libraries:
                    answer = first_pass(options.peers, library, files, texts, expected)
                    if "error" in answer:
                        found[library]["error"] = answer["error"]
                        continue
                    found[library]["speeds"].append(answer["speed"])
                    found[library]["equal"] &= answer["equal"]
            for one in found.values():
                one["speed"] = statistics.median(one["speeds"]) if one["speeds"] else None
            results[name] = found
            report(TEXTS[name], found)
    finish(
        "encode_adversarial",
        claims(results),
        where,
        write=not (options.quick or options.libraries or set(options.texts) != set(TEXTS)),
        encoding=options.encoding,
        rounds=rounds,
        speeds=results,
    )


def report(what: str, found: dict[str, dict[str, Any]]) -> None:
    """One line on stderr: MB/s of each library, "!" where the ids differ."""
    parts = []
    for library, one in found.items():
        speed = f"{one['speed']:.1f}{'' if one['equal'] else '!'}" if one["speed"] else one.get("error")
        parts.append(f"{library} {speed}")
    print(f"{what}: {', '.join(parts)}", file=sys.stderr)


def claims(results: dict[str, dict[str, dict[str, Any]]]) -> list[Claim]:
    """Speeds that the issue asks for, ratios to the fastest peer that is exact on that text, and our exactness."""
    speeds, ratios, wrong = [], [], 0
    for name, found in results.items():
        ours = found.get("bytetok", {}).get("speed")
        if ours is None:
            continue
        wrong += not found["bytetok"]["equal"]
        peers = {
            library: one["speed"]
            for library, one in found.items()
            if library != "bytetok" and one["speed"] and one["equal"] and library != "toktok"
        }
        fastest = sorted(peers.items(), key=lambda one: -one[1])[:4]
        rest = ", ".join(f"{library} {speed:.0f}" for library, speed in fastest)
        what = f"1 MB of {TEXTS[name]}, first pass, MB per CPU second"
        speeds.append(Claim(what, f"exact peers: {rest}", ours, BARS.get(name), at_least=True))
        if peers:
            best = max(peers, key=lambda library: peers[library])
            figure = f"{ours:.0f} : {best} {peers[best]:.0f} MB/s"
            ratios.append(Claim(f"1 MB of {TEXTS[name]} : best exact peer", figure, ours / peers[best]))
    exact = Claim("of these texts, with ids that differ from tiktoken's", f"of {len(results)}", wrong, 0)
    return [*speeds, *ratios, exact]


if __name__ == "__main__":
    main()
