"""Infilling with a model's own tokens: which format a tokenizer has, and the prompt in it.

A model trained to infill reads prefix and suffix between three control tokens, and writes the middle (Bavarian et al.,
2207.14255). The order is prefix, suffix, middle ("psm"), or suffix, prefix, middle ("spm"), where the model goes on
with the prefix itself. With tokens, "spm" fails where the prefix ends inside a token; with a byte model it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from bytetok.errors import SamplingError
from bytetok.sampling.protocol import ByteModel, as_bytes
from bytetok.tokenizer.foreign import ForeignTokenizer
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.tokenizer.vocab import Vocab

Order = Literal["psm", "spm"]


@dataclass(frozen=True)
class _Family:
    name: str
    prefix: str
    suffix: str
    middle: str
    ends: tuple[str, ...]
    """What the model may write after the middle; those that a tokenizer lacks do not matter."""
    orders: tuple[Order, ...]
    """The orders it was trained with, according to its publication; the first is what to use."""
    own: str | None = None
    """A token that tells it from a family with the same names."""


_FAMILIES = (
    _Family(
        # StarCoder 2305.06161 and StarCoder 2 2402.19173, whose suffix-first form is the one below; Granite's report
        # 2405.04324 says both orders, too. StableCode has the same names.
        "starcoder",
        "<fim_prefix>",
        "<fim_suffix>",
        "<fim_middle>",
        ("<|endoftext|>", "<fim_pad>", "<file_sep>"),
        ("psm", "spm"),
    ),
    _Family(
        # 2301.03988; the model card has hyphens where StarCoder's has underscores
        "santacoder",
        "<fim-prefix>",
        "<fim-suffix>",
        "<fim-middle>",
        ("<|endoftext|>", "<fim-pad>"),
        ("psm", "spm"),
    ),
    _Family(
        # 2401.14196, section 3.1 on fill-in-the-middle: half of the files, in this order
        "deepseek",
        "<｜fim▁begin｜>",
        "<｜fim▁hole｜>",
        "<｜fim▁end｜>",
        ("<｜end▁of▁sentence｜>", "<|EOT|>"),
        ("psm",),
    ),
    _Family(
        # 2406.11409, "Preprocessing for Fill-in-the-Middle": both orders; the model card says half and half
        "codegemma",
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        ("<|file_separator|>", "<eos>"),
        ("psm", "spm"),
        own="<|file_separator|>",
    ),
    _Family(
        # 2409.12186, figure 3 in section 3.2.1: only this order
        "qwen",
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        ("<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|im_end|>"),
        ("psm",),
    ),
    _Family(
        # 2308.12950, section "Infilling": half of the splits in each order, and no space put before middle and suffix
        "codellama",
        "▁<PRE>",
        "▁<SUF>",
        "▁<MID>",
        ("▁<EOT>", "</s>"),
        ("psm", "spm"),
    ),
)


@dataclass(frozen=True)
class InfillingFormat:
    """The control tokens of a tokenizer for infilling."""

    family: str
    prefix_id: int
    suffix_id: int
    middle_id: int
    stop_ids: tuple[int, ...]
    """What ends a middle, beside the model's own end of text."""
    orders: tuple[Order, ...]
    """The orders that the model was trained with; another one can be asked for, and works as well as it may."""

    def prompt_ids(
        self,
        tokenizer: Tokenizer | ForeignTokenizer,
        prefix: str | bytes,
        suffix: str | bytes,
        order: Order | None = None,
    ) -> tuple[list[int], bytes]:
        """The ids to put before the output, and the bytes that the output then goes on with.

        "psm": prefix and suffix are both among the ids, and the output begins with the middle. "spm": the prefix is
        what the output goes on with, byte by byte, so it may end inside a token. The texts of control tokens in prefix
        and suffix are text.
        """
        order = self.orders[0] if order is None else order
        head, tail = as_bytes(prefix), as_bytes(suffix)
        if order == "psm":
            before = [self.prefix_id, *_encode(tokenizer, head, is_rest=False), self.suffix_id]
            return [*before, *_encode(tokenizer, tail, is_rest=True), self.middle_id], b""
        if order != "spm":
            raise SamplingError(f'order={order!r} is not one of "psm", "spm"')
        # The "compatible" form of 2207.14255, appendix D, which StarCoder and Code Llama were trained with: the prefix
        # token stays in front, and the middle token separates.
        return [self.prefix_id, self.suffix_id, *_encode(tokenizer, tail, is_rest=True), self.middle_id], head


@runtime_checkable
class Promptable(Protocol):
    """A byte model of a token model, which can be given token ids to stand before its text."""

    @property
    def tokenizer(self) -> Tokenizer | ForeignTokenizer:
        """The tokenizer of the model."""

    def with_prompt(
        self, prompt_ids: Sequence[int], *, stop_ids: Sequence[int] = (), is_rest: bool = False
    ) -> ByteModel:
        """The same model behind token ids.

        ``stop_ids`` end a text, too. With ``is_rest``, the text goes on where the ids ended, so that a SentencePiece
        vocabulary puts no space before it.
        """


def infilling_format(tokenizer: Tokenizer | ForeignTokenizer) -> InfillingFormat | None:
    """The infilling format of a tokenizer, told by its control tokens; None if it has none that is known.

    Some models have such tokens and were not trained to use them, as Qwen chat models.
    """
    for family in _FAMILIES:
        prefix, suffix, middle = (_id_of(tokenizer, text) for text in (family.prefix, family.suffix, family.middle))
        if prefix is None or suffix is None or middle is None:
            continue
        if family.own is not None and _id_of(tokenizer, family.own) is None:
            continue
        ends = [_id_of(tokenizer, text) for text in family.ends]
        stop_ids = tuple(end for end in ends if end is not None)
        return InfillingFormat(family.name, prefix, suffix, middle, stop_ids, family.orders)
    return None


def infilling_model(
    model: Promptable, prefix: str | bytes, suffix: str | bytes, order: Order | None = None
) -> tuple[ByteModel, bytes]:
    """A model whose text is the middle, and what its text begins with before that (nothing, or the prefix in "spm").

    Models of several vocabularies can be made into an ensemble that infills, if all have the same order. Raises
    SamplingError if the tokenizer has no infilling format that is known.
    """
    infilling = infilling_format(model.tokenizer)
    if infilling is None:
        raise SamplingError(
            f"{model.tokenizer.name} has no control tokens for infilling that are known (StarCoder, SantaCoder, "
            'DeepSeek, Qwen, CodeGemma, CodeLlama); use method="search", or prompt the model yourself'
        )
    order = infilling.orders[0] if order is None else order
    ids, begun = infilling.prompt_ids(model.tokenizer, prefix, suffix, order)
    return model.with_prompt(ids, stop_ids=infilling.stop_ids, is_rest=order == "psm"), begun


def _id_of(tokenizer: Tokenizer | ForeignTokenizer, text: str) -> int | None:
    vocab = tokenizer.vocab
    if text in vocab.added_tokens:
        return vocab.added_tokens[text].id
    # In CodeLlama's SentencePiece file the control tokens are ordinary pieces.
    if text.startswith("▁") and isinstance(vocab, Vocab):
        return vocab.get(text.replace("▁", " ").encode())
    return None


def _encode(tokenizer: Tokenizer | ForeignTokenizer, data: bytes, *, is_rest: bool) -> list[int]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return tokenizer.encode(data, special="text")
    if not is_rest:
        return tokenizer.encode(text, special="text")
    # A suffix is the rest of a text: no space is put before it.
    return tokenizer.encode_beginning(text, is_rest=True, special="text")[0]
