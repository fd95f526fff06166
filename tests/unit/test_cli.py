"""The command line as a whole: help, versions, wrong usage, lists."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bytetok import __version__
from bytetok.cli.app import app
from bytetok.cli.exits import _spread
from bytetok.cli.options import cores, shard_of, size_bytes
from bytetok.cli.terminal import size_words, time_words
from bytetok.tokenizer.patterns import NAMED
from bytetok.training.recipe import load_recipe, recipe_names

MAKE = ["train", "count", "eval", "recipes", "patterns"]
MODELS = ["complete", "fill", "sample", "score"]
COMMANDS = [*MAKE, "show", "encode", "decode", "convert", "extend", "prune", "diff", *MODELS]
_CALLBACKS = {command.name: command.callback for command in app.registered_commands}
runner = CliRunner()


def test_the_commands_are_those_of_this_release_and_no_others() -> None:
    assert [command.name for command in app.registered_commands] == COMMANDS


def test_help_lists_every_command_under_a_heading() -> None:
    result = runner.invoke(app, ["--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    for heading in ("Make a tokenizer", "Use it", "Change it", "Models, byte by byte"):
        assert heading in result.stdout
    for command in COMMANDS:
        assert re.search(rf"│ {command} ", result.stdout), command


@pytest.mark.parametrize("command", [*COMMANDS, None])
def test_help_fits_100_columns_and_shows_examples(command: str | None) -> None:
    words = [command, "--help"] if command else ["--help"]
    result = runner.invoke(app, words, env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert f"  bytetok {command or 'train'} " in result.stdout or f"  bytetok {command}\n" in result.stdout
    assert "<bool>" not in result.stdout
    assert "<list" not in result.stdout
    assert "[not dim]" not in result.stdout


def _examples(command: str) -> list[list[str]]:
    """The words of every example that runs ``command``, as a shell would hand them over."""
    lines = inspect.getdoc(_CALLBACKS[command]).split("Examples\n", 1)[1].splitlines()
    words = (shlex.split(line) for line in lines)
    parts = (list(part) for line in words for bar, part in groupby(line, lambda word: word in "|<>") if not bar)
    return [part[2:] for part in parts if part[:2] == ["bytetok", command]]


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_in_the_help_parse(command: str) -> None:
    examples = _examples(command)
    assert examples
    for words in examples:
        program = typer.main.get_command(app).commands[command]
        program.make_context(command, list(words))  # parses and checks, and does not run


def test_version() -> None:
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"bytetok {__version__}\n")


def test_python_dash_m_and_the_entry_point_are_the_same_program() -> None:
    for start in (["-m", "bytetok"], ["-c", "from bytetok.cli import main; main()"]):
        done = subprocess.run([sys.executable, *start, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"bytetok {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['bytetok', '--help']\n"
        "from bytetok.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'numpy', 'pyarrow', 'fsspec', 'zstandard', 'matplotlib', 'torch', 'bytetok._core'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -------------------------------------------------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["coutn", "a.txt"], "Did you mean 'count'"),
        (["count"], "Missing argument 'FILES'"),
        (["count", "a.txt"], "Missing option '-o' / '--output'"),
        (["count", "a.txt", "-o", "x", "--colum", "y"], "No such option"),
        (["count", "a.txt", "-o", "x", "--threads", "0"], "--threads"),
        (["count", "a.txt", "-o", "x", "--errors", "ignore"], "--errors"),
        (["count", "a.txt", "-o", "x", "--engine", "spark"], "--engine"),
        (["train", "a.txt", "-o", "x", "--vocab-size", "many"], "--vocab-size"),
        (["train", "a.txt", "-o", "x"], "--vocab-size 32000, or choose a --recipe"),
        (["train", "a.txt", "-o", "x", "--vocab-size", "300", "--superwords", "1.5"], "--superwords"),
        (["eval", "gpt2"], "Missing option '--on'"),
        (["eval", "--on", "a.txt"], "Missing argument 'TOK'"),
        (["eval", "gpt2", "--on", "a.txt", "--json", "--csv"], "one of --json and --csv"),
        (["encode", "gpt2", "a.txt", "--json"], "name a file to get a report"),
        (["diff", "gpt2"], "Missing argument 'B'"),
        (["--wrong"], "No such option"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_where_help_is(words: list[str], complaint: str) -> None:
    result = runner.invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert result.stdout == ""
    assert complaint in result.stderr
    assert "Usage: bytetok" in result.stderr
    assert "--help' for help" in result.stderr


def test_no_command_shows_the_help() -> None:
    result = runner.invoke(app, [])
    assert result.exit_code == 2
    assert "First steps" in result.stdout


@pytest.mark.parametrize("text", ["", "3", "3/", "/3", "0/3", "4/3", "-1/3", "1/0", "a/b", "1/2/3", "1.0/2"])
def test_what_is_no_shard_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="1/16"):
        shard_of(text)


def test_shards_are_numbered_from_one() -> None:
    assert [shard_of(text) for text in ("1/1", "1/3", "3/3")] == [(0, 1), (0, 3), (2, 3)]


def test_sizes() -> None:
    assert size_bytes(None, "--memory") is None
    assert size_bytes("512MB", "--memory") == 512_000_000
    with pytest.raises(typer.BadParameter, match="'lots' is not a size"):
        size_bytes("lots", "--memory")


def test_threads_are_those_asked_for_or_at_least_one() -> None:
    assert cores(3) == 3
    assert cores(None) >= 1


@pytest.mark.parametrize(
    ("words", "spread"),
    [
        ("t --on a b", "t --on a --on b"),
        ("--on a b --json t", "--on a --on b --json t"),
        ("t --on - b", "t --on - --on b"),
        ("t --on a b -- u v", "t --on a --on b -- u v"),
        ("t --on a --on b c", "t --on a --on b --on c"),
        ("t --on=a b", "t --on=a b"),
        ("t u -o x", "t u -o x"),
        ("t --on", "t --on"),
    ],
)
def test_on_takes_every_word_up_to_the_next_option(words: str, spread: str) -> None:
    assert _spread(words.split()) == spread.split()


# -------------------------------------------------------------------------------------------------------------- lists


def test_recipes_are_listed_with_what_they_are_for() -> None:
    result = runner.invoke(app, ["recipes"])
    assert result.exit_code == 0
    for name in recipe_names():
        assert re.search(rf"^ {name} +{load_recipe(name).vocab_size:,} ", result.stdout, re.MULTILINE), name
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_recipes_as_json_are_the_recipes() -> None:
    listed = json.loads(runner.invoke(app, ["recipes", "--json"]).stdout)
    assert [one["name"] for one in listed] == list(recipe_names())
    legal = next(one for one in listed if one["name"] == "legal")
    assert legal == json.loads(runner.invoke(app, ["recipes", "legal", "--json"]).stdout)
    assert legal["special_tokens"] == list(load_recipe("legal").special_tokens)
    assert legal["domain_strings"] == len(load_recipe("legal").domain_strings())


def test_one_recipe_in_words() -> None:
    shown = runner.invoke(app, ["recipes", "char-4k"]).stdout
    assert "4,096 tokens" in shown
    assert "at most 3 characters a token" in shown
    assert "<|start|>" in shown


def test_a_recipe_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reporters_db", None)
    shown = runner.invoke(app, ["recipes", "legal"])
    assert shown.exit_code == 0
    assert "pip install 'bytetok-lm[domain]'" in " ".join(shown.stdout.split())
    assert json.loads(runner.invoke(app, ["recipes", "legal", "--json"]).stdout)["domain_strings"] is None


def test_an_unknown_recipe_is_an_error() -> None:
    result = runner.invoke(app, ["recipes", "legl"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: no recipe is called 'legl'; did you mean 'legal'?")


def test_a_recipe_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ndescription = "D."\npattern = "digits"\nvocab_size = 300\nspecial_tokens = []\n'
        "superwords = 0.25\n"
    )
    shown = runner.invoke(app, ["recipes", str(path)]).stdout
    assert "25 % of the vocabulary" in shown
    assert re.search(r"special +none", shown)


def test_patterns_show_how_each_splits() -> None:
    result = runner.invoke(app, ["patterns", "it's 1234"])
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert list(lines) == list(NAMED)
    assert lines["gpt2"] == "it|'s|·1234"
    assert lines["o200k"] == "it's|·|123|4"
    assert lines["none"] == "it's·1234"


def test_patterns_as_regexes_and_json() -> None:
    regexes = runner.invoke(app, ["patterns", "--regex"]).stdout
    for stages in NAMED.values():
        for stage in stages:
            assert stage in regexes
    values = json.loads(runner.invoke(app, ["patterns", "a b", "--json"]).stdout)
    assert {one["name"]: tuple(one["stages"]) for one in values["patterns"]} == NAMED
    assert values["patterns"][0]["pretokens"] == ["a", " b"]


# -------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
     (1_234_567, "1.2 MB"), (5e9, "5.0 GB"), (1.5e15, "1,500.0 TB")],
)  # fmt: skip
def test_sizes_for_people(count: float, words: str) -> None:
    assert size_words(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1:00"), (125.4, "2:05"), (3725, "1:02:05")]
)
def test_times_for_people(seconds: float, words: str) -> None:
    assert time_words(seconds) == words
