//! The textbook procedure for BPE: merge the pair of the lowest rank, the leftmost first, until none is left.
//!
//! It works out how tokens are made when a vocabulary is loaded, where the order of merges does not say so by itself.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Marks a place that holds no token any more.
const GONE: u32 = u32::MAX;

/// Merges `tokens`, the atoms of a text, which start at `starts` and end at `end`, and returns the two that merged last if
/// one token is left. `pair(left, right, start, end)` is the rank and the token of two neighbors.
pub fn last_merge(
    mut tokens: Vec<u32>,
    starts: &[usize],
    end: usize,
    pair: impl Fn(u32, u32, usize, usize) -> Option<(u32, u32)>,
) -> Option<([u32; 2], u32)> {
    let count = tokens.len();
    let mut next: Vec<usize> = (1..=count).collect();
    let mut previous: Vec<usize> = (0..count).map(|at| at.wrapping_sub(1)).collect();
    let get = |list: &[u32], at: usize| list.get(at).copied().unwrap_or(GONE);
    let start_of = |at: usize| starts.get(at).copied().unwrap_or(end);
    let mut queue = BinaryHeap::new();
    let mut last = None;
    for (at, two) in tokens.windows(2).enumerate() {
        if let [left, right] = *two
            && let Some((rank, made)) = pair(left, right, start_of(at), start_of(at + 2))
        {
            queue.push(Reverse((rank, at, left, right, made)));
        }
    }
    while let Some(Reverse((_, at, left, right, token))) = queue.pop() {
        let Some(&after) = next.get(at) else { continue };
        if get(&tokens, at) != left || get(&tokens, after) != right {
            continue;
        }
        let beyond = next.get(after).copied().unwrap_or(count);
        for (list, place, value) in [(&mut next, at, beyond), (&mut previous, beyond, at)] {
            if let Some(slot) = list.get_mut(place) {
                *slot = value;
            }
        }
        for (place, value) in [(at, token), (after, GONE)] {
            if let Some(slot) = tokens.get_mut(place) {
                *slot = value;
            }
        }
        last = Some(([left, right], token));
        let before = previous.get(at).copied().unwrap_or(usize::MAX);
        let following = next.get(beyond).copied().unwrap_or(count);
        for (start, left, right, end) in
            [(before, get(&tokens, before), token, beyond), (at, token, get(&tokens, beyond), following)]
        {
            if left != GONE
                && right != GONE
                && let Some((rank, made)) = pair(left, right, start_of(start), start_of(end))
            {
                queue.push(Reverse((rank, start, left, right, made)));
            }
        }
    }
    last.filter(|_| next.first() == Some(&count))
}
