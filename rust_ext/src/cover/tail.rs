//! What is known of a text since the last border of pretokens that is certain.

use super::prefixes::Begun;

/// Whether a border between two tokens must be one of pretokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mark {
    /// How many characters are before it.
    pub at: usize,
    pub must: bool,
}

/// The end of a tail, wherever that will be when something follows.
pub const END: usize = usize::MAX;

/// The text since the last certain border, as stand-ins, and the borders between tokens in it.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Tail {
    pub text: Vec<char>,
    pub marks: Vec<Mark>,
    /// From where to where, or to [`END`], there must be no pretoken: as a whole it would be another token.
    pub never_whole: Vec<(usize, usize)>,
    /// Where a pretoken may have begun that may yet become a token as a whole, and how much of such tokens is there.
    pub starts: Vec<(usize, Begun)>,
    /// Whether a border must be at the end, because its last token is a whole pretoken.
    pub is_closed: bool,
    /// The bytes of a character that is not finished.
    pub open: Vec<u8>,
}

/// What a token looks like to the pattern: its characters as stand-ins, and a character that it does not finish.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Shape {
    pub text: Vec<char>,
    pub open: Vec<u8>,
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

    /// Forgets what is before a border that is certain.
    pub fn begin_at(&mut self, border: usize) {
        self.text.drain(..border);
        self.marks.retain(|mark| mark.at > border);
        self.starts.retain(|(at, _)| *at >= border);
        self.never_whole.retain(|(from, _)| *from >= border);
        self.move_all(|at| Some(at - border));
    }

    /// Shortens runs of one character to `kept` at each end, and forgets what is in between; not where a border must be.
    pub fn shorten(&mut self, kept: usize) {
        let longest = 2 * kept;
        if self.text.len() <= longest {
            return;
        }
        let mut gone = Vec::new();
        let mut start = 0;
        for run in self.text.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            let must = |mark: &Mark| mark.must && mark.at >= start + kept && mark.at < end - kept;
            if run.len() > longest && !self.marks.iter().any(must) {
                gone.push(start + kept..end - kept);
            }
            start = end;
        }
        for cut in gone.iter().rev() {
            self.text.drain(cut.clone());
        }
        self.move_all(|at| {
            let before: usize = gone.iter().filter(|cut| at >= cut.end).map(ExactSizeIterator::len).sum();
            (!gone.iter().any(|cut| cut.contains(&at))).then_some(at - before)
        });
    }

    /// Moves every place, or forgets it.
    fn move_all(&mut self, to: impl Fn(usize) -> Option<usize>) {
        let place = |at: usize| if at == END { Some(END) } else { to(at) };
        self.marks = self.marks.iter().filter_map(|mark| Some(Mark { at: place(mark.at)?, ..*mark })).collect();
        self.starts = self.starts.iter().filter_map(|(at, begun)| Some((place(*at)?, *begun))).collect();
        let stretches = self.never_whole.iter();
        self.never_whole = stretches.filter_map(|(from, to)| Some((place(*from)?, place(*to)?))).collect();
    }

    /// Whether the borders of a text make something a pretoken that must be none; `end` is where the tail ends.
    pub fn has_whole(&self, borders: &[usize], end: Option<usize>) -> bool {
        self.never_whole.iter().any(|&(from, to)| {
            let to = if to == END { end } else { Some(to) };
            to.is_some_and(|to| is_pretoken(borders, from, to))
        })
    }
}

/// Whether two places are neighbors among the borders of a text.
pub fn is_pretoken(borders: &[usize], from: usize, to: usize) -> bool {
    let next = borders.partition_point(|&border| border <= from);
    let starts = from == 0 || next.checked_sub(1).and_then(|last| borders.get(last)) == Some(&from);
    starts && borders.get(next) == Some(&to)
}
