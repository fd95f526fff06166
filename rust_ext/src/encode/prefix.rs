//! Encoding of text that is still growing: which ids no longer change, whatever comes.

use super::added::Part;
use super::cuts::Cuts;
use super::{Encoder, Job, Special, Text, normal};
use crate::Result;

/// How many pretokens at the end may still change. A pretoken is final once the scanner met its end and the run of white
/// space or letters behind it, which holds no more than two borders of its own; the tests append all kinds of text.
const UNSETTLED: usize = 3;
/// How far a scanner or a regex of a named pattern looks beyond the run in hand, in bytes.
const LOOKAHEAD: usize = 8;

/// What is final of an encoded text: that many ids at the beginning, which stand for that many bytes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stable {
    pub ids: usize,
    pub bytes: usize,
}

impl Encoder {
    /// Appends the ids of `text`, and says how much of them stays whatever is appended to the text.
    ///
    /// With `is_rest`, the text goes on where an earlier call said it was stable.
    pub fn encode_stable(&self, text: &str, special: Special, is_rest: bool, ids: &mut Vec<u32>) -> Result<Stable> {
        let cut = self.stable_cut(text, special)?;
        let (done, rest) = text.split_at_checked(cut).unwrap_or(("", text));
        let first = ids.len();
        self.with_work(|work| {
            let mut job = Job { encoder: self, view: self.lexicon.view(), work };
            job.text(Text::Valid(done), special, is_rest, ids)?;
            let stable = Stable { ids: ids.len() - first, bytes: done.len() };
            job.text(Text::Valid(rest), special, is_rest || !done.is_empty(), ids)?;
            Ok(stable)
        })
    }

    /// Up to where the encoding of `text` is final; 0 if no border is certain.
    fn stable_cut(&self, text: &str, special: Special) -> Result<usize> {
        let [raw, second] = &self.added;
        // An added token may yet begin in the last bytes, and take the white space before it.
        let reach = raw.longest().max(second.longest()) + LOOKAHEAD;
        let open = text.len().saturating_sub(reach);
        let Some(settled) = text.as_bytes().get(..open) else { return Ok(0) };
        let Some(limit) = settled.iter().rposition(|byte| byte.is_ascii_graphic() || byte & 0xC0 == 0xC0) else {
            return Ok(0);
        };
        let limit = match text.get(limit..).and_then(|rest| rest.chars().next()) {
            Some(c) if c.is_whitespace() => return Ok(0),
            _ => limit,
        };
        let mut last = raw.is_empty().then_some((0, text.len()));
        raw.each_part(text.as_bytes(), special, |part| {
            last = match part {
                Part::Text(start, end) => Some((start, end)),
                Part::Token { .. } => None,
            };
            Ok(())
        })?;
        let Some((start, end)) = last.filter(|&(start, end)| end == text.len() && start < limit) else { return Ok(0) };
        let part = text.get(start..end).unwrap_or_default();
        let Some(cut) = self.cut_of(part, limit - start)? else { return Ok(0) };
        // The rest is searched for added tokens without what is before it, which matters to one for single words only.
        let rest = part.as_bytes().get(cut);
        let mut single = raw.tokens().iter().chain(second.tokens()).filter(|token| token.single_word);
        let before = part.get(..cut).and_then(|part| part.chars().next_back());
        let may_begin = single.any(|token| token.text.as_bytes().first() == rest);
        if cut == 0 || may_begin && before.is_none_or(regex_syntax::is_word_character) {
            return Ok(0);
        }
        // Nor may it fall inside a token that was passed over: a shorter one might be found in what is left of it.
        let inside = [raw, second].iter().any(|added| added.is_inside(text.as_bytes(), start + cut));
        Ok(if inside { 0 } else { start + cut })
    }

    /// A border of `part`, at `limit` or before it, that stays one whatever follows.
    fn cut_of(&self, part: &str, limit: usize) -> Result<Option<usize>> {
        if let Some(characters) = &self.characters {
            return Ok(characters.cuts.last_in(part, limit));
        }
        let [_, second] = &self.added;
        if self.form.is_some() || !second.is_empty() {
            // What normalization and its tokens see must not change either: only a plain word border will do.
            let head = part.get(..limit).filter(|head| !head.is_empty());
            return Ok(head.and_then(|head| self.splitter.last_cut(head)));
        }
        if !self.splitter.is_linear() {
            return Ok(None);
        }
        let mut last = [0; UNSETTLED];
        let mut found = None;
        self.splitter.each(part, |_, end| {
            let [oldest, ..] = last;
            if oldest > 0 && oldest <= limit {
                found = Some(oldest);
            }
            last.rotate_left(1);
            if let Some(newest) = last.last_mut() {
                *newest = end;
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl Cuts {
    /// The last place, at `limit` or before it, where no token reaches across.
    fn last_in(&self, text: &str, limit: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        (1..=limit.min(bytes.len().saturating_sub(1))).rev().find(|&at| {
            let (before, after) = bytes.split_at_checked(at).unwrap_or_default();
            let left = if normal::ends_with_mark(before) { Some(b' ') } else { before.last().copied() };
            let right = if normal::starts_with_mark(after) { Some(b' ') } else { after.first().copied() };
            text.is_char_boundary(at)
                && matches!((left, right), (Some(left), Some(right)) if !self.together(left, right))
        })
    }
}
