//! Where a PIN comes from. A PIN itself is never part of a name.

use std::path::PathBuf;
use std::str::FromStr;

use crate::uri::InvalidUri;

/// The `pin-source` of a URI (RFC 7512 section 2.4). Names a place; the PIN is read there when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinSource {
    /// `file:PATH`: the content of a file that only its owner may read.
    File(PathBuf),
    /// `env:NAME`: an environment variable.
    Environment(String),
    /// `fd:N`: an open file descriptor.
    Descriptor(u32),
    /// `cred:NAME`: a systemd credential.
    Credential(String),
}

impl PinSource {
    /// Reads a decoded `pin-source`. A bare absolute path is a file. A command (`|…`) is refused: a name must not be able to
    /// run a program.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::File(PathBuf::from(text)));
        }
        let (scheme, rest) = text.split_once(':')?;
        match scheme {
            "file" => {
                // RFC 8089: an empty host may stand before the path.
                let path = rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest);
                (path.starts_with('/') && !path.starts_with("//")).then(|| Self::File(PathBuf::from(path)))
            }
            "env" => is_name(rest).then(|| Self::Environment(rest.to_owned())),
            "cred" => (is_name(rest) && !rest.starts_with('.')).then(|| Self::Credential(rest.to_owned())),
            "fd" => {
                let number = rest.parse().ok()?;
                // One spelling a number.
                (u32::to_string(&number) == rest).then_some(Self::Descriptor(number))
            }
            _ => None,
        }
    }
}

/// What stands after `pin-source=` in a URI, decoded.
impl FromStr for PinSource {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).filter(|_| !text.chars().any(char::is_control)).ok_or(InvalidUri::PinSource)
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= 255 && name.bytes().all(allowed)
}
