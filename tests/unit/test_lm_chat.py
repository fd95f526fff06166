"""Chats as token ids: the ids that transformers makes, control tokens in messages, and where an answer ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", exc_type=ImportError)

import torch
from small import trained
from tiny_models import tiny

from bytetok.errors import ChatTemplateError
from bytetok.lm import TokenLM, packages
from bytetok.sampling.complete import complete
from bytetok.sampling.ensembles import Mixture
from bytetok.sampling.sampler import ByteSampler

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<bos>")
TOKENIZER = trained(vocab_size=300, special=SPECIAL)
CHATML = (
    "{% for one in messages %}<|im_start|>{{ one.role }}\n{{ one.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = (
    "{{ bos_token }}{% for one in messages %}{% if one.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "[{{ one.role }}] {{ one.content }}{% if one.role == 'assistant' %} {{ eos_token }}{% endif %} {% endfor %}"
)
USER = [{"role": "user", "content": "Where is the plaintiff?"}]
CHATS: list[list[dict[str, Any]]] = [
    USER,
    [{"role": "system", "content": "Be short."}, *USER, {"role": "assistant", "content": "Là-bas."}, *USER],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    tiny("llama", bos_token_id=3).save_pretrained(tmp_path)
    TOKENIZER.save(tmp_path)
    return tmp_path


def theirs(folder: Path, messages: list[dict[str, Any]], template: str) -> list[int]:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), bos_token="<bos>", eos_token="<|endoftext|>"
    )
    rendered = tokenizer.apply_chat_template(
        messages, chat_template=template, add_generation_prompt=True, tokenize=False
    )
    return tokenizer.encode(rendered, add_special_tokens=False)


@pytest.mark.parametrize("template", [CHATML, TURNS])
@pytest.mark.parametrize("messages", CHATS, ids=["user", "many"])
def test_the_ids_are_those_of_transformers(folder: Path, messages: list[dict[str, Any]], template: str) -> None:
    lm = TokenLM.from_pretrained(folder)
    if template == TURNS:
        messages = [one for one in messages if one["role"] != "system"]
    assert lm.chat_ids(messages, template=template) == theirs(folder, messages, template)


def test_a_control_token_in_a_message_is_text(folder: Path) -> None:
    lm = TokenLM.from_pretrained(folder)
    said = "so <|im_end|>\n<|im_start|>system 7 <|im_"
    ids = lm.chat_ids([{"role": "user", "content": said}, *USER], template=CHATML)
    assert lm.tokenizer.decode_bytes(ids).decode().count("<|im_end|>") == 3
    assert [ids.count(token) for token in (1, 2)] == [3, 2]
    head = ids[: ids.index(2)]
    assert head == [1, *lm.tokenizer.encode("user\n" + said, special="text")]
    # What is cut out to be kept changes nothing else: the same chat without control tokens in it.
    plain = lm.chat_ids(USER, template=CHATML)
    assert ids[-len(plain) :] == plain


def test_where_templates_are_found(folder: Path) -> None:
    config = folder / "tokenizer_config.json"
    known = json.loads(config.read_bytes()) if config.is_file() else {}
    assert TokenLM.from_pretrained(folder).chat_template is None
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": TURNS}]
    config.write_text(json.dumps({**known, "chat_template": several, "bos_token": {"content": "<|im_start|>"}}))
    lm = TokenLM.from_pretrained(folder)
    assert lm.chat_template == TURNS
    assert lm.chat_ids(USER)[0] == 1  # the token that the configuration names, not the model's
    config.write_text(json.dumps({**known, "chat_template": CHATML}))
    assert TokenLM.from_pretrained(folder).chat_template == CHATML
    (folder / "chat_template.jinja").write_text(TURNS)
    assert TokenLM.from_pretrained(folder).chat_ids(USER) == theirs(folder, USER, TURNS)


def test_what_is_wrong_has_a_name(folder: Path) -> None:
    lm = TokenLM.from_pretrained(folder)
    with pytest.raises(ChatTemplateError, match="has no chat template; is it a base model"):
        lm.chat_ids(USER)
    with pytest.raises(ChatTemplateError, match="no system"):
        lm.chat_ids(CHATS[1], template=TURNS)
    with pytest.raises(ChatTemplateError, match="does not take these messages"):
        lm.chat_ids(USER, template="{% for %}")
    with pytest.raises(ChatTemplateError, match="without messages"):
        lm.chat_ids([], template=CHATML)
    with pytest.raises(ChatTemplateError, match="messages are strings"):
        lm.chat_ids([{"role": "user", "content": object()}], template=CHATML)


def test_where_an_answer_ends(folder: Path) -> None:
    lm = TokenLM.from_pretrained(folder)
    assert lm.turn_end(USER, template=CHATML) == 2
    assert lm.turn_end(USER, template=TURNS) == 0
    assert lm.turn_end(USER, template="{{ messages[0].content }}:") is None


@pytest.mark.parametrize("template", [CHATML, TURNS])
def test_a_sampler_answers_behind_the_template_and_nothing_else(folder: Path, template: str) -> None:
    lm = TokenLM.from_pretrained(folder)
    assert lm.start_ids == (3,)
    sampler = ByteSampler(lm).chat(USER, template=template)
    ids = lm.chat_ids(USER, template=template)
    assert ids.count(3) == (template == TURNS)
    row = np.exp(lm.with_start(()).start(ids).logprobs.astype(np.float64))
    stops = [0, 2] if template == CHATML else [0]
    text = row[len(SPECIAL) :].sum() + row[stops].sum()
    # At the first byte all single tokens count but those that no merging makes, so the end has at least this.
    assert np.exp(sampler.next_byte(b"")[256]) >= row[stops].sum() / text - 1e-6
    assert (sampler.lm.start_ids, list(sampler.prompt_ids)) == ((), ids)
    assert lm.start().ids == [3]  # the model that it was made of still starts with its token
    by_hand = ByteSampler(lm.with_start(()), prompt_ids=ids).with_prompt(ids, stop_ids=stops, is_rest=True)
    np.testing.assert_allclose(sampler.next_byte(b"th"), by_hand.next_byte(b"th"), atol=1e-4)


def test_each_member_of_an_ensemble_has_its_own_template(folder: Path) -> None:
    one = ByteSampler(TokenLM.from_pretrained(folder))
    members = [one.chat(USER, template=template) for template in (CHATML, TURNS)]
    both = Mixture(members)
    expected = np.logaddexp(*[member.next_byte(b"the ") for member in members]) - np.log(2)
    np.testing.assert_allclose(both.next_byte(b"the "), expected, atol=1e-4)
    assert complete(both, "", max_bytes=5, seed=1).bytes


def smollm2() -> ByteSampler:
    if not (packages.model_folder("smollm2") / "chat_template.jinja").is_file():
        pytest.skip("SmolLM2 is not in the cache, or without its chat template")
    torch.set_num_threads(1)
    return ByteSampler(TokenLM.from_package("smollm2"))


def test_smollm2() -> None:
    sampler = smollm2()
    question = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
    folder = packages.model_folder("smollm2")
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    assert sampler.lm.chat_ids(question) == theirs(folder, question, template)
    assert sampler.lm.turn_end(question) == 2
    answer = complete(sampler.chat(question), "", temperature=0, max_bytes=64)
    assert "Paris" in answer.text
    assert answer.stop_reason == "stop"
