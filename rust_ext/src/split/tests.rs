use std::collections::HashMap;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn pieces(splitter: &Splitter, text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    splitter
        .each(text, |start, end| {
            pieces.push(text[start..end].to_owned());
            Ok(())
        })
        .unwrap();
    pieces
}

/// Compiled once: compiling these regexes costs far more than running them on a line of text.
static ENGINES: LazyLock<HashMap<&str, Fallback>> = LazyLock::new(|| {
    let stages = NAMED.iter().flat_map(|(_, stages)| stages.iter().copied());
    let aliases = named::ALIASES.iter().map(|(alias, _)| *alias);
    stages.chain(aliases).map(|pattern| (pattern, Fallback::new(pattern).unwrap())).collect()
});

/// What the regex engine gives, stage by stage.
fn by_regex(stages: &[&str], text: &str) -> Vec<String> {
    stages.iter().fold(vec![text.to_owned()], |pieces, stage| {
        let regex = &ENGINES[stage];
        pieces
            .iter()
            .flat_map(|piece| {
                let mut parts = Vec::new();
                regex
                    .each(piece, &mut |start, end| {
                        parts.push(piece[start..end].to_owned());
                        Ok(())
                    })
                    .unwrap();
                parts
            })
            .collect()
    })
}

/// Text that reaches every branch: letters of every case class, marks, numbers, white space, quotes, controls.
fn tricky() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "Z",
        "ab",
        "AB",
        "Ab",
        "é",
        "É",
        "ǅ",
        "ʰ",
        "中",
        "文",
        "ア",
        "・",
        "゛",
        "ー",
        "\u{301}",
        "\u{93f}",
        "1",
        "23",
        "456",
        "٣",
        "Ⅷ",
        "½",
        " ",
        "  ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\u{a0}",
        "\u{3000}",
        "\u{2028}",
        "\u{b}",
        "\u{85}",
        "'",
        "’",
        "'s",
        "'S",
        "'ſ",
        "'T",
        "'re",
        "'lL",
        "'ll",
        "'ve",
        "'d",
        "'m",
        "'r",
        ".",
        "/",
        "!",
        "-",
        "_",
        "$",
        "€",
        "^",
        "\u{0}",
        "\u{1c}",
        "\u{1f}",
        "\u{200d}",
        "\u{ad}",
        "😀",
        "👩‍👩",
        "\u{e000}",
        "\u{323B0}",
        "\u{10D4A}",
        "\u{10FFFF}",
        "ß",
        "ſ",
        "İ",
    ]);
    prop::collection::vec(
        prop_oneof![8 => pieces.prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)],
        0..24,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn scanners_equal_their_regexes(text in tricky()) {
        for (name, stages) in NAMED {
            let splitter = Splitter::new(stages).unwrap();
            prop_assert!(splitter.is_linear(), "{name} should have a scanner");
            prop_assert_eq!(pieces(&splitter, &text), by_regex(stages, &text), "pattern {}", name);
        }
    }

    #[test]
    fn aliases_equal_what_they_stand_for(text in tricky()) {
        for (alias, pattern) in named::ALIASES {
            prop_assert_eq!(by_regex(&[alias], &text), by_regex(&[pattern], &text), "alias {}", alias);
        }
    }

    #[test]
    fn a_cut_changes_no_pretoken(before in tricky(), after in tricky(), middle in "[a-z] [a-z]|[.a]\n[a-zé]|[0-9]") {
        let text = format!("{before}{middle}{after}");
        for (name, stages) in NAMED {
            let splitter = Splitter::new(stages).unwrap();
            for end in 0..=text.len() {
                let Some(prefix) = text.get(..end) else { continue };
                if let Some(cut) = splitter.last_cut(prefix) {
                    let mut halves = pieces(&splitter, &text[..cut]);
                    halves.extend(pieces(&splitter, &text[cut..]));
                    prop_assert_eq!(halves, pieces(&splitter, &text), "pattern {} cut at {}", name, cut);
                }
            }
        }
    }

    #[test]
    fn bytes_lose_nothing(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for (_, stages) in NAMED {
            let ranges = Splitter::new(stages).unwrap().ranges(&bytes).unwrap();
            let joined: Vec<u8> = ranges.iter().flat_map(|range| bytes[range.clone()].to_vec()).collect();
            prop_assert_eq!(&joined, &bytes);
        }
    }
}

#[test]
fn a_regex_that_matches_nothing_is_refused() {
    assert!(matches!(Splitter::new(&["a*"]), Err(crate::Error::EmptyMatch { .. })));
    assert!(matches!(Splitter::new(&["(a"]), Err(crate::Error::Pattern { .. })));
    let lookahead = Splitter::new(&["(?=x)|y"]).unwrap();
    assert!(matches!(lookahead.each("aax", |_, _| Ok(())), Err(crate::Error::EmptyMatch { offset: 2, .. })));
}

#[test]
fn text_between_matches_is_a_piece() {
    assert_eq!(pieces(&Splitter::new(&[r"\d+"]).unwrap(), "ab12cd3"), ["ab", "12", "cd", "3"]);
    assert_eq!(pieces(&Splitter::new(&["never"]).unwrap(), "ab12"), ["ab12"]);
}
