"""What the package promises to its users: names, versions, stubs, a light import, and documents whose examples run."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import bytetok
from bytetok import _core

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_HEAVY = ("torch", "transformers", "numpy", "pyarrow", "matplotlib", "rich", "typer", "fsspec")
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_NOT_RUN = "<!-- not run -->"


@pytest.mark.parametrize("name", bytetok.__all__)
def test_every_public_name_is_there_and_is_documented(name: str) -> None:
    value = getattr(bytetok, name)
    if name == "__version__":
        return
    documentation = value.__doc__
    assert documentation
    assert len(documentation.split()) >= 4
    # A dataclass without a docstring gets its signature as one.
    assert not documentation.startswith(f"{name}(")
    assert value.__name__ == name


def test_type_checkers_see_the_names_that_load_on_first_use() -> None:
    tree = ast.parse((ROOT / "bytetok" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        (alias.asname, node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == set(bytetok._HOME.items())
    assert set(bytetok.__all__) == {"__version__", *bytetok._HOME}
    assert set(bytetok.__all__) <= set(dir(bytetok))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tokeniser'"):
        bytetok.tokeniser  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules); import bytetok; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(result.stdout.split())
    assert "bytetok" in imported
    assert not imported & set(_HEAVY)


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert bytetok.__version__ == project["version"]


# ------------------------------------------------------------------------------------------------ the compiled module


def _stub() -> dict[str, set[str] | None]:
    """Public top-level names of the stub; for classes with the names in them."""
    names: dict[str, set[str] | None] = {}
    for node in ast.parse((ROOT / "bytetok" / "_core.pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names[node.name] = {item.name for item in node.body if isinstance(item, ast.FunctionDef)} - {"__new__"}
        elif isinstance(node, ast.FunctionDef):
            names[node.name] = None
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = None
    return names


def _members(kind: type) -> set[str]:
    """What a class defines itself; of the special methods, only the length, which is not every object's."""
    return {name for name in vars(kind) if not name.startswith("__") or name == "__len__"}


def test_the_stub_names_what_the_compiled_module_has() -> None:
    stub = _stub()
    runtime = {name: getattr(_core, name) for name in dir(_core) if not name.startswith("_")}
    assert set(stub) == set(runtime)
    for name, members in stub.items():
        if members is not None:
            assert members == _members(runtime[name]), name


# --------------------------------------------------------------------------------------------------------- the sources


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "bytetok").rglob("*.py")
    }
    assert len(lengths) > 30
    assert {name: length for name, length in lengths.items() if length > 450} == {}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "bytetok").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


# ------------------------------------------------------------------------------------------------------- the documents


class Block(NamedTuple):
    """A fenced block of a document."""

    language: str
    text: str
    line: int


def _blocks(document: str) -> list[Block]:
    """The fenced blocks, without those that the comment "not run" stands directly before."""
    blocks = []
    for match in _FENCE.finditer(document):
        if not document[: match.start()].rstrip().endswith(_NOT_RUN):
            blocks.append(Block(match[1], match[2], document[: match.start(2)].count("\n")))
    return blocks


def _commands(text: str) -> list[str]:
    """The commands of a console block that begin with ``$ bytetok``, lines that end with a backslash joined."""
    lines = text.replace("\\\n", "").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ bytetok ")]


def test_blocks_are_found_and_marked_ones_are_not() -> None:
    document = (
        "```python\na = 1\n```\ntext\n\n<!-- not run -->\n```python\nb\n```\n"
        "```console\n$ bytetok count a \\\n    b\nout\n$ ls\n```\n"
    )
    assert _blocks(document) == [
        Block("python", "a = 1\n", 1),
        Block("console", "$ bytetok count a \\\n    b\nout\n$ ls\n", 10),
    ]
    assert _commands(_blocks(document)[1].text) == ["bytetok count a     b"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python blocks in one namespace and console blocks by a shell, in the order of the document, beside ``vocab/``."""
    blocks = _blocks(path.read_text(encoding="utf-8"))
    (tmp_path / "vocab").symlink_to(ROOT / "vocab", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BYTETOK_SHARED_DATA", os.environ.get("BYTETOK_SHARED_DATA") or f"{ROOT.parent}/shared/data")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    namespace: dict[str, Any] = {"__name__": "example"}
    for block in blocks:
        if block.language == "python":
            # The empty lines make a traceback point at the line of the document.
            exec(compile("\n" * block.line + block.text, str(path), "exec"), namespace)
        elif block.language == "console":
            for command in _commands(block.text):
                _run(command, f"{path.name}, line {block.line}")


def _run(command: str, place: str) -> None:
    program = f'bytetok() {{ "{sys.executable}" -m bytetok "$@"; }}\n{command}'
    result = subprocess.run(["sh", "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode == 0, f"{place}: {command}\n{result.stdout}\n{result.stderr}"


def test_documents_point_to_files_that_are_there() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:"):
                assert (path.parent / target).exists(), f"{path.name} points to {target}"


def test_the_errors_of_the_package_are_one_family() -> None:
    module = importlib.import_module("bytetok.errors")
    errors = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(errors) > 5
    for error in errors:
        assert issubclass(error, bytetok.BytetokError)
        assert error.__doc__
