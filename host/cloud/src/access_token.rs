//! Access tokens (RFC 6749) of a service, renewed before they expire.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::fault::Fault;
use crate::rest::RestAnswer;

/// An access token in the memory of this process.
#[derive(Clone)]
struct AccessToken {
    value: Zeroizing<String>,
    renewed_at: Instant,
    expires_at: Instant,
}

/// The current access token of each resource, shared by all calls. A service gets no token of another resource.
#[derive(Default)]
pub(crate) struct AccessTokens(Mutex<BTreeMap<&'static str, AccessToken>>);

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTokens").finish_non_exhaustive()
    }
}

/// The answer of a token endpoint (RFC 6749 section 5.1). Some send the lifetime as a text.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Lifetime,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Lifetime {
    Seconds(u64),
    Text(String),
}

/// The error of a token endpoint (RFC 6749 section 5.2). `error` is an object in other errors.
#[derive(Deserialize)]
struct TokenError {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Lifetime of a token whose own one is not a number.
const SHORT: Duration = Duration::from_secs(60);

impl AccessTokens {
    /// Makes a call with a token of `resource`. If the service refuses the token, the call is made once more with a new one: the old one may
    /// have been revoked.
    pub(crate) fn with_token(
        &self,
        resource: &'static str,
        fetch: impl Fn() -> Result<RestAnswer, Fault>,
        call: impl Fn(&str) -> Result<RestAnswer, Fault>,
    ) -> Result<RestAnswer, Fault> {
        let token = self.current(resource, &fetch)?;
        let answer = call(&bearer(&token))?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.forget(resource, &token);
        call(&bearer(&self.current(resource, &fetch)?))
    }

    /// Returns a valid token. One thread fetches it, the others wait.
    fn current(
        &self,
        resource: &'static str,
        fetch: impl Fn() -> Result<RestAnswer, Fault>,
    ) -> Result<Zeroizing<String>, Fault> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(token) = tokens.get(resource).filter(|token| now < token.renewed_at) {
            return Ok(token.value.clone());
        }
        match fetch().and_then(|answer| parse(&answer, now)) {
            Ok(fetched) => {
                let value = fetched.value.clone();
                tokens.insert(resource, fetched);
                Ok(value)
            }
            Err(fault) => match tokens.get(resource).filter(|token| now < token.expires_at) {
                // The token endpoint fails while the token is still valid.
                Some(token) => Ok(token.value.clone()),
                None => Err(fault),
            },
        }
    }

    fn forget(&self, resource: &'static str, refused: &Zeroizing<String>) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.get(resource).is_some_and(|token| token.value == *refused) {
            tokens.remove(resource);
        }
    }
}

fn bearer(token: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("Bearer {token}"))
}

fn parse(answer: &RestAnswer, now: Instant) -> Result<AccessToken, Fault> {
    if !answer.is_success() {
        let message = match answer.parse_error::<TokenError>() {
            Some(TokenError { error, error_description }) => {
                format!("no access token: {error}: {error_description}")
            }
            None => format!("no access token: HTTP status {}", answer.status),
        };
        return Err(match answer.status {
            // The error of wrong credentials has this status too.
            400 => Fault::credentials(message),
            _ => answer.fault(&message),
        });
    }
    let TokenAnswer { access_token, expires_in } = answer.parse()?;
    let lifetime = match expires_in {
        Lifetime::Seconds(seconds) => Some(seconds),
        Lifetime::Text(text) => text.parse().ok(),
    };
    // A day is longer than any service issues; the limit keeps the sum in range.
    let lifetime = lifetime.map_or(SHORT, |seconds| Duration::from_secs(seconds.min(86_400)));
    let value = Zeroizing::new(access_token);
    Ok(AccessToken { value, renewed_at: now + lifetime * 2 / 3, expires_at: now + lifetime })
}

/// Returns fields as `application/x-www-form-urlencoded`.
pub(crate) fn form(fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let length: usize = fields.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let mut form = Zeroizing::new(Vec::with_capacity(length));
    for (name, value) in fields {
        if !form.is_empty() {
            form.push(b'&');
        }
        form.extend_from_slice(name.as_bytes());
        form.push(b'=');
        for &byte in value.as_bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                form.push(byte);
            } else {
                let digit =
                    |nibble: u8| b"0123456789ABCDEF".get(usize::from(nibble)).copied().unwrap_or_default();
                form.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    #[test]
    fn token_of_one_resource_is_sent_to_no_other() {
        let (tokens, sent) = (AccessTokens::default(), RefCell::new(Vec::new()));
        let answer = |value: &str| {
            let body = json!({ "access_token": value, "expires_in": 3599 });
            Ok(RestAnswer::new(200, body.to_string().into_bytes()))
        };
        for (resource, next) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b2")] {
            let call = |bearer: &str| {
                sent.borrow_mut().push(bearer.to_owned());
                answer("")
            };
            tokens.with_token(resource, || answer(next), call).unwrap();
        }
        assert_eq!(*sent.borrow(), ["Bearer a1", "Bearer b1", "Bearer a1", "Bearer b1"]);
    }
}
