"""Test vectors: files of `name: value` lines, an empty line, and an envelope in hex."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from . import crypto, envelope
from .envelope import A256GCM, ES256, HMAC256, Kind
from .keys import DecryptionKeys, Keyset, Record, kid_of_point
from .names import Names
from .policy import Policy, Window
from .reader import Opened, Reader
from .refusal import Refused
from .replay import Guard

ALGORITHMS = {"es256": ES256, "hmac256": HMAC256, "a256gcm": A256GCM}
YEAR = 366 * 86_400


@dataclass(frozen=True)
class Vector:
    """One file."""

    name: str
    lines: list[tuple[str, str]]
    data: bytes

    @classmethod
    def read(cls, path: Path) -> "Vector":
        """Reads a file."""
        head, _, data = path.read_text(encoding="ascii").partition("\n\n")
        lines = [line.split(":", 1) for line in head.splitlines()]
        return cls(
            path.stem,
            [(name.strip(), value.strip()) for name, value in lines],
            bytes.fromhex(data),
        )

    def get(self, name: str) -> str | None:
        """The first value with a name."""
        return next((value for line, value in self.lines if line == name), None)

    def need(self, name: str) -> str:
        """A value that has to be there."""
        value = self.get(name)
        if value is None:
            raise ValueError(f"{self.name} has no line {name}")
        return value

    def outcome(self, data: bytes | None = None) -> str | Opened:
        """What these bytes, or the file's, come to: a code, or what is opened."""
        data = self.data if data is None else data
        reader = Reader(
            Keyset(self.records()), self.policy(), self.guard(), self.decryption_keys()
        )
        try:
            return reader.open(data, self.now(), self.beside())
        except Refused as refused:
            return refused.code

    def beside(self) -> bytes | None:
        """The body of the detached form."""
        body = self.get("detached")
        return None if body is None else bytes.fromhex(body)

    def now(self) -> Window:
        """One second, or the two ends of a window."""
        ends = [int(end) for end in self.need("now").split()]
        return Window(ends[0], ends[-1])

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
            beacon=self.get("beacon") is not None,
            clockless=self.get("clockless") is not None,
            batch=self.get("batches") is not None,
        )

    def guard(self) -> Guard:
        """A guard that has seen what the vector says."""
        guard, before = Guard(), self.get("before")
        if before is not None:
            claims = envelope.parse(self.data).claims
            guard.admit(
                claims, bytes(32) if before == "other" else sha256(self.data).digest()
            )
            if before == "finished":
                guard.finish(claims)
        return guard

    def decryption_keys(self) -> DecryptionKeys:
        """The keys that open bodies."""
        keys = DecryptionKeys()
        for name, value in self.lines:
            if name == "shared":
                kid, key = (bytes.fromhex(part) for part in value.split())
                keys.shared[kid] = key
            elif name == "agree":
                scalar = int(value, 16)
                keys.agreement[kid_of_point(crypto.public_point(scalar))] = scalar
        return keys


def read_all(folder: Path) -> list[Vector]:
    """The vectors of a folder, in the order of their names."""
    return [Vector.read(path) for path in sorted(folder.glob("*.txt"))]


def _key(name: str, value: str) -> dict[str, object]:
    """What a line with a key says about its record."""
    if name == "es256":
        point = bytes.fromhex(value)
        return {"kid": kid_of_point(point), "algorithm": ES256, "key": point}
    kid, key = (bytes.fromhex(part) for part in value.split())
    return {"kid": kid, "algorithm": ALGORITHMS[name], "key": key}


def _right(name: str, value: str) -> dict[str, object]:
    """What a line below a key says about its record."""
    if name in ("issuers", "types", "audiences"):
        return {name: Names.parse(value)}
    if name in ("valid-from", "valid-until"):
        return {name.replace("-", "_"): int(value)}
    if name == "record-kind":
        return {"kind": Kind.RESULT if value == "result" else Kind.TASK}
    return {"enabled": False} if name == "disabled" else {}
