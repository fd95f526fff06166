"""Slow, obvious versions of what the engine does fast: the truth the tests hold it to.

Every function here is written for a reader, not for a clock: training recounts every pair before every merge, encoding
looks for the best pair again after every merge, splitting runs the regexes of a pattern through the ``regex`` package.

The oracles are themselves held to Hugging Face ``tokenizers`` by ``tests/parity``. Facts they rest on:

* ``regex`` 2025.9.18 knows Unicode 16.0, as ``tokenizers`` 0.23 and ``tiktoken`` 0.14 do: U+105C0 is a letter,
  U+10940 (new in Unicode 17) is not.
* Its ``\\s`` is exactly ``White_Space``: U+0085 and U+00A0 are in, U+001C..U+001F, U+180E, U+200B and U+FEFF are out
  (``str.isspace`` and the ``re`` module take U+001C..U+001F in).
* Its ``(?i:'s)`` also matches ``'ſ`` (U+017F), by simple case folding; no other letter of the contractions has a fold
  outside ASCII.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from regex16 import regex


def _byte_characters() -> tuple[str, ...]:
    """The character that stands for each byte in GPT-2's files.

    Bytes that print in Latin-1 stand for themselves; the other 68 take U+0100 and up, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte) if byte in printable else chr(next(others)) for byte in range(256))


BYTE_CHARACTERS = _byte_characters()
CHARACTER_BYTES = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}


def to_characters(token: bytes) -> str:
    """Bytes in GPT-2's spelling, as Hugging Face's files hold them: ``b" a"`` is ``"Ġa"``."""
    return "".join(BYTE_CHARACTERS[byte] for byte in token)


def from_characters(token: str) -> bytes:
    """The inverse of :func:`to_characters`; raises ``KeyError`` for a character that stands for no byte."""
    return bytes(CHARACTER_BYTES[character] for character in token)


# splitting and counting -----------------------------------------------------------------------------------------------


def naive_split(text: str, stages: Sequence[str]) -> list[str]:
    """Cuts text as a list of regexes says.

    Each stage isolates its matches within every piece that the stage before left: a match is a piece, and so is the
    text between two matches. A stage sees one piece at a time, so its lookaheads end where the piece ends. That is
    ``Split(regex, "isolated")`` of ``tokenizers``, and a sequence of them.
    """
    pieces = [text] if text else []
    for stage in stages:
        pattern = regex.compile(stage)
        pieces = [part for piece in pieces for part in _isolate(pattern, piece)]
    return pieces


def _isolate(pattern: regex.Pattern[str], piece: str) -> list[str]:
    parts = []
    end = 0
    for match in pattern.finditer(piece):
        if match.start() == match.end():
            raise ValueError(f"{pattern.pattern!r} matches the empty string at character {match.start()} of {piece!r}")
        if end < match.start():
            parts.append(piece[end : match.start()])
        parts.append(match.group())
        end = match.end()
    if end < len(piece):
        parts.append(piece[end:])
    return parts


def naive_count(docs: Iterable[str], stages: Sequence[str]) -> dict[bytes, int]:
    """How often each pretoken stands in the documents, sorted by its bytes."""
    counts: Counter[bytes] = Counter()
    for doc in docs:
        counts.update(piece.encode() for piece in naive_split(doc, stages))
    return dict(sorted(counts.items()))


# training -------------------------------------------------------------------------------------------------------------


def naive_length(token: bytes, unit: str) -> int:
    """The length of a token in ``"bytes"`` or in ``"characters"``.

    A character is a byte that starts one in UTF-8 (anything but 0x80..0xBF); continuation bytes at the front of a token
    belong to a character that started in the token before, and count as one more.
    """
    if unit == "bytes":
        return len(token)
    if unit != "characters":
        raise ValueError(f"unit is {unit!r}, expected 'bytes' or 'characters'")
    starts = sum(byte & 0xC0 != 0x80 for byte in token)
    return starts + bool(token and token[0] & 0xC0 == 0x80)


def naive_alphabet(counts: Mapping[bytes, int], alphabet: str | int) -> list[bytes]:
    """The single-byte tokens of a vocabulary in the order of their ids: that of GPT-2's characters.

    ``"bytes"`` is all 256, ``"seen"`` those that occur, a number the most frequent ones (at a tie, the byte whose
    character comes first; Hugging Face leaves that tie to its hash map).
    """
    if alphabet == "bytes":
        kept = list(range(256))
    else:
        frequency: Counter[int] = Counter()
        for word, count in counts.items():
            for byte in word:
                frequency[byte] += count
        kept = sorted(frequency, key=lambda byte: (-frequency[byte], BYTE_CHARACTERS[byte]))
        if alphabet != "seen":
            kept = kept[: int(alphabet)]
    return [bytes([byte]) for byte in sorted(kept, key=lambda byte: BYTE_CHARACTERS[byte])]


def naive_train_bpe(
    counts: Mapping[bytes, int],
    *,
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    alphabet: str | int = "bytes",
    min_count: int = 1,
    max_token_length: int | None = None,
    length_unit: str = "bytes",
) -> tuple[list[bytes], list[tuple[int, int]]]:
    """Byte-pair encoding as Hugging Face's ``BpeTrainer`` learns it, by recounting every pair before every merge.

    * Ids: special tokens, the alphabet (:func:`naive_alphabet`), then one a merge. Bytes outside the alphabet are
      dropped from the words, and their neighbors become adjacent.
    * A pair's count is the number of places where it stands, overlaps included: ``aaa`` holds ``(a, a)`` twice, though
      merging it, left to right, leaves ``aa a``.
    * The pair with the highest count is merged; at a tie, the one with the smaller left id, then the smaller right id.
    * Training ends when the vocabulary is full, or when no pair is left whose count is at least ``min_count``.
    * A pair that would give a token longer than ``max_token_length`` is never merged. Hugging Face checks a strict
      ``<``, and never checks the pairs of the alphabet: N bytes here are its N + 1, for N >= 2.
    * A pair that would spell a special token is never merged. Hugging Face merges it into the special token's id, so
      that plain text can give a control token: we differ on purpose.

    Returns:
        The token bytes by id, and the merges in rank order as pairs of ids.
    """
    tokens = [text.encode() for text in special_tokens]
    forbidden = set(tokens)
    letters = naive_alphabet(counts, alphabet)
    id_of = {letter[0]: len(tokens) + index for index, letter in enumerate(letters)}
    tokens += letters
    words = [([id_of[byte] for byte in word if byte in id_of], count) for word, count in counts.items()]
    merges: list[tuple[int, int]] = []

    def allowed(pair: tuple[int, int]) -> bool:
        token = tokens[pair[0]] + tokens[pair[1]]
        fits = max_token_length is None or naive_length(token, length_unit) <= max_token_length
        return fits and token not in forbidden

    while len(tokens) < vocab_size:
        pair_counts: Counter[tuple[int, int]] = Counter()
        for ids, count in words:
            for pair in pairwise(ids):
                pair_counts[pair] += count
        candidates = [(-count, pair) for pair, count in pair_counts.items() if allowed(pair)]
        if not candidates:
            break
        negative_count, best = min(candidates)
        if -negative_count < min_count:
            break
        merges.append(best)
        words = [(_merge_all(ids, best, len(tokens)), count) for ids, count in words]
        tokens.append(tokens[best[0]] + tokens[best[1]])
    return tokens, merges


def _merge_all(ids: list[int], pair: tuple[int, int], merged: int) -> list[int]:
    out = []
    at = 0
    while at < len(ids):
        if tuple(ids[at : at + 2]) == pair:
            out.append(merged)
            at += 2
        else:
            out.append(ids[at])
            at += 1
    return out


# encoding -------------------------------------------------------------------------------------------------------------


def naive_encode(tokens: Sequence[bytes], merges: Sequence[tuple[int, int]], pretoken: bytes) -> list[int]:
    """The token ids of one pretoken: the pair of the lowest rank is merged, the leftmost first, until none is left.

    Merges may stand in any order, and several may make the same token. Raises ``KeyError`` for a byte of the pretoken
    that is not in the vocabulary.
    """
    # Special tokens come first, so a later single byte of the same spelling wins.
    id_of = {token: index for index, token in enumerate(tokens)}
    rank_of = {pair: rank for rank, pair in enumerate(merges)}
    return _merge_best(
        [id_of[bytes([byte])] for byte in pretoken],
        rank_of.get,
        lambda left, right: id_of[tokens[left] + tokens[right]],
    )


def naive_encode_ranked(tokens: Sequence[bytes], pretoken: bytes) -> list[int]:
    """The token ids of one pretoken as tiktoken merges: any two neighbors that join to a token, the lowest id first.

    A pretoken that is a token is that token, even if no merging makes it. ``tokens`` hold ``b""`` where there is none,
    and for special tokens.
    """
    id_of = {token: index for index, token in enumerate(tokens) if token}
    if pretoken in id_of:
        return [id_of[pretoken]]
    return _merge_best(
        [id_of[bytes([byte])] for byte in pretoken],
        lambda pair: id_of.get(tokens[pair[0]] + tokens[pair[1]]),
        lambda left, right: id_of[tokens[left] + tokens[right]],
    )


def naive_encode_characters(
    tokens: Sequence[bytes],
    text: str,
    *,
    byte_ids: Sequence[int],
    merges: Sequence[tuple[int, int]] | None = None,
    scores: Sequence[float] | None = None,
) -> list[int]:
    """The token ids of a text as SentencePiece merges: from characters, spaces included, without a split pattern.

    A character that is no token falls back to the tokens of its bytes, which never merge. With ``scores`` any two
    neighbors that join to a token merge, the highest score first (a ``.model`` file); with ``merges`` those pairs, the
    lowest rank first (``tokenizers``). At a tie, the leftmost. The space that some put before the text is the caller's.
    """
    id_of = {token: index for index, token in enumerate(tokens) if token and index not in set(byte_ids)}
    start: list[int] = []
    for character in text.replace("\u2581", " "):
        spelled = character.encode()
        # The space is a U+2581 by then, and without a token it falls back to the bytes of that.
        in_file = "\u2581".encode() if character == " " else spelled
        start += [id_of[spelled]] if spelled in id_of else [byte_ids[byte] for byte in in_file]
    rank_of = {pair: rank for rank, pair in enumerate(merges or ())}

    def joined(pair: tuple[int, int]) -> int | None:
        return None if set(pair) & set(byte_ids) else id_of.get(tokens[pair[0]] + tokens[pair[1]])

    def rank(pair: tuple[int, int]) -> float | None:
        if scores is None:
            return rank_of.get(pair)
        token = joined(pair)
        return None if token is None else -scores[token]

    return _merge_best(start, rank, lambda left, right: id_of[tokens[left] + tokens[right]])


def _merge_best(
    ids: list[int], rank: Callable[[tuple[int, int]], float | None], join: Callable[[int, int], int]
) -> list[int]:
    """Joins the pair of the lowest rank, the leftmost of several, until no pair has a rank."""
    ids = list(ids)
    while True:
        ranks = [(rank(pair), at) for at, pair in enumerate(pairwise(ids))]
        places = [(value, at) for value, at in ranks if value is not None]
        if not places:
            return ids
        _, at = min(places)
        ids[at : at + 2] = [join(ids[at], ids[at + 1])]


def naive_encode_text(
    tokens: Sequence[bytes], merges: Sequence[tuple[int, int]], stages: Sequence[str], text: str
) -> list[int]:
    """The token ids of a text without special tokens: each pretoken is encoded on its own."""
    return [index for piece in naive_split(text, stages) for index in naive_encode(tokens, merges, piece.encode())]


# added tokens ---------------------------------------------------------------------------------------------------------


def naive_added(text: str, added: Sequence[Mapping[str, Any]], *, special_as_text: bool) -> list[int | str]:
    """Cuts text at added tokens, as Hugging Face's added vocabulary does: ids, and stretches of text between them.

    ``added`` are entries of tokenizer.json. At each place the longest text counts. A match that a flag refuses, or a
    special token that is to be text, is passed over whole. White space that a token has taken is searched again, and
    what is found in it counts; text after such a match that was taken already is there twice. A token that takes white
    space before it must have something left of its own.
    """
    parts: list[int | str] = []
    done = at = 0
    while at < len(text):
        entry = max(
            (entry for entry in added if text.startswith(entry["content"], at)),
            key=lambda entry: len(entry["content"]),
            default=None,
        )
        if entry is None:
            at += 1
            continue
        start, at = at, at + len(entry["content"])
        end = at
        if entry.get("special") and special_as_text:
            continue
        touched = regex.search(r"\w\Z", text[:start]) or regex.match(r"\w", text[end:])
        if entry.get("single_word") and touched:
            continue
        if entry.get("lstrip"):
            start = max(done, start - len(regex.search(r"\s*\Z", text[:start]).group()))
        if entry.get("rstrip"):
            end += len(regex.match(r"\s*", text[end:]).group())
        parts += [text[done:start]] if done < start else []
        parts += [entry["id"]] if start < end else []
        done = end
    return [*parts, text[done:]] if done < len(text) else parts
