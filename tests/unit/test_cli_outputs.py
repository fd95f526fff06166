"""Outputs are checked before the work and written whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from bytetok.cli.outputs import check_file, check_folder, whole_folder
from bytetok.errors import FormatError


def test_a_new_folder_appears_at_once(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with whole_folder(str(target)) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    plain = tmp_path / "plain"
    plain.mkdir()
    assert target.stat().st_mode == plain.stat().st_mode


def test_an_existing_folder_keeps_its_other_files(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "a").write_text("old")
    (target / "b").write_text("other")
    with whole_folder(str(target)) as folder:
        (folder / "a").write_text("new")
    assert {path.name: path.read_text() for path in target.iterdir()} == {"a": "new", "b": "other"}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_what_there_was(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "out"
    if exists:
        target.mkdir()
        (target / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _write_and_fail(target)
    assert list(tmp_path.iterdir()) == ([target] if exists else [])
    if exists:
        assert (target / "a").read_text() == "old"


def _write_and_fail(target: Path) -> None:
    with whole_folder(str(target)) as folder:
        (folder / "a").write_text("new")
        raise KeyboardInterrupt


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real)
    with whole_folder(str(link)) as folder:
        (folder / "a").write_text("1")
    assert link.is_symlink()
    assert (real / "a").read_text() == "1"


def test_folders_that_will_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "bytetok.json").write_text("{}")
    (ours / "more").write_text("")
    for path in (tmp_path / "new", tmp_path / "not" / "yet", tmp_path / "empty", ours):
        check_folder(str(path))


def test_folders_that_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    other = tmp_path / "other"
    other.mkdir()
    for name in "abcd":
        (other / name).write_text("")
    with pytest.raises(FormatError, match=r"other files \(a, b, c, \.\.\.\)"):
        check_folder(str(other))
    with pytest.raises(FormatError, match="is a file"):
        check_folder(str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError):
        check_folder(str(tmp_path / "file" / "below"))


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for path in ("file", "new", "not/yet/new", str(tmp_path / "new")):
        check_file(path)
    with pytest.raises(FormatError, match="is a folder; name a file in it"):
        check_file(".")
    with pytest.raises(NotADirectoryError):
        check_file("file/below")
