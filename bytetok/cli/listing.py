"""``bytetok recipes`` and ``bytetok patterns``: what can be named in other commands."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bytetok.cli import options
from bytetok.cli.terminal import say, say_json, say_values
from bytetok.errors import MissingDependencyError

if TYPE_CHECKING:
    from rich.table import Table

    from bytetok.training.recipe import Recipe

_SAMPLE = "11 U.S.C. § 362(a): 1,234.50 isn't\tdue\n  in 2025 法院"


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE", help="Show this one whole.", show_default=False)
    ] = None,
    *,
    as_json: options.Json = False,
) -> None:
    """List the recipes of bytetok train --recipe, or show what one contains.

    A recipe is a TOML file: split pattern, sizes, special tokens, and domain tokens such as the pieces of
    legal citations. Your own has the same keys.

    Examples
      bytetok recipes
      bytetok recipes legal
      bytetok recipes legal --json
    """
    from bytetok.training.recipe import load_recipe, recipe_names

    if name is not None:
        recipe = load_recipe(name)
        say_json(_as_values(recipe)) if as_json else say_values(_in_words(recipe), fold=True)
        return
    listed = [load_recipe(known) for known in recipe_names()]
    say_json([_as_values(recipe) for recipe in listed]) if as_json else say(_recipe_table(listed))


def _as_values(recipe: Recipe) -> dict[str, Any]:
    try:
        found: int | None = len(recipe.domain_strings())
    except MissingDependencyError:
        found = None
    return {**dataclasses.asdict(recipe), "domain_strings": found}


def _in_words(recipe: Recipe) -> dict[str, str]:
    words = {
        "recipe": recipe.name,
        "": recipe.description,
        "vocabulary": f"{recipe.vocab_size:,} tokens" + (", filled up to a power of two" * recipe.pad_to_power_of_two),
        "pattern": recipe.pattern if isinstance(recipe.pattern, str) else " | then | ".join(recipe.pattern),
        "special": " ".join(recipe.special_tokens) or "none",
        "domain": _domain(recipe),
    }
    if recipe.domain_extra:
        words["also"] = "  ".join(recipe.domain_extra)
    if recipe.max_token_length:
        words["length"] = f"at most {recipe.max_token_length} {recipe.length_unit} a token"
    if recipe.superwords:
        words["superwords"] = f"{recipe.superwords:.0%} of the vocabulary".replace("%", " %")
    words["merges"] = f"pairs that occur {recipe.min_count} times or more"
    return words


def _domain(recipe: Recipe) -> str:
    if not recipe.domain_groups and not recipe.domain_extra:
        return "none"
    try:
        found = f"{len(recipe.domain_strings()):,} strings"
    except MissingDependencyError as err:
        found = f"not installed here ({err})"
    limits = []
    if recipe.max_domain_tokens is not None:
        limits.append(f"the {recipe.max_domain_tokens:,} most frequent")
    if recipe.min_domain_count:
        limits.append(f"seen {recipe.min_domain_count} times or more")
    kept = f"; kept: {', '.join(limits)}" if limits else ""
    return f"{', '.join(recipe.domain_groups) or 'listed strings'}: {found}{kept}"


def _recipe_table(listed: list[Recipe]) -> Table:
    from bytetok.tokenizer.patterns import SplitPattern

    table = _table("recipe", "tokens", "pattern", "special", "what it is for", right={"tokens", "special"})
    for recipe in listed:
        pattern = SplitPattern.of(recipe.pattern).name or "a regex"
        special = str(len(recipe.special_tokens))
        table.add_row(recipe.name, f"{recipe.vocab_size:,}", pattern, special, recipe.description)
    return table


def patterns(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text to split.", show_default=False)] = _SAMPLE,
    *,
    regex: Annotated[
        bool, typer.Option("--regex", help="Print the regular expressions.", rich_help_panel=options.OUTPUT)
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List the named split patterns, and how each cuts a text.

    A split pattern cuts text into pretokens, and no token reaches across two of them (superwords excepted).
    --pattern takes one of these names, or any regular expression.

    Examples
      bytetok patterns
      bytetok patterns "It's 10:45, isn't it?"
      bytetok patterns --regex
    """
    from bytetok.tokenizer.patterns import NAMED, UNICODE_VERSION, SplitPattern
    from bytetok.training.render import visible

    split = {name: SplitPattern.of(name).split(text) for name in NAMED}
    if as_json:
        values = [
            {"name": name, "stages": list(stages), "pretokens": [one.decode(errors="replace") for one in split[name]]}
            for name, stages in NAMED.items()
        ]
        say_json({"unicode": UNICODE_VERSION, "patterns": values})
        return
    say_values(
        {
            name: "\n".join(NAMED[name]) if regex else "|".join(visible(one).replace("\n", "") for one in split[name])
            for name in NAMED
        }
    )


def _table(*names: str, right: set[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=name != names[-1])
    return table
