"""Vectors of signed keysets."""

from collections.abc import Iterator

from .files import BYTES, KIDS, NUMBER, POINT, File, flipped, head_lines
from .keyset import MAX_ENTRIES, Checkpoint, Pinned, SignedKeyset
from .refusal import KEYSET_CODES, Refused

OUT = ("stored", "seals", "decrypts", "records")
LINES = head_lines(KEYSET_CODES) | {
    "name": "[!-~]{1,64}",
    "root": POINT,
    "checkpoint": "[0-9a-f]{80}",
    "capacity": NUMBER,
    "stored": BYTES,
    "seals": KIDS,
    "decrypts": KIDS,
    "records": KIDS,
}


class KeysetVector(File):
    """A keyset, the pinned root, and the state of earlier keysets."""

    def check(self) -> None:
        """Refuses unknown lines, and lines too often or too seldom."""
        names = [name for name, _ in self.lines]
        for name, value in self.lines:
            self.check_line(name, value, LINES)
            if names.count(name) > (2 if name == "root" else 1):
                raise self.error(f"the line {name} occurs too often")
        self.check_presence(always=("expect", "note", "now", "name", "root"), out=OUT)

    def outcome(self) -> str:
        """Verifies the keyset and compares what its keys may do."""
        try:
            keyset = self._verify(self.data)
        except Refused as refused:
            return refused.code
        given = self._uses(keyset)
        wrong = [name for name in OUT if self.get(name) != given[name]]
        return f"other {' and '.join(wrong)}" if wrong else "accepted"

    def changed(self) -> Iterator[tuple[str, str]]:
        """The keyset with a bit changed."""
        for at, data in flipped(self.data):
            try:
                self._verify(data)
            except Refused as refused:
                yield f"byte {at}", refused.code
            else:
                yield f"byte {at}", "accepted"

    def _verify(self, data: bytes) -> SignedKeyset:
        """Verifies a keyset as the file says."""
        stored = self.get("checkpoint")
        checkpoint = None if stored is None else Checkpoint.parse(bytes.fromhex(stored))
        roots = tuple(
            bytes.fromhex(root) for name, root in self.lines if name == "root"
        )
        capacity = int(self.get("capacity") or MAX_ENTRIES)
        pinned = Pinned(self.need("name"), roots, capacity)
        return pinned.verify(data, checkpoint, self.now())

    def _uses(self, keyset: SignedKeyset) -> dict[str, str]:
        """Returns the checkpoint, and the kids of the keys that may seal, decrypt or verify."""
        now, entries = self.now(), keyset.entries
        kids = {
            "seals": [entry.kid for entry in entries if entry.seals(now)],
            "decrypts": [entry.kid for entry in entries if entry.decrypts(now, {})],
            "records": [entry.kid for entry in entries if entry.record({})],
        }
        uses = {name: " ".join(kid.hex() for kid in kids[name]) for name in kids}
        return uses | {"stored": keyset.checkpoint.stored.hex()}
