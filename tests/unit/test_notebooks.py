"""The notebooks run from the first cell to the last, on little text and with small models; outputs name no machine."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
_PLACES = re.compile(r"/(?:home|Users|root|tmp|work|private|usr|opt)/|[A-Z]:\\\\Users")


def _ids(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=_ids(NOTEBOOKS))
def test_committed_outputs_are_complete_small_and_name_no_folder(path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    assert len(written) < 600_000
    cells = [cell for cell in json.loads(written)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "run all cells in order"
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] != "error", output
            text = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
            found = _PLACES.search(json.dumps([text, output.get("text", "")]))
            assert found is None, f"{found} in the output of {cell['source'][:80]!r}"


# The libraries that run kernels warn of sockets and loops that are theirs to mind.
@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=_ids(NOTEBOOKS))
def test_every_cell_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    # A kernel of this interpreter, whatever kernels and profiles are installed for this user.
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "this interpreter",
        "language": "python",
    }
    kernel = tmp_path / "kernels" / "this-interpreter" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("BYTETOK_SMALL", "1")
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)

    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="this-interpreter",
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
