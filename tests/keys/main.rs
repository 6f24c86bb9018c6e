//! Keys that change while clients and workers run, and private keys outside the memory of the process: in PKCS#11 tokens, which are
//! unavailable from time to time.

mod keyset_server;
mod live;
mod tokens;
mod unavailable;
mod vault;
