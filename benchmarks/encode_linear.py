"""Twice the text costs at most twice the instructions, for every split pattern and text that has no end to a pretoken.

::

    python benchmarks/encode_linear.py              # 20 minutes under valgrind
    python benchmarks/encode_linear.py --quick      # 100 kB and 200 kB, two patterns, writes nothing

Instructions of ``Tokenizer.encode`` are counted, not seconds, for 1 MB and for 2 MB of one letter, random letters,
spaces, mixed white space, random Han, digits, punctuation and everything mixed. Each pattern with a name runs with the
vocabulary of gpt-4o; the SentencePiece-style vocabularies that are in the cache run as they are. A short sentence comes
first, so that what is built when it is first used does not count; the two texts share no random part, so that nothing
remembered from the first helps the second.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from _encoding import cache_file, finish, machine_with_peers, made_by
from _instructions import between_marks, require_valgrind
from _machine import Claim

# One instruction in a hundred: buffers that grow by doubling copy a little more or less.
TOLERANCE = 0.01

TEXTS = (
    "one letter", "random letters", "spaces", "mixed white space", "random Han", "digits", "punctuation", "mixed",
)  # fmt: skip

SAVE = """import sys, bytetok as bt
from bytetok.tokenizer.patterns import NAMED
folder, published = sys.argv[1:3]
base = bt.Tokenizer.load(published)
seen = {}
for name, stages in NAMED.items():
    if stages in seen.values():
        continue
    seen[name] = stages
    bt.Tokenizer(base.vocab, bt.SplitPattern.of(name), name=name).save(f"{folder}/{name}.bytetok")
print("\\n".join(seen))"""

COUNT = """import os, random, sys
import bytetok
path, size, text, special = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]

def make(kind, size, part):
    pick = random.Random(f"{kind} {part}")
    if kind == "one letter":
        return "a" * size
    if kind == "spaces":
        return " " * size
    if kind == "mixed":
        alphabet = "".join(chr(pick.randrange(32, 0x3000)) for _ in range(200)) + " \\t\\n09az漢字ÀÉ"
        found = "".join(pick.choices(alphabet, k=size))
        return found.encode("utf-8", "ignore")[:size].decode("utf-8", "ignore")
    if kind == "random Han":
        return "".join(chr(pick.randrange(0x4E00, 0x9FA6)) for _ in range(size // 3))
    alphabet = {
        "random letters": "abcdefghijklmnopqrstuvwxyz",
        "mixed white space": " \\t\\n\\r\\u00a0\\u3000",
        "digits": "0123456789",
        "punctuation": "!\\"#$%&'()*+,-./:;<=>?@[]^_`{|}~",
    }[kind]
    wide = len(alphabet.encode()) / len(alphabet)
    return "".join(pick.choices(alphabet, k=int(size / wide)))

once, twice = make(text, size, 0), make(text, 2 * size, 1)
tok = bytetok.Tokenizer.load(path)
tok.encode("The quick brown fox; 12 naïve cafés 漢字.\\n", special=special)
os.getppid()
tok.encode(once, special=special)
os.getppid()
tok.encode(twice, special=special)
os.getppid()
print(len(once.encode()), len(twice.encode()))"""


def main() -> None:
    """Count, compare, print and save."""
    parser = argparse.ArgumentParser(description="Twice the text costs at most twice the instructions.")
    parser.add_argument("--patterns", nargs="+", metavar="NAME", help="only these split patterns, and no models")
    parser.add_argument("--texts", nargs="+", choices=TEXTS, default=TEXTS)
    parser.add_argument("--vocab", default="gpt-4o", help="the vocabulary that each pattern runs with")
    parser.add_argument("--models", nargs="*", default=["mistral-v1", "gemma3"], help="further tokenizers, as they are")
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="small texts and two patterns; writes nothing")
    options = parser.parse_args()
    require_valgrind()
    where = machine_with_peers(sys.executable)
    size = 100_000 if options.quick else options.bytes
    results: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bytetok-") as folder:
        patterns = made_by(SAVE, folder, options.vocab).splitlines()
        chosen = options.patterns or (patterns[:2] if options.quick else patterns)
        paths = {name: str(Path(folder, f"{name}.bytetok")) for name in chosen}
        if not options.patterns and not options.quick:
            # As our cache file, so that little of the time under valgrind goes into loading.
            paths |= {name: cache_file(name, folder) for name in options.models}
        for name, path in paths.items():
            results[name] = {}
            for text in options.texts:
                results[name][text] = found = doubling(path, size, text)
                shown = found.get("error") or f"{found['once']:,} {found['twice']:,} {found['ratio']:.4f}"
                print(f"{name}, {text}: {shown}", file=sys.stderr)
    finish(
        "encode_linear",
        claims(results),
        where,
        write=not (options.quick or options.patterns or set(options.texts) != set(TEXTS)),
        bytes=size,
        tolerance=TOLERANCE,
        vocabulary=options.vocab,
        results=results,
    )


def doubling(path: str, size: int, text: str) -> dict[str, Any]:
    """Instructions for ``size`` bytes of a text and for twice as many; or an error."""
    try:
        once, twice = between_marks(sys.executable, COUNT, path, size, text, "text")
    except RuntimeError as err:
        return {"error": str(err)}
    return {"once": once, "twice": twice, "ratio": twice / once, "per_byte": round(once / size, 1)}


def claims(results: dict[str, dict[str, dict[str, Any]]]) -> list[Claim]:
    """The worst text of each pattern, and what a byte costs at most."""
    rows = []
    for name, texts in results.items():
        found = {text: one for text, one in texts.items() if "ratio" in one}
        if len(found) < len(texts):
            rows.append(Claim(f"texts that failed, {name}", f"of {len(texts)}", len(texts) - len(found), 0))
        if not found:
            continue
        worst = max(found, key=lambda text: found[text]["ratio"])
        dearest = max(found, key=lambda text: found[text]["per_byte"])
        figure = (
            f"of {len(found)} texts {worst} is the worst; at most {found[dearest]['per_byte']:.0f} instructions a byte "
            f"({dearest})"
        )
        what = f"instructions for 2 MB over 1 MB, {name}"
        rows.append(Claim(what, figure, round(found[worst]["ratio"], 4), 2 * (1 + TOLERANCE)))
    return rows


if __name__ == "__main__":
    main()
