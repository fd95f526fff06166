import os
from collections.abc import Callable, Sequence
from typing import final

__all__ = [
    "NAMED_PATTERNS",
    "UNICODE_VERSION",
    "Counter",
    "Counts",
    "Encoder",
    "Sorted",
    "Splitter",
    "merges_of_ranks",
    "train_bpe",
]

NAMED_PATTERNS: list[tuple[str, list[str]]]
UNICODE_VERSION: str

@final
class Splitter:
    def __new__(cls, stages: Sequence[str]) -> Splitter: ...
    @property
    def stages(self) -> list[str]: ...
    @property
    def is_linear(self) -> bool: ...
    def split(self, text: str | bytes) -> list[bytes]: ...

@final
class Counts:
    def __new__(cls) -> Counts: ...
    def __len__(self) -> int: ...
    def total(self) -> int: ...
    def add_batch(self, data: bytes, ends: bytes, counts: bytes) -> None: ...
    def add_all(self, other: Counts) -> None: ...
    def copy(self) -> Counts: ...
    def resplit(self, splitter: Splitter) -> Counts: ...
    def sorted(self) -> Sorted: ...

@final
class Sorted:
    def batch(self, most: int) -> tuple[bytes, bytes, bytes] | None: ...

@final
class Counter:
    def __new__(
        cls,
        splitter: Splitter,
        *,
        threads: int = 1,
        memory: int | None = None,
        spill_dir: str | os.PathLike[str] = ...,
        strict: bool = True,
    ) -> Counter: ...
    def add_documents(self, documents: Sequence[str | bytes]) -> None: ...
    def feed(self, chunk: str | bytes) -> None: ...
    def end_document(self, place: str) -> None: ...
    def add_file(self, path: str | os.PathLike[str], progress: Callable[[int], None] | None = None) -> None: ...
    @property
    def documents(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def spilled(self) -> int: ...
    def finish(self) -> Counts: ...
    def finish_sorted(self) -> Sorted: ...

@final
class Encoder:
    def __new__(
        cls,
        splitter: Splitter,
        tokens: Sequence[bytes],
        ordinary: Sequence[bool],
        merges: Sequence[tuple[int, int, int]],
        added: Sequence[tuple[str, int, bool, bool, bool, bool]],
        whole_first: bool,
        ranked: bool,
    ) -> Encoder: ...
    def encode(self, text: str | bytes, special: str) -> bytes: ...
    def encode_batch(self, texts: Sequence[str | bytes], special: str, threads: int) -> list[bytes]: ...

def merges_of_ranks(tokens: Sequence[bytes]) -> list[tuple[int, int, int]]: ...
def train_bpe(
    counts: Counts,
    *,
    tokens: Sequence[bytes],
    ordinary: Sequence[bool],
    start: Sequence[int | None] | Sequence[tuple[int, int, int]],
    vocab_size: int,
    min_count: int,
    max_length: int | None = None,
    characters: bool = False,
    forbidden: Sequence[bytes] = ...,
    ranked: bool = False,
    consume: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[bytes], list[tuple[int, int, int, int]]]: ...
