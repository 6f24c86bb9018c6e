"""Verifying and decrypting with `cwt`."""

from cwt import COSE, COSEKey

from taskseal_reader import crypto
from taskseal_reader.keys import kid_of_point

from .case import BATCHED, Batched, Case, content_key, outer_header


def open_envelope(case: Case, data: bytes) -> bytes:
    """The body, or an error of the library."""
    if case.suite == "E":
        kid, key = case.shared_key
        return _decrypt(data, kid, key, b"")
    if case.suite == "M":
        kid, key = case.mac_key
        mac_key = COSEKey.from_symmetric_key(key, alg="HS256", kid=kid)
        return _decode(data, mac_key, case.beside)
    payload = _verify(case, data)
    if case.suite == "S":
        return payload
    external = outer_header(data)
    if case.suite == "SE":
        kid, key = case.shared_key
        return _decrypt(payload, kid, key, external)
    private = _public(crypto.public_point(case.scalar)) | {
        -4: case.scalar.to_bytes(32, "big"),
        3: -25,
    }
    return bytes(
        COSE.new().decode(
            payload,
            [COSEKey.new(private)],
            context={"alg": "A256GCM"},
            external_aad=external,
        )
    )


def verify_receipt(case: Case, receipt: bytes, root: bytes) -> None:
    """An error unless the receipt is signed and of this root."""
    _decode(receipt, _signing_key(case), root)


def _verify(case: Case, data: bytes) -> bytes:
    if data[0] != BATCHED:
        return _decode(data, _signing_key(case), case.beside)
    batched = Batched.read(data)
    verify_receipt(case, batched.receipt, batched.root)
    return batched.payload


def _signing_key(case: Case) -> object:
    return COSEKey.new(_public(case.point) | {3: -7})


def _decode(data: bytes, key: object, detached: bytes | None) -> bytes:
    return bytes(COSE.new().decode(data, [key], detached_payload=detached))


def _decrypt(data: bytes, kid: bytes, key: bytes, external: bytes) -> bytes:
    content = content_key(data, key)
    chosen = COSEKey.from_symmetric_key(content, alg="A256GCM", kid=kid)
    return bytes(COSE.new().decode(data, [chosen], external_aad=external))


def _public(point: bytes) -> dict[int, object]:
    return {1: 2, -1: 1, -2: point[1:33], -3: point[33:], 2: kid_of_point(point)}
