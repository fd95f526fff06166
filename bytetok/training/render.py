"""Show how a tokenizer cuts a text, in the terminal and in HTML.

Both views make everything visible: ``·`` is a space, ``→`` a tab, ``↵`` a newline (and then the line breaks), ``⟨CR⟩``
a carriage return; bytes that are only part of a character appear as ``⟨E2⟩``, control and invisible characters as
``⟨U+202E⟩``. Neighboring tokens never have the same color.
"""

from __future__ import annotations

import html
import os
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bytetok.training.encoding import Document, TokenizerLike, encode_texts

if TYPE_CHECKING:
    from rich.text import Text

# Okabe and Ito's palette, lightened: told apart by readers with any color vision, black letters readable on all.
COLORS: tuple[str, ...] = ("#f5c26b", "#8cc8f0", "#f4ec8c", "#e0a8c8")
"""Backgrounds of successive tokens."""
_DARK_COLORS = ("#7a4b00", "#0b4f7d", "#5c5600", "#7a2f5c")

_VISIBLE = {" ": "·", "\t": "→", "\n": "↵\n", "\r": "⟨CR⟩"}
_JOINERS = "\u200c\u200d"  # within a token they shape words and emoji; at its start they join nothing and must be seen


def token_pieces(tokenizer: TokenizerLike, text: Document) -> list[tuple[int, bytes]]:
    """(token id, bytes) of each token of ``text``; the bytes are those of the decoded text, so they join to it."""
    ids = encode_texts(tokenizer, [text])[0]
    data = tokenizer.decode_bytes(ids)
    return [(i, data[start:end]) for i, (start, end) in zip(ids, tokenizer.spans(ids), strict=True)]


def visible(token: bytes) -> str:
    """``token`` as text that hides nothing: see the module's description. A newline stays a line break after ``↵``."""
    return "".join(shown for shown, _ in _visible_parts(token))


def _visible_parts(token: bytes) -> Iterator[tuple[str, bool]]:
    """Yield (shown text, whether it stands for something else) for each character or partial byte."""
    for index, char in enumerate(token.decode("utf-8", errors="surrogateescape")):
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: byte 0x80..0xFF that is no part of a whole character
            yield f"⟨{code - 0xDC00:02X}⟩", True
        elif char in _VISIBLE:
            yield _VISIBLE[char], True
        elif char in _JOINERS and index > 0:
            yield char, False
        elif unicodedata.category(char) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
            yield f"⟨U+{code:04X}⟩", True
        else:
            yield char, False


def show(tokenizer: TokenizerLike, text: Document, *, color: bool | None = None) -> Text:
    """The text with one background color a token, for ``rich.print``.

    Args:
        tokenizer: what cuts the text; special tokens in it are shown as the ordinary text they are.
        text: ``str`` or ``bytes``.
        color: ``False`` separates tokens with ``|`` instead. ``None`` decides by the environment: no color where
            ``NO_COLOR`` is set (https://no-color.org) or ``TERM`` is ``dumb``. A caller that writes to a file or pipe
            should pass ``False``.
    """
    from rich.text import Text

    if color is None:
        color = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    result = Text()
    for index, (_, token) in enumerate(token_pieces(tokenizer, text)):
        if color:
            result.append(visible(token), style=f"black on {COLORS[index % len(COLORS)]}")
        else:
            result.append(("|" if index else "") + visible(token))
    return result


def show_html(tokenizer: TokenizerLike, text: Document, *, page: bool = True) -> str:
    """The same view as HTML; each token's tooltip gives its id and its bytes.

    Args:
        tokenizer: what cuts the text.
        text: ``str`` or ``bytes``; everything in it is escaped.
        page: ``True`` gives a whole page, ``False`` a fragment to put into another. Neither loads anything.
    """
    fragment = f"<style>{TOKEN_CSS}</style>\n{tokens_html(token_pieces(tokenizer, text))}"
    if not page:
        return fragment
    title = html.escape(tokenizer.name)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}: tokens</title>\n"
        "<style>:root{color-scheme:light dark}body{margin:2rem auto;max-width:60rem;padding:0 1rem;"
        "font:1rem/1.5 system-ui,sans-serif}</style>\n"
        f"</head>\n<body>\n<h1>{title}</h1>\n{fragment}\n</body>\n</html>\n"
    )


TOKEN_CSS = (
    ".bt-tokens{white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.9;margin:0;"
    "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}"
    ".bt-tokens span{border-radius:3px;padding:2px 0;color:#111}"
    ".bt-tokens i{font-style:normal;opacity:.55}"
    + "".join(f".bt-tokens .c{n}{{background:{color}}}" for n, color in enumerate(COLORS))
    + "@media (prefers-color-scheme:dark){.bt-tokens span{color:#fff}"
    + "".join(f".bt-tokens .c{n}{{background:{color}}}" for n, color in enumerate(_DARK_COLORS))
    + "}"
)
"""The style of :func:`tokens_html`: light and dark, classes prefixed with ``bt-``."""


def tokens_html(pieces: Sequence[tuple[int, bytes]]) -> str:
    """A ``<pre>`` of colored tokens, to stand in a page that holds :data:`TOKEN_CSS`. All text is escaped."""
    spans = []
    for index, (token_id, token) in enumerate(pieces):
        shown = "".join(
            # With their spaces shown as dots, lines would otherwise break anywhere.
            f"<i>{html.escape(part)}</i>{'<wbr>' if part == '·' else ''}" if stands_for else html.escape(part)
            for part, stands_for in _visible_parts(token)
        )
        tooltip = f"id {token_id} · bytes {token.hex(' ').upper()}"
        spans.append(f'<span class="c{index % len(COLORS)}" title="{tooltip}">{shown}</span>')
    # HTML drops a newline right after <pre>; the text never starts with one, as a shown newline follows its arrow.
    return f'<pre class="bt-tokens">{"".join(spans)}</pre>'
