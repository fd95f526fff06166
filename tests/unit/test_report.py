"""Comparing tokenizers, and every form that the comparison takes."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_tokenizer import FakeTokenizer
from rich.console import Console

from bytetok.errors import BytetokError, CorpusError, EncodingError, FormatError, MissingDependencyError, TrainingError
from bytetok.training.corpus import Texts
from bytetok.training.report import EvaluationReport, evaluate
from bytetok.training.report_svg import length_bins, nice_ticks, spread
from bytetok.training.report_tables import WIDTH

DOCUMENTS = ["the court of appeals", "the defendant", "of the\r\n"]
WORDS = [b"the", b"of", b" court"]


def compare(**options: object) -> EvaluationReport:
    tokenizers = [
        FakeTokenizer(name="bytes"),
        FakeTokenizer(name="words", words=WORDS, specials=["<s>"]),
        FakeTokenizer(name="lossy", words=[*WORDS, b"dead"], dead=[b"dead"], lossy=True),
    ]
    given: dict[str, object] = {"on": Texts.from_documents(DOCUMENTS), **options}
    return evaluate(tokenizers, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    return compare()


def test_rows_by_hand(report: EvaluationReport) -> None:
    # 20 + 13 + 8 bytes. words: the|_court|_|of|_|a p p e a l s = 12; the|_|d..t (9) = 11; of|_|the|CR|LF = 5
    assert report.size.documents == 3
    assert report.size.bytes == report.size.characters == 41
    assert report.size.words == 8
    assert [row.tokens for row in report.rows] == [41, 28, 28]
    assert report.baseline == "bytes"
    words = report["words"]
    assert words.fewer == pytest.approx(1 - 28 / 41)
    assert words.against_baseline == "31.7 % fewer"
    assert report["bytes"].fewer == 0
    assert words.bytes_per_token == pytest.approx(41 / 28)
    assert words.tokens_per_character == pytest.approx(28 / 41)
    assert words.fertility == pytest.approx(28 / 8)
    assert words.text_tokens == 259
    assert words.used == 3 + len(set(" apelsdfnt\r\n"))
    assert words.utilization == pytest.approx(words.used / 259)
    assert words.lengths == {1: 256, 2: 1, 3: 1, 6: 1}
    assert words.mean_length == pytest.approx((256 + 2 + 3 + 6) / 259)
    assert len(words.under_used) == 259  # nothing occurs ten times
    assert len(compare(fewer_than=3)["words"].under_used) == 259 - len("ae ") - len(["the"])
    assert words.terms["legal"]["certiorari"] == 10
    assert words.mean_tokens("financial") == pytest.approx(sum(words.terms["financial"].values()) / 10)
    assert words.parity["en"].premium == 1.0
    assert words.round_trip.exact
    assert report["lossy"].round_trip.failures == 1
    assert report["lossy"].unreachable_ids == (259,)
    assert words.ocr is not None
    assert words.ocr.lines == report.ocr_lines_seen == 3


def test_more_than_the_baseline_is_called_more() -> None:
    report = compare(baseline="words")
    assert report["bytes"].against_baseline == "46.4 % more"  # 41 / 28 - 1
    assert report["lossy"].against_baseline == "equal"


def test_a_baseline_of_its_own_becomes_the_last_row() -> None:
    other = FakeTokenizer(name="other", words=[b"the court"])
    report = compare(baseline=other)
    assert [row.name for row in report.rows] == ["bytes", "words", "lossy", "other"]
    assert report.baseline == "other"


def test_a_given_tokenizer_as_baseline_is_not_repeated() -> None:
    a, b = FakeTokenizer(name="same"), FakeTokenizer(name="same", words=WORDS)
    report = evaluate([a, b], on=iter(DOCUMENTS), baseline=b)
    assert [row.name for row in report.rows] == ["same", "same (2)"]
    assert report.baseline == "same (2)"


def test_names_replace_the_tokenizers_own() -> None:
    assert [row.name for row in compare(names=["a", "b", "c"]).rows] == ["a", "b", "c"]
    for names in (["a"], "abc"):
        with pytest.raises(TrainingError, match="expected one name each"):
            compare(names=names)


def test_one_tokenizer_needs_no_list() -> None:
    report = evaluate(FakeTokenizer(), on=iter(DOCUMENTS))
    assert len(report.rows) == 1
    assert "tokens vs" not in str(report)


def test_documents_are_read_once_and_bounded(tmp_path: Path) -> None:
    read = 0

    def documents() -> Iterator[str]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield "the court\n"

    report = compare(on=documents(), max_bytes=95)
    assert read == 10
    assert report.size.bytes == 100
    (tmp_path / "a.txt").write_text("the court", encoding="utf-8")
    (tmp_path / "b.txt").write_text("of appeals", encoding="utf-8")
    assert compare(on=tmp_path).size.documents == 2
    assert compare(on=[tmp_path / "a.txt"]).size.bytes == 9


def test_tokenizers_are_loaded_by_path(shared_data: Path) -> None:
    path = shared_data / "kl3m" / "kl3m-003-64k-rebuilt.json"
    report = evaluate([str(path), FakeTokenizer(name="bytes")], on=iter(DOCUMENTS), baseline=path)
    assert report.baseline == report.rows[0].name
    assert report.rows[0].tokens < report["bytes"].tokens
    # KL3M's runs of white space are added tokens, which get in before "\n  " and its like.
    unreachable = {report.rows[0].token_bytes[i] for i in report.rows[0].unreachable_ids}
    assert b"\n  " in unreachable
    assert b" the" not in unreachable
    with pytest.raises(BytetokError):
        evaluate("no-such-tokenizer", on=iter(DOCUMENTS))


def test_a_limited_alphabet_leaves_gaps_not_errors() -> None:
    class Ascii(FakeTokenizer):
        def encode(self, text: str | bytes, *, special: str) -> list[int]:
            data = text.encode() if isinstance(text, str) else text
            if not data.isascii():
                raise FormatError("a byte that the vocabulary lacks")
            return super().encode(data, special=special)

    report = evaluate([Ascii(), FakeTokenizer()], on=iter(DOCUMENTS))
    row = report.rows[0]
    assert row.terms["legal"]["42 U.S.C. § 1983"] is None
    assert row.mean_tokens("legal") is None
    assert row.mean_tokens("financial") is not None
    assert row.parity["ru"].premium is None
    assert row.parity["nl"].premium is not None
    assert "</html>" in report.to_html()
    assert json.loads(report.to_json())["tokenizers"][0]["parity"]["ru"]["tokens"] is None
    assert str(report)


def test_progress_is_told_every_byte() -> None:
    told: list[int] = []
    compare(on=iter(["ab", "c"] * 1000), progress=told.append)
    assert sum(told) == 3000
    assert len(told) > 1


def test_threads_are_handed_on() -> None:
    class Recording(FakeTokenizer):
        def encode_batch(self, docs: object, *, threads: int | None, special: str) -> list[list[int]]:
            seen.add(threads)
            return super().encode_batch(docs, threads=threads, special=special)  # type: ignore[arg-type]

    seen: set[int | None] = set()
    evaluate(Recording(), on=iter(["the court"]), threads=2)
    assert 2 in seen


@pytest.mark.parametrize("documents", [[], ["", ""]])
def test_a_corpus_without_text_is_refused(documents: list[str]) -> None:
    with pytest.raises(CorpusError, match="the corpus holds no text"):
        compare(on=iter(documents))


def test_bad_requests() -> None:
    with pytest.raises(TrainingError, match="no tokenizers to evaluate"):
        evaluate([], on=iter(DOCUMENTS))
    with pytest.raises(TrainingError, match="int 3 is not a tokenizer"):
        evaluate([3], on=iter(DOCUMENTS))  # type: ignore[list-item]
    with pytest.raises(EncodingError, match=r"lone surrogate"):
        compare(on=iter(["a\ud800"]))
    with pytest.raises(BytetokError):
        evaluate(FakeTokenizer(), on="no/such/file.txt")
    with pytest.raises(KeyError, match="no tokenizer 'x' in the report"):
        compare()["x"]


@pytest.mark.parametrize("document", ["x", "\0", "\r", " ", "\n\n", "日", b"\xff\xfe"])
def test_odd_corpora_give_a_report_in_every_form(document: str | bytes) -> None:
    report = compare(on=Texts.from_documents([document], errors="bytes"), languages={}, terms={})
    assert report.rows[0].tokens == len(document.encode() if isinstance(document, str) else document)
    assert str(report)
    json.loads(report.to_json())
    assert "</html>" in report.to_html()
    assert len(report.to_csv().splitlines()) == 4


def test_a_vocabulary_that_is_never_used() -> None:
    row = evaluate(FakeTokenizer(words=WORDS), on=iter(["x"])).rows[0]
    assert row.used == 1
    assert len(row.under_used) == 259
    assert row.renyi_efficiency == 0.0


def test_the_report_is_frozen(report: EvaluationReport) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.baseline = "words"  # type: ignore[misc]


def test_same_input_same_report() -> None:
    assert compare().to_json(full=True) == compare().to_json(full=True)
    assert compare(seed=1).rows == compare(seed=1).rows


def test_languages_and_terms_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "de.txt").write_text("das", encoding="utf-8")
    (tmp_path / "la.txt").write_text("lex", encoding="utf-8")
    report = compare(languages=tmp_path, terms={"mine": ["the", "of the"]})
    assert report.reference_language == "de"  # the first, as there is no "en"
    assert report["words"].parity["la"].premium == 1.0
    assert report["words"].terms == {"mine": {"the": 1, "of the": 3}}
    assert report["words"].mean_tokens("mine") == 2.0


# ------------------------------------------------------------------------------------------------------------- tables


def lines_of(report: EvaluationReport) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, color_system=None)
    for table in report.tables():
        console.print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_plain_text_holds_the_figures(report: EvaluationReport) -> None:
    text = str(report)
    assert "3 documents, 41 bytes, 41 characters, 8 words" in text
    row = next(line.split() for line in text.splitlines() if line.startswith("words "))
    assert row == ["words", "260", "28", "31.7", "%", "fewer", "1.46", "0.6829", "3.50", *row[9:11], "exact"]
    assert "1 lost" in text
    assert r"lossy: 1 document(s) do not survive" in text
    assert r"document 2, byte 6, b'\r\n' became b'\n'" in text
    assert "\x1b" not in text


def test_tables_fit_one_hundred_columns_even_with_large_numbers_and_names() -> None:
    class Big(FakeTokenizer):
        @property
        def vocab_size(self) -> int:  # type: ignore[override]
            return 256_000

        @vocab_size.setter
        def vocab_size(self, value: int) -> None:
            pass

    tokenizers = [Big(name=f"a-rather-long-tokenizer-name-of-an-organization-{i}-128k-cased") for i in range(7)]
    report = evaluate(tokenizers, on=iter(["x" * 123_456 + " x"]), ocr_lines=0)
    assert max(map(len, lines_of(report))) <= WIDTH
    text = str(report)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "123,458" in text
    assert "61,729.00" in text
    assert "256,000" in text


def test_tables_show_markup_literally() -> None:
    report = evaluate(FakeTokenizer(name="[red]x[/red]"), on=iter(["x"]), terms={"[b]": ["[i]"]})
    text = "\n".join(lines_of(report))
    assert "[red]x[/red]" in text
    assert "[i]" in text


def test_terms_and_parity_tables_name_every_row(report: EvaluationReport) -> None:
    text = "\n".join(lines_of(report))
    for word in ("Fed. R. Civ. P. 12(b)(6)", "market capitalization", "mean, legal", "relative to 'en'", "\nzh "):
        assert word in text


# ------------------------------------------------------------------------------------------------- JSON, CSV, HTML, PNG


def test_json_is_complete_or_says_that_it_is_not(report: EvaluationReport, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert report.to_json(path) == path.read_text(encoding="utf-8")
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data == report.to_dict()
    words = data["tokenizers"][1]
    assert words["tokens"] == 28
    assert words["fewer_than_baseline"] == pytest.approx(1 - 28 / 41)
    under = words["vocabulary"]["under_used"]
    assert under["count"] == len(report["words"].under_used)
    assert (len(under["ids"]), under["complete"]) == (100, False)
    full = report.to_dict(full=True)["tokenizers"][1]["vocabulary"]["under_used"]
    assert (full["ids"], full["complete"]) == (list(report["words"].under_used), True)
    assert data["tokenizers"][2]["round_trip"]["first"] == {
        "document": 2,
        "byte": 6,
        "expected_hex": "0d0a",
        "got_hex": "0a",
    }


def test_csv_has_one_line_a_tokenizer(report: EvaluationReport, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    text = report.to_csv(path)
    assert path.read_text(encoding="utf-8") == text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in rows] == ["bytes", "words", "lossy"]
    assert rows[1]["tokens"] == "28"
    assert rows[1]["vocabulary.under_used"] == str(len(report["words"].under_used))
    assert rows[2]["vocabulary.unreachable"] == "1"
    assert rows[1]["terms.legal.certiorari"] == "10"
    assert float(rows[1]["ocr.tokens_per_line"]) == pytest.approx(28 / 3, abs=1)


def test_html_is_one_page_that_loads_nothing(report: EvaluationReport, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    page = report.to_html(path)
    assert path.read_text(encoding="utf-8") == page
    assert not re.search(r"https?:|//cdn|url\(|@import|<link|<script|\ssrc=", page)
    for part in ("31.7 % fewer", "prefers-color-scheme:dark", "<svg", "Definitions", "res judicata", "id 256 · bytes"):
        assert part in page
    assert page.count("<svg") == page.count("</svg>") == 3
    assert "1 ordinary and 0 added tokens unreachable" in page


def test_html_escapes_names_terms_and_text() -> None:
    bad = "<script>alert(1)</script>"
    report = evaluate(
        [FakeTokenizer(name=bad), FakeTokenizer(name="b")],
        on=iter([bad]),
        terms={bad: [bad]},
        languages={"en": "a", bad: "b"},
    )
    assert "<script" not in report.to_html()


def test_plot_is_saved_whole_in_the_named_format(report: EvaluationReport, tmp_path: Path) -> None:
    figure = report.plot(tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "tokens / tokens of bytes",
        "token length in bytes",
        "tokens per line",
    ]
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths == pytest.approx([1.0, 28 / 41, 28 / 41])
    report.plot(tmp_path / "r.svg")
    assert "<svg" in (tmp_path / "r.svg").read_text(encoding="utf-8")
    with pytest.raises(TrainingError, match="cannot tell the image format of"):
        report.plot(tmp_path / "r.txt")
    assert not list(tmp_path.glob("*.part"))


def test_plot_without_a_line_to_damage() -> None:
    figure = compare(ocr_lines=0).plot()
    assert "no line to damage" in [text.get_text() for text in figure.axes[2].texts]


def test_plot_without_matplotlib_names_the_extra(report: EvaluationReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bytetok-lm\[plot\]'"):
        report.plot()


def test_chart_helpers() -> None:
    bins = length_bins({1: 50, 2: 25, 16: 15, 300: 10})
    assert bins[:2] == [50.0, 25.0]
    assert bins[15] == 25.0
    assert sum(bins) == pytest.approx(100)
    assert nice_ticks(0.9) == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    assert nice_ticks(73, 3) == pytest.approx([0, 25, 50, 75])
    assert nice_ticks(0) == [0.0, 1.0]
    placed = spread([10, 10, 11, 50], 5, 0, 100)
    assert placed == [10, 15, 20, 50]
    assert spread([99, 100], 5, 0, 100) == [95, 100]
