//! The constant-time comparison of secrets, tags and key commitments.

use subtle::ConstantTimeEq;

/// Returns whether two tags are equal, in a time that depends on their lengths only.
///
/// # Security
/// MACs, AEAD tags, key commitments and secrets must be compared with this function. Kids, claims and types are public
/// and are compared with `==`.
#[must_use]
pub fn tags_match(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_another_length_do_not_match() {
        assert!(tags_match(&[], &[]) && tags_match(&[1, 2], &[1, 2]));
        assert!(!tags_match(&[1, 2], &[1]) && !tags_match(&[1], &[1, 2]) && !tags_match(&[1, 2], &[1, 3]));
    }
}
