//! Pretokens that were encoded before, with their ids.
//!
//! Nine of ten pretokens are one token, and most of the rest was seen a moment ago. Pretokens of up to 15 bytes are keys
//! of 16 bytes in a table of cache lines, two to a line with up to four ids each, so that a hit costs one line and no
//! branch; the lines of a whole batch are asked for before they are needed. Longer pretokens have lines of their own.
//! Both have a fixed size: what is new takes the place of what is old, and memory does not grow with the text.

use bytemuck::Zeroable;

use crate::prefetch;

/// The longest pretoken that is a key by itself.
pub const PACKED: usize = 15;
/// The most ids a line holds for a pretoken.
const INLINE: usize = 4;
/// The count of an entry with more of them, which then holds where they are and how many.
pub const MANY: usize = 7;
/// And the most of them all together; then everything is forgotten.
const MANY_IDS: usize = 1 << 19;
/// Longer pretokens than this hardly come again.
const MEMORABLE: usize = 255;
/// How long a pretoken, and how many ids, the line of a long one has room for.
const LONG_TEXT: usize = 32;
const LONG_IDS: usize = 7;
/// In how many lines side by side a long one may be.
const LONG_PLACES: usize = 4;
/// The count of a long one that has them elsewhere.
const ELSEWHERE: u8 = u8::MAX;

/// The bytes of a pretoken, and its length in the byte after.
#[derive(Clone, Copy, PartialEq, Eq, Default, Zeroable)]
#[repr(C)]
pub struct Key {
    low: u64,
    high: u64,
}

/// Where a count of ids is in `Key::high` of an entry: the length takes four bits, the count the next three.
const COUNT_AT: u32 = 60;
const LENGTH_AT: u32 = 56;
const PLAIN: u64 = (1 << COUNT_AT) - 1;

/// Which bits of a key belong to a pretoken of each length.
#[allow(clippy::indexing_slicing, reason = "worked out by the compiler, which would not compile it")]
const MASKS: [[u64; 2]; PACKED + 1] = {
    let mut masks = [[0; 2]; PACKED + 1];
    let mut length = 0;
    while length <= PACKED {
        let mask = (1u128 << (8 * length)) - 1;
        masks[length] = [mask as u64, (mask >> 64) as u64];
        length += 1;
    }
    masks
};

impl Key {
    /// Of a pretoken that is too long. No entry has it: entries are compared without the bits above [`PLAIN`].
    const LONG: Key = Key { low: 0, high: !PLAIN };

    /// The key of `text[start..end]`, which is not empty.
    #[inline(always)]
    pub fn pack(text: &[u8], start: usize, end: usize) -> Self {
        let length = end - start;
        let Some(&[low_mask, high_mask]) = MASKS.get(length) else { return Key::LONG };
        let (low, high) =
            match text.get(start..start + 16).and_then(|bytes| bytes.as_chunks::<8>().0.first_chunk::<2>()) {
                Some([low, high]) => (u64::from_le_bytes(*low), u64::from_le_bytes(*high)),
                None => {
                    let mut bytes = [0; 16];
                    for (to, from) in bytes.iter_mut().zip(text.get(start..end).unwrap_or_default()) {
                        *to = *from;
                    }
                    let wide = u128::from_le_bytes(bytes);
                    (wide as u64, (wide >> 64) as u64)
                }
            };
        Key { low: low & low_mask, high: high & high_mask | (length as u64) << LENGTH_AT }
    }

    #[inline(always)]
    pub fn hash(self) -> u64 {
        let wide = u128::from(self.low ^ 0x2D35_8DCC_AA6C_78A5) * u128::from(self.high ^ 0x8BB8_4B93_962E_ACC9);
        (wide >> 64) as u64 ^ wide as u64
    }
}

#[derive(Clone, Copy, Default, Zeroable)]
#[repr(C, align(64))]
struct Line {
    keys: [Key; 2],
    ids: [[u32; INLINE]; 2],
}

impl Line {
    /// The ids of a key and how many there are; 0 if it is not here.
    #[inline(always)]
    fn get(&self, key: Key) -> ([u32; INLINE], usize) {
        let [first, second] = self.keys;
        let is_first = first.low == key.low && first.high & PLAIN == key.high;
        let is_second = second.low == key.low && second.high & PLAIN == key.high;
        let high = if is_second { second.high } else { first.high };
        let ids = if is_second { self.ids[1] } else { self.ids[0] };
        (ids, if is_first | is_second { (high >> COUNT_AT) as usize } else { 0 })
    }

    /// Takes the entry of a key out, if it is here.
    fn take(&mut self, key: Key) -> Option<(Key, [u32; INLINE])> {
        let at = self.keys.iter().position(|entry| entry.low == key.low && entry.high & PLAIN == key.high)?;
        let entry = (*self.keys.get(at)?, *self.ids.get(at)?);
        if at == 0 {
            (self.keys[0], self.ids[0]) = (self.keys[1], self.ids[1]);
        }
        self.keys[1] = Key::default();
        Some(entry)
    }

    #[inline(always)]
    fn insert(&mut self, key: Key, ids: [u32; INLINE], moves: bool) {
        if self.keys[0] == Key::default() {
            (self.keys[0], self.ids[0]) = (key, ids);
            return;
        }
        if moves {
            (self.keys[0], self.ids[0]) = (self.keys[1], self.ids[1]);
        }
        (self.keys[1], self.ids[1]) = (key, ids);
    }
}

/// A long pretoken, in one cache line if it is not very long. All zeros is none.
#[derive(Clone, Copy, Zeroable)]
#[repr(C, align(64))]
struct Long {
    /// The pretoken, if there is room for it.
    text: [u8; LONG_TEXT],
    /// Its ids; if there is no room for them or the text: where they are, how many, and where the text is.
    ids: [u32; LONG_IDS],
    /// A part of its hash.
    tag: u16,
    length: u8,
    /// How many ids, or [`ELSEWHERE`].
    count: u8,
}

impl Long {
    const NONE: Long = Long { text: [0; LONG_TEXT], ids: [0; LONG_IDS], tag: 0, length: 0, count: 0 };
}

/// The memory of one thread at work.
pub struct Memo {
    lines: Vec<Line>,
    /// How many pretokens were put in since the table last grew.
    put: usize,
    many: Vec<u32>,
    longs: Vec<Long>,
    long_texts: Vec<u8>,
    long_ids: Vec<u32>,
}

/// The lines a memory starts with, and the most it has: 16 MB, which hold the words of most languages.
const SMALL: usize = 1 << 9;
const LARGE: usize = 1 << 18;
/// Lines for long pretokens, and how much text and how many ids they may have elsewhere.
const LONGS: usize = 1 << 17;
const LONG_TEXTS: usize = 3 << 20;
const ELSEWHERE_IDS: usize = 1 << 20;

impl Memo {
    /// An empty memory.
    pub fn new() -> Self {
        Memo {
            lines: vec![Line::default(); SMALL],
            put: 0,
            many: Vec::new(),
            longs: Vec::new(),
            long_texts: Vec::new(),
            long_ids: Vec::new(),
        }
    }

    #[inline(always)]
    fn place(&self, hash: u64) -> usize {
        hash as usize & (self.lines.len() - 1)
    }

    /// Where a key goes if its line is full.
    #[inline(always)]
    fn other_place(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.lines.len() - 1)
    }

    /// Fills in the keys of the pretokens of `text` that end at `ends` after `base`, the first of which starts at `start`,
    /// and asks for their lines, so that these are under way when the first one is needed.
    pub fn keys(&self, text: &[u8], base: usize, mut start: usize, ends: &[u32], keys: &mut [(Key, u64)]) {
        let lines = self.lines.as_slice();
        let mask = lines.len().wrapping_sub(1);
        for (&end, slot) in ends.iter().zip(keys) {
            let end = base + end as usize;
            let key = Key::pack(text, start, end);
            let hash = if key == Key::LONG {
                let hash = Self::long_hash(text.get(start..end).unwrap_or_default());
                prefetch(&self.longs, Self::long_place(hash));
                hash
            } else {
                let hash = key.hash();
                prefetch(lines, hash as usize & mask);
                hash
            };
            *slot = (key, hash);
            start = end;
        }
    }

    /// Writes the ids of pretokens into `ids` from `at` on, four places each of which the next overwrites those that are
    /// none, up to the first that is not known; returns how many it wrote.
    #[inline]
    pub fn write(&self, keys: &[(Key, u64)], ids: &mut [u32], at: &mut usize) -> usize {
        let lines = self.lines.as_slice();
        let mask = lines.len().wrapping_sub(1);
        let mut to = *at;
        let mut written = 0;
        for (key, hash) in keys {
            let Some(line) = lines.get(*hash as usize & mask) else { break };
            let (four, count) = line.get(*key);
            let Some(room) = ids.get_mut(to..to + INLINE).filter(|_| count.wrapping_sub(1) < INLINE) else { break };
            room.copy_from_slice(&four);
            to += count;
            written += 1;
        }
        *at = to;
        written
    }

    /// The ids of a key and how many there are; 0 if it is not known.
    #[inline(always)]
    pub fn get(&self, key: Key, hash: u64) -> ([u32; INLINE], usize) {
        self.lines.get(self.place(hash)).map_or(([0; INLINE], 0), |line| line.get(key))
    }

    /// The same in the line where it would be if its own was full; it then moves to its own, where it is found sooner.
    pub fn get_displaced(&mut self, key: Key, hash: u64) -> ([u32; INLINE], usize) {
        let (own, other) = (self.place(hash), self.other_place(hash));
        if own == other || self.lines.get(own).is_none_or(|line| line.keys[1] == Key::default()) {
            return ([0; INLINE], 0);
        }
        let Some(found) = self.lines.get_mut(other).and_then(|line| line.take(key)) else { return ([0; INLINE], 0) };
        if let Some(line) = self.lines.get_mut(own) {
            let (old, ids) =
                (std::mem::replace(&mut line.keys[1], found.0), std::mem::replace(&mut line.ids[1], found.1));
            self.give(own, old, ids);
        }
        (found.1, (found.0.high >> COUNT_AT) as usize)
    }

    /// Puts what had to leave a line into the other of its two, if that has room.
    fn give(&mut self, from: usize, key: Key, ids: [u32; INLINE]) {
        let hash = Key { high: key.high & PLAIN, ..key }.hash();
        let (own, other) = (self.place(hash), self.other_place(hash));
        let to = if own == from { other } else { own };
        if let Some(line) = self.lines.get_mut(to).filter(|line| line.keys[1] == Key::default()) {
            line.insert(key, ids, false);
        }
    }

    /// The ids of an entry whose count is [`MANY`].
    pub fn many(&self, entry: [u32; INLINE]) -> &[u32] {
        let [start, count, ..] = entry;
        self.many.get(start as usize..(start + count) as usize).unwrap_or_default()
    }

    /// Remembers the ids of a key.
    pub fn put(&mut self, key: Key, hash: u64, ids: &[u32]) {
        if ids.is_empty() {
            return;
        }
        self.put += 1;
        if self.put > self.lines.len() && self.lines.len() < LARGE {
            self.grow();
        }
        let mut entry = [0; INLINE];
        let mut count = ids.len();
        if count <= INLINE {
            for (to, from) in entry.iter_mut().zip(ids) {
                *to = *from;
            }
        } else {
            if self.many.len() + count > MANY_IDS {
                self.many.clear();
                self.lines.fill(Line::default());
            }
            entry = [self.many.len() as u32, count as u32, 0, 0];
            self.many.extend_from_slice(ids);
            count = MANY;
        }
        let key = Key { low: key.low, high: key.high | (count as u64) << COUNT_AT };
        self.place_in(key, hash, entry);
    }

    fn place_in(&mut self, key: Key, hash: u64, ids: [u32; INLINE]) {
        // What is met first is met often, and stays; the second place is for what comes and goes. Now and then something
        // moves from there to the first, so that a text of another kind is not left with what the one before it had.
        let moves = self.put.is_multiple_of(16);
        let (own, other) = (self.place(hash), self.other_place(hash));
        for (place, must) in [(own, false), (other, false), (own, true)] {
            if let Some(line) = self.lines.get_mut(place)
                && (must || line.keys[1] == Key::default())
            {
                return line.insert(key, ids, moves);
            }
        }
    }

    /// Eight times as many lines, with all that is known.
    #[cold]
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.lines);
        self.lines = lines((old.len() * 8).min(LARGE));
        self.put = 0;
        for line in old {
            for (key, ids) in line.keys.into_iter().zip(line.ids) {
                let plain = Key { low: key.low, high: key.high & PLAIN };
                if plain != Key::default() {
                    self.place_in(key, plain.hash(), ids);
                    self.put += 1;
                }
            }
        }
    }

    /// The hash of a pretoken that is too long for a key; of one that is not remembered it means nothing.
    #[inline]
    fn long_hash(text: &[u8]) -> u64 {
        let mut hash = text.len() as u64;
        if text.len() > MEMORABLE {
            return hash;
        }
        let mut add = |word: u64| {
            let wide = u128::from(hash ^ word) * 0x9E37_79B9_7F4A_7C15_u128;
            hash = (wide >> 64) as u64 ^ wide as u64;
        };
        for word in text.as_chunks::<8>().0 {
            add(u64::from_le_bytes(*word));
        }
        if let Some(last) = text.last_chunk::<8>() {
            add(u64::from_le_bytes(*last));
        }
        hash
    }

    #[inline(always)]
    fn long_place(hash: u64) -> usize {
        (hash >> 20) as usize & (LONGS - 1)
    }

    /// The ids of a long pretoken, if they are known.
    #[inline]
    pub fn long(&self, text: &[u8], hash: u64) -> Option<&[u32]> {
        let own = Self::long_place(hash);
        (0..LONG_PLACES).find_map(|step| {
            let line = self.longs.get(own ^ step)?;
            if line.tag != hash as u16 || usize::from(line.length) != text.len() || line.count == 0 {
                return None;
            }
            if line.count != ELSEWHERE {
                return (line.text.get(..text.len())? == text).then(|| line.ids.get(..usize::from(line.count)))?;
            }
            let [ids, count, start, ..] = line.ids.map(|number| number as usize);
            let known = match line.text.get(..text.len()) {
                Some(known) => known,
                None => self.long_texts.get(start..start + text.len())?,
            };
            (known == text).then(|| self.long_ids.get(ids..ids + count))?
        })
    }

    /// Remembers the ids of a long pretoken, unless it is one that hardly comes again.
    pub fn put_long(&mut self, text: &[u8], hash: u64, ids: &[u32]) {
        if text.len() > MEMORABLE || ids.is_empty() {
            return;
        }
        if self.longs.is_empty() {
            self.longs = lines(LONGS);
        }
        let mut line = Long { tag: hash as u16, length: text.len() as u8, ..Long::NONE };
        if self.long_texts.len() + text.len() > LONG_TEXTS || self.long_ids.len() + ids.len() > ELSEWHERE_IDS {
            self.longs.fill(Long::NONE);
            self.long_texts.clear();
            self.long_ids.clear();
        }
        let text_start = self.long_texts.len() as u32;
        match line.text.get_mut(..text.len()) {
            Some(place) => place.copy_from_slice(text),
            None => self.long_texts.extend_from_slice(text),
        }
        match line.ids.get_mut(..ids.len()).filter(|_| text.len() <= LONG_TEXT) {
            Some(places) => {
                places.copy_from_slice(ids);
                line.count = ids.len() as u8;
            }
            None => {
                let [first, count, start, ..] = &mut line.ids;
                (*first, *count, *start) = (self.long_ids.len() as u32, ids.len() as u32, text_start);
                line.count = ELSEWHERE;
                self.long_ids.extend_from_slice(ids);
            }
        }
        let own = Self::long_place(hash);
        let mut places = (0..LONG_PLACES).map(|step| own ^ step);
        let vacant = places.find(|&place| self.longs.get(place).is_some_and(|long| long.count == 0));
        if let Some(slot) = self.longs.get_mut(vacant.unwrap_or(own)) {
            *slot = line;
        }
    }
}

/// So many empty lines, on large pages if the system has them: they are visited at random.
fn lines<T: Zeroable>(count: usize) -> Vec<T> {
    // The system hands out pages of zeros; nothing is written here.
    let lines: Vec<T> = bytemuck::zeroed_vec(count);
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let start = lines.as_ptr().addr();
        let (first, end) = (start.next_multiple_of(PAGE), (start + count * size_of::<T>()) / PAGE * PAGE);
        if first < end {
            // SAFETY: advice about whole pages inside memory that this vector owns; it changes no contents, and if it
            // fails nothing is lost.
            unsafe {
                libc::madvise(
                    lines.as_ptr().byte_add(first - start).cast_mut().cast(),
                    end - first,
                    libc::MADV_HUGEPAGE,
                );
            }
        }
    }
    lines
}

const _: () = assert!(size_of::<Line>() == 64 && size_of::<Long>() == 64);
