use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// The textbook: count all pairs, merge the best everywhere, repeat.
fn naive(words: &[(Vec<u8>, u64)], params: &Params) -> (Vec<Vec<u8>>, Vec<(u32, u32)>) {
    let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    let mut words: Vec<(Vec<u32>, u64)> =
        words.iter().map(|(word, count)| (word.iter().map(|&byte| u32::from(byte)).collect(), *count)).collect();
    let mut merges = Vec::new();
    let mut refused = Vec::new();
    while tokens.len() < params.vocab_size {
        let mut pairs: HashMap<(u32, u32), u64> = HashMap::new();
        for (word, count) in &words {
            for pair in word.windows(2) {
                *pairs.entry((pair[0], pair[1])).or_default() += count;
            }
        }
        let joined = |pair: (u32, u32)| [tokens[pair.0 as usize].clone(), tokens[pair.1 as usize].clone()].concat();
        pairs.retain(|pair, count| {
            let fits = params.max_length.is_none_or(|(most, unit)| length(&joined(*pair), unit) <= most);
            *count >= params.min_count.max(1) && fits && !refused.contains(pair)
        });
        let Some((pair, _)) = pairs.into_iter().max_by_key(|(pair, count)| (*count, std::cmp::Reverse(*pair))) else {
            break;
        };
        let bytes = joined(pair);
        if params.forbidden.contains(&bytes) {
            refused.push(pair);
            continue;
        }
        let token = tokens.iter().position(|token| *token == bytes).unwrap_or_else(|| {
            tokens.push(bytes);
            tokens.len() - 1
        }) as u32;
        merges.push(pair);
        for (word, _) in &mut words {
            let mut at = 0;
            while at + 1 < word.len() {
                if (word[at], word[at + 1]) == pair {
                    word[at] = token;
                    word.remove(at + 1);
                }
                at += 1;
            }
        }
    }
    (tokens, merges)
}

fn fast(words: &[(Vec<u8>, u64)], params: &Params) -> (Vec<Vec<u8>>, Vec<(u32, u32)>) {
    let mut counts = Counts::new();
    for (word, count) in words {
        counts.add(word, *count).unwrap();
    }
    let tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    let words =
        Words::new(counts, &[1; 256], |word, ids| ids.extend(word.iter().map(|&byte| u32::from(byte)))).unwrap();
    let trained = train(words, tokens, params, &mut |_| Ok(())).unwrap();
    (trained.tokens, trained.merges.iter().map(|merge| (merge.left, merge.right)).collect())
}

use crate::count::Counts;

fn words() -> impl Strategy<Value = Vec<(Vec<u8>, u64)>> {
    let letters = prop_oneof![
        "[ab]{1,12}".prop_map(String::into_bytes),
        "[abcd]{1,20}".prop_map(String::into_bytes),
        "[aé中]{1,6}".prop_map(String::into_bytes),
    ];
    let count = prop_oneof![Just(1u64), 1..6u64, 1..100_000u64, (1u64 << 31)..(1u64 << 40)];
    prop::collection::vec((letters, count), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn merges_are_those_of_the_textbook(
        words in words(),
        more in 0usize..60,
        min_count in 0u64..4,
        max_length in prop::option::of((1usize..6, prop::sample::select(vec![Unit::Bytes, Unit::Characters]))),
        forbidden in prop::collection::vec("[ab]{2,3}".prop_map(String::into_bytes), 0..2),
    ) {
        let params = Params { vocab_size: 256 + more, min_count, max_length, forbidden };
        prop_assert_eq!(fast(&words, &params), naive(&words, &params));
    }
}

#[test]
fn characters_count_what_a_reader_would() {
    assert_eq!(length("né".as_bytes(), Unit::Characters), 2);
    assert_eq!(length(&"né".as_bytes()[..2], Unit::Characters), 2, "a character begun counts");
    assert_eq!(length(&"né".as_bytes()[2..], Unit::Characters), 1, "so does the rest of one");
    assert_eq!(length("né".as_bytes(), Unit::Bytes), 3);
}

#[test]
fn a_tick_can_stop_the_training() {
    let mut counts = Counts::new();
    counts.add(b"abcabc", 5).unwrap();
    let words =
        Words::new(counts, &[1; 256], |word, ids| ids.extend(word.iter().map(|&byte| u32::from(byte)))).unwrap();
    let params = Params { vocab_size: 300, min_count: 1, max_length: None, forbidden: vec![] };
    let tokens = (0..=255u8).map(|byte| vec![byte]).collect();
    assert!(matches!(train(words, tokens, &params, &mut |_| Err(Error::Interrupted)), Err(Error::Interrupted)));
}
