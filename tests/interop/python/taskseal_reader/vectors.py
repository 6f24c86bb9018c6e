"""Vectors of envelopes: attached, in batches, and detached."""

from collections.abc import Iterator
from hashlib import sha256

from . import crypto, envelope
from .envelope import A256GCM, ES256, HMAC256, Envelope, Kind
from .files import (
    BYTES,
    HASH,
    NAME,
    NUMBER,
    PATTERNS,
    POINT,
    SCALAR,
    SHARED,
    File,
    flipped,
    head_lines,
)
from .keys import DecryptionKeys, Keyset, Record, kid_of_point
from .names import Names
from .policy import Policy
from .reader import Opened, Reader
from .refusal import CODES, Refused
from .replay import Guard

ALGORITHMS = {"es256": ES256, "hmac256": HMAC256, "a256gcm": A256GCM}
SUITE = "(S|M|E|SE|SP)"
YEAR = 366 * 86_400

LINES = head_lines(CODES) | {
    "audience": NAME,
    "detached": BYTES,
    "kind": "result",
    "request": HASH,
    "suites": f"({SUITE}( {SUITE})*)?",
    "batches": "yes",
    "types": PATTERNS,
    "max-body": NUMBER,
    "skew": NUMBER,
    "max-lifetime": NUMBER,
    "beacon": "yes",
    "clockless": "yes",
    "before": "admitted|finished|other",
    "first-seen": NUMBER,
    "newest": f"{NUMBER} {NUMBER}",
    "shared": SHARED,
    "agree": SCALAR,
    "body": BYTES,
}
RECORDS = {"es256": POINT, "hmac256": SHARED, "a256gcm": SHARED}
RIGHTS = {
    "issuers": PATTERNS,
    "types": PATTERNS,
    "audiences": PATTERNS,
    "valid-from": NUMBER,
    "valid-until": NUMBER,
    "record-kind": "result",
    "disabled": "yes",
}


class Vector(File):
    """An envelope, the state of a verifier, and the expected outcome."""

    def check(self) -> None:
        """Refuses unknown lines, and lines too often or too seldom."""
        seen: set[str] = set()
        rights: set[str] | None = None
        for name, value in self.lines:
            if name in RECORDS:
                self.check_line(name, value, RECORDS)
                rights = set()
                continue
            is_right = rights is not None and name in RIGHTS
            self.check_line(name, value, RIGHTS if is_right else LINES)
            group = rights if is_right and rights is not None else seen
            if name in group:
                raise self.error(f"the line {name} occurs twice")
            group.add(name)
        self.check_presence(always=("expect", "note", "now", "audience"), out=("body",))
        if self.has("request") != self.has("kind"):
            raise self.error("kind and request go together")

    def outcome(self) -> str:
        """Opens the envelope and compares the body."""
        try:
            opened = self.open(self.data, self.beside())
        except Refused as refused:
            return refused.code
        right = self.is_accepted and opened.body == bytes.fromhex(self.need("body"))
        return "accepted" if right else f"opened to {opened.body.hex()}"

    def changed(self) -> Iterator[tuple[str, str]]:
        """The envelope with a bit changed; a body beside it too, and its length."""
        beside = self.beside()
        for at, data in flipped(self.data):
            yield f"byte {at}", self.outcome_of(data, beside)
        if beside is None:
            return
        for at, body in flipped(beside):
            yield f"byte {at} of the body", self.outcome_of(self.data, body)
        for body in (beside + b"\x00", b"\x00" + beside, beside[:-1], beside[1:]):
            if body != beside:
                yield "the length of the body", self.outcome_of(self.data, body)
        yield "the operation", self.outcome_of(self.data, None)

    def outcome_of(self, data: bytes, beside: bytes | None) -> str:
        """Returns the outcome of other bytes instead of those of the file."""
        try:
            self.open(data, beside)
        except Refused as refused:
            return refused.code
        return "accepted"

    def open(self, data: bytes, beside: bytes | None) -> Opened:
        """Opens an envelope as the file says, or refuses it."""
        reader = Reader(
            Keyset(self.records()), self.policy(), self.guard(), self.decryption_keys()
        )
        return reader.open(data, self.now(), beside)

    def beside(self) -> bytes | None:
        """The body of the detached form."""
        body = self.get("detached")
        return None if body is None else bytes.fromhex(body)

    def records(self) -> list[Record]:
        """A line that is a key begins a record; the lines below it are its rights."""
        records: list[dict[str, object]] = []
        for name, value in self.lines:
            if name in ALGORITHMS:
                records.append(_key(name, value))
            elif records:
                records[-1].update(_right(name, value))
        return [Record(**record) for record in records]  # type: ignore[arg-type]

    def policy(self) -> Policy:
        """The lines of the policy; `types` is one of them only above the first key."""
        names = [name for name, _ in self.lines]
        first_key = next(
            (at for at, name in enumerate(names) if name in ALGORITHMS), len(names)
        )
        types = names.index("types") if "types" in names else len(names)
        result = self.get("kind") == "result"
        return Policy(
            audience=self.need("audience"),
            kind=Kind.RESULT if result else Kind.TASK,
            request=bytes.fromhex(self.need("request")) if result else None,
            suites=frozenset((self.get("suites") or "S M E SE SP").split()),
            types=Names.parse(self.lines[types][1] if types < first_key else "*"),
            max_body=int(self.get("max-body") or 1 << 20),
            max_lifetime=int(self.get("max-lifetime") or (YEAR if result else 86_400)),
            skew=int(self.get("skew") or 60),
            beacon=self.has("beacon"),
            clockless=self.has("clockless"),
            batch=self.has("batches"),
        )

    def guard(self) -> Guard:
        """Returns a guard in the state that the vector specifies."""
        before, newest = self.get("before"), self.get("newest")
        guard = Guard(by_sequence=newest is not None)
        if newest is not None:
            epoch, counter = (int(number) for number in newest.split())
            guard.note(self._parsed(), epoch, counter)
        if before is not None:
            digest = bytes(32) if before == "other" else sha256(self.data).digest()
            first_seen = int(self.get("first-seen") or self.now().earliest)
            guard.admit(self._parsed(), digest, first_seen)
            if before == "finished":
                guard.finish(self._parsed())
        return guard

    def _parsed(self) -> Envelope:
        """The envelope, whose issuer, kid and task id a guard may have seen."""
        beside = self.beside()
        return (
            envelope.parse(self.data)
            if beside is None
            else envelope.parse_detached(self.data, beside)
        )

    def decryption_keys(self) -> DecryptionKeys:
        """Returns the keys that open bodies."""
        keys = DecryptionKeys()
        for name, value in self.lines:
            if name == "shared":
                kid, key = (bytes.fromhex(part) for part in value.split())
                keys.shared[kid] = key
            elif name == "agree":
                scalar = int(value, 16)
                keys.agreement[kid_of_point(crypto.public_point(scalar))] = scalar
        return keys


def _key(name: str, value: str) -> dict[str, object]:
    """Reads a line with a key into its record."""
    if name == "es256":
        point = bytes.fromhex(value)
        return {"kid": kid_of_point(point), "algorithm": ES256, "key": point}
    kid, key = (bytes.fromhex(part) for part in value.split())
    return {"kid": kid, "algorithm": ALGORITHMS[name], "key": key}


def _right(name: str, value: str) -> dict[str, object]:
    """Reads a line below a key into its record."""
    if name in ("issuers", "types", "audiences"):
        return {name: Names.parse(value)}
    if name in ("valid-from", "valid-until"):
        return {name.replace("-", "_"): int(value)}
    if name == "record-kind":
        return {"kind": Kind.RESULT if value == "result" else Kind.TASK}
    return {"enabled": False} if name == "disabled" else {}
