"""Claims: statements of an envelope about its task (section 3)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from . import cbor

EXT = -95348
TIME = 1 << 40

SYNCHRONISED, BEACON, NONE = range(3)

Value = TypeVar("Value")

_CLAIMS = {1: True, 2: True, 3: True, 4: False, 5: False, 6: False, 7: True, EXT: False}
_EXT = dict.fromkeys(range(1, 12), False)


@dataclass(frozen=True)
class Claims:
    """The claims of a task or a result."""

    issuer: str
    task_type: str
    audience: str
    expires_at: int | None
    not_before: int | None
    issued_at: int | None
    task_id: bytes
    clock: int = SYNCHRONISED
    sequence: tuple[int, int] | None = None
    schema: int | None = None
    trace: bytes | None = None
    reference: str | None = None
    beacon: bytes | None = None
    time_to_live: int | None = None
    attempts: int | None = None
    time_limit: int | None = None
    retention: int | None = None
    request: bytes | None = None


def parse(item: object, *, result: bool) -> Claims:
    """Reads the claims of a task or of a result."""
    given = cbor.fields(item, _CLAIMS)
    ext = cbor.fields(given[EXT], _EXT) if EXT in given else {}
    if not ext and EXT in given:
        raise cbor.Malformed("an extension map of no members")
    claims = Claims(
        issuer=cbor.name(given[1], 1, 64),
        task_type=cbor.name(given[2], 1, 128),
        audience=cbor.name(given[3], 1, 128),
        expires_at=_optional(given, 4, _time),
        not_before=_optional(given, 5, _time),
        issued_at=_optional(given, 6, _time),
        task_id=cbor.blob(given[7], 16),
        clock=_optional(ext, 1, _clock) or SYNCHRONISED,
        sequence=_optional(ext, 2, _sequence),
        schema=_optional(ext, 3, _four_bytes),
        trace=_optional(ext, 4, lambda item: cbor.blob(item, 25)),
        reference=_optional(ext, 5, lambda item: cbor.name(item, 1, 64)),
        beacon=_optional(ext, 6, lambda item: cbor.blob(item, 8)),
        time_to_live=_optional(ext, 7, _four_bytes),
        attempts=_optional(ext, 8, lambda item: cbor.uint(item, 1 << 16)),
        time_limit=_optional(ext, 9, _four_bytes),
        retention=_optional(ext, 10, _four_bytes),
        request=_optional(ext, 11, lambda item: cbor.blob(item, 32)),
    )
    _check(claims, result)
    return claims


def _optional(
    given: dict[int, object], label: int, read: Callable[[object], Value]
) -> Value | None:
    """Reads an optional value by its label."""
    return read(given[label]) if label in given else None


def _time(item: object) -> int:
    """Seconds since 1970."""
    return cbor.uint(item, TIME)


def _four_bytes(item: object) -> int:
    """A number of at most four bytes."""
    return cbor.uint(item, 1 << 32)


def _clock(item: object) -> int:
    """A clock that is not the default, which is never written."""
    clock = cbor.uint(item, 3)
    if clock == SYNCHRONISED:
        raise cbor.Malformed("a default written out")
    return clock


def _sequence(item: object) -> tuple[int, int]:
    """Boot epoch and counter."""
    epoch, counter = cbor.array(item, 2)
    return cbor.uint(epoch, 1 << 32), cbor.uint(counter)


def _check(claims: Claims, result: bool) -> None:
    """Checks which claims are allowed for the clock and the kind."""
    clockless = claims.clock == NONE
    times = (claims.expires_at, claims.issued_at)
    rules = (
        all(time is None for time in (*times, claims.not_before))
        if clockless
        else None not in times,
        claims.sequence is not None or not clockless,
        claims.time_to_live is None or clockless,
        (claims.beacon is not None) == (claims.clock == BEACON),
        (claims.request is not None) == result,
    )
    if not all(rules):
        raise cbor.Malformed("claims that do not go together")
