"""What the encoding benchmarks share: the peers' interpreter, tokenizers in every form, processes measured in turn."""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from _libraries import LIBRARIES, Files
from _machine import ROOT, Claim, Run, machine, save
from table import rows

HERE = Path(__file__).resolve().parent
HELP = "Python with the packages of benchmarks/peers.txt; default: $BYTETOK_PEERS, else the running one"

# cl100k and o200k as published tokenizer.json files spell them: several peers know a pattern by its exact text.
JSON_REGEX = {
    "cl100k": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+"
    ),
    "o200k": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
PUBLISHED = {"cl100k": "gpt-4", "o200k": "gpt-4o"}

# Libraries below this share of the fastest peer are measured once, not every round.
ALSO_RAN = 1 / 3


def parser(description: str, *, rounds: int) -> argparse.ArgumentParser:
    """The options that all encoding benchmarks have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--peers", default=os.environ.get("BYTETOK_PEERS", sys.executable), metavar="PYTHON", help=HELP)
    made.add_argument("--libraries", nargs="+", metavar="NAME", choices=list(LIBRARIES), help="measure only these")
    made.add_argument("--rounds", type=int, default=rounds, help=f"fresh processes of each library; default {rounds}")
    made.add_argument("--quick", action="store_true", help="little text, to see that it runs; writes nothing")
    return made


def environment(threads: int = 1) -> dict[str, str]:
    """For a measured process: our package from the checkout, and as many threads as it may have."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RAYON_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
    }


def machine_with_peers(python: str) -> dict[str, Any]:
    """:func:`_machine.machine` with the versions in the peers' interpreter; ends the script if it does not run ours."""
    packages = [package for package, _ in LIBRARIES.values()] + ["numpy"]
    code = (
        "import sys, json, importlib.metadata as m, bytetok\nfound = {}\nfor name in sys.argv[1:]:\n"
        " try: found[name] = m.version(name)\n except m.PackageNotFoundError: pass\n"
        "found['bytetok-lm'] = bytetok.__version__\nprint(json.dumps([found, bytetok.Tokenizer is not None]))"
    )
    done = subprocess.run(
        [python, "-c", code, *packages], env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(
            f"{python} cannot import bytetok from the checkout: {done.stderr.strip()[-300:]}\n"
            "build the checkout (make demo) and install benchmarks/peers.txt there, as benchmarks/README.md says"
        )
    where = machine()
    where["packages"], _ = json.loads(done.stdout)
    return where


def offered(where: dict[str, Any], names: Iterable[str], only: Sequence[str] | None) -> list[str]:
    """Those of ``names`` that are installed and asked for; says which are left out."""
    asked = [name for name in names if only is None or name in only]
    there = [name for name in asked if LIBRARIES[name][0] in where["packages"]]
    if missing := [name for name in asked if name not in there]:
        print(f"left out, not installed: {', '.join(missing)}", file=sys.stderr)
    return there


def openai_files(name: str, folder: str) -> Files:
    """``cl100k`` or ``o200k`` in every form, made below ``folder`` from the rank file; special tokens are left out.

    The process that makes them ends before anything is measured.
    """
    code = """import sys, json, pathlib, bytetok as bt
from bytetok.tokenizer.references import reference_file
name, published, regex, folder = sys.argv[1:]
source = pathlib.Path(reference_file(published))
assert source.suffix == ".tiktoken", f"{source}: run benchmarks/fetch.py references"
out = pathlib.Path(folder, name)
tok = bt.Tokenizer.load(source)
tok.save(out)
content = json.loads((out / "tokenizer.json").read_bytes())
added = {token["content"] for token in content.pop("added_tokens")}
content["added_tokens"] = []
content["model"]["vocab"] = {text: one for text, one in content["model"]["vocab"].items() if text not in added}
content["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = regex
(out / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
ranks = out / source.name
ranks.write_bytes(source.read_bytes())
print(json.dumps([str(ranks), str(out / "tokenizer.json")]))"""
    ranks, path = json.loads(made_by(code, name, PUBLISHED[name], JSON_REGEX[name], folder))
    return Files(encoding=f"{name}_base", ranks=ranks, json=path, ours=ranks)


def cache_file(source: str, folder: str) -> str:
    """A tokenizer of ours saved as its binary cache below ``folder``; loaded from there it is mapped, not built."""
    path = str(Path(folder, f"{Path(source).stem}.bytetok"))
    made_by("import sys, bytetok; bytetok.Tokenizer.load(sys.argv[1]).save(sys.argv[2])", source, path)
    return path


def made_by(code: str, *arguments: object) -> str:
    """What a process of ours printed; ends the script if it failed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"preparing failed: {done.stderr.strip()[-400:]}")
    return done.stdout.strip()


def run_process(python: str, code: str, *arguments: object, threads: int = 1) -> tuple[Run, str]:
    """Run Python code in a fresh process on ``threads`` cores: what it took, and what it printed.

    Raises RuntimeError with the last line of its complaint if it fails.
    """
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, cores)), python, "-c", code, *map(str, arguments)],
        env=environment(threads), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    start = time.perf_counter()
    assert process.stdout is not None
    assert process.stderr is not None
    printed, complaints = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(complaints.strip().splitlines()[-1][:300] if complaints.strip() else "no message")
    return Run(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024 / 1e6), printed


@dataclass(frozen=True)
class Texts:
    """A file cut into texts: its first ``limit`` bytes, texts of ``size`` bytes that end at line ends (or spaces)."""

    path: Path
    size: int = 8192
    limit: int = 10_000_000
    lines: bool = True


@dataclass
class Measured:
    """One library on one kind of text: MB (1e6 bytes of UTF-8) per CPU second of each pass, or why there is none."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    load_seconds: list[float] = field(default_factory=list)
    texts_checked: int = 0
    texts_different: int = 0
    error: str = ""

    def middle(self, which: str) -> float | None:
        """The median over processes (cold) or passes (warm); None where nothing was measured."""
        return statistics.median(values) if (values := getattr(self, which)) else None


def finish(script: str, claims: Sequence[Claim], where: dict[str, Any], *, write: bool, **details: Any) -> None:
    """Print the claims, and keep them with ``details`` in ``results/`` where ``write``."""
    if write:
        save(script, claims, where, **details)
    else:
        print("\n".join(rows({"claims": [{**vars(claim), "passed": claim.passed} for claim in claims]})))
        print("not written to results/: only a part was measured", file=sys.stderr)


def plain(found: dict[str, Measured]) -> dict[str, dict[str, Any]]:
    """Results as they are kept in JSON."""
    return {name: asdict(one) for name, one in found.items()}


def file_of(reference: str) -> str:
    """The path of a published tokenizer by name; ends the script if it is not in the cache."""
    code = "import sys\nfrom bytetok.tokenizer.references import reference_file\nprint(reference_file(sys.argv[1]))"
    return made_by(code, reference)


class Worker:
    """One process with one library, pinned to ``threads`` cores, which answers commands; see ``_worker.py``."""

    def __init__(self, python: str, library: str, files: Files, *, threads: int = 1) -> None:
        cores = sorted(os.sched_getaffinity(0))[-threads:]
        self.library = library
        self.process = subprocess.Popen(
            [python, str(HERE / "_worker.py"), json.dumps(cores)],
            env=environment(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.opened = self.ask("open", library=library, files=asdict(files), threads=threads)
        self.texts = self.bytes = 0

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One command and its answer; ``{"error": ...}`` if the library raised or the process died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return {"error": f"the process died ({self.process.wait()})"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def read(self, texts: Texts) -> None:
        """Have the process read and cut its texts."""
        answer = self.ask("read", path=str(texts.path), size=texts.size, limit=texts.limit, lines=texts.lines)
        self.texts, self.bytes = answer["texts"], answer["bytes"]

    def digests(self, call: str) -> dict[str, Any]:
        """Hashes and counts of the ids of about 250 of the texts, evenly taken; or an error."""
        return self.ask("digests", call=call, every=max(1, self.texts // 250))

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def measure(
    python: str,
    libraries: Sequence[str],
    files: Files,
    texts: Texts,
    call: str,
    *,
    rounds: int,
    warm: int,
    reference: str,
    label: str,
    budget: float = 3.0,
) -> dict[str, Measured]:
    """Measure ``call`` of each library in turn: a first pass in a fresh process each, then ``warm`` passes A B C A B C.

    A library stops early when it has spent ``budget`` seconds on warm passes. In the first round the ids of about 250
    texts are compared with those of ``reference``.
    """
    found = {name: Measured() for name in libraries}
    expected = expected_of(python, reference, files, texts)
    for number in range(rounds):
        names = [name for name in libraries if not found[name].error and not (number and also_ran(found, name))]
        names = names[number % len(names) :] + names[: number % len(names)] if names else []
        workers: list[Worker] = []
        try:
            for name in names:
                workers.append(Worker(python, name, files))
                _cold(workers[-1], texts, call, found[name])
            spent = dict.fromkeys(names, 0.0)
            for _ in range(warm):
                for worker in workers:
                    _warm(worker, call, found[worker.library], spent, budget)
            if not number:
                for worker in workers:
                    _compare(worker, call, found[worker.library], expected)
        finally:
            for worker in workers:
                worker.close()
        progress(f"{label}, round {number + 1}", {name: found[name] for name in names})
    return found


def also_ran(found: dict[str, Measured], name: str) -> bool:
    """Whether a library is so much slower than the fastest peer that one round says enough."""
    best = max((one.middle("warm") or 0 for peer, one in found.items() if peer != "bytetok"), default=0)
    return name != "bytetok" and (found[name].middle("warm") or 0) < best * ALSO_RAN


def _cold(worker: Worker, texts: Texts, call: str, into: Measured) -> None:
    answer = worker.opened
    if "error" not in answer:
        worker.read(texts)
        answer = worker.ask("measure", call=call)
    if "error" in answer:
        into.error = answer["error"]
        return
    into.load_seconds.append(round(worker.opened["cpu"], 4))
    into.cold.append(round(worker.bytes / 1e6 / answer["cpu"], 2))


def _warm(worker: Worker, call: str, into: Measured, spent: dict[str, float], budget: float) -> None:
    if into.error or spent[worker.library] > budget:
        return
    answer = worker.ask("measure", call=call)
    if "error" in answer:
        into.error = answer["error"]
        return
    spent[worker.library] += answer["cpu"]
    into.warm.append(round(worker.bytes / 1e6 / answer["cpu"], 2))


def _compare(worker: Worker, call: str, into: Measured, expected: dict[str, Any]) -> None:
    if into.error:
        return
    answer = worker.digests(call)
    if "error" in answer:
        into.error = answer["error"]
        return
    key = "counts" if call == "count" else "digests"
    into.texts_checked = len(expected[key])
    into.texts_different = sum(a != b for a, b in zip(answer[key], expected[key], strict=True))


@functools.cache
def expected_of(python: str, reference: str, files: Files, texts: Texts) -> dict[str, Any]:
    """Hashes and counts of the reference's ids; ends the script if it fails."""
    with Worker(python, reference, files) as worker:
        if "error" in worker.opened:
            sys.exit(f"the reference {reference} cannot be loaded: {worker.opened['error']}")
        worker.read(texts)
        answer = worker.digests("list")
    if "error" in answer:
        sys.exit(f"the reference {reference} failed: {answer['error']}")
    return answer


def progress(what: str, found: dict[str, Measured]) -> None:
    """One line a library on stderr."""
    print(what, file=sys.stderr, flush=True)
    for name, one in found.items():
        if one.error:
            print(f"  {name:<14} {one.error[:110]}", file=sys.stderr)
            continue
        wrong = f"  ids differ in {one.texts_different} of {one.texts_checked}" if one.texts_different else ""
        cold, warm = one.middle("cold") or 0, one.middle("warm") or 0
        print(f"  {name:<14} cold {cold:8.1f}  warm {warm:8.1f} MB/s{wrong}", file=sys.stderr)


def against_best(
    found: dict[str, Measured], which: str, what: str, bar: float | None, *, peer: str | None = None
) -> list[Claim]:
    """Our speed over that of ``peer``, or of the fastest peer; no claim where either was not measured.

    A peer with other ids than the reference counts too, and is named as such.
    """
    ours = found["bytetok"].middle(which) if "bytetok" in found else None
    others = {name: one.middle(which) for name, one in found.items() if name != "bytetok" and peer in (None, name)}
    speeds = {name: speed for name, speed in others.items() if speed is not None}
    if ours is None or not speeds:
        return []
    best = max(speeds, key=lambda name: speeds[name])
    wrong = " (other ids)" if found[best].texts_different else ""
    rest = ", ".join(
        f"{name} {speed:.0f}" for name, speed in sorted(speeds.items(), key=lambda one: -one[1])[1:4]
    )
    figure = f"{ours:.0f} : {best}{wrong} {speeds[best]:.0f} MB/s" + (f"; {rest}" if rest else "")
    return [Claim(what, figure, ours / speeds[best], bar, at_least=True)]


def exactness(found: Iterable[dict[str, Measured]]) -> Claim:
    """How many texts got other ids from us than from the reference, over all that was measured."""
    ours = [one["bytetok"] for one in found if "bytetok" in one and not one["bytetok"].error]
    checked, different = sum(one.texts_checked for one in ours), sum(one.texts_different for one in ours)
    return Claim("texts whose ids differ from the reference's", f"of {checked:,} compared", different, 0)
