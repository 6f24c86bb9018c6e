//! The test vectors on any machine: one source, no heap, no file, the same bytes everywhere.
//!
//! Checks every vector, then seals every deterministic envelope again and compares the bytes. Prints a digest over all
//! outputs, which must be equal on every machine, for each byte order, word length and instruction set.
#![no_std]

mod envelope;
mod keyset;
mod sealing;
mod text;

use core::fmt::{self, Write};

use sha2::{Digest, Sha256};
use taskseal_core::Acceleration;

use self::text::{Room, Vector};

/// All vectors, joined at build time.
const ARCHIVE: &str = include_str!(concat!(env!("OUT_DIR"), "/vectors.txt"));

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    /// Number of vectors with the expected outcome.
    pub vectors: u32,
    /// Number of envelopes that were sealed again to the same bytes.
    pub sealed: u32,
    /// Number of unexpected outcomes.
    pub wrong: u32,
    /// SHA-256 over all names, outcomes and bytes.
    pub digest: [u8; 32],
    /// The backends that the primitives used.
    pub acceleration: Acceleration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Acceleration { aes, ghash, sha256, .. } = self.acceleration;
        write!(f, "vectors {} sealed {} wrong {} digest ", self.vectors, self.sealed, self.wrong)?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, " aes {aes} ghash {ghash} sha256 {sha256}")
    }
}

/// The hash over all outputs.
struct Transcript(Sha256);

impl Transcript {
    /// Adds a part, preceded by its length, so that two different lists of parts are never the same bytes.
    fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }
}

/// Runs all checks and writes each failure to `out`.
///
/// # Panics
/// If a vector is not well-formed.
pub fn run(out: &mut impl Write) -> Report {
    let mut transcript = Transcript(Sha256::new());
    let (mut right, mut wrong) = (0, 0);
    let mut room = Room::new();
    for vector in Vector::all(ARCHIVE) {
        transcript.add(vector.name.as_bytes());
        let outcome = if vector.name.starts_with("keyset/") {
            keyset::outcome(&vector, &mut room, &mut transcript)
        } else {
            envelope::outcome(&vector, &mut room, &mut transcript)
        };
        if outcome == vector.expected() {
            right += 1;
        } else {
            wrong += 1;
            let _ = writeln!(out, "{}: {outcome} instead of {}", vector.name, vector.expected());
        }
    }
    let (sealed, unequal) = sealing::again(ARCHIVE, out, &mut transcript);
    Report {
        vectors: right,
        sealed,
        wrong: wrong + unequal,
        digest: transcript.0.finalize().into(),
        acceleration: Acceleration::detect(),
    }
}
