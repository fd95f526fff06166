//! The parts that several patterns share.

use super::View;
use super::block::{Block, after, ahead, below, bit, bits, reach};
use crate::split::classes::SPACE;

/// The characters of `set` that `follow` comes right after, as their first bytes; `follow` is of this block and the next.
/// `\s+(?!\S)` leaves such a character, the last white space of a run, for what follows.
#[inline(always)]
pub fn followed_by(set: u64, follow: [u64; 2], now: &Block, next: &Block) -> u64 {
    let [follow, next_follow] = follow;
    let one = ahead::<1>(follow, next_follow);
    if set & now.high == 0 {
        return set & one;
    }
    let (second, third, fourth) =
        (ahead::<1>(now.inner, next.inner), ahead::<2>(now.inner, next.inner), ahead::<3>(now.inner, next.inner));
    let (two, three, four) =
        (ahead::<2>(follow, next_follow), ahead::<3>(follow, next_follow), ahead::<4>(follow, next_follow));
    let wide = !third & two | third & (!fourth & three | fourth & four);
    set & !now.inner & (!second & one | second & wide)
}

/// Newlines that belong to the run of others before them, and slashes behind such a newline if `set` has them.
#[inline(always)]
pub fn attached_newlines(newline: u64, set: u64, after_other: u64, attached_before: u64) -> u64 {
    let seed = newline & after_other | set & (attached_before >> 63);
    reach(seed, set) & set
}

/// The state of [`single_end`]: whether a marker comes over the border.
pub type Single = u64;

/// The byte after each character that starts at a bit of `starts`.
#[inline(always)]
pub fn character_end(starts: u64, inner: u64, carry: &mut Single) -> u64 {
    let reached = reach(starts << 1 | *carry, inner);
    *carry = (starts | reached & inner) >> 63;
    reached & !inner
}

/// Starts of white space where newlines end a pretoken, `\s*[\r\n]+|\s+(?!\S)|\s+`: `attached` are newlines that belong
/// to what is before the white space, here and in the block before; the last blank before one of `solid`, here and in the
/// next block, is a start too.
#[inline(always)]
pub fn white_space(
    view: &View<'_>,
    now: &Block,
    next: &Block,
    before: &Block,
    attached: [u64; 2],
    solid: [u64; 2],
) -> u64 {
    let [attached, attached_before] = attached;
    let free = now.newline & !attached;
    let blank = now.white & !now.newline;
    let first = blank & !after(blank, before.white & !before.newline);
    let mut starts = first | followed_by(blank, solid, now, next) | free & !after(now.white, before.white);
    // After a newline, blanks are a pretoken unless another newline follows them: then all is one.
    let unsure = first & after(free, before.newline & !attached_before);
    if unsure != 0 {
        let (sum, beyond) = unsure.overflowing_add(blank);
        if beyond || sum & !blank & now.newline != 0 {
            starts &= !continued(view, unsure, blank, now.newline);
        }
    }
    starts
}

/// Those starts of blanks that a newline follows.
#[cold]
fn continued(view: &View<'_>, starts: u64, blank: u64, newline: u64) -> u64 {
    bits(starts)
        .filter(|&start| {
            let end = start + (blank >> start).trailing_ones() as usize;
            if end < 64 { newline & bit(end) != 0 } else { newline_follows(view, view.at + 64) }
        })
        .fold(0, |found, start| found | bit(start))
}

/// Whether white space at `at` has a newline in it.
fn newline_follows(view: &View<'_>, mut at: usize) -> bool {
    while view.cursor.byte(at) & 0xC0 == 0x80 {
        at += 1;
    }
    loop {
        let (class, length) = view.cursor.at(at);
        if class & SPACE == 0 {
            return false;
        }
        if matches!(view.cursor.byte(at), b'\n' | b'\r') {
            return true;
        }
        at += length;
    }
}

/// How many number characters a run has had since its last start, modulo the most that a pretoken has.
pub type Phase = u32;

/// Starts in runs of numbers, each of at most `MOST` characters.
#[inline(always)]
pub fn numbers<const MOST: u32>(now: &Block, before: &Block, phase: &mut Phase) -> u64 {
    let number = now.number;
    if MOST == 1 {
        return number & !now.inner;
    }
    let first = number & !after(number, before.number);
    if number & now.high != 0 {
        return wide_numbers::<MOST>(now, first, phase);
    }
    // A run that goes on over the border has its next start in the first bytes, if it gets there.
    let run = (number ^ number.wrapping_add(1)) >> 1;
    let seed = if before.number >> 63 != 0 { bit(((MOST - *phase) % MOST) as usize) & run } else { 0 };
    let mut starts = first | seed;
    let full = (1..=MOST).fold(number, |full, by| full & number << by);
    // Most runs have one or two starts, so two steps without a branch spare the processor a guess.
    let second = (starts << MOST) & full;
    let third = (second << MOST) & full;
    starts |= second | third;
    let mut more = (third << MOST) & full;
    while more != 0 {
        starts |= more;
        more = (more << MOST) & full;
    }
    // Where the block ends in a number, the last start is among the last bytes.
    *phase = (starts.leading_zeros() + 1) % MOST;
    starts
}

/// The same, one character at a time, where numbers are not all ASCII.
#[cold]
fn wide_numbers<const MOST: u32>(now: &Block, first: u64, phase: &mut Phase) -> u64 {
    let mut starts = 0;
    for at in bits(now.number & !now.inner) {
        if first & bit(at) != 0 {
            *phase = 0;
        }
        if *phase == 0 {
            starts |= bit(at);
        }
        *phase = (*phase + 1) % MOST;
    }
    starts
}

/// Bits that one block sets and clears in the next.
#[derive(Clone, Copy, Default)]
pub struct Patch {
    pub clear: u64,
    pub set: u64,
}

/// Bits to change in this block and in the next one, as offsets from this one.
#[derive(Clone, Copy, Default)]
pub struct Patches {
    pub here: Patch,
    pub next: Patch,
}

impl From<Patch> for Patches {
    /// The bits of this block that the one before has set and cleared.
    #[inline(always)]
    fn from(here: Patch) -> Self {
        Patches { here, next: Patch::default() }
    }
}

impl Patches {
    /// Clears the bytes from `start` up to `end`, and sets `end`.
    #[inline(always)]
    pub fn replace(&mut self, start: usize, end: usize) {
        self.here.clear |= below(end) & !below(start);
        self.here.set |= bit(end);
        let (start, end) = (start.saturating_sub(64), end.checked_sub(64));
        if let Some(end) = end {
            self.next.clear |= below(end) & !below(start);
            self.next.set |= bit(end);
        }
    }
}
