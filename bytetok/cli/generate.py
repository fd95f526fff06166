"""``bytetok complete``, ``fill`` and ``sample``: commands that write text with models."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from bytetok.cli import models, options, writing
from bytetok.cli.exits import wrong_usage
from bytetok.cli.progress import waiting
from bytetok.cli.terminal import note, say_json, size_words, time_words
from bytetok.errors import EncodingError

Prompt = Annotated[
    str,
    typer.Argument(
        metavar="PROMPT",
        help="The text to go on with; it may end anywhere, also inside a word. - reads standard input.",
        show_default=False,
    ),
]
Chat = Annotated[
    bool,
    typer.Option(
        "--chat",
        help="The prompt is a user's message: each model answers it in its own chat template.",
        rich_help_panel=options.INPUT,
    ),
]
PromptOption = Annotated[
    str,
    typer.Option(
        "--prompt",
        metavar="TEXT",
        help="What every sample goes on with; - reads standard input.",
        show_default=False,
        rich_help_panel=options.INPUT,
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option("--prefix", metavar="TEXT", help="What stands before the gap.", rich_help_panel=options.INPUT),
]
Suffix = Annotated[
    str | None,
    typer.Option("--suffix", metavar="TEXT", help="What stands behind the gap.", rich_help_panel=options.INPUT),
]
PrefixFile = Annotated[
    str | None,
    typer.Option(
        "--prefix-file", metavar="FILE", help="The same in a file; - is standard input.", rich_help_panel=options.INPUT
    ),
]
SuffixFile = Annotated[
    str | None,
    typer.Option(
        "--suffix-file", metavar="FILE", help="The same in a file; - is standard input.", rich_help_panel=options.INPUT
    ),
]
Method = Annotated[
    Literal["tokens", "search"] | None,
    typer.Option(
        "--method",
        help="The model's infilling tokens, or a search; if not given, tokens where the model has them.",
        rich_help_panel=writing.CHOICE,
    ),
]
MiddleBytes = Annotated[
    int | None,
    typer.Option(
        "--max-bytes",
        min=0,
        metavar="N",
        help="Write no more than this: 32 for a search and 256 with tokens if not given.",
        rich_help_panel=writing.END,
    ),
]
Number = Annotated[
    int, typer.Option("-n", "--number", min=0, metavar="N", help="Samples.", rich_help_panel=writing.END)
]


def complete(
    prompt: Prompt,
    *,
    model: models.Models,
    weight: models.Weights = None,
    mix: models.MixOption = "mixture",
    law: models.LawOption = "canonical",
    device: models.Device = None,
    chat: Chat = False,
    temperature: writing.Temperature = 1.0,
    top_k: writing.TopK = None,
    top_p: writing.TopP = None,
    min_p: writing.MinP = None,
    seed: writing.Seed = None,
    regex: writing.Regex = None,
    max_bytes: writing.MaxBytes = 256,
    stop: writing.Stop = None,
    as_json: options.Json = False,
) -> None:
    """Go on with a text, byte by byte, with one model or several.

    The prompt is not repeated, and nothing is added to the output. Where the prompt ends inside a character, the
    output begins with that character whole. All of the prompt is text: the name of a control token such as <|im_end|>
    is its letters. Models of an ensemble need not share a vocabulary.

    Examples
      bytetok complete --model package:smollm2 'The capital of France is '
      bytetok complete --model my-model --temperature 0 --stop '.' - < prompt.txt
      bytetok complete --model package:smollm2 --chat 'Why is the sky blue?'
      bytetok complete --model gpt2 --model my-model --weight .6 --weight .4 'def f(x): retur'
      bytetok complete --model my-model --regex '(19|20)[0-9]{2}' 'The treaty was signed in '
    """
    from bytetok.sampling.complete import complete as completed
    from bytetok.sampling.complete import stream

    wanted = writing.settings(
        max_bytes=max_bytes, stop=stop, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, regex=regex
    )
    data, message = _asked(prompt, chat)
    byte_model = models.byte_model(model, weight, mix, law, device, message)
    started = time.monotonic()
    if as_json:
        with waiting("writing"):
            values = writing.as_values(completed(byte_model, data, seed=seed, **wanted))
        say_json({"models": model, **values, "seconds": round(time.monotonic() - started, 3)})
    else:
        _report(writing.put(stream(byte_model, data, seed=seed, **wanted)), started)


def fill(
    *,
    prefix: Prefix = None,
    suffix: Suffix = None,
    prefix_file: PrefixFile = None,
    suffix_file: SuffixFile = None,
    model: models.Models,
    weight: models.Weights = None,
    mix: models.MixOption = "mixture",
    law: models.LawOption = "canonical",
    device: models.Device = None,
    method: Method = None,
    temperature: writing.Temperature = 1.0,
    top_k: writing.TopK = None,
    top_p: writing.TopP = None,
    min_p: writing.MinP = None,
    seed: writing.Seed = None,
    regex: writing.Regex = None,
    max_bytes: MiddleBytes = None,
    stop: writing.Stop = None,
    as_json: options.Json = False,
) -> None:
    """Write what stands between a prefix and a suffix, either of which may be cut anywhere.

    Only the middle is printed. A search finds a probable middle with any model and draws nothing, so temperature,
    --top-k, --top-p, --min-p and --seed belong to infilling tokens, and so does --stop. It asks for hundreds of next
    bytes, and for thousands where no short middle fits: --max-bytes bounds it.

    Examples
      bytetok fill --model package:smollm2 --prefix 'The capital of Fr' --suffix ' is Paris.'
      bytetok fill --model my-code-model --prefix-file before.py --suffix-file after.py --seed 1
    """
    from bytetok.sampling.fill import fill as filled

    sides = _sides(prefix, prefix_file, suffix, suffix_file)
    wanted = writing.settings(
        max_bytes=max_bytes, stop=stop, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, regex=regex
    )
    byte_model = models.byte_model(model, weight, mix, law, device)
    started = time.monotonic()
    with waiting("filling"):
        done = filled(byte_model, *sides, method=method, seed=seed, **wanted)
    if as_json:
        say_json({"models": model, **writing.as_values(done), "seconds": round(time.monotonic() - started, 3)})
    else:
        _report(writing.put([done.text]), started)


def sample(
    *,
    model: models.Models,
    weight: models.Weights = None,
    mix: models.MixOption = "mixture",
    law: models.LawOption = "canonical",
    device: models.Device = None,
    number: Number = 1,
    prompt: PromptOption = "",
    chat: Chat = False,
    temperature: writing.Temperature = 1.0,
    top_k: writing.TopK = None,
    top_p: writing.TopP = None,
    min_p: writing.MinP = None,
    seed: writing.Seed = None,
    regex: writing.Regex = None,
    max_bytes: writing.MaxBytes = 256,
    stop: writing.Stop = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help='Print a line {"text": ...} for each sample.', rich_help_panel=options.OUTPUT),
    ] = False,
) -> None:
    """Draw independent texts from one model or several.

    Each sample is followed by a line feed; --json keeps their bounds, as a jsonl corpus that every command
    reads. With a seed, the first samples are the same whatever their number.

    Examples
      bytetok sample --model package:smollm2 -n 10
      bytetok sample --model my-model -n 1000 --prompt 'Dear ' --seed 1 --json > letters.jsonl
    """
    from bytetok.sampling.choose import generators
    from bytetok.sampling.complete import complete as completed

    wanted = writing.settings(
        max_bytes=max_bytes, stop=stop, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, regex=regex
    )
    data, message = _asked(prompt, chat)
    byte_model = models.byte_model(model, weight, mix, law, device, message)
    # As bt.sample draws them; one at a time, so that each can be read as soon as it is there.
    for one in generators(seed, number):
        values = writing.as_values(completed(byte_model, data, seed=one, **wanted))
        line = json.dumps(values, ensure_ascii=False) if as_json else values["text"]
        sys.stdout.buffer.write(line.encode() + b"\n")
        sys.stdout.buffer.flush()


def _asked(prompt: str, chat: bool) -> tuple[bytes, str | None]:
    """What the text goes on with, and the message of a chat: of the two, the prompt is one."""
    data = writing.typed(prompt)
    if not chat:
        return data, None
    try:
        return b"", data.decode()
    except UnicodeDecodeError as err:
        raise EncodingError(f"a message is UTF-8, but byte {err.start} of the prompt is not: {err.reason}") from err


def _sides(prefix: str | None, prefix_file: str | None, suffix: str | None, suffix_file: str | None) -> list[bytes]:
    """Prefix and suffix, each given in one of two ways."""
    if prefix_file == suffix_file == "-":
        wrong_usage("standard input is the prefix already; put one of them into a file", "--suffix-file")
    sides = []
    for name, text, file in (("--prefix", prefix, prefix_file), ("--suffix", suffix, suffix_file)):
        if (text is None) == (file is None):
            both = "both are given" if text is not None else "neither is given"
            wrong_usage(f"{both}; give {name} with a text or {name}-file with a file", name)
        sides.append(_content(text, file))
    return sides


def _content(text: str | None, file: str | None) -> bytes:
    if file is None:
        return os.fsencode(text or "")
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _report(size: int, started: float) -> None:
    note(f"{size_words(size)} in {time_words(time.monotonic() - started)}")
