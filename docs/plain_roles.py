"""What Markdown does not know of our docstrings: Sphinx roles, ``::`` before examples, and ``#:`` above fields."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):`(~?)([^`]+)`")
_EXAMPLE = re.compile(r"(?m)^(.*?)::$")


class PlainRoles(griffe.Extension):
    """Writes ``:func:`~package.name` `` as `name`, drops ``::``, and reads ``#:`` comments as docstrings."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is None and obj.is_attribute and (text := _comment_above(obj)):
            obj.docstring = griffe.Docstring(text, parent=obj)
        if obj.docstring is not None:
            text = _ROLE.sub(_code, obj.docstring.value)
            obj.docstring.value = _EXAMPLE.sub(lambda found: f"{found[1]}:" if found[1].strip() else "", text)


def _comment_above(obj: griffe.Object) -> str:
    if obj.filepath not in obj.lines_collection:  # the compiled module
        return ""
    lines = obj.lines_collection[obj.filepath][: (obj.lineno or 1) - 1]
    comment = takewhile(lambda line: line.startswith("#:"), (line.strip() for line in reversed(lines)))
    return " ".join(reversed([line.removeprefix("#:").strip() for line in comment]))


def _code(role: re.Match[str]) -> str:
    return f"`{role[2].rpartition('.')[2] if role[1] else role[2]}`"
