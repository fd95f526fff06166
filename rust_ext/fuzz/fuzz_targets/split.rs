//! Any pattern and any text: the pieces tile the text and are those of the regex, stage by stage; never a panic.
//!
//! ```text
//! cargo +nightly fuzz run split -- -max_total_time=300
//! ```

#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use _core::split::{NAMED, Splitter};
use arbitrary::Arbitrary;
use fancy_regex::{Regex, RegexBuilder};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Case {
    /// Some: the pattern of that number; None: the regexes of `stages`.
    named: Option<u8>,
    stages: Vec<String>,
    /// Text as a list of fragments, or as it is.
    fragments: Vec<u8>,
    text: String,
    /// Bytes that need not be UTF-8.
    bytes: Vec<u8>,
}

const FRAGMENTS: [&str; 64] = [
    "a", "Z", "ab", "AB", "Ab", "é", "É", "ǅ", "ʰ", "中", "文", "ア", "・", "ー", "\u{301}", "\u{93f}", "1", "23",
    "456", "٣", "Ⅷ", "½", " ", "  ", "\t", "\n", "\r", "\r\n", "\n\n", "\u{a0}", "\u{3000}", "\u{85}", "\u{2028}",
    "\u{1c}", "\u{200b}", "\u{feff}", "'", "'s", "'S", "'ſ", "'ll", "'VE", "’t", ".", "!", "/", "//", "-", "_", "$",
    "%", "(a)", "\u{0}", "😀", "\u{200d}", "\u{323b0}", "\u{10940}", "\u{105c0}", "\u{10ffff}", "\u{e000}", "ß",
    "\u{212a}", "ª", "\u{2160}",
];

/// Compiled once: that costs far more than running them on a line of text.
static REGEXES: LazyLock<HashMap<&str, Regex>> = LazyLock::new(|| {
    let stages = NAMED.iter().flat_map(|(_, stages)| stages.iter().copied());
    stages.map(|stage| (stage, Regex::new(stage).expect("patterns with names compile"))).collect()
});

/// The pieces of a regex: its matches, and what is between them. None where it gives up or matches nothing.
fn isolated<'t>(regex: &Regex, text: &'t str) -> Option<Vec<&'t str>> {
    let (mut parts, mut done) = (Vec::new(), 0);
    for found in regex.find_iter(text) {
        let found = found.ok()?;
        if found.start() == found.end() {
            return None;
        }
        if done < found.start() {
            parts.push(&text[done..found.start()]);
        }
        parts.push(found.as_str());
        done = found.end();
    }
    if done < text.len() {
        parts.push(&text[done..]);
    }
    Some(parts)
}

fn by_regexes<'t>(regexes: &[&Regex], text: &'t str) -> Option<Vec<&'t str>> {
    let mut pieces = if text.is_empty() { Vec::new() } else { vec![text] };
    for regex in regexes {
        let mut next = Vec::new();
        for piece in pieces {
            next.extend(isolated(regex, piece)?);
        }
        pieces = next;
    }
    Some(pieces)
}

fn pieces<'t>(splitter: &Splitter, text: &'t str) -> Option<Vec<&'t str>> {
    let (mut pieces, mut end) = (Vec::new(), 0);
    let result = splitter.each(text, |from, to| {
        assert_eq!(from, end, "pieces leave no gap");
        assert!(from < to, "no piece is empty");
        end = to;
        pieces.push(&text[from..to]);
        Ok(())
    });
    result.ok()?;
    assert_eq!(end, text.len(), "pieces reach the end");
    Some(pieces)
}

/// What is in the bytes is in the pieces, too.
fn tile(splitter: &Splitter, bytes: &[u8]) {
    let Ok(ranges) = splitter.ranges(bytes) else { return };
    let mut end = 0;
    for range in ranges {
        assert_eq!(range.start, end);
        assert!(range.end > range.start);
        end = range.end;
    }
    assert_eq!(end, bytes.len());
}

fuzz_target!(|case: Case| {
    let mut text: String = case.text.chars().take(80).collect();
    for &fragment in case.fragments.iter().take(80) {
        text.push_str(FRAGMENTS[usize::from(fragment) % FRAGMENTS.len()]);
    }
    match case.named {
        Some(number) => {
            let (name, stages) = NAMED[usize::from(number) % NAMED.len()];
            let splitter = Splitter::new(stages).expect("patterns with names compile");
            assert!(splitter.is_linear());
            let regexes: Vec<&Regex> = stages.iter().map(|stage| &REGEXES[stage]).collect();
            assert_eq!(pieces(&splitter, &text), by_regexes(&regexes, &text), "pattern {name}");
            tile(&splitter, &case.bytes);
        }
        None => {
            let stages: Vec<&str> = case.stages.iter().map(String::as_str).filter(|s| s.len() <= 40).take(3).collect();
            let Ok(splitter) = Splitter::new(&stages) else { return };
            // The same limit would take a second for each match that gives up.
            let compile = |stage: &&str| RegexBuilder::new(stage).backtrack_limit(20_000).build();
            let Ok(regexes) = stages.iter().map(compile).collect::<Result<Vec<_>, _>>() else { return };
            let Some(expected) = by_regexes(&regexes.iter().collect::<Vec<_>>(), &text) else { return };
            if let Some(pieces) = pieces(&splitter, &text) {
                assert_eq!(pieces, expected);
            }
            tile(&splitter, &case.bytes[..case.bytes.len().min(100)]);
        }
    }
});
