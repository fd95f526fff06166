"""Every vocabulary on this machine against its reference: tiktoken, ``tokenizers`` or sentencepiece.

Slices of the corpora, adversarial text and handwritten cases by default; whole corpora with ``BYTETOK_LONG=1`` (hours
with ``tokenizers``, which encodes 2 MB a second). benchmarks/parity_matrix.py writes the same comparison as a table.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from cases import ADVERSARIAL, CORPORA, HANDWRITTEN, corpus, slices, special_cases
from peers import Peer, peer_of, vocabularies

import bytetok as bt
from bytetok.errors import FormatError, MissingDependencyError, SpecialTokenError

LONG = os.environ.get("BYTETOK_LONG", "0") != "0"


@pytest.fixture(scope="module", params=vocabularies().items(), ids=lambda item: item[0])
def loaded(request: pytest.FixtureRequest) -> tuple[Any, Peer]:
    """One vocabulary in our hands and in its reference's; made once, and gone before the next."""
    name, place = request.param
    peer = peer_of(name)
    try:
        tokenizer = bt.Tokenizer.load(place)
    except MissingDependencyError as err:
        pytest.skip(str(err))
    except FormatError as err:
        if "cannot be loaded yet" in str(err):
            pytest.skip(f"{name}: {err}")
        raise
    return tokenizer, peer


@pytest.fixture(scope="module")
def tokenizer(loaded: tuple[Any, Peer]) -> Any:
    return loaded[0]


@pytest.fixture(scope="module")
def peer(loaded: tuple[Any, Peer]) -> Peer:
    return loaded[1]


def first_difference(tokenizer: Any, ours: list[int], theirs: list[int]) -> str:
    """Where two encodings part, for people."""
    at = next((at for at, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(ours), len(theirs)) if at is None else at
    before = tokenizer.decode_bytes(ours[max(0, at - 3) : at])
    windows = [(ids[at : at + 8], tokenizer.decode_bytes(ids[at : at + 8])) for ids in (ours, theirs)]
    return f"after {at} ids and {before!r}: ours {windows[0]}, theirs {windows[1]}"


def assert_alike(tokenizer: Any, peer: Peer, texts: list[str]) -> list[list[int]]:
    """Each text alone, special tokens as text; returns the ids."""
    found = []
    for text in texts:
        ours, theirs = tokenizer.encode(text, special="text"), peer.text(text)
        assert ours == theirs, f"{peer.package}, text {text[:60]!r}: {first_difference(tokenizer, ours, theirs)}"
        found.append(ours)
    return found


def assert_comes_back(tokenizer: Any, peer: Peer, text: str, ids: list[int]) -> None:
    """Our decoding is the reference's, but for the space that SentencePiece puts before the text and takes away."""
    ours = tokenizer.decode_bytes(ids)
    theirs = peer.decode(ids)
    if isinstance(theirs, bytes):
        assert ours == theirs == text.encode()
    else:
        assert tokenizer.decode(ids).removeprefix(" ") == theirs.removeprefix(" ")
        if isinstance(tokenizer, bt.Tokenizer):
            assert ours.decode(errors="replace").removeprefix(" ") == theirs.removeprefix(" ")


# ids ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HANDWRITTEN)
def test_handwritten_cases(kind: str, tokenizer: Any, peer: Peer) -> None:
    texts = list(HANDWRITTEN[kind])
    for text, ids in zip(texts, assert_alike(tokenizer, peer, texts), strict=True):
        assert_comes_back(tokenizer, peer, text, ids)


def test_all_handwritten_cases_in_one_text(tokenizer: Any, peer: Peer) -> None:
    shorter = [case[:400] for cases in HANDWRITTEN.values() for case in cases]
    for glue in ("", " ", "\n", "x"):
        text = glue.join(shorter)
        (ids,) = assert_alike(tokenizer, peer, [text])
        assert_comes_back(tokenizer, peer, text, ids)


@pytest.mark.parametrize("name", CORPORA)
def test_corpora(name: str, tokenizer: Any, peer: Peer) -> None:
    text = corpus(name)
    if not text:
        pytest.skip(f"no corpus {name!r}; python benchmarks/corpora.py mixed")
    texts = slices(text, count=8, size=2_500)
    for piece, ids in zip(texts, assert_alike(tokenizer, peer, texts), strict=True):
        assert_comes_back(tokenizer, peer, piece, ids)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_text(name: str, tokenizer: Any, peer: Peer) -> None:
    text = corpus(name)
    if not text:
        pytest.skip(f"no corpus {name!r}; python benchmarks/corpora.py mixed")
    assert_alike(tokenizer, peer, slices(text, count=2, size=3_000))


@pytest.mark.skipif(not LONG, reason="BYTETOK_LONG=1 compares whole corpora")
@pytest.mark.timeout(7200)
def test_whole_corpora(tokenizer: Any, peer: Peer) -> None:
    for name in (*CORPORA, *ADVERSARIAL):
        text = corpus(name, 10)
        assert_alike(tokenizer, peer, [text[start : start + 50_000] for start in range(0, len(text), 50_000)])


# special tokens -------------------------------------------------------------------------------------------------------


def test_special_tokens_in_three_modes(tokenizer: Any, peer: Peer) -> None:
    texts = list(tokenizer.vocab.special_tokens)
    for case in special_cases(texts):
        assert_alike(tokenizer, peer, [case])
        if peer.allowed is None:
            continue
        ours, theirs = tokenizer.encode(case, special="allow"), peer.allowed(case)
        assert ours == theirs, f"{case!r}: {first_difference(tokenizer, ours, theirs)}"
        if set(ours) & set(tokenizer.vocab.special_tokens.values()):
            with pytest.raises(SpecialTokenError):
                tokenizer.encode(case)


def test_added_tokens_that_are_no_control_tokens(tokenizer: Any, peer: Peer) -> None:
    if peer.allowed is None:
        pytest.skip("no added tokens beside special ones")
    plain = [text for text, token in tokenizer.vocab.added_tokens.items() if not token.special]
    assert_alike(tokenizer, peer, special_cases(plain))


# the same ids by other ways -------------------------------------------------------------------------------------------


def test_batches_arrays_and_counts_say_the_same(tokenizer: Any) -> None:
    texts = [case[:700] for cases in HANDWRITTEN.values() for case in cases]
    texts += [piece for name in CORPORA for piece in slices(corpus(name), count=3, size=1_000)]
    one_by_one = [tokenizer.encode(text, special="text") for text in texts]
    for threads in (1, 2):
        assert tokenizer.encode_batch(texts, threads=threads, special="text") == one_by_one
    assert [tokenizer.count(text, special="text") for text in texts] == [len(ids) for ids in one_by_one]
    if isinstance(tokenizer, bt.Tokenizer):
        for text, ids in zip(texts, one_by_one, strict=True):
            array = tokenizer.encode(text, special="text", out="numpy")
            assert (array.dtype, array.tolist()) == (np.uint32, ids)
            assert tokenizer.encode(text.encode(), special="text") == ids


def test_spans_cover_what_is_decoded(tokenizer: Any) -> None:
    for text in ("naïve café 漢字 \t\r\n", *slices(corpus("multilingual"), count=2, size=500)):
        ids = tokenizer.encode(text, special="text")
        whole = tokenizer.decode_bytes(ids)
        spans = tokenizer.spans(ids)
        tokens = [tokenizer.token_bytes(token_id) for token_id in ids]
        # The space that a SentencePiece file puts before the text is part of no text.
        tokens[0] = tokens[0].removeprefix(b"".join(tokens).removesuffix(whole))
        assert [whole[start:end] for start, end in spans] == tokens
        assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
