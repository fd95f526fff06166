//! A small vocabulary and a text: the ids are those of the textbook, which merges the best pair and looks again.
//!
//! ```text
//! cargo +nightly fuzz run encode -- -max_total_time=300
//! ```

#![no_main]

use std::collections::HashMap;

use _core::encode::{Atoms, Characters, Encoder, Lexicon, Order, Prefix, Special, Text};
use _core::split::Splitter;
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

/// How the vocabulary says what merges.
#[derive(Arbitrary, Debug, Clone, Copy, PartialEq)]
enum How {
    /// In the order in which the tokens were made.
    Merges,
    /// In any order: merges may come before those that make their parts.
    Shuffled,
    /// By a number for each token; some are equal.
    Ranks,
    /// By such numbers, from characters instead of bytes.
    Scores,
}

#[derive(Arbitrary, Debug)]
struct Case {
    how: How,
    /// Which two tokens make the next one.
    picks: Vec<(u8, u8)>,
    keys: Vec<u8>,
    whole_first: bool,
    /// Letters and tokens, one after the other.
    text: Vec<u8>,
    repeat: u8,
    /// Where the text is cut for encoding in two steps.
    cut: u16,
}

/// Bytes of two characters, so that merges cross and cut them.
const LETTERS: [&[u8]; 8] = [b"a", b"b", b"c", b" ", b"\xC3", b"\xA9", b"\xA8", b"\x00"];
const CHARACTERS: [&str; 8] = ["a", "b", "c", " ", "é", "漢", "è", "\0"];
/// Characters that no token stands for.
const UNKNOWN: [&str; 4] = ["x", "ê", "😀", "▁"];

type Merges = Vec<[u32; 3]>;

fn vocabulary(case: &Case) -> (Vec<Vec<u8>>, Merges) {
    let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    let mut usable: Vec<u32> = Vec::new();
    for place in 0..LETTERS.len() {
        let letter = match case.how {
            How::Scores => CHARACTERS[place].as_bytes(),
            _ => LETTERS[place],
        };
        // In a vocabulary of characters, the first 256 tokens are the bytes, and apart.
        if case.how == How::Scores {
            tokens.push(letter.to_vec());
            usable.push(tokens.len() as u32 - 1);
        } else {
            usable.push(u32::from(letter[0]));
        }
    }
    let mut merges = Merges::new();
    for &(left, right) in case.picks.iter().take(48) {
        let left = usable[usize::from(left) % usable.len()];
        let right = usable[usize::from(right) % usable.len()];
        let bytes = [tokens[left as usize].as_slice(), tokens[right as usize].as_slice()].concat();
        if bytes.len() > 48 || merges.iter().any(|merge| merge[..2] == [left, right]) {
            continue;
        }
        let known = usable.iter().copied().find(|&id| tokens[id as usize] == bytes);
        let token = known.unwrap_or_else(|| {
            tokens.push(bytes);
            usable.push(tokens.len() as u32 - 1);
            tokens.len() as u32 - 1
        });
        merges.push([left, right, token]);
    }
    if case.how == How::Shuffled {
        let key = |merge: &[u32; 3]| case.keys.get(merge[2] as usize % 61).copied().unwrap_or(merge[0] as u8);
        merges.sort_by_key(key);
    }
    (tokens, merges)
}

fn number_of(case: &Case, id: usize) -> u32 {
    case.keys.get(id % 53).map_or(id as u32, |key| u32::from(*key))
}

/// Merges the pair of the lowest rank, the leftmost of several, until none is left.
fn textbook(mut ids: Vec<u32>, rank: impl Fn(u32, u32) -> Option<(u32, u32)>) -> Vec<u32> {
    loop {
        let found = ids.windows(2).enumerate().filter_map(|(at, pair)| {
            let (rank, token) = rank(pair[0], pair[1])?;
            Some((rank, at, token))
        });
        let Some((_, at, token)) = found.min() else { return ids };
        ids[at] = token;
        ids.remove(at + 1);
    }
}

fn text_of(case: &Case, tokens: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    for &pick in case.text.iter().take(60) {
        let pick = usize::from(pick);
        match (pick % 4, case.how) {
            (0, How::Scores) => text.extend_from_slice(CHARACTERS[pick / 4 % 8].as_bytes()),
            (1, How::Scores) => text.extend_from_slice(UNKNOWN[pick / 4 % 4].as_bytes()),
            (0 | 1, _) => text.extend_from_slice(LETTERS[pick / 4 % 8]),
            _ => {
                let made = &tokens[256..];
                if let Some(token) = made.get(pick / 4 % made.len().max(1)) {
                    text.extend_from_slice(token);
                }
            }
        }
    }
    // Long enough for whatever is done otherwise to long pretokens, short enough for the textbook.
    let times = 1 + usize::from(case.repeat % 8);
    text.truncate(480 / times);
    while case.how == How::Scores && std::str::from_utf8(&text).is_err() {
        text.pop();
    }
    text.repeat(times)
}

fn expected(case: &Case, tokens: &[Vec<u8>], merges: &Merges, text: &[u8]) -> Vec<u32> {
    let first = if case.how == How::Scores { 256 } else { 0 };
    let ids: HashMap<&[u8], u32> = (first..tokens.len()).map(|id| (tokens[id].as_slice(), id as u32)).collect();
    let find = |bytes: &[u8]| ids.get(bytes).copied();
    if case.whole_first && case.how != How::Scores && let Some(id) = find(text) {
        return vec![id];
    }
    let joined = |left: u32, right: u32| {
        let apart = (left as usize) < first || (right as usize) < first;
        let id = find(&[tokens[left as usize].as_slice(), tokens[right as usize].as_slice()].concat())?;
        (!apart).then(|| (number_of(case, id as usize), id))
    };
    let by_bytes = || text.iter().map(|&byte| u32::from(byte)).collect::<Vec<_>>();
    match case.how {
        How::Merges | How::Shuffled => {
            let ranks: HashMap<(u32, u32), (u32, u32)> =
                (0..).zip(merges).map(|(rank, &[left, right, token])| ((left, right), (rank, token))).collect();
            textbook(by_bytes(), |left, right| ranks.get(&(left, right)).copied())
        }
        How::Ranks => textbook(by_bytes(), joined),
        How::Scores => {
            let mut atoms = Vec::new();
            for character in String::from_utf8_lossy(text).chars() {
                let character = if character == '▁' { ' ' } else { character };
                let mut buffer = [0; 4];
                let bytes = character.encode_utf8(&mut buffer).as_bytes();
                match find(bytes) {
                    Some(id) => atoms.push(id),
                    None => atoms.extend(bytes.iter().map(|&byte| u32::from(byte))),
                }
            }
            textbook(atoms, joined)
        }
    }
}

fn lexicon_of(case: &Case, tokens: &[Vec<u8>], merges: &Merges) -> Lexicon {
    let slices: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    let characters = case.how == How::Scores;
    let ordinary: Vec<bool> = (0..tokens.len()).map(|id| !characters || id >= 256).collect();
    let numbers: Vec<u32> = (0..tokens.len()).map(|id| number_of(case, id)).collect();
    let order = match case.how {
        How::Merges | How::Shuffled => Order::Merges(merges),
        How::Ranks | How::Scores => Order::Ranks(&numbers),
    };
    let atoms = if characters { Atoms::Characters } else { Atoms::Bytes };
    let whole_first = case.whole_first && !characters;
    Lexicon::new(&slices, &ordinary, &order, atoms, whole_first).expect("the vocabulary is sound")
}

fn encoder_of(case: &Case, lexicon: Lexicon) -> Encoder {
    let byte_ids = std::array::from_fn(|byte| byte as u32);
    let characters = (case.how == How::Scores).then(|| Characters::new(&lexicon, byte_ids, Prefix::None, true));
    let stages = Splitter::named("none").expect("a named pattern");
    let splitter = Splitter::new(stages).expect("patterns with names compile");
    Encoder::new(splitter, lexicon, Vec::new(), None, characters).expect("no added tokens to clash")
}

fuzz_target!(|case: Case| {
    let (tokens, merges) = vocabulary(&case);
    let text = text_of(&case, &tokens);
    let expected = expected(&case, &tokens, &merges, &text);
    let lexicon = lexicon_of(&case, &tokens, &merges);
    let mut ids = Vec::new();
    if case.how != How::Scores && !text.is_empty() {
        lexicon.view().encode(&text, &mut ids).expect("every byte has a token");
        assert_eq!(ids, expected);
        let mut decoded = Vec::new();
        lexicon.view().decode(&ids, &mut decoded).expect("ids of the vocabulary");
        assert_eq!(decoded, text);
        // An encoder's memory of pretokens takes longer to make than all of this.
        if case.repeat < 224 {
            return;
        }
    }
    let encoder = encoder_of(&case, lexicon);
    // The second time, the pretoken may be remembered.
    for _ in 0..2 {
        ids.clear();
        encoder.encode(Text::Bytes(&text), Special::Raise, &mut ids).expect("every byte has a token");
        assert_eq!(ids, expected);
    }

    // In two steps, what was said to be stable is kept.
    let Ok(text) = std::str::from_utf8(&text) else { return };
    let mut cut = usize::from(case.cut) % (text.len() + 1);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut joined = Vec::new();
    let stable = encoder.encode_stable(&text[..cut], Special::Raise, false, &mut joined).expect("as before");
    joined.truncate(stable.ids);
    encoder.encode_stable(&text[stable.bytes..], Special::Raise, stable.bytes > 0, &mut joined).expect("as before");
    assert_eq!(joined, expected);
});
