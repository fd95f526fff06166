//! Where pretokens may end in a text that is not all there yet.
//!
//! A split pattern looks ahead, so what comes next decides where the pretokens before it end. This keeps all that may
//! still be: the text since the last border that is certain, and which borders between tokens in it must be borders of
//! pretokens. Whether a token may follow is asked of the splitter itself, with everything that may come behind it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::classes::Classes;
use super::prefixes::{Begun, Prefixes};
use super::tail::{END, Mark, Shape, Tail, is_pretoken};
use crate::Result;
use crate::split::Splitter;

/// Whether a token may follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Verdict {
    Never,
    /// If the two are what BPE makes of their bytes together.
    IfPair,
    /// Also behind a border of pretokens.
    Always,
}

/// A tail and a token behind it.
struct Joined {
    /// The tail, of which the unfinished character is finished or not in the token.
    tail: Tail,
    /// Where the border between the two is; inside a character it is nowhere.
    border: Option<usize>,
    /// What the token looks like.
    shape: Shape,
}

/// What else is asked of a token that is to follow.
#[derive(Clone, Default)]
pub struct Wanted {
    /// Whether it must be a pretoken as a whole.
    pub is_whole: bool,
    /// From where to its end there must be no pretoken.
    pub never_whole: Vec<usize>,
    /// What must follow it.
    pub rest: Vec<u8>,
    /// Whether a word character must follow that, or none.
    pub is_word: Option<bool>,
}

/// Something that may come after a text.
struct End {
    text: Vec<char>,
    /// How far into it the text goes that it comes after; nowhere if that ends inside a character.
    from: Option<usize>,
    /// How many characters of it must come.
    rest: usize,
}

impl End {
    /// Whether a word character comes behind what must come.
    fn is_word(&self) -> bool {
        self.text.get(self.rest).is_some_and(|&c| regex_syntax::is_word_character(c))
    }
}

/// The characters that a character may still become, one of each kind, each with what may come after it.
type Ends = Arc<Vec<End>>;

/// The split pattern, asked about beginnings of texts.
pub struct Borders {
    splitter: Splitter,
    pub classes: Classes,
    /// Tokens that are whole pretokens although merges never make them.
    odd: Prefixes,
    probes: Ends,
    completions: Mutex<HashMap<Vec<u8>, Ends>>,
}

/// How many characters of a run are kept at its ends.
const KEPT: usize = 2;

impl Borders {
    /// Of a splitter, and of the tokens that are whole pretokens although merges never make them; `has_words` if word
    /// characters are to be told from others. An error for a pattern that looks behind.
    pub fn new(splitter: &Splitter, odd: Prefixes, has_words: bool) -> Result<Self> {
        let classes = Classes::new(splitter.patterns(), has_words)?;
        let probes = Arc::new(classes.probes().into_iter().map(|text| End { text, from: Some(0), rest: 0 }).collect());
        Ok(Borders { splitter: splitter.clone(), classes, odd, probes, completions: Mutex::default() })
    }

    /// How a token looks behind text that leaves no literal open.
    pub fn shape(&self, bytes: &[u8]) -> Shape {
        self.shape_behind(&[], bytes)
    }

    /// How bytes look behind `before`.
    pub fn shape_behind(&self, before: &[char], bytes: &[u8]) -> Shape {
        let mut text: Vec<char> = before.to_vec();
        let mut open = Vec::new();
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            at += chunk.valid().len() + chunk.invalid().len();
            for c in chunk.valid().chars() {
                self.classes.push(&mut text, c);
            }
            if at == bytes.len() && may_go_on(chunk.invalid()) {
                open = chunk.invalid().to_vec();
            } else {
                for _ in chunk.invalid() {
                    self.classes.push(&mut text, char::REPLACEMENT_CHARACTER);
                }
            }
        }
        let mut tail = Tail { text: text.split_off(before.len()), ..Tail::default() };
        if before.is_empty() {
            self.shorten(&mut tail);
        }
        Shape { text: tail.text, open }
    }

    /// Whether what a token looks like depends on this tail.
    pub fn is_peculiar(&self, tail: &Tail) -> bool {
        !tail.open.is_empty() || self.classes.is_open(&tail.text)
    }

    /// A tail whose unfinished character stays so.
    pub fn without_open(&self, tail: &Tail) -> Tail {
        let mut plain = tail.clone();
        for _ in std::mem::take(&mut plain.open) {
            self.classes.push(&mut plain.text, char::REPLACEMENT_CHARACTER);
        }
        plain
    }

    /// Whether it depends on this tail what these bytes look like.
    pub fn is_peculiar_behind(&self, tail: &Tail, bytes: &[u8]) -> bool {
        if !tail.open.is_empty() && bytes.first().is_some_and(|byte| byte & 0xC0 == 0x80) {
            return true;
        }
        let first = bytes.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
        first.is_some_and(|c| self.classes.continues(&tail.text, c))
    }

    /// What bytes look like behind this tail, with the character that they finish; to tell them apart.
    pub fn look(&self, tail: &Tail, bytes: &[u8]) -> Shape {
        let Joined { border, mut shape, .. } = self.joined(tail, bytes);
        shape.text.push(if border.is_some() { '|' } else { '-' });
        shape
    }

    /// Shortens runs of one character, which no pattern tells from shorter ones.
    fn shorten(&self, tail: &mut Tail) {
        if !self.classes.counts_groups {
            tail.shorten(self.classes.longest_count + KEPT);
        }
    }

    /// What may come after a text that ends inside a character.
    fn ends(&self, open: &[u8]) -> Ends {
        if open.is_empty() {
            return Arc::clone(&self.probes);
        }
        let mut known = self.completions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(ends) = known.get(open) {
            return Arc::clone(ends);
        }
        let mut kinds: Vec<char> = completions(open).map(|c| self.classes.stand_in(c)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let broken = vec![self.classes.stand_in(char::REPLACEMENT_CHARACTER); open.len()];
        let starts = kinds.into_iter().map(|kind| (vec![kind], None)).chain([(broken, Some(open.len()))]);
        let ends = starts.flat_map(|(start, from)| {
            let behind = move |probe: &End| End { text: [start.as_slice(), &probe.text].concat(), from, rest: 0 };
            self.probes.iter().map(behind)
        });
        let ends = Arc::new(ends.collect::<Vec<_>>());
        known.insert(open.to_vec(), Arc::clone(&ends));
        ends
    }

    /// What may come after a text that goes on with certain bytes.
    fn ends_behind(&self, before: &[char], open: &[u8], rest: &[u8]) -> Ends {
        let rest = self.shape_behind(before, &[open, rest].concat()).text;
        let from = open.is_empty().then_some(0);
        let behind = |probe: &End| End { text: [rest.as_slice(), &probe.text].concat(), from, rest: rest.len() };
        Arc::new(self.probes.iter().map(behind).collect())
    }

    /// The places, in characters, where pretokens of `text` end.
    fn split(&self, text: &[char]) -> Result<Vec<usize>> {
        let string: String = text.iter().collect();
        let mut ends = Vec::new();
        let (mut at, mut count) = (0, 0);
        self.splitter.each(&string, |_, end| {
            count += string.get(at..end).map_or(0, |piece| piece.chars().count());
            at = end;
            ends.push(count);
            Ok(())
        })?;
        Ok(ends)
    }

    /// Whether a token of this shape may follow a tail that leaves nothing open.
    pub fn verdict(&self, tail: &Tail, shape: &Shape, wanted: &Wanted) -> Result<Verdict> {
        let (tail, shape) = (tail.clone(), shape.clone());
        self.verdict_of(&Joined { border: Some(tail.text.len()), tail, shape }, wanted)
    }

    /// Whether a token may follow, whatever the tail.
    pub fn verdict_of_bytes(&self, tail: &Tail, bytes: &[u8], wanted: &Wanted) -> Result<Verdict> {
        self.verdict_of(&self.joined(tail, bytes), wanted)
    }

    fn joined(&self, tail: &Tail, bytes: &[u8]) -> Joined {
        let mut tail = tail.clone();
        let open = std::mem::take(&mut tail.open);
        let whole = [open.as_slice(), bytes].concat();
        let goes_on = !open.is_empty() && bytes.first().is_some_and(|byte| byte & 0xC0 == 0x80) && {
            let first = whole.utf8_chunks().next();
            first.is_some_and(|chunk| !chunk.valid().is_empty() || chunk.invalid().len() > open.len())
        };
        if goes_on {
            let shape = self.shape_behind(&tail.text, &whole);
            return Joined { tail, border: None, shape };
        }
        for _ in &open {
            self.classes.push(&mut tail.text, char::REPLACEMENT_CHARACTER);
        }
        let shape = self.shape_behind(&tail.text, bytes);
        Joined { border: Some(tail.text.len()), tail, shape }
    }

    fn verdict_of(&self, joined: &Joined, wanted: &Wanted) -> Result<Verdict> {
        let Joined { tail, border, shape } = joined;
        let border = *border;
        let at = tail.text.len();
        if border.is_none() && (tail.is_closed || wanted.is_whole) {
            return Ok(Verdict::Never);
        }
        let mut best = Verdict::Never;
        let mut whole = [tail.text.as_slice(), &shape.text].concat();
        let length = whole.len();
        let ends = match wanted.rest.is_empty() {
            true => self.ends(&shape.open),
            false => self.ends_behind(&whole, &shape.open, &wanted.rest),
        };
        for end in ends.iter() {
            if wanted.is_word.is_some_and(|wanted| end.is_word() != wanted) {
                continue;
            }
            whole.truncate(length);
            whole.extend_from_slice(&end.text);
            let borders = self.split(&whole)?;
            let is_border = border.is_some_and(|border| border == 0 || borders.binary_search(&border).is_ok());
            // A token that begins with a character it does not finish holds no border before that.
            let last_inside = end.from.map_or(length + 1, |from| length + from);
            let inside = |&place: &usize| place > at && place < last_inside;
            let unmarked = |&place: &usize| place < at && !has_mark(&tail.marks, place);
            // Where the text ends inside a character, that border is nowhere but the character is before it.
            let through = |&place: &usize| place == at && border.is_none() && at > 0 && !has_mark(&tail.marks, at);
            if borders.iter().any(|place| inside(place) || unmarked(place) || through(place))
                || tail.marks.iter().any(|mark| mark.must && borders.binary_search(&mark.at).is_err())
                || tail.has_whole(&borders, border)
            {
                continue;
            }
            let last = end.from.map(|from| length + from);
            let ends_whole = |&from: &usize| last.is_some_and(|last| is_pretoken(&borders, from, last));
            if wanted.never_whole.iter().any(ends_whole) || wanted.is_whole && !border.is_some_and(|at| ends_whole(&at))
            {
                continue;
            }
            let must = tail.is_closed || wanted.is_whole;
            best = best.max(match (is_border, must) {
                (true, _) => Verdict::Always,
                (false, true) => Verdict::Never,
                (false, false) => Verdict::IfPair,
            });
            if best == Verdict::Always {
                break;
            }
        }
        Ok(best)
    }

    /// Where the pretokens may begin that a token would complete as tokens that they are not.
    pub fn completed(&self, tail: &Tail, bytes: &[u8]) -> Vec<usize> {
        let ends = |begun: Begun| self.odd.complete(self.odd.follow(begun, bytes)).is_some();
        tail.starts.iter().filter(|(_, begun)| ends(*begun)).map(|(at, _)| *at).collect()
    }

    /// What is missing of each token that the pretokens of a tail may yet become.
    pub fn rests<'a>(&'a self, tail: &'a Tail) -> impl Iterator<Item = &'a [u8]> {
        tail.starts.iter().flat_map(|(_, begun)| self.odd.rests(*begun)).map(|(rest, _)| rest)
    }

    /// The tail behind a token that may follow; `is_pair` says whether BPE leaves the two side by side, `is_whole`
    /// whether the token must be a pretoken as a whole.
    pub fn followed(&self, tail: &Tail, bytes: &[u8], is_pair: bool, is_whole: bool) -> Result<Tail> {
        let Joined { mut tail, border, shape } = self.joined(tail, bytes);
        let must = !is_pair || is_whole || tail.is_closed;
        if let Some(at) = border {
            tail.never_whole.iter_mut().filter(|(_, to)| *to == END).for_each(|(_, to)| *to = at);
            if at > 0 && !has_mark(&tail.marks, at) {
                tail.marks.push(Mark { at, must });
            }
        }
        tail.never_whole.retain(|(_, to)| *to != END);
        // No pretoken goes on over a border that must be there.
        let earlier = std::mem::take(&mut tail.starts).into_iter().filter(|_| !must);
        let own = border.map(|at| (at, self.odd.all()));
        for (at, begun) in earlier.chain(own).filter(|_| !is_whole) {
            let begun = self.odd.follow(begun, bytes);
            if self.odd.complete(begun).is_some() {
                tail.never_whole.push((at, END));
            }
            let begun = self.odd.longer(begun);
            if !begun.is_empty() {
                tail.starts.push((at, begun));
            }
        }
        tail.is_closed = is_whole;
        tail.text.extend_from_slice(&shape.text);
        tail.open = shape.open;
        let certain = self.certain(&tail.text, &tail.open)?;
        tail.begin_at(certain);
        self.shorten(&mut tail);
        Ok(tail)
    }

    /// The last border up to which all are the same, whatever comes.
    fn certain(&self, text: &[char], open: &[u8]) -> Result<usize> {
        let mut common: Option<Vec<usize>> = None;
        let mut whole = text.to_vec();
        for end in self.ends(open).iter() {
            whole.truncate(text.len());
            whole.extend_from_slice(&end.text);
            let mut borders = self.split(&whole)?;
            borders.retain(|&at| at <= text.len());
            common = Some(match common {
                None => borders,
                Some(mut common) => {
                    let same = common.iter().zip(&borders).take_while(|(a, b)| a == b).count();
                    common.truncate(same);
                    common
                }
            });
            if common.as_ref().is_some_and(Vec::is_empty) {
                return Ok(0);
            }
        }
        Ok(common.and_then(|common| common.last().copied()).unwrap_or(0))
    }

    /// Whether the text may end behind this tail with just these tokens.
    pub fn may_end(&self, tail: &Tail) -> Result<bool> {
        let mut text = tail.text.clone();
        for _ in &tail.open {
            self.classes.push(&mut text, char::REPLACEMENT_CHARACTER);
        }
        let borders = self.split(&text)?;
        let unmarked = |&at: &usize| at < text.len() && !has_mark(&tail.marks, at);
        let missed = |mark: &Mark| mark.must && borders.binary_search(&mark.at).is_err();
        let is_wrong = borders.iter().any(unmarked) || tail.marks.iter().any(missed);
        Ok(!is_wrong && !tail.has_whole(&borders, Some(text.len())))
    }
}

fn has_mark(marks: &[Mark], at: usize) -> bool {
    marks.binary_search_by_key(&at, |mark| mark.at).is_ok()
}

/// Whether these bytes are the beginning of a character.
fn may_go_on(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// The characters whose UTF-8 begins with `open`.
fn completions(open: &[u8]) -> impl Iterator<Item = char> {
    let length = match open.first() {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        _ => 4,
    };
    let fill = |byte: u8| {
        let mut bytes = open.to_vec();
        bytes.resize(length, byte);
        bytes.iter().fold(0u32, |code, &byte| code << 6 | u32::from(byte & 0x3F))
            & match length {
                2 => 0x7FF,
                3 => 0xFFFF,
                _ => 0x1F_FFFF,
            }
    };
    let owned = open.to_vec();
    (fill(0x80)..=fill(0xBF)).filter_map(char::from_u32).filter(move |c| {
        let mut buffer = [0; 4];
        c.encode_utf8(&mut buffer).as_bytes().starts_with(&owned)
    })
}
