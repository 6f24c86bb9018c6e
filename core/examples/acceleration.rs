//! Prints the instruction sets that the primitives use: `aes vaes-512 ghash pclmulqdq sha256 sha-ni`.

use std::hint::black_box;

use taskseal_core::seal::HedgeKey;
use taskseal_core::{Acceleration, Provider, Secret, Software};

fn main() {
    let Acceleration { aes, ghash, sha256, .. } = Acceleration::detect();
    println!("aes {aes} ghash {ghash} sha256 {sha256}");

    // Uses each primitive once, because tests hide instructions and observe their use.
    black_box(HedgeKey::derive(&Secret::zeroed()));
    black_box(Software.encrypt_a256gcm(&Secret::zeroed(), &[0; 12], &[], &mut [0; 16]))
        .expect("short enough");
}
