//! Private keys outside the memory of the process: in PKCS#11 tokens, which are unavailable from time to time.

mod tokens;
mod unavailable;
