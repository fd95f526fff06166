//! MB per CPU second of encoding alone: `encode_speed VOCABULARY.bytetok PATTERN TEXT...`, cold and warm, in 8 KB pieces.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool for trying things out, which may stop")]

use _core::encode::{Encoder, Special, Stored, Text};
use _core::split::Splitter;

fn seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let splitter = Splitter::new(Splitter::named(&arguments[1]).unwrap()).unwrap();
    for path in &arguments[2..] {
        let text = std::fs::read_to_string(path).unwrap();
        let mut documents = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let end =
                rest.as_bytes().iter().skip(8192).position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 8193);
            documents.push(&rest[..end]);
            rest = &rest[end..];
        }
        let stored = Stored::open(arguments[0].as_ref()).unwrap();
        let encoder = Encoder::new(splitter.clone(), stored.lexicon().unwrap(), Vec::new(), None, None).unwrap();
        let mut ids = Vec::new();
        let mut rates = Vec::new();
        for _ in 0..std::env::var("PASSES").map_or(6, |p| p.parse().unwrap()) {
            let start = seconds();
            for document in &documents {
                ids.clear();
                encoder.encode(Text::Valid(document), Special::Text, &mut ids).unwrap();
            }
            rates.push((text.len() as f64 / 1e6 / (seconds() - start)) as u32);
        }
        println!("{path}: cold {} warm {:?}", rates[0], &rates[1..]);
    }
}
