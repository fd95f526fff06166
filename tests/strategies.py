"""Hypothesis strategies: text that splitters get wrong, and counts that trainers get wrong."""

from __future__ import annotations

from hypothesis import strategies as st

# One string a kind of trouble. Splitters differ in the classes of single characters more often than in their rules.
WHITE_SPACE = " \t\n\r\v\f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"
NOT_WHITE_SPACE = "\x1c\x1d\x1e\x1f\u180e\u200b\u200c\u200d\u2060\ufeff\xad\x00\x01\x7f"
NUMBERS = "0189²½٣५Ⅷⅻ㊿〇𝟘𐄇"  # Nd, No and Nl
LETTERS = "aAzZéßſİıKÅſʼnǅǈʰªªºЖжΩωאبकあア漢한𐐀𐐨𝒳ꭰᎠ"  # Lu, Ll, Lt, Lm, Lo, letters that fold into ASCII
MARKS = "\u0301\u0308\u20dd\u0903ा्\u064b\ufe0f\U0001d165"  # Mn, Mc and Me
PUNCTUATION = "'’\"!#$%&()*+,-./:;<=>?@[\\]^_`{|}~«»。、…—·§©€™±÷"
EMOJI = "😀👩🏽‍💻🇩🇪"
# Unassigned, private use and noncharacters; letters new in Unicode 16 (U+105C0, U+1C89) and in 17 (U+10940, U+323B0).
ODD = "\u0378\U000e0fff\ue000\uffff\U0010ffff\U000105c0\u1c89\U00010940\U000323b0"

CHARACTERS = WHITE_SPACE + NOT_WHITE_SPACE + NUMBERS + LETTERS + MARKS + PUNCTUATION + EMOJI + ODD

WORDS = (
    "the", " of", " Court", "plaintiff's", "WE'LL", "I'm", "don't", "they'VE", "x'ſ", "'S", "''s", "CamelCaseHTML",
    "naïve", "e\u0301te\u0301", "Straße", "ΑΒΓ", "Москва", "İstanbul", "ǅungla", "שלום", "مرحبا", "नमस्ते", "สวัสดี",
    "日本語テキスト", "中文", "한국어", "👩🏽‍💻", "🇩🇪", "1234567", " 12", "3.14", "2024-01-31", "½ cup", "Ⅷ", "x²",
    "\r\n", "\n\n", "\r\n\r\n", " \n ", "  ", "   ", "\t", "\t\t", " \t", "\n ", " \r", "\u3000", "\xa0 ",
    "...", "!!\n", "//\n", "),\r\n", " --", "<|endoftext|>", "</s>", "http://", "§ 362(a)", "a_b", "{\"k\":1}", "#if",
)  # fmt: skip


def characters() -> st.SearchStrategy[str]:
    """One character: usually a troublesome one, sometimes any but a surrogate."""
    return st.one_of(st.sampled_from(CHARACTERS), st.sampled_from(CHARACTERS), st.characters(exclude_categories=["Cs"]))


def runs() -> st.SearchStrategy[str]:
    """A character repeated."""
    return st.builds(lambda character, times: character * times, characters(), st.integers(2, 9))


def texts(max_size: int = 12) -> st.SearchStrategy[str]:
    """Text of at most `max_size` fragments (words, runs, single characters), empty included."""
    fragments = st.one_of(st.sampled_from(WORDS), characters(), characters(), runs())
    return st.lists(fragments, max_size=max_size).map("".join)


def documents(max_size: int = 6) -> st.SearchStrategy[list[str]]:
    """Documents whose words repeat, so that their pairs do, too."""
    words = st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join)
    return st.lists(st.one_of(words, texts()), max_size=max_size)


def pretokens() -> st.SearchStrategy[bytes]:
    """Words over alphabets so small that pairs tie and overlap, runs, words in UTF-8, and any bytes."""
    return st.one_of(
        _over(b"ab", 10),
        _over(b"ab", 10),
        _over(b"abc", 8),
        # In GPT-2's order "!" < "~" < 0xA1 < 0x00 < " " < 0xAD: ids do not follow the bytes.
        _over(b" !~\x00\xa1\xad", 6),
        st.builds(lambda byte, times: bytes([byte]) * times, st.sampled_from(b"aA \xff"), st.integers(1, 20)),
        st.sampled_from(WORDS).map(str.encode),
        st.lists(st.sampled_from("aé漢😀\u0301"), min_size=1, max_size=6).map(lambda word: "".join(word).encode()),
        st.binary(min_size=1, max_size=6),
    )


def _over(letters: bytes, most: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(letters), min_size=1, max_size=most).map(bytes)


def counts(max_size: int = 12, max_count: int = 4) -> st.SearchStrategy[dict[bytes, int]]:
    """Pretoken counts, never empty; small ones by default, because ties come from small counts."""
    return st.dictionaries(pretokens(), st.integers(1, max_count), min_size=1, max_size=max_size)


def special_tokens() -> st.SearchStrategy[list[str]]:
    """Special tokens that no merge of :func:`pretokens` spells."""
    return st.lists(st.sampled_from(["<|é|>", "<pad>", "<|im_end|>", "[SEP]"]), unique=True, max_size=3)
