"""Lines of HumanEval solutions taken out and filled in by search, with a model that has no infilling tokens.

::

    python benchmarks/bytes_infilling.py --quick       # two lines; writes nothing
    python benchmarks/bytes_infilling.py               # 50 lines; go on any time later

From each of 50 solutions one line of 4 to 40 bytes is taken that another line follows. The cursor stands behind the
line's indentation; the prefix is the lines of the last 300 bytes before it, the suffix the line feed and what follows.
Ways to find the middle, all with SmolLM2-135M:

* **completion**: the prefix completed greedily to the end of the line (``complete``); the suffix is not looked at.
* **8 samples**: eight completions of the prefix at temperature 1, to the end of the line; the one that makes the suffix
  most probable, log P(suffix | prefix, middle); or, **together**, the one with the largest log P(middle, suffix |
  prefix), which is what the search maximizes.
* **search**: the middle with the largest log P(middle, suffix | prefix) among those that a search within its beam and
  budget finds: what ``fill`` returns with these limits.
* **search, by the suffix** and **search, per byte**: the eight best of that search (``join(n=8)``) in another order: by
  log P(suffix | prefix, middle), or by log P(middle, suffix | prefix) over the number of bytes of both.

*Exact* is the line to the byte; *same program*, the same syntax tree as the solution's (``i%2==0`` for ``i % 2 == 0``);
*compiles*, whether the solution with the middle in place of the line does. Nothing is executed.
"""

from __future__ import annotations

import ast
import random
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from _bytes import HUMAN_EVAL, SEED, Kept, human_eval, load, markdown, mean, measured, parser, recent, slug
from _machine import Claim, machine, save

import bytetok as bt
from bytetok.sampling.join import join

LONGEST = 40
SUFFIX = 64
SAMPLES = 8
WAYS = {
    "completion": "completion, greedy",
    "samples": "8 samples, best by the suffix",
    "samples_together": "8 samples, best together with the suffix",
    "search": "search",
    "search_suffix": "search, 8 best, by the suffix",
    "search_per_byte": "search, 8 best, per byte",
}


@dataclass(frozen=True)
class Gap:
    """A program without a line."""

    key: str
    before: str
    line: str
    after: str

    def judged(self, middle: str) -> dict[str, int]:
        """Whether the middle is the line, makes the same program, or one that compiles; each 0 or 1."""
        try:
            with warnings.catch_warnings(action="ignore"):  # of odd programs: "is" with a number, and the like
                tree = ast.parse(self.before + middle + self.after)
                compile(tree, self.key, "exec")
        except (SyntaxError, ValueError):
            return {"exact": int(middle.rstrip() == self.line), "same": 0, "compiles": 0}
        same = ast.dump(tree) == ast.dump(ast.parse(self.before + self.line + self.after))
        return {"exact": int(middle.rstrip() == self.line), "same": int(same), "compiles": 1}


def gaps() -> Iterator[Gap]:
    """One line of each solution that has one to take, in a fixed order."""
    problems = human_eval()
    random.Random(SEED).shuffle(problems)
    for problem in problems:
        text = problem["prompt"] + problem["canonical_solution"]
        at, places = len(problem["prompt"]), []
        for line in problem["canonical_solution"].splitlines(keepends=True):
            content = line.strip()
            begin = at + line.index(content) if content else at
            end = begin + len(content)
            if 4 <= len(content.encode()) <= LONGEST and text[end:].strip():
                places.append((begin, end))
            at += len(line)
        if places:
            begin, end = random.Random(f"{SEED} {problem['task_id']}").choice(places)
            yield Gap(slug(problem["task_id"]), text[:begin], text[begin:end], text[end:])


class Measure:
    """One model and one budget."""

    def __init__(self, model: str, threads: int, evaluations: int, beam: int) -> None:
        self.sampler, _ = load(model, threads)
        self.evaluations, self.beam = evaluations, beam

    def __call__(self, gap: Gap) -> dict[str, Any]:
        data = gap.before.encode()
        prefix, suffix = recent(data, len(data)), gap.after.encode()[:SUFFIX]
        model: Any = Kept(self.sampler, prefix)
        found: dict[str, bytes] = {}
        seconds = {}

        start = time.perf_counter()
        found["completion"] = bt.complete(model, prefix, temperature=0.0, stop=["\n"], max_bytes=LONGEST + 20).bytes
        seconds["completion"] = time.perf_counter() - start

        start = time.perf_counter()
        drawn = bt.sample(self.sampler, SAMPLES, prompt=prefix, seed=SEED, stop=["\n"], max_bytes=LONGEST + 20)
        ranked, together = {}, {}
        for middle in dict.fromkeys(one.bytes for one in drawn):
            behind = model.known.push(middle) if middle else model.known
            whole = behind.push(suffix).log_prefix
            ranked[middle], together[middle] = float(whole - behind.log_prefix), float(whole)
        found["samples"] = max(ranked, key=ranked.__getitem__)
        found["samples_together"] = max(together, key=together.__getitem__)
        seconds["samples"] = time.perf_counter() - start

        start = time.perf_counter()
        joined = join(
            model, prefix, suffix, max_bytes=LONGEST, n=SAMPLES, beam=self.beam, max_evaluations=self.evaluations,
            join_bytes=SUFFIX,
        )  # fmt: skip
        seconds["search"] = time.perf_counter() - start
        best = joined.middles
        found["search"] = best[0].bytes
        found["search_suffix"] = max(best, key=lambda one: one.logprob - float(one.logprobs.sum())).bytes
        found["search_per_byte"] = max(best, key=lambda one: one.logprob / (len(one.bytes) + len(suffix))).bytes
        texts = {way: middle.decode(errors="replace") for way, middle in found.items()}
        true = model.known.push(gap.line.encode() + suffix).log_prefix - model.known.log_prefix
        return {
            "line": gap.line,
            "found": texts,
            "middles": [one.bytes.decode(errors="replace") for one in best],
            "logprobs": [round(one.logprob, 3) for one in best],
            "logprob_of_line": round(float(true), 3),
            "evaluations": joined.evaluations,
            "is_exact": joined.is_exact,
            "times": {way: round(one, 2) for way, one in seconds.items()},
        }


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By way: exact matches, same programs and programs that compile, in percent."""
    out: dict[str, Any] = {}
    for way in WAYS:
        out[way] = {
            **{
                f"{what}_percent": vars(mean(100 * row["judged"][way][what] for row in rows))
                for what in ("exact", "same", "compiles")
            },
            "mean_bytes": sum(len(row["found"][way].encode()) for row in rows) / len(rows),
        }
    out["line"] = {"mean_bytes": sum(len(row["line"].encode()) for row in rows) / len(rows)}
    out["search"] |= {
        # Where the search is not to blame: the model itself finds what was returned more probable than the line.
        "more_probable_than_line_percent": 100
        * sum(row["logprobs"][0] >= row["logprob_of_line"] - 1e-3 for row in rows)
        / len(rows),
        "line_among_8_percent": 100 * sum(row["line"] in row["middles"] for row in rows) / len(rows),
        "is_exact_percent": 100 * sum(row["is_exact"] for row in rows) / len(rows),
        "evaluations": sum(row["evaluations"] for row in rows) / len(rows),
    }
    return out


def main() -> None:
    """Measure what is missing, print the table, write the JSON."""
    options = parser(__doc__)
    options.add_argument("--items", type=int, default=50, help="lines to fill (default: 50)")
    options.add_argument("--evaluations", type=int, default=400, help="budget of a search in tables (default: 400)")
    options.add_argument("--beam", type=int, default=16, help="(default: 16)")
    args = options.parse_args()
    where = machine("torch", "transformers", "numpy")
    drawn = gaps()
    items = [next(drawn) for _ in range(2 if args.quick else args.items)]
    made: list[Measure] = []

    def once(gap: Gap) -> dict[str, Any]:
        if not made:
            made.append(Measure("smollm2", args.threads, args.evaluations, args.beam))
        return made[0](gap)

    budget = f"{args.evaluations} {args.beam}"
    script = "bytes_infilling_quick" if args.quick else "bytes_infilling"
    keyed = [(f"{one.key} {budget}", one) for one in items]
    rows = measured(script, keyed, once, fresh=args.fresh or args.quick, full=50)
    for gap, row in zip(items, rows, strict=True):
        row["judged"] = {way: gap.judged(text) for way, text in row["found"].items()}
    found = figures(rows)
    search = found["search"]
    head = ["way", "the line, %", "same program, %", "compiles, %", "bytes"]
    cells = [
        [name, *(_percent(found[way][f"{what}_percent"]) for what in ("exact", "same", "compiles")),
         f"{found[way]['mean_bytes']:.1f} (the line: {found['line']['mean_bytes']:.1f})"]
        for way, name in WAYS.items()
    ]  # fmt: skip
    print(markdown(head, cells))
    print(
        f"\nsearch: {search['evaluations']:.0f} tables in the mean, proven best {search['is_exact_percent']:.0f} %, "
        f"at least as probable as the line {search['more_probable_than_line_percent']:.0f} %, the line among the eight "
        f"best {search['line_among_8_percent']:.0f} %"
    )
    if args.quick:
        return
    claims = [
        Claim(
            f"SmolLM2-135M, {len(rows)} lines of HumanEval, {name}: % right to the byte",
            f"{_percent(found[way]['exact_percent'])}; same program {_percent(found[way]['same_percent'])} %; compiles "
            f"{_percent(found[way]['compiles_percent'])} %; {found[way]['mean_bytes']:.1f} bytes, the line has "
            f"{found['line']['mean_bytes']:.1f}",
            found[way]["exact_percent"]["value"],
        )
        for way, name in WAYS.items()
    ]
    save(
        "bytes_infilling", claims, where, seed=SEED, law="canonical", human_eval=str(HUMAN_EVAL),
        longest_line=LONGEST, suffix_bytes=SUFFIX, samples=SAMPLES, evaluations=args.evaluations, beam=args.beam,
        figures=found, rows=rows,
    )  # fmt: skip


def _percent(one: dict[str, float]) -> str:
    return f"{one['value']:.1f} ({one['low']:.0f} to {one['high']:.0f})"


if __name__ == "__main__":
    main()
