//! The test vectors on any machine: one source, no heap, no file, the same bytes everywhere.
//!
//! Every vector is put to the test, then everything that is deterministic is sealed again and compared. A digest over
//! all that came out is printed; it has to be equal on every machine, whatever its byte order, word length and
//! instructions are.
#![no_std]

mod envelope;
mod keyset;
mod sealing;
mod text;

use core::fmt::{self, Write};

use sha2::{Digest, Sha256};
use taskseal_core::Acceleration;

use self::text::{Room, Vector};

/// Every vector, bound together when this was built.
const ARCHIVE: &str = include_str!(concat!(env!("OUT_DIR"), "/vectors.txt"));

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Vectors that came to what they say.
    pub vectors: u32,
    /// Envelopes sealed again to the same bytes.
    pub sealed: u32,
    /// Everything that came to something else.
    pub wrong: u32,
    /// SHA-256 over names, outcomes and bytes.
    pub digest: [u8; 32],
    /// What the primitives ran on.
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

/// What is hashed of everything that came out.
struct Transcript(Sha256);

impl Transcript {
    /// Its length in front, so that no two lists of parts are the same bytes.
    fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }
}

/// Works through everything; `out` is told of each thing that is wrong.
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
