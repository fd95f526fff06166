"""Domain tokens: the strings a field uses, and where each may stand in a vocabulary without harm.

A *domain token* is a string that should be one token whatever the training text held: "Fed.", "(iv)", "1998", "</td>".
This module does two things. `domain_tokens` lists such strings by group; `place_domain_tokens` decides for each how it
can join a trained vocabulary without matching inside a word and without making another token unreachable:

* "whole": a vocabulary entry used only where an entire pretoken equals it (``ignore_merges`` in tokenizer.json);
* "added": an added token, matched in the text before it is split, for a string that crosses pretoken borders.

It does not train, and it does not choose ids. Strings are in a fixed order: the same call gives the same tuple.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from bytetok.errors import EncodingError, MissingDependencyError, TrainingError

# --- the strings, by group


def citations() -> tuple[str, ...]:
    """Pieces of legal citations: "U.S.", "F.3d", "Ass'n", "(2d)".

    Source: the package reporters-db of the Free Law Project (BSD-2-Clause), read when called and never copied here. The
    names of its laws, reporters with their editions and variations, journals and case-name abbreviations are cut at
    white space; without the editions, "F.2d" and "F.3d" would be missing.
    A piece in more names comes first, so that a limit keeps the common ones; equals are in code point order. Pieces
    without a letter are left out: "(5" would cut the accountant's "(5,123)".

    Raises `MissingDependencyError` where reporters-db is not installed.
    """
    try:
        import reporters_db
    except ImportError as err:
        raise MissingDependencyError(
            "the domain token group 'citations' reads the package reporters-db, which is not installed; "
            "run: pip install 'bytetok-lm[domain]'"
        ) from err
    names: set[str] = {*reporters_db.LAWS, *reporters_db.JOURNALS, *reporters_db.CASE_NAME_ABBREVIATIONS}
    for reporter, entries in reporters_db.REPORTERS.items():
        names.add(reporter)
        for entry in entries:
            names.update(entry["editions"], entry["variations"])
    pieces = Counter(piece for name in names for piece in name.split())
    ranked = sorted(pieces, key=lambda piece: (-pieces[piece], piece))
    return _several_characters(piece for piece in ranked if any(map(str.isalpha, piece)))


def enumerations() -> tuple[str, ...]:
    """Paragraph marks of statutes and contracts: (a)..(z), (A)..(Z), (1)..(99), (i)..(xx), (I)..(XX)."""
    roman = [_roman(number) for number in range(1, 21)]
    marks = [*string.ascii_lowercase, *string.ascii_uppercase, *map(str, range(1, 100))]
    return _several_characters(f"({mark})" for mark in [*marks, *roman, *map(str.upper, roman)])


def years() -> tuple[str, ...]:
    """The years 1776..2050, both included: the span of US law and of dates named in contracts."""
    return tuple(map(str, range(1776, 2051)))


def numbers() -> tuple[str, ...]:
    """The numbers 10..999 in decimal digits; one-digit numbers are single bytes already."""
    return tuple(map(str, range(10, 1000)))


# Elements that carry text or tables; the short ones are the frequent ones.
_HTML_ELEMENTS = """
html head body title meta link style script div span p br hr a b i u em strong font center sup sub small blockquote
h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table caption thead tbody tfoot tr th td img iframe svg form label input button
select option textarea pre code
"""
_HTML_ATTRIBUTES = "href src alt title class id style width height align valign colspan rowspan"


def html() -> tuple[str, ...]:
    """Tags as ``<td``, ``<td>``, ``</td>``, and attributes as `` href=``, in lower and upper case (old filings shout).

    Source: element and attribute names of the HTML Living Standard and of HTML 4.01.
    """
    tags = [form.format(element) for element in _HTML_ELEMENTS.split() for form in ("<{}", "<{}>", "</{}>")]
    names = [*tags, *(f" {attribute}=" for attribute in _HTML_ATTRIBUTES.split())]
    return _several_characters([*names, *map(str.upper, names), "&nbsp;", "&amp;", "&lt;", "&gt;", "&#160;"])


def markdown() -> tuple[str, ...]:
    """Heading marks, emphasis, fences, links, tasks, and rules of 2..8 equal signs. Source: CommonMark and GFM."""
    headings = ["#" * level for level in range(2, 7)]
    rules = [sign * length for sign in "*~-=_." for length in range(2, 9)]
    return _several_characters([*headings, "```", "![", "](", "[^", "- [ ]", "- [x]", *rules])


def json() -> tuple[str, ...]:
    """What stands between JSON strings and containers, and the three literals. Source: RFC 8259.

    Nothing here ends in a space: that would take the space from the word that follows.
    """
    quotes = ('{"', '"}', '["', '"]', '":', '","', '":"', '", "', '": "')
    brackets = ("},{", "],[", "}]", "[{", "[]", "{}", "},", "],")
    return (*quotes, *brackets, "null", "true", "false")


def xml() -> tuple[str, ...]:
    """Marks of comments, CDATA, declarations and tags. Source: XML 1.0."""
    return ("<!--", "-->", "<![CDATA[", "]]>", "<?xml", "?>", "<!DOCTYPE", "</", "/>", " xmlns:", ' xmlns="')


def uris() -> tuple[str, ...]:
    """Starts of URIs behind what stands before them: `` https://``, ``(www.``, ``"mailto:``. Source: RFC 3986.

    Why never bare: "https://" has to be kept from matching in "xhttps://", and the only guard that files know
    (``single_word``) also looks to the right, where a URI always goes on with a letter. It would never match.
    """
    starts = ("https://", "http://", "ftp://", "www.", "mailto:", "tel:")
    return ("://", *(before + start for start in starts for before in (" ", "(", '"', "<")))


def whitespace() -> tuple[str, ...]:
    """Runs of 2..8 spaces, tabs or newlines, 1..4 times "\\r\\n", and a tab before a space."""
    runs = [sign * length for sign in " \t\n" for length in range(2, 9)]
    return (*runs, *("\r\n" * length for length in range(1, 5)), "\t ")


_GROUPS: Mapping[str, Callable[[], tuple[str, ...]]] = {
    "citations": citations,
    "enumerations": enumerations,
    "years": years,
    "numbers": numbers,
    "html": html,
    "markdown": markdown,
    "json": json,
    "xml": xml,
    "uris": uris,
    "whitespace": whitespace,
}
#: Names of the groups, for `domain_tokens`.
DOMAIN_GROUPS: tuple[str, ...] = tuple(_GROUPS)


def domain_tokens(groups: Iterable[str], extra: Iterable[str] = ()) -> tuple[str, ...]:
    """The strings of the named groups, in the given order, then ``extra``; each string once.

    Raises `TrainingError` for an unknown group and `MissingDependencyError` where a group needs an optional package.
    """
    strings: list[str] = []
    for group in groups:
        if group not in _GROUPS:
            raise TrainingError(f"no domain token group is called {group!r}; known: {', '.join(DOMAIN_GROUPS)}")
        strings.extend(_GROUPS[group]())
    return tuple(dict.fromkeys([*strings, *extra]))


def _several_characters(strings: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in strings if len(text) > 1))


def _roman(number: int) -> str:
    """Lower case, for 1..39: ``_roman(14) == "xiv"``."""
    ones = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")
    return "x" * (number // 10) + ones[number % 10]


# --- where they stand in a vocabulary


@dataclass(frozen=True)
class AddedTokenSpec:
    """An added token that has no id yet. The fields are those of an added token in tokenizer.json.

    ``single_word`` lets it match only where no word character touches it, on either side.
    """

    text: str
    single_word: bool
    special: bool = False
    normalized: bool = False


@dataclass(frozen=True)
class Placement:
    """What became of each string given to `place_domain_tokens`.

    ``whole`` and ``added`` together are the new tokens, each in order of priority. ``present`` are forms the vocabulary
    had already; ``dropped`` pairs every other form with the reason.
    """

    whole: tuple[bytes, ...]
    added: tuple[AddedTokenSpec, ...]
    present: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        """The number of new tokens."""
        return len(self.whole) + len(self.added)


def place_domain_tokens(
    strings: Iterable[str],
    pattern: str,
    *,
    vocab_tokens: Collection[bytes],
    split: Callable[[str], list[bytes]],
    limit: int | None = None,
    counts: Mapping[str, int] | None = None,
    min_count: int = 0,
    space_prefixed: bool = True,
) -> Placement:
    """Decide for each string how it can join a vocabulary so that it never matches inside a word.

    ``split`` is the split pattern as a function, ``pattern`` its name for the reasons given, ``vocab_tokens`` the bytes
    of every token there is, special tokens included. A string that is one pretoken becomes "whole"; one that crosses
    pretoken borders becomes "added", with ``single_word`` where it starts or ends with a word character. A word is a
    run of word characters: "(a)" may match in "552(a)", "cal." never in "medical.".

    With ``space_prefixed``, "Fed." brings " Fed." along, since text has a space before most words and a lone space
    would cost a token; an added form gets its space only if it ends in a non-word character, because ``single_word``
    would reject it after every word.

    Left out: single characters (the byte alphabet covers them), white space that is not one pretoken, and any added
    token that occurs in another token, because that one could then never be made again.

    ``limit`` bounds the number of new tokens, ``counts`` (occurrences by form, with its space; absent is 0) gives the
    priority, largest first and equals in the given order, and forms seen fewer than ``min_count`` times are dropped:
    they would be dead tokens. `count_added` counts added tokens; pretoken counts count whole ones.

    Raises `TrainingError` for an empty string, a negative ``limit`` or a ``min_count`` without ``counts``, and
    `EncodingError` for a string with lone surrogates.
    """
    if limit is not None and limit < 0:
        raise TrainingError(f"the limit of domain tokens is {limit}; expected 0 or more, or None for no limit")
    if min_count > 0 and counts is None:
        raise TrainingError(
            f"min_count={min_count} drops domain tokens that are rare, which needs counts; pass counts=, or min_count=0"
        )
    vocab = frozenset(vocab_tokens)
    candidates: dict[str, bool] = {}  # form -> whether it is one pretoken
    present: list[str] = []
    dropped: list[tuple[str, str]] = []
    for text in _forms(strings, split, space_prefixed=space_prefixed):
        if len(text) == 1:
            dropped.append((text, "a single character: it is in the byte alphabet, or training learns it"))
        elif text.encode() in vocab:
            present.append(text)
        elif counts is not None and counts.get(text, 0) < min_count:
            dropped.append((text, f"seen {counts.get(text, 0)} times, fewer than {min_count}"))
        elif len(split(text)) == 1:
            candidates[text] = True
        elif text.isspace():
            dropped.append((text, f"white space that is more than one pretoken of {pattern!r}"))
        else:
            candidates[text] = False

    # Byte 0xFF is in no UTF-8 text, so a search in the joined tokens finds nothing that straddles two of them.
    tokens = b"\xff".join([*sorted(vocab), *(text.encode() for text, one in candidates.items() if one)])
    for text in [text for text, one in candidates.items() if not one]:
        cut = _token_cut_by(text, tokens)
        if cut is not None:
            del candidates[text]
            dropped.append((text, f"it would cut the token {cut[:40]!r}, which then could never be made"))

    ranked = list(candidates)
    if counts is not None:
        ranked.sort(key=lambda text: -counts.get(text, 0))
    kept = ranked if limit is None else ranked[:limit]
    dropped += [(text, f"over the limit of {limit} domain tokens") for text in ranked[len(kept) :]]
    return Placement(
        whole=tuple(text.encode() for text in kept if candidates[text]),
        added=tuple(AddedTokenSpec(text, single_word=_needs_guard(text)) for text in kept if not candidates[text]),
        present=tuple(present),
        dropped=tuple(dropped),
    )


def count_added(texts: Iterable[str], added: Sequence[AddedTokenSpec]) -> dict[str, int]:
    """How often each added token occurs in ``texts``, matched as in tokenizer.json: leftmost, longest, not overlapping.

    As there, a match that ``single_word`` rejects still uses up its text. Every token of ``added`` is a key.
    """
    counts = {token.text: 0 for token in added}
    if not counts:
        return counts
    guarded = {token.text for token in added if token.single_word}
    matches = re.compile(_alternatives(sorted(counts))).finditer
    for text in texts:
        for match in matches(text):
            found, start, end = match[0], match.start(), match.end()
            if found in guarded and (_is_word(text[start - 1 : start]) or _is_word(text[end : end + 1])):
                continue
            counts[found] += 1
    return counts


def pad_size(size: int) -> int:
    """The smallest power of two that is at least ``size``; a power of two stays as it is. ``size`` is 1 or more."""
    if size < 1:
        raise TrainingError(f"cannot pad a vocabulary of {size} tokens; expected 1 or more")
    return 1 << (size - 1).bit_length()


def reserved_tokens(count: int, *, taken: Collection[str] = ()) -> tuple[str, ...]:
    """``count`` names ``<|reserved_0|>``, ``<|reserved_1|>``, ... that are not in ``taken``.

    They fill a padded vocabulary with ids that can be named later. Runs of spaces or newlines, the other habit, would
    split text before BPE sees it.
    """
    if count < 0:
        raise TrainingError(f"cannot reserve {count} tokens; expected 0 or more")
    names = (f"<|reserved_{number}|>" for number in range(count + len(taken)))
    return tuple(name for name in names if name not in taken)[:count]


def _forms(strings: Iterable[str], split: Callable[[str], list[bytes]], *, space_prefixed: bool) -> list[str]:
    """Each string, followed by its form after a space where that can be a useful token; every form once."""
    forms: list[str] = []
    for text in strings:
        if not text:
            raise TrainingError("a domain token is the empty string; expected at least two characters")
        try:
            text.encode()
        except UnicodeEncodeError as err:
            raise EncodingError(
                f"the domain token {text[:80]!r} has a lone surrogate at character {err.start}; expected valid Unicode"
            ) from err
        forms.append(text)
        if space_prefixed and len(text) > 1 and (text[0].isalnum() or text[0] in "(§¶"):
            spaced = f" {text}"
            if not _is_word(text[-1]) or len(split(spaced)) == 1:
                forms.append(spaced)
    return list(dict.fromkeys(forms))


def _needs_guard(text: str) -> bool:
    return _is_word(text[0]) or _is_word(text[-1])


def _is_word(char: str) -> bool:
    r"""Whether ``char`` is a word character, as ``\w`` of the engine that matches added tokens; False for "".

    Python's ``\w`` leaves out combining marks, connector punctuation and the joiners, which that engine counts as word.
    """
    return char.isalnum() or (char != "" and (unicodedata.category(char) in _WORD_CATEGORIES or char in "\u200c\u200d"))


_WORD_CATEGORIES = frozenset({"Mn", "Mc", "Me", "Nl", "Pc"})


def _token_cut_by(text: str, tokens: bytes) -> bytes | None:
    """A token, of those joined by 0xFF in ``tokens``, within which the added token ``text`` would match; None if none.

    Only a neighbor within the token can be held against a match: at its ends, the surroundings may allow it. A neighbor
    that is not ASCII may be half a character and counts as no obstacle either.
    """
    needle = text.encode()
    guarded = _needs_guard(text)
    start = tokens.find(needle)
    while start >= 0:
        end = start + len(needle)
        neighbors = (*tokens[max(start - 1, 0) : start], *tokens[end : end + 1])
        if not (guarded and any(byte < 0x80 and _is_word(chr(byte)) for byte in neighbors)):
            return tokens[tokens.rfind(b"\xff", 0, start) + 1 :].split(b"\xff", 1)[0]
        start = tokens.find(needle, start + 1)
    return None


def _alternatives(strings: Sequence[str]) -> str:
    """A regular expression that matches the longest of ``strings``, which are sorted, distinct and not all empty.

    Common beginnings are shared, so the time at a position depends on the depth of the tree, not on how many there are.
    """
    ends = strings[0] == ""
    branches: list[str] = []
    for first, group in groupby(strings[1:] if ends else strings, key=lambda text: text[0]):
        rest = [text[1:] for text in group]
        branches.append(re.escape(first) + ("" if rest == [""] else _alternatives(rest)))
    body = branches[0] if len(branches) == 1 and not ends else f"(?:{'|'.join(branches)})"
    return f"{body}?" if ends else body
