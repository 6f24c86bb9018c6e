//! Requests and answers of HTTP/1.1, as far as a client of Vault uses it.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use serde_json::{Value, json};

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without `/v1/`, with the query.
    pub(super) path: String,
    /// By name in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Reads the next request of a connection.
    pub(super) fn read(source: &mut impl BufRead) -> Option<Self> {
        let line = line(source)?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let header = self::line(source)?;
            let Some((name, value)) = header.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
        let mut body = Vec::new();
        source.take(length).read_to_end(&mut body).ok()?;
        Some(Self { method, path: target.strip_prefix("/v1/").unwrap_or(&target).to_owned(), headers, body })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

fn line(source: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    source.read_line(&mut line).ok().filter(|length| *length > 0)?;
    Some(line.trim_end().to_owned())
}

/// An answer in JSON.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    /// In seconds.
    pub(super) retry_after: Option<u64>,
}

impl Answer {
    pub(super) const fn new(status: u16, body: Value) -> Self {
        Self { status, body, retry_after: None }
    }

    /// The documented form of errors.
    pub(super) fn errors(status: u16, errors: &[&str]) -> Self {
        Self::new(status, json!({ "errors": errors }))
    }

    /// The documented form of an exceeded rate limit. The delay, in seconds, is sent if the server is configured so.
    pub(super) fn throttled(retry_after: Option<u64>) -> Self {
        let answer = Self::errors(429, &["request path \"x\": rate limit quota exceeded"]);
        Self { retry_after, ..answer }
    }

    /// The documented form of a reply with data.
    pub(super) fn data(data: Value) -> Self {
        Self::new(
            200,
            json!({
                "request_id": "0c27f91e-5f5b-4a3c-8ff8-ad14e51da2fb", "lease_id": "", "renewable": false,
                "lease_duration": 0, "data": data, "wrap_info": null, "warnings": null, "auth": null
            }),
        )
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let body = self.body.to_string();
        let mut head = format!(
            "HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.status,
            body.len()
        );
        if let Some(seconds) = self.retry_after {
            head.push_str(&format!("Retry-After: {seconds}\r\n"));
        }
        if self.status == 307 {
            head.push_str("Location: http://127.0.0.1:1/v1/elsewhere\r\n");
        }
        format!("{head}\r\n{body}").into_bytes()
    }
}
