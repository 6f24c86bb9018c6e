//! Public keys on P-256 in the form of services: DER SubjectPublicKeyInfo (RFC 5480).

use taskseal_core::keys::POINT_LEN;

/// A SubjectPublicKeyInfo of an uncompressed point on P-256, without the point: `id-ecPublicKey` and `secp256r1`.
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A public key as an uncompressed point, `04 || x || y`.
pub(crate) type Point = [u8; POINT_LEN];

/// Returns the point of a key on P-256; `None` for any other key.
pub(crate) fn point_of_spki(der: &[u8]) -> Option<Point> {
    der.strip_prefix(&SPKI_HEAD)?.try_into().ok()
}

/// Returns a key as SubjectPublicKeyInfo.
pub(crate) fn spki_of_point(point: &Point) -> Vec<u8> {
    [&SPKI_HEAD[..], point].concat()
}

#[cfg(test)]
mod tests {
    use base16ct::lower::decode_vec;

    use super::*;

    /// What `openssl ec -pubout -outform DER` writes for a key on P-256.
    const P256: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200046880cf5d950ff2ed1c2f3bb3de68a149a2d21302fa402dd031c3cb3d6d21e968e421b52019fb60a4d032586cd894545939d83ba958ebfac53ccc236ac70e43b8";
    /// The same for a key on secp256k1.
    const SECP256K1: &str = "3056301006072a8648ce3d020106052b8104000a034200040efc57c20564c24dfdb8cd60ac10ff7198b7133406163aa5d8e5c1c6425fea071c6894a0e3e970216d1f2498d3f907e84311ae0efa73fd64d7480693e01ca20e";

    #[test]
    fn public_key_of_another_curve_or_length_has_no_point() {
        let p256 = decode_vec(P256).unwrap();
        assert_eq!(point_of_spki(&decode_vec(SECP256K1).unwrap()), None);
        assert_eq!(point_of_spki(&p256[..90]), None);
        assert_eq!(point_of_spki(&[p256.as_slice(), &[0]].concat()), None);
        assert_eq!(point_of_spki(&[]), None);
    }

    #[test]
    fn public_key_is_read_and_written_as_openssl_does() {
        let der = decode_vec(P256).unwrap();
        let point = point_of_spki(&der).unwrap();
        assert_eq!(point[..2], [0x04, 0x68]);
        assert_eq!(spki_of_point(&point), der);
    }
}
