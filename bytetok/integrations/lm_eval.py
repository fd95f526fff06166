"""Byte models in lm-eval (EleutherAI's lm-evaluation-harness, 0.4): importing this module registers ``bytetok``.

Scores are of bytes, so that models of different vocabularies, and ensembles of them, answer the same questions::

    import bytetok.integrations.lm_eval as byte_eval

    lm_eval.simple_evaluate(model=byte_eval.ByteEvalLM(sampler), tasks=["lambada_openai"])
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from bytetok.errors import MissingDependencyError
from bytetok.integrations.likelihood import generate_until, loglikelihood, rolling
from bytetok.sampling.protocol import ByteModel

try:
    _model: Any = importlib.import_module("lm_eval.api.model")
    _registry: Any = importlib.import_module("lm_eval.api.registry")
except ImportError as err:
    raise MissingDependencyError(f"this module needs lm-eval ({err}); pip install lm-eval") from err


@_registry.register_model("bytetok")
class ByteEvalLM(_model.LM):  # type: ignore[misc]
    """Any byte model, or a model's folder or hub id, as a model of lm-eval.

    ``window``: bytes of a long text that are read together, for perplexities of whole documents. ``seed``: for tasks
    that sample. Requests are answered one after the other; ``batch_size`` is taken because lm-eval gives it.
    """

    def __init__(
        self,
        model: ByteModel | str,
        *,
        law: str = "canonical",
        device: str | None = None,
        window: int = 8192,
        seed: int | None = 0,
        batch_size: Any = None,
        max_batch_size: Any = None,
    ) -> None:
        super().__init__()
        self.model = _loaded(model, law, device) if isinstance(model, str) else model
        self.window, self.seed = int(window), seed

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-probability of the continuation, whether it is the greedy one) of each request."""
        return self._answers("loglikelihood", requests, lambda *texts: tuple(loglikelihood(self.model, *texts)))

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of the whole text of each request."""
        return self._answers("loglikelihood_rolling", requests, lambda text: rolling(self.model, text, self.window))

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The text that each request's context goes on with."""
        return self._answers(
            "generate_until", requests, lambda *given: generate_until(self.model, *given, seed=self.seed)
        )

    def _answers(self, kind: str, requests: Sequence[Any], answer: Callable[..., Any]) -> list[Any]:
        answers = []
        for request in requests:
            answers.append(answer(*request.args))
            # lm-eval keeps answers for runs that are cut off, where it is told to.
            self.cache_hook.add_partial(kind, request.args, answers[-1])
        return answers


def _loaded(name: str, law: str, device: str | None) -> ByteModel:
    from bytetok.lm import TokenLM
    from bytetok.sampling.sampler import ByteSampler

    return ByteSampler(TokenLM.from_pretrained(name, device=device), law)  # type: ignore[arg-type]
