use proptest::prelude::*;

use super::*;

/// The textbook: merge the leftmost pair of the lowest rank until none is left.
fn naive(merges: &[[u32; 3]], atoms: Vec<u32>) -> Vec<u32> {
    let mut ids = atoms;
    loop {
        let best = (0..ids.len().saturating_sub(1))
            .filter_map(|at| merges.iter().position(|m| m[0] == ids[at] && m[1] == ids[at + 1]).map(|rank| (rank, at)))
            .min();
        let Some((rank, at)) = best else { return ids };
        ids[at] = merges[rank][2];
        ids.remove(at + 1);
    }
}

fn bytes_of(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

fn alphabet() -> Vec<Vec<u8>> {
    (0..=255u8).map(|byte| vec![byte]).collect()
}

/// A vocabulary over a, b and c, and merges in the order they were picked; each makes its parts before itself.
fn vocabulary() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<[u32; 3]>)> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..60).prop_map(|picks| {
        let mut tokens = alphabet();
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

fn lexicon(tokens: &[Vec<u8>], order: &Order<'_>, whole_first: bool) -> Lexicon {
    let slices: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    Lexicon::new(&slices, &vec![true; tokens.len()], order, Atoms::Bytes, whole_first).unwrap()
}

fn encoder(tokens: &[Vec<u8>], merges: &[[u32; 3]], stages: &[&str], added: Vec<Added>) -> Encoder {
    let lexicon = lexicon(tokens, &Order::Merges(merges), false);
    Encoder::new(Splitter::new(stages).unwrap(), lexicon, added, None, None).unwrap()
}

/// The ids by longest match, which must be those by merging.
fn ids_of(lexicon: &Lexicon, text: &str) -> Vec<u32> {
    let (view, mut ids) = (lexicon.view(), Vec::new());
    if let Some(id) = view.odd_whole(text.as_bytes()) {
        return vec![id];
    }
    view.encode(text.as_bytes(), &mut ids).unwrap();
    let short = &text.as_bytes()[..text.len().min(merge::SHORT)];
    for atoms in [Atoms::Bytes, Atoms::Characters] {
        let mut merged = Vec::new();
        if std::str::from_utf8(short).is_ok() && view.merge(&Bytes::new(&view), atoms, short, &mut merged) {
            let mut longest = Vec::new();
            view.encode(short, &mut longest).unwrap();
            assert_eq!(merged, longest, "{short:?}");
        } else {
            assert!(atoms == Atoms::Characters, "{short:?} is bytes");
        }
    }
    ids
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn ids_are_those_of_the_textbook((tokens, merges) in vocabulary(), text in "[abc]{1,120}") {
        let lexicon = lexicon(&tokens, &Order::Merges(&merges), false);
        prop_assert_eq!(ids_of(&lexicon, &text), naive(&merges, bytes_of(&text)));
    }

    #[test]
    fn merges_before_those_of_their_parts_are_no_exception(
        (tokens, merges) in vocabulary(), keys in prop::collection::vec(any::<u32>(), 60), text in "[abc]{1,60}",
    ) {
        let mut order: Vec<usize> = (0..merges.len()).collect();
        order.sort_by_key(|&at| keys[at]);
        let merges: Vec<[u32; 3]> = order.into_iter().map(|at| merges[at]).collect();
        let lexicon = lexicon(&tokens, &Order::Merges(&merges), false);
        prop_assert_eq!(ids_of(&lexicon, &text), naive(&merges, bytes_of(&text)));
    }

    #[test]
    fn ranks_merge_whatever_joins((tokens, _) in vocabulary(), keys in prop::collection::vec(0..50u32, 400), text in "[abc]{1,60}") {
        // Ranks in any order, some of them equal; equal ranks merge from the left.
        let ranks: Vec<u32> = (0..tokens.len()).map(|id| keys[id]).collect();
        let mut all = Vec::new();
        for (id, token) in tokens.iter().enumerate() {
            for middle in 1..token.len() {
                let find = |part: &[u8]| tokens.iter().position(|token| token == part);
                if let (Some(left), Some(right)) = (find(&token[..middle]), find(&token[middle..])) {
                    all.push((ranks[id], [left as u32, right as u32, id as u32]));
                }
            }
        }
        let mut expected = bytes_of(&text);
        loop {
            let best = (0..expected.len().saturating_sub(1)).filter_map(|at| {
                let found = all.iter().find(|(_, m)| m[0] == expected[at] && m[1] == expected[at + 1])?;
                Some((found.0, at, found.1[2]))
            }).min();
            let Some((_, at, token)) = best else { break };
            expected[at] = token;
            expected.remove(at + 1);
        }
        let lexicon = lexicon(&tokens, &Order::Ranks(&ranks), false);
        prop_assert_eq!(ids_of(&lexicon, &text), expected);
    }

    #[test]
    fn batches_and_memory_change_nothing((tokens, merges) in vocabulary(), text in "[abc \n']{0,900}") {
        let encoder = encoder(&tokens, &merges, Splitter::named("gpt2").unwrap(), Vec::new());
        let mut expected = Vec::new();
        encoder.splitter.each(&text, |start, end| {
            expected.extend(naive(&merges, bytes_of(&text[start..end])));
            Ok(())
        }).unwrap();
        for _ in 0..2 {
            for text in [Text::Valid(&text), Text::Bytes(text.as_bytes())] {
                let mut ids = Vec::new();
                encoder.encode(text, Special::Raise, &mut ids).unwrap();
                prop_assert_eq!(&ids, &expected);
            }
        }
    }

    #[test]
    fn what_is_stable_stays(
        (tokens, merges) in vocabulary(), pattern in 0..9usize,
        text in "([abAB é漢1\n\r\t'/!.\u{301}]|'s|'re|  |\r\n){0,60}", more in "[abAB é漢1\n\r\t'/!.\u{301}]{0,12}",
    ) {
        let name = ["gpt2", "cl100k", "o200k", "llama3", "qwen2", "deepseek-v3", "digits", "lines", "none"][pattern];
        let added = vec![Added { lstrip: true, ..added("!a", 97, false) }, added("b'", 98, true)];
        let encoder = encoder(&tokens, &merges, Splitter::named(name).unwrap(), added);
        let (mut ids, mut whole) = (Vec::new(), Vec::new());
        let stable = encoder.encode_stable(&text, Special::Allow, false, &mut ids).unwrap();
        encoder.encode(Text::Valid(&text), Special::Allow, &mut whole).unwrap();
        prop_assert_eq!(&ids, &whole);
        let longer = format!("{text}{more}");
        let mut whole = Vec::new();
        encoder.encode(Text::Valid(&longer), Special::Allow, &mut whole).unwrap();
        prop_assert_eq!(&whole[..stable.ids.min(whole.len())], &ids[..stable.ids]);
        let mut joined = ids[..stable.ids].to_vec();
        encoder.encode_stable(&longer[stable.bytes..], Special::Allow, stable.bytes > 0, &mut joined).unwrap();
        prop_assert_eq!(joined, whole);
    }

    #[test]
    fn the_longest_token_is_found(words in prop::collection::btree_set("[a-d\u{e9}]{1,6}", 1..80), text in "[a-d\u{e9}]{0,20}") {
        let words: Vec<String> = words.into_iter().collect();
        let sorted: Vec<(&[u8], u32)> = words.iter().enumerate().map(|(id, word)| (word.as_bytes(), id as u32)).collect();
        let trie = trie::Trie::new(&sorted).unwrap();
        let expected = words.iter().enumerate().filter(|(_, word)| text.starts_with(word.as_str()));
        let expected = expected.max_by_key(|(_, word)| word.len()).map_or(trie::NONE, |(id, _)| id as u32);
        prop_assert_eq!(trie::Trie::longest(&trie.nodes, text.as_bytes()).0, expected);
    }
}

#[test]
fn a_pretoken_may_be_a_token_that_merges_never_make() {
    let mut tokens = alphabet();
    tokens.push(b"abc".to_vec());
    let lexicon = lexicon(&tokens, &Order::Merges(&[]), true);
    assert_eq!(ids_of(&lexicon, "abc"), [256]);
    assert_eq!(ids_of(&lexicon, "abcd").len(), 4);
}

#[test]
fn no_token_has_the_key_of_long_pretokens() {
    // Fifteen bytes that set every bit a key has above its low half, in a text that makes the memory as large as it gets.
    let mut tokens = alphabet();
    // 2, 4 and 8 bytes of 0x00, then 2, 4, 6 and 7 of 0xFF, then both together.
    let pairs = [(0, 0), (256, 256), (257, 257), (255, 255), (259, 259), (260, 259), (261, 255), (258, 262)];
    let made: Vec<[u32; 3]> = pairs.iter().zip(256..).map(|(&(left, right), token)| [left, right, token]).collect();
    for &(left, right) in &pairs {
        let both = [tokens[left as usize].as_slice(), &tokens[right as usize]].concat();
        tokens.push(both);
    }
    assert_eq!(tokens[263].len(), 15);
    let encoder = encoder(&tokens, &made, Splitter::named("whitespace").unwrap(), Vec::new());
    let letter = |number: u32| char::from(33 + (number % 90) as u8);
    let word = |number: u32| [' ', letter(number), letter(number / 90), letter(number / 8100)];
    let words: String = (0..200_000).flat_map(word).collect();
    let mut ids = Vec::new();
    encoder.encode(Text::Valid(&words), Special::Text, &mut ids).unwrap();
    ids.clear();
    encoder.encode(Text::Valid("abcdefghijklmnopqrstuvwxyz"), Special::Text, &mut ids).unwrap();
    assert_eq!(ids, bytes_of("abcdefghijklmnopqrstuvwxyz"));
}

#[test]
fn long_runs_need_no_queue() {
    let mut tokens = alphabet();
    tokens.extend([b"aa".to_vec(), b"aaaa".to_vec()]);
    let lexicon = lexicon(&tokens, &Order::Ranks(&(0..258).collect::<Vec<_>>()), true);
    let ids = ids_of(&lexicon, &"a".repeat(1_000_003));
    assert_eq!(ids.len(), 250_002);
    assert_eq!(ids[249_999..], [257, 256, 97]);
}

#[test]
fn a_character_no_token_stands_for_becomes_bytes() {
    let mut tokens: Vec<Vec<u8>> = alphabet();
    tokens.extend(["a", " ", " a", "é", "aé"].map(|token| token.as_bytes().to_vec()));
    let mut ordinary = vec![false; 256];
    ordinary.extend([true; 5]);
    let slices: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    let order = Order::Merges(&[[257, 256, 258], [256, 259, 260]]);
    let lexicon = Lexicon::new(&slices, &ordinary, &order, Atoms::Characters, false).unwrap();
    let byte_ids = std::array::from_fn(|byte| byte as u32);
    for (prefix, expected) in [
        (Prefix::None, vec![0xE6, 0xBC, 0xA2, 260, 98, 258]),
        (Prefix::First, vec![257, 0xE6, 0xBC, 0xA2, 260, 98, 258]),
    ] {
        let characters = Characters::new(&lexicon, byte_ids, prefix, true);
        let splitter = Splitter::new(Splitter::named("none").unwrap()).unwrap();
        let encoder = Encoder::new(splitter, lexicon.clone(), Vec::new(), None, Some(characters)).unwrap();
        let mut ids = Vec::new();
        encoder.encode(Text::Valid("漢aéb▁a"), Special::Raise, &mut ids).unwrap();
        assert_eq!(ids, expected);
    }
}

#[test]
fn a_file_holds_all_of_it() {
    let mut tokens = alphabet();
    tokens.extend([b"ab".to_vec(), b"abc".to_vec()]);
    let merges = [[97, 98, 256], [256, 99, 257]];
    let encoder = encoder(&tokens, &merges, Splitter::named("gpt2").unwrap(), Vec::new());
    let path = std::env::temp_dir().join(format!("bytetok-test-{}.bytetok", std::process::id()));
    let contents = encoder.to_file(b"meta", b"more");
    std::fs::write(&path, &contents).unwrap();
    let stored = Stored::open(&path).unwrap();
    assert_eq!(stored.meta().unwrap(), b"meta");
    assert_eq!(stored.more().unwrap(), b"more");
    assert_eq!(ids_of(&stored.lexicon().unwrap(), "abcab"), [257, 256]);
    for (at, cut) in [(40, contents.len()), (5000, contents.len()), (0, 100), (3, 0), (0, contents.len() - 1)] {
        let mut damaged = contents[..cut].to_vec();
        if let Some(byte) = damaged.get_mut(at) {
            *byte ^= 1;
        }
        std::fs::write(&path, &damaged).unwrap();
        assert!(Stored::open(&path).is_err());
    }
    std::fs::remove_file(&path).unwrap();
}

fn added(text: &str, id: u32, single_word: bool) -> Added {
    let text = text.to_owned();
    Added { text, id, special: false, single_word, lstrip: false, rstrip: false, normalized: false }
}

#[test]
fn added_tokens_do_not_match_inside_words() {
    let added = vec![added("cal.", 300, true), added("2017", 301, true), added("(a)", 302, false)];
    let encoder = encoder(&alphabet(), &[], Splitter::named("gpt2").unwrap(), added);
    let encode = |text: &str| {
        let mut ids = Vec::new();
        encoder.encode(Text::Valid(text), Special::Raise, &mut ids).unwrap();
        ids.into_iter().filter(|&id| id >= 300).collect::<Vec<_>>()
    };
    assert!(encode("medical. year 20171").is_empty());
    assert_eq!(encode("cal. in 2017, 5(a)"), [300, 301, 302]);
}

#[test]
fn special_text_raises_unless_allowed() {
    let end = Added { special: true, ..added("<|end|>", 256, false) };
    let encoder = encoder(&alphabet(), &[], &["x"], vec![end]);
    let mut ids = Vec::new();
    let error = encoder.encode(Text::Valid("a<|end|>"), Special::Raise, &mut ids).unwrap_err();
    assert!(matches!(error, Error::SpecialInText { offset: 1, .. }));
    ids.clear();
    encoder.encode(Text::Valid("a<|end|>"), Special::Allow, &mut ids).unwrap();
    assert_eq!(ids, [97, 256]);
    ids.clear();
    encoder.encode(Text::Valid("a<|end|>"), Special::Text, &mut ids).unwrap();
    assert_eq!(ids.len(), 8);
}
