"""Vectors of signed keysets."""

from collections.abc import Iterator

from .envelope import Kind
from .files import BYTES, KID, KIDS, NAME, NUMBER, POINT, File, flipped, head_lines
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
    "recipient": f"(task|result) {NAME} {NAME} {NAME} (none|{KID})",
}
_OFTEN = {"root": 2, "recipient": 100}


class KeysetVector(File):
    """A keyset, the pinned root, and the state of earlier keysets."""

    def check(self) -> None:
        """Refuses unknown lines, and lines too often or too seldom."""
        names = [name for name, _ in self.lines]
        for name, value in self.lines:
            self.check_line(name, value, LINES)
            if names.count(name) > _OFTEN.get(name, 1):
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
        wrong += [line for line in self._choices() if not self._chosen(keyset, line)]
        return f"other {' and '.join(wrong)}" if wrong else "accepted"

    def _choices(self) -> list[str]:
        """Returns the lines with a body and its recipient."""
        return [value for name, value in self.lines if name == "recipient"]

    def _chosen(self, keyset: SignedKeyset, line: str) -> bool:
        """Returns whether the keyset chooses the recipient of a line."""
        kind, issuer, task_type, audience, expected = line.split()
        names = (issuer, task_type, audience)
        kid = keyset.recipient(Kind[kind.upper()], names, self.now())
        return expected == ("none" if kid is None else kid.hex())

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
