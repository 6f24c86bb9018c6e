"""Cases: accepted vectors as a COSE library sees them, with the keys it needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2

from taskseal_reader import batch, crypto
from taskseal_reader.vectors import Vector, read_all

BATCHED = 0x83
SALT_COMMIT = -95348


@dataclass(frozen=True)
class Case:
    """An envelope, the one record that verifies it, and the body that comes out."""

    vector: Vector

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


def cases(folders: list[Path], expected: str) -> list[Case]:
    """The vectors of folders that come to the same."""
    vectors = [vector for folder in folders for vector in read_all(folder)]
    return [Case(vector) for vector in vectors if vector.get("expect") == expected]


def header(message: bytes) -> dict[int, Any]:
    """The protected header of a COSE message or of a batched envelope."""
    return dict(cbor2.loads(outer_header(message)))


def outer_header(message: bytes) -> bytes:
    """The bytes of that header."""
    item = cbor2.loads(message)
    return bytes((item if message[0] == BATCHED else item.value)[0])


def batched(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Payload and receipt of a batched envelope, and the root by its path."""
    first, payload, receipt = cbor2.loads(data)
    root = batch.parse(receipt).root(crypto.signature_structure(first, payload))
    return payload, receipt, root


def content_key(message: bytes, key: bytes) -> bytes:
    """The content key of a COSE_Encrypt0, which no library derives."""
    salt_commit: bytes = header(message)[SALT_COMMIT]
    return crypto.derive(key, salt_commit[:16])[0]


def _kid_and_key(value: str) -> tuple[bytes, bytes]:
    kid, key = (bytes.fromhex(part) for part in value.split())
    return kid, key
