"""Recipes: what a domain tokenizer is made of, in one TOML file.

A recipe names the split pattern, the sizes and limits of training, the special tokens and the domain tokens. Those that
ship with the package are found by name (`recipe_names`); a user's own is a path to a ``.toml`` file with the same keys,
which are the fields of `Recipe`. Nothing is guessed: an unknown key or a wrong type is an error that names the file,
the key and what was expected.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from bytetok.errors import FormatError, SpecialTokenError
from bytetok.training.domain import DOMAIN_GROUPS, domain_tokens

_BYTES = 256


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of one training run; `dataclasses.replace` changes some of them, and checks again.

    Raises `FormatError` for a value that no training run could use and `SpecialTokenError` for special tokens that are
    empty, blank, repeated or domain tokens as well.
    """

    #: Short name, such as ``"legal"``.
    name: str
    #: One sentence for people.
    description: str
    #: A named split pattern, a regular expression, or several that are applied one after the other.
    pattern: str | tuple[str, ...]
    #: Size of the whole vocabulary, special and domain tokens included.
    vocab_size: int
    #: Control tokens, which get the first ids in this order.
    special_tokens: tuple[str, ...]
    #: Groups of `bytetok.training.domain.domain_tokens`.
    domain_groups: tuple[str, ...] = ()
    #: More domain tokens, word for word.
    domain_extra: tuple[str, ...] = ()
    #: At most so many domain tokens are placed, the most frequent first; None for no limit.
    max_domain_tokens: int | None = None
    #: Domain tokens that occur less often in the training text are left out, since they would be dead; 0 keeps all.
    min_domain_count: int = 0
    #: Whether a domain token brings along the form with a space before it.
    domain_space_prefixed: bool = True
    #: No learned token is longer than this, in units of ``length_unit``; None for no limit.
    max_token_length: int | None = None
    length_unit: Literal["bytes", "characters"] = "bytes"
    #: A pair that occurs less often is not merged.
    min_count: int = 2
    #: Share of the vocabulary that is learned across pretoken borders, from 0 to below 1.
    superwords: float = 0.0
    #: Whether reserved tokens fill the vocabulary up to the next power of two.
    pad_to_power_of_two: bool = False

    def __post_init__(self) -> None:
        _check_special_tokens(self.special_tokens, self.domain_extra)
        for group in self.domain_groups:
            if group not in DOMAIN_GROUPS:
                raise FormatError(f"domain_groups has {group!r}; {_known(group, DOMAIN_GROUPS)}")
        if not self.pattern or (isinstance(self.pattern, tuple) and "" in self.pattern):
            raise FormatError(
                f"pattern is {self.pattern!r}; expected a regular expression or a name, 'none' for no splits"
            )
        if "" in self.domain_extra:
            raise FormatError("domain_extra has an empty string; expected strings of two or more characters")
        smallest = _BYTES + len(self.special_tokens)
        if self.vocab_size < smallest:
            raise FormatError(
                f"vocab_size is {self.vocab_size}; expected at least {smallest}, for every byte and each special token"
            )
        for key, least in (
            ("max_domain_tokens", 0),
            ("min_domain_count", 0),
            ("max_token_length", 1),
            ("min_count", 1),
        ):
            value = getattr(self, key)
            if value is not None and value < least:
                raise FormatError(f"{key} is {value}; expected {least} or more")
        if not 0.0 <= self.superwords < 1.0:
            raise FormatError(f"superwords is {self.superwords}; expected a share from 0 to below 1, such as 0.2")
        if self.length_unit not in ("bytes", "characters"):
            raise FormatError(
                f"length_unit is {self.length_unit!r}; {_known(self.length_unit, ('bytes', 'characters'))}"
            )

    def domain_strings(self) -> tuple[str, ...]:
        """The domain tokens asked for, each once: those of ``domain_groups`` in order, then ``domain_extra``.

        Raises `MissingDependencyError` where a group needs an optional package.
        """
        return domain_tokens(self.domain_groups, self.domain_extra)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that ship with the package, sorted."""
    return tuple(
        sorted(entry.name.removesuffix(".toml") for entry in _shipped().iterdir() if entry.name.endswith(".toml"))
    )


def load_recipe(name_or_path: str | os.PathLike[str]) -> Recipe:
    """A shipped recipe by name, or one from a file: a path object, or a string with a slash or the ending ``.toml``.

    Raises `FormatError` if there is no such recipe, the file cannot be read, is not TOML, has an unknown or missing key
    or a value of the wrong kind, and `SpecialTokenError` for special tokens that cannot be.
    """
    written = os.fspath(name_or_path)
    is_path = not isinstance(name_or_path, str) or written.endswith(".toml") or Path(written).name != written
    if is_path:
        source: Path | Traversable = Path(written)
        where = f"recipe {written!r}"
    elif written in recipe_names():
        source = _shipped() / f"{written}.toml"
        where = f"shipped recipe {written!r}"
    else:
        raise FormatError(
            f"no recipe is called {written!r}; {_known(written, recipe_names())}, or give a path to a .toml file"
        )
    try:
        table = tomllib.loads(source.read_bytes().decode("utf-8"))
    except OSError as err:
        raise FormatError(
            f"{where}: cannot be read ({err.strerror}); expected a TOML file with the keys of Recipe"
        ) from err
    except UnicodeDecodeError as err:
        raise FormatError(f"{where}: byte {err.start} is not UTF-8; TOML files are, so save it as UTF-8") from err
    except (ValueError, RecursionError) as err:  # TOMLDecodeError, a number of 5,000 digits, a thousand nested lists
        raise FormatError(f"{where}: not valid TOML: {err}") from err
    try:
        return Recipe(**_values(table))
    except (FormatError, SpecialTokenError) as err:
        raise type(err)(f"{where}: {err}") from err


_TEXT, _COUNT, _SHARE, _SWITCH = "a string", "a whole number", "a number", "true or false"
_TEXTS = "a list of strings"
_TEXT_OR_TEXTS = "a string or a list of strings"
_KINDS: Mapping[str, str] = {
    "name": _TEXT,
    "description": _TEXT,
    "pattern": _TEXT_OR_TEXTS,
    "vocab_size": _COUNT,
    "special_tokens": _TEXTS,
    "domain_groups": _TEXTS,
    "domain_extra": _TEXTS,
    "max_domain_tokens": _COUNT,
    "min_domain_count": _COUNT,
    "domain_space_prefixed": _SWITCH,
    "max_token_length": _COUNT,
    "length_unit": _TEXT,
    "min_count": _COUNT,
    "superwords": _SHARE,
    "pad_to_power_of_two": _SWITCH,
}
_REQUIRED = tuple(field.name for field in fields(Recipe) if field.default is MISSING)


def _values(table: Mapping[str, object]) -> dict[str, Any]:
    """The TOML table as arguments of `Recipe`, after a check of every key and type."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _KINDS:
            raise FormatError(f"unknown key {key!r}; {_known(key, _KINDS)}")
        values[key] = _converted(key, value)
    missing = [key for key in _REQUIRED if key not in table]
    if missing:
        raise FormatError(f"the key {missing[0]!r} is missing; a recipe needs at least: {', '.join(_REQUIRED)}")
    return values


def _converted(key: str, value: object) -> object:
    kind = _KINDS[key]
    if isinstance(value, str) and kind in (_TEXT, _TEXT_OR_TEXTS):
        return value
    if isinstance(value, list) and kind in (_TEXTS, _TEXT_OR_TEXTS):
        for number, item in enumerate(value, start=1):
            if not isinstance(item, str):
                raise FormatError(f"{key} has {_shown(item)} as item {number}; expected {_TEXTS}")
        return tuple(value)
    if isinstance(value, bool):  # before the numbers: in Python, true is also an int
        if kind == _SWITCH:
            return value
    elif (isinstance(value, int) and kind in (_COUNT, _SHARE)) or (isinstance(value, float) and kind == _SHARE):
        return float(value) if kind == _SHARE else value
    raise FormatError(f"{key} is {_shown(value)}; expected {kind}")


def _shown(value: object) -> str:
    """A TOML value as an error message quotes it, at most 80 characters."""
    return f"{value!r:.80}" if not isinstance(value, bool) else str(value).lower()


def _check_special_tokens(special_tokens: tuple[str, ...], domain_extra: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for token in special_tokens:
        if not token.strip():
            # A blank special token would cut text at every space, and every token with a space in it would be dead.
            raise SpecialTokenError(f"special_tokens has {token!r}; expected a visible name such as '<|endoftext|>'")
        if token in seen:
            raise SpecialTokenError(f"special_tokens has {token!r} twice; expected each once, since each gets one id")
        if token in domain_extra:
            raise SpecialTokenError(f"{token!r} is in special_tokens and in domain_extra; keep it in one of them")
        seen.add(token)


def _known(word: str, known: Iterable[str]) -> str:
    """What to do about an unknown ``word``: the nearest known one, and all of them."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"known: {', '.join(names)}"


def _shipped() -> Traversable:
    return resources.files("bytetok.training") / "recipes"
