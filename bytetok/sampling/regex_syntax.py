"""Regexes to automata over bytes: the syntax of Python's ``re``, as far as it describes regular languages.

Literals, classes, escapes, groups, alternatives, ``* + ? {m,n}`` (greedy or not, which makes no difference to what
matches as a whole), the flags ``a``, ``i``, ``m``, ``s`` and ``u``, and anchors at the ends, where they change nothing.
What a single character stands for is asked of ``re`` itself, so classes and cases are its own to the last character.

Left out, with a ConstraintError: look-around, back-references, conditions, atomic groups, possessive repetition, word
boundaries, anchors elsewhere, and the flag ``x``.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import NamedTuple, NoReturn

from bytetok.errors import ConstraintError
from bytetok.sampling.regex_automaton import Nfa, Ranges, joined

_ESCAPE = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|0[0-7]{0,2}|[1-3][0-7]{2}|.)", re.DOTALL
)
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_REPEAT = re.compile(r"[*+?]|\{(?!\})(\d*)(?:(,)(\d*))?\}")
_GROUP = re.compile(r"\((?:\?(?:P<\w+>|([aimsu]*)(?:-([ims]+))?:))?(?!\?)")
_GLOBAL_FLAGS = re.compile(r"\(\?([aimsux]+)\)")
_END = re.compile(r"(?:\$|\\[Zz])*(?:\||\Z)")
_FLAGS = {"a": re.ASCII, "i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "u": re.UNICODE}


class Characters(NamedTuple):
    """One character of a set."""

    ranges: Ranges


class Row(NamedTuple):
    """One part after the other."""

    parts: tuple[Node, ...]


class Either(NamedTuple):
    """One of several parts."""

    parts: tuple[Node, ...]


class Repeat(NamedTuple):
    """A part, several times."""

    part: Node
    least: int
    most: int | None


Node = Characters | Row | Either | Repeat


def compile_regex(pattern: str) -> Nfa:
    """The automaton of the texts that a regex matches as a whole; ConstraintError for what cannot be one."""
    if not isinstance(pattern, str):
        raise ConstraintError(f"expected a regex as str, got {type(pattern).__name__}")
    nfa = Nfa()
    try:
        # What `re` does not take is refused with its own words; after that, the syntax is known to be right.
        _compiled(pattern, 0)
        nfa.start = _build(nfa, _Parser(pattern).parse(), nfa.end)
    except (re.error, OverflowError) as err:
        raise ConstraintError(f"the regex {pattern[:200]!r} does not compile: {err}") from err
    except RecursionError as err:
        raise ConstraintError(f"the regex {pattern[:200]!r} is nested too deeply") from err
    return nfa


def _build(nfa: Nfa, node: Node, after: int) -> int:
    """The state to enter so that ``after`` is reached by reading what the node matches."""
    if isinstance(node, Characters):
        return nfa.characters(node.ranges, after)
    if isinstance(node, Row):
        for part in reversed(node.parts):
            after = _build(nfa, part, after)
        return after
    if isinstance(node, Either):
        return nfa.state([_build(nfa, part, after) for part in node.parts])
    least = node.least
    if node.most is None:
        loop = nfa.state([after])
        again = _build(nfa, node.part, loop)
        nfa.jumps[loop].append(again)
        # The first of the parts that must be there can be the one in the loop.
        entry, least = (again, least - 1) if least else (loop, 0)
    else:
        entry = after
        for _ in range(node.most - least):
            inside = _build(nfa, node.part, entry)
            if inside == entry:
                break
            entry = nfa.state([inside, after])
    for _ in range(least):
        before = _build(nfa, node.part, entry)
        if before == entry:
            break  # a part that reads nothing, however often
        entry = before
    return entry


class _Parser:
    """Reads a regex that ``re`` has compiled, so every bracket is closed and every repetition has its part."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.depth = 0

    def parse(self) -> Node:
        flags = 0
        while found := _GLOBAL_FLAGS.match(self.pattern, self.at):
            if "x" in found[1]:
                self._refuse("the flag x")
            flags |= self._flags(found[1])
            self.at = found.end()
        return self._either(flags)

    def _either(self, flags: int) -> Node:
        parts = [self._row(flags)]
        while self.pattern[self.at : self.at + 1] == "|":
            self.at += 1
            parts.append(self._row(flags))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _row(self, flags: int) -> Node:
        parts: list[Node] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            if self.pattern.startswith("(?#", self.at):
                self.at = self.pattern.index(")", self.at) + 1
            elif not self._anchor(is_first=not parts):
                parts.append(self._repeats(self._atom(flags)))
        return Row(tuple(parts))

    def _anchor(self, is_first: bool) -> bool:
        """Whether there is an anchor here, which is then passed over."""
        sign = self.pattern[self.at]
        sign = self.pattern[self.at : self.at + 2] if sign == "\\" else sign
        if sign not in ("^", "$", "\\A", "\\Z", "\\z"):
            return False
        self.at += len(sign)
        is_last = _END.match(self.pattern, self.at) is not None
        if self.depth or not (is_first if sign in ("^", "\\A") else is_last):
            self._refuse(f"the anchor {sign!r} inside of it")
        return True

    def _repeats(self, part: Node) -> Node:
        while found := _REPEAT.match(self.pattern, self.at):
            sign, least, comma, most = found[0], found[1], found[2], found[3]
            self.at = found.end()
            if self.pattern[self.at : self.at + 1] == "+":
                self._refuse("possessive repetition")
            if self.pattern[self.at : self.at + 1] == "?":
                self.at += 1
            if sign in "*+?":
                part = Repeat(part, 1 if sign == "+" else 0, 1 if sign == "?" else None)
            elif comma:
                part = Repeat(part, int(least or 0), int(most) if most else None)
            else:
                part = Repeat(part, int(least), int(least))
        return part

    def _atom(self, flags: int) -> Node:
        sign = self.pattern[self.at]
        if sign == "(":
            return self._group(flags)
        if sign == "[":
            return Characters(characters_of(self._take(_CLASS), flags))
        if sign == "\\":
            escape = self._take(_ESCAPE)
            if len(escape) == 2 and escape[1] in "bB":
                self._refuse("a word boundary")
            if len(escape) == 2 and escape[1] in "123456789":
                self._refuse("a back-reference")
            return Characters(characters_of(escape, flags))
        self.at += 1
        if sign == ".":
            return Characters(characters_of(".", flags))
        return Characters(characters_of(re.escape(sign), flags) if flags & re.IGNORECASE else _one(sign))

    def _group(self, flags: int) -> Node:
        found = _GROUP.match(self.pattern, self.at)
        if found is None:
            self._refuse(f"the group {self.pattern[self.at : self.at + 4]!r}")
        inner = (flags | self._flags(found[1] or "")) & ~self._flags(found[2] or "")
        if "u" in (found[1] or ""):
            inner &= ~re.ASCII
        self.at = found.end()
        self.depth += 1
        node = self._either(inner)
        self.depth -= 1
        self.at += 1  # the closing bracket
        return node

    def _flags(self, letters: str) -> int:
        flags = 0
        for letter in letters:
            flags |= _FLAGS[letter]
        return flags

    def _take(self, what: re.Pattern[str]) -> str:
        found = what.match(self.pattern, self.at)
        if found is None:
            self._refuse(f"{self.pattern[self.at : self.at + 4]!r}")
        self.at = found.end()
        return found[0]

    def _refuse(self, what: str) -> NoReturn:
        raise ConstraintError(
            f"the regex {self.pattern[:200]!r} has {what} near character {self.at}, which no byte automaton can "
            "follow; write it with classes, groups, alternatives and repetition"
        )


def _one(character: str) -> Ranges:
    return joined([(ord(character), ord(character))])


@lru_cache(maxsize=256)
def characters_of(source: str, flags: int) -> Ranges:
    """The characters that a regex of one character matches, such as ``\\w`` or ``[^a-z]``."""
    found = _compiled(f"(?:{source})+", flags).finditer(_every_character())
    return joined([(match.start(), match.end() - 1) for match in found])


@lru_cache(maxsize=1)
def _every_character() -> str:
    """All code points in order, so that the place of a character is its number."""
    return "".join(map(chr, range(0x110000)))


def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    with warnings.catch_warnings():
        # "[[]" and the like may mean something else in a future Python; now they do not.
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(pattern, flags)
