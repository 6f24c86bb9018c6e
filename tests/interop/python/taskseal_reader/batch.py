"""Batches: a receipt (RFC 9942) that many tasks are in one tree (RFC 9162)."""

from dataclasses import dataclass
from hashlib import sha256

from . import cbor

MEDIA_TYPE = "application/vnd.taskseal.batch.v1+cose"
MAX_TREE = 1024
SIGN1, ES256 = 18, -7
VDS, VDP, INCLUSION, RFC9162_SHA256 = 395, 396, -1, 1
SIZE = -95348
HASH = 32


@dataclass(frozen=True)
class Receipt:
    """The signed root of a batch, without the root, and the path that leads to it."""

    kid: bytes
    header: bytes
    signature: bytes
    tree_size: int
    leaf_index: int
    path: tuple[bytes, ...]

    def root(self, entry: bytes) -> bytes:
        """The root of the tree that has this entry at the index."""
        node = sha256(b"\x00" + entry).digest()
        for sibling, is_left in zip(self.path, self._sides(), strict=True):
            children = sibling + node if is_left else node + sibling
            node = sha256(b"\x01" + children).digest()
        return node

    def fits(self) -> bool:
        """Returns whether the path is as long as size and index demand."""
        return len(self.path) == len(self._sides())

    def _sides(self) -> list[bool]:
        """For each sibling, from the leaf up, whether it is the left child."""
        sides, index, last = [], self.leaf_index, self.tree_size - 1
        while last > 0:
            # The last node of a level that has no sibling moves up as it is.
            if index & 1 or index < last:
                sides.append(bool(index & 1))
            index, last = index >> 1, last >> 1
        return sides


def parse(data: bytes) -> Receipt:
    """Reads a receipt."""
    tag, content = cbor.tagged(cbor.decode(data, nil=True))
    cbor.exactly(tag, SIGN1)
    first, unprotected, payload, signature = cbor.array(content, 4)
    if payload is not None:
        raise cbor.Malformed("a root that is not detached")
    header = cbor.blob(first, 0, 128)
    labels = cbor.fields(cbor.decode(header), cbor.only(1, 4, 16, VDS, SIZE))
    cbor.exactly(labels[1], ES256)
    cbor.exactly(labels[16], MEDIA_TYPE)
    cbor.exactly(labels[VDS], RFC9162_SHA256)
    size, index, path = _proof(unprotected)
    cbor.exactly(labels[SIZE], size)
    receipt = Receipt(
        kid=cbor.blob(labels[4], 8),
        header=header,
        signature=cbor.blob(signature, 64),
        tree_size=size,
        leaf_index=index,
        path=path,
    )
    if not receipt.fits():
        raise cbor.Malformed("a path of another length")
    return receipt


def _proof(unprotected: object) -> tuple[int, int, tuple[bytes, ...]]:
    """Tree size, leaf index and path of the one inclusion proof."""
    proofs = cbor.fields(unprotected, cbor.only(VDP))[VDP]
    wrapped = cbor.array(cbor.fields(proofs, cbor.only(INCLUSION))[INCLUSION], 1)[0]
    size, index, path = cbor.array(cbor.decode(cbor.blob(wrapped, 0, 512)), 3)
    if type(path) is not list:
        raise cbor.Malformed("not a path")
    tree_size = cbor.uint(size, MAX_TREE + 1)
    hashes = tuple(cbor.blob(item, HASH) for item in path)
    return tree_size, cbor.uint(index, tree_size), hashes
