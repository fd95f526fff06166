"""Rebuild the shipped tokenizers with the commands in MANIFEST.toml, and write the sha256 of what comes out.

    python vocab/build.py [--check] [NAME ...]

The commands are what a user would type. They need the corpora that `python benchmarks/fetch.py corpora` and `python
benchmarks/corpora.py all` make, and the finance ones also the SEC filings in `$BYTETOK_SHARED_DATA`. A vocabulary
whose corpus is absent is left as it is, and the script says so. With `--check`, it only compares the files with
MANIFEST.toml.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
MANIFEST = HERE / "MANIFEST.toml"


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def corpus_files(command: list[str]) -> list[Path]:
    """The inputs of a `bytetok train` command: what stands before its first option."""
    files = command[2 : next(index for index, word in enumerate(command) if word.startswith("-"))]
    return [Path(file) if Path(file).is_absolute() else HERE.parent / file for file in files]


def build(name: str, entry: dict[str, str]) -> str | None:
    """Run the command of one vocabulary; the new sha256, or None if its corpus is not there."""
    cache = os.environ.get("BYTETOK_CACHE") or str(Path.home() / ".cache" / "bytetok")
    command = shlex.split(entry["command"].replace("$BYTETOK_CACHE", cache))
    missing = [file for file in corpus_files(command) if not file.exists()]
    if missing:
        print(f"{name}: left as it is, {missing[0].name} is not there", file=sys.stderr)
        return None
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", *command], cwd=HERE.parent, check=True)
    print(f"{name}: built in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return sha256(HERE / name / "tokenizer.json")


def check(entries: dict[str, dict[str, str]]) -> int:
    """How many files differ from what the manifest says of them."""
    wrong = 0
    for name, entry in entries.items():
        path = HERE / name / "tokenizer.json"
        found = sha256(path) if path.exists() else "absent"
        if found != entry["sha256"]:
            wrong += 1
            print(f"{name}: sha256 is {found}, the manifest says {entry['sha256']}", file=sys.stderr)
    return wrong


def main() -> int:
    """Build all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    entries = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))["vocab"]
    if unknown := set(given.names) - set(entries):
        parser.error(f"no such vocabulary: {', '.join(sorted(unknown))}; there are {', '.join(entries)}")
    chosen = {name: entry for name, entry in entries.items() if not given.names or name in given.names}
    if given.check:
        return 1 if check(chosen) else 0
    for name, entry in chosen.items():
        digest = build(name, entry)
        if digest is not None:
            text = MANIFEST.read_text(encoding="utf-8")
            section = re.compile(rf'(\[vocab\.{re.escape(name)}\][^\[]*?\nsha256 = ")[^"]*')
            MANIFEST.write_text(section.sub(rf"\g<1>{digest}", text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
