"""Chats as token ids, in the template that a model was trained with.

A template is a Jinja program beside the tokenizer; ``transformers`` runs it in its sandbox. Control tokens that the
template writes become ids; what the messages say stays text, also where it reads like a control token.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bytetok.errors import ChatTemplateError, CorpusError, MissingDependencyError
from bytetok.lm.transformers_lm import import_transformers, read_json
from bytetok.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from bytetok.lm.token_lm import AnyTokenizer

Messages = Sequence[Mapping[str, Any]]

_MARKS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Noncharacters, which no text should hold: one of them stands around what must stay text."""


class ChatTemplate:
    """A template and the names of the tokens that it may write, such as ``bos_token``."""

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        self.text, self.names = text, dict(names)

    def ids(self, messages: Messages, tokenizer: AnyTokenizer) -> list[int]:
        """The messages and the beginning of an answer, as ids; see :meth:`TokenLM.chat_ids`."""
        special = _special(tokenizer)
        guarded, kept, mark = _guard(messages, special)
        rendered = self._rendered(guarded, begins=True)
        if not kept:
            return tokenizer.encode(rendered, special="allow")
        ids: list[int] = []
        for run, token in _cut(rendered, special):
            text = re.sub(f"{mark}([0-9]+){mark}", lambda found: kept[int(found[1])], run)
            ids += _encoded(tokenizer, text, is_rest=bool(ids))
            ids += [] if token is None else [token]
        return ids

    def turn_end(self, messages: Messages, tokenizer: AnyTokenizer) -> int | None:
        """The control token that the template puts behind an answer to the messages; None if it puts none."""
        special = _special(tokenizer)
        guarded, _, mark = _guard(messages, special)
        rendered = self._rendered([*guarded, {"role": "assistant", "content": mark}], begins=False)
        _, _, behind = rendered.rpartition(mark)
        return next((token for _, token in _cut(behind, special) if token is not None), None)

    def _rendered(self, messages: list[dict[str, Any]], *, begins: bool) -> str:
        import_transformers()
        try:
            import jinja2
            from transformers.utils.chat_template_utils import render_jinja_template

            render: Any = render_jinja_template
            texts, _ = render([messages], chat_template=self.text, add_generation_prompt=begins, **self.names)
        except ImportError as err:
            raise MissingDependencyError(f"chat templates need jinja2 ({err}); pip install 'jinja2>=3.1.6'") from err
        except (jinja2.TemplateError, TypeError, ValueError, LookupError) as err:
            raise ChatTemplateError(f"the chat template does not take these messages: {err}") from err
        return str(texts[0])


def find_template(path: str | os.PathLike[str]) -> str | None:
    """The template of a folder or a Hugging Face id; of several, the one called ``default``. None if there is none."""
    file = _file(path, "chat_template.jinja")
    if file is not None:
        return file.read_text(encoding="utf-8")
    for place in ("tokenizer_config.json", "chat_template.json"):
        found = _json(path, place).get("chat_template")
        if isinstance(found, list):  # as files had several before they were files of their own
            named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
            found = named.get("default")
        if isinstance(found, str):
            return found
    return None


def token_names(path: str | os.PathLike[str]) -> dict[str, str]:
    """``bos_token`` and the like of tokenizer_config.json and special_tokens_map.json."""
    names = {}
    for place in ("special_tokens_map.json", "tokenizer_config.json"):
        for name, value in _json(path, place).items():
            text = value.get("content") if isinstance(value, dict) else value
            if name.endswith("_token") and isinstance(text, str):
                names[name] = text
    return names


def _json(path: str | os.PathLike[str], name: str) -> dict[str, Any]:
    """What a file of a folder or a Hugging Face id holds; nothing if it is not there."""
    file = _file(path, name)
    return {} if file is None else read_json(file)


def _file(path: str | os.PathLike[str], name: str) -> Path | None:
    from bytetok.tokenizer import hub

    if Path(path).is_dir():
        file = Path(path) / name
        return file if file.is_file() else None
    try:
        return hub.find(os.fspath(path), [name]) if hub.is_hub_id(os.fspath(path)) else None
    except CorpusError:
        return None


def _special(tokenizer: AnyTokenizer) -> dict[str, int]:
    return dict(tokenizer.vocab.special_tokens)


def _guard(messages: Messages, special: Mapping[str, int]) -> tuple[list[dict[str, Any]], list[str], str]:
    """The messages with what reads like a special token taken out, what that was, and the mark around its number."""
    plain = [{key: value for key, value in one.items() if value is not None} for one in messages]
    if not plain:
        raise ChatTemplateError("a chat without messages; expected at least one, {'role': 'user', 'content': ...}")
    try:
        said = json.dumps(plain, ensure_ascii=False)
    except (TypeError, ValueError) as err:
        raise ChatTemplateError(f"messages are strings, numbers, lists and dicts of them: {err}") from err
    mark = next((one for one in _MARKS if one not in said), None)
    if mark is None:
        raise ChatTemplateError("the messages hold all of the noncharacters U+FDD0 to U+FDEF")
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"{mark}{len(kept) - 1}{mark}"

    def guard(value: Any) -> Any:
        if isinstance(value, str):
            pattern = _any_of(value, special)
            return pattern.sub(keep, value) if pattern is not None else value
        if isinstance(value, Mapping):
            return {key: guard(one) for key, one in value.items()}
        return [guard(one) for one in value] if isinstance(value, (list, tuple)) else value

    return [guard(one) for one in plain], kept, mark


def _any_of(text: str, special: Mapping[str, int]) -> re.Pattern[str] | None:
    """A pattern of the special tokens in ``text``, the longest first; None if there are none."""
    there = sorted((one for one in special if one in text), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, there))) if there else None


def _cut(text: str, special: Mapping[str, int]) -> list[tuple[str, int | None]]:
    """Runs of text, each with the special token behind it; the last has none."""
    pattern, runs, at = _any_of(text, special), [], 0
    for found in pattern.finditer(text) if pattern is not None else ():
        runs.append((text[at : found.start()], special[found[0]]))
        at = found.end()
    return [*runs, (text[at:], None)]


def _encoded(tokenizer: AnyTokenizer, text: str, *, is_rest: bool) -> list[int]:
    """A run of text; a vocabulary that puts a space before the first run only puts none before the others."""
    scheme = tokenizer.vocab.characters if isinstance(tokenizer, Tokenizer) else None
    if is_rest and scheme is not None and scheme.prefix == "first":
        return tokenizer.encode_beginning(text, is_rest=True, special="text")[0]
    return tokenizer.encode(text, special="text") if text else []
