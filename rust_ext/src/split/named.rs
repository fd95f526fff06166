//! The split patterns that have a name, as the regexes that define them.
//!
//! Each regex is written so that Oniguruma (in `tokenizers`), the Rust regex engines (in `tiktoken`) and Python's `regex`
//! read it alike. Stages apply one after the other, each isolating its matches in the pieces of the stage before.

/// GPT-2, from its `encoder.py`; also what `ByteLevel(use_regex=True)` of `tokenizers` does.
pub const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// cl100k_base of tiktoken 0.14, which keeps white space at the end of a text together; `(?![\s\S])` is that end in
/// every engine, where `$` is not. Possessive quantifiers only save time, and not every engine reads them alike.
pub const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?![\s\S])|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Llama 3: cl100k as it was first published.
pub const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2 and 3: Llama 3 with digits one by one.
pub const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// o200k_base of tiktoken (GPT-4o and later).
pub const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// o200k with numbers that are cut like its words: up to four digits, and the one character before them. Sums of money,
/// percentages and years (`$12`, ` 2024`, `,500`) are then one pretoken, where o200k has two or three.
pub const FINANCE: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?\p{N}{1,4}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Tekken of Mistral (Nemo and later): o200k without the contractions and with digits one by one.
pub const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The three stages of DeepSeek-V3.
pub const DEEPSEEK_NUMBERS: &str = r"\p{N}{1,3}";
pub const DEEPSEEK_HAN: &str = r"[一-龥぀-ゟ゠-ヿ]+";
pub const DEEPSEEK: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
/// Every number character alone, the text between them in one piece.
pub const DIGITS: &str = r"\p{N}";
/// Words with the space before them.
pub const WHITESPACE: &str = r" ?\S+|\s+(?!\S)|\s+";
/// Lines with the line ends after them: the borders that superwords respect.
pub const LINES: &str = r"[^\r\n]+[\r\n]*|[\r\n]+";
/// The whole text as one pretoken.
pub const NONE: &str = r"[\s\S]+";

/// Names and stages, in the order they are shown to people.
pub const NAMED: &[(&str, &[&str])] = &[
    ("gpt2", &[GPT2]),
    ("cl100k", &[CL100K]),
    ("o200k", &[O200K]),
    ("llama3", &[LLAMA3]),
    ("qwen2", &[QWEN2]),
    ("qwen3", &[QWEN2]),
    ("tekken", &[TEKKEN]),
    ("deepseek-v3", &[DEEPSEEK_NUMBERS, DEEPSEEK_HAN, DEEPSEEK]),
    ("finance", &[FINANCE]),
    ("digits", &[DIGITS]),
    ("whitespace", &[WHITESPACE]),
    ("lines", &[LINES]),
    ("none", &[NONE]),
];

/// Other spellings of the same regexes, found in published tokenizer files.
pub const ALIASES: &[(&str, &str)] = &[
    (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", GPT2),
    (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s", GPT2),
    (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        CL100K,
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        LLAMA3,
    ),
];
