//! The image: boots, prints the public key, seals two readings, and prints the envelopes.
//!
//! ```text
//! issuer sensor-17
//! key 9ffa76fec6561675 BDZ2hAuHqzhm…
//! epoch 1
//! envelope 0oRYiKUBJgM…
//! envelope 0oRYiKUBJgM…
//! ```
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod board;
#[cfg(target_os = "none")]
mod emulator;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("an image for a device: cargo run --release --target thumbv7em-none-eabihf");
}
