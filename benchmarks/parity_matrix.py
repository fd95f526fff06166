"""Are our ids those of the reference? Every vocabulary on this machine over every corpus.

Rank files and tekken are held to tiktoken, tokenizer.json to ``tokenizers``, SentencePiece models to sentencepiece; how
is in ``tests/peers.py``, which the parity suite shares. Real text is compared in documents of 8,000
characters, adversarial text in documents of 100,000 (tiktoken fails on a megabyte of white space). Writes
results/parity_matrix.json and .md.

    python benchmarks/parity_matrix.py                        # a megabyte of each corpus; a quarter of an hour
    python benchmarks/parity_matrix.py --size 10              # ten; hours, because `tokenizers` takes its time
    python benchmarks/parity_matrix.py --only gpt-4o mistral-v1 --corpora code
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from _machine import RESULTS, ROOT, Claim, machine, save

sys.path.insert(0, str(ROOT / "tests"))

from cases import ADVERSARIAL, CORPORA, HANDWRITTEN, corpus, special_cases
from peers import Peer, peer_of, vocabularies

import bytetok as bt
from bytetok.errors import BytetokError

DOCUMENT, ADVERSARIAL_DOCUMENT = 8_000, 100_000
COLUMNS = (*CORPORA, *ADVERSARIAL, "handwritten", "special")


def documents(column: str, size: int, tokenizer: Any) -> list[str]:
    """The texts of a column."""
    if column == "handwritten":
        return [case for cases in HANDWRITTEN.values() for case in cases]
    if column == "special":
        return special_cases(list(tokenizer.vocab.special_tokens))
    text = corpus(column, size)
    step = ADVERSARIAL_DOCUMENT if column in ADVERSARIAL else DOCUMENT
    return [text[start : start + step] for start in range(0, len(text), step)]


def compare(tokenizer: Any, peer: Peer, texts: Sequence[str]) -> dict[str, Any]:
    """How many documents have other ids, what all is in bytes and tokens, and the first document that differs."""
    cell: dict[str, Any] = {"documents": len(texts), "bytes": 0, "tokens": 0, "different": 0}
    for number, (text, ours) in enumerate(zip(texts, tokenizer.encode_batch(texts, special="text"), strict=True)):
        cell["bytes"] += len(text.encode())
        cell["tokens"] += len(ours)
        theirs = peer.text(text)
        if ours != theirs:
            cell["different"] += 1
            at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(ours))
            parts = {"ours": ours[at : at + 4], "theirs": theirs[at : at + 4]}
            cell.setdefault("first", {"document": number, "token": at, **parts})
    return cell


def row(name: str, place: str, columns: Sequence[str], size: int) -> dict[str, Any]:
    """One vocabulary over all columns."""
    peer = peer_of(name)
    tokenizer = bt.Tokenizer.load(place)
    engine = "bytetok" if isinstance(tokenizer, bt.Tokenizer) else "another package"
    cells: dict[str, Any] = {}
    for column in columns:
        texts = documents(column, size, tokenizer)
        if texts:
            cells[column] = compare(tokenizer, peer, texts)
    return {"peer": peer.package, "engine": engine, "ids": tokenizer.vocab_size, "cells": cells}


def markdown(matrix: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> str:
    """The matrix for people: ``=`` where all ids are the same."""
    lines = [f"| vocabulary | ids | held to | runs on | {' | '.join(columns)} |", "|---" * (4 + len(columns)) + "|"]
    for name, entry in matrix.items():
        marks = []
        for column in columns:
            cell = entry["cells"].get(column)
            differ = cell and cell["different"]
            marks.append("-" if cell is None else f"{differ} of {cell['documents']}" if differ else "=")
        facts = f"{name} | {entry['ids']:,} | {entry['peer']} | {entry['engine']}"
        lines.append(f"| {facts} | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, choices=(1, 10), default=1, help="megabytes of each corpus")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these vocabularies")
    parser.add_argument("--corpora", nargs="*", default=COLUMNS, choices=COLUMNS, metavar="NAME", help="these columns")
    arguments = parser.parse_args()
    where = machine("tiktoken", "tokenizers", "sentencepiece", "regex")
    matrix: dict[str, Any] = {}
    for name, place in vocabularies().items():
        if arguments.only and name not in arguments.only:
            continue
        started = time.process_time()
        try:
            matrix[name] = row(name, place, arguments.corpora, arguments.size)
        except BytetokError as err:
            print(f"  {name}: {err}", file=sys.stderr)
            continue
        gc.collect()
        different = sum(cell["different"] for cell in matrix[name]["cells"].values())
        print(f"  {name:<24} {different} documents differ, {time.process_time() - started:.0f} s CPU", file=sys.stderr)
    cells = [cell for entry in matrix.values() for cell in entry["cells"].values()]
    wrong = sum(cell["different"] for cell in cells)
    what = f"{len(matrix)} vocabularies, {sum(cell['bytes'] for cell in cells) / 1e6:,.0f} MB"
    table = markdown(matrix, arguments.corpora)
    print(table)
    if arguments.only or set(arguments.corpora) != set(COLUMNS):
        sys.exit(1 if wrong else 0)  # a part of the matrix does not replace the whole
    save("parity_matrix", [Claim(what, "documents with other ids than the reference", wrong, 0)], where, matrix=matrix)
    (RESULTS / "parity_matrix.md").write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
