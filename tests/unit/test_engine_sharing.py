"""One tokenizer in many threads, in forked processes, pickled and copied: the same ids, no deadlock, no crash."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import pickle
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cases import HANDWRITTEN
from children import in_child
from small import CORPUS, extended, trained

import bytetok as bt
from bytetok.errors import BytetokError, FormatError

# A child of a process with threads may only do what locks that nobody holds allow; that is what is tried here.
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
THREADS = 8


def texts_of(seed: int, count: int = 60) -> list[str]:
    """Texts whose pretokens are mostly new, so that whatever is kept between calls is written all the time."""
    rng = random.Random(seed)
    words = " ".join(CORPUS).split(" ")
    made = [" ".join(rng.choices(words, k=30)) + "".join(rng.choices("abcdeé漢 \n", k=200)) for _ in range(count)]
    return [*made, *(case for kind in ("white", "scripts", "nothing") for case in HANDWRITTEN[kind])]


def fresh(pattern: str = "o200k") -> bt.Tokenizer:
    """A tokenizer whose engine is not made yet."""
    return bt.Tokenizer(trained(pattern).vocab, trained(pattern).pattern)


def everything(tokenizer: Any, texts: list[str]) -> list[Any]:
    """What every method says of the texts."""
    ids = [tokenizer.encode(text, special="text") for text in texts]
    return [
        ids,
        tokenizer.encode_batch(texts, threads=2, special="text"),
        [tokenizer.encode(text, special="text", out="numpy").tolist() for text in texts],
        [tokenizer.count(text, special="text") for text in texts],
        [tokenizer.decode_bytes(part) for part in ids],
        [tokenizer.decode(part) for part in ids],
        [tokenizer.spans(part) for part in ids],
    ]


# threads --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["o200k", "gpt2", "deepseek-v3", "none"])
def test_threads_that_start_together_share_one_tokenizer(pattern: str) -> None:
    tokenizer = fresh(pattern)
    together = threading.Barrier(THREADS)

    def work(seed: int) -> list[Any]:
        together.wait(30)  # all of them want the engine first
        return everything(tokenizer, texts_of(seed))

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(work, range(THREADS)))
    for seed, answer in enumerate(found):
        assert answer == everything(fresh(pattern), texts_of(seed))


def test_errors_in_one_thread_do_not_disturb_the_others() -> None:
    tokenizer = fresh()
    texts = texts_of(1)
    expected = [tokenizer.encode(text, special="text") for text in texts]

    def work(number: int) -> bool:
        if number % 2:
            for _ in range(50):
                with pytest.raises(BytetokError):
                    tokenizer.encode("x \ud800")
                with pytest.raises(BytetokError):
                    tokenizer.encode_batch(["fine", "<|endoftext|>"], threads=2)
            return True
        return all(tokenizer.encode_batch(texts, threads=2, special="text") == expected for _ in range(3))

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(THREADS)))


def test_a_batch_that_fails_leaves_the_tokenizer_whole() -> None:
    small = bt.Tokenizer(bt.Vocab((b"a", b"b", b"ab"), ((0, 1),)), bt.SplitPattern.of("none"))
    for _ in range(20):
        with pytest.raises(FormatError, match=r"byte 0x63 at offset 1"):
            small.encode_batch(["ab"] * 50 + ["acb"] + ["ab"] * 50, threads=4)
        assert small.encode_batch(["ab", "ba"], threads=4) == [[2], [1, 0]]


# fork -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("used", [False, True])
def test_a_forked_process_encodes_as_its_parent(used: bool) -> None:
    tokenizer = fresh()
    texts = texts_of(2, 20)
    if used:
        tokenizer.encode_batch(texts, threads=4, special="text")
    assert in_child(lambda: everything(tokenizer, texts)) == everything(fresh(), texts)
    assert everything(tokenizer, texts) == everything(fresh(), texts)


def test_forking_while_other_threads_encode() -> None:
    tokenizer = fresh()
    texts = texts_of(3, 20)
    expected = [tokenizer.encode(text, special="text") for text in texts]
    stop = threading.Event()

    def busy(seed: int) -> None:
        mine = texts_of(seed)
        while not stop.is_set():
            tokenizer.encode_batch(mine, threads=2, special="text")
            tokenizer.encode("".join(mine), special="text")

    workers = [threading.Thread(target=busy, args=(seed,)) for seed in range(3)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(12):
            assert in_child(lambda: [tokenizer.encode(text, special="text") for text in texts]) == expected
            assert in_child(lambda: tokenizer.encode_batch(texts, threads=2, special="text")) == expected
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def test_a_pool_of_processes_takes_the_tokenizer_along() -> None:
    tokenizer = fresh()
    texts = texts_of(4, 20)
    tokenizer.encode("warm", special="text")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(tokenizer.encode, ["the court", "a b", ""])
        batches = pool.starmap(_batch, [(tokenizer, texts), (tokenizer, texts[::-1])])
    assert found == [fresh().encode(text) for text in ("the court", "a b", "")]
    assert batches[0] == batches[1][::-1] == [fresh().encode(text, special="text") for text in texts]


def _batch(tokenizer: bt.Tokenizer, texts: list[str]) -> list[list[int]]:
    return tokenizer.encode_batch(texts, threads=2, special="text")


# copies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("used", [False, True])
def test_pickles_and_copies(protocol: int, used: bool) -> None:
    tokenizer = extended(fresh(), whole=[b"qua"], added={"(a)": {"single_word": True}, "<x>": {"lstrip": True}})
    texts = [*texts_of(5, 10), "qua (a) quaqua  <x> y"]
    if used:
        everything(tokenizer, texts)
    for other in (pickle.loads(pickle.dumps(tokenizer, protocol)), copy.copy(tokenizer), copy.deepcopy(tokenizer)):
        assert everything(other, texts) == everything(tokenizer, texts)
        assert (other.vocab, other.pattern, other.name) == (tokenizer.vocab, tokenizer.pattern, tokenizer.name)


def test_pickles_of_errors_say_the_same() -> None:
    with pytest.raises(BytetokError) as caught:
        fresh().encode("a <|endoftext|>")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_ids_belong_to_the_caller() -> None:
    """What a call gave may be changed, and changes nothing that is kept."""
    tokenizer = fresh()
    ids = tokenizer.encode("the court of the court")
    expected = list(ids)
    ids[:] = [0] * len(ids)
    batch = tokenizer.encode_batch(["the court"] * 2)
    batch[0].clear()
    assert tokenizer.encode("the court of the court") == expected
    assert tokenizer.encode_batch(["the court"] * 2)[0] == batch[1] == tokenizer.encode("the court")
    array = tokenizer.encode("the court", out="numpy")
    if array.flags.writeable:
        array[:] = 0
    assert tokenizer.encode("the court", out="numpy").tolist() == batch[1]


# the garbage collector runs Python code wherever something is made ----------------------------------------------------


def collected_while_encoding(again: Callable[[bt.Tokenizer], object]) -> list[list[int]]:
    tokenizer = fresh()
    texts = texts_of(6, 5)
    busy = False

    def callback(phase: str, info: object) -> None:
        nonlocal busy
        if not busy:
            busy = True
            again(tokenizer)
            busy = False

    thresholds = gc.get_threshold()
    gc.callbacks.append(callback)
    gc.set_threshold(1)
    try:
        found = [tokenizer.encode(text, special="text") for text in texts]
        return found + tokenizer.encode_batch(texts, threads=2, special="text")
    finally:
        gc.callbacks.remove(callback)
        gc.set_threshold(*thresholds)


@pytest.mark.parametrize("again", ["the same thread", "another thread"])
def test_a_collection_in_the_middle_may_encode_too(again: str) -> None:
    def encode(tokenizer: bt.Tokenizer) -> object:
        return tokenizer.encode("the court of the plaintiff"), tokenizer.encode_batch(["the court"])

    def in_thread(tokenizer: bt.Tokenizer) -> None:
        other = threading.Thread(target=encode, args=(tokenizer,))
        other.start()
        other.join()

    job = encode if again == "the same thread" else in_thread
    expected = [fresh().encode(text, special="text") for text in texts_of(6, 5)]
    assert in_child(lambda: collected_while_encoding(job), 10) == expected * 2
