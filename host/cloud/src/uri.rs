//! The parts of a URI that names a key or a secret in a service.

use taskseal::keys::InvalidKeyRef;

/// A URI `scheme://AUTHORITY/PATH?NAME=VALUE`.
#[derive(Debug)]
pub(crate) struct UriParts<'u> {
    /// `HOST[:PORT]`, which is written before the first slash; may be empty.
    pub(crate) authority: &'u str,
    pub(crate) path: &'u str,
    query: Vec<(&'u str, &'u str)>,
}

/// Maximum length of a URI, in bytes.
const MAX_URI: usize = 2048;

impl<'u> UriParts<'u> {
    /// Splits a URI whose query may have the `fields`, each once. `form` is the hint: how such a URI is written.
    pub(crate) fn split(uri: &'u str, fields: &[&str], form: &str) -> Result<Self, InvalidKeyRef> {
        let invalid = |message: &str| InvalidKeyRef::new(message, format!("write {form}"));
        if uri.len() > MAX_URI || !uri.bytes().all(is_allowed) {
            return Err(invalid(
                "the URI contains a character that names in this service cannot have, or is too long",
            ));
        }
        let rest = uri.split_once("://").map(|(_, rest)| rest);
        let rest = rest.ok_or_else(|| invalid("the URI must have `//` after its scheme"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) =
            rest.split_once('/').ok_or_else(|| invalid("the URI does not name a key or a secret"))?;
        if !is_host_with_port(authority) {
            return Err(invalid("the URI has an invalid host or port"));
        }
        if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid("the URI does not name a key or a secret"));
        }
        let mut found: Vec<(&str, &str)> = Vec::new();
        for field in query.split('&').filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let known = fields.contains(&name) && found.iter().all(|(other, _)| *other != name);
            if !known || value.is_empty() {
                return Err(invalid("the URI has a field that is unknown, repeated or empty"));
            }
            found.push((name, value));
        }
        Ok(Self { authority, path, query: found })
    }

    /// Returns the value of a field of the query.
    pub(crate) fn field(&self, name: &str) -> Option<&'u str> {
        self.query.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }

    /// Returns the endpoint that the authority names: HTTPS, and without TLS only on this machine. `None` if it is empty.
    pub(crate) fn endpoint(&self) -> Option<String> {
        (!self.authority.is_empty()).then(|| endpoint(self.authority))
    }
}

/// Returns whether a text has the form `HOST[:PORT]`. A client of HTTP may ignore a port that is not a number, and connect to another
/// host than the one that was compared.
fn is_host_with_port(authority: &str) -> bool {
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port > 0)
    };
    is_host && port.is_none_or(|port| !host.is_empty() && is_port(port))
}

/// Returns the URL of `HOST[:PORT]`: HTTPS, and without TLS only on this machine.
pub(crate) fn endpoint(authority: &str) -> String {
    let scheme = if is_loopback(authority) { "http" } else { "https" };
    format!("{scheme}://{authority}")
}

/// Returns whether `HOST[:PORT]` is an address of this machine. Names can lead elsewhere, so `localhost` is not one.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let address = authority.parse::<std::net::SocketAddr>().map(|address| address.ip());
    address.or_else(|_| authority.parse::<std::net::IpAddr>()).is_ok_and(|ip| ip.is_loopback())
}

/// Returns whether a URL is one of HTTPS, or leads to this machine: credentials are sent to no other.
pub(crate) fn is_confidential(url: &str) -> bool {
    url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) || is_local(url)
}

/// Returns whether a URL without TLS leads to this machine.
pub(crate) fn is_local(url: &str) -> bool {
    let rest = url.strip_prefix("http://");
    rest.is_some_and(|rest| is_loopback(rest.split(['/', '?', '#']).next().unwrap_or_default()))
}

/// Returns whether a byte can be part of a URI. No percent sign: names in these services need none.
const fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'/' | b'_' | b'+' | b'=' | b'.' | b'@' | b'-' | b':' | b'?' | b'&')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(uri: &str) -> Result<UriParts<'_>, InvalidKeyRef> {
        UriParts::split(uri, &["region", "version"], "`awskms:///KEY`")
    }

    #[test]
    fn uri_that_names_no_key_or_has_an_unknown_field_is_refused_and_not_shown() {
        for uri in [
            "awskms:alias/secret77",
            "awskms://alias-secret77",
            "awskms:///",
            "awskms:////secret77",
            "awskms:///secret77/../other",
            "awskms:///secret77?password=x",
            "awskms:///secret77?region=a&region=b",
            "awskms:///secret77?region=",
            "awskms:///secret%2e77",
            "awskms:///secret77#a",
            "awskms://secret77@host/key",
            "awskms://user:pin@host\\/secret77 ",
        ] {
            let error = split(uri).unwrap_err();
            assert!(!format!("{error:?}").contains("secret77"), "{uri}: {error:?}");
        }
    }

    #[test]
    fn authority_that_is_not_a_host_with_a_numeric_port_is_refused() {
        for authority in [
            "example.org:x.amazonaws.com",
            "example.org:80:kms.amazonaws.com",
            "example.org:443.amazonaws.com",
            "example.org:",
            "example.org:+1",
            "example.org:0",
            "example.org:65536",
            ":443",
            "user@example.org",
        ] {
            assert!(split(&format!("awskms://{authority}/alias/a")).is_err(), "{authority}");
        }
        split("awskms://example.org:8443/alias/a").unwrap();
    }

    #[test]
    fn endpoint_without_tls_is_on_this_machine_only() {
        for (authority, url) in [
            ("127.0.0.1:4566", "http://127.0.0.1:4566"),
            ("kms.eu-central-1.amazonaws.com", "https://kms.eu-central-1.amazonaws.com"),
            ("localhost:4566", "https://localhost:4566"),
            ("127.0.0.1.example.org", "https://127.0.0.1.example.org"),
            ("10.0.0.1:80", "https://10.0.0.1:80"),
        ] {
            assert_eq!(endpoint(authority), url);
        }
        assert_eq!(split("awskms:///alias/a").unwrap().endpoint(), None);
    }

    #[test]
    fn url_that_would_show_credentials_to_the_network_is_not_confidential() {
        for url in [
            "",
            "ftp://example.org",
            "http://example.org/token",
            "http://127.0.0.1@example.org/",
            "http://127.0.0.1.example.org/",
            "http://localhost/",
            "https:/example.org",
            "//example.org",
        ] {
            assert!(!is_confidential(url), "{url}");
        }
        for url in ["https://example.org/token", "HTTPS://example.org", "http://127.0.0.1:80/a"] {
            assert!(is_confidential(url), "{url}");
        }
    }
}
