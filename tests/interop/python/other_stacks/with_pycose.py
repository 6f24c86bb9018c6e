"""Verifying and decrypting with `pycose`."""

from pycose.keys import EC2Key, SymmetricKey
from pycose.keys.curves import P256
from pycose.messages import Enc0Message, EncMessage, Mac0Message, Sign1Message

from taskseal_reader import crypto

from .case import Case, content_key, outer_header


class Unverified(Exception):
    """A signature or tag that the library finds wrong."""


def open_envelope(case: Case, data: bytes) -> bytes:
    """The body, or an error."""
    if case.suite == "E":
        return _decrypt(data, case.shared_key[1], b"")
    if case.suite == "M":
        authenticated = Mac0Message.decode(data)
        authenticated.key = SymmetricKey(k=case.mac_key[1])
        return _payload(authenticated, authenticated.verify_tag())
    signed = Sign1Message.decode(data)
    signed.key = _public(case.point)
    payload = _payload(signed, signed.verify_signature())
    if case.suite == "S":
        return payload
    external = outer_header(data)
    if case.suite == "SE":
        return _decrypt(payload, case.shared_key[1], external)
    message = EncMessage.decode(payload)
    message.external_aad = external
    recipient = message.recipients[0]
    recipient.key = _private(case.scalar)
    return bytes(message.decrypt(recipient))


def verify_receipt(point: bytes, receipt: bytes, root: bytes) -> None:
    """Verifies the signature of a receipt over a root that was computed elsewhere."""
    signed = Sign1Message.decode(receipt)
    signed.key = _public(point)
    if not signed.verify_signature(detached_payload=root):
        raise Unverified


def _payload(message: Sign1Message | Mac0Message, verified: bool) -> bytes:
    if not verified:
        raise Unverified
    return bytes(message.payload)


def _decrypt(data: bytes, key: bytes, external: bytes) -> bytes:
    message = Enc0Message.decode(data)
    message.key = SymmetricKey(k=content_key(data, key))
    message.external_aad = external
    return bytes(message.decrypt())


def _public(point: bytes) -> EC2Key:
    return EC2Key(crv=P256, x=point[1:33], y=point[33:])


def _private(scalar: int) -> EC2Key:
    point = crypto.public_point(scalar)
    return EC2Key(crv=P256, x=point[1:33], y=point[33:], d=scalar.to_bytes(32, "big"))
