"""Verifying and decrypting with `pycose`."""

from pycose.keys import EC2Key, SymmetricKey
from pycose.keys.curves import P256
from pycose.messages import Enc0Message, EncMessage, Mac0Message, Sign1Message

from taskseal_reader import crypto

from .case import BATCHED, Batched, Case, content_key, outer_header


class Unverified(Exception):
    """A signature or tag that the library finds wrong."""


def open_envelope(case: Case, data: bytes) -> bytes:
    """The body, or an error."""
    if case.suite == "E":
        return _decrypt(data, case.shared_key[1], b"")
    if case.suite == "M":
        authenticated = Mac0Message.decode(data)
        if case.beside is not None:
            _put_body(authenticated, case.beside)
        authenticated.key = SymmetricKey(k=case.mac_key[1])
        if not authenticated.verify_tag():
            raise Unverified
        return bytes(authenticated.payload)
    payload = _verify(case, data)
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


def verify_receipt(case: Case, receipt: bytes, root: bytes) -> None:
    """An error unless the receipt is signed and of this root."""
    _verify_signature(case, Sign1Message.decode(receipt), root)


def _verify(case: Case, data: bytes) -> bytes:
    if data[0] == BATCHED:
        batched = Batched.read(data)
        verify_receipt(case, batched.receipt, batched.root)
        return batched.payload
    signed = Sign1Message.decode(data)
    _verify_signature(case, signed, case.beside)
    return bytes(signed.payload if case.beside is None else case.beside)


def _verify_signature(case: Case, signed: Sign1Message, detached: bytes | None) -> None:
    signed.key = _public(case.point)
    if not signed.verify_signature(detached_payload=detached):
        raise Unverified


def _put_body(authenticated: Mac0Message, body: bytes) -> None:
    """The library knows detached payloads of signatures only."""
    if authenticated.payload is not None:
        raise Unverified("a payload inside and one beside it")
    authenticated.payload = body


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
