"""How each library is called, for the processes that are measured. Nothing but the library asked for is imported.

Text is encoded as ordinary text: what looks like a special token is text too. Published tokenizer.json files are the
exception, where every library but ours matches added tokens always; there ours does as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

Call = Callable[[Any], Any]


@dataclass(frozen=True)
class Files:
    """One tokenizer in every form that some library reads; "" where there is none.

    ``encoding`` is OpenAI's name of it, ``ranks`` a ``.tiktoken`` file, ``json`` a tokenizer.json, ``model`` a
    SentencePiece model, ``ours`` what bytetok loads.
    """

    encoding: str = ""
    ranks: str = ""
    json: str = ""
    model: str = ""
    ours: str = ""


@dataclass(frozen=True)
class Calls:
    """What a library offers; None where it does not.

    ``list``, ``numpy`` and ``count`` take one text, ``batch_list`` and ``batch_numpy`` a list of texts; ``decode`` and
    ``decode_bytes`` take a list of ids. ``*_numpy`` give anything that numpy reads without a copy: an array, or a pair
    of all ids and their offsets.
    """

    list: Call | None = None
    numpy: Call | None = None
    count: Call | None = None
    batch_list: Call | None = None
    batch_numpy: Call | None = None
    decode: Call | None = None
    decode_bytes: Call | None = None


def _bytetok(files: Files, threads: int) -> Calls:
    from bytetok import Tokenizer

    tok = Tokenizer.load(files.ours)
    special = "text" if files.ranks or files.model else "allow"
    return Calls(
        list=partial(tok.encode, special=special),
        numpy=partial(tok.encode, special=special, out="numpy"),
        count=partial(tok.count, special=special),
        batch_list=partial(tok.encode_batch, special=special, threads=threads),
        batch_numpy=partial(tok.encode_batch, special=special, threads=threads, out="numpy"),
        decode=tok.decode,
        decode_bytes=tok.decode_bytes,
    )


def _gigatoken(files: Files, threads: int) -> Calls:
    import gigatoken

    if files.ranks:
        tok = gigatoken.Tokenizer.from_tiktoken(files.ranks, files.encoding.removesuffix("_base"), {})
    elif files.model:
        tok = gigatoken.Tokenizer.from_sentencepiece(files.model)
    else:
        tok = gigatoken.Tokenizer(files.json)
    like_tiktoken = tok.as_tiktoken()
    return Calls(
        # Where it has no drop-in call for lists, or a slow one, the arrays become lists.
        list=like_tiktoken.encode_ordinary if files.ranks else lambda text: tok.encode(text).tolist(),
        numpy=tok.encode,
        batch_list=partial(tok.encode_batch_list, parallel=threads > 1),
        batch_numpy=partial(tok.encode_batch, parallel=threads > 1),
        decode=like_tiktoken.decode,
        decode_bytes=tok.decode,
    )


def _fastokens(files: Files, threads: int) -> Calls:
    from fastokens import _native

    return _like_tokenizers(_native.Tokenizer.from_file(files.json), flat=True)


def _snaptokens(files: Files, threads: int) -> Calls:
    import snaptokens

    return _like_tokenizers(snaptokens.Tokenizer.from_file(files.json), flat=True)


def _tokenizers(files: Files, threads: int) -> Calls:
    from tokenizers import Tokenizer

    return _like_tokenizers(Tokenizer.from_file(files.json), flat=False)


def _like_tokenizers(tok: Any, *, flat: bool) -> Calls:
    batch = tok.encode_batch if flat else tok.encode_batch_fast

    def flat_numpy(texts: Sequence[str]) -> Any:
        ids, ends = tok.encode_batch_flat(texts, add_special_tokens=False)
        return _read(ids), ends

    return Calls(
        list=lambda text: tok.encode(text, add_special_tokens=False).ids,
        batch_list=lambda texts: [one.ids for one in batch(texts, add_special_tokens=False)],
        batch_numpy=flat_numpy if flat else None,
        decode=partial(tok.decode, skip_special_tokens=False),
    )


def _read(data: bytes) -> Any:
    import numpy

    return numpy.frombuffer(data, dtype=numpy.uint32)


def _tiktoken(files: Files, threads: int) -> Calls:
    import tiktoken
    from tiktoken.load import load_tiktoken_bpe
    from tiktoken_ext import openai_public

    # tiktoken's own definition, with the file that is here in place of a download.
    openai_public.load_tiktoken_bpe = lambda *_, **__: load_tiktoken_bpe(files.ranks)
    defined = getattr(openai_public, files.encoding)()
    tok = tiktoken.Encoding(
        files.encoding, pat_str=defined["pat_str"], mergeable_ranks=defined["mergeable_ranks"], special_tokens={}
    )
    return Calls(
        list=tok.encode_ordinary,
        numpy=partial(tok.encode_to_numpy, disallowed_special=()),
        batch_list=partial(tok.encode_ordinary_batch, num_threads=threads),
        decode=tok.decode,
        decode_bytes=tok.decode_bytes,
    )


def _quicktok(files: Files, threads: int) -> Calls:
    import quicktok

    tok = quicktok.get_encoding(files.encoding)

    def numpy_and_lists(texts: Sequence[str]) -> Any:
        ids, ends = tok.encode_batch(texts, threads=threads)
        return [ids[start:end].tolist() for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]

    return Calls(
        list=tok.encode_ordinary,
        batch_list=numpy_and_lists,
        batch_numpy=partial(tok.encode_batch, threads=threads),
        count=tok.count,
        decode=tok.decode,
        decode_bytes=tok.decode_bytes,
    )


def _splintr(files: Files, threads: int) -> Calls:
    import splintr

    if files.ranks:
        pattern = splintr.CL100K_BASE_PATTERN if files.encoding == "cl100k_base" else splintr.O200K_BASE_PATTERN
        tok = splintr.Tokenizer(files.ranks, pattern)
        encode = tok.encode_ordinary
    else:
        tok = splintr.from_json(files.json)
        encode = tok.encode_raw

    def flat_numpy(texts: Sequence[str]) -> Any:
        ids, ends = tok.encode_batch_flat(texts)
        return _read(ids), ends

    return Calls(
        list=encode,
        numpy=lambda text: _read(tok.encode_flat(text)),
        batch_list=tok.encode_batch,
        batch_numpy=flat_numpy,
        decode=tok.decode,
        decode_bytes=tok.decode_bytes if files.ranks else None,
    )


def _rs_bpe(files: Files, threads: int) -> Calls:
    from rs_bpe import openai

    tok = openai.cl100k_base() if files.encoding == "cl100k_base" else openai.o200k_base()
    return Calls(
        list=tok.encode,
        count=tok.count,
        batch_list=lambda texts: tok.encode_batch(texts)[0],
        decode=tok.decode,
    )


def _tuetoken(files: Files, threads: int) -> Calls:
    import tuetoken

    tok = tuetoken.Tokenizer(files.json)
    return Calls(
        list=tok.encode_ordinary,
        numpy=lambda text: _read(tok.encode_to_bytes(text)),
        count=tok.count_tokens,
        batch_list=partial(tok.encode_ordinary_batch, num_threads=threads),
        batch_numpy=lambda texts: tuple(tok.encode_ordinary_to_buffer(texts, num_threads=threads).values()),
        decode=tok.decode,
    )


def _toktok(files: Files, threads: int) -> Calls:
    import toktok

    toktok.batch_count([""], files.encoding, threads=1)
    return Calls(count=lambda text: toktok.batch_count([text], files.encoding, threads=1)[0])


def _iree(files: Files, threads: int) -> Calls:
    from iree.tokenizer import Tokenizer

    if files.ranks:
        tok = Tokenizer.from_tiktoken(files.ranks, files.encoding)
    else:
        tok = Tokenizer.from_file(files.json)
    return Calls(
        list=tok.encode,
        numpy=tok.encode_to_array,
        batch_list=tok.encode_batch,
        batch_numpy=tok.encode_batch_to_array,
        decode=tok.decode,
    )


def _kitoken(files: Files, threads: int) -> Calls:
    from kitoken import Kitoken

    if files.ranks:
        tok = Kitoken.from_tiktoken_file(files.ranks)
    elif files.model:
        tok = Kitoken.from_sentencepiece_file(files.model)
    else:
        tok = Kitoken.from_tokenizers_file(files.json)
    return Calls(list=tok.encode, batch_list=tok.encode_all, decode_bytes=tok.decode)


def _sentencepiece(files: Files, threads: int) -> Calls:
    from sentencepiece import SentencePieceProcessor

    tok = SentencePieceProcessor(model_file=files.model)
    return Calls(
        list=tok.encode,
        numpy=None,
        batch_list=partial(tok.encode, num_threads=threads),
        decode=tok.decode,
    )


LIBRARIES: dict[str, tuple[str, Callable[[Files, int], Calls]]] = {
    "bytetok": ("bytetok-lm", _bytetok),
    "gigatoken": ("gigatoken", _gigatoken),
    "fastokens": ("fastokens", _fastokens),
    "snaptokens": ("snaptokens", _snaptokens),
    "quicktok": ("quicktok-v1", _quicktok),
    "splintr": ("splintr-rs", _splintr),
    "tuetoken": ("tuetoken", _tuetoken),
    "toktok": ("toktok-rs", _toktok),
    "iree": ("iree-tokenizer", _iree),
    "rs-bpe": ("rs-bpe", _rs_bpe),
    "tiktoken": ("tiktoken", _tiktoken),
    "kitoken": ("kitoken", _kitoken),
    "tokenizers": ("tokenizers", _tokenizers),
    "sentencepiece": ("sentencepiece", _sentencepiece),
}
"""By the name used in tables: the name of the distribution, and what opens it (imports included)."""


def open_library(name: str, files: Files, *, threads: int = 1) -> Calls:
    """Import a library and load the tokenizer, as its documentation says; whatever it raises is for the caller."""
    return LIBRARIES[name][1](files, threads)
