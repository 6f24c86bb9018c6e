"""Verifying and decrypting with `pycose`."""

from pycose.keys import EC2Key, SymmetricKey
from pycose.keys.curves import P256
from pycose.messages import Enc0Message, EncMessage, Mac0Message, Sign1Message

from taskseal_reader import crypto

from .case import BATCHED, Case, batched, content_key, outer_header


class Unverified(Exception):
    """A signature or tag that the library finds wrong."""


def open_envelope(case: Case, data: bytes) -> bytes:
    """The body, or an error."""
    if case.suite == "E":
        return _decrypt(data, case.shared_key[1], b"")
    if case.suite == "M":
        authenticated = Mac0Message.decode(data)
        authenticated.key = SymmetricKey(k=case.mac_key[1])
        if not authenticated.verify_tag():
            raise Unverified
        return bytes(authenticated.payload)
    payload = _verify(data, _public(case.point))
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


def _verify(data: bytes, key: EC2Key) -> bytes:
    payload, receipt, root = batched(data) if data[0] == BATCHED else (None, data, None)
    signed = Sign1Message.decode(receipt)
    signed.key = key
    if not signed.verify_signature(detached_payload=root):
        raise Unverified
    return bytes(signed.payload) if payload is None else payload


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
