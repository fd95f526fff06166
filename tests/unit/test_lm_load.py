"""TokenLM from files: tokens to start and stop with, tokenizers that do not fit, files that are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", exc_type=ImportError)

import numpy as np
import torch
from small import trained
from tiny_models import VOCAB, tiny, tokenizer, whole

from bytetok.errors import CorpusError, FormatError, TokenizerMismatchError
from bytetok.lm import TokenLM


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny Llama with its tokenizer, as save_pretrained leaves them."""
    torch.set_num_threads(1)
    tiny("llama").save_pretrained(tmp_path)
    tokenizer().save(tmp_path)
    return tmp_path


def change(path: Path, **values: Any) -> None:
    content = json.loads(path.read_bytes()) if path.exists() else {}
    content.update(values)
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_a_folder(folder: Path) -> None:
    lm = TokenLM.from_pretrained(folder)
    assert (lm.path, lm.vocab_size, lm.stop_ids, lm.start_ids) == ("tree", VOCAB, (0,), (1,))
    ids = lm.tokenizer.encode("of the court")
    node = lm.start(ids)
    assert node.ids == [1, *ids]
    np.testing.assert_allclose(node.logprobs, whole(lm.model, node.ids), atol=1e-4)
    assert not lm.model.training


def test_dtype_and_device(folder: Path) -> None:
    lm = TokenLM.from_pretrained(folder, dtype="bfloat16", device="cpu")
    assert lm.model.dtype == torch.bfloat16
    assert lm.start().logprobs.dtype == np.float32


def test_what_is_given_goes_before_what_is_found(folder: Path) -> None:
    lm = TokenLM.from_pretrained(folder, stop_ids=[5, 6, 5], start_ids=[], tokenizer=trained(vocab_size=290))
    assert (lm.stop_ids, lm.start_ids, lm.tokenizer.vocab_size) == ((5, 6), (), 290)


def test_several_stop_ids(folder: Path) -> None:
    change(folder / "generation_config.json", eos_token_id=[7, 0])
    assert TokenLM.from_pretrained(folder).stop_ids == (7, 0)


def test_stop_ids_of_the_configuration(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    change(folder / "config.json", eos_token_id=4)
    assert TokenLM.from_pretrained(folder).stop_ids == (4,)


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<pad>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {
        "<pad>": {"id": "<pad>", "ids": [1], "tokens": ["<pad>"]},
        "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]},
    },
}  # fmt: skip


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_template_of_the_tokenizer_says_how_to_start(folder: Path, wrapped: bool) -> None:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    processor = {"type": "Sequence", "processors": [byte_level, TEMPLATE]} if wrapped else TEMPLATE
    change(folder / "tokenizer.json", post_processor=processor)
    change(folder / "config.json", bos_token_id=9)
    assert TokenLM.from_pretrained(folder).start_ids == (1,)


def test_the_model_says_how_to_start_if_the_tokenizer_does_not(folder: Path) -> None:
    change(folder / "config.json", bos_token_id=9)
    assert TokenLM.from_pretrained(folder).start_ids == (9,)


def test_add_bos_token_of_the_tokenizer_configuration(folder: Path) -> None:
    change(folder / "config.json", bos_token_id=None)
    (folder / "generation_config.json").unlink()
    assert TokenLM.from_pretrained(folder).start_ids in ((), (1,))  # what transformers takes as a Llama's default
    model = tiny("llama", bos_token_id=None)
    model.save_pretrained(folder)
    change(folder / "config.json", bos_token_id=None)
    change(folder / "tokenizer_config.json", add_bos_token=True, bos_token={"content": "<pad>"})
    assert TokenLM.from_pretrained(folder).start_ids == (1,)


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    with pytest.raises(TokenizerMismatchError, match="has 420 ids, but the model has 300 rows"):
        TokenLM.from_pretrained(folder, tokenizer=trained(vocab_size=420))


def test_more_rows_than_tokens(folder: Path) -> None:
    lm = TokenLM.from_pretrained(folder, tokenizer=trained(vocab_size=290))
    assert lm.start().logprobs.shape == (VOCAB,)


def test_files_that_are_missing_or_broken(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CorpusError, match=r"has no config\.json"):
        TokenLM.from_pretrained(empty)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CorpusError, match="cannot be loaded"):
        TokenLM.from_pretrained(folder)
    change(folder / "config.json", model_type="nothing-like-it")
    with pytest.raises(FormatError, match="not a causal LM"):
        TokenLM.from_pretrained(folder)


def test_rotary_positions_that_transformers_4_would_not_see(folder: Path) -> None:
    """Transformers 5 writes their base elsewhere, and 4 takes its default: silently another model."""
    import transformers

    config = json.loads((folder / "config.json").read_bytes())
    change(folder / "config.json", rope_theta=None, rope_parameters={"rope_theta": 5e5, "rope_type": "default"})
    if int(transformers.__version__.partition(".")[0]) < 5:
        with pytest.raises(FormatError, match="written by transformers 5, with rope_theta 500000"):
            TokenLM.from_pretrained(folder)
    else:
        assert TokenLM.from_pretrained(folder).model.config.rope_parameters["rope_theta"] == 5e5
    change(folder / "config.json", rope_theta=5e5)
    found = TokenLM.from_pretrained(folder).model.model.rotary_emb.inv_freq
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    np.testing.assert_allclose(found.numpy(), 5e5 ** -(np.arange(0, width, 2) / width), rtol=1e-5)
