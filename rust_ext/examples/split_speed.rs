//! How fast split patterns are: MB per second, the best of a few rounds, one pretoken at a time and in batches.
//!
//! `cargo run --release --example split_speed -- FILE...`

use std::error::Error;
use std::fs::read_to_string;
use std::time::Instant;

use _core::split::{NAMED, Splitter};

/// The speed of the best of a few rounds of `split`, which gives the number of pretokens.
fn best(bytes: usize, mut split: impl FnMut() -> _core::Result<u64>) -> Result<(f64, u64), Box<dyn Error>> {
    let (mut best, mut count) = (f64::MAX, 0);
    for _ in 0..(300_000_000 / bytes.max(1)).clamp(10, 300) {
        let start = Instant::now();
        count = split()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok((bytes as f64 / 1e6 / best, count))
}

fn main() -> Result<(), Box<dyn Error>> {
    let only = std::env::var("PATTERN").unwrap_or_default();
    for path in std::env::args().skip(1) {
        let text = read_to_string(&path)?;
        println!("{path}");
        let smol = [Splitter::named("digits"), Splitter::named("gpt2")].map(Option::unwrap_or_default).concat();
        let names = NAMED.iter().map(|(name, stages)| (*name, stages.to_vec())).chain([("digits, gpt2", smol)]);
        for (name, stages) in names.filter(|(name, _)| only.is_empty() || only == *name) {
            let splitter = Splitter::new(&stages)?;
            let (one_by_one, count) = best(text.len(), || {
                let mut count = 0;
                splitter.each(&text, |_, end| {
                    count += u64::from(std::hint::black_box(end) > 0);
                    Ok(())
                })?;
                Ok(count)
            })?;
            let (in_batches, same) = best(text.len(), || {
                let mut count = 0;
                splitter.each_batch(&text, |_, ends| {
                    count += std::hint::black_box(ends).len() as u64;
                    Ok(())
                })?;
                Ok(count)
            })?;
            println!(
                "  {name:14} {one_by_one:6.0} MB/s  {in_batches:6.0} MB/s  {:.2} bytes a pretoken",
                text.len() as f64 / count as f64
            );
            assert_eq!(count, same);
        }
    }
    Ok(())
}
