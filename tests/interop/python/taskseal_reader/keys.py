"""Keys: records that verify, and keys that decrypt (section 4)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from .cbor import encode
from .envelope import Kind
from .names import ANY, Names


def thumbprint(point: bytes) -> bytes:
    """The SHA-256 thumbprint (RFC 9679) of an uncompressed P-256 point."""
    return sha256(encode({1: 2, -1: 1, -2: point[1:33], -3: point[33:]})).digest()


def kid_of_point(point: bytes) -> bytes:
    """The kid of a P-256 key."""
    return thumbprint(point)[:8]


@dataclass(frozen=True)
class Record:
    """A key that verifies envelopes, and its rights."""

    kid: bytes
    algorithm: int
    key: bytes
    kind: Kind = Kind.TASK
    issuers: Names = ANY
    types: Names = ANY
    audiences: Names = ANY
    valid_from: int | None = None
    valid_until: int | None = None
    enabled: bool = True


class Keyset:
    """Records, each found by its kid alone."""

    def __init__(self, records: Iterable[Record]) -> None:
        """Takes the records; two with one kid are an error of the configuration."""
        self._records: dict[bytes, Record] = {}
        for record in records:
            if self._records.setdefault(record.kid, record) is not record:
                raise ValueError(f"two records with the kid {record.kid.hex()}")

    def get(self, kid: bytes) -> Record | None:
        """The record of a kid."""
        return self._records.get(kid)


@dataclass(frozen=True)
class DecryptionKeys:
    """Keys to open bodies with: shared keys and scalars, by their kids."""

    shared: dict[bytes, bytes] = field(default_factory=dict)
    agreement: dict[bytes, int] = field(default_factory=dict)
