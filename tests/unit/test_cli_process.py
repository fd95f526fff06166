"""The program as a process: signals, pipes, exit codes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training.bpe import train_bpe
from bytetok.training.corpus import read_texts
from bytetok.training.counts import PretokenCounts
from bytetok.training.encode_files import encode_corpus

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
# A shell calls both 130: exiting with it, and being ended by the signal, which is what Python does for an interrupt
# that arrives while a module is being imported.
INTERRUPTED = {130, -signal.SIGINT}
_LINE = "Pursuant to section 362(a) of title 11, the stay applies to 1,234 of the debtor's claims.\n"


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus that takes seconds on one thread."""
    path = tmp_path_factory.mktemp("big") / "big.txt"
    block = (_LINE * 20_000).encode()
    with path.open("wb") as file:
        for _ in range(150):
            file.write(block)
    return path


@pytest.fixture(scope="module")
def many_counts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Counts that take seconds to learn from, and no time to read."""
    rng = random.Random(0)
    letters = [bytes([letter]) for letter in range(97, 117)]
    counts = {b"".join(rng.choices(letters, k=14)): 1 for _ in range(300_000)}
    path = tmp_path_factory.mktemp("counts") / "counts.parquet"
    PretokenCounts.from_dict(counts, "none").save(path)
    return path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start bytetok with temporary files in a folder of its own."""
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "temporary").mkdir()

    def run(*words: str | Path, **options: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary"), "PYTHONUNBUFFERED": "1"}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        process = subprocess.Popen([sys.executable, "-m", "bytetok", *map(str, words)], env=environment, **pipes)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline, "the program did not get this far"
        time.sleep(0.005)
    time.sleep(0.1)  # past the microseconds between the making of a temporary file and the `try` that deletes it


def interrupted(process: subprocess.Popen[bytes], number: int = signal.SIGINT) -> tuple[float, str]:
    """Send the signal; the seconds until the process ended, and what it said."""
    assert process.poll() is None, "it was faster than the test"
    sent = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert output == b""
    return time.monotonic() - sent, errors.decode()


def left_in(folder: Path) -> list[str]:
    """Every file below, and folders other than those of the test."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "temporary"]


def test_ctrl_c_while_rust_counts_a_file(
    big: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = start("count", big, "--threads", "1", "-o", tmp_path / "counts.parquet")
    until(lambda: list((tmp_path / "temporary").iterdir()))  # where the counter would spill to
    seconds, errors = interrupted(process)
    assert process.returncode in INTERRUPTED
    assert errors == "interrupted; no file was left half-written\n"
    assert left_in(tmp_path) == []
    # 0.1 s between looks at signals, and the end of an interpreter on a busy machine.
    assert seconds < 2


def test_ctrl_c_while_waiting_for_a_pipe(tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = start("count", "-", "-o", tmp_path / "counts.parquet", stdin=subprocess.PIPE)
    until(lambda: list((tmp_path / "temporary").iterdir()))
    assert process.stdin is not None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) in INTERRUPTED
    assert process.stderr is not None
    assert process.stderr.read() == b"interrupted; no file was left half-written\n"
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("old", [False, True])
def test_ctrl_c_while_learning(
    many_counts: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]], old: bool
) -> None:
    out = tmp_path / "out"
    if old:
        out.mkdir()
        (out / "bytetok.json").write_text("old")
    process = start("train", many_counts, "--vocab-size", "300000", "--min-count", "1", "-o", out)
    time.sleep(2.5)
    seconds, errors = interrupted(process)
    assert process.returncode in INTERRUPTED
    assert errors == "interrupted; no file was left half-written\n"
    assert left_in(tmp_path) == (["out", "out/bytetok.json"] if old else [])
    assert not old or (out / "bytetok.json").read_text() == "old"
    assert seconds < 2


def test_sigterm_cleans_up_too(big: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = start("count", big, "--threads", "1", "-o", tmp_path / "counts.parquet")
    until(lambda: list((tmp_path / "temporary").iterdir()))
    _, errors = interrupted(process, signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    assert errors == ""
    assert left_in(tmp_path) == []


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizers") / "small"
    counts = PretokenCounts.from_dict({b"the": 2}, "gpt2")
    train_bpe(counts, vocab_size=259, special_tokens=["<|end|>"]).save(path)
    return path


def test_ctrl_c_while_encoding(
    tokenizer: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = start("encode", tokenizer, "-", "-o", tmp_path / "ids.parquet", stdin=subprocess.PIPE)
    until(lambda: any(name.endswith(".part") for name in left_in(tmp_path)))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) in INTERRUPTED
    assert left_in(tmp_path) == []


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents that take more than a second on one thread, in many parts."""
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    row = json.dumps({"text": _LINE * 100}) + "\n"
    path.write_text(row * 4_000)
    return path


@pytest.fixture(scope="module")
def ids(tokenizer: Path, records: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What encoding them gives when nothing is in the way."""
    path = tmp_path_factory.mktemp("ids") / "ids.npy"
    encode_corpus(Tokenizer.load(tokenizer), read_texts(records), path, end="<|end|>")
    return path.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_encoding_that_is_cut_off_is_gone_on_with(
    tokenizer: Path,
    records: Path,
    ids: bytes,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[bytes]],
    number: signal.Signals,
) -> None:
    out = tmp_path / "ids.npy"
    partial = tmp_path / "ids.npy.partial"
    command = ["encode", tokenizer, records, "--end", "<|end|>", "--threads", "1", "-o", out, "--json"]
    process = start(*command)
    while not list(partial.glob("*.ids")):
        assert process.poll() is None, process.communicate()
    _, errors = interrupted(process, number)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode in {*INTERRUPTED, 128 + number}
        assert errors.startswith(f"{partial} keeps what is done; the same command goes on from there\n")
        assert {Path(name).parts[0] for name in left_in(tmp_path)} == {"ids.npy.partial"}
        assert not list(partial.glob(".*"))
    assert not out.exists()
    output, _ = start(*command).communicate(timeout=60)
    assert 0 < json.loads(output)["documents_reused"] < json.loads(output)["documents"] == 4_000
    assert out.read_bytes() == ids
    assert sorted(left_in(tmp_path)) == ["ids.idx.npy", "ids.npy"]


def test_a_reader_that_goes_away_is_no_error(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    for words in (["patterns"], ["recipes", "--json"], ["patterns", "--regex"]):
        process = start(*words)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


def test_head_ends_a_long_output(
    tokenizer: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    ids = tmp_path / "ids"
    ids.write_text("65 66 67\n" * 500_000)
    process = start("decode", tokenizer, ids)
    assert process.stdout is not None
    assert len(process.stdout.read(1000)) == 1000
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 141


def test_encode_and_decode_through_a_pipe() -> None:
    """The example of the help, with a tokenizer made on the way, in a real shell."""
    script = (
        'set -e; bytetok() { "$PYTHON" -m bytetok "$@"; }; cd "$(mktemp -d)"\n'
        "printf 'habeas corpus\\n' > a.txt; bytetok train a.txt --vocab-size 260 -o tok > /dev/null\n"
        "echo 'habeas corpus §' | bytetok encode tok - | bytetok decode tok\n"
    )
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env=environment)
    assert done.stdout.decode() == "habeas corpus §\n"


def test_an_error_is_a_message_and_no_traceback(tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = start("count", "missing.txt", "-o", tmp_path / "counts.parquet")
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, b"")
    assert errors.startswith(b"error: missing.txt cannot be read")
    assert errors.count(b"\n") == 1


def test_a_terminal_without_unicode_gets_escapes(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "bytetok", "patterns", "§ 1"], capture_output=True, env=environment)
    assert done.returncode == 0
    assert b"\\xa7" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_is_one_message() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run([sys.executable, "-m", "bytetok", "patterns"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"error: No space left on device\n"
