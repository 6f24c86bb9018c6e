//! Nanoseconds of one call in this build, for each operation and size; `run` beside it lays builds side by side.

use std::hint::black_box;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use taskseal_core::{Acceleration, Provider, Secret, Software};

/// How long one sample is to take.
const SAMPLE: Duration = Duration::from_millis(20);

fn main() {
    let Acceleration { aes, ghash, sha256, .. } = Acceleration::detect();
    println!("path {aes}, {ghash}, {sha256}");
    let key = Secret::copy_from(&[7; 32]);
    for len in [256, 1024, 4096, 65536] {
        let mut buffer = vec![0xa5; len];
        let mut tag = [0; 16];
        let seal = time(|| {
            let sealed = Software.encrypt_a256gcm(&key, &[9; 12], &[&[1; 32]], black_box(&mut buffer));
            tag = black_box(sealed).expect("short enough");
        });
        println!("A256GCM-encrypt/{len} {seal:.1}");
        let check = time(|| {
            let checked = Software.check_a256gcm(&key, &[9; 12], &[&[1; 32]], black_box(&buffer), &tag);
            // What was encrypted is encrypted again each time: the tag is of the last round but not of these bytes.
            let _ = black_box(checked);
        });
        println!("A256GCM-check/{len} {check:.1}");
        let hash = time(|| {
            black_box(Sha256::digest(black_box(&buffer)));
        });
        println!("SHA-256/{len} {hash:.1}");
        // Legacy SSE instructions after wide vectors: where that is slow, it shows here.
        let both = time(|| {
            let sealed = Software.encrypt_a256gcm(&key, &[9; 12], &[&[1; 32]], black_box(&mut buffer));
            black_box(sealed).expect("short enough");
            black_box(Sha256::digest(black_box(&buffer)));
        });
        println!("both-in-turn/{len} {both:.1}");
    }
}

/// Nanoseconds a call, the least of five samples.
fn time(mut call: impl FnMut()) -> f64 {
    let mut calls = 1_u32;
    let mut sample = |calls: u32| {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed()
    };
    while sample(calls) < SAMPLE / 4 {
        calls *= 2;
    }
    let samples = (0..5).map(|_| sample(calls).as_secs_f64() / f64::from(calls));
    samples.fold(f64::INFINITY, f64::min) * 1e9
}
