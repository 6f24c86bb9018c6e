"""Envelopes: which of the suites the bytes are, and their parts (sections 2 and 3)."""

from dataclasses import dataclass, replace
from enum import Enum

from . import batch, cbor, claims
from .batch import Receipt
from .claims import Claims
from .refusal import Refused, require

MAX_BODY = 1 << 24
MAX_HEADER = 768
MAX_ENVELOPE = MAX_BODY + 1792
TAG_LENGTH = 16
COMMIT = claims.EXT
ES256, HMAC256, A256GCM, ECDH_ES_HKDF256 = -7, 5, 3, -25
SIGN1, MAC0, ENCRYPT0, ENCRYPT = 18, 17, 16, 96

_OUTER = cbor.only(1, 3, 4, 15, 16)
_OUTER_E = cbor.only(1, 3, 4, 15, 16, COMMIT)


class Kind(Enum):
    """The kind of an envelope, by its `typ`."""

    TASK = "application/vnd.taskseal.v1+cose"
    RESULT = "application/vnd.taskseal.result.v1+cose"


@dataclass(frozen=True)
class Sealed:
    """The encrypted object of E and SE, which have a salt, or SP, with its point."""

    context: str
    protected: bytes
    content_type: str
    kid: bytes
    salt: bytes | None
    commitment: bytes
    ephemeral: bytes | None
    iv: bytes
    ciphertext: bytes


@dataclass(frozen=True)
class Envelope:
    """An envelope with a valid structure; nothing else is verified."""

    suite: str
    kind: Kind
    algorithm: int
    kid: bytes
    claims: Claims
    content_type: str
    header: bytes
    payload: bytes
    proof: bytes
    sealed: Sealed | None
    receipt: Receipt | None = None

    @property
    def body_length(self) -> int:
        """Returns the length of the body, encrypted or not."""
        return (
            len(self.payload)
            if self.sealed is None
            else len(self.sealed.ciphertext) - TAG_LENGTH
        )


def parse(data: bytes) -> Envelope:
    """Reads the structure of an envelope; step 1 of section 7."""
    require(data[:1] in (b"\x83", b"\xd0", b"\xd1", b"\xd2"), "unsealed")
    require(len(data) <= MAX_ENVELOPE, "too-large")
    try:
        envelope = _structure(cbor.decode(data))
    except cbor.Malformed as error:
        raise Refused("malformed") from error
    require(envelope.body_length <= MAX_BODY, "too-large")
    return envelope


def parse_detached(data: bytes, body: bytes) -> Envelope:
    """Reads the structure of an envelope with a detached body."""
    require(data[:1] in (b"\xd0", b"\xd1", b"\xd2"), "unsealed")
    require(len(data) <= MAX_ENVELOPE, "too-large")
    try:
        tag, content = cbor.tagged(cbor.decode(data, nil=True))
        envelope = _authenticated(tag, content, body)
        if envelope.sealed is not None:
            raise cbor.Malformed("an encrypted body beside its envelope")
    except cbor.Malformed as error:
        raise Refused("malformed") from error
    require(envelope.body_length <= MAX_BODY, "too-large")
    return envelope


def _structure(item: object) -> Envelope:
    """The suite of a tagged structure, or the form B of one."""
    if isinstance(item, list):
        return _batched(item)
    tag, content = cbor.tagged(item)
    return _encrypted(content) if tag == ENCRYPT0 else _authenticated(tag, content)


def _batched(item: object) -> Envelope:
    """Form B of S, SE and SP: a receipt in the place of the signature."""
    first, payload, third = cbor.array(item, 3)
    receipt = batch.parse(cbor.blob(third, 0, MAX_ENVELOPE))
    header, body = cbor.blob(first, 0, MAX_HEADER), cbor.blob(payload, 0, MAX_ENVELOPE)
    envelope = signed(header, ES256, body, receipt.signature)
    if receipt.kid != envelope.kid:
        raise cbor.Malformed("a receipt of another key")
    return replace(envelope, receipt=receipt)


def _authenticated(tag: int, content: object, body: bytes | None = None) -> Envelope:
    """Suites S, SE, SP and M; S and M also with a detached body."""
    if tag not in (SIGN1, MAC0):
        raise cbor.Malformed("another tag")
    header, unprotected, payload, proof = cbor.array(content, 4)
    cbor.fields(unprotected, {})
    algorithm, proof_length = (ES256, 64) if tag == SIGN1 else (HMAC256, 32)
    if body is None:
        body = cbor.blob(payload, 0, MAX_ENVELOPE)
    elif payload is not None:
        raise cbor.Malformed("a body inside and one beside it")
    return signed(
        cbor.blob(header, 0, MAX_HEADER),
        algorithm,
        body,
        cbor.blob(proof, proof_length),
    )


def signed(header: bytes, algorithm: int, payload: bytes, proof: bytes) -> Envelope:
    """Reads header and payload, for each kind of authentication."""
    labels = cbor.fields(cbor.decode(header), _OUTER)
    cbor.exactly(labels[1], algorithm)
    suite, sealed = ("M", None) if algorithm == HMAC256 else ("S", None)
    if suite == "S" and labels[3] in (ENCRYPT0, ENCRYPT):
        suite, sealed = (
            ("SE", _encrypt0(payload))
            if labels[3] == ENCRYPT0
            else ("SP", _encrypt(payload))
        )
    content_type = _content_type(labels[3]) if sealed is None else sealed.content_type
    return _envelope(suite, labels, content_type, header, payload, proof, sealed)


def _encrypted(content: object) -> Envelope:
    """Suite E."""
    first, unprotected, ciphertext = cbor.array(content, 3)
    header = cbor.blob(first, 0, MAX_HEADER)
    labels = cbor.fields(cbor.decode(header), _OUTER_E)
    cbor.exactly(labels[1], A256GCM)
    sealed = _sealed_with_key(header, labels, unprotected, ciphertext)
    return _envelope("E", labels, sealed.content_type, header, b"", b"", sealed)


def _envelope(
    suite: str,
    labels: dict[int, object],
    content_type: str,
    header: bytes,
    payload: bytes,
    proof: bytes,
    sealed: Sealed | None,
) -> Envelope:
    """Adds the fields of every outermost header."""
    try:
        kind = Kind(labels[16])
    except ValueError as error:
        raise cbor.Malformed("another typ") from error
    algorithm = cbor.uint(labels[1]) if suite in "ME" else ES256
    about = claims.parse(labels[15], result=kind is Kind.RESULT)
    kid = cbor.blob(labels[4], 8)
    return Envelope(
        suite, kind, algorithm, kid, about, content_type, header, payload, proof, sealed
    )


def _encrypt0(payload: bytes) -> Sealed:
    """The inner object of SE."""
    tag, content = cbor.tagged(cbor.decode(payload))
    cbor.exactly(tag, ENCRYPT0)
    first, unprotected, ciphertext = cbor.array(content, 3)
    protected = cbor.blob(first, 0, MAX_HEADER)
    labels = cbor.fields(cbor.decode(protected), cbor.only(1, 3, 4, COMMIT))
    cbor.exactly(labels[1], A256GCM)
    return _sealed_with_key(protected, labels, unprotected, ciphertext)


def _sealed_with_key(
    protected: bytes, labels: dict[int, object], unprotected: object, ciphertext: object
) -> Sealed:
    """The common part of E and the inner object of SE."""
    salt_commit = cbor.blob(labels[COMMIT], 48)
    return Sealed(
        context="Encrypt0",
        protected=protected,
        content_type=_content_type(labels[3]),
        kid=cbor.blob(labels[4], 8),
        salt=salt_commit[:16],
        commitment=salt_commit[16:],
        ephemeral=None,
        iv=_iv(unprotected),
        ciphertext=_ciphertext(ciphertext),
    )


def _encrypt(payload: bytes) -> Sealed:
    """The inner object of SP."""
    tag, content = cbor.tagged(cbor.decode(payload))
    cbor.exactly(tag, ENCRYPT)
    first, unprotected, ciphertext, recipients = cbor.array(content, 4)
    protected = cbor.blob(first, 0, MAX_HEADER)
    labels = cbor.fields(cbor.decode(protected), cbor.only(1, 3, COMMIT))
    cbor.exactly(labels[1], A256GCM)
    kid, ephemeral = _recipient(cbor.array(recipients, 1)[0])
    return Sealed(
        context="Encrypt",
        protected=protected,
        content_type=_content_type(labels[3]),
        kid=kid,
        salt=None,
        commitment=cbor.blob(labels[COMMIT], 32),
        ephemeral=ephemeral,
        iv=_iv(unprotected),
        ciphertext=_ciphertext(ciphertext),
    )


def _recipient(item: object) -> tuple[bytes, bytes]:
    """The kid of the recipient and the ephemeral point."""
    protected, unprotected, encrypted_key = cbor.array(item, 3)
    labels = cbor.fields(cbor.decode(cbor.blob(protected, 0, MAX_HEADER)), cbor.only(1))
    cbor.exactly(labels[1], ECDH_ES_HKDF256)
    cbor.blob(encrypted_key, 0)
    given = cbor.fields(unprotected, cbor.only(4, -1))
    key = cbor.fields(given[-1], cbor.only(1, -1, -2, -3))
    cbor.exactly(key[1], 2)
    cbor.exactly(key[-1], 1)
    return cbor.blob(given[4], 8), cbor.blob(key[-2], 32) + cbor.blob(key[-3], 32)


def _iv(unprotected: object) -> bytes:
    """The one member of the unprotected header of what is encrypted."""
    return cbor.blob(cbor.fields(unprotected, cbor.only(5))[5], 12)


def _ciphertext(item: object) -> bytes:
    """A ciphertext and its tag."""
    return cbor.blob(item, TAG_LENGTH, MAX_ENVELOPE)


def _content_type(item: object) -> str:
    """The media type of a body."""
    text = cbor.name(item, 3, 64)
    if text.count("/") != 1 or text.startswith("/") or text.endswith("/"):
        raise cbor.Malformed("not a media type")
    return text
