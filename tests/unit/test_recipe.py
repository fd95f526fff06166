"""Recipes: the shipped ones, a user's file, and an error for everything that is not a recipe."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytetok.errors import FormatError, MissingDependencyError, SpecialTokenError
from bytetok.training import recipe as recipe_module
from bytetok.training.recipe import Recipe, load_recipe, recipe_names

MINIMAL = """
name = "tiny"
description = "For tests."
pattern = "gpt2"
vocab_size = 300
special_tokens = ["<|end|>"]
"""
KL3M_SPECIAL = (
    "<|start|> <|end|> <|pad|> <|unk|> <|sep|> <|cls|> <|mask|> <|system|> </|system|> <|user|> </|user|> "
    "<|instruction|> </|instruction|>"
)


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def minimal(**changes: object) -> Recipe:
    values = {"name": "t", "description": "", "pattern": "gpt2", "vocab_size": 300, "special_tokens": ("<|end|>",)}
    return Recipe(**(values | changes))  # type: ignore[arg-type]


# --- the shipped recipes


def test_the_seven_recipes_load_under_their_own_names() -> None:
    assert recipe_names() == ("char-16k", "char-4k", "char-8k", "finance", "government", "kl3m", "legal")
    for name in recipe_names():
        assert load_recipe(name).name == name
        assert load_recipe(name).description.endswith(".")


def test_special_tokens_of_the_kl3m_family_keep_their_ids() -> None:
    for name in ("kl3m", "char-4k", "char-8k", "char-16k"):
        assert load_recipe(name).special_tokens == tuple(KL3M_SPECIAL.split())
        assert load_recipe(name).special_tokens.index("<|pad|>") == 2


def test_domain_recipes_keep_padding_apart_from_the_end_of_text() -> None:
    for name in ("legal", "finance", "government"):
        assert load_recipe(name).special_tokens[:2] == ("<|endoftext|>", "<|pad|>")


@pytest.mark.parametrize(
    ("name", "size", "longest"), [("char-4k", 4096, 3), ("char-8k", 8192, 3), ("char-16k", 16384, 4)]
)
def test_character_recipes_count_characters(name: str, size: int, longest: int) -> None:
    recipe = load_recipe(name)
    assert (recipe.vocab_size, recipe.max_token_length, recipe.length_unit) == (size, longest, "characters")
    assert all(text.isspace() for text in recipe.domain_strings())


def test_no_recipe_normalizes_text() -> None:
    """Mistakes 10 and 12 of KL3M: NFKC turns "ﬁ" into "fi" and "½" into "1⁄2" for good."""
    assert "normalizer" not in Recipe.__dataclass_fields__


def test_recipe_sizes_are_powers_of_two_so_that_padding_adds_nothing_to_a_full_vocabulary() -> None:
    for name in recipe_names():
        assert load_recipe(name).pad_to_power_of_two
        assert load_recipe(name).vocab_size.bit_count() == 1


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("legal", {"U.S.", "F.3d", "(iv)", "1998", "Fed. R. Civ. P.", " https://"}),
        ("finance", {"2024", "10-K", "(unaudited)", "</TABLE>", "Inc."}),
        ("government", {"Fed. Reg.", "H.R.", "(a)", "1999", "<?xml"}),
        ("kl3m", {"999", "(99)", "Ass'n", "null", "##", "]]>"}),
    ],
)
def test_domain_recipes_give_their_strings(name: str, some: set[str]) -> None:
    recipe = load_recipe(name)
    strings = recipe.domain_strings()
    assert some <= set(strings)
    assert len(set(strings)) == len(strings)
    assert not set(strings) & set(recipe.special_tokens)
    # Only what the training text uses is placed, and never more than a limit: no dead tokens.
    assert recipe.min_domain_count > 0
    assert recipe.max_domain_tokens is not None
    assert recipe.max_domain_tokens < recipe.vocab_size // 8


def test_no_literal_domain_token_is_white_space_or_one_character() -> None:
    for name in recipe_names():
        assert [text for text in load_recipe(name).domain_extra if len(text) < 2 or text.isspace()] == []


def test_domain_strings_without_reporters_db(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "reporters_db", None)
    with pytest.raises(MissingDependencyError, match="bytetok-lm"):
        load_recipe("legal").domain_strings()
    assert load_recipe("char-4k").domain_strings()[:2] == ("  ", "   ")


# --- a user's file


def test_a_file_with_the_required_keys_gets_the_defaults(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path, MINIMAL)) == Recipe(
        name="tiny",
        description="For tests.",
        pattern="gpt2",
        vocab_size=300,
        special_tokens=("<|end|>",),
        domain_groups=(),
        domain_extra=(),
        max_domain_tokens=None,
        min_domain_count=0,
        domain_space_prefixed=True,
        max_token_length=None,
        length_unit="bytes",
        min_count=2,
        superwords=0.0,
        pad_to_power_of_two=False,
    )


def test_every_key_is_read(tmp_path: Path) -> None:
    text = """
name = "all"
description = "d"
pattern = ['\\d', ' ?\\w+']
vocab_size = 512
special_tokens = []
domain_groups = ["years"]
domain_extra = ["1998", "zz"]
max_domain_tokens = 0
min_domain_count = 1
domain_space_prefixed = false
max_token_length = 4
length_unit = "characters"
min_count = 7
superwords = 0.25
pad_to_power_of_two = true
"""
    recipe = load_recipe(str(written(tmp_path, text)))
    values = list(dataclasses.asdict(recipe).values())
    assert values[:5] == ["all", "d", (r"\d", r" ?\w+"), 512, ()]
    assert values[5:10] == [("years",), ("1998", "zz"), 0, 1, False]
    assert values[10:] == [4, "characters", 7, 0.25, True]
    assert recipe.domain_strings()[-2:] == ("2050", "zz")
    assert {field.name for field in dataclasses.fields(Recipe)} == set(recipe_module._KINDS)


def test_a_path_is_told_from_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "legal").write_text(MINIMAL, encoding="utf-8")
    written(tmp_path, MINIMAL)
    monkeypatch.chdir(tmp_path)
    assert load_recipe("legal").name == "legal"  # a name, whatever lies in the folder
    assert load_recipe("./legal").name == "tiny"
    assert load_recipe(Path("legal")).name == "tiny"
    assert load_recipe("mine.toml").name == "tiny"


def test_a_whole_number_is_a_share_too(tmp_path: Path) -> None:
    share = load_recipe(written(tmp_path, MINIMAL + "superwords = 0")).superwords
    assert share == 0.0
    assert isinstance(share, float)


# --- what is not a recipe


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("min_cuont = 3", r"mine.toml.*unknown key 'min_cuont'; did you mean 'min_count'\? known: name, "),
        ("zzz = 3", r"unknown key 'zzz'; known: name, "),
        ("[domain]\ngroups = []", r"unknown key 'domain'"),
        ("min_count = '3'", r"min_count is '3'; expected a whole number"),
        ("min_count = 3.0", r"min_count is 3.0; expected a whole number"),
        ("min_count = true", r"min_count is true; expected a whole number"),
        ("superwords = true", r"superwords is true; expected a number"),
        ("superwords = '0.2'", r"superwords is '0.2'; expected a number"),
        ("pad_to_power_of_two = 1", r"pad_to_power_of_two is 1; expected true or false"),
        ("pad_to_power_of_two = 'yes'", r"pad_to_power_of_two is 'yes'; expected true or false"),
        ("length_unit = 3", r"length_unit is 3; expected a string"),
        ("length_unit = ['bytes']", r"length_unit is \['bytes'\]; expected a string"),
        ("domain_groups = 'years'", r"domain_groups is 'years'; expected a list of strings"),
        ("domain_extra = ['ab', 3]", r"domain_extra has 3 as item 2; expected a list of strings"),
        ("domain_extra = ['ab', true]", r"domain_extra has true as item 2"),
        ("domain_extra = ['']", r"domain_extra has an empty string"),
        ("domain_groups = ['citation']", r"domain_groups has 'citation'; did you mean 'citations'\?"),
        ("length_unit = 'chars'", r"length_unit is 'chars'; did you mean 'characters'\? known: bytes, characters"),
        ("normalizer = 'NFKC'", r"normalizer"),
        ("superwords = 1.0", r"superwords is 1.0; expected a share from 0 to below 1"),
        ("superwords = nan", r"superwords is nan"),
        ("min_count = 0", r"min_count is 0; expected 1 or more"),
        ("max_token_length = 0", r"max_token_length is 0; expected 1 or more"),
        ("max_domain_tokens = -1", r"max_domain_tokens is -1; expected 0 or more"),
        ("min_domain_count = -1", r"min_domain_count is -1; expected 0 or more"),
        ("min_count = ", r"not valid TOML: Invalid value"),
        ("min_count = }\n", r"not valid TOML: .*line 7, column"),
        ("min_count = " + "[" * 100_000, r"not valid TOML: "),
        ("min_count = " + "9" * 5_000, r"not valid TOML: "),
        ("name = 'again'", r"not valid TOML: "),
    ],
)
def test_wrong_keys_and_values(tmp_path: Path, added: str, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        load_recipe(written(tmp_path, MINIMAL + added))
    assert "mine.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "instead", "error", "message"),
    [
        ('vocab_size = 300\n', "", FormatError, r"'vocab_size' is missing; .*: name, .*, vocab_size, "),
        ("300", "256", FormatError, r"vocab_size is 256; expected at least 257"),
        ('"gpt2"', '""', FormatError, r"pattern is ''; expected"),
        ('"gpt2"', "[]", FormatError, r"pattern is \(\); expected"),
        ('"gpt2"', '["a", ""]', FormatError, r"pattern is \('a', ''\); expected"),
        ('"gpt2"', "7", FormatError, r"pattern is 7; expected a string or a list of strings"),
        ('["<|end|>"]', '[""]', SpecialTokenError, r"mine.toml.*special_tokens has ''; expected a visible name"),
        ('["<|end|>"]', '["a", " "]', SpecialTokenError, r"special_tokens has ' '; expected a visible name"),
        ('["<|end|>"]', '["a", "b", "a"]', SpecialTokenError, r"special_tokens has 'a' twice"),
        ('["<|end|>"]', '["ab"]\ndomain_extra = ["ab"]', SpecialTokenError, r"'ab' is in .* and in domain_extra"),
        ('["<|end|>"]', '"<|end|>"', FormatError, r"special_tokens is '<\|end\|>'; expected a list of strings"),
    ],
)  # fmt: skip
def test_wrong_required_values(tmp_path: Path, line: str, instead: str, error: type[Exception], message: str) -> None:
    assert line in MINIMAL
    with pytest.raises(error, match=message):
        load_recipe(written(tmp_path, MINIMAL.replace(line, instead)))


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        load_recipe(written(tmp_path, MINIMAL + f"min_count = '{'x' * 5000}'"))
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


def test_a_name_that_is_none_suggests_the_nearest() -> None:
    with pytest.raises(
        FormatError, match=r"no recipe is called 'leagl'; did you mean 'legal'\? known: char-16k, .*path"
    ):
        load_recipe("leagl")
    with pytest.raises(FormatError, match=r"no recipe is called ''; known: "):
        load_recipe("")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"gone.toml': cannot be read \(No such file"):
        load_recipe(tmp_path / "gone.toml")
    with pytest.raises(FormatError, match=r"cannot be read \(Is a directory"):
        load_recipe(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(FormatError, match=r"latin.toml': byte 8 is not UTF-8"):
        load_recipe(tmp_path / "latin.toml")


# --- the value


def test_replace_checks_again() -> None:
    recipe = load_recipe("legal")
    assert dataclasses.replace(recipe, vocab_size=1000).vocab_size == 1000
    with pytest.raises(FormatError, match="vocab_size is 100"):
        dataclasses.replace(recipe, vocab_size=100)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.vocab_size = 5  # type: ignore[misc]


@given(st.lists(st.text(max_size=3), max_size=5))
def test_special_tokens_are_visible_and_distinct_or_an_error(tokens: list[str]) -> None:
    sound = all(token.strip() for token in tokens) and len(set(tokens)) == len(tokens)
    if sound:
        assert minimal(special_tokens=tuple(tokens)).special_tokens == tuple(tokens)
    else:
        with pytest.raises(SpecialTokenError):
            minimal(special_tokens=tuple(tokens))
