//! Branches on values computed from secrets that do not leak them, each with its reason.

use super::valgrind::Report;

/// A condition whose result is published anyway, or is always the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Comparisons of this crate: tag, commitment. All bytes were compared before; the sender learns the result. The
    /// compiler places the branch at the comparison or at the refusal.
    OurTag,
    /// The tag of AES-GCM, as above.
    GcmTag,
    /// Whether a scalar is in range when a key is created: `InvalidKey` reveals it too. One in 2^32 random scalars is
    /// out of range and is discarded.
    ScalarInRange,
    /// The first byte of the encoding of a public key, 4 for an uncompressed point: computed from a secret, but not
    /// secret.
    PointEncoding,
    /// Whether a candidate for the nonce of RFC 6979 (section 3.2 h) is in range: the first valid one is used, and the
    /// others, one in 2^32, are discarded.
    NonceInRange,
    /// Whether the nonce has an inverse: always, because it is not zero.
    NonceInvertible,
    /// Whether `r` and `s` are in range and not zero: they are the signature.
    SignatureInRange,
}

impl Verdict {
    /// The conditions of creating a key from a scalar.
    pub(crate) const SCALARS: &[Self] = &[Self::ScalarInRange, Self::PointEncoding];
    /// The conditions of creating a key and signing with it.
    pub(crate) const SIGNING: &[Self] = &[
        Self::ScalarInRange,
        Self::PointEncoding,
        Self::NonceInRange,
        Self::NonceInvertible,
        Self::SignatureInRange,
    ];
    /// The conditions of suites SE and SP.
    pub(crate) const SIGNED_AND_ENCRYPTED: &[Self] = &[
        Self::OurTag,
        Self::GcmTag,
        Self::ScalarInRange,
        Self::PointEncoding,
        Self::NonceInRange,
        Self::NonceInvertible,
        Self::SignatureInRange,
    ];

    /// Returns whether the report is about this condition: by package, file and text of the line, so that other code in
    /// the same function is not covered and a new version of a dependency is reviewed again.
    pub(crate) fn covers(self, report: &Report) -> bool {
        let Some((file, line)) = report.site() else { return false };
        let is = |package: &str, path: &str, text: &str| {
            file.contains(&format!("/{package}-")) && file.ends_with(path) && line == text
        };
        let of_small = |lines: &[&str]| {
            file.ends_with("/core/src/provider/small/sign.rs") && lines.contains(&line.as_str())
        };
        match self {
            Self::OurTag => {
                let verdicts =
                    ["if tags_match(", "if matches {", "_checked(", "Refusal::Rejected", "find_content_key("];
                file.contains("/core/src/") && verdicts.iter().any(|verdict| line.contains(verdict))
            }
            Self::GcmTag => {
                let theirs = "if expected_tag[..TagSize::to_usize()].ct_eq(tag).into() {";
                let ours = file.contains("/core/src/")
                    && ["_a256gcm(", "gcm::check(", "gcm::decrypt(", "check_with("]
                        .iter()
                        .any(|call| line.contains(call));
                ours || is("aes-gcm", "/src/lib.rs", theirs)
            }
            Self::ScalarInRange => {
                is("elliptic-curve", "/src/secret_key.rs", ".into_option()")
                    || is("elliptic-curve", "/src/secret_key.rs", "if inner.is_zero().into() {")
            }
            Self::PointEncoding => is("sec1", "/src/point.rs", "match byte {"),
            Self::NonceInRange => {
                let rfc_6979 = "if ((!candidate_k.is_zero()) & candidate_k.ct_lt(self.q)).to_bool() {";
                let nonzero = "if let Some(k) = NonZeroScalar::<C>::from_repr(k_bytes).into_option() {";
                is("rfc6979", "/src/lib.rs", rfc_6979)
                    || is("ecdsa", "/src/hazmat.rs", nonzero)
                    || of_small(&[
                        "if scalar(nonce).is_none() {",
                        "let mut k = scalar(nonce)?;",
                        "Scalar::from_repr((*bytes.as_bytes()).into()).into_option()",
                    ])
            }
            Self::NonceInvertible => {
                let general = "scalar: Invert::invert(&self.scalar).unwrap(),";
                is("elliptic-curve", "/src/scalar/nonzero.rs", general)
                    || of_small(&["let mut inverse = k.invert().into_option()?;"])
            }
            Self::SignatureInRange => {
                let in_range = "Self::from_bytes(&bytes).into_option().ok_or(Error)";
                is("elliptic-curve", "/src/scalar/value.rs", in_range)
                    || is("ecdsa", "/src/lib.rs", "if r.is_zero().into() || s.is_zero().into() {")
                    || of_small(&["if bool::from(r.is_zero() | s.is_zero()) {"])
            }
        }
    }
}
