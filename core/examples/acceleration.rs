//! Prints the instructions that the primitives run on here: `aes vaes-512 ghash pclmulqdq sha256 sha-ni`.

use taskseal_core::Acceleration;

fn main() {
    let Acceleration { aes, ghash, sha256, .. } = Acceleration::detect();
    println!("aes {aes} ghash {ghash} sha256 {sha256}");
}
