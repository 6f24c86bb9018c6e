//! The header of a message that carries a detached envelope. Workers that do not know it run the task by its payload.

use std::collections::BTreeMap;

use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::Bytes;

/// Name of the header with the detached envelope of a task whose payload is in clear. Its value is base64url without padding.
pub const DETACHED_HEADER: &str = "taskseal";

/// Returns the headers of a message with this detached envelope.
pub(super) fn encode(detached: Option<&Bytes>) -> BTreeMap<String, String> {
    let header = |envelope: &Bytes| (DETACHED_HEADER.to_owned(), Base64UrlUnpadded::encode_string(envelope));
    detached.map(header).into_iter().collect()
}

/// Returns the detached envelope of a message. A value that is not base64url is returned as it is: a worker must refuse it, and not
/// take the task for an unsealed one.
pub(super) fn decode(headers: &BTreeMap<String, String>) -> Option<Bytes> {
    let value = headers.get(DETACHED_HEADER)?;
    Some(Base64UrlUnpadded::decode_vec(value).map_or_else(|_| value.clone().into(), Bytes::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_that_is_not_base64url_is_not_left_out() {
        for value in ["0oQ=", "0oR", "0o+Q", " 0oQ", "{}", ""] {
            let headers = [(DETACHED_HEADER.to_owned(), value.to_owned())].into();
            assert_eq!(decode(&headers).unwrap(), value.as_bytes(), "{value}");
        }
        assert_eq!(decode(&[("Taskseal".to_owned(), "0oQ".to_owned())].into()), None);
    }

    #[test]
    fn envelope_is_decoded_as_it_was_encoded() {
        let envelope = Bytes::from_static(&[0xd2, 0x84, 0xff]);
        let headers = encode(Some(&envelope));
        assert_eq!(headers, [("taskseal".to_owned(), "0oT_".to_owned())].into());
        assert_eq!(decode(&headers), Some(envelope));
        assert_eq!(encode(None), BTreeMap::new());
    }
}
