//! Where pretokens may end in a text that is not all there yet.
//!
//! A split pattern looks ahead, so what comes next decides where the pretokens before it end. This keeps all that may
//! still be: the text since the last border that is certain, and which borders between tokens in it must be borders of
//! pretokens. Whether a token may follow is asked of the splitter itself, with everything that may come behind it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::classes::Classes;
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

/// Whether a border between two tokens must be one of pretokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Mark {
    /// How many characters are before it.
    at: usize,
    must: bool,
}

/// The text since the last certain border, as stand-ins, and the borders between tokens in it.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Tail {
    text: Vec<char>,
    marks: Vec<Mark>,
    /// The bytes of a character that is not finished.
    open: Vec<u8>,
}

impl Tail {
    /// With nothing but a character that is not finished.
    pub fn unfinished(open: Vec<u8>) -> Self {
        Tail { open, ..Tail::default() }
    }

    /// The bytes of a character that is not finished.
    pub fn open(&self) -> &[u8] {
        &self.open
    }
}

/// What a token looks like to the pattern: its characters as stand-ins, and a character that it does not finish.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Shape {
    pub text: Vec<char>,
    pub open: Vec<u8>,
}

/// The characters that a character may still become, one of each kind, and what may come after it.
type Ends = Arc<Vec<Vec<char>>>;

/// The split pattern, asked about beginnings of texts.
pub struct Borders {
    splitter: Splitter,
    pub classes: Classes,
    probes: Ends,
    completions: Mutex<HashMap<Vec<u8>, Ends>>,
}

/// How many characters of a run are kept at its ends.
const KEPT: usize = 2;

impl Borders {
    /// Of a splitter; an error for a pattern that looks behind.
    pub fn new(splitter: &Splitter) -> Result<Self> {
        let classes = Classes::new(splitter.patterns())?;
        let probes = Arc::new(classes.probes());
        Ok(Borders { splitter: splitter.clone(), classes, probes, completions: Mutex::new(HashMap::new()) })
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
        let mut text = text.split_off(before.len());
        if before.is_empty() {
            text = self.collapsed(text, &[]).0;
        }
        Shape { text, open }
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
        let (_, _, border, mut shape) = self.joined(tail, bytes);
        shape.text.push(if border.is_some() { '|' } else { '-' });
        shape
    }

    /// Shortens runs of one character, which no pattern tells from shorter ones, and moves the marks along.
    fn collapsed(&self, text: Vec<char>, marks: &[Mark]) -> (Vec<char>, Vec<Mark>) {
        let kept = self.classes.longest_count + KEPT;
        let longest = 2 * kept;
        if text.len() <= longest || self.classes.counts_groups {
            return (text, marks.to_vec());
        }
        let mut short = Vec::with_capacity(text.len());
        let mut moved = Vec::new();
        let mut marks = marks.iter().peekable();
        let mut start = 0;
        for run in text.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            let cut = if run.len() > longest { start + kept..end - kept } else { end..end };
            while let Some(mark) = marks.next_if(|mark| mark.at <= end) {
                if cut.contains(&mark.at) && !mark.must {
                    continue;
                }
                let at = if mark.at >= cut.end { mark.at - cut.len() } else { mark.at };
                moved.push(Mark { at: at - (start - short.len()), must: mark.must });
            }
            short.extend(run.iter().enumerate().filter(|(at, _)| !cut.contains(&(start + at))).map(|(_, c)| c));
            start = end;
        }
        (short, moved)
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
        let starts = kinds.into_iter().map(|kind| vec![kind]).chain([broken]);
        let ends = starts.flat_map(|start| self.probes.iter().map(move |probe| [start.as_slice(), probe].concat()));
        let ends = Arc::new(ends.collect::<Vec<_>>());
        known.insert(open.to_vec(), Arc::clone(&ends));
        ends
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
    pub fn verdict(&self, tail: &Tail, shape: &Shape) -> Result<Verdict> {
        self.verdict_at(&tail.text, &tail.marks, Some(tail.text.len()), &shape.text, &shape.open)
    }

    /// Whether a token may follow, whatever the tail.
    pub fn verdict_of_bytes(&self, tail: &Tail, bytes: &[u8]) -> Result<Verdict> {
        let (text, marks, border, shape) = self.joined(tail, bytes);
        self.verdict_at(&text, &marks, border, &shape.text, &shape.open)
    }

    /// A tail and a token behind it: the text before it, the marks, where the border between the two is (inside a
    /// character it is nowhere), and the rest.
    fn joined(&self, tail: &Tail, bytes: &[u8]) -> (Vec<char>, Vec<Mark>, Option<usize>, Shape) {
        let mut text = tail.text.clone();
        if tail.open.is_empty() {
            let shape = self.shape_behind(&text, bytes);
            let border = Some(text.len());
            return (text, tail.marks.clone(), border, shape);
        }
        let whole = [tail.open.as_slice(), bytes].concat();
        let goes_on = bytes.first().is_some_and(|byte| byte & 0xC0 == 0x80) && {
            let first = whole.utf8_chunks().next();
            first.is_some_and(|chunk| !chunk.valid().is_empty() || chunk.invalid().len() > tail.open.len())
        };
        if goes_on {
            let shape = self.shape_behind(&text, &whole);
            return (text, tail.marks.clone(), None, shape);
        }
        for _ in &tail.open {
            self.classes.push(&mut text, char::REPLACEMENT_CHARACTER);
        }
        let shape = self.shape_behind(&text, bytes);
        let border = Some(text.len());
        (text, tail.marks.clone(), border, shape)
    }

    fn verdict_at(
        &self,
        text: &[char],
        marks: &[Mark],
        border: Option<usize>,
        token: &[char],
        open: &[u8],
    ) -> Result<Verdict> {
        let mut best = Verdict::Never;
        let mut whole = [text, token].concat();
        let length = whole.len();
        // A token that begins with a character it does not finish holds no border before that.
        let last_inside = if open.is_empty() { length } else { length + 1 };
        for end in self.ends(open).iter() {
            whole.truncate(length);
            whole.extend_from_slice(end);
            let borders = self.split(&whole)?;
            let is_border = border.is_some_and(|border| border == 0 || borders.binary_search(&border).is_ok());
            let inside = |&at: &usize| at > text.len() && at < last_inside;
            let unmarked = |&at: &usize| at < text.len() && marks.binary_search_by_key(&at, |mark| mark.at).is_err();
            // Where the text ends inside a character, that border is nowhere but the character is before it.
            let through = |&at: &usize| at == text.len() && border != Some(at) && at > 0 && !self.has_mark(marks, at);
            if borders.iter().any(|at| inside(at) || unmarked(at) || through(at))
                || marks.iter().any(|mark| mark.must && borders.binary_search(&mark.at).is_err())
            {
                continue;
            }
            best = best.max(if is_border { Verdict::Always } else { Verdict::IfPair });
            if best == Verdict::Always {
                break;
            }
        }
        Ok(best)
    }

    fn has_mark(&self, marks: &[Mark], at: usize) -> bool {
        marks.binary_search_by_key(&at, |mark| mark.at).is_ok()
    }

    /// The tail behind a token that may follow; `is_pair` says whether BPE leaves the two side by side.
    pub fn followed(&self, tail: &Tail, bytes: &[u8], is_pair: bool) -> Result<Tail> {
        let (mut text, mut marks, border, shape) = self.joined(tail, bytes);
        if let Some(at) = border.filter(|&at| at > 0 && !self.has_mark(&marks, at)) {
            marks.push(Mark { at, must: !is_pair });
        }
        text.extend_from_slice(&shape.text);
        let certain = self.certain(&text, &shape.open)?;
        text.drain(..certain);
        marks.retain(|mark| mark.at > certain);
        for mark in &mut marks {
            mark.at -= certain;
        }
        let (text, marks) = self.collapsed(text, &marks);
        Ok(Tail { text, marks, open: shape.open })
    }

    /// The last border up to which all are the same, whatever comes.
    fn certain(&self, text: &[char], open: &[u8]) -> Result<usize> {
        let mut common: Option<Vec<usize>> = None;
        let mut whole = text.to_vec();
        for end in self.ends(open).iter() {
            whole.truncate(text.len());
            whole.extend_from_slice(end);
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
        let unmarked = |&at: &usize| at < text.len() && !self.has_mark(&tail.marks, at);
        let missed = |mark: &Mark| mark.must && borders.binary_search(&mark.at).is_err();
        Ok(!borders.iter().any(unmarked) && !tail.marks.iter().any(missed))
    }
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
