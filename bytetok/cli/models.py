"""Options that name models, and the byte model they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bytetok.cli.exits import wrong_usage
from bytetok.cli.progress import waiting

if TYPE_CHECKING:
    from bytetok.sampling.protocol import ByteModel
    from bytetok.sampling.sampler import ByteSampler

MODELS = "Models"
"""Heading of the help."""

PACKAGE = "package:"

Law = Literal["canonical", "all"]
Mix = Literal["mixture", "product", "bayes"]

Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="M",
        help="A folder, a hub id, package:smollm2 or package:gemma3-270m; repeat for an ensemble.",
        show_default=False,
        rich_help_panel=MODELS,
    ),
]
Weights = Annotated[
    list[float] | None,
    typer.Option(
        "--weight",
        min=0.0,
        metavar="W",
        help="One for each --model, in their order; equal if none is given.",
        show_default=False,
        rich_help_panel=MODELS,
    ),
]
MixOption = Annotated[
    Mix,
    typer.Option(
        "--mix",
        help="Several models: arithmetic mean, geometric mean, or a mean whose weights follow the text.",
        rich_help_panel=MODELS,
    ),
]
LawOption = Annotated[
    Law,
    typer.Option(
        "--law",
        help="Token sequences that count: those that texts are encoded as, or all that spell the text.",
        rich_help_panel=MODELS,
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="Such as cuda; the CPU if not given.", rich_help_panel=MODELS),
]


def byte_model(
    names: Sequence[str],
    weights: Sequence[float] | None = None,
    mix: Mix = "mixture",
    law: Law = "canonical",
    device: str | None = None,
    message: str | None = None,
) -> ByteModel:
    """The model, or the ensemble of models, that the options name; wrong usage is found before anything is loaded.

    With a ``message`` of a user, each model answers it in its own chat template.
    A product takes the weights as exponents as they are; a Bayesian mixture starts with them.
    """
    if weights and len(weights) != len(names):
        wrong_usage(f"{len(weights)} for {len(names)} of --model; give one for each, or none", "--weight")
    if weights and not any(weights):
        wrong_usage("all are 0; give at least one model a weight above 0", "--weight")
    for name in names:
        _check_name(name)
    with waiting(f"loading {', '.join(names)}"):
        members: list[ByteModel] = [
            one if message is None else one.chat([{"role": "user", "content": message}])
            for one in (load(name, law, device) for name in names)
        ]
    if len(members) == 1:
        return members[0]
    from bytetok.sampling.ensembles import Mixture, Product

    given = list(weights) if weights else None
    if mix == "product":
        return Product(members, given)
    return Mixture(members, "bayes", start=given) if mix == "bayes" else Mixture(members, given)


def _check_name(name: str) -> None:
    """Ends with wrong usage for the name of a package without its mark: a hub would be searched for it, and in vain."""
    from bytetok.lm.packages import PACKAGES

    if name in PACKAGES and not Path(name).exists():
        wrong_usage(f"{name!r} is no folder here and no hub id; did you mean {PACKAGE}{name}?", "--model")


def load(name: str, law: Law, device: str | None) -> ByteSampler:
    """One model: ``package:NAME``, a folder, or a hub id."""
    from bytetok.lm import TokenLM
    from bytetok.lm.transformers_lm import import_transformers
    from bytetok.sampling.sampler import ByteSampler

    import_transformers()  # what is missing is said before a model is downloaded
    if device is not None:
        _check_device(device)
    if name.startswith(PACKAGE):
        # The name is checked there; its type lists the known ones for editors.
        lm = TokenLM.from_package(name.removeprefix(PACKAGE), device=device)  # type: ignore[arg-type]
    else:
        lm = TokenLM.from_pretrained(name, device=device)
    return ByteSampler(lm, law)


def _check_device(name: str) -> None:
    """Ends with wrong usage for a device that is not there, before a model is loaded for nothing."""
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as err:  # the latter from a torch that was built without it
        wrong_usage(f"{name!r} cannot be used here: {str(err).strip().partition(chr(10))[0]}", "--device")
