"""Cases: accepted vectors as a COSE library sees them, with the keys it needs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import cbor2

from taskseal_reader import batch, crypto
from taskseal_reader.files import flipped
from taskseal_reader.vectors import Vector

BATCHED = 0x83
SALT_COMMIT = -95348


@dataclass(frozen=True)
class Case:
    """An envelope, the one record that verifies it, and the body that comes out."""

    vector: Vector
    beside: bytes | None

    @classmethod
    def read(cls, vector: Vector) -> Self:
        """The case of a vector."""
        return cls(vector, vector.beside())

    def with_body(self, beside: bytes) -> Self:
        """The case with another body beside the envelope."""
        return replace(self, beside=beside)

    @property
    def data(self) -> bytes:
        """The envelope."""
        return self.vector.data

    @property
    def body(self) -> bytes:
        """The body."""
        return bytes.fromhex(self.vector.need("body"))

    @property
    def suite(self) -> str:
        """The suite, by tag and content type."""
        if self.data[0] in (0xD0, 0xD1):
            return "M" if self.data[0] == 0xD1 else "E"
        content_type = header(self.data)[3]
        return "SE" if content_type == 16 else "SP" if content_type == 96 else "S"

    @property
    def point(self) -> bytes:
        """The public point of the producer."""
        return bytes.fromhex(self.vector.need("es256"))

    @property
    def mac_key(self) -> tuple[bytes, bytes]:
        """Kid and key of suite M."""
        return _kid_and_key(self.vector.need("hmac256"))

    @property
    def shared_key(self) -> tuple[bytes, bytes]:
        """Kid and key of suites E and SE."""
        return _kid_and_key(self.vector.need("shared"))

    @property
    def scalar(self) -> int:
        """The private key of the worker."""
        return int(self.vector.need("agree"), 16)


def cases(folder: Path, expected: str) -> list[Case]:
    """Returns the vectors of a folder with this expected outcome."""
    vectors = Vector.read_all(folder)
    return [Case.read(vector) for vector in vectors if vector.expected == expected]


def header(message: bytes) -> dict[int, Any]:
    """The protected header of a COSE message or of a batched envelope."""
    return dict(cbor2.loads(outer_header(message)))


def outer_header(message: bytes) -> bytes:
    """The bytes of that header."""
    item = cbor2.loads(message)
    return bytes((item if message[0] == BATCHED else item.value)[0])


@dataclass(frozen=True)
class Batched:
    """A batched envelope: payload and receipt, and the root that its path leads to."""

    payload: bytes
    receipt: bytes
    root: bytes

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Takes an envelope apart; the root is computed by the reader."""
        first, payload, receipt = cbor2.loads(data)
        entry = crypto.signature_structure(first, payload)
        return cls(payload, receipt, batch.parse(receipt).root(entry))

    def damaged(self) -> list[tuple[bytes, bytes]]:
        """Receipt and root with a bit changed in each byte that the signature covers.

        The path is not covered, but leads to another root if it is changed.
        """
        signed = outer_header(self.receipt)
        header = self.receipt.index(signed)
        covered = [*range(header, header + len(signed)), *range(-64, 0)]
        positions = {at % len(self.receipt) for at in covered}
        receipts = [data for at, data in flipped(self.receipt) if at in positions]
        roots = [root for _, root in flipped(self.root)]
        return [
            *((receipt, self.root) for receipt in receipts),
            *((self.receipt, root) for root in roots),
        ]


def content_key(message: bytes, key: bytes) -> bytes:
    """The content key of a COSE_Encrypt0, which no library derives."""
    salt_commit: bytes = header(message)[SALT_COMMIT]
    return crypto.derive(key, salt_commit[:16])[0]


def _kid_and_key(value: str) -> tuple[bytes, bytes]:
    kid, key = (bytes.fromhex(part) for part in value.split())
    return kid, key
