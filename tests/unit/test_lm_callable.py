"""TokenLM over a function: what it is called with, what it may return, and what contexts remember."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from small import trained

from bytetok.errors import ContextError, ModelOutputError, TokenizerMismatchError, UnknownTokenError
from bytetok.lm import TokenLM

SIZE = 300


class Counted:
    """Rows that depend on the whole sequence, in the dtype that is asked for; remembers what it was asked."""

    def __init__(self, dtype: Any = np.float64) -> None:
        self.dtype = dtype
        self.asked: list[list[list[int]]] = []

    def __call__(self, sequences: list[list[int]]) -> np.ndarray[Any, Any]:
        self.asked.append([list(ids) for ids in sequences])
        return np.stack([row_of(ids).astype(self.dtype) for ids in sequences])


def row_of(ids: list[int]) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng([len(ids), *ids])
    logits = rng.normal(size=SIZE)
    return logits - np.logaddexp.reduce(logits)


def lm_of(fn: Any = None, **options: Any) -> TokenLM:
    return TokenLM(fn or Counted(), trained(vocab_size=SIZE), stop_ids=[0], vocab_size=SIZE, **options)


def test_a_tree_is_one_call_and_equals_the_whole_sequences_exactly() -> None:
    fn = Counted()
    lm = lm_of(fn, start_ids=[1])
    root = lm.start([5, 6])
    made = lm.extend([(root, 7), (0, 8), (root, 9), (1, 10)])
    assert fn.asked == [[[1, 5, 6]], [[1, 5, 6, 7], [1, 5, 6, 7, 8], [1, 5, 6, 9], [1, 5, 6, 7, 8, 10]]]
    assert [node.ids for node in made] == fn.asked[1]
    for node in (root, *made):
        np.testing.assert_array_equal(node.logprobs, row_of(node.ids))
    assert (lm.calls, lm.positions) == (2, 3 + 4 + 5 + 4 + 6)
    assert [node.depth for node in made] == [4, 5, 4, 6]
    assert made[1].parent is made[0]
    assert (made[1].token, root.token, root.parent) == (8, 6, None)
    assert lm.path == "callable"
    assert lm.model is None


@pytest.mark.parametrize(
    ("given", "kept"), [(np.float64, np.float64), (np.float32, np.float32), (np.float16, np.float32)]
)
def test_the_dtype_is_kept(given: Any, kept: Any) -> None:
    assert lm_of(Counted(given)).start().logprobs.dtype == kept


def test_an_empty_start_is_the_empty_list() -> None:
    fn = Counted()
    root = lm_of(fn).start()
    assert fn.asked == [[[]]]
    assert (root.depth, root.token, root.ids) == (0, None, [])


def test_rows_are_copies_that_cannot_be_written() -> None:
    shared = np.full((1, SIZE), -np.log(SIZE))
    lm = lm_of(lambda sequences: shared)
    root = lm.start()
    shared[:] = 7
    np.testing.assert_allclose(root.logprobs, -np.log(SIZE))
    with pytest.raises(ValueError, match="read-only"):
        root.logprobs[0] = 1


def test_lists_are_arrays_too() -> None:
    lm = lm_of(lambda sequences: [[-float(np.log(SIZE))] * SIZE for _ in sequences])
    assert lm.start().logprobs.dtype == np.float64


def test_what_is_not_wanted_is_asked_later() -> None:
    fn = Counted()
    lm = lm_of(fn)
    root = lm.start([3])
    made = lm.extend([(root, 4), (0, 5), (1, 6)], wanted=[2])
    assert fn.asked[1:] == [[[3, 4, 5, 6]]]
    np.testing.assert_array_equal(made[0].logprobs, row_of([3, 4]))
    assert fn.asked[2:] == [[[3, 4]]]
    made[0].logprobs  # noqa: B018 - is kept
    assert len(fn.asked) == 3


def test_reduce_is_handed_the_wanted_rows_in_their_order() -> None:
    lm = lm_of()
    root = lm.start([3])
    got: list[tuple[int, Any]] = []
    lm.extend([(root, 4), (0, 5), (1, 6)], wanted=[2, 0], reduce=lambda number, row: got.append((number, row)))
    assert [number for number, _ in got] == [2, 0]
    np.testing.assert_array_equal(got[0][1], row_of([3, 4, 5, 6]))


def test_nothing_to_extend_is_no_call() -> None:
    lm = lm_of()
    assert lm.extend([]) == []
    assert lm.calls == 0


def test_the_size_is_asked_for_if_it_is_not_given() -> None:
    fn = Counted()
    lm = TokenLM(fn, trained(vocab_size=SIZE), stop_ids=[0])
    assert (lm.vocab_size, fn.asked, lm.calls) == (SIZE, [[[]]], 0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda n: np.zeros((n, SIZE)), r"after the empty context are not normalized.*5\.704, expected 0"),
        (lambda n: np.full((n, SIZE), np.nan), "not normalized.*nan"),
        (lambda n: np.full((n, SIZE), -np.inf), "not normalized.*nan"),
        (lambda n: np.full((n, SIZE), 1 / SIZE), "are they logits, or probabilities"),
        (lambda n: np.zeros((n, SIZE + 1)), r"shape \(1, 301\) for 1 sequences; expected \(1, 300\)"),
        (lambda n: np.zeros((n + 1, SIZE)), r"shape \(2, 300\)"),
        (lambda n: np.zeros(SIZE), r"shape \(300,\)"),
    ],
)
def test_what_is_not_log_probabilities_is_an_error(answer: Any, message: str) -> None:
    with pytest.raises(ModelOutputError, match=message):
        lm_of(lambda sequences: answer(len(sequences))).start()


def test_the_error_names_the_context() -> None:
    def fn(sequences: list[list[int]]) -> np.ndarray[Any, Any]:
        return np.stack([row_of(ids) + (ids[-1:] == [9]) for ids in sequences])

    lm = lm_of(fn)
    root = lm.start([2])
    with pytest.raises(ModelOutputError, match=r"the context of 2 tokens ending in \[2, 9\]"):
        lm.extend([(root, 8), (root, 9)])


def test_probability_zero_is_fine() -> None:
    row = np.full((1, SIZE), -np.inf)
    row[0, 4] = 0.0
    assert lm_of(lambda sequences: row).start().logprobs[4] == 0


def test_bad_parents_and_tokens() -> None:
    lm, other = lm_of(), lm_of()
    root = lm.start([1])
    with pytest.raises(ContextError, match="item 1 names item 1 as its parent, which is not before it"):
        lm.extend([(root, 1), (1, 2)])
    with pytest.raises(ContextError, match="not before it"):
        lm.extend([(-1, 2)])
    with pytest.raises(ContextError, match="a context of another model"):
        other.extend([(root, 1)])
    with pytest.raises(ContextError, match="wanted holds 1, but there are 1 items"):
        lm.extend([(root, 1)], wanted=[1])
    with pytest.raises(UnknownTokenError, match="token id 300: the model has rows 0 to 299"):
        lm.extend([(root, 300)])
    with pytest.raises(UnknownTokenError, match="token id -1"):
        lm.start([-1])
    with pytest.raises(TypeError):
        lm.extend([(root, 1.5)])  # type: ignore[list-item]


def test_a_tokenizer_with_more_ids_than_rows() -> None:
    with pytest.raises(TokenizerMismatchError, match=r"has 420 ids, but the model has 300 rows; token 300, b"):
        TokenLM(Counted(), trained(vocab_size=420), stop_ids=[0], vocab_size=SIZE)
    with pytest.raises(TokenizerMismatchError, match="stop_ids holds 300, but the model has 300 rows"):
        TokenLM(Counted(), trained(vocab_size=SIZE), stop_ids=[300], vocab_size=SIZE)


def test_special_tokens_beyond_the_rows_are_allowed() -> None:
    from small import extended

    tokenizer = extended(trained(vocab_size=SIZE), added={"<image>": {"special": True}})
    assert tokenizer.vocab_size == SIZE + 1
    assert TokenLM(Counted(), tokenizer, stop_ids=[0], vocab_size=SIZE).vocab_size == SIZE


def test_a_long_chain_of_contexts_dies_without_recursion() -> None:
    lm = lm_of(lambda sequences: np.full((len(sequences), SIZE), -np.log(SIZE)), start_ids=[1])
    node = lm.start()
    first = weakref.ref(node)
    for _ in range(3):
        node = lm.extend([(node, 1), *((number, 1) for number in range(9_999))], wanted=[])[-1]
    assert node.depth == 30_001
    del node
    gc.collect()
    assert first() is None
