//! Keys that are not in memory: in PKCS#11 tokens, and in tokens that are unavailable for some time.

#[path = "../../hsm/tests/support/mod.rs"]
mod support;
mod tokens;
mod unavailable;
