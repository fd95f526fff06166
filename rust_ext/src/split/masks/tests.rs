use std::result::Result;

use proptest::prelude::*;

use super::*;
use crate::split::{NAMED, Splitter};

const LEVELS: [Option<Available>; 3] = [Some(Available::Avx512), Some(Available::Avx2), None];

/// The patterns under test: those with a name, and the two stages of SmolLM2.
fn splitters() -> Vec<(&'static str, Splitter)> {
    let stages = |name| Splitter::named(name).unwrap();
    let smol = [stages("digits"), stages("gpt2")].concat();
    let named = NAMED.iter().map(|(name, stages)| (*name, Splitter::new(stages).unwrap()));
    named.chain([("digits, gpt2", Splitter::new(&smol).unwrap())]).collect()
}

fn scanned(splitter: &Splitter, text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    splitter
        .each(text, |_, end| {
            ends.push(end);
            Ok(())
        })
        .unwrap();
    ends
}

/// The ends that `each_batch` gives at a level, or `None` where the processor has no such level.
fn batched(splitter: &Splitter, level: Option<Available>, text: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    let mut emit = |base: usize, ends: &[u32]| {
        assert_eq!(base, all.last().copied().unwrap_or(0));
        assert!(!ends.is_empty() && ends.len() <= BATCH);
        all.extend(ends.iter().map(|&end| base + end as usize));
        Ok(())
    };
    let done = match (level, splitter.masks()) {
        (Some(level), Some(pattern)) => {
            let mut batch = Batch::new(&mut emit);
            let done = split_at(level, pattern, text, &mut batch).unwrap();
            batch.flush().unwrap();
            done
        }
        (Some(_), None) => false,
        (None, _) => {
            splitter.each_batch(text, &mut emit).unwrap();
            true
        }
    };
    done.then_some(all)
}

fn check(text: &str) -> Result<(), TestCaseError> {
    for (name, splitter) in splitters() {
        let expected = scanned(&splitter, text);
        for level in LEVELS {
            if let Some(found) = batched(&splitter, level, text)
                && found != expected
            {
                let at =
                    found.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(found.len().min(expected.len()));
                let from = at.checked_sub(2).map_or(0, |index| expected[index]);
                let near: String = text[from..].chars().take(24).collect();
                let (found, expected) = (found.get(at), expected.get(at));
                prop_assert!(false, "{name} {level:?}: end {found:?} is not {expected:?}, in {near:?} from {from}");
            }
        }
    }
    Ok(())
}

const NASTY: &[&str] = &[
    " ",
    "  ",
    "\t",
    "\u{a0}",
    "\u{3000}",
    "\r",
    "\n",
    "\r\n",
    "'",
    "s",
    "t",
    "l",
    "L",
    "re",
    "ve",
    "a",
    "B",
    "e",
    "x",
    "1",
    "²",
    "٣",
    "é",
    "É",
    "ſ",
    "漢",
    "क",
    "ア",
    "\u{301}",
    "\u{308}",
    "!",
    "/",
    ".",
    "“",
    "😀",
    "\u{2028}",
    "\u{85}",
    "ǅ",
    "ʰ",
    "\u{0}",
    "\u{200d}",
    "\u{feff}",
    "\u{1d7ce}",
    "\u{10400}",
    "\u{10428}",
    "’",
    "$",
    "\u{fe0f}",
    "゛",
    "・",
    "\u{3040}",
    "\u{3099}",
    "\u{e0001}",
];

/// A few kinds only, so that runs and repetitions come up.
fn nasty() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(NASTY), 1..8).prop_flat_map(|few| {
        prop::collection::vec(prop_oneof![6 => prop::sample::select(few), 1 => prop::sample::select(NASTY)], 0..300)
            .prop_map(|parts| parts.concat())
    })
}

const FRAGMENTS: &[&str] = &[
    "The quick brown fox",
    " don't",
    "'sup ",
    "    if (x == 12345) {\r\n",
    "\n\n\n",
    "\n    \n        return",
    ";\n//x",
    "http://a.b/c?d=1\n",
    " 3.14159 ",
    "l'été ",
    "Привет, мир! ",
    "DON'T ",
    "camelCaseWord",
    "HTTPServer ",
    "漢字とカナ、",
    "日本DVD。",
    "中文ABC公司",
    "हिन्दी में ",
    "مرحبا ١٢٣ ",
    "👩‍👩‍👧 ",
    "❤️",
    "“quoted” ",
    "it's's ",
    "\t\t\tx\n",
    "/* a */\n/",
    "!\n/'s",
    "1,234,567.89",
    "  \n",
    "   ",
    "I'LL we've",
    "naïve café",
    "\u{3000}全角\u{3000}",
    "\u{a0}\u{a0}x",
    "Ⅷ½²",
    "'",
    "''",
    "a'b",
    "'ſx",
    "o'Re",
    "ABCdef",
];

fn fragments() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(FRAGMENTS), 0..60).prop_map(|parts| parts.concat())
}

fn runs() -> impl Strategy<Value = String> {
    let run = (prop::sample::select(NASTY), prop_oneof![0..5usize, 50..80usize, 120..140usize, 1000..1100usize]);
    prop::collection::vec(run, 0..8).prop_map(|runs| runs.iter().map(|(unit, count)| unit.repeat(*count)).collect())
}

fn cases() -> u32 {
    std::env::var("BYTETOK_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn nasty_texts(text in nasty()) {
        check(&text)?;
    }

    #[test]
    fn fragments_of_texts(text in fragments()) {
        check(&text)?;
    }

    #[test]
    fn any_unicode(text in prop::collection::vec(any::<char>(), 0..300)) {
        check(&text.into_iter().collect::<String>())?;
    }

    #[test]
    fn long_runs(text in runs()) {
        check(&text)?;
    }
}

#[test]
fn every_short_text() {
    let letters: Vec<&str> = NASTY.iter().copied().filter(|text| text.len() < 4).collect();
    for first in &letters {
        for second in &letters {
            for third in &letters {
                // Before the block's end, over it, and at the start of the next.
                for lead in [0, 62, 63] {
                    let text = format!("{}{first}{second}{third}", "x".repeat(lead));
                    check(&text).unwrap();
                }
            }
        }
    }
}

#[test]
fn batches_move_on_before_their_numbers_end() {
    let mut batches = Vec::new();
    let mut emit = |base: usize, ends: &[u32]| {
        batches.push((base, ends.to_vec()));
        Ok(())
    };
    let mut batch = Batch::new(&mut emit);
    let (three, six) = (3 << 30, 6 << 30);
    batch.push(three).unwrap();
    batch.push(six).unwrap();
    assert!(matches!(batch.push(six + (1 << 32)), Err(crate::Error::TooLarge { .. })));
    assert_eq!(batch.last(), six);
    assert_eq!(batches, [(0, vec![three as u32]), (three, vec![(six - three) as u32])]);
}

#[test]
fn the_ends_of_a_text_are_found_wherever_it_ends() {
    let long = FRAGMENTS.concat();
    for end in (0..=long.len()).filter(|&end| long.is_char_boundary(end)) {
        check(&long[..end]).unwrap();
        check(&long[end..]).unwrap();
    }
}

/// Marks behind others are where the words of o200k depend on all that is before.
#[test]
fn marks_behind_others() {
    let units = ["!", "😀", "\u{301}", "\u{fe0f}", " ", "a", "B", "漢", "\n", "/", "'s", "1"];
    let mut texts = vec![String::new()];
    for _ in 0..4 {
        texts = texts.iter().flat_map(|text| units.map(|unit| format!("{text}{unit}"))).collect();
    }
    for (lead, text) in texts.iter().enumerate() {
        check(&format!("{}{text}{text}", "x".repeat(lead % 9 + 48))).unwrap();
    }
}

/// All files of the folder named in `BYTETOK_CORPORA`, whole.
#[test]
#[ignore = "needs corpora"]
fn corpora() {
    for entry in std::fs::read_dir(std::env::var("BYTETOK_CORPORA").unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with("10.txt") || name.starts_with("adv_") {
            check(&String::from_utf8_lossy(&std::fs::read(&path).unwrap())).unwrap();
        }
    }
}
