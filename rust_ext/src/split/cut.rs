//! Where a long document may be cut in two so that the pretokens of the halves are those of the whole.

use super::classes::{LETTER, SPACE, TABLES};
use super::{Splitter, Stage};

impl Splitter {
    /// The last offset at which `text` may be cut whatever follows it, or `None` if none is certain.
    ///
    /// Two places are certain in every word-like pattern, because no alternative spans them and none looks further:
    /// before a single space between ASCII letters, and after a single line feed between a character that is not white
    /// space and a letter. Lines may be cut where one begins. Where numbers stand alone, after an ASCII digit will do. A user's regex offers no such place.
    pub fn last_cut(&self, text: &str) -> Option<usize> {
        let word_like = |stage: &Stage| {
            matches!(
                stage,
                Stage::Gpt2
                    | Stage::Cl100k
                    | Stage::Llama3
                    | Stage::Qwen2
                    | Stage::O200k
                    | Stage::Finance
                    | Stage::Tekken
                    | Stage::WhiteSpace
                    | Stage::DeepSeek
            )
        };
        match self.stages.as_slice() {
            [stage] if word_like(stage) => last_word_cut(text),
            [Stage::Numbers3, Stage::Han, Stage::DeepSeek] => last_word_cut(text),
            [Stage::Lines] => last_line_cut(text),
            [Stage::Numbers1, rest @ ..] if rest.iter().all(|stage| !matches!(stage, Stage::Regex(_))) => {
                last_digit_cut(text)
            }
            _ => None,
        }
    }
}

fn last_word_cut(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    memchr::memrchr2_iter(b' ', b'\n', bytes).find_map(|at| {
        if at == 0 {
            return None;
        }
        if byte(at) == b' ' {
            let between_letters = byte(at - 1).is_ascii_alphabetic() && byte(at + 1).is_ascii_alphabetic();
            return between_letters.then_some(at);
        }
        let before = text.get(..at)?.chars().next_back()?;
        let after = text.get(at + 1..)?.chars().next()?;
        let class = |c: char| TABLES.of(u32::from(c));
        (class(before) & SPACE == 0 && class(after) & LETTER != 0).then_some(at + 1)
    })
}

fn last_line_cut(text: &str) -> Option<usize> {
    let newline = |byte: &u8| *byte == b'\n' || *byte == b'\r';
    let bytes = text.as_bytes();
    memchr::memrchr2_iter(b'\r', b'\n', bytes)
        .map(|at| at + 1)
        .find(|&after| bytes.get(after).is_some_and(|byte| !newline(byte)))
}

fn last_digit_cut(text: &str) -> Option<usize> {
    let at = text.bytes().rposition(|byte| byte.is_ascii_digit())? + 1;
    (at < text.len()).then_some(at)
}
