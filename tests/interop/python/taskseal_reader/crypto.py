"""Cryptography: signatures, MACs, key derivation and decryption (section 5)."""

import hmac
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .cbor import encode
from .envelope import Sealed

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY_INFO = b"taskseal/v1 A256GCM"
COMMIT_INFO = b"taskseal/v1 commit"
CONTEXT = encode(
    [3, [None, None, None], [None, None, None], [256, bytes.fromhex("a1013818")]]
)


def signature_structure(header: bytes, payload: bytes) -> bytes:
    """What ES256 signs."""
    return encode(["Signature1", header, b"", payload])


def verifies(point: bytes, signature: bytes, message: bytes) -> bool:
    """Returns whether a signature `r || s` with a low `s` is that of a message."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if s > (ORDER - 1) // 2:
        return False
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def authenticates(key: bytes, tag: bytes, header: bytes, payload: bytes) -> bool:
    """Returns whether the tag of suite M is that of header and payload."""
    message = encode(["MAC0", header, b"", payload])
    return hmac.compare_digest(hmac.digest(key, message, sha256), tag)


def decrypt_with_shared_key(
    key: bytes, sealed: Sealed, external: bytes
) -> bytes | None:
    """The body of E or SE, or none if commitment or tag are not right."""
    content_key, commitment = derive(key, sealed.salt or b"")
    return _decrypt(content_key, commitment, sealed, external)


def derive(key: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """The content key of E or SE, and the commitment to it."""
    okm = _hkdf(key, salt, KEY_INFO, 64)
    return okm[:32], okm[32:]


def decrypt_with_scalar(scalar: int, sealed: Sealed, external: bytes) -> bytes | None:
    """The body of SP, or none if point, commitment or tag are not right."""
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), b"\x04" + (sealed.ephemeral or b"")
        )
    except ValueError:
        return None
    secret = ec.derive_private_key(scalar, ec.SECP256R1()).exchange(ec.ECDH(), point)
    return _decrypt(
        _hkdf(secret, None, CONTEXT, 32),
        _hkdf(secret, None, COMMIT_INFO, 32),
        sealed,
        external,
    )


def is_point(point: bytes) -> bool:
    """Returns whether an uncompressed point is on the curve."""
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        return False
    return True


def public_point(scalar: int) -> bytes:
    """The uncompressed public point of a scalar."""
    numbers = (
        ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
    )
    return b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def _hkdf(key: bytes, salt: bytes | None, info: bytes, length: int) -> bytes:
    """HKDF-SHA256."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(key)


def _decrypt(
    key: bytes, commitment: bytes, sealed: Sealed, external: bytes
) -> bytes | None:
    """Compares the commitment, then decrypts."""
    if not hmac.compare_digest(commitment, sealed.commitment):
        return None
    associated = encode([sealed.context, sealed.protected, external])
    try:
        return AESGCM(key).decrypt(sealed.iv, sealed.ciphertext, associated)
    except InvalidTag:
        return None
