//! The second carrier of a signed keyset, beside its file: the Redis of `[broker]`, or a web server.

#[cfg(feature = "http")]
mod http;
#[cfg(feature = "redis")]
mod redis;
mod server;

use super::Config;
use crate::keys::Fetched;

pub use self::server::{InvalidServer, KeysetServer};

/// Where a keyset is fetched from, beside its file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeysetCarrier {
    /// The Redis of `[broker]`.
    Broker,
    /// A web server.
    Server(KeysetServer),
}

impl Config {
    /// Fetches the keyset from its carrier; `None` if it has none. Blocks for at most ten seconds.
    pub(super) fn fetch_keyset(&self) -> Option<Fetched> {
        let (origin, content) = match self.keyset_carrier.as_ref()? {
            #[cfg(feature = "redis")]
            KeysetCarrier::Broker => {
                let stored = self.stored_keyset();
                (redis::CARRIER, stored.and_then(|keyset| keyset.ok_or_else(|| "Redis has none".to_owned())))
            }
            #[cfg(not(feature = "redis"))]
            KeysetCarrier::Broker => ("broker:", Err("this program was built without Redis".to_owned())),
            KeysetCarrier::Server(server) => {
                let got = server.get();
                let none = || "the server answered 404: there is no such file".to_owned();
                (server.url(), got.and_then(|keyset| keyset.ok_or_else(none)))
            }
        };
        Some(Fetched { origin: origin.to_owned(), content })
    }
}
