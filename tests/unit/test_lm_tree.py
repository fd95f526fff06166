"""TokenLM over transformers models: a tree in one forward is what each sequence is by itself."""

from __future__ import annotations

import gc
import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", exc_type=ImportError)

import torch
from tiny_models import ATTENTION, SLIDING, VOCAB, tiny, tokenizer, whole

from bytetok.errors import ContextLengthError, ModelOutputError, NoStartTokenError
from bytetok.lm import Context, TokenLM
from bytetok.lm.tree import windows


def lm_of(family: str, **changes: Any) -> TokenLM:
    torch.set_num_threads(1)
    return TokenLM.from_model(tiny(family, **changes), tokenizer(), stop_ids=[0], start_ids=[1])


def pool_of(lm: TokenLM) -> Any:
    return lm._backend.cache.pool  # type: ignore[attr-defined]


def check(lm: TokenLM, nodes: list[Context]) -> None:
    for node in nodes:
        np.testing.assert_allclose(node.logprobs, whole(lm.model, node.ids), atol=1e-4)


def grow(lm: TokenLM, rng: random.Random, alive: list[Context], size: int) -> list[Context]:
    """One call of ``size`` items, whose parents are contexts that live and earlier items."""
    items: list[tuple[Context | int, int]] = []
    for number in range(size):
        earlier = number and rng.random() < 0.6
        items.append((rng.randrange(number) if earlier else rng.choice(alive), rng.randrange(VOCAB)))
    return lm.extend(items)


@pytest.mark.parametrize("family", ATTENTION)
def test_random_trees_are_their_sequences(family: str) -> None:
    """Forks, several roots, dropped contexts whose slots are used again, deeper than any window."""
    lm = lm_of(family)
    assert lm.path == "tree"
    for seed in range(3):
        rng = random.Random(seed)
        alive = [lm.start([rng.randrange(VOCAB) for _ in range(length)]) for length in (0, 3, 17)]
        check(lm, alive)
        for _ in range(6):
            made = grow(lm, rng, alive, rng.choice([1, 2, 9]))
            check(lm, made)
            alive = rng.sample(alive + made, min(6, len(alive + made)))
            del made
    spread = float(np.abs(alive[0].logprobs - alive[1].logprobs).max())
    assert spread > 0.5  # else the rows of all contexts are alike, and nothing was tested


@pytest.mark.parametrize("family", SLIDING)
def test_a_window_shorter_than_the_context(family: str) -> None:
    lm = lm_of(family)
    width = SLIDING[family]
    assert width in windows(lm.model.config).values()
    node = lm.start(list(range(2, 2 + width)))
    for token in range(40, 40 + 3 * width):
        (node,) = lm.extend([(node, token)])
        check(lm, [node])
    # As a chain of items, and all at once.
    items: list[tuple[Context | int, int]] = [(lm.start([2]), 40), *((number, 41 + number) for number in range(30))]
    check(lm, lm.extend(items)[-3:])
    check(lm, [lm.start(list(range(100, 140)))])


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_slots_far_apart_are_gathered(family: str) -> None:
    """Most of the pool belongs to others: the forward then reads the ancestors only, wherever they lie."""
    lm = lm_of(family)
    others = [lm.start(list(range(begin, begin + 100))) for begin in (2, 50, 100, 150)]
    node = lm.start([7])
    del others[1]
    made = lm.extend([(node, 8), (0, 9), (node, 10)])
    check(lm, made)
    check(lm, lm.extend([(made[1], 11), (others[2], 12), (made[2], 13)]))


def test_fork_and_rollback() -> None:
    lm = lm_of("llama")
    root = lm.start([3, 4])
    before = root.logprobs.copy()
    (left,) = lm.extend([(root, 5)])
    (lower,) = lm.extend([(left, 6)])
    (right,) = lm.extend([(root, 9)])
    check(lm, [left, lower, right])
    del left, lower
    (again,) = lm.extend([(root, 5)])
    check(lm, [again])
    np.testing.assert_array_equal(root.logprobs, before)


def test_dropped_contexts_free_their_slots() -> None:
    lm = lm_of("llama")
    assert pool_of(lm).in_use == 0
    root = lm.start([3, 4])
    assert pool_of(lm).in_use == 3
    made = lm.extend([(root, 5), (0, 6), (1, 7)])
    assert pool_of(lm).in_use == 6
    last = made[-1]
    del made
    gc.collect()
    assert pool_of(lm).in_use == 6  # a child keeps its ancestors
    del last
    assert pool_of(lm).in_use == 3
    del root
    assert pool_of(lm).in_use == 0


def test_the_pool_does_not_grow_with_what_is_dropped() -> None:
    lm = lm_of("llama", num_hidden_layers=1)
    root = lm.start(list(range(2, 12)))
    rng = random.Random(0)
    capacities = set()
    for step in range(2_000):
        made = grow(lm, rng, [root], 3)
        capacities.add(pool_of(lm).capacity)
        if step % 500 == 0:
            check(lm, made)
        del made
    assert capacities == {64}
    assert pool_of(lm).in_use == 11


def test_the_pool_doubles_and_keeps_what_it_holds() -> None:
    lm = lm_of("qwen3")
    early = lm.start([3, 4, 5])
    late = lm.start([(7 * number) % VOCAB for number in range(200)])
    assert pool_of(lm).capacity == 256
    check(lm, lm.extend([(early, 6), (late, 7)]))


def test_calls_and_positions_are_counted() -> None:
    lm = lm_of("llama")
    assert (lm.calls, lm.positions) == (0, 0)
    root = lm.start([3, 4])
    assert (lm.calls, lm.positions) == (1, 3)
    made = lm.extend([(root, 5), (0, 6), (root, 7)], wanted=[1])
    assert (lm.calls, lm.positions) == (2, 6)
    made[0].logprobs  # noqa: B018 - the hidden state is kept
    assert (lm.calls, lm.positions) == (2, 6)
    lm.extend([])
    assert (lm.calls, lm.positions) == (2, 6)


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_what_is_not_wanted_comes_when_it_is_asked_for(family: str) -> None:
    lm = lm_of(family)
    root = lm.start([3])
    made = lm.extend([(root, 4), (0, 5), (root, 6)], wanted=[2])
    assert [node._logprobs is None for node in made] == [True, True, False]
    check(lm, made)
    check(lm, lm.extend([(made[0], 5), (made[1], 6)], wanted=[1, 0]))


@pytest.mark.parametrize("family", ["gpt2", "gemma3", "mamba"])
def test_reduce_is_handed_every_row_in_order(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from bytetok.lm import network

    monkeypatch.setattr(network, "_BLOCK", 7 * 4 * VOCAB)  # rows come in blocks of seven
    lm = lm_of(family)
    root = lm.start([3])
    got: list[tuple[int, Any]] = []
    items: list[tuple[Context | int, int]] = [(root, 20), *((number, 21 + number) for number in range(24))]
    made = lm.extend(items, reduce=lambda number, row: got.append((number, row)))
    assert [number for number, _ in got] == list(range(25))
    assert all(node._logprobs is None for node in made)
    for number, row in got:
        assert row.dtype == np.float32
        np.testing.assert_allclose(row, whole(lm.model, made[number].ids), atol=1e-4)
    got.clear()
    lm.extend(items, wanted=[20, 3, 11], reduce=lambda number, row: got.append((number, row)))
    assert [number for number, _ in got] == [20, 3, 11]
    np.testing.assert_allclose(got[1][1], made[3].logprobs, atol=1e-4)


def test_an_error_of_reduce_ends_the_call_and_frees_its_slots() -> None:
    lm = lm_of("llama")
    root = lm.start([3])

    def stop(number: int, row: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lm.extend([(root, 4), (0, 5)], reduce=stop)
    gc.collect()
    assert pool_of(lm).in_use == 2
    check(lm, lm.extend([(root, 4), (0, 5)]))


def test_rows_are_float32_normalized_and_not_writable() -> None:
    lm = lm_of("llama")
    (node,) = lm.extend([(lm.start([3]), 4)])
    row = node.logprobs
    assert (row.dtype, row.shape) == (np.float32, (VOCAB,))
    assert abs(np.logaddexp.reduce(row.astype(np.float64))) < 1e-5
    with pytest.raises(ValueError, match="read-only"):
        row[0] = 0


def test_bfloat16_weights_give_float32_rows() -> None:
    torch.set_num_threads(1)
    lm = TokenLM.from_model(tiny("llama").to(torch.bfloat16), tokenizer(), stop_ids=[0], start_ids=[1])
    assert lm.path == "tree"
    made = lm.extend([(lm.start([3]), 4), (0, 5)])
    assert made[1].logprobs.dtype == np.float32
    np.testing.assert_allclose(made[1].logprobs, whole(lm.model, made[1].ids), atol=0.2)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_both_attention_implementations(attention: str) -> None:
    model = tiny("gemma3")
    model.set_attn_implementation(attention)
    lm = TokenLM.from_model(model, tokenizer(), stop_ids=[0], start_ids=[1])
    assert lm.path == "tree"
    check(lm, lm.extend([(lm.start(list(range(3, 20))), 4), (0, 5), (0, 6)]))


def test_what_a_family_does_to_its_logits_is_done() -> None:
    lm = lm_of("gemma3", final_logit_softcapping=1.0)
    check(lm, lm.extend([(lm.start([3]), 4), (0, 5)]))
    assert float(np.ptp(lm.start([3]).logprobs)) <= 2.0


@pytest.mark.parametrize("where", [0, VOCAB - 1])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bad_logits_name_the_context(value: float, where: int) -> None:
    lm = lm_of("llama", tie_word_embeddings=False)
    root = lm.start([3])
    (before,) = lm.extend([(root, 4)])
    with torch.no_grad():
        embedding = lm.model.get_input_embeddings().weight
        kept = embedding[9].clone()
        embedding[9] = float("nan") if value != value else torch.full_like(kept, 1.0)
        if value == value:
            lm.model.lm_head.weight[where] = float("inf")
    with pytest.raises(ModelOutputError, match=r"the context of 3 tokens ending in \[1, 3, .\] hold NaN or \+inf"):
        lm.extend([(root, 4), (root, 9)])
    if value != value:  # what the failed call left in its slots does not spoil others
        with torch.no_grad():
            embedding[9] = kept
        gc.collect()
        check(lm, lm.extend([(root, 5), (before, 6)]))


def test_a_context_longer_than_the_model_reads() -> None:
    lm = lm_of("gpt2", max_position_embeddings=32)
    node = lm.start([5] * 31)
    with pytest.raises(ContextLengthError, match="a context of 33 tokens, but the model reads at most 32"):
        lm.extend([(node, 5)])
    with pytest.raises(ContextLengthError, match=r"34 tokens.*32"):
        lm.start([5] * 33)
    assert pool_of(lm).in_use == 32


def test_nothing_to_start_with() -> None:
    lm = TokenLM.from_model(tiny("llama"), tokenizer(), stop_ids=[0], start_ids=[])
    with pytest.raises(NoStartTokenError, match="give start_ids"):
        lm.start()
    check(lm, [lm.start([4])])


def test_a_state_space_model_takes_the_plain_path() -> None:
    lm = lm_of("mamba")
    assert lm.path == "plain"
    rng = random.Random(1)
    alive = [lm.start([rng.randrange(VOCAB) for _ in range(length)]) for length in (0, 5)]
    made = grow(lm, rng, alive, 9)
    check(lm, alive + made)
    assert lm.calls == 3


def test_the_plain_path_evaluates_leaves_only_and_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from bytetok.lm import plain

    lm = lm_of("mamba")
    root = lm.start([3])
    lm.extend([(root, 4), (0, 5), (1, 6), (root, 7)])
    assert (lm.calls, lm.positions) == (2, 2 + 5 + 3)
    monkeypatch.setattr(plain, "_BATCH", 10)
    check(lm, lm.extend([(root, token) for token in range(20, 28)]))


def test_a_model_that_ignores_the_mask_takes_the_plain_path() -> None:
    model = tiny("llama", initializer_range=0.01)
    forward = model.model.forward

    def deaf(*args: Any, **options: Any) -> Any:
        options.pop("attention_mask", None)
        return forward(*args, **options)

    model.model.forward = deaf
    lm = TokenLM.from_model(model, tokenizer(), stop_ids=[0], start_ids=[1])
    assert lm.path == "plain"
    check(lm, lm.extend([(lm.start([3]), 4), (0, 5)]))


def test_a_model_that_cannot_be_taken_apart() -> None:
    model = tiny("llama")
    model._hf_hook = object()  # as accelerate leaves it
    lm = TokenLM.from_model(model, tokenizer(), stop_ids=[0], start_ids=[1])
    assert lm.path == "tree"
    check(lm, lm.extend([(lm.start([3]), 4), (0, 5)], wanted=[1]))


def test_the_model_is_left_as_it_was() -> None:
    model = tiny("gemma3")
    names = [name for name, _ in model.named_modules()]
    lm_of("gemma3")
    TokenLM.from_model(model, tokenizer(), stop_ids=[0], start_ids=[1])
    assert [name for name, _ in model.named_modules()] == names


def test_a_long_text_is_one_forward_with_few_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = lm_of("llama")
    rows: list[int] = []
    logits = lm._backend._network.logits  # type: ignore[attr-defined]
    monkeypatch.setattr(
        lm._backend._network,  # type: ignore[attr-defined]
        "logits",
        lambda hidden: (rows.append(len(hidden)), logits(hidden))[1],
    )
    node = lm.start(list(range(2, 202)))
    assert (lm.calls, lm.positions, rows) == (1, 201, [1])
    check(lm, [node])


def test_threads_share_a_model() -> None:
    from concurrent.futures import ThreadPoolExecutor

    lm = lm_of("llama")

    def work(seed: int) -> list[Context]:
        rng = random.Random(seed)
        alive = [lm.start([rng.randrange(VOCAB)])]
        for _ in range(5):
            alive += grow(lm, rng, alive, 3)
        return alive

    with ThreadPoolExecutor(3) as pool:
        for nodes in pool.map(work, range(3)):
            check(lm, nodes)
