"""Compare tokenizers on the same text: :func:`evaluate` makes an :class:`EvaluationReport`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from bytetok._files import write_text
from bytetok.errors import CorpusError, TrainingError
from bytetok.training.encoding import Document, TokenizerLike, text_ids
from bytetok.training.metrics import (
    DOMAIN_TERMS,
    RoundTrip,
    TextSize,
    Usage,
    batches,
    empty_usage,
    fewer,
    length_distribution,
    renyi_efficiency,
    term_counts,
    under_used,
    usage_of_batch,
    utilization,
)
from bytetok.training.ocr import BoundaryConsistency, LineSample, boundary_consistency
from bytetok.training.parity import LanguageCost, LanguageSource, parity, read_languages, udhr_article
from bytetok.training.reachability import Reachability, find_unreachable
from bytetok.training.render import token_pieces

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from bytetok.training.corpus import Corpus
    from bytetok.training.corpus_streams import Errors

PathName = str | os.PathLike[str]

_SAMPLE_CHARACTERS = 600
_SEARCHED = 1 << 16


@dataclass(frozen=True)
class TokenizerRow:
    """Everything measured about one tokenizer. Definitions: :mod:`bytetok.training.metrics` and its neighbors.

    Attributes:
        name: unique in the report.
        vocab_size: number of token ids, control tokens included.
        text_tokens: number of tokens that text can turn into: without control tokens and empty ids.
        tokens: tokens of the corpus.
        fewer: how many fewer than the baseline, ``1 - tokens / baseline tokens``; negative where it is more.
        bytes_per_token: UTF-8 bytes of the corpus per token.
        tokens_per_character: tokens per code point.
        fertility: tokens per word (maximal run of non-white-space).
        renyi_efficiency: alpha 2.5, over ``text_tokens``.
        utilization: share of ``text_tokens`` that the corpus uses.
        used: number of different tokens that the corpus uses.
        under_used: ids used fewer times than the report's ``fewer_than``.
        reachability: tokens that encoding never produces.
        lengths: number of tokens by length in bytes, whole vocabulary without control tokens.
        terms: group -> term -> tokens; ``None`` where the tokenizer's alphabet lacks a character.
        parity: language -> cost of the parallel text.
        ocr: boundary consistency under OCR noise; ``None`` if the corpus has no line to damage.
        round_trip: documents that decoding did not give back.
        sample: (id, bytes) of the tokens of the report's sample text.
        token_bytes: the vocabulary, to show ids as text.
    """

    name: str
    vocab_size: int
    text_tokens: int
    tokens: int
    fewer: float | None
    bytes_per_token: float | None
    tokens_per_character: float | None
    fertility: float | None
    renyi_efficiency: float | None
    utilization: float | None
    used: int
    under_used: tuple[int, ...] = field(repr=False)
    reachability: Reachability = field(repr=False)
    lengths: Mapping[int, int] = field(repr=False)
    terms: Mapping[str, Mapping[str, int | None]] = field(repr=False)
    parity: Mapping[str, LanguageCost] = field(repr=False)
    ocr: BoundaryConsistency | None
    round_trip: RoundTrip
    sample: tuple[tuple[int, bytes], ...] = field(repr=False)
    token_bytes: Sequence[bytes] = field(repr=False, compare=False)

    @property
    def mean_length(self) -> float | None:
        """Mean token length in bytes over the whole vocabulary, control tokens excluded."""
        total = sum(self.lengths.values())
        return sum(length * number for length, number in self.lengths.items()) / total if total else None

    def mean_tokens(self, group: str) -> float | None:
        """Mean tokens per term of one group; ``None`` for an empty group, or if a term could not be encoded."""
        counts = [count for count in self.terms[group].values() if count is not None]
        return sum(counts) / len(counts) if counts and len(counts) == len(self.terms[group]) else None

    @property
    def against_baseline(self) -> str:
        """``"12.3 % fewer"``, ``"4.0 % more"``, ``"equal"``: tokens beside the baseline's."""
        if self.fewer is None:
            return "-"
        if self.fewer == 0:
            return "equal"
        return f"{abs(self.fewer):.1%}".replace("%", " %") + (" fewer" if self.fewer > 0 else " more")

    @property
    def unreachable_ids(self) -> tuple[int, ...]:
        """Ids of ordinary and added tokens that encoding never produced."""
        return tuple(sorted(self.reachability.unreachable + self.reachability.unreachable_added))


@dataclass(frozen=True)
class EvaluationReport:
    """Tokenizers compared on one corpus. ``print(report)`` shows it; the ``to_...`` methods write it.

    Attributes:
        rows: one a tokenizer, in the order given.
        size: the corpus; the same for all rows.
        baseline: name of the row that the others are compared with.
        fewer_than: tokens used fewer times than this are called under-used.
        ocr_lines_seen: lines with a confusable character in the corpus, of which a sample was damaged.
        reference_language: the language whose tokens the premiums of the others are over.
        sample: the text that the HTML page shows under each tokenizer.
    """

    rows: tuple[TokenizerRow, ...]
    size: TextSize
    baseline: str
    fewer_than: int
    ocr_lines_seen: int
    reference_language: str
    sample: str = field(repr=False)

    def __getitem__(self, name: str) -> TokenizerRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no tokenizer {name!r} in the report; it has {', '.join(repr(row.name) for row in self.rows)}")

    def __str__(self) -> str:
        from bytetok.training.report_tables import plain

        return plain(self)

    def table(self) -> Table:
        """The main table, for a terminal of 100 columns."""
        from bytetok.training.report_tables import main_table

        return main_table(self)

    def tables(self) -> list[Table]:
        """All tables: compression, vocabulary and OCR noise, domain terms, parity; each fits 100 columns."""
        from bytetok.training.report_tables import all_tables

        return all_tables(self)

    def to_dict(self, *, full: bool = False) -> dict[str, Any]:
        """Plain values for JSON. Lists of ids are cut at 100 entries unless ``full``; their counts never are."""
        from bytetok.training.report_tables import as_dict

        return as_dict(self, full=full)

    def to_json(self, path: PathName | None = None, *, full: bool = False) -> str:
        """The report as JSON, also written to ``path`` if given. ``full`` as in :meth:`to_dict`."""
        import json

        return self._write(path, json.dumps(self.to_dict(full=full), indent=2, ensure_ascii=False) + "\n")

    def to_csv(self, path: PathName | None = None) -> str:
        """One row a tokenizer, numbers only (no lists), also written to ``path`` if given."""
        from bytetok.training.report_tables import as_csv

        return self._write(path, as_csv(self))

    def to_html(self, path: PathName | None = None) -> str:
        """One self-contained page with tables, charts and colored samples, also written to ``path`` if given."""
        from bytetok.training.report_html import report_page

        return self._write(path, report_page(self))

    def plot(self, path: PathName | None = None) -> Figure:
        """A matplotlib figure of three panels, also saved to ``path`` if given (format by its suffix).

        Raises ``MissingDependencyError`` without matplotlib (extra ``plot``).
        """
        from bytetok.training.report_plot import report_figure, save_figure

        figure = report_figure(self)
        if path is not None:
            save_figure(figure, path)
        return figure

    @staticmethod
    def _write(path: PathName | None, text: str) -> str:
        if path is not None:
            write_text(path, text)
        return text


def evaluate(
    tokenizers: Sequence[TokenizerLike | PathName] | TokenizerLike | PathName,
    *,
    on: Corpus,
    baseline: TokenizerLike | PathName | None = None,
    languages: LanguageSource | None = None,
    names: Sequence[str] | None = None,
    threads: int | None = 1,
    progress: Callable[[int], None] | None = None,
    max_bytes: int | None = None,
    column: str = "text",
    errors: Errors = "strict",
    terms: Mapping[str, Sequence[str]] | None = None,
    ocr_lines: int = 20_000,
    seed: int = 0,
    fewer_than: int = 10,
    sample: str | None = None,
) -> EvaluationReport:
    """Compare tokenizers on the same documents, which are read once and streamed through all of them.

    Use documents that none of the tokenizers was trained on.

    Args:
        tokenizers: ``Tokenizer`` objects (or anything like them), paths or reference names.
        on: the corpus: whatever ``read_texts`` takes, so paths, globs, folders, URLs, or an iterator of texts. A list
            of ``str`` is a list of paths; texts in a list go through ``Texts.from_documents``.
        baseline: what the others are compared with: one of ``tokenizers``, by name or itself, or another one, which
            then becomes the last row. Default: the first.
        languages: parallel texts for parity, see ``read_languages``; default Article 1 of the Universal Declaration of
            Human Rights in 18 languages; ``{}`` for none. The reference is ``en``, or the first if there is no ``en``.
        names: names for the rows, one a tokenizer.
        threads: for encoding.
        progress: called with the number of UTF-8 bytes measured since the last call.
        max_bytes: stop after the document that brings the corpus to this many bytes.
        column: text column of jsonl and parquet; unused if ``on`` is a ``Texts``, which has its own.
        errors: what to do with invalid UTF-8, as in ``read_texts``; unused if ``on`` is a ``Texts``.
        terms: group -> terms, instead of ``DOMAIN_TERMS``.
        ocr_lines: size of the sample of lines that gets one reading error each; 0 for none.
        seed: of that sample and of the errors.
        fewer_than: a token used fewer times than this is under-used.
        sample: text to show under each tokenizer; default some 600 characters of the first document with text.

    Raises:
        CorpusError: the corpus cannot be read, or holds no text.
        EncodingError: a document is not valid Unicode.
        TrainingError: no tokenizers, or ``names`` or ``languages`` do not fit.
    """
    from bytetok.training.corpus import Texts, read_texts

    loaded, labels, base = _load(tokenizers, baseline, names)
    parallel = dict(udhr_article() if languages is None else read_languages(languages))
    texts = on if isinstance(on, Texts) else read_texts(on, column=column, errors=errors)
    lines = LineSample(ocr_lines, seed=seed)
    size = TextSize()
    usages = [empty_usage(tokenizer) for tokenizer in loaded]
    for batch, batch_size in batches(cast("Iterable[Document]", texts), max_bytes=max_bytes):
        size += batch_size
        for number, tokenizer in enumerate(loaded):
            usages[number] += usage_of_batch(tokenizer, batch, batch_size, threads=threads)
        for document in batch:
            lines.add(document)
            if sample is None:
                sample = _excerpt(document)
        if progress is not None:
            progress(batch_size.bytes)
    if size.bytes == 0:
        raise CorpusError(
            f"the corpus holds no text: {size.documents} document(s), all empty; give documents to evaluate on"
        )
    reference = "en" if "en" in parallel else next(iter(parallel), "en")
    damaged = lines.lines()
    groups = {group: list(group_terms) for group, group_terms in (DOMAIN_TERMS if terms is None else terms).items()}
    rows = tuple(
        _row(
            tokenizer,
            label,
            usage,
            baseline_tokens=usages[base].tokens,
            groups=groups,
            parallel=parallel,
            reference=reference,
            lines=damaged,
            seed=seed,
            threads=threads,
            fewer_than=fewer_than,
            sample=sample or "",
        )
        for tokenizer, label, usage in zip(loaded, labels, usages, strict=True)
    )
    return EvaluationReport(rows, size, labels[base], fewer_than, lines.seen, reference, sample or "")


def _row(
    tokenizer: TokenizerLike,
    name: str,
    usage: Usage,
    *,
    baseline_tokens: int,
    groups: Mapping[str, Sequence[str]],
    parallel: Mapping[str, str],
    reference: str,
    lines: Sequence[str],
    seed: int,
    threads: int | None,
    fewer_than: int,
    sample: str,
) -> TokenizerRow:
    ids = text_ids(tokenizer)
    seen = [int(i) for i in usage.counts.nonzero()[0]]
    return TokenizerRow(
        name=name,
        vocab_size=tokenizer.vocab_size,
        text_tokens=len(ids),
        tokens=usage.tokens,
        fewer=fewer(usage.tokens, baseline_tokens),
        bytes_per_token=usage.bytes_per_token,
        tokens_per_character=usage.tokens_per_character,
        fertility=usage.fertility,
        renyi_efficiency=renyi_efficiency(usage.counts, len(ids)),
        utilization=utilization(usage.counts, ids),
        used=int((usage.counts[ids] > 0).sum()),
        under_used=tuple(under_used(usage.counts, ids, fewer_than=fewer_than)),
        reachability=find_unreachable(tokenizer, seen=seen, threads=threads),
        lengths=length_distribution(tokenizer),
        terms={group: term_counts(tokenizer, group_terms) for group, group_terms in groups.items()},
        parity=parity(tokenizer, parallel, reference=reference),
        ocr=boundary_consistency(tokenizer, lines, seed=seed, threads=threads),
        round_trip=usage.round_trip,
        sample=tuple(token_pieces(tokenizer, sample)),
        token_bytes=tokenizer.vocab.tokens,
    )


def _load(
    tokenizers: Sequence[TokenizerLike | PathName] | TokenizerLike | PathName,
    baseline: TokenizerLike | PathName | None,
    names: Sequence[str] | None,
) -> tuple[list[TokenizerLike], list[str], int]:
    """The tokenizers, their unique names, and the index of the baseline."""
    given: list[TokenizerLike | PathName]
    if isinstance(tokenizers, str | os.PathLike) or hasattr(tokenizers, "encode_batch"):
        given = [cast("TokenizerLike | PathName", tokenizers)]  # a str is a sequence too, of letters
    else:
        given = list(tokenizers)
    if not given:
        raise TrainingError("no tokenizers to evaluate; give at least one Tokenizer, path or reference name")
    if names is not None and (isinstance(names, str) or len(names) != len(given)):
        raise TrainingError(f"names is {repr(names)[:80]} for {len(given)} tokenizer(s); expected one name each")
    loaded = [_loaded(one) for one in given]
    labels = list(names) if names is not None else [one.name for one in loaded]
    base = 0
    if baseline is not None:
        for base, one in enumerate(given):
            if one is baseline or _same(baseline, one, labels[base]):
                break
        else:
            base = len(loaded)
            loaded.append(_loaded(baseline))
            labels.append(loaded[-1].name)
    return loaded, _unique(labels), base


def _same(baseline: object, given: object, label: str) -> bool:
    if not isinstance(baseline, str | os.PathLike):
        return False
    path = os.fspath(baseline)
    return path == label or (isinstance(given, str | os.PathLike) and os.fspath(given) == path)


def _loaded(tokenizer: TokenizerLike | PathName) -> TokenizerLike:
    if isinstance(tokenizer, str | os.PathLike):
        from bytetok.tokenizer import Tokenizer

        return cast("TokenizerLike", Tokenizer.load(tokenizer))
    if not hasattr(tokenizer, "encode_batch"):
        raise TrainingError(
            f"{type(tokenizer).__name__} {repr(tokenizer)[:60]} is not a tokenizer; expected a Tokenizer, a path or a "
            "reference name such as 'gpt-4o'"
        )
    return tokenizer


def _unique(labels: Sequence[str]) -> list[str]:
    unique: list[str] = []
    for label in labels:
        candidate, number = label, 1
        while candidate in unique:
            number += 1
            candidate = f"{label} ({number})"
        unique.append(candidate)
    return unique


def _excerpt(document: Document) -> str | None:
    """About 600 characters to look at, cut at white space; ``None`` for a blank document.

    From the first long line on, as cover pages and tables of contents show little of how prose is cut; otherwise from
    the first text. Looks no further than the first 64 thousand characters.
    """
    if isinstance(document, bytes):
        document = document[:_SEARCHED].decode("utf-8", errors="replace")
    text = document[:_SEARCHED]
    long_line = re.search(r"^[^\n]{200}", text, re.MULTILINE)
    text = text[long_line.start() if long_line else 0 :].lstrip()
    if len(text) > _SAMPLE_CHARACTERS:
        cut = text[:_SAMPLE_CHARACTERS]
        text = cut.rsplit(None, 1)[0] if len(cut.split()) > 1 else cut
    return text.rstrip() or None
