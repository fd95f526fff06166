"""Vocabularies made smaller, and compared.

Pruning takes away the tokens that a corpus uses least, leaf first: a token that others are made of goes only after
them. What is left encodes to itself, token by token, because merging the bytes of a token never comes near the merges
of another one that is no part of it (see :mod:`bytetok.tokenizer.derivation`).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from bytetok.errors import TrainingError, VocabMismatchError
from bytetok.tokenizer.bytelevel import to_characters
from bytetok.tokenizer.derivation import Derivation, derivations, pretoken_encoder
from bytetok.tokenizer.foreign import ForeignTokenizer, ForeignVocab
from bytetok.tokenizer.tokenizer import Tokenizer
from bytetok.tokenizer.vocab import AddedToken, Vocab
from bytetok.training.counts import PretokenCounts

if TYPE_CHECKING:
    from rich.table import Table

_BATCH = 1 << 16
_EXAMPLES = 6


def prune(
    tokenizer: Tokenizer, counts: PretokenCounts, *, vocab_size: int, keep: Collection[bytes] = ()
) -> Tokenizer:
    """The same tokenizer with at most ``vocab_size`` tokens: those that the counted corpus uses most.

    Single bytes and added tokens, special or not, always stay, and so do the tokens of ``keep`` and what they are made
    of. Of all others that no token is made of, the one used least goes; of several, the one with the highest id. Its
    uses then fall to the two tokens that it was made of, or the tokens that its bytes become. Tokens that no text can
    turn into go first, even if there is room for them. The rest keep their order and their merges, in ids without gaps;
    :func:`id_map` says which became which.

    Raises TrainingError if ``vocab_size`` leaves no room for what stays or is more than there are, or ``keep`` holds a
    token that text cannot turn into; UnknownTokenError for one that is not there; VocabMismatchError if the counts were
    made with another split pattern.
    """
    if not isinstance(tokenizer, Tokenizer):
        raise TrainingError(f"{tokenizer!r} cannot be pruned: only byte-level BPE that our engine runs can be")
    if tokenizer.vocab.characters is not None:
        raise TrainingError(
            f"{tokenizer.name} cannot be pruned: its merges start from characters, as in SentencePiece; "
            "only byte-level BPE can be"
        )
    if counts.pattern.stages != tokenizer.pattern.stages:
        raise VocabMismatchError(
            f"the tokenizer splits by {tokenizer.pattern}, the counts were made by {counts.pattern}; count again with "
            "the tokenizer's pattern"
        )
    vocab = tokenizer.vocab
    if vocab_size > len(vocab):
        raise TrainingError(
            f"vocab_size {vocab_size} is more than the {len(vocab)} tokens there are; to make a vocabulary larger, "
            "extend it"
        )
    found = derivations(vocab)
    uses, unspelled = _uses(vocab, counts)
    alive = {
        token_id
        for token_id, derivation in found.items()
        if derivation.made or uses[token_id] or (vocab.whole_first and _is_whole(tokenizer, token_id))
    }
    stay = _staying(vocab, found, alive, keep)
    fixed = len(stay) + len(vocab.added_tokens)
    if vocab_size < fixed:
        raise TrainingError(
            f"vocab_size {vocab_size} has no room for the {fixed} tokens that stay: single bytes, added tokens, and "
            "those in keep with their parts"
        )
    gone = _fell(found, alive, stay, uses, len(alive) + len(vocab.added_tokens) - vocab_size)
    pruned = _without(vocab, alive - gone)
    provenance = {
        **tokenizer.provenance,
        "pruned": {
            "from": len(vocab),
            "to": len(pruned),
            "unreachable": len(found) - len(alive),
            "kept_on_request": len(set(keep)),
            "documents": counts.documents,
            "bytes": counts.bytes,
            "pretokens_with_unknown_bytes": unspelled,
        },
    }
    return Tokenizer(
        pruned, tokenizer.pattern, normalizer=tokenizer.normalizer, name=tokenizer.name, provenance=provenance
    )


def id_map(old: Tokenizer, new: Tokenizer) -> dict[int, int]:
    """New ids by old ids, for every token that both have: ordinary tokens by their bytes, added ones by their text."""
    before, after = _ids_of(old.vocab), _ids_of(new.vocab)
    return {token_id: after[token] for token, token_id in before.items() if token in after}


def _ids_of(vocab: Vocab | ForeignVocab) -> dict[bytes | str, int]:
    ids: dict[bytes | str, int] = {text: token.id for text, token in vocab.added_tokens.items()}
    added = set(ids.values())
    for token_id, token in enumerate(vocab.tokens):
        if token and token_id not in added:
            ids.setdefault(token, token_id)  # a foreign vocabulary may spell two tokens alike
    return ids


def _is_whole(tokenizer: Tokenizer, token_id: int) -> bool:
    token = tokenizer.vocab.tokens[token_id]
    return tokenizer.pattern.split(token) == [token]


def _staying(
    vocab: Vocab, found: Mapping[int, Derivation], alive: Collection[int], keep: Collection[bytes]
) -> set[int]:
    """Ids of the ordinary tokens that may not go: single bytes, and ``keep`` with all that it is made of."""
    stay = {token_id for token_id in found if len(vocab.tokens[token_id]) == 1}
    open_ids = [vocab.id_of(token) for token in keep]
    for token_id in open_ids:
        if token_id not in alive:
            raise TrainingError(
                f"token {token_id}, {vocab.tokens[token_id][:80]!r}, cannot be kept: its bytes never become it, but "
                f"{list(found[token_id].parts)}"
            )
    while open_ids:
        token_id = open_ids.pop()
        if token_id not in stay:
            stay.add(token_id)
            if found[token_id].made:
                open_ids.extend(found[token_id].parts)
    return stay


def _uses(vocab: Vocab, counts: PretokenCounts) -> tuple[list[int], int]:
    """How often each id occurs in the counted corpus, and how many pretokens hold a byte that the vocabulary lacks."""
    encoder = pretoken_encoder(vocab, whole_first=vocab.whole_first)
    alphabet = bytes(byte for byte in range(256) if vocab.get(bytes([byte])) is not None)
    low = np.zeros(len(vocab), dtype=np.uint64)
    high = np.zeros(len(vocab), dtype=np.uint64)
    unspelled = 0
    items = counts.items()
    while batch := list(islice(items, _BATCH)):
        spelled = [item for item in batch if not item[0].translate(None, alphabet)]
        unspelled += sum(count for _, count in batch) - sum(count for _, count in spelled)
        data, offsets = encoder.encode_ragged([pretoken for pretoken, _ in spelled], "text", 1)
        ids = np.frombuffer(data, dtype=np.uint32)
        weights = np.array([count for _, count in spelled], dtype=np.uint64)
        starts = np.frombuffer(offsets, dtype=np.int64)
        weights = np.repeat(weights, starts[1:] - starts[:-1])
        # Counts go up to 2^64: halves of them add up without passing it.
        np.add.at(low, ids, weights & np.uint64(0xFFFFFFFF))
        np.add.at(high, ids, weights >> np.uint64(32))
    return [(a << 32) + b for a, b in zip(high.tolist(), low.tolist(), strict=True)], unspelled


def _fell(
    found: Mapping[int, Derivation], alive: Collection[int], stay: Collection[int], uses: list[int], number: int
) -> set[int]:
    """The ids of ``number`` tokens that go, least used first and leaf first. Changes ``uses``."""
    parents = Counter(part for token_id in alive if found[token_id].made for part in found[token_id].parts)
    # A higher id was learned later, and is the first to go of tokens used alike.
    leaves = [(uses[token_id], -token_id) for token_id in alive if token_id not in stay and not parents[token_id]]
    heapq.heapify(leaves)
    gone: set[int] = set()
    while len(gone) < number:
        count, negative = heapq.heappop(leaves)
        token_id = -negative
        if token_id in gone or count != uses[token_id]:
            continue  # it has gained uses since, and stands further back, too
        gone.add(token_id)
        if found[token_id].made:
            parents.subtract(found[token_id].parts)
        heirs = list(found[token_id].parts)
        while heirs:
            heir = heirs.pop()
            if heir in gone:  # a part of a token that only whole pretokens become can go before it
                heirs.extend(found[heir].parts)
                continue
            uses[heir] += count
            if heir not in stay and not parents[heir]:
                heapq.heappush(leaves, (uses[heir], -heir))
    return gone


def _without(vocab: Vocab, ordinary: Collection[int]) -> Vocab:
    """The vocabulary of these ordinary tokens, the added tokens, and the merges among them, numbered without gaps."""
    kept = [token_id for token_id in range(len(vocab)) if token_id in ordinary or vocab.is_added(token_id)]
    new = {token_id: place for place, token_id in enumerate(kept)}
    merges = tuple(
        (new[left], new[right])
        for left, right, token in vocab.merge_triples
        if left in new and right in new and token in new
    )
    added = {text: token._replace(id=new[token.id]) for text, token in vocab.added_tokens.items()}
    return Vocab(tuple(vocab.tokens[token_id] for token_id in kept), merges, added, vocab.whole_first, vocab.ranked)


@dataclass(frozen=True)
class VocabDiff:
    """What two tokenizers do not share. False if nothing; then they encode alike.

    Attributes:
        names: the names of both, a first, as everywhere here.
        sizes: their numbers of ids.
        common: the number of tokens that both have, under the same id or not, added tokens not counted.
        only_in_a: ordinary tokens that b lacks, in the order of their ids.
        only_in_b: ordinary tokens that a lacks.
        moved: tokens that both have, with their ids in a and in b, where these differ.
        added_only_in_a: texts of added tokens that b lacks.
        added_only_in_b: texts of added tokens that a lacks.
        added_changed: added tokens of the same text whose id or flags differ, as they are in a and in b.
        merges_only_in_a: merges that b lacks, as pairs of token bytes, in rank order.
        merges_only_in_b: merges that a lacks.
        merges_reordered: whether the merges that both have come in another order.
        patterns: the split patterns, if they differ.
        rules: rules of merging that differ, ``whole_first`` or ``ranked``.
    """

    names: tuple[str, str]
    sizes: tuple[int, int]
    common: int
    only_in_a: tuple[bytes, ...]
    only_in_b: tuple[bytes, ...]
    moved: tuple[tuple[bytes, int, int], ...]
    added_only_in_a: tuple[str, ...]
    added_only_in_b: tuple[str, ...]
    added_changed: tuple[tuple[AddedToken, AddedToken], ...]
    merges_only_in_a: tuple[tuple[bytes, bytes], ...]
    merges_only_in_b: tuple[tuple[bytes, bytes], ...]
    merges_reordered: bool
    patterns: tuple[str, str] | None
    rules: tuple[str, ...]

    def __bool__(self) -> bool:
        found = (
            self.only_in_a, self.only_in_b, self.moved, self.added_only_in_a, self.added_only_in_b, self.added_changed,
            self.merges_only_in_a, self.merges_only_in_b, self.merges_reordered, self.patterns, self.rules,
        )  # fmt: skip
        return any(found) or self.sizes[0] != self.sizes[1]

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON. Ordinary tokens are spelled in GPT-2's characters, as in tokenizer.json."""
        return {
            "names": list(self.names),
            "sizes": list(self.sizes),
            "equal": not self,
            "common": self.common,
            "only_in_a": [to_characters(token) for token in self.only_in_a],
            "only_in_b": [to_characters(token) for token in self.only_in_b],
            "moved": [{"token": to_characters(token), "a": a, "b": b} for token, a, b in self.moved],
            "added_only_in_a": list(self.added_only_in_a),
            "added_only_in_b": list(self.added_only_in_b),
            "added_changed": [{"a": a._asdict(), "b": b._asdict()} for a, b in self.added_changed],
            "merges_only_in_a": [[to_characters(part) for part in pair] for pair in self.merges_only_in_a],
            "merges_only_in_b": [[to_characters(part) for part in pair] for pair in self.merges_only_in_b],
            "merges_reordered": self.merges_reordered,
            "patterns": None if self.patterns is None else list(self.patterns),
            "rules": list(self.rules),
        }

    def table(self) -> Table:
        """The number of each kind of difference with a few examples, for ``rich.print``."""
        from rich.table import Table
        from rich.text import Text

        a, b = self.names
        if a == b:
            a, b = f"{a} (1)", f"{b} (2)"
        rows: list[tuple[str, int | str, Sequence[str]]] = [
            ("tokens in both", self.common, []),
            (f"tokens only in {a}", len(self.only_in_a), [_shown(token) for token in self.only_in_a[:_EXAMPLES]]),
            (f"tokens only in {b}", len(self.only_in_b), [_shown(token) for token in self.only_in_b[:_EXAMPLES]]),
            ("other id", len(self.moved), [f"{_shown(token)} {i} → {j}" for token, i, j in self.moved[:_EXAMPLES]]),
            (f"added tokens only in {a}", len(self.added_only_in_a), self.added_only_in_a[:_EXAMPLES]),
            (f"added tokens only in {b}", len(self.added_only_in_b), self.added_only_in_b[:_EXAMPLES]),
            ("added tokens changed", len(self.added_changed), [old.text for old, _ in self.added_changed[:_EXAMPLES]]),
            (f"merges only in {a}", len(self.merges_only_in_a), _joined(self.merges_only_in_a)),
            (f"merges only in {b}", len(self.merges_only_in_b), _joined(self.merges_only_in_b)),
            ("order of common merges", "differs" if self.merges_reordered else "same", []),
            ("split pattern", "differs" if self.patterns else "same", self.patterns or []),
            ("rules of merging", "differ" if self.rules else "same", self.rules),
        ]
        table = Table(title=Text(f"{a} ({self.sizes[0]:,} ids) and {b} ({self.sizes[1]:,} ids)"))
        table.add_column("what")
        table.add_column("how many", justify="right")
        table.add_column("examples", overflow="fold")
        for what, number, examples in rows:
            shown = f"{number:,}" if isinstance(number, int) else number
            table.add_row(Text(what), shown, Text("   ".join(examples)))
        return table


def diff(a: Tokenizer | ForeignTokenizer, b: Tokenizer | ForeignTokenizer) -> VocabDiff:
    """Compare two tokenizers: tokens, ids, added tokens, merges, split pattern.

    Of a foreign tokenizer, merges and pattern are not known and count as none.
    """
    tokens_a, tokens_b = _ordinary_ids(a), _ordinary_ids(b)
    added_a, added_b = a.vocab.added_tokens, b.vocab.added_tokens
    common = [token for token in tokens_a if token in tokens_b]
    merges_a, merges_b = _merges_of(a), _merges_of(b)
    shared_a = [merge for merge in merges_a if merge in merges_b]
    shared_b = [merge for merge in merges_b if merge in merges_a]
    stages_a, stages_b = (None if t.pattern is None else t.pattern.stages for t in (a, b))
    return VocabDiff(
        names=(a.name, b.name),
        sizes=(len(a.vocab), len(b.vocab)),
        common=len(common),
        only_in_a=tuple(token for token in tokens_a if token not in tokens_b),
        only_in_b=tuple(token for token in tokens_b if token not in tokens_a),
        moved=tuple(
            (token, tokens_a[token], tokens_b[token]) for token in common if tokens_a[token] != tokens_b[token]
        ),
        added_only_in_a=tuple(text for text in added_a if text not in added_b),
        added_only_in_b=tuple(text for text in added_b if text not in added_a),
        added_changed=tuple(
            (added_a[text], added_b[text]) for text in added_a if text in added_b and added_a[text] != added_b[text]
        ),
        merges_only_in_a=tuple(merge for merge in merges_a if merge not in merges_b),
        merges_only_in_b=tuple(merge for merge in merges_b if merge not in merges_a),
        merges_reordered=shared_a != shared_b,
        patterns=None if stages_a == stages_b else (str(a.pattern or "unknown"), str(b.pattern or "unknown")),
        rules=tuple(
            rule
            for rule in ("whole_first", "ranked")
            if getattr(a.vocab, rule, False) != getattr(b.vocab, rule, False)
        ),
    )


def _ordinary_ids(tokenizer: Tokenizer | ForeignTokenizer) -> dict[bytes, int]:
    return {token: token_id for token, token_id in _ids_of(tokenizer.vocab).items() if isinstance(token, bytes)}


def _merges_of(tokenizer: Tokenizer | ForeignTokenizer) -> dict[tuple[bytes, bytes], None]:
    if not isinstance(tokenizer, Tokenizer):
        return {}
    tokens = tokenizer.vocab.tokens
    return {(tokens[left], tokens[right]): None for left, right in tokenizer.vocab.merges}


def _shown(token: bytes) -> str:
    """A token in quotes: as text if it is UTF-8, else as bytes."""
    try:
        return repr(token.decode())
    except UnicodeDecodeError:
        return repr(token)


def _joined(merges: Sequence[tuple[bytes, bytes]]) -> list[str]:
    return [f"{_shown(left)} + {_shown(right)}" for left, right in merges[:_EXAMPLES]]
