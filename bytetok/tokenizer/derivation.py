"""How merges make each token, which decides what can be taken away and what another format can express.

One fact carries all of it: where two cuts of a text are still there, merging between them went as it would have gone on
that stretch alone. So a token that its merges make of its own bytes is always made in the same way, by the same last
pair, wherever it stands; and a token that they do not make of its own bytes is never made at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bytetok import _core
from bytetok.tokenizer.patterns import SplitPattern
from bytetok.tokenizer.vocab import Vocab


@dataclass(frozen=True)
class Derivation:
    """What merges alone do with the bytes of one token.

    ``made``: they make the token. ``parts`` are then the two tokens that are joined last; of a single byte, none. If
    they do not make it, ``parts`` are the tokens that its bytes become instead, or nothing if a byte has no token.
    """

    parts: tuple[int, ...]
    made: bool


def pretoken_encoder(vocab: Vocab, *, whole_first: bool) -> _core.Encoder:
    """An encoder of single pretokens: it neither splits nor looks for added tokens."""
    return _core.Encoder(
        SplitPattern.of("none").core,
        list(vocab.tokens),
        vocab.ordinary(),
        merges=None if vocab.ranked else vocab.merge_triples,
        whole_first=whole_first,
    )


def derivations(vocab: Vocab) -> dict[int, Derivation]:
    """The derivation of each ordinary token, by id."""
    ordinary = [token_id for token_id, is_ordinary in enumerate(vocab.ordinary()) if is_ordinary]
    letters = {vocab.tokens[token_id]: token_id for token_id in ordinary if len(vocab.tokens[token_id]) == 1}
    alphabet = b"".join(letters)
    found: dict[int, Derivation] = {}
    spelled: list[int] = []
    for token_id in ordinary:
        token = vocab.tokens[token_id]
        if len(token) == 1:
            found[token_id] = Derivation((), made=True)
        elif token.translate(None, alphabet):
            found[token_id] = Derivation((), made=False)
        else:
            spelled.append(token_id)
    ways = Counter(token for _, _, token in vocab.merge_triples)
    only_way = {token: (left, right) for left, right, token in vocab.merge_triples if ways[token] == 1}
    ranks: dict[tuple[int, int], tuple[int, int]] = {}
    for rank, (left, right, made) in enumerate(vocab.merge_triples):
        ranks.setdefault((left, right), (made if vocab.ranked else rank, made))
    encoded = pretoken_encoder(vocab, whole_first=False).encode_batch(
        [vocab.tokens[token_id] for token_id in spelled], "text", 1
    )
    for token_id, parts_of in zip(spelled, encoded, strict=True):
        ids = tuple(parts_of)
        if ids != (token_id,):
            found[token_id] = Derivation(ids, made=False)
        else:
            parts = only_way.get(token_id) or _last_pair(vocab.tokens[token_id], letters, ranks)
            found[token_id] = Derivation(parts, made=True)
    return found


def _last_pair(
    token: bytes, letters: Mapping[bytes, int], ranks: Mapping[tuple[int, int], tuple[int, int]]
) -> tuple[int, ...]:
    """The two ids that are left before the last merge of a token that merges make."""
    ids = [letters[token[at : at + 1]] for at in range(len(token))]
    while len(ids) > 2:
        candidates = [(ranks[pair], at) for at in range(len(ids) - 1) if (pair := (ids[at], ids[at + 1])) in ranks]
        (_, made), at = min(candidates)
        ids[at : at + 2] = [made]
    return tuple(ids)
