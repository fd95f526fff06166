//! Coverings: the token sequences that a text, cut anywhere, may be the beginning of.
//!
//! A covering of a text is a sequence of tokens that spells it and perhaps more: the last token holds the last byte. Byte
//! by byte, a [`State`] keeps the sequences without their last token ([`Node`]) and, for each, the stretch of the sorted
//! vocabulary ([`sorted`]) that agrees with the text since. Under the canonical law a sequence counts only if some text
//! is encoded that way: neighbors must stay side by side ([`pairs`]) unless a border of pretokens is between them
//! ([`borders`]). Source: the Byte-Token Representation Lemma (Phan et al., arXiv 2410.09303), without its assumption
//! that a beginning of a text is encoded as the whole text is.

mod added;
mod borders;
mod characters;
mod classes;
mod pairs;
mod prefixes;
mod scan;
mod sorted;
mod tables;
mod tail;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use added::Around;
use borders::{Borders, Verdict};
use characters::Fallback;
use pairs::Neighbors;
use prefixes::Prefixes;
use scan::{Scan, Scanner};
use sorted::Sorted;
pub use sorted::{Follow, Places};
use tables::Table;
use tail::{Shape, Tail};

use crate::Result;
use crate::encode::{Derived, Encoder, Lexicon};

/// No token: the start of a text.
pub const START: u32 = u32::MAX;

/// Which token sequences count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Law {
    /// Those that some text is encoded as.
    Canonical,
    /// All that spell the text.
    All,
}

/// What decides which tokens may follow each other.
enum Rules {
    /// Nothing: law "all".
    None,
    /// Where the split pattern may put borders.
    Borders(Box<Borders>),
    /// Which characters are spelled in bytes; nothing cuts the text.
    Characters(Box<Fallback>),
}

/// A vocabulary, ready to cover texts.
pub struct Cover {
    lexicon: Lexicon,
    sorted: Sorted,
    neighbors: Neighbors,
    rules: Rules,
    added: Scanner,
    around: Around,
    /// What the token at each place of the sorted vocabulary looks like to the pattern, and all that.
    shape_of: Vec<u32>,
    shapes: Vec<Shape>,
    /// The places of the tokens that are whole pretokens although merges never make them.
    odd_places: Vec<u32>,
    tables: Mutex<HashMap<Tail, Arc<Table>>>,
    not_behind: Mutex<HashMap<u32, Arc<Places>>>,
    next_id: AtomicU64,
}

/// A token sequence whose next token is not known.
pub struct Node {
    pub id: u64,
    pub parent: Option<Arc<Node>>,
    /// The last token, or [`START`].
    pub token: u32,
    /// How many bytes of the text it spells.
    pub end: usize,
    tail: Tail,
    /// How the encoder may find added tokens in it.
    scan: Scan,
}

impl Drop for Node {
    /// One node after the other: a long text is a long chain, and dropping each inside the other would need as much stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.parent.take();
        }
    }
}

/// A node, and the tokens behind it that agree with the text since.
#[derive(Clone)]
pub struct Head {
    pub node: Arc<Node>,
    low: usize,
    high: usize,
    /// How many bytes of those tokens are known.
    pub offset: usize,
}

/// All coverings of a text.
#[derive(Clone)]
pub struct State {
    pub length: usize,
    pub heads: Vec<Head>,
}

impl Cover {
    /// Of the tokens of an encoder, without those that `excluded` says are no text.
    pub fn new(encoder: &Encoder, law: Law, excluded: &[u32]) -> Result<Self> {
        let lexicon = encoder.lexicon().clone();
        let derived = lexicon.derived();
        let added = match law {
            Law::All => Scanner::default(),
            Law::Canonical => Scanner::new(encoder.added_tokens()),
        };
        let rules = match (law, encoder.characters()) {
            (Law::All, _) => Rules::None,
            (Law::Canonical, Some(characters)) => {
                Rules::Characters(Box::new(Fallback::new(&lexicon, characters.byte_ids)))
            }
            (Law::Canonical, None) => {
                let odd = derived.odd().iter().map(|&id| (derived.token(id).to_vec(), id)).collect();
                Rules::Borders(Box::new(Borders::new(encoder.splitter(), Prefixes::new(odd), added.has_words())?))
            }
        };
        let mut is_text: Vec<bool> = (0..derived.len() as u32)
            .map(|token| {
                let counts = law == Law::All || derived.is_made(token) || derived.is_odd(token);
                counts && !derived.token(token).is_empty()
            })
            .collect();
        let mut set = |token: u32, value: bool| {
            if let Some(is_text) = is_text.get_mut(token as usize) {
                *is_text = value;
            }
        };
        let scans = [&[] as &[u8], b"x"].map(Scan::behind);
        if !added.may_refuse() {
            // What spells an added token is not encoded with others. Where one may be refused, so may be what it hides.
            let spells = |&token: &u32| added.spell(&Scan::default(), derived.token(token)).is_none();
            (0..derived.len() as u32).filter(spells).for_each(|token| set(token, false));
        }
        encoder.added_text().for_each(|token| set(token, true));
        if let Some(characters) = encoder.characters() {
            characters.byte_ids.iter().for_each(|&token| set(token, true));
        }
        excluded.iter().for_each(|&token| set(token, false));
        let sorted = Sorted::new(&derived, &is_text);
        // An added token that no flag refuses may stand wherever no longer one does.
        let is_delicate = |token: u32| match added.has(token) {
            true => added.is_single_word(token),
            false => {
                let bytes = derived.token(token);
                !scans.iter().all(|scan| added.spell(scan, bytes).is_some_and(|scan| scan.is_free()))
            }
        };
        let around = match added.is_empty() {
            true => Around::default(),
            false => Around::new(&derived, &sorted, is_delicate),
        };
        let neighbors = Neighbors::new(&derived);
        let (mut shape_of, mut shapes) = (Vec::new(), Vec::new());
        if let Rules::Borders(borders) = &rules {
            let mut known: HashMap<Shape, u32> = HashMap::new();
            for place in 0..sorted.len() {
                let shape = borders.shape(derived.token(sorted.token(place)));
                let next = known.len() as u32;
                let number = *known.entry(shape).or_insert_with_key(|shape| {
                    shapes.push(shape.clone());
                    next
                });
                shape_of.push(number);
            }
        }
        let odd_places =
            (0..sorted.len() as u32).filter(|&place| derived.is_odd(sorted.token(place as usize))).collect();
        Ok(Cover {
            odd_places,
            sorted,
            neighbors,
            rules,
            added,
            around,
            shape_of,
            shapes,
            lexicon,
            tables: Mutex::default(),
            not_behind: Mutex::default(),
            next_id: AtomicU64::new(0),
        })
    }

    fn derived(&self) -> Derived<'_> {
        self.lexicon.derived()
    }

    /// How many tokens are whole pretokens that merges never make.
    pub fn odd(&self) -> usize {
        self.derived().odd().len()
    }

    /// The coverings of the empty text.
    pub fn start(&self) -> State {
        let node = self.node(None, START, 0, Tail::default(), Scan::default());
        State { length: 0, heads: vec![Head { node, low: 0, high: self.sorted.len(), offset: 0 }] }
    }

    fn node(&self, parent: Option<Arc<Node>>, token: u32, end: usize, tail: Tail, scan: Scan) -> Arc<Node> {
        Arc::new(Node { id: self.next_id.fetch_add(1, Ordering::Relaxed), parent, token, end, tail, scan })
    }

    /// The coverings of the text with one byte more, and the nodes that this made.
    pub fn push(&self, state: &State, byte: u8) -> Result<State> {
        let length = state.length + 1;
        let derived = self.derived();
        let (mut heads, mut made) = (Vec::with_capacity(state.heads.len() + 1), Vec::new());
        for head in &state.heads {
            let offset = head.offset + 1;
            let (low, high) = self.sorted.narrow(&derived, head.low, head.high, head.offset, byte);
            let mut first_longer = low;
            while first_longer < high && derived.token(self.sorted.token(first_longer)).len() == offset {
                made.extend(self.follow(&head.node, first_longer, length)?);
                first_longer += 1;
            }
            if first_longer < high {
                heads.push(Head { node: Arc::clone(&head.node), low: first_longer, high, offset });
            }
        }
        let all = self.sorted.len();
        heads.extend(made.into_iter().map(|node| Head { node, low: 0, high: all, offset: 0 }));
        Ok(State { length, heads })
    }

    /// The node behind a node and the token at a place, if that may follow.
    fn follow(&self, node: &Arc<Node>, place: usize, end: usize) -> Result<Option<Arc<Node>>> {
        let (token, derived) = (self.sorted.token(place), self.derived());
        let bytes = derived.token(token);
        let made = |tail, scan| Some(self.node(Some(Arc::clone(node)), token, end, tail, scan));
        if matches!(self.rules, Rules::None) {
            return Ok(made(Tail::default(), Scan::default()));
        }
        let scan = match self.added.is_empty() {
            true => Scan::default(),
            false => match self.scanned(node, token)? {
                Some(scan) => scan,
                None => return Ok(None),
            },
        };
        if self.added.has(token) {
            // What it stands behind must be able to end there; what comes after it starts anew.
            return Ok(if self.tail_may_end(&node.tail)? { made(Tail::default(), scan) } else { None });
        }
        let is_pair = self.is_pair(node.token, token);
        match &self.rules {
            Rules::None => Ok(None),
            Rules::Borders(borders) => {
                let table = self.table(borders, &node.tail)?;
                let verdict = self.verdict(&table, place);
                if verdict == Verdict::Never || verdict == Verdict::IfPair && !is_pair {
                    return Ok(None);
                }
                Ok(made(borders.followed(&node.tail, bytes, is_pair, derived.is_odd(token))?, scan))
            }
            Rules::Characters(fallback) => {
                let open = match bytes {
                    [byte] if fallback.is_byte(&derived, token) => fallback.behind(node.tail.open(), *byte),
                    _ => is_pair.then(Vec::new),
                };
                Ok(open.and_then(|open| made(Tail::unfinished(open), scan)))
            }
        }
    }

    /// Whether BPE leaves two tokens side by side; those that no merge makes it always does.
    fn is_pair(&self, left: u32, right: u32) -> bool {
        let derived = self.derived();
        left == START || !derived.is_made(left) || !derived.is_made(right) || derived.meet(left, right)
    }

    /// Adds to `masses` what each next byte has behind a head, `times` times; returns what all of them have, once.
    pub fn spread(&self, head: &Head, follow: &impl Follow, times: f64, masses: &mut [f64; 256]) -> f64 {
        self.sorted.spread(&self.derived(), (head.low, head.high), head.offset, follow, times, masses)
    }

    /// One of the tokens behind a head, as probable as `follow` says, for a number between 0 and 1.
    pub fn pick(&self, head: &Head, follow: &impl Follow, number: f64) -> Option<u32> {
        let weight = |place: usize| follow.probability(place, self.sorted.token(place));
        let mut left = number * (head.low..head.high).map(weight).sum::<f64>();
        let mut last = None;
        for place in (head.low..head.high).filter(|&place| weight(place) > 0.0) {
            last = Some(place);
            left -= weight(place);
            if left < 0.0 {
                break;
            }
        }
        last.map(|place| self.sorted.token(place))
    }

    /// Whether the text may end with just the tokens of a head.
    pub fn may_end(&self, head: &Head) -> Result<bool> {
        if head.offset > 0 || !head.node.scan.may_end() {
            return Ok(false);
        }
        self.tail_may_end(&head.node.tail)
    }

    fn tail_may_end(&self, tail: &Tail) -> Result<bool> {
        match &self.rules {
            Rules::Borders(borders) => borders.may_end(tail),
            _ => Ok(true),
        }
    }
}
