"""TokenLM and byte models on a GPU: the same answers as on the CPU, in fp32 and in bf16, and members on both."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", exc_type=ImportError)

import torch
from tiny_models import ATTENTION, VOCAB, tiny, tokenizer

from bytetok.lm import Context, TokenLM
from bytetok.sampling.complete import complete
from bytetok.sampling.ensembles import Mixture, Product
from bytetok.sampling.sampler import ByteSampler

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
TEXT = b"In 1998 the plaintiff's claims\n\n  of the court"


def lm_of(family: str, device: str, dtype: Any = torch.float32, seed: int = 0) -> TokenLM:
    model = tiny(family, seed=seed).to(device=device, dtype=dtype)
    return TokenLM.from_model(model, tokenizer(), stop_ids=[0], start_ids=[1])


def grown(lm: TokenLM) -> list[Context]:
    """Contexts of random trees, the same ones for every model."""
    rng = random.Random(0)
    alive = [lm.start([rng.randrange(VOCAB) for _ in range(length)]) for length in (0, 3, 17)]
    for size in (1, 9, 2, 9):
        items: list[tuple[Context | int, int]] = []
        for number in range(size):
            earlier = number and rng.random() < 0.6
            items.append((rng.randrange(number) if earlier else alive[rng.randrange(len(alive))], rng.randrange(VOCAB)))
        alive += lm.extend(items)
    return alive


@pytest.mark.parametrize("family", ATTENTION)
def test_a_tree_in_fp32_is_that_of_the_cpu(family: str) -> None:
    on_gpu, on_cpu = lm_of(family, "cuda"), lm_of(family, "cpu")
    assert on_gpu.path == "tree"
    for one, other in zip(grown(on_gpu), grown(on_cpu), strict=True):
        assert one.ids == other.ids
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-3)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_a_tree_in_bf16_is_its_sequences(family: str) -> None:
    lm = lm_of(family, "cuda", torch.bfloat16)
    assert lm.path == "tree"
    for node in grown(lm):
        assert node.logprobs.dtype == np.float32
        assert np.logaddexp.reduce(node.logprobs.astype(np.float64)) == pytest.approx(0, abs=1e-4)
        with torch.inference_mode():
            logits = lm.model(input_ids=torch.tensor([node.ids], device="cuda"), use_cache=False).logits[0, -1]
        expected = torch.log_softmax(logits.float(), -1).cpu().numpy()
        likely = expected > -8  # eight bits of a logit say little of the others
        np.testing.assert_allclose(node.logprobs[likely], expected[likely], atol=0.25)


@pytest.mark.parametrize("law", ["canonical", "all"])
def test_next_bytes_and_scores_are_those_of_the_cpu(law: Any) -> None:
    on_gpu, on_cpu = (ByteSampler(lm_of("llama", device), law) for device in ("cuda", "cpu"))
    for end in (0, 1, 7, len(TEXT)):
        np.testing.assert_allclose(on_gpu.next_byte(TEXT[:end]), on_cpu.next_byte(TEXT[:end]), atol=1e-3)
    scored = [sampler.score(TEXT) for sampler in (on_gpu, on_cpu)]
    np.testing.assert_allclose(scored[0].logprobs, scored[1].logprobs, atol=1e-3)


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize("kind", [Mixture, Product])
def test_members_on_different_devices(kind: Any, threads: bool) -> None:
    """The GPU's member and the CPU's, at the same time or in turn, are what two on the CPU are."""
    other = ByteSampler(lm_of("qwen2", "cpu", seed=1))
    mixed = kind([ByteSampler(lm_of("llama", "cuda")), other], threads=threads)
    expected = kind([ByteSampler(lm_of("llama", "cpu")), other])
    state, known = mixed.state(TEXT[:9]), expected.state(TEXT[:9])
    for byte in TEXT[9:20]:
        np.testing.assert_allclose(state.next_byte(), known.next_byte(), atol=1e-3)
        state, known = state.push(byte), known.push(byte)
    drawn = complete(mixed, TEXT[:9], max_bytes=12, seed=3)
    assert 0 < len(drawn.bytes) <= 16 or drawn.stop_reason == "stop"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_folder_is_loaded_where_it_is_asked_for(tmp_path: Any, device: str) -> None:
    tiny("llama").save_pretrained(tmp_path)
    tokenizer().save(tmp_path)
    lm = TokenLM.from_pretrained(tmp_path, device=device, dtype="bfloat16")
    assert (lm.model.device.type, lm.model.dtype, lm.path) == (device, torch.bfloat16, "tree")
    assert lm.start().logprobs.shape == (VOCAB,)


def test_what_is_forgotten_is_used_again() -> None:
    """Long work with few contexts alive does not fill the device."""
    lm = lm_of("llama", "cuda")
    node = lm.start([5])
    sizes = []
    for _ in range(3):
        for step in range(200):
            (node,) = lm.extend([(node if node.depth < 40 else lm.start([5]), step % VOCAB)])
        torch.cuda.synchronize()
        sizes.append(torch.cuda.memory_allocated())
    assert sizes[2] <= sizes[0] * 1.2
