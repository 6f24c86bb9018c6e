"""The reader: verifies and opens an envelope in the order of section 7."""

from dataclasses import dataclass
from hashlib import sha256

from . import crypto
from .envelope import (
    A256GCM,
    ES256,
    HMAC256,
    Envelope,
    Kind,
    parse,
    parse_detached,
)
from .keys import DecryptionKeys, Keyset, Record
from .policy import Policy, Window
from .refusal import require
from .replay import Guard


@dataclass(frozen=True)
class Opened:
    """An envelope that was accepted, and its body."""

    envelope: Envelope
    body: bytes


@dataclass(frozen=True)
class Reader:
    """Everything that the decision about an envelope depends on."""

    keyset: Keyset
    policy: Policy
    guard: Guard
    keys: DecryptionKeys

    def open(self, data: bytes, now: Window, beside: bytes | None = None) -> Opened:
        """Accepts an envelope and gives its body, or refuses it."""
        envelope = self.verify(data, now, beside)
        if envelope.kind is Kind.TASK:
            self.guard.admit(envelope, sha256(data).digest(), now.earliest)
        return Opened(envelope, self._body(envelope))

    def verify(self, data: bytes, now: Window, beside: bytes | None = None) -> Envelope:
        """Steps 1 to 7; `beside` is the body of the detached form."""
        envelope = parse(data) if beside is None else parse_detached(data, beside)
        self.policy.admits(envelope)
        record = self.keyset.get(envelope.kid)
        require(record is not None, "unknown-key")
        assert record is not None
        require(self._is_authentic(envelope, record), "rejected")
        self.policy.check(record, envelope, now)
        return envelope

    def _is_authentic(self, envelope: Envelope, record: Record) -> bool:
        """Step 4: algorithm, proof, and the purpose of the inner kid."""
        if record.algorithm != envelope.algorithm:
            return False
        if envelope.algorithm == A256GCM:
            assert envelope.sealed is not None
            return (
                crypto.decrypt_with_shared_key(record.key, envelope.sealed, b"")
                is not None
            )
        if envelope.algorithm == HMAC256:
            return crypto.authenticates(
                record.key, envelope.proof, envelope.header, envelope.payload
            )
        assert envelope.algorithm == ES256
        message = crypto.signature_structure(envelope.header, envelope.payload)
        if envelope.receipt is not None:
            root = envelope.receipt.root(message)
            message = crypto.signature_structure(envelope.receipt.header, root)
        one_purpose = (
            envelope.sealed is None or self.keyset.get(envelope.sealed.kid) is None
        )
        return one_purpose and crypto.verifies(record.key, envelope.proof, message)

    def _body(self, envelope: Envelope) -> bytes:
        """Step 9: the body, decrypted if it is encrypted."""
        sealed = envelope.sealed
        if sealed is None:
            return envelope.payload
        external = b"" if envelope.suite == "E" else envelope.header
        if sealed.ephemeral is None:
            require(sealed.kid in self.keys.shared, "no-decryption-key")
            body = crypto.decrypt_with_shared_key(
                self.keys.shared[sealed.kid], sealed, external
            )
        else:
            require(sealed.kid in self.keys.agreement, "no-decryption-key")
            body = crypto.decrypt_with_scalar(
                self.keys.agreement[sealed.kid], sealed, external
            )
        require(body is not None, "rejected")
        assert body is not None
        return body
