//! How a split pattern tells characters apart.
//!
//! A regex sees of a character only which of its classes and literals hold it. So every text splits as the text does in
//! which each character is replaced by a fixed one of its kind, and what was found out about one text is known of all
//! that look the same.

use std::collections::HashMap;

use fancy_regex::{Assertion, Expr, LookAround};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, HirKind, Literal};

use crate::{Error, Result};

/// The kinds of characters of a pattern.
pub struct Classes {
    /// Where each stretch of characters of one kind begins, and the character that stands for them.
    starts: Vec<u32>,
    stand_ins: Vec<char>,
    /// Sequences such as `'re`, whose later characters matter only behind the first.
    literals: Vec<Vec<Vec<char>>>,
    /// The stand-ins, each once.
    pub all: Vec<char>,
    /// The most characters that a repetition counts.
    pub longest_count: usize,
    /// Whether a repetition counts more than single characters; a long run is then not as good as a shorter one.
    pub counts_groups: bool,
}

/// Further than this no repetition may count: everything that may come next is tried, up to that many characters.
const MOST_COUNTED: usize = 64;

/// A set of characters, as ranges.
type Set = Vec<(u32, u32)>;

#[derive(Default)]
struct Found {
    sets: Vec<Set>,
    literals: Vec<Vec<Vec<char>>>,
    longest_count: usize,
    counts_groups: bool,
}

impl Classes {
    /// Of the stages of a pattern; an error if one of them looks at more than the text from a match on. `has_words`: word
    /// characters are of other kinds than all others.
    pub fn new(patterns: &[String], has_words: bool) -> Result<Self> {
        let mut found = Found { longest_count: 1, ..Found::default() };
        for pattern in patterns {
            let invalid = |reason: String| Error::Pattern { pattern: pattern.clone(), reason };
            let tree = Expr::parse_tree(pattern).map_err(|error| invalid(error.to_string()))?;
            found.expression(&tree.expr).map_err(invalid)?;
        }
        if has_words {
            let invalid = |reason: String| Error::Pattern { pattern: r"\w".to_owned(), reason };
            found.delegate(r"\w", false).map_err(invalid)?;
        }
        // What is not UTF-8 splits as this character.
        found.sets.push(vec![(0xFFFD, 0xFFFD)]);
        Ok(found.classes())
    }

    /// The character that stands for `c` wherever it is not a part of a literal.
    pub fn stand_in(&self, c: char) -> char {
        let place = self.starts.partition_point(|&start| start <= c as u32);
        place.checked_sub(1).and_then(|place| self.stand_ins.get(place)).copied().unwrap_or(c)
    }

    /// Whether `c` behind `before` goes on with a literal.
    pub fn continues(&self, before: &[char], c: char) -> bool {
        self.literals.iter().any(|literal| {
            (1..literal.len()).any(|length| {
                literal.get(length).is_some_and(|wanted| wanted.contains(&c))
                    && before.len() >= length
                    && before.iter().skip(before.len() - length).zip(literal).all(|(c, wanted)| wanted.contains(c))
            })
        })
    }

    /// Whether a literal may go on behind `before`.
    pub fn is_open(&self, before: &[char]) -> bool {
        self.literals.iter().any(|literal| {
            (1..literal.len()).any(|length| {
                before.len() >= length
                    && before.iter().skip(before.len() - length).zip(literal).all(|(c, wanted)| wanted.contains(c))
            })
        })
    }

    /// Appends `c` to text of stand-ins, as itself if it goes on with a literal.
    pub fn push(&self, text: &mut Vec<char>, c: char) {
        let as_itself = !self.literals.is_empty() && self.continues(text, c);
        text.push(if as_itself { c } else { self.stand_in(c) });
    }

    /// What may come after a text, as far as the pattern can tell: nothing, any character, the rest of any literal, a few
    /// characters of a kind that is counted.
    pub fn probes(&self) -> Vec<Vec<char>> {
        let mut probes = vec![Vec::new()];
        probes.extend(self.all.iter().map(|&c| vec![c]));
        for literal in &self.literals {
            for start in 0..literal.len() {
                probes.push(literal.iter().skip(start).filter_map(|some| some.first().copied()).collect());
            }
        }
        // Two characters, of which the first may belong to either side.
        for &first in &self.all {
            if first.is_whitespace() || self.longest_count > 1 && first.is_numeric() {
                probes.extend(self.all.iter().map(|&second| vec![first, second]));
                probes.extend((3..=self.longest_count + 1).map(|count| vec![first; count]));
            }
        }
        probes.sort();
        probes.dedup();
        probes
    }
}

impl Found {
    fn expression(&mut self, expression: &Expr) -> std::result::Result<(), String> {
        match expression {
            Expr::Empty => {}
            Expr::Any { newline, crlf } => {
                if !newline {
                    self.sets.push(vec![(0x0A, 0x0A)]);
                }
                if *crlf {
                    self.sets.push(vec![(0x0D, 0x0D)]);
                }
            }
            Expr::GeneralNewline { .. } => {
                self.sets.extend([0x0A, 0x0B, 0x0C, 0x0D, 0x85].map(|c| vec![(c, c)]));
                self.sets.push(vec![(0x2028, 0x2029)]);
            }
            Expr::Literal { val, casei } => self.literal(val, *casei)?,
            Expr::Delegate { inner, casei } => self.delegate(inner, *casei)?,
            Expr::Assertion(assertion) => match assertion {
                Assertion::EndText => {}
                _ => return Err("looks at what is before a pretoken".to_owned()),
            },
            Expr::LookAround(inner, kind) => match kind {
                LookAround::LookAhead | LookAround::LookAheadNeg => self.expression(inner)?,
                _ => return Err("looks at what is before a pretoken".to_owned()),
            },
            Expr::Concat(parts) => {
                let mut joined = (String::new(), false);
                for part in parts {
                    match part {
                        Expr::Literal { val, casei } if joined.0.is_empty() || joined.1 == *casei => {
                            joined.0.push_str(val);
                            joined.1 = *casei;
                        }
                        _ => {
                            self.literal(&std::mem::take(&mut joined.0), joined.1)?;
                            self.expression(part)?;
                        }
                    }
                }
                self.literal(&joined.0, joined.1)?;
            }
            Expr::Alt(parts) => {
                for part in parts {
                    self.expression(part)?;
                }
            }
            Expr::Group(inner) => self.expression(inner)?,
            Expr::AtomicGroup(inner) => self.expression(inner)?,
            Expr::Repeat { child, lo, hi, .. } => {
                let most = if *hi == usize::MAX { *lo } else { *hi };
                if most > MOST_COUNTED {
                    return Err(format!("counts up to {most} of something; more than {MOST_COUNTED} are not followed"));
                }
                self.longest_count = self.longest_count.max(most);
                let is_one = matches!(**child, Expr::Delegate { .. } | Expr::Any { .. })
                    || matches!(&**child, Expr::Literal { val, .. } if val.chars().count() == 1);
                self.counts_groups |= !is_one && *hi > 1;
                self.expression(child)?;
            }
            _ => return Err("refers to what it matched before".to_owned()),
        }
        Ok(())
    }

    /// All spellings of each character of a literal; the first is a class of its own.
    fn literal(&mut self, text: &str, casei: bool) -> std::result::Result<(), String> {
        let mut literal = Vec::new();
        for c in text.chars() {
            let mut escaped = String::new();
            regex_syntax::escape_into(&c.to_string(), &mut escaped);
            let set = set_of(&escaped, casei)?;
            if literal.is_empty() {
                self.sets.push(set.clone());
            }
            literal.push(set.iter().flat_map(|&(from, to)| from..=to).filter_map(char::from_u32).collect::<Vec<_>>());
        }
        if literal.len() > 1 {
            self.literals.push(literal);
        }
        Ok(())
    }

    fn delegate(&mut self, inner: &str, casei: bool) -> std::result::Result<(), String> {
        self.sets.push(set_of(inner, casei)?);
        Ok(())
    }

    fn classes(self) -> Classes {
        let mut starts: Vec<u32> = self.sets.iter().flatten().flat_map(|&(from, to)| [from, to + 1]).collect();
        starts.extend([0, 0xD800, 0xE000]);
        starts.sort_unstable();
        starts.dedup();
        starts.retain(|&start| start <= 0x10_FFFF);
        let mut kinds = vec![Vec::new(); starts.len()];
        for (number, set) in self.sets.iter().enumerate() {
            for &(from, to) in set {
                let first = starts.partition_point(|&start| start < from);
                for (start, kind) in starts.iter().zip(&mut kinds).skip(first) {
                    if *start > to {
                        break;
                    }
                    if kind.last() != Some(&number) {
                        kind.push(number);
                    }
                }
            }
        }
        // Of each kind the plainest character that no literal holds.
        let in_literal = |c: char| {
            self.literals.iter().flat_map(|literal| literal.iter().skip(1)).flatten().any(|&other| other == c)
        };
        let mut best: HashMap<&[usize], (u32, char)> = HashMap::new();
        let ends = starts.iter().skip(1).copied().chain([0x11_0000]);
        for ((&start, end), kind) in starts.iter().zip(ends).zip(&kinds) {
            for c in (start..end.min(start + 128)).filter_map(char::from_u32) {
                let cost = c as u32 + if c < ' ' { 0x20_0000 } else { 0 } + if in_literal(c) { 0x40_0000 } else { 0 };
                let entry = best.entry(kind.as_slice()).or_insert((cost, c));
                *entry = (*entry).min((cost, c));
            }
        }
        let stand_ins: Vec<char> =
            kinds.iter().map(|kind| best.get(kind.as_slice()).map_or('\u{FFFD}', |(_, c)| *c)).collect();
        let mut all: Vec<char> = best.values().map(|(_, c)| *c).collect();
        all.sort_unstable();
        let (longest_count, counts_groups) = (self.longest_count, self.counts_groups);
        Classes { starts, stand_ins, literals: self.literals, all, longest_count, counts_groups }
    }
}

/// The characters of a regex that matches one.
fn set_of(pattern: &str, casei: bool) -> std::result::Result<Set, String> {
    let parsed =
        ParserBuilder::new().case_insensitive(casei).build().parse(pattern).map_err(|error| error.to_string())?;
    match parsed.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            Ok(class.ranges().iter().map(|range| (range.start() as u32, range.end() as u32)).collect())
        }
        HirKind::Class(Class::Bytes(class)) => {
            Ok(class.ranges().iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect())
        }
        HirKind::Literal(Literal(bytes)) => {
            let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
            Ok(text.chars().map(|c| (c as u32, c as u32)).collect())
        }
        _ => Err(format!("{pattern:?} is no single character")),
    }
}
