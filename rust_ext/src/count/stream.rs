//! Feeds text to the tables: whole documents, chunks of a long one, or files, on several threads.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::merge::SortedCounts;
use super::spill::Run;
use super::table::Counts;
use crate::split::Splitter;
use crate::{Error, Result};

/// How much text a thread gets at a time: enough to be worth handing over, little enough to stay in the cache.
const PART: usize = 1 << 20;
/// Never spill a table smaller than this, or a tiny budget would write a run for every few words.
const LEAST_SPILL: usize = 1 << 20;

/// How to count.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of threads, at least 1.
    pub threads: usize,
    /// The most bytes that the tables of all threads may take; more goes to disk.
    pub memory: Option<usize>,
    /// Where to put sorted runs when memory is short: an existing folder that the caller deletes.
    pub spill_dir: PathBuf,
    /// Whether bytes that are not UTF-8 are an error; otherwise each splits as U+FFFD would.
    pub strict: bool,
}

/// A stretch of text; UTF-8 that was checked need not be checked again.
#[derive(Clone, Copy)]
enum Text<'a> {
    Valid(&'a str),
    Unchecked(&'a [u8]),
}

impl<'a> Text<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Text::Valid(text) => text.as_bytes(),
            Text::Unchecked(bytes) => bytes,
        }
    }
}

/// One thread's table and what it had to write to disk.
struct Worker {
    counts: Counts,
    runs: Vec<Run>,
    limit: Option<usize>,
    spill_stem: PathBuf,
}

impl Worker {
    fn count(&mut self, splitter: &Splitter, text: Text<'_>) -> Result<()> {
        let bytes = text.bytes();
        let each = |this: &mut Self, start, end| -> Result<()> {
            if this.counts.add_once(bytes, start, end)? {
                this.make_room()?;
                this.counts.flush()?;
            }
            Ok(())
        };
        match text {
            Text::Valid(valid) => splitter.each(valid, |start, end| each(self, start, end)),
            Text::Unchecked(bytes) => splitter.each_of_bytes(bytes, |start, end| each(self, start, end)),
        }
    }

    /// Writes the table to disk if growing it would pass the limit.
    #[inline]
    fn make_room(&mut self) -> Result<()> {
        let Some(limit) = self.limit else { return Ok(()) };
        let (now, grown) = self.counts.memory();
        if now < LEAST_SPILL || (now <= limit && !(self.counts.about_to_grow() && grown > limit)) {
            return Ok(());
        }
        let path = self.spill_stem.with_extension(format!("{}.run", self.runs.len()));
        self.runs.push(Run::write(self.counts.take_table(), path)?);
        Ok(())
    }
}

/// Counts the pretokens of a stream of documents.
pub struct Counter {
    splitter: Splitter,
    strict: bool,
    workers: Vec<Worker>,
    /// The part of the open document that has not been counted, and the offset in the document where it starts.
    open: Vec<u8>,
    open_offset: u64,
    /// Do not look for a place to cut before the open part is this long.
    patience: usize,
    has_open: bool,
    documents: u64,
    bytes: u64,
}

impl Counter {
    /// A counter for one split pattern.
    pub fn new(splitter: Splitter, options: &Options) -> Self {
        let threads = options.threads.max(1);
        let worker = |index: usize| Worker {
            counts: Counts::new(),
            runs: Vec::new(),
            limit: options.memory.map(|memory| memory / threads),
            spill_stem: options.spill_dir.join(format!("thread{index}")),
        };
        Counter {
            splitter,
            strict: options.strict,
            workers: (0..threads).map(worker).collect(),
            open: Vec::new(),
            open_offset: 0,
            patience: PART * threads,
            has_open: false,
            documents: 0,
            bytes: 0,
        }
    }

    /// How many documents were counted.
    pub fn documents(&self) -> u64 {
        self.documents
    }

    /// How many bytes of text were counted.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many sorted runs went to disk.
    pub fn spilled(&self) -> usize {
        self.workers.iter().map(|worker| worker.runs.len()).sum()
    }

    /// Counts whole documents.
    pub fn add_documents(&mut self, documents: &[&[u8]]) -> Result<()> {
        self.end_document("the open document")?;
        if self.strict {
            for (index, document) in documents.iter().enumerate() {
                check_utf8(document, 0, || format!("document {index} of the batch"))?;
            }
        }
        let total: usize = documents.iter().map(|document| document.len()).sum();
        let share = total / self.workers.len() + 1;
        let (mut shares, mut rest) = (Vec::new(), documents);
        while !rest.is_empty() {
            let mut size = 0;
            let taken = rest.iter().take_while(|document| {
                let fits = size < share;
                size += document.len();
                fits
            });
            let (share, left) = rest.split_at(taken.count().max(1));
            shares.push(share);
            rest = left;
        }
        self.parallel(&shares, |worker, splitter, share| {
            share.iter().try_for_each(|document| worker.count(splitter, Text::Unchecked(document)))
        })?;
        self.documents += documents.len() as u64;
        self.bytes += total as u64;
        Ok(())
    }

    /// Counts the next chunk of the open document, opening one if there is none.
    ///
    /// What cannot be counted yet is kept: at most the text since the last place where the pattern certainly cuts.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        self.has_open = true;
        self.open.extend_from_slice(chunk);
        if self.open.len() >= self.patience { self.count_open("the document", false) } else { Ok(()) }
    }

    /// Counts what is left of the open document, if any; `place` names it in errors.
    pub fn end_document(&mut self, place: &str) -> Result<()> {
        if self.has_open {
            self.count_open(place, true)?;
            self.documents += 1;
        }
        self.has_open = false;
        self.open_offset = 0;
        self.patience = PART * self.workers.len();
        Ok(())
    }

    /// Forgets the open document; what was already counted of it stays counted.
    pub fn abandon_document(&mut self) {
        self.open.clear();
        self.open_offset = 0;
        self.has_open = false;
    }

    /// Counts a file as one document, in constant memory; `tick` hears how many bytes were read and may stop it.
    pub fn add_file(&mut self, path: &Path, tick: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        self.end_document("the open document")?;
        let mut file = File::open(path).map_err(|source| Error::io(path, source))?;
        let name = path.display().to_string();
        self.has_open = true;
        let outcome = (|| loop {
            let want = self.patience.saturating_sub(self.open.len()).max(1 << 16);
            let read =
                (&mut file).take(want as u64).read_to_end(&mut self.open).map_err(|source| Error::io(path, source))?;
            if read == 0 {
                return self.end_document(&name);
            }
            tick(read as u64)?;
            if self.open.len() >= self.patience {
                self.count_open(&name, false)?;
            }
        })();
        if outcome.is_err() {
            self.abandon_document();
        }
        outcome
    }

    /// Counts the open part up to the last certain cut, or all of it if the document ends here.
    fn count_open(&mut self, place: &str, ends: bool) -> Result<()> {
        let open = std::mem::take(&mut self.open);
        let valid = match std::str::from_utf8(&open) {
            Ok(text) => text,
            Err(error) => {
                // A character may go on in the next chunk.
                let incomplete = error.error_len().is_none() && !ends;
                if self.strict && !incomplete {
                    return Err(Error::Utf8 {
                        place: place.to_owned(),
                        offset: self.open_offset + error.valid_up_to() as u64,
                    });
                }
                open.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or("")
            }
        };
        let end = if ends { open.len() } else { self.splitter.last_cut(valid).unwrap_or(0) };
        let mut parts = Vec::with_capacity(self.workers.len());
        let mut start = 0;
        for left in (1..=self.workers.len()).rev() {
            let goal = start + (end - start) / left;
            let ahead = valid.get(start..valid.floor_char_boundary(goal.min(valid.len()))).unwrap_or("");
            let cut = if left == 1 { end } else { self.splitter.last_cut(ahead).map_or(start, |cut| start + cut) };
            let unchecked = || Text::Unchecked(open.get(start..cut).unwrap_or_default());
            parts.push(valid.get(start..cut).map_or_else(unchecked, Text::Valid));
            start = cut;
        }
        self.parallel(&parts, |worker, splitter, part| worker.count(splitter, part))?;
        self.bytes += end as u64;
        self.open_offset += end as u64;
        // Without a certain cut the open part grows; looking again at every chunk would be quadratic.
        let left = open.len() - end;
        self.patience = (PART * self.workers.len()).max(left * 2);
        self.open = open;
        self.open.drain(..end);
        Ok(())
    }

    /// Runs `job` on each share, a thread for each; one share needs no thread.
    fn parallel<S: Sync + Copy>(
        &mut self,
        shares: &[S],
        job: impl Fn(&mut Worker, &Splitter, S) -> Result<()> + Sync,
    ) -> Result<()> {
        let splitter = &self.splitter;
        if let ([worker, ..], [share]) = (self.workers.as_mut_slice(), shares) {
            return job(worker, splitter, *share);
        }
        let threads = self.workers.len();
        std::thread::scope(|scope| {
            let job = &job;
            let handles: Vec<_> = self
                .workers
                .iter_mut()
                .enumerate()
                .map(|(index, worker)| {
                    let mine = shares.iter().skip(index).step_by(threads);
                    scope.spawn(move || mine.copied().try_for_each(|share| job(worker, splitter, share)))
                })
                .collect();
            handles.into_iter().try_for_each(|handle| {
                handle.join().unwrap_or_else(|_| Err(Error::Invalid("a counting thread failed".to_owned())))
            })
        })
    }

    /// Ends the open document and brings all tables up to date.
    fn settle(&mut self) -> Result<()> {
        self.end_document("the open document")?;
        self.workers.iter_mut().try_for_each(|worker| worker.counts.settle())
    }

    /// All counts in memory.
    pub fn finish(mut self) -> Result<Counts> {
        self.settle()?;
        if self.spilled() > 0 {
            let (mut counts, mut pretoken) = (Counts::new(), Vec::new());
            let mut sorted = self.finish_sorted()?;
            while let Some(count) = sorted.next_into(&mut pretoken)? {
                counts.add(&pretoken, count)?;
            }
            return Ok(counts);
        }
        let mut tables = self.workers.into_iter().map(|worker| worker.counts);
        let mut all = tables.next().unwrap_or_default();
        for table in tables {
            // The larger of the two stays, so that the fewer pretokens move.
            let (mut most, least) = if table.len() > all.len() { (table, all) } else { (all, table) };
            most.add_all(&least)?;
            all = most;
        }
        Ok(all)
    }

    /// All counts as a sorted stream that holds no more in memory than the tables do now.
    pub fn finish_sorted(mut self) -> Result<SortedCounts> {
        self.settle()?;
        let (mut tables, mut runs) = (Vec::new(), Vec::new());
        for worker in self.workers {
            tables.push(worker.counts);
            runs.extend(worker.runs);
        }
        SortedCounts::new(tables, runs)
    }
}

/// An error unless `bytes` is UTF-8.
fn check_utf8(bytes: &[u8], offset: u64, place: impl Fn() -> String) -> Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Utf8 { place: place(), offset: offset + error.valid_up_to() as u64 }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn options(threads: usize, memory: Option<usize>, dir: &Path) -> Options {
        Options { threads, memory, spill_dir: dir.to_path_buf(), strict: true }
    }

    fn collect(mut sorted: SortedCounts) -> Vec<(Vec<u8>, u64)> {
        let (mut all, mut pretoken) = (Vec::new(), Vec::new());
        while let Some(count) = sorted.next_into(&mut pretoken).unwrap() {
            all.push((pretoken.clone(), count));
        }
        all
    }

    fn temporary() -> PathBuf {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("bytetok-test-{}-{unique}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn chunks_and_threads_change_nothing(words in prop::collection::vec("[a-zA-Zé]{1,20}|[0-9]{1,5}|\n|\\.", 0..300), chunk in 1usize..50) {
            let text = words.join(" ");
            let splitter = Splitter::new(Splitter::named("o200k").unwrap()).unwrap();
            let mut expected = BTreeMap::new();
            for range in splitter.ranges(text.as_bytes()).unwrap() {
                *expected.entry(text.as_bytes()[range].to_vec()).or_insert(0u64) += 1;
            }
            let expected: Vec<_> = expected.into_iter().collect();
            let dir = temporary();
            for threads in [1, 3] {
                let mut counter = Counter::new(splitter.clone(), &options(threads, None, &dir));
                for part in text.as_bytes().chunks(chunk) {
                    counter.patience = 40;
                    counter.feed(part).unwrap();
                }
                counter.end_document("test").unwrap();
                prop_assert_eq!(counter.bytes(), text.len() as u64);
                prop_assert_eq!(&collect(counter.finish_sorted().unwrap()), &expected);
            }
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }

    #[test]
    fn spilling_changes_nothing() {
        let text: String = (0..200_000u32)
            .map(|n| format!(" w{} somewhat-longer{}", n.wrapping_mul(2_654_435_761) % 90_001, n % 70_001))
            .collect();
        let splitter = Splitter::new(Splitter::named("whitespace").unwrap()).unwrap();
        let dir = temporary();
        let count = |memory| {
            let mut counter = Counter::new(splitter.clone(), &options(2, memory, &dir));
            counter.add_documents(&[text.as_bytes(); 2]).unwrap();
            let spilled = counter.spilled();
            (collect(counter.finish_sorted().unwrap()), spilled)
        };
        let (unbounded, none) = count(None);
        let (bounded, some) = count(Some(6 << 20));
        assert_eq!(none, 0);
        assert!(some > 0, "the budget should have forced a spill");
        assert_eq!(unbounded, bounded);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "runs are deleted");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn invalid_utf8_is_named_with_its_offset() {
        let dir = temporary();
        let path = dir.join("bad.txt");
        let mut text = "good ".repeat(500_000).into_bytes();
        text.extend_from_slice(b"\xC3(");
        std::fs::write(&path, &text).unwrap();
        let splitter = Splitter::new(Splitter::named("gpt2").unwrap()).unwrap();
        let mut counter = Counter::new(splitter, &options(1, None, &dir));
        let error = counter.add_file(&path, &mut |_| Ok(())).unwrap_err();
        assert!(matches!(&error, Error::Utf8 { place, offset: 2_500_000 } if place.ends_with("bad.txt")), "{error}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
