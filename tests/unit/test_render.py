"""How a tokenization is shown."""

from __future__ import annotations

import io
import itertools
import re
from html.parser import HTMLParser

import pytest
from fake_tokenizer import FakeTokenizer
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color, ColorSystem
from rich.console import Console

from bytetok.training.render import COLORS, show, show_html, token_pieces, tokens_html, visible

TOKENIZER = FakeTokenizer(words=[b"the", b" cat", "é".encode(), b"\xe2\x98"], specials=["<s>"])


def test_pieces_join_to_the_text_without_template_tokens() -> None:
    with_bos = FakeTokenizer(words=[b"the"], specials=["<s>"], template=[257])
    assert token_pieces(with_bos, "the!") == [(256, b"the"), (33, b"!")]
    assert token_pieces(with_bos, "") == []


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (b" a", "·a"),
        (b"\t", "→"),
        (b"a\nb", "a↵\nb"),
        (b"\r\n", "⟨CR⟩↵\n"),
        (b"\0\x1b[31m", "⟨U+0000⟩⟨U+001B⟩[31m"),
        (b"\xe2\x98", "⟨E2⟩⟨98⟩"),
        ("é".encode() + b"\xc3", "é⟨C3⟩"),
        ("\u202eabc".encode(), "⟨U+202E⟩abc"),
        ("\u00a0".encode(), "⟨U+00A0⟩"),
        ("क\u200dष".encode(), "क\u200dष"),
        ("\u200d".encode(), "⟨U+200D⟩"),
        (b"\xed\xa0\x80", "⟨ED⟩⟨A0⟩⟨80⟩"),
        (b"", ""),
    ],
)
def test_everything_is_visible(token: bytes, shown: str) -> None:
    assert visible(token) == shown


@given(st.binary())
def test_nothing_reaches_the_terminal_raw(token: bytes) -> None:
    assert all(char == "\n" or (ord(char) >= 0x20 and not 0x7F <= ord(char) <= 0x9F) for char in visible(token))


def test_show_colors_each_token_unlike_its_neighbor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    text = show(TOKENIZER, "the cat☃")
    assert text.plain == "the·cat⟨E2⟩⟨98⟩⟨83⟩"
    assert [text.plain[span.start : span.end] for span in text.spans] == ["the", "·cat", "⟨E2⟩⟨98⟩", "⟨83⟩"]
    styles = [str(span.style) for span in text.spans]
    assert all(a != b for a, b in itertools.pairwise(styles))


@pytest.mark.parametrize("system", [ColorSystem.STANDARD, ColorSystem.EIGHT_BIT, ColorSystem.TRUECOLOR])
def test_neighboring_colors_differ_in_every_color_system(system: ColorSystem) -> None:
    colors = [Color.parse(color).downgrade(system) for color in COLORS]
    for index, color in enumerate(colors):
        following = colors[(index + 1) % len(colors)]
        assert (color.number, color.triplet) != (following.number, following.triplet)


def test_without_color_tokens_are_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert show(TOKENIZER, "the cat\n", color=False).plain == "the|·cat|↵\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert show(TOKENIZER, "the cat").plain == "the|·cat"
    assert show(TOKENIZER, "the cat", color=True).plain == "the·cat"
    monkeypatch.setenv("NO_COLOR", "")  # set but empty means color, says no-color.org
    monkeypatch.setenv("TERM", "dumb")
    assert show(TOKENIZER, "the cat").plain == "the|·cat"


def test_show_takes_bytes_and_square_brackets_literally() -> None:
    out = io.StringIO()
    Console(file=out, color_system=None, width=80).print(show(TOKENIZER, b"[bold]\xff", color=False))
    assert out.getvalue() == "[|b|o|l|d|]|⟨FF⟩\n"


class Collector(HTMLParser):
    """Texts, tags and attributes of a page; nothing is trusted to be well-formed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_escapes_everything_and_is_well_formed() -> None:
    nasty = FakeTokenizer(words=[b"<script>"], name='<b>"x"&')
    page = show_html(nasty, "<script>alert('x') & \"</pre><img src=x onerror=y>")
    parser = Collector()
    parser.feed(page)
    assert parser.open == []
    names = {tag for tag, _ in parser.tags}
    assert names == {"html", "head", "meta", "title", "style", "body", "h1", "pre", "span", "i", "wbr"}
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?:|url\(|@import|<link|src=(?!x)", page)


def test_html_tooltips_name_id_and_bytes() -> None:
    parser = Collector()
    parser.feed(show_html(TOKENIZER, "the é", page=False))
    spans = [attributes for tag, attributes in parser.tags if tag == "span"]
    assert [span["title"] for span in spans] == [
        "id 256 · bytes 74 68 65",
        "id 32 · bytes 20",
        "id 258 · bytes C3 A9",
    ]
    classes = [span["class"] for span in spans]
    assert all(a != b for a, b in itertools.pairwise(classes))


def test_html_fragment_is_no_page_and_an_empty_text_no_error() -> None:
    assert "<html" not in show_html(TOKENIZER, "the", page=False)
    assert tokens_html([]) == '<pre class="bt-tokens"></pre>'


@given(st.binary(max_size=40))
def test_any_bytes_give_well_formed_html(data: bytes) -> None:
    parser = Collector()
    parser.feed(show_html(TOKENIZER, data))
    assert parser.open == []
