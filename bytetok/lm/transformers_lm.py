"""Transformers models: loading them, what their configuration says, and which path evaluates them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bytetok.errors import CorpusError, FormatError, MissingDependencyError
from bytetok.lm.context import Backend, Context, Row

if TYPE_CHECKING:
    from bytetok.lm.token_lm import AnyTokenizer


def load_model(path: str | os.PathLike[str], *, device: Any, dtype: Any) -> Any:
    """The causal LM of a folder or hub id. Errors as :meth:`TokenLM.from_pretrained`."""
    transformers = import_transformers()
    if Path(path).is_dir() and not (Path(path) / "config.json").is_file():
        raise CorpusError(f"{os.fspath(path)}: the folder has no config.json; is it a transformers model?")
    try:
        with quiet():
            model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype="auto" if dtype is None else dtype)
    except OSError as err:
        raise CorpusError(f"{os.fspath(path)!r}: the model cannot be loaded: {_first_line(err)}") from err
    except ValueError as err:
        raise FormatError(f"{os.fspath(path)!r}: not a causal LM of transformers: {_first_line(err)}") from err
    _check_rope(model.config, transformers.__version__, path)
    return model if device is None else model.to(device)


def rope_bases(config: dict[str, Any]) -> dict[str, float]:
    """The bases of rotary positions by the names that transformers 4 knows, from where transformers 5 writes them."""
    found = config.get("rope_parameters")
    if not isinstance(found, dict):
        return {}
    parts = {"rope_theta": found.get("full_attention", found), "rope_local_base_freq": found.get("sliding_attention")}
    return {name: part["rope_theta"] for name, part in parts.items() if isinstance(part, dict) and "rope_theta" in part}


def _check_rope(config: Any, version: str, path: str | os.PathLike[str]) -> None:
    """Transformers 4 passes over what 5 says of rotary positions, and computes other ones without a word."""
    if int(version.partition(".")[0]) >= 5:
        return
    for name, base in rope_bases({"rope_parameters": getattr(config, "rope_parameters", None)}).items():
        if getattr(config, name, base) != base:
            raise FormatError(
                f"{os.fspath(path)!r}: written by transformers 5, with {name} {base}, of which transformers {version} "
                f"makes {getattr(config, name)}; install transformers 5, or add {name!r} to config.json"
            )


def import_transformers() -> Any:
    """The package, or MissingDependencyError."""
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as err:
        raise MissingDependencyError(
            f"models need torch and transformers ({err}); pip install 'bytetok-lm[torch]'"
        ) from err
    return transformers


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars for what takes a second."""
    import transformers

    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def stop_ids_of(model: Any) -> list[int]:
    """The end-of-text ids of generation_config.json, or else of config.json."""
    for config in (getattr(model, "generation_config", None), model.config.get_text_config(decoder=True), model.config):
        found = getattr(config, "eos_token_id", None)
        if found is not None:
            return list(found) if isinstance(found, Iterable) else [found]
    return []


def start_ids_of(model: Any, tokenizer: AnyTokenizer, path: str | os.PathLike[str] | None) -> list[int]:
    """What the tokenizer puts before a text, or else the model's ``bos_token_id``; see `TokenLM.from_pretrained`."""
    bos = getattr(model.config.get_text_config(decoder=True), "bos_token_id", None)
    fallback = [bos] if isinstance(bos, int) else []
    provenance = getattr(tokenizer, "provenance", {})
    processor = provenance.get("post_processor")
    if processor is None and path is not None:
        processor = read_json(Path(path) / "tokenizer.json").get("post_processor")
    found = _before(processor)
    if found:
        return found
    if path is not None and read_json(Path(path) / "tokenizer_config.json").get("add_bos_token") and not fallback:
        token = read_json(Path(path) / "tokenizer_config.json").get("bos_token")
        text = token.get("content") if isinstance(token, dict) else token
        added = tokenizer.vocab.added_tokens.get(str(text))
        return [added.id] if added is not None else []
    return fallback


def _before(processor: Any) -> list[int]:
    """The ids that the template of a post-processor has before a text."""
    if not isinstance(processor, dict):
        return []
    if processor.get("type") == "Sequence":
        return next((found for part in processor.get("processors", ()) if (found := _before(part))), [])
    ids: list[int] = []
    special = processor.get("special_tokens") or {}
    for piece in processor.get("single", ()):
        name = piece.get("SpecialToken", {}).get("id")
        if name is None:  # the text itself
            break
        ids.extend(special.get(name, {}).get("ids", ()))
    return ids


def read_json(file: Path) -> dict[str, Any]:
    """The object in a file; nothing if there is no such file."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_bytes())
    except ValueError as err:
        raise FormatError(f"{file}: not JSON: {err}") from err
    return content if isinstance(content, dict) else {}


def choose(model: Any) -> Backend:
    """The tree path if a small tree comes out the same on it as by whole sequences, or else the plain path.

    "The same": every log-probability within 1e-3 (0.1 for 16-bit weights), and within a twentieth of what another
    context makes of it, so that tiny untrained models, whose rows are all alike, cannot hide a mask that is ignored.
    The tree path also needs every layer to have used our cache.
    """
    from bytetok.lm.network import Network
    from bytetok.lm.plain import PlainBackend
    from bytetok.lm.tree import TreeBackend

    network = Network(model)
    plain = PlainBackend(network)
    expected = _probe(plain)
    try:
        tree: Backend = TreeBackend(network)
        found = _probe(tree)
        whole = tree.cache.is_whole  # type: ignore[attr-defined]
    except Exception:  # a forward that refuses our mask or cache may raise anything
        tree, found, whole = plain, expected, False
    plain.calls = plain.positions = tree.calls = tree.positions = 0
    if not whole:
        return plain
    spread = max(float(np.abs(row - expected[0]).max()) for row in expected)
    half = network.dtype.itemsize < 4
    allowed = 0.1 if half else min(1e-3, max(1e-5, spread / 20))
    likely = -10.0  # what 16 bits do to improbable tokens says nothing
    for one, other in zip(found, expected, strict=True):
        difference = np.abs(one - other)[(other > likely) | (not half)]
        if not (difference <= allowed).all():
            return plain
    return tree


def _probe(backend: Backend) -> list[Row]:
    """Rows of a tree with forks, siblings and a second root."""
    step = max(1, (backend.vocab_size - 1) // 11)
    ids = [min(number * step, backend.vocab_size - 1) for number in range(1, 11)]
    rows: list[Row] = []

    def feed(*nodes: Context) -> None:
        found: dict[int, Row] = {}
        backend.feed(nodes, range(len(nodes)), lambda number, row: found.update({number: row.copy()}))
        rows.extend(found[number] for number in range(len(nodes)))

    root, other = Context(backend, None, tuple(ids[:4])), Context(backend, None, (ids[4],))
    feed(root)
    feed(other)
    left, right = Context(backend, root, (ids[5],)), Context(backend, root, (ids[6],))
    below = Context(backend, left, (ids[7],))
    feed(left, right, below, Context(backend, other, (ids[5],)))
    feed(Context(backend, below, (ids[8],)), Context(backend, right, (ids[9],)))
    return rows


def _first_line(err: Exception) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:300]
