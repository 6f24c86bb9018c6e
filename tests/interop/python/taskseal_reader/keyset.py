"""Signed keysets: the keys that a root authorises (core/docs/keyset.md)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from . import cbor, crypto
from .claims import TIME
from .envelope import A256GCM, ECDH_ES_HKDF256, ES256, HMAC256, SIGN1, Kind
from .keys import Record, kid_of_point
from .names import Names
from .policy import Window
from .refusal import Refused, require

MEDIA_TYPE = "application/vnd.taskseal.keyset.v1+cose"
MAX_KEYSET, MAX_ENTRIES, MAX_SEQUENCE = 65_536, 256, 1 << 53
ISSUE_SKEW = 300
STAGED, PRIMARY, RETIRING, DISABLED, DESTROYED, COMPROMISED = range(6)
IN_USE = (STAGED, PRIMARY, RETIRING)

_HEADER = cbor.only(1, 4, 16)
_KEYSET = {1: True, 2: True, 3: True, 4: True, 5: False, 6: True}
_ENTRY = {1: True, 2: True, 3: False, 4: False, 5: False, 6: False}
_ROLE = dict.fromkeys(range(1, 5), False)
_PATTERNS = re.compile("[!-~]{1,128}( [!-~]{1,128})*")


@dataclass(frozen=True)
class Role:
    """The rights of a key."""

    kind: Kind
    issuers: Names
    types: Names
    audiences: Names


    def matches(self, kind: Kind, issuer: str, task_type: str, audience: str) -> bool:
        """Returns whether it is for this kind and every set has its name."""
        return (
            self.kind == kind
            and issuer in self.issuers
            and task_type in self.types
            and audience in self.audiences
        )


NO_RIGHTS = Role(Kind.TASK, Names(()), Names(()), Names(()))


@dataclass(frozen=True)
class Entry:
    """A key, of which a shared one is named only, its state and its times."""

    kid: bytes
    algorithm: int | None
    point: bytes | None
    state: int
    use_from: int | None
    sign_until: int | None
    accept_until: int | None
    role: Role | None

    def seals(self, now: Window) -> bool:
        """Returns whether it signs, authenticates or is encrypted to, at every time."""
        ends = [end for end in (self.sign_until, self.accept_until) if end is not None]
        started = self.use_from is None or self.use_from <= now.earliest
        return (
            self.state == PRIMARY and started and all(now.latest < end for end in ends)
        )

    def decrypts(self, now: Window, secrets: Mapping[bytes, bytes]) -> bool:
        """Returns whether bodies may be opened with it, at every time."""
        in_time = self.accept_until is None or now.latest < self.accept_until
        opens = self.algorithm == ECDH_ES_HKDF256 or (
            self.algorithm == A256GCM
            and (self.role is None or self.record(secrets) is not None)
        )
        return self.state in IN_USE and in_time and opens

    def record(self, secrets: Mapping[bytes, bytes]) -> Record | None:
        """The record that it is for envelopes, if it verifies any here."""
        if self.algorithm in (None, ECDH_ES_HKDF256):
            return None
        if self.algorithm == A256GCM and self.role is None:
            return None
        key = self.point if self.algorithm == ES256 else secrets.get(self.kid)
        if key is None or self.algorithm is None:
            return None
        role = self.role or NO_RIGHTS
        return Record(
            self.kid,
            self.algorithm,
            key,
            role.kind,
            role.issuers,
            role.types,
            role.audiences,
            valid_from=0,
            valid_until=self.accept_until,
            enabled=self.state in IN_USE,
        )


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of the newest keyset in use."""

    sequence: int
    digest: bytes

    @classmethod
    def parse(cls, data: bytes) -> "Checkpoint":
        """Reads the 40 bytes that are stored."""
        sequence = int.from_bytes(data[:8], "big")
        if len(data) != 40 or not 1 <= sequence < MAX_SEQUENCE:
            raise ValueError("not a checkpoint")
        return cls(sequence, data[8:])

    @property
    def stored(self) -> bytes:
        """Returns the 40 bytes."""
        return self.sequence.to_bytes(8, "big") + self.digest


@dataclass(frozen=True)
class SignedKeyset:
    """A keyset with a valid structure; nothing else is verified."""

    root: bytes
    header: bytes
    payload: bytes
    signature: bytes
    name: str
    sequence: int
    issued_at: int
    not_after: int
    previous: bytes | None
    entries: tuple[Entry, ...]

    @property
    def checkpoint(self) -> Checkpoint:
        """Returns its checkpoint."""
        return Checkpoint(self.sequence, sha256(self.payload).digest())

    def recipient(
        self, kind: Kind, names: tuple[str, str, str], now: Window
    ) -> bytes | None:
        """Returns the kid of the recipient for an issuer, a type and an audience."""
        matching = [
            (-(entry.use_from or 0), entry.kid)
            for entry in self.entries
            if entry.algorithm == ECDH_ES_HKDF256
            and entry.seals(now)
            and entry.role is not None
            and entry.role.matches(kind, *names)
        ]
        return min(matching)[1] if matching else None


@dataclass(frozen=True)
class Pinned:
    """What a verifier has pinned, and how many entries it has memory for."""

    name: str
    roots: tuple[bytes, ...]
    capacity: int = MAX_ENTRIES

    def verify(
        self, data: bytes, checkpoint: Checkpoint | None, now: Window
    ) -> SignedKeyset:
        """Accepts a keyset, or refuses it, in the order of section 5."""
        keyset = parse(data)
        roots = {kid_of_point(root): root for root in self.roots}
        require(keyset.root in roots, "unknown-root")
        message = crypto.signature_structure(keyset.header, keyset.payload)
        root = roots[keyset.root]
        require(crypto.verifies(root, keyset.signature, message), "rejected")
        require(keyset.name == self.name, "wrong-name")
        if checkpoint is not None:
            _follows(keyset, checkpoint)
        require(now.earliest + ISSUE_SKEW >= keyset.issued_at, "issued-in-future")
        require(now.latest < keyset.not_after, "expired")
        require(
            not any(entry.kid in roots for entry in keyset.entries), "root-in-keyset"
        )
        require(len(keyset.entries) <= self.capacity, "too-many-keys")
        return keyset


def parse(data: bytes) -> SignedKeyset:
    """Reads the structure of a signed keyset."""
    require(len(data) <= MAX_KEYSET, "too-large")
    try:
        return _structure(data)
    except cbor.Malformed as error:
        raise Refused("malformed") from error


def _follows(keyset: SignedKeyset, checkpoint: Checkpoint) -> None:
    """Checks that a keyset may follow the checkpoint."""
    require(keyset.sequence >= checkpoint.sequence, "rolled-back")
    if keyset.sequence == checkpoint.sequence:
        require(keyset.checkpoint == checkpoint, "forked")
    if keyset.sequence == checkpoint.sequence + 1:
        require(keyset.previous == checkpoint.digest, "forked")


def _structure(data: bytes) -> SignedKeyset:
    """Checks the structure, section 2."""
    tag, content = cbor.tagged(cbor.decode(data))
    cbor.exactly(tag, SIGN1)
    first, unprotected, payload, signature = cbor.array(content, 4)
    cbor.fields(unprotected, {})
    header, body = cbor.blob(first, 0, MAX_KEYSET), cbor.blob(payload, 0, MAX_KEYSET)
    labels = cbor.fields(cbor.decode(header), _HEADER)
    cbor.exactly(labels[1], ES256)
    cbor.exactly(labels[16], MEDIA_TYPE)
    given = cbor.fields(cbor.decode(body), _KEYSET)
    keyset = SignedKeyset(
        root=cbor.blob(labels[4], 8),
        header=header,
        payload=body,
        signature=cbor.blob(signature, 64),
        name=cbor.name(given[1], 1, 64),
        sequence=cbor.uint(given[2], MAX_SEQUENCE),
        issued_at=cbor.uint(given[3], TIME),
        not_after=cbor.uint(given[4], TIME),
        previous=cbor.blob(given[5], 32) if 5 in given else None,
        entries=_entries(given[6]),
    )
    kids = [entry.kid for entry in keyset.entries]
    rules = (
        keyset.sequence > 0,
        keyset.issued_at < keyset.not_after,
        (keyset.previous is None) == (keyset.sequence == 1),
        all(left < right for left, right in zip(kids, kids[1:], strict=False)),
    )
    if not all(rules):
        raise cbor.Malformed("a keyset that contradicts itself")
    return keyset


def _entries(item: object) -> tuple[Entry, ...]:
    """All entries."""
    if type(item) is not list or not 1 <= len(item) <= MAX_ENTRIES:
        raise cbor.Malformed("no entries or too many")
    return tuple(_entry(entry) for entry in item)


def _entry(item: object) -> Entry:
    """One entry."""
    given = cbor.fields(item, _ENTRY)
    kid, algorithm, point = _key(given[1])
    role = _role(given[6]) if 6 in given else None
    entry = Entry(
        kid,
        algorithm,
        point,
        state=cbor.uint(given[2], 6),
        use_from=_time(given, 3),
        sign_until=_time(given, 4),
        accept_until=_time(given, 5),
        role=role,
    )
    if not all(_rules(entry)):
        raise cbor.Malformed("an entry that contradicts itself")
    return entry


def _time(given: dict[int, object], label: int) -> int | None:
    """Reads an optional time."""
    return cbor.uint(given[label], TIME) if label in given else None


def _rules(entry: Entry) -> list[bool]:
    """Checks the constraints between the members of an entry."""
    start, stop, end = entry.use_from, entry.sign_until, entry.accept_until
    tombstone = entry.algorithm is None
    bare = start is None and stop is None and end is None and entry.role is None
    return [
        tombstone == (entry.state == DESTROYED),
        bare or not tombstone,
        end is not None or entry.state != RETIRING,
        start is None or stop is None or start < stop,
        start is None or end is None or start < end,
        stop is None or end is None or stop <= end,
    ]


def _key(item: object) -> tuple[bytes, int | None, bytes | None]:
    """Kid, algorithm and point, as far as the key has them."""
    if type(item) is not dict or 1 not in item:
        return cbor.blob(cbor.fields(item, cbor.only(2))[2], 8), None, None
    if item[1] == 4:
        shared = cbor.fields(item, cbor.only(1, 2, 3))
        return cbor.blob(shared[2], 8), _one_of(shared[3], HMAC256, A256GCM), None
    given = cbor.fields(item, cbor.only(1, 3, -1, -2, -3))
    cbor.exactly(given[1], 2)
    cbor.exactly(given[-1], 1)
    point = b"\x04" + cbor.blob(given[-2], 32) + cbor.blob(given[-3], 32)
    if not crypto.is_point(point):
        raise cbor.Malformed("not on the curve")
    return kid_of_point(point), _one_of(given[3], ES256, ECDH_ES_HKDF256), point


def _one_of(item: object, *values: int) -> int:
    """One of some integers."""
    if type(item) is not int or item not in values:
        raise cbor.Malformed("another algorithm")
    return item


def _role(item: object) -> Role:
    """The rights of a key: at least one member, and never the default kind."""
    given = cbor.fields(item, _ROLE)
    if not given:
        raise cbor.Malformed("a role of no members")
    if 1 in given:
        cbor.exactly(given[1], 1)
    issuers, types, audiences = (
        _patterns(given[label]) if label in given else Names(()) for label in (2, 3, 4)
    )
    return Role(Kind.RESULT if 1 in given else Kind.TASK, issuers, types, audiences)


def _patterns(item: object) -> Names:
    """Patterns with exactly one space between two."""
    if type(item) is not str or len(item) > 512 or not _PATTERNS.fullmatch(item):
        raise cbor.Malformed("not patterns")
    return Names.parse(item)
