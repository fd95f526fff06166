"""Runs that are cut off: what stays, who may go on with it, and that the file is the same in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bytetok.errors import CorpusError, EncodingError, SpecialTokenError, VocabMismatchError
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.training import encode_files
from bytetok.training.bpe import train_bpe
from bytetok.training.corpus import Texts, read_texts
from bytetok.training.counts import PretokenCounts
from bytetok.training.encode_files import Encoded, encode_corpus
from bytetok.training.encode_parts import Part, Position
from bytetok.training.encode_resume import PartFolder, partial_folder
from bytetok.training.ids_write import index_path

PER_FILE, FILES = 5, 5


def trained(vocab_size: int = 263, special_tokens: tuple[str, ...] = ("<s>", "</s>")) -> Tokenizer:
    counts = PretokenCounts.from_dict({b"the": 9, b" cat": 5, b" the": 3}, "gpt2")
    return train_bpe(counts, vocab_size=vocab_size, special_tokens=list(special_tokens))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return trained()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for file in range(FILES):
        rows = [{"text": f"the größer cat {file * row}"} for row in range(PER_FILE)]
        (folder / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(autouse=True)
def a_part_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_files, "_BATCH_BYTES", 1)
    monkeypatch.setattr(encode_files, "_PART_IDS", 1)


class CutOffError(Exception):
    """What a test stops a run with."""


def cut_off(tokenizer: Tokenizer, corpus: Path, out: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Encode ``after`` documents and stop."""
    real = Tokenizer.encode_batch
    left = after

    def stopping(self: Tokenizer, docs: Iterable[Any], **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise CutOffError
        return real(self, docs, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Tokenizer, "encode_batch", stopping)
        with pytest.raises(CutOffError):
            encode_corpus(tokenizer, read_texts(corpus), out)


def contents(out: Path) -> tuple[bytes, bytes]:
    index = index_path(out)
    return out.read_bytes(), index.read_bytes() if index.exists() else b""


@pytest.fixture
def expected(tokenizer: Tokenizer, corpus: Path, tmp_path: Path) -> Iterator[Any]:
    def of(suffix: str, **options: Any) -> tuple[bytes, bytes]:
        out = tmp_path / "expected" / f"out{suffix}"
        encode_corpus(tokenizer, read_texts(corpus), out, **options)
        return contents(out)

    return of


# ----------------------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize("suffix", [".npy", ".bin", ".parquet", ".arrow", ".txt"])
@pytest.mark.parametrize("after", [1, 5, 24])
def test_a_run_goes_on_where_it_stopped(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: Any, suffix: str,
    after: int,
) -> None:
    out = tmp_path / f"out{suffix}"
    cut_off(tokenizer, corpus, out, monkeypatch, after)
    assert not out.exists()
    heard: list[int] = []
    texts = read_texts(corpus)
    done = encode_corpus(tokenizer, texts, out, progress=heard.append)
    assert (done.documents, done.reused) == (PER_FILE * FILES, after)
    assert contents(out) == expected(suffix)
    assert heard == sorted(heard)
    assert heard[-1] == texts.bytes_read == texts.size
    assert not partial_folder(out).exists()


def test_a_run_may_be_cut_off_again_and_again(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: Any
) -> None:
    out = tmp_path / "out.npy"
    for _ in range(3):
        cut_off(tokenizer, corpus, out, monkeypatch, 4)
    assert encode_corpus(tokenizer, read_texts(corpus), out).reused == 12
    assert contents(out) == expected(".npy")


def test_a_run_of_one_part_leaves_nothing(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_files, "_PART_IDS", 1 << 20)
    cut_off(tokenizer, corpus, tmp_path / "out.npy", monkeypatch, 12)
    assert list(tmp_path.iterdir()) == [corpus]


def test_what_cannot_be_read_twice_leaves_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    for documents in (iter(["the", "<s>"]), ["the", "<s>"]):
        with pytest.raises(SpecialTokenError):
            encode_corpus(tokenizer, documents, out)
        assert list(tmp_path.iterdir()) == []
    assert encode_corpus(tokenizer, iter(["the", "cat"]), out).documents == 2


def test_a_stream_is_not_encoded_twice(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = Texts.from_documents(iter(["the", "cat"]))
    assert encode_corpus(tokenizer, texts, tmp_path / "out.npy").documents == 2
    with pytest.raises(CorpusError, match="cannot be read again"):
        encode_corpus(tokenizer, texts, tmp_path / "out.npy")


# ---------------------------------------------------------------------------------------------- not with another run


def test_another_tokenizer_is_refused(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.npy"
    cut_off(tokenizer, corpus, out, monkeypatch, 7)
    others = [
        trained(264),
        trained(special_tokens=("<s>", "<e>")),
        Tokenizer(tokenizer.vocab, SplitPattern.of("none")),
    ]
    for other in others:
        with pytest.raises(VocabMismatchError, match=r"out\.npy\.partial holds ids of another tokenizer.*--restart"):
            encode_corpus(other, read_texts(corpus), out)
    # The same by another name is the same.
    assert encode_corpus(trained().renamed("other"), read_texts(corpus), out).reused == 7


@pytest.mark.parametrize(
    "options", [{"special": "allow"}, {"special": "raise"}, {"end": "</s>"}, {"begin": "<s>", "special": "text"}]
)
def test_other_options_are_refused(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Any
) -> None:
    out = tmp_path / "out.npy"
    (corpus / "9.jsonl").write_text("wrong")
    with pytest.raises(Exception, match="wrong"):
        encode_corpus(tokenizer, read_texts(corpus), out, special="text")
    (corpus / "9.jsonl").write_text('{"text": "right"}')
    with pytest.raises(CorpusError, match=r"made with \w+=.*, and now it is .*--restart"):
        encode_corpus(tokenizer, read_texts(corpus), out, **options)
    assert encode_corpus(tokenizer, read_texts(corpus), out, special="text").reused == PER_FILE * FILES


def test_what_failed_may_go_on_less_strictly(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, expected: Any
) -> None:
    out = tmp_path / "out.npy"
    with (corpus / "3.jsonl").open("a") as file:
        file.write('{"text": "<s> and ')
        file.flush()
        os.write(file.fileno(), b'\xff"}\n')
    with pytest.raises(EncodingError, match=r"3\.jsonl: line 6"):
        encode_corpus(tokenizer, read_texts(corpus), out)
    with pytest.raises(SpecialTokenError, match=r"3\.jsonl: document 5: .*<s>"):
        encode_corpus(tokenizer, read_texts(corpus, errors="replace"), out)
    done = encode_corpus(tokenizer, read_texts(corpus, errors="replace"), out, special="allow")
    assert (done.documents, done.reused) == (26, 20)
    again = tmp_path / "again.npy"
    encode_corpus(tokenizer, read_texts(corpus, errors="replace"), again, special="allow")
    assert contents(out) == contents(again)


def test_other_files_are_refused(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.npy"
    cut_off(tokenizer, corpus, out, monkeypatch, 7)
    (corpus / "new.txt").touch()
    with pytest.raises(CorpusError, match="made of other files"):
        encode_corpus(tokenizer, read_texts(corpus), out)
    (corpus / "new.txt").unlink()
    old = (corpus / "1.jsonl").stat()
    (corpus / "1.jsonl").write_text('{"text": "another"}')
    with pytest.raises(CorpusError, match=r"1\.jsonl has changed since it was encoded"):
        encode_corpus(tokenizer, read_texts(corpus), out)
    # Of the same size but changed later.
    (corpus / "1.jsonl").write_bytes(b" " * old.st_size)
    with pytest.raises(CorpusError, match=r"1\.jsonl has changed"):
        encode_corpus(tokenizer, read_texts(corpus), out)
    assert encode_corpus(tokenizer, read_texts(corpus), out, restart=True).reused == 0


def test_files_not_begun_may_change(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: Any
) -> None:
    out = tmp_path / "out.npy"
    cut_off(tokenizer, corpus, out, monkeypatch, 7)
    (corpus / "2.jsonl").write_text('{"text": "another"}')
    assert encode_corpus(tokenizer, read_texts(corpus), out).reused == 7
    assert contents(out) == expected(".npy")


def test_restart_begins_anew(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: Any
) -> None:
    out = tmp_path / "out.npy"
    cut_off(tokenizer, corpus, out, monkeypatch, 7)
    done = encode_corpus(tokenizer, read_texts(corpus), out, end="</s>", restart=True)
    assert done.reused == 0
    assert contents(out) == expected(".npy", end="</s>")
    assert not partial_folder(out).exists()


# ---------------------------------------------------------------------------------------------------------- the folder


def part(number: int, *, is_last: bool = False) -> Part:
    ids = np.arange(number + 1, dtype=np.uint32)
    files = (("a.txt", "no"),)
    return Part(ids, np.array([len(ids), 0]), Position(number, 7), is_last, number * 3, number * 2, 1, files)


def test_parts_are_kept_as_they_are(tmp_path: Path) -> None:
    parts = PartFolder(tmp_path)
    for number in range(3):
        parts.add(4, number, part(number, is_last=number == 2))
    for number in range(3):
        kept, given = parts.load(4, number), part(number, is_last=number == 2)
        assert (kept.ids.tolist(), kept.lengths.tolist()) == (given.ids.tolist(), given.lengths.tolist())
        assert (kept.end, kept.is_last, kept.bytes, kept.read) == (given.end, given.is_last, given.bytes, given.read)
        assert (kept.skipped, kept.skipped_files) == (1, given.skipped_files)
    done = parts.done(4)
    assert (done.parts, done.end, done.is_whole, done.documents, done.read) == (3, Position(2, 7), True, 6, 6)
    assert parts.done(3).parts == 0
    assert parts.has(4, 2)
    assert not parts.has(4, 3)


def test_a_part_that_is_not_whole_is_made_again(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: Any
) -> None:
    out = tmp_path / "out.npy"
    for damage in (lambda data: data[:-1], lambda data: b"", lambda data: b"x" + data, lambda data: data + b"\n"):
        cut_off(tokenizer, corpus, out, monkeypatch, 8)
        damaged = sorted(partial_folder(out).glob("*.ids"))[3]
        damaged.write_bytes(damage(damaged.read_bytes()))
        assert encode_corpus(tokenizer, read_texts(corpus), out).reused == 3
        assert contents(out) == expected(".npy")


def test_a_part_of_zeros_is_found_out(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: Any
) -> None:
    """As after a loss of power, when a file is as long as it should be and holds nothing."""
    out = tmp_path / "out.npy"
    cut_off(tokenizer, corpus, out, monkeypatch, 8)
    damaged = sorted(partial_folder(out).glob("*.ids"))[3]
    about, _, rest = damaged.read_bytes().partition(b"\n")
    damaged.write_bytes(about + b"\n" + bytes(len(rest)))
    with pytest.raises(CorpusError, match=r"000003\.ids was damaged.*run the same again"):
        encode_corpus(tokenizer, read_texts(corpus), out)
    assert encode_corpus(tokenizer, read_texts(corpus), out).reused == 3
    assert contents(out) == expected(".npy")


def test_a_plan_that_cannot_be_read(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.npy"
    cut_off(tokenizer, corpus, out, monkeypatch, 8)
    plan = partial_folder(out) / "plan.json"
    good = plan.read_text()
    for text in ("", "[]", "{", '{"format": 1}'):
        plan.write_text(text)
        with pytest.raises(CorpusError, match=r"plan\.json cannot be read.*--restart"):
            encode_corpus(tokenizer, read_texts(corpus), out)
    plan.write_text(good.replace('"format": 1', '"format": 2'))
    with pytest.raises(CorpusError, match="another version of bytetok"):
        encode_corpus(tokenizer, read_texts(corpus), out)
    plan.unlink()  # as when the end of a run was cut off while it tidied up
    assert encode_corpus(tokenizer, read_texts(corpus), out).reused == 0


def test_a_folder_of_somebody_else_is_left_alone(tokenizer: Tokenizer, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    theirs = [partial_folder(out) / name for name in ("plan.json", "novel.txt")]
    partial_folder(out).mkdir()
    for path in theirs:
        path.write_text("mine")
    for restart in (False, True):
        with pytest.raises(CorpusError, match=r"holds 'novel\.txt'; move it"):
            encode_corpus(tokenizer, read_texts(corpus), out, restart=restart)
    assert sorted(partial_folder(out).iterdir()) == sorted(theirs)
    assert [path.read_text() for path in theirs] == ["mine", "mine"]


def test_two_at_once_are_refused(tokenizer: Tokenizer, corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    out = tmp_path / "out.npy"
    refused: list[str] = []

    def second(_: int) -> None:
        if not refused:
            with pytest.raises(CorpusError, match="another process is writing") as raised:
                encode_corpus(tokenizer, read_texts(corpus), out, restart=True)
            refused.append(str(raised.value))

    done = encode_corpus(tokenizer, read_texts(corpus), out, progress=second)
    assert refused
    assert done == Encoded(PER_FILE * FILES, done.bytes, done.tokens)


# ------------------------------------------------------------------------------------------------------------- killed


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_a_process_that_is_killed_is_gone_on_with(
    tokenizer: Tokenizer, corpus: Path, tmp_path: Path, expected: Any, suffix: str
) -> None:
    tokenizer.save(tmp_path / "tokenizer")
    out = tmp_path / f"out{suffix}"
    script = textwrap.dedent(
        """
        import os, signal, sys
        from bytetok.tokenizer.tokenizer import Tokenizer
        from bytetok.training import encode_files, encode_resume
        from bytetok.training.corpus import read_texts

        encode_files._BATCH_BYTES = encode_files._PART_IDS = 1
        tokenizer, corpus, out, most = sys.argv[1:]
        replace = encode_resume.Path.replace

        def dying(self, target):
            # In the middle of a part: its temporary file is there, and the part is not.
            if target.name.endswith(f"-{int(most):06}.ids"):
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(self, target)

        encode_resume.Path.replace = dying
        encode_files.encode_corpus(Tokenizer.load(tokenizer), read_texts(corpus), out)
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for most in (7, 16):
        words = [sys.executable, "-c", script, tmp_path / "tokenizer", corpus, out, str(most)]
        assert subprocess.run(words, env=environment).returncode == -9
        assert not out.exists()
        assert list(tmp_path.rglob(".*.part"))
    done = encode_corpus(tokenizer, read_texts(corpus), out)
    assert done.reused == 16
    assert contents(out) == expected(suffix)
    assert not list(tmp_path.rglob("*.part"))
    assert not partial_folder(out).exists()
