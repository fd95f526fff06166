"""Tiny untrained models of each family, with weights large enough that every context has probabilities of its own.

Import this only behind ``pytest.importorskip("transformers", exc_type=ImportError)``.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from small import trained

import bytetok as bt

VOCAB = 300
_SMALL: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
_ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention"]

ATTENTION = ("gpt2", "llama", "qwen2", "qwen2-sliding", "qwen3", "gemma3", "mistral", "mistral-sliding")
"""Families that the tree path evaluates."""

SLIDING = {"qwen2-sliding": 6, "gemma3": 4, "mistral-sliding": 5}
"""Those with a sliding window, and its width."""


def tiny(family: str, *, seed: int = 0, **changes: Any) -> Any:
    """A model of ``family`` in evaluation mode; ``changes`` to its configuration."""
    options = {**_SMALL, **changes}
    makers: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "gpt2": (
            transformers.GPT2LMHeadModel, transformers.GPT2Config,
            {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": options["max_position_embeddings"]},
        ),
        "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig, {}),
        "qwen2": (transformers.Qwen2ForCausalLM, transformers.Qwen2Config, {}),
        "qwen2-sliding": (
            transformers.Qwen2ForCausalLM, transformers.Qwen2Config,
            {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
        ),
        "qwen3": (transformers.Qwen3ForCausalLM, transformers.Qwen3Config, {"head_dim": 16}),
        "gemma3": (
            transformers.Gemma3ForCausalLM, transformers.Gemma3TextConfig,
            {"head_dim": 16, "sliding_window": 4, "layer_types": _ALTERNATING},
        ),
        "mistral": (transformers.MistralForCausalLM, transformers.MistralConfig, {"sliding_window": None}),
        "mistral-sliding": (transformers.MistralForCausalLM, transformers.MistralConfig, {"sliding_window": 5}),
        "mamba": (transformers.MambaForCausalLM, transformers.MambaConfig, {"state_size": 8}),
    }  # fmt: skip
    model_class, config_class, extra = makers[family]
    if family == "gpt2":
        names = ("vocab_size", "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id")
        options = {name: options[name] for name in names}
    if family == "mamba":
        names = ("vocab_size", "hidden_size", "num_hidden_layers", "initializer_range", "bos_token_id", "eos_token_id")
        options = {name: options[name] for name in (*names, "pad_token_id")}
    torch.manual_seed(seed)
    return model_class(config_class(**{**options, **extra})).eval()


def tokenizer() -> bt.Tokenizer:
    """One with as many tokens as the models have rows; 0 is its end of text."""
    return trained(vocab_size=VOCAB)


def whole(model: Any, ids: list[int]) -> torch.Tensor:
    """The model's own answer: log-probabilities (vocab_size,) after ``ids``, by one forward without a cache."""
    with torch.inference_mode():
        return torch.log_softmax(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float(), -1)
