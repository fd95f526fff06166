//! Which tokens may not stand behind a token.
//!
//! Most pairs of tokens stay side by side, so the others are listed. A pair does not stay if a part at the end of the
//! one merges with a part at the beginning of the other; the tokens that begin with a part are a subtree of the tree in
//! which each token hangs below the first of the two that make it.

use crate::encode::{Derived, NEVER};

/// The tree of first parts, which is also the merges by their left token.
pub struct Neighbors {
    /// The tokens that each token makes as the left of two, one list after the other, and where each begins.
    makes: Vec<u32>,
    starts: Vec<u32>,
}

/// Lists of items by key, behind each other, and where each list begins.
fn lists(count: usize, items: impl Iterator<Item = (u32, u32)> + Clone) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; count + 1];
    for (key, _) in items.clone() {
        if let Some(slot) = starts.get_mut(key as usize + 1) {
            *slot += 1;
        }
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    let mut next = starts.clone();
    let mut all = vec![0u32; sum as usize];
    for (key, item) in items {
        if let Some(place) = next.get_mut(key as usize) {
            if let Some(slot) = all.get_mut(*place as usize) {
                *slot = item;
            }
            *place += 1;
        }
    }
    (all, starts)
}

fn list<'a>(all: &'a [u32], starts: &[u32], key: u32) -> &'a [u32] {
    match (starts.get(key as usize), starts.get(key as usize + 1)) {
        (Some(&start), Some(&end)) => all.get(start as usize..end as usize).unwrap_or_default(),
        _ => &[],
    }
}

impl Neighbors {
    /// Of a vocabulary.
    pub fn new(derived: &Derived<'_>) -> Self {
        let count = derived.len();
        let merged = (0..count as u32).filter(|&token| {
            let [.., moment, _] = derived.made(token);
            moment != 0 && moment != NEVER
        });
        let (makes, starts) = lists(count, merged.map(|token| (derived.made(token)[0], token)));
        Neighbors { makes, starts }
    }

    /// Calls `found` with each token that may not stand behind `left`, perhaps more than once.
    pub fn each_not_behind(&self, derived: &Derived<'_>, left: u32, mut found: impl FnMut(u32)) {
        let mut stack = Vec::new();
        let (mut last, mut goes) = (left, u32::MAX);
        loop {
            for &made in list(&self.makes, &self.starts, last) {
                let [_, right, _, rank] = derived.made(made);
                if rank >= goes {
                    continue;
                }
                stack.push(right);
                let mut is_top = true;
                while let Some(token) = stack.pop() {
                    if !derived.meet(left, token) {
                        found(token);
                    }
                    for &next in list(&self.makes, &self.starts, token) {
                        let [.., moment, own_rank] = derived.made(next);
                        if !is_top || rank <= own_rank.max(moment) {
                            stack.push(next);
                        }
                    }
                    is_top = false;
                }
            }
            let [_, second, moment, rank] = derived.made(last);
            if moment == 0 {
                break;
            }
            let [.., second_moment, _] = derived.made(second);
            goes = if moment > second_moment { moment } else { rank };
            last = second;
        }
    }
}
