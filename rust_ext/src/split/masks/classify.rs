//! From 64 bytes of text to a [`Block`].

use super::Rules;
use super::block::{Block, bits};
use super::simd::Level;
use crate::split::classes::{Class, Tables};

/// 64 bytes and the rest of the last character in them.
pub type Window = [u8; 68];

/// The window at `at`, made in `room` if the text ends in it. Behind the end of the text are spaces, which no rule tells
/// from the end: a run of white space that they make longer has its start where it was, and nothing else reaches over
/// them.
#[inline(always)]
pub fn window<'w>(bytes: &'w [u8], at: usize, room: &'w mut Window) -> &'w Window {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(window) => window,
        None => {
            *room = [b' '; 68];
            for (slot, byte) in room.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
                *slot = *byte;
            }
            room
        }
    }
}

/// The class of a last character that goes over the end of a block, for the bytes in the next one.
pub type Spill = [Class; 4];

/// The classes of a window. `Rules::HAN` keeps the characters of DeepSeek-V3's second stage apart from all others.
#[inline(always)]
pub fn classify<L: Level, R: Rules>(window: &Window, tables: &Tables, spill: &mut Spill) -> Block {
    let Some(block) = window.first_chunk::<64>() else { return Block::default() };
    let ascii = L::ascii(block);
    let mut now = Block {
        upper: ascii.upper,
        lower: ascii.lower,
        letter: ascii.upper | ascii.lower,
        number: ascii.number,
        white: ascii.white,
        newline: ascii.newline,
        space: ascii.space,
        apostrophe: ascii.apostrophe,
        slash: ascii.slash,
        high: ascii.high,
        ..Block::default()
    };
    now.punctuation = !(now.letter | now.number | ascii.control | now.space | now.high);
    if now.high != 0 {
        now.inner = L::inner(block);
        let mut classes = [0; 68];
        wide(window, now.high & !now.inner, tables, spill, &mut classes);
        let Some(first) = classes.first_chunk::<64>() else { return Block::default() };
        let planes = L::planes(first);
        now.punctuation |= planes.punctuation & now.high;
        if R::HAN {
            now.han = planes.upper & planes.lower & now.high;
            now.letter |= now.han & !(planes.punctuation | planes.number);
        }
        let high = now.high & !now.han;
        now.upper |= planes.upper & high;
        now.lower |= planes.lower & high;
        now.letter |= (planes.upper | planes.lower | planes.caseless) & high;
        now.mark = planes.mark & high;
        now.number |= planes.number & high;
        now.white |= planes.white & high;
    }
    now.other = !(now.letter | now.number | now.white);
    now
}

/// Writes the class of each character that starts at a bit of `leads`, to each of its bytes.
#[inline(always)]
fn wide(window: &Window, leads: u64, tables: &Tables, spill: &mut Spill, classes: &mut [Class; 68]) {
    if let Some(start) = classes.first_chunk_mut() {
        *start = *spill;
    }
    for at in bits(leads) {
        let Some(bytes) = window.get(at..).and_then(|bytes| bytes.first_chunk::<4>()) else { break };
        let [first, second, third, fourth] = bytes.map(|byte| u32::from(byte & 0x3F));
        let lead = bytes[0];
        let class = if lead < 0xE0 {
            tables.basic_class((first & 0x1F) << 6 | second)
        } else if lead < 0xF0 {
            tables.basic_class((first & 0x0F) << 12 | second << 6 | third)
        } else {
            tables.of((first & 0x07) << 18 | second << 12 | third << 6 | fourth)
        };
        // Four bytes whatever the length: the next character overwrites what is its own, and ASCII is not read here.
        if let Some(slots) = classes.get_mut(at..).and_then(|slots| slots.first_chunk_mut()) {
            *slots = [class; 4];
        }
    }
    if let Some(end) = classes.last_chunk() {
        *spill = *end;
    }
}
