"""Filling the gap between a prefix and a suffix."""

from __future__ import annotations

from typing import Literal, Unpack

import numpy as np

from bytetok.errors import SamplingError
from bytetok.sampling.complete import Completion, Options, complete
from bytetok.sampling.constraints import ByteRegex
from bytetok.sampling.infilling import Order, Promptable, infilling_format, infilling_model
from bytetok.sampling.join import join
from bytetok.sampling.protocol import ByteModel, as_bytes, checked_model
from bytetok.sampling.utf8 import AfterCharacter, unfinished


def fill(
    model: ByteModel,
    prefix: str | bytes,
    suffix: str | bytes,
    *,
    method: Literal["tokens", "search"] | None = None,
    order: Order | None = None,
    beam: int | None = 16,
    max_evaluations: int = 5_000,
    join_bytes: int | None = 64,
    seed: int | np.random.Generator | None = None,
    **options: Unpack[Options],
) -> Completion:
    """Write what stands between ``prefix`` and ``suffix``, either of which may be cut anywhere.

    ``method="tokens"``: the model's own infilling tokens, in ``order`` "psm" or "spm" (the one that its family was
    trained with, if not given); all ``options`` are those of :func:`bytetok.complete`, and the middle ends where the
    model stops. ``method="search"``: the most probable middle of up to ``max_bytes`` (32 if not given), for any byte
    model, ensembles too; ``beam``, ``max_evaluations`` and ``join_bytes`` bound the work, see
    :func:`bytetok.sampling.join.join`. Nothing is drawn there, so temperature, top-k, top-p, min-p and seed have no
    effect. If not given, tokens where the model has them, and otherwise search.

    Raises SamplingError for a method that the model or the options do not go with.
    """
    checked_model(model, "the model")
    has_tokens = isinstance(model, Promptable) and infilling_format(model.tokenizer) is not None
    if method is None:
        method = "tokens" if has_tokens else "search"
    if method == "tokens":
        if not isinstance(model, Promptable):
            raise SamplingError(
                f'{type(model).__name__} has no tokenizer of its own, so no infilling tokens; use method="search"'
            )
        prompted, begun = infilling_model(model, prefix, suffix, order)
        return complete(prompted, begun, seed=seed, **options)
    if method != "search":
        raise SamplingError(f'method={method!r} is not one of "tokens", "search"')
    if order is not None or options.get("stop"):
        raise SamplingError('order and stop belong to method="tokens"; search ends where the suffix begins')
    return _searched(model, as_bytes(prefix), as_bytes(suffix), beam, max_evaluations, join_bytes, options)


def _searched(
    model: ByteModel,
    prefix: bytes,
    suffix: bytes,
    beam: int | None,
    max_evaluations: int,
    join_bytes: int | None,
    options: Options,
) -> Completion:
    regex, constraint = options.get("regex"), options.get("constraint")
    if regex is not None and constraint is not None:
        raise SamplingError("regex and constraint are both given; pass one of them")
    begun, valid_utf8 = unfinished(prefix), options.get("valid_utf8", True)
    limit = ByteRegex(regex) if regex is not None else constraint
    joined = join(
        model,
        prefix,
        suffix,
        max_bytes=options.get("max_bytes", 32),
        beam=beam,
        max_evaluations=max_evaluations,
        join_bytes=join_bytes,
        constraint=AfterCharacter(begun, limit) if limit is not None and begun and valid_utf8 else limit,
        valid_utf8=valid_utf8,
    )
    middle = joined.middles[0]
    text = (begun + middle.bytes).decode(errors="replace") if middle.bytes else ""
    return Completion(text, middle.bytes, "suffix", middle.logprobs)
