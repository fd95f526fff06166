"""Text that engines get wrong: a few handwritten cases a kind, and slices of the corpora in the cache."""

from __future__ import annotations

import random

from bytetok.tokenizer.references import cache_dir

CORPORA = ("english", "legal", "multilingual", "code", "mixed")
ADVERSARIAL = ("a1m", "unicode1m", "digits1m", "ws1m", "wsmix1m", "letters1m", "cjk1m")


def corpus(name: str, size: int = 1) -> str:
    """The ``size`` megabytes (1, 10) of a corpus in the cache (see benchmarks/corpora.py); "" if it is not there."""
    path = cache_dir() / "corpora" / (f"adv_{name}.txt" if name in ADVERSARIAL else f"{name}{size}.txt")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def slices(text: str, *, count: int, size: int) -> list[str]:
    """At most ``count`` pieces of ``size`` characters, evenly spread and cut anywhere, even inside a word."""
    last = max(0, len(text) - size)
    starts = dict.fromkeys(last * number // max(1, count - 1) for number in range(count))
    return [text[start : start + size] for start in starts if text]


def randomly(alphabet: str, length: int, seed: int) -> str:
    """A text of random letters, the same each time."""
    rng = random.Random(seed)
    return "".join(rng.choice(alphabet) for _ in range(length))


LATIN = "abcdefghijklmnopqrstuvwxyz"

HANDWRITTEN: dict[str, tuple[str, ...]] = {
    "nothing": (
        "", "\0", "a\0b", "\0\0 \0", "\ufeff", "\ufeffabc", "\x7f\x1b[0m",
    ),
    "tabs": (
        "\t.c", "\t[U", "\t\t.c", " \t.c", "a\t(b", "\t{", "\n\t\t\t}\n", "x\t\u2160", "\t'", "\t\"s", "\t.\t,\t;",
    ),
    "known": (
        " Interruption", " операци", "Interruption", ".i", "'S", "'ſ", "'LL we'Ve I'M x'D", "''s", "K\u212a'\u017f",
        "don’t", "we’re", "a'b'c", "'\u0301s",
    ),
    "white": (
        "a ", "a  ", " a  b   c    ", "a\n", "a \n", "a\n ", "a\r\n\r\n", "a\r\n  \r\n b", "\n\n\n", " \n \n ", "\r",
        "\r \r", "a\u3000b", "a\xa0\xa0b ", "\u2028x\u2029", "\x0b\x0c", "\x85a\x85 ", "\x1c\x1d \x1e",
        "\u180e\u200b\u2060", " " * 81, "\t" * 37 + "x", "a" + " " * 129 + "b", "\n" * 99, " \n" * 60,
        "end of text. ", "end.\n\n   ",
    ),
    "numbers": (
        "0123456789", "12 345 6789", "3.14159", "1,000,000.00", "٣٤٥٦", "½¼²³", "ⅧⅨ", "〇一二", "𝟘𝟙𝟚", "1a2b3c",
        "1" * 999,
    ),
    "letter numbers": (
        "\u2160", "a\u2160b", "\t\u2160", " \u2160\u2161 ", "\u3007\u3021", "\U00010140", "\U00012400x",
        "\u16ee\u16f0", "\u2188\u2189",
    ),
    # Letters and marks of 15.0, 15.1, 16.0 and 17.0, assigned or not in the tables of the reference.
    "new code points": (
        "a\U000323b0b", "\U00010940\U00010941", "\U00032beb", "\U00032beb\U000c3f20\ud75e", "x\U000105c0\u1c89\u1c8a",
        "\U0001f1e0 \U00011f02", "\U0001e4d0\U0001e4d1", "\U00031350 \U000323af", "\U0002ebf0\U0002ee5d",
        "\u0cf3\u0ece", "\U00011f50", "\U00010d40\U00010d50", "\U00016ea0\U00016ebb", "\ua7cb\ua7da\ua7dc",
        "\ua7ce\ua7d2\ua7d4", "\u0c5c\u0cdc", "\U00011db0", "\u1acf\u1ae0", "a\u088fb", "\U0001cd00\U0001fad8",
        "\u20c1", "\u31e4\u2ffc", "\U0001ccf0",
    ),
    "marks": (
        "e\u0301te\u0301", "\u0301", " \u0301", "a \u0301b", "नमस्ते दुनिया", "สวัสดี", "\u064bا", "\u20dd1\u20dd",
        "\ufe0f❤\ufe0f", "a\u0308\u0304\u0323", "\U0001d165\u093f",
    ),
    "normal forms": (
        "cafe\u0301 café", "A\u030a Å \u212b", "\u1100\u1161\u11a8 각 \uac00\u11a8", "ﬁ ﬂ ﷺ", "ｶﾞ ガ が", "①②⑳",
        "x²₃", "㎏ ℡ ™", "\u0958 \u0915\u093c", "\u0344 \u0308\u0301", "\u1e9b\u0323", "\ud4db", "\u03d3 \u03d4",
        "\u2126 \u03a9", "e\u0323\u0302 e\u0302\u0323 ệ", "\U0001d15e \U0001d400", "\u3000．ＡＢＣ",
        "\u0340\u0341\u0343", "\u2000\u2001", "\U000105d2\u0307", "\U00011935\U00011930", "\u0b47\u0b3e",
        "\U0001f100 \u32ff \U0001fbf0", "a\u0315\u0300\u05ae\u0062", "\u0f71\u0f72 \u0f73", "\uff9e\uff9f", "…‥․",
    ),
    "byte fallback": (
        "\U0001f9ff\U0001fae8", "𐐀𐐨", "\u1680\u16ea", "ꙮ", "\U00013000", "a\U0010ffffb", "\ue000\uf8ff",
        "\uffff\ufffe", "\ufffd", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "👩🏽‍💻 🇩🇪", "<0x0A>", "<0x0a><0xFF>\n", "\n\t\r", "▁", "▁a ▁ b▁",
        " ▁", "▁▁▁", "a▁b c", "<unk>", "é<0xC3>",
    ),
    "long": (
        randomly(LATIN, 339, 1), randomly(LATIN, 341, 2), randomly(LATIN, 512, 3), randomly(LATIN, 5_000, 4),
        randomly("aAbB", 999, 5), randomly("ab", 700, 6), randomly("the ", 900, 7), "a" * 5_000, "ab" * 400,
        "A" * 777, "é" * 600, "漢" * 500, "=" * 1_030, "-" * 71 + "\n", "😀" * 200, "_" * 333, "0" * 4_000, "." * 513,
        randomly(" \t\r\n\xa0\u3000", 400, 8), randomly(" \t\r\n\xa0\u3000", 5_000, 9), randomly(" \n", 2_000, 10),
        " " * 5_000, "\n" * 3_000, "\t \t" * 500, randomly("一二三四五六七八九十的是不了人在有我他这", 1_500, 11),
        randomly("אבגדהוזחטי", 600, 12), randomly("0123456789abcdef", 2_000, 13),
    ),
    "code": (
        "if (a && b) {\n\treturn c->d;\r\n}\n", "#include <stdio.h>\n", "http://a.b/c?d=e&f=%20#g",
        "{\"k\": [1, 2.5e-3, null]}", "x+=1;// y", "def f(x):\n    return x**2  # ok\n\n\n",
        "a_b __init__ camelCase HTMLParser", "\\d+\\.\\s*$", "$1,234.56 (12%)", "--no-verify",
    ),
    "scripts": (
        "Straße İstanbul ǅungla", "Москва и Київ", "Ελληνικά ΣΑΣ", "שלום עולם", "مرحبا بالعالم",
        "日本語のテキストです。", "中文，标点。", "한국어 문장입니다", "ភាសាខ្មែរ", "မြန်မာ", "தமிழ்", "አማርኛ",
        "ᏣᎳᎩ ꭰꭱ", "ⵜⴰⵎⴰⵣⵉⵖⵜ", "𝒳𝓎 ℵ", "ʰªº", "§ 362(a)—“x” …",
    ),
}  # fmt: skip
"""Short texts by what they try; peers have failed on most of these."""


def special_cases(texts: list[str]) -> list[str]:
    """Text in which special tokens touch words, white space, each other and parts of themselves."""
    if not texts:
        return []
    cases = []
    for text in dict.fromkeys([texts[0], texts[len(texts) // 2], texts[-1]]):
        cases += [text, f"a {text} b", f"x{text}y", f" {text}\n", f"\n\n{text}  ", f"{text}\u0301é", text[:-1] + text]
    first, last = texts[0], texts[-1]
    return [*cases, first + last, first + first, f"{first} {last}", f"{first[:-1]} {last[1:]}", f"1 {last}.{first}"]
