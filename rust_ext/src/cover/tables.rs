//! Which tokens may follow what is there, for all tokens at once, and kept for the next time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::borders::{Borders, Verdict, Wanted};
use super::characters::Fallback;
use super::sorted::Places;
use super::tail::{Shape, Tail};
use super::{Cover, Node, Rules, START};
use crate::Result;

/// Which tokens may follow a tail.
pub struct Table {
    by_shape: Arc<Vec<Verdict>>,
    /// Those for which it depends on more than that, by place.
    peculiar: Vec<(u32, Verdict)>,
    /// The places of those that may never follow, and of those that may if they are a pair; made when asked for.
    places: OnceLock<(Places, Places)>,
}

/// How many tables of verdicts and lists of neighbors are kept.
const KEPT: usize = 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cover {
    pub(super) fn verdict(&self, table: &Table, place: usize) -> Verdict {
        if let Ok(found) = table.peculiar.binary_search_by_key(&(place as u32), |(place, _)| *place) {
            return table.peculiar.get(found).map_or(Verdict::Never, |(_, verdict)| *verdict);
        }
        let shape = self.shape_of.get(place).copied().unwrap_or(0);
        table.by_shape.get(shape as usize).copied().unwrap_or(Verdict::Never)
    }

    /// Which tokens may follow a tail.
    pub(super) fn table(&self, borders: &Borders, tail: &Tail) -> Result<Arc<Table>> {
        if let Some(table) = lock(&self.tables).get(tail) {
            return Ok(Arc::clone(table));
        }
        let table = match tail.starts.is_empty() {
            true => self.plain_table(borders, tail)?,
            false => {
                // Most such tails differ from others only in what a few tokens complete.
                let plain = self.table(borders, &Tail { starts: Vec::new(), ..tail.clone() })?;
                self.table_of_starts(borders, tail, &plain)?
            }
        };
        let table = Arc::new(table);
        let mut tables = lock(&self.tables);
        if tables.len() >= KEPT {
            tables.clear();
        }
        tables.insert(tail.clone(), Arc::clone(&table));
        Ok(table)
    }

    /// Which tokens may follow a tail behind which no pretoken can become another token as a whole.
    fn plain_table(&self, borders: &Borders, tail: &Tail) -> Result<Table> {
        let derived = self.derived();
        let plain = borders.without_open(tail);
        let wanted = Wanted::default();
        let by_shape = self.shapes.iter().map(|shape| borders.verdict(&plain, shape, &wanted));
        let by_shape = Arc::new(by_shape.collect::<Result<Vec<_>>>()?);
        let mut peculiar = Vec::new();
        let is_peculiar = borders.is_peculiar(tail);
        let places: Vec<u32> = match is_peculiar {
            true => (0..self.sorted.len() as u32).collect(),
            false => self.odd_places.clone(),
        };
        let mut known: HashMap<(Shape, bool), Verdict> = HashMap::new();
        for place in places {
            let token = self.sorted.token(place as usize);
            let bytes = derived.token(token);
            let is_whole = derived.is_odd(token);
            let depends = is_peculiar && borders.is_peculiar_behind(tail, bytes);
            if !depends && !is_whole {
                continue;
            }
            let look = borders.look(tail, bytes);
            let verdict = match known.get(&(look.clone(), is_whole)) {
                Some(verdict) => *verdict,
                None => {
                    let wanted = Wanted { is_whole, ..Wanted::default() };
                    let verdict = borders.verdict_of_bytes(tail, bytes, &wanted)?;
                    known.insert((look, is_whole), verdict);
                    verdict
                }
            };
            peculiar.push((place, verdict));
        }
        Ok(Table { by_shape, peculiar, places: OnceLock::new() })
    }

    /// The same where some pretokens can.
    fn table_of_starts(&self, borders: &Borders, tail: &Tail, plain: &Table) -> Result<Table> {
        let derived = self.derived();
        let mut places: Vec<u32> = Vec::new();
        for rest in borders.rests(tail).filter(|rest| !rest.is_empty()) {
            let (mut low, mut high) = (0, self.sorted.len());
            for (offset, &byte) in rest.iter().enumerate() {
                (low, high) = self.sorted.narrow(&derived, low, high, offset, byte);
            }
            let is_rest = |place: &u32| derived.token(self.sorted.token(*place as usize)).len() == rest.len();
            places.extend((low as u32..high as u32).take_while(is_rest));
        }
        places.sort_unstable();
        places.dedup();
        let mut changed = HashMap::new();
        for place in places {
            let token = self.sorted.token(place as usize);
            let bytes = derived.token(token);
            if !derived.is_made(token) {
                continue;
            }
            let wanted = Wanted { never_whole: borders.completed(tail, bytes), ..Wanted::default() };
            changed.insert(place, borders.verdict_of_bytes(tail, bytes, &wanted)?);
        }
        let mut peculiar: Vec<_> =
            plain.peculiar.iter().copied().filter(|(place, _)| !changed.contains_key(place)).collect();
        peculiar.extend(changed);
        peculiar.sort_unstable_by_key(|(place, _)| *place);
        Ok(Table { by_shape: Arc::clone(&plain.by_shape), peculiar, places: OnceLock::new() })
    }

    /// The places of the tokens that may not stand behind a token.
    fn not_behind(&self, token: u32) -> Arc<Places> {
        if let Some(places) = lock(&self.not_behind).get(&token) {
            return Arc::clone(places);
        }
        let mut places = Places::none(self.sorted.len());
        self.neighbors.each_not_behind(&self.derived(), token, |token| {
            if let Some(place) = self.sorted.place(token) {
                places.set(place as usize, true);
            }
        });
        let places = Arc::new(places);
        let mut sets = lock(&self.not_behind);
        if sets.len() >= KEPT {
            sets.clear();
        }
        sets.insert(token, Arc::clone(&places));
        places
    }

    /// The places of the tokens that may not follow a node; none where every token may.
    pub fn impossible(&self, node: &Node) -> Result<Option<Places>> {
        let mut places = match &self.rules {
            Rules::None => return Ok(None),
            Rules::Characters(fallback) => self.impossible_characters(fallback, node),
            Rules::Borders(borders) => self.impossible_at_borders(borders, node)?,
        };
        self.exclude_around(node, &mut |low, high| (low..high).for_each(|place| places.set(place, true)))?;
        Ok(Some(places))
    }

    fn impossible_characters(&self, fallback: &Fallback, node: &Node) -> Places {
        let mut places = Places::none(self.sorted.len());
        for (byte, &token) in fallback.ids().iter().enumerate() {
            if fallback.behind(node.tail.open(), byte as u8).is_none()
                && let Some(place) = self.sorted.place(token)
            {
                places.set(place as usize, true);
            }
        }
        if node.token != START && self.derived().is_made(node.token) {
            places.add(&self.not_behind(node.token), None);
        }
        places
    }

    fn impossible_at_borders(&self, borders: &Borders, node: &Node) -> Result<Places> {
        let table = self.table(borders, &node.tail)?;
        let (never, if_pair) = table.places.get_or_init(|| self.places(&table));
        let mut places = never.clone();
        if self.added.ids().next().is_some() {
            let may_end = self.tail_may_end(&node.tail)?;
            for place in self.added.ids().filter_map(|token| self.sorted.place(token)) {
                places.set(place as usize, !may_end);
            }
        }
        if node.token != START && self.derived().is_made(node.token) {
            places.add(&self.not_behind(node.token), Some(if_pair));
        }
        Ok(places)
    }

    /// The places of a table's tokens that may never follow, and of those that may if they are a pair.
    fn places(&self, table: &Table) -> (Places, Places) {
        let (mut never, mut if_pair) = (Places::none(self.sorted.len()), Places::none(self.sorted.len()));
        let mut put = |place: usize, verdict: Verdict| {
            never.set(place, verdict == Verdict::Never);
            if_pair.set(place, verdict == Verdict::IfPair);
        };
        for (place, &shape) in self.shape_of.iter().enumerate() {
            put(place, table.by_shape.get(shape as usize).copied().unwrap_or(Verdict::Never));
        }
        table.peculiar.iter().for_each(|&(place, verdict)| put(place as usize, verdict));
        (never, if_pair)
    }
}
