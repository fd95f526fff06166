"""``regex`` with the tables of Unicode 16, as ours, beside the newer release that transformers asks for.

``make test`` installs it into a folder of its own, ``regex16`` in the environment; this loads it from there under
another name, and leaves ``import regex`` what it is.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

VERSION = "2025.9.18"
_FOLDER = Path(sys.prefix) / "regex16"


def _load() -> ModuleType:
    if not (_FOLDER / "regex").is_dir():
        raise ImportError(
            f"the tests need regex {VERSION}, whose tables are those of Unicode 16: "
            f"pip install --no-deps --target {_FOLDER} regex=={VERSION}"
        )
    others = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "regex"}
    for name in others:
        del sys.modules[name]
    sys.path.insert(0, str(_FOLDER))
    try:
        return importlib.import_module("regex")
    finally:
        sys.path.remove(str(_FOLDER))
        for name in [name for name in sys.modules if name.partition(".")[0] == "regex"]:
            sys.modules[f"regex16_{name}"] = sys.modules.pop(name)
        sys.modules.update(others)


regex = _load()
