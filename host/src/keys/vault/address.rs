//! Addresses of keys in Vault: the path of its API, as policies contain it, and what to take from there.

use taskseal_core::KeyId;

/// What a `vault:` URI names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A secret of the KV engine, version 2.
    Kv {
        mount: String,
        path: String,
        /// The field of the secret that contains the key or password.
        field: String,
        /// `None` for the newest version.
        version: Option<u64>,
    },
    /// A key of the Transit engine.
    Transit {
        mount: String,
        name: String,
        /// `None` for the newest version when the key is opened.
        version: Option<u64>,
        /// The kid of an HMAC key, which no part of the server knows. Only with a version: the next one is another key.
        kid: Option<KeyId>,
    },
}

/// The field of a secret that is read if the URI names none.
const DEFAULT_FIELD: &str = "key";

impl Address {
    /// Parses what follows the scheme. The first segment `data` or `keys` separates the mount, which may have several segments.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let segments: Vec<&str> = path.split('/').collect();
        if !segments.iter().all(|segment| is_segment(segment)) {
            return Err(
                "the path has an empty segment, or a character other than `A-Z a-z 0-9 . _ -`".to_owned()
            );
        }
        let at = segments.iter().position(|segment| matches!(*segment, "data" | "keys"));
        let Some((mount, [engine, rest @ ..])) = at.and_then(|at| segments.split_at_checked(at)) else {
            return Err("the path has no segment `data` or `keys`".to_owned());
        };
        if mount.is_empty() || rest.is_empty() {
            return Err(format!("nothing is written before or after `{engine}`"));
        }
        let mut query = Query::parse(query)?;
        let (mount, rest) = (mount.join("/"), rest.join("/"));
        let version = query.take("version").map(|value| version(&value)).transpose()?;
        let address = if *engine == "data" {
            let field = query.take("field").unwrap_or_else(|| DEFAULT_FIELD.to_owned());
            if !is_segment(&field) {
                return Err("the `field` has a character other than `A-Z a-z 0-9 . _ -`".to_owned());
            }
            Self::Kv { mount, path: rest, field, version }
        } else {
            if rest.contains('/') {
                return Err("the name of a Transit key has one segment".to_owned());
            }
            let kid = query.take("kid").map(|value| kid(&value)).transpose()?;
            if kid.is_some() && version.is_none() {
                return Err("a `kid` needs the `version` of the key that it belongs to".to_owned());
            }
            Self::Transit { mount, name: rest, version, kid }
        };
        query.end()?;
        Ok(address)
    }
}

/// The attributes after `?`.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split('&').filter(|part| !part.is_empty());
        let pair = |part: &str| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let pairs = parts.map(|part| pair(part).ok_or("an attribute has no value"));
        Ok(Self(pairs.collect::<Result<_, _>>()?))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(at).1)
    }

    fn end(self) -> Result<(), String> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err("an attribute is unknown here, or appears twice".to_owned()),
        }
    }
}

fn is_segment(segment: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !segment.is_empty() && segment.bytes().all(allowed) && !matches!(segment, "." | "..")
}

fn version(text: &str) -> Result<u64, String> {
    let version = text.parse().ok().filter(|version| *version > 0);
    version.ok_or_else(|| "the `version` is not a number from 1 on".to_owned())
}

fn kid(text: &str) -> Result<KeyId, String> {
    let mut bytes = [0; KeyId::LEN];
    let decoded = base16ct::mixed::decode(text, &mut bytes).is_ok_and(|bytes| bytes.len() == KeyId::LEN);
    decoded.then(|| KeyId::from_bytes(bytes)).ok_or_else(|| "the `kid` is not 16 hex digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_does_not_name_one_key_is_refused() {
        for text in [
            "",
            "secret",
            "secret/producer",
            "/data/a",
            "data/a",
            "secret/data",
            "secret/data/",
            "secret//data/a",
            "secret/data/../sys",
            "secret/data/a b",
            "secret/data/a%2f",
            "transit/keys/a/b",
            "transit/keys/a?version=0",
            "transit/keys/a?version=x",
            "transit/keys/a?kid=00",
            "transit/keys/a?version=1&kid=00",
            "transit/keys/a?kid=0011223344556677",
            "transit/keys/a?field=b",
            "secret/data/a?kid=0011223344556677",
            "secret/data/a?version=1&version=2",
            "secret/data/a?field",
            "secret/data/a?field=b/c",
            "secret/data/a?token=x",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn address_is_the_path_of_the_api_with_attributes() {
        let kv = |mount: &str, path: &str, field: &str, version| Address::Kv {
            mount: mount.into(),
            path: path.into(),
            field: field.into(),
            version,
        };
        assert_eq!(Address::parse("secret/data/a").unwrap(), kv("secret", "a", "key", None));
        assert_eq!(
            Address::parse("team/kv/data/keys/data?version=3&field=pw").unwrap(),
            kv("team/kv", "keys/data", "pw", Some(3))
        );
        let kid = Some(KeyId::from_bytes([0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77]));
        assert_eq!(
            Address::parse("transit/keys/data?version=2&kid=0011223344556677").unwrap(),
            Address::Transit { mount: "transit".into(), name: "data".into(), version: Some(2), kid }
        );
    }
}
