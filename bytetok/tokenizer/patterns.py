"""Split patterns: how text is cut into pretokens before anything is counted or merged."""

from __future__ import annotations

from collections.abc import Sequence

from bytetok import _core
from bytetok.errors import InvalidPatternError

NAMED: dict[str, tuple[str, ...]] = {name: tuple(stages) for name, stages in _core.NAMED_PATTERNS}
"""The regexes of each pattern that has a name, by stage."""

LLAMA_CPP_PRE: dict[str, str] = {
    "gpt2": "gpt-2",
    "o200k": "gpt-4o",
    "llama3": "llama-bpe",
    "qwen2": "qwen2",
    "qwen3": "qwen2",
    "deepseek-v3": "deepseek-v3",
}
"""What llama.cpp calls these patterns (``tokenizer.ggml.pre``). It splits alike, but for o200k: there letters outside
ASCII are upper and lower case at once, and marks are no letters (measured in benchmarks/llama_cpp_parity.py)."""

UNICODE_VERSION: str = _core.UNICODE_VERSION
"""The Unicode version of the character classes, the same as in tiktoken 0.14 and tokenizers 0.23."""

# What only a regex would hold; a short word without any of these is more likely a misspelled name.
_REGEX_SIGNS = frozenset("\\[](){}|?*+^$. ")


class SplitPattern:
    """A split pattern: one or more regexes, each isolating its matches in the pieces that the one before left.

    Text between two matches is a pretoken too, so the pretokens of a text always join to the text. Patterns with a name
    run on hand-written scanners in linear time; any other regex runs on a backtracking engine with the same Unicode
    tables, and raises rather than guesses.

    Make one with :meth:`of`.
    """

    stages: tuple[str, ...]
    name: str | None

    def __init__(self, stages: tuple[str, ...], name: str | None = None) -> None:
        try:
            splitter = _core.Splitter(list(stages))
        except UnicodeEncodeError as err:
            raise InvalidPatternError(f"split pattern {err.object[:80]!r} holds a lone surrogate") from err
        self.__dict__.update(stages=stages, name=name, _splitter=splitter)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a SplitPattern is immutable, and {name} cannot be set; make another one")

    def __eq__(self, other: object) -> bool:
        # Two names may stand for the same regexes, as qwen2 and qwen3 do.
        return isinstance(other, SplitPattern) and self.stages == other.stages

    def __hash__(self) -> int:
        return hash(self.stages)

    def __repr__(self) -> str:
        return f"SplitPattern({self.stages!r}, {self.name!r})"

    @classmethod
    def of(cls, pattern: str | Sequence[str] | SplitPattern) -> SplitPattern:
        """Make a pattern from a name (see :data:`NAMED`), a regex, or a sequence of regexes applied in stages.

        Raises InvalidPatternError for a regex that does not compile or can match nothing, and for a misspelled name.
        """
        if isinstance(pattern, SplitPattern):
            return pattern
        if isinstance(pattern, str):
            if pattern in NAMED:
                return cls(NAMED[pattern], pattern)
            if not _REGEX_SIGNS & set(pattern):
                from difflib import get_close_matches

                close = get_close_matches(pattern, NAMED, n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                raise InvalidPatternError(
                    f"{pattern!r} is not the name of a split pattern; {hint}the names are {', '.join(NAMED)}, and a "
                    f"regex for a literal word is written ({pattern})"
                )
            return cls((pattern,), _name_of((pattern,)))
        stages = tuple(pattern)
        if not stages:
            raise InvalidPatternError('a split pattern needs at least one regex; for no splitting use "none"')
        return cls(stages, _name_of(stages))

    @property
    def is_linear(self) -> bool:
        """Whether splitting takes linear time on any text, because every stage has a hand-written scanner."""
        return self.core.is_linear

    @property
    def core(self) -> _core.Splitter:
        """The compiled pattern, for other parts of this package."""
        splitter: _core.Splitter = self.__dict__["_splitter"]
        return splitter

    def split(self, text: str | bytes) -> list[bytes]:
        """Cut ``text`` into pretokens, as bytes.

        Bytes that are not UTF-8 split as U+FFFD would and stay the bytes they are. Raises EncodingError for a ``str``
        with lone surrogates, and InvalidPatternError if a regex matches nothing or backtracks without end on this text.
        """
        return self.core.split(text)

    def __str__(self) -> str:
        return self.name or " | then | ".join(self.stages)

    def __reduce__(self) -> tuple[type[SplitPattern], tuple[tuple[str, ...], str | None]]:
        return SplitPattern, (self.stages, self.name)


def _name_of(stages: tuple[str, ...]) -> str | None:
    return next((name for name, known in NAMED.items() if known == stages), None)
