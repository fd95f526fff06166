"""Two models with different vocabularies as one: bits per byte and cloze accuracy, beside each of them alone.

::

    python benchmarks/bytes_ensembles.py --quick       # two minutes; writes nothing
    python benchmarks/bytes_ensembles.py               # 30 pieces of text and 300 cloze items; go on any time later

SmolLM2-135M (instruct, Q4_1) and Gemma-3-270M (base, Q4_K_M), and of both the uniform mixture, the product (geometric
mean, normalized at every byte) and the Bayesian mixture, which weighs each by its probability of the text so far.

*Bits per byte* of five kinds of held-out text, six pieces of at most 1,000 bytes each, from different documents where
there are as many; every piece by itself, from an empty context. Ensembles are computed from the members' next-byte
tables (``score(text, marginals=True)``); on one short text the library's own ``Mixture`` and ``Product``, byte by byte,
must give the same, or the script ends. Evidence of the Bayesian mixture is what the tables give; the library takes the
members' ``log_prefix``, which under law "canonical" is less by what leaks, and the difference is printed.

*Cloze*: the last word of a sentence among four of the same document: like it in length, in its number of occurrences
and in the case of its first letter, and not in the context. Chosen is the word with the largest probability of word
and full stop behind about 250 bytes of context. English, legal and German text, 100 items each. All texts are public,
and nothing here says that a model has not seen them.
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from _bytes import KINDS, MODELS, SEED, documents, is_like, load, markdown, mean, measured, parser, recent, slug
from _machine import Claim, machine, save
from corpora import pieces

import bytetok as bt

PIECE, PIECES, BLOCK = 1_000, 6, 100
CLOZE = ("english", "legal", "german")
ITEMS = 100
ENSEMBLES = {"mixture": "uniform mixture", "product": "product", "bayes": "Bayesian mixture"}
NAMES = {**MODELS, **ENSEMBLES}
_LN2 = float(np.log(2))


# ---- text ----------------------------------------------------------------------------------------------------------


def texts(kind: str) -> list[tuple[str, bytes]]:
    """Pieces of a kind, from as many documents as there are."""
    by_document = []
    for name, text in documents(kind):
        found = [one for one in pieces(text.strip().encode(), PIECE) if len(one) > PIECE // 2]
        found = [one for one in found if is_like(kind, one.decode())]
        # The first piece of a source file is its license.
        by_document.append([(f"{slug(name)} {at}", one) for at, one in enumerate(found)][kind == "code" :])
    rounds = max(map(len, by_document))
    drawn = [found[at] for at in range(rounds) for found in by_document if at < len(found)]
    return drawn[:PIECES]


@dataclass(frozen=True)
class Cloze:
    """A context, and four words of which the first one is right."""

    context: bytes
    words: tuple[str, str, str, str]


def clozes(kind: str) -> Iterator[tuple[str, Cloze]]:
    """(key, item), one a document at a time, until there are no more."""
    rng = random.Random(f"{SEED} {kind}")
    by_document = [list(_clozes_of(name, text, kind, rng)) for name, text in documents(kind)]
    for at in range(max(map(len, by_document))):
        yield from (found[at] for found in by_document if at < len(found))


def _clozes_of(name: str, text: str, kind: str, rng: random.Random) -> Iterator[tuple[str, Cloze]]:
    counts = Counter(re.findall(r"(?<!\w)[^\W\d_]{4,}(?!\w)", text))
    for number, part in enumerate(re.split(r"\n\s*\n", text)):
        if not is_like(kind, part):
            continue
        # Sentences with enough before them; in English and legal text, of which there is plenty, one of a paragraph.
        ends = [one for one in re.finditer(r"(?<=[^\W\d_] )([^\W\d_]{4,})\.(?=\s)", part) if one.start() > 120]
        if kind == "german":
            ends = [one for one in ends if " the " not in part[max(0, one.start() - 250) : one.start()]]
        chosen = ends if kind == "german" else [rng.choice(ends)] if ends else []
        for end in chosen:
            yield from _cloze_of(f"{slug(name)} {number} {end.start()}", part, end, counts, rng)


def _cloze_of(
    key: str, part: str, end: re.Match[str], counts: Counter[str], rng: random.Random
) -> Iterator[tuple[str, Cloze]]:
    word, data = end[1], part[: end.start(1)].encode()
    context = recent(data, len(data), 250)[-600:].decode(errors="ignore")
    others = [
        other
        for other, count in counts.items()
        if other != word
        and abs(len(other) - len(word)) <= 2
        and other[0].isupper() == word[0].isupper()
        and counts[word] / 2 <= count <= counts[word] * 2
        and other.lower() not in context.lower()
    ]
    if len(others) >= 3 and word.lower() not in context.lower():
        first, second, third = rng.sample(sorted(others), 3)
        yield key, Cloze(context.encode(), (word, first, second, third))


# ---- ensembles of tables -------------------------------------------------------------------------------------------


def combined(tables: np.ndarray[Any, Any], bytes_: bytes, evidence: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Natural logs of the probability of each byte, by member and by ensemble; (n,) each.

    ``tables``: what each member says before each byte, (members, n, 257), normalized. ``evidence``: the log-probability
    that each member gives to what stands before, (members,).
    """
    read = tables[:, np.arange(len(bytes_)), np.frombuffer(bytes_, dtype=np.uint8)]
    found = dict(zip(MODELS, read, strict=True))
    found["mixture"] = np.logaddexp.reduce(read, axis=0) - np.log(len(tables))
    whole = tables.mean(axis=0)
    found["product"] = read.mean(axis=0) - np.logaddexp.reduce(whole, axis=1)
    before = evidence[:, None] + np.concatenate([np.zeros((len(tables), 1)), np.cumsum(read, axis=1)], axis=1)
    so_far = np.logaddexp.reduce(before, axis=0)
    found["bayes"] = np.diff(so_far)
    return found


class Members:
    """Both models."""

    def __init__(self, threads: int) -> None:
        self.samplers, self.lms = zip(*(load(model, threads) for model in MODELS), strict=True)
        self._check()

    def text(self, data: bytes) -> dict[str, Any]:
        """Bits of a piece, by way, in blocks of 100 bytes."""
        tables = [one.score(data, marginals=True).marginals for one in self.samplers]
        logs = combined(np.stack(tables), data, np.zeros(len(tables)))  # type: ignore[arg-type]
        starts = range(0, len(data), BLOCK)
        share = 1 / (1 + np.exp(logs["gemma3-270m"].sum() - logs["smollm2"].sum()))
        return {
            "sizes": [len(data[at : at + BLOCK]) for at in starts],
            "bits": {way: [float(-one[at : at + BLOCK].sum() / _LN2) for at in starts] for way, one in logs.items()},
            "weight_of_smollm2": float(share),
        }

    def cloze(self, item: Cloze) -> dict[str, Any]:
        """The log-probability of each of the four words and a full stop, by way."""
        # All coverings of a context and a space have the same tokens up to that space, which begins a pretoken: behind
        # the space, the tokens of the context say the same as its bytes, and every word needs one packed call.
        context, space = item.context[:-1], item.context[-1:]
        logs: dict[str, list[float]] = {way: [] for way in NAMES}
        evidence, behind = [], []
        for sampler, lm in zip(self.samplers, self.lms, strict=True):
            evidence.append(sampler.state(item.context).log_prefix)
            ids = sampler.tokenizer.encode(context, special="text")
            lm.read(ids)
            behind.append(sampler.with_prompt(ids, is_rest=True))
        for word in item.words:
            data = f"{word}.".encode()
            tables = np.stack([one.score(space + data, marginals=True).marginals[1:] for one in behind])
            for way, one in combined(tables, data, np.array(evidence)).items():
                logs[way].append(float(one.sum()))
        return {"words": item.words, "logs": logs, "right": {way: int(np.argmax(logs[way]) == 0) for way in NAMES}}

    def _check(self) -> None:
        """The library's ensembles, byte by byte, give what ``combined`` makes of the tables of ``score``."""
        data = "Die naïve Antwort: return x\n\n    if".encode()
        tables = np.stack([one.score(data, marginals=True).marginals for one in self.samplers])  # type: ignore[misc]
        logs = combined(tables, data, np.zeros(len(tables)))
        plain = [_Plain(one) for one in self.samplers]
        library: dict[str, Any] = {
            "mixture": bt.Mixture(self.samplers),
            "product": bt.Product(self.samplers),
            "bayes": bt.Mixture(plain, weights="bayes"),  # type: ignore[arg-type]
        }
        for way, model in library.items():
            apart = _step_by_step(model, data) - logs[way]
            each, whole = float(np.abs(apart).max()), float(abs(apart.sum()) / len(data) / _LN2)
            print(f"{NAMES[way]} by steps and by tables: {whole:.1e} bits per byte, {each:.1e} nats", file=sys.stderr)
            if whole > 1e-5 or each > 1e-4:  # float32 networks; a packed call adds up in another order
                sys.exit(f"the library's {NAMES[way]} is {whole} bits per byte from what the tables give")
        with_leak = _step_by_step(bt.Mixture(self.samplers, weights="bayes"), data)
        self.leak = float((logs["bayes"] - with_leak).sum() / _LN2 / len(data))
        print(f"Bayesian mixture by log_prefix: {self.leak:+.5f} bits per byte more", file=sys.stderr)


class _Plain:
    """A byte model whose states know nothing of the probability of their prefix."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def state(self, prefix: bytes | str = b"") -> _PlainState:
        return _PlainState(self._model.state(prefix))

    def next_byte(self, prefix: bytes | str) -> Any:
        return self.state(prefix).next_byte()


class _PlainState:
    def __init__(self, state: Any) -> None:
        self._state = state

    @property
    def prefix(self) -> bytes:
        return bytes(self._state.prefix)

    def next_byte(self) -> Any:
        return self._state.next_byte()

    def push(self, byte: int | bytes) -> _PlainState:
        return _PlainState(self._state.push(byte))

    def fork(self) -> _PlainState:
        return self


def _step_by_step(model: Any, data: bytes) -> Any:
    state, logs = model.state(), []
    for byte in data:
        logs.append(state.next_byte()[byte])
        state = state.push(byte)
    return np.array(logs)


# ---- figures -------------------------------------------------------------------------------------------------------


def of_texts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By kind of text: bits per byte of each way, and of each ensemble what it saves over the best member."""
    out = {}
    for kind in KINDS:
        here = [row for row in rows if row["kind"] == kind]
        sizes = [size for row in here for size in row["sizes"]]
        bits = {way: [one for row in here for one in row["bits"][way]] for way in NAMES}
        best = min(MODELS, key=lambda way: sum(bits[way]))
        out[kind] = {
            "bytes": sum(sizes),
            "bits_per_byte": {way: vars(mean(bits[way], sizes)) for way in NAMES},
            "best_member": best,
            "saved": {way: vars(mean(np.subtract(bits[best], bits[way]).tolist(), sizes)) for way in ENSEMBLES},
        }
    return out


def of_clozes(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By kind of text and for all: percent right, and the gain of each ensemble over the best member, in points."""
    out = {}
    for kind in (*CLOZE, "all"):
        here = [row for row in rows if kind in (row["kind"], "all")]
        right = {way: [100 * row["right"][way] for row in here] for way in NAMES}
        best = max(MODELS, key=lambda way: sum(right[way]))
        out[kind] = {
            "items": len(here),
            "percent": {way: vars(mean(right[way])) for way in NAMES},
            "best_member": best,
            "gained": {way: vars(mean(np.subtract(right[way], right[best]).tolist())) for way in ENSEMBLES},
        }
    return out


def claims(bits: dict[str, Any], right: dict[str, Any]) -> list[Claim]:
    """Each ensemble beside its best member; that one of them is better somewhere is the bar."""
    out, somewhere = [], set()
    for way, name in ENSEMBLES.items():
        better = [kind for kind in KINDS if bits[kind]["saved"][way]["low"] > 0]
        worse = [kind for kind in KINDS if bits[kind]["saved"][way]["high"] < 0]
        somewhere.update(better)
        figure = f"better on {', '.join(better) or 'none'}; worse on {', '.join(worse) or 'none'}; the rest even"
        out.append(Claim(f"{name}: of 5 kinds of text, with fewer bits than its best member", figure, len(better)))
    what = "kinds of text on which an ensemble has fewer bits than its best member"
    out.insert(0, Claim(what, ", ".join(sorted(somewhere)) or "none", len(somewhere), 1, at_least=True))
    for kind in KINDS:
        found = bits[kind]
        each = {way: found["bits_per_byte"][way]["value"] for way in NAMES}
        figure = ", ".join(f"{NAMES[way]} {each[way]:.3f}" for way in NAMES)
        best = min(ENSEMBLES, key=lambda way: each[way])
        what = f"{kind}, {found['bytes']:,} B, bits per byte: best ensemble ({ENSEMBLES[best]}) : best member"
        out.append(Claim(what, figure, each[best] / each[found["best_member"]]))
    for kind in (*CLOZE, "all"):
        found = right[kind]
        if found["items"] < 30:
            continue  # says nothing
        each = {way: found["percent"][way]["value"] for way in NAMES}
        figure = ", ".join(f"{NAMES[way]} {each[way]:.1f}" for way in NAMES)
        best = max(ENSEMBLES, key=lambda way: each[way])
        what = f"cloze, {kind}, {found['items']} items, % right: best ensemble ({ENSEMBLES[best]}) less best member"
        out.append(Claim(what, figure, each[best] - each[found["best_member"]]))
    return out


def shown(bits: dict[str, Any], right: dict[str, Any]) -> str:
    """Both tables; an ensemble's figure is followed by its gain over the best member."""

    def cell(found: dict[str, Any], way: str, key: str, gain: str, digits: int) -> str:
        value = f"{found[key][way]['value']:.{digits}f}"
        if way not in ENSEMBLES:
            return value
        one = found[gain][way]
        return f"{value} ({one['value']:+.{digits}f}: {one['low']:+.{digits}f} to {one['high']:+.{digits}f})"

    first = [
        [f"{kind}, {found['bytes']:,} B", *(cell(found, way, "bits_per_byte", "saved", 3) for way in NAMES)]
        for kind, found in bits.items()
    ]
    second = [
        [f"{kind}, {found['items']} items", *(cell(found, way, "percent", "gained", 1) for way in NAMES)]
        for kind, found in right.items()
    ]
    return "\n\n".join(
        [
            markdown(["bits per byte (saved over the best member, 95 %)", *NAMES.values()], first),
            markdown(["cloze, % right (gained over the best member, 95 %)", *NAMES.values()], second),
        ]
    )


def main() -> None:
    """Measure what is missing, print the tables, write the JSON."""
    options = parser(__doc__)
    options.add_argument("--pieces", type=int, default=PIECES, help=f"of each kind of text (default: {PIECES})")
    options.add_argument("--items", type=int, default=ITEMS, help=f"cloze items of each kind (default: {ITEMS})")
    args = options.parse_args()
    where = machine("torch", "transformers", "numpy")
    made: list[Members] = []

    def members() -> Members:
        if not made:
            made.append(Members(args.threads))
        return made[0]

    size = 150 if args.quick else PIECE
    of_kind = {kind: texts(kind)[: 1 if args.quick else args.pieces] for kind in KINDS}
    # The kinds in turn, so that a run that is interrupted has some of each.
    some = [(f"text {kind} {key}", (kind, data[:size])) for kind, key, data in _in_turn(of_kind)]
    found: dict[str, list[tuple[str, Cloze]]] = {}
    for kind in CLOZE:
        drawn = clozes(kind)
        found[kind] = [one for _, one in zip(range(2 if args.quick else args.items), drawn, strict=False)]
    asked = [(f"cloze {kind} {key}", (kind, item)) for kind, key, item in _in_turn(found)]
    script = "bytes_ensembles_quick" if args.quick else "bytes_ensembles"
    rows = measured(
        script, some, lambda one: {"kind": one[0], **members().text(one[1])}, fresh=args.fresh or args.quick,
        full=PIECES * len(KINDS),
    )  # fmt: skip
    answers = measured(
        f"{script}_cloze", asked, lambda one: {"kind": one[0], **members().cloze(one[1])},
        fresh=args.fresh or args.quick, full=ITEMS * len(CLOZE),
    )  # fmt: skip
    bits, right = of_texts(rows), of_clozes(answers)
    print(shown(bits, right))
    if args.quick:
        return
    save(
        "bytes_ensembles", claims(bits, right), where, seed=SEED, law="canonical", piece_bytes=PIECE, bits=bits,
        cloze=right, pieces=[row["key"] for row in rows],
    )  # fmt: skip


def _in_turn(found: Mapping[str, Sequence[tuple[str, Any]]]) -> list[tuple[str, str, Any]]:
    """(kind, key, item): the first of every kind, the second of every kind, and so on."""
    longest = max(map(len, found.values()))
    return [(kind, *some[at]) for at in range(longest) for kind, some in found.items() if at < len(some)]


if __name__ == "__main__":
    main()
