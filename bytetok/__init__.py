"""bytetok: where text meets language models at the byte.

Everything public is importable from here and loads when it is first used (PEP 562), so that ``import bytetok`` is
quick and needs no more than the standard library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bytetok._version import __version__ as __version__

if TYPE_CHECKING:
    from bytetok.errors import BytetokError as BytetokError
    from bytetok.lm import TokenLM as TokenLM
    from bytetok.sampling.complete import complete as complete
    from bytetok.sampling.complete import sample as sample
    from bytetok.sampling.complete import stream as stream
    from bytetok.sampling.constraints import ByteRegex as ByteRegex
    from bytetok.sampling.constraints import Constrained as Constrained
    from bytetok.sampling.ensembles import Mixture as Mixture
    from bytetok.sampling.ensembles import Product as Product
    from bytetok.sampling.ensembles import Proxy as Proxy
    from bytetok.sampling.fill import fill as fill
    from bytetok.sampling.sampler import ByteSampler as ByteSampler
    from bytetok.tokenizer.patterns import SplitPattern as SplitPattern
    from bytetok.tokenizer.tokenizer import Tokenizer as Tokenizer
    from bytetok.tokenizer.vocab import AddedToken as AddedToken
    from bytetok.tokenizer.vocab import Vocab as Vocab
    from bytetok.training.bpe import extend as extend
    from bytetok.training.bpe import train_bpe as train_bpe
    from bytetok.training.build import train as train
    from bytetok.training.corpus import read_texts as read_texts
    from bytetok.training.counts import PretokenCounts as PretokenCounts
    from bytetok.training.counts import count_pretokens as count_pretokens
    from bytetok.training.counts import count_to_parquet as count_to_parquet
    from bytetok.training.recipe import Recipe as Recipe
    from bytetok.training.recipe import load_recipe as load_recipe
    from bytetok.training.render import show as show
    from bytetok.training.render import show_html as show_html
    from bytetok.training.report import evaluate as evaluate
    from bytetok.training.reshape import diff as diff
    from bytetok.training.reshape import prune as prune
    from bytetok.training.superwords import train_superwords as train_superwords

_HOME = {
    "AddedToken": "bytetok.tokenizer.vocab",
    "ByteRegex": "bytetok.sampling.constraints",
    "ByteSampler": "bytetok.sampling.sampler",
    "BytetokError": "bytetok.errors",
    "Constrained": "bytetok.sampling.constraints",
    "Mixture": "bytetok.sampling.ensembles",
    "PretokenCounts": "bytetok.training.counts",
    "Product": "bytetok.sampling.ensembles",
    "Proxy": "bytetok.sampling.ensembles",
    "Recipe": "bytetok.training.recipe",
    "SplitPattern": "bytetok.tokenizer.patterns",
    "TokenLM": "bytetok.lm",
    "Tokenizer": "bytetok.tokenizer.tokenizer",
    "Vocab": "bytetok.tokenizer.vocab",
    "complete": "bytetok.sampling.complete",
    "count_pretokens": "bytetok.training.counts",
    "count_to_parquet": "bytetok.training.counts",
    "diff": "bytetok.training.reshape",
    "evaluate": "bytetok.training.report",
    "extend": "bytetok.training.bpe",
    "fill": "bytetok.sampling.fill",
    "load_recipe": "bytetok.training.recipe",
    "prune": "bytetok.training.reshape",
    "read_texts": "bytetok.training.corpus",
    "sample": "bytetok.sampling.complete",
    "show": "bytetok.training.render",
    "show_html": "bytetok.training.render",
    "stream": "bytetok.sampling.complete",
    "train": "bytetok.training.build",
    "train_bpe": "bytetok.training.bpe",
    "train_superwords": "bytetok.training.superwords",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'bytetok' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
