//! Applies one merge to all words, and brings the pairs up to date.

use super::Lengths;
use super::pairs::Pairs;
use super::words::{BORDER, INSIDE, Words};

/// How many places ahead to ask the memory for.
const AHEAD: usize = 24;

/// Sums over the neighbors on one side of the new token.
#[derive(Default)]
struct Side {
    /// For each neighbor, the weight that its pair with the old token loses and its pair with the new one gains.
    moved: Vec<u64>,
    /// For each neighbor, how many pairs appear.
    places: Vec<u32>,
    neighbors: Vec<u32>,
    /// The neighbor and the place of each new pair.
    events: Vec<(u32, u32)>,
}

impl Side {
    fn grow(&mut self, size: usize) {
        if self.moved.len() < size {
            self.moved.resize(size, 0);
            self.places.resize(size, 0);
        }
    }

    #[inline(always)]
    fn add(&mut self, neighbor: u32, place: usize, weight: u64) {
        let index = neighbor as usize;
        if let (Some(moved), Some(places)) = (self.moved.get_mut(index), self.places.get_mut(index)) {
            if *places == 0 {
                self.neighbors.push(neighbor);
            }
            *moved += weight; // all pairs together fit 64 bits, as `Words::new` makes sure
            *places += 1;
        }
        self.events.push((neighbor, place as u32));
    }

    /// Moves the places of each neighbor's new pairs into a list of their own, for the pairs over the floor.
    fn places_by_neighbor(&mut self, floor: u64) -> Vec<(u32, u64, Vec<u32>)> {
        let mut lists = Vec::new();
        // `places` turns from a count into the index of the neighbor's list, plus one; zero is no list.
        for &neighbor in &self.neighbors {
            let index = neighbor as usize;
            let moved = self.moved.get(index).copied().unwrap_or(0);
            if let Some(places) = self.places.get_mut(index) {
                let capacity = std::mem::take(places) as usize;
                if moved >= floor {
                    lists.push((neighbor, moved, Vec::with_capacity(capacity)));
                    *places = lists.len() as u32;
                }
            }
        }
        for &(neighbor, place) in &self.events {
            let list = self.places.get(neighbor as usize).copied().unwrap_or(0) as usize;
            if let Some((_, _, places)) = list.checked_sub(1).and_then(|index| lists.get_mut(index)) {
                places.push(place);
            }
        }
        lists
    }

    fn moved(&self, neighbor: u32) -> u64 {
        self.moved.get(neighbor as usize).copied().unwrap_or(0)
    }

    fn clear(&mut self) {
        for &neighbor in &self.neighbors {
            let index = neighbor as usize;
            if let Some(moved) = self.moved.get_mut(index) {
                *moved = 0;
            }
            if let Some(places) = self.places.get_mut(index) {
                *places = 0;
            }
        }
        self.neighbors.clear();
        self.events.clear();
    }
}

/// Memory for one merge, kept from merge to merge.
#[derive(Default)]
pub(crate) struct Scratch {
    left: Side,
    right: Side,
}

impl Scratch {
    /// Makes room for ids below `size`.
    pub(crate) fn grow(&mut self, size: usize) {
        self.left.grow(size);
        self.right.grow(size);
    }
}

/// Merges `left` and `right` into `token` at each of `places` where they still are, from left to right.
///
/// What the counts become is what Hugging Face's trainer makes of them: each merge takes its weight from the pairs that
/// its two tokens formed with their neighbors and gives it to the pairs that the new token forms, in reading order, so a
/// run such as `aaaa` counts overlapping pairs.
pub(crate) fn merge(
    words: &mut Words,
    pairs: &mut Pairs,
    scratch: &mut Scratch,
    lengths: &Lengths,
    [left, right, token]: [u32; 3],
    places: &[u32],
) {
    let (left_length, length) = (lengths.of(left), lengths.of(left) + lengths.of(right));
    for (index, &place) in places.iter().enumerate() {
        if let Some(&ahead) = places.get(index + AHEAD) {
            words.prefetch(ahead as usize);
        }
        let place = place as usize;
        if words.at(place) != left || words.at(place + left_length) != right {
            continue;
        }
        let weight = words.weight(place);
        words.set(place + left_length - 1, INSIDE);
        words.set(place + left_length, INSIDE);
        words.set(place, token);
        words.set(place + length - 1, token);
        let before = words.at(place - 1);
        if before != BORDER {
            scratch.left.add(before, place - lengths.of(before), weight);
        }
        let after = words.at(place + length);
        if after != BORDER {
            scratch.right.add(after, place, weight);
        }
    }
    let floor = pairs.floor();
    for (neighbor, count, places) in scratch.left.places_by_neighbor(floor) {
        if lengths.allow(neighbor, token) {
            pairs.insert(neighbor, token, count, places);
        }
    }
    for (neighbor, count, places) in scratch.right.places_by_neighbor(floor) {
        if lengths.allow(token, neighbor) {
            pairs.insert(token, neighbor, count, places);
        }
    }
    for &neighbor in &scratch.left.neighbors {
        pairs.lessen(neighbor, left, scratch.left.moved(neighbor));
    }
    for &neighbor in &scratch.right.neighbors {
        pairs.lessen(right, neighbor, scratch.right.moved(neighbor));
    }
    for &neighbor in &scratch.left.neighbors {
        pairs.queue(neighbor, token);
    }
    for &neighbor in &scratch.right.neighbors {
        pairs.queue(token, neighbor);
    }
    scratch.left.clear();
    scratch.right.clear();
}
