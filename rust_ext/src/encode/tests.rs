use proptest::prelude::*;

use super::*;

/// The textbook: merge the leftmost pair of the lowest rank until none is left.
fn naive(merges: &[[u32; 3]], pretoken: &[u8]) -> Vec<u32> {
    let mut ids: Vec<u32> = pretoken.iter().map(|&byte| u32::from(byte)).collect();
    loop {
        let best = (0..ids.len().saturating_sub(1))
            .filter_map(|at| merges.iter().position(|m| m[0] == ids[at] && m[1] == ids[at + 1]).map(|rank| (rank, at)))
            .min();
        let Some((rank, at)) = best else { return ids };
        ids[at] = merges[rank][2];
        ids.remove(at + 1);
    }
}

fn vocabulary() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<[u32; 3]>)> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..40).prop_map(|picks| {
        let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
        let mut merges = Vec::new();
        let mut usable: Vec<u32> = b"abc".iter().map(|&byte| u32::from(byte)).collect();
        for (left, right) in picks {
            let (left, right) = (*left.get(&usable), *right.get(&usable));
            let bytes = [tokens[left as usize].clone(), tokens[right as usize].clone()].concat();
            if merges.iter().any(|m: &[u32; 3]| (m[0], m[1]) == (left, right)) || bytes.len() > 40 {
                continue;
            }
            let token = tokens.iter().position(|token| *token == bytes).unwrap_or_else(|| {
                tokens.push(bytes);
                tokens.len() - 1
            }) as u32;
            merges.push([left, right, token]);
            usable.push(token);
        }
        (tokens, merges)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn ids_are_those_of_the_textbook((tokens, merges) in vocabulary(), text in "[abc]{1,120}") {
        let bpe = Bpe::new(&tokens, &vec![true; tokens.len()], &merges, false, false).unwrap();
        let mut ids = Vec::new();
        bpe.encode(text.as_bytes(), &mut ids).unwrap();
        prop_assert_eq!(ids, naive(&merges, text.as_bytes()));
    }
}

fn added(text: &str, id: u32, single_word: bool) -> Added {
    Added { text: text.to_owned(), id, special: false, single_word, lstrip: false, rstrip: false }
}

#[test]
fn added_tokens_do_not_match_inside_words() {
    let tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    let bpe = Bpe::new(&tokens, &[true; 256], &[], false, false).unwrap();
    let added =
        AddedTokens::new(vec![added("cal.", 300, true), added("2017", 301, true), added("(a)", 302, false)]).unwrap();
    let encoder = Encoder::new(Splitter::new(Splitter::named("gpt2").unwrap()).unwrap(), bpe, added);
    let encode = |text: &str| {
        let mut ids = Vec::new();
        encoder.encode(text.as_bytes(), Special::Raise, &mut ids).unwrap();
        ids.into_iter().filter(|&id| id >= 300).collect::<Vec<_>>()
    };
    assert!(encode("medical. year 20171").is_empty());
    assert_eq!(encode("cal. in 2017, 5(a)"), [300, 301, 302]);
}

#[test]
fn special_text_raises_unless_allowed() {
    let tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    let bpe = Bpe::new(&tokens, &[true; 256], &[], false, false).unwrap();
    let end = Added { special: true, ..added("<|end|>", 256, false) };
    let encoder = Encoder::new(Splitter::new(&["x"]).unwrap(), bpe, AddedTokens::new(vec![end]).unwrap());
    let mut ids = Vec::new();
    let error = encoder.encode(b"a<|end|>", Special::Raise, &mut ids).unwrap_err();
    assert!(matches!(error, Error::SpecialInText { offset: 1, .. }));
    ids.clear();
    encoder.encode(b"a<|end|>", Special::Allow, &mut ids).unwrap();
    assert_eq!(ids, [97, 256]);
    ids.clear();
    encoder.encode(b"a<|end|>", Special::Text, &mut ids).unwrap();
    assert_eq!(ids.len(), 8);
}
