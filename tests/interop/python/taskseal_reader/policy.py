"""Policy: the envelopes that a verifier accepts, and the checks of claims (section 7)."""

from dataclasses import dataclass

from . import claims
from .claims import Claims
from .envelope import Envelope, Kind
from .keys import Record
from .names import ANY, Names
from .refusal import require

MAX_SKEW = 300
SUITES = ("S", "M", "E", "SE", "SP")


@dataclass(frozen=True)
class Window:
    """The seconds that it may be; the ends are given in any order."""

    start: int
    end: int

    @property
    def earliest(self) -> int:
        """The first second that it may be."""
        return min(self.start, self.end)

    @property
    def latest(self) -> int:
        """The last second that it may be."""
        return max(self.start, self.end)


@dataclass(frozen=True)
class Policy:
    """What is accepted from one queue; `request` is there exactly for results."""

    audience: str
    kind: Kind = Kind.TASK
    request: bytes | None = None
    suites: frozenset[str] = frozenset(SUITES)
    types: Names = ANY
    max_body: int = 1 << 20
    max_lifetime: int = 86_400
    skew: int = 60
    beacon: bool = False
    clockless: bool = False
    batch: bool = False

    @property
    def tolerance(self) -> int:
        """The seconds of skew that count."""
        return min(self.skew, MAX_SKEW)

    def admits(self, envelope: Envelope) -> None:
        """Step 2: what can be seen without a key."""
        require(envelope.kind is self.kind, "wrong-kind")
        require(envelope.suite in self.suites, "suite-not-allowed")
        require(envelope.receipt is None or self.batch, "suite-not-allowed")
        require(envelope.body_length <= self.max_body, "too-large")

    def check(self, record: Record, envelope: Envelope, now: Window) -> None:
        """Steps 5 to 7: what an authentic envelope says."""
        about = envelope.claims
        require(record.kind is envelope.kind, "wrong-kind")
        require(self._is_valid(record, now), "key-not-valid")
        require(about.issuer in record.issuers, "issuer-not-allowed")
        require(about.task_type in record.types, "type-not-allowed")
        require(about.audience in record.audiences, "audience-not-allowed")
        require(about.audience == self.audience, "wrong-audience")
        require(about.task_type in self.types, "type-not-handled")
        require(about.request == self.request, "wrong-request")
        self._check_time(about, now)

    def _is_valid(self, record: Record, now: Window) -> bool:
        """Returns whether a key is enabled and valid at every time in the window."""
        started = (
            record.valid_from is None
            or record.valid_from <= now.earliest + self.tolerance
        )
        ended = (
            record.valid_until is not None
            and now.latest - self.tolerance >= record.valid_until
        )
        return record.enabled and started and not ended

    def _check_time(self, about: Claims, now: Window) -> None:
        """Step 7."""
        allowed = {
            claims.SYNCHRONISED: True,
            claims.BEACON: self.beacon,
            claims.NONE: self.clockless,
        }
        require(allowed[about.clock], "clock-not-allowed")
        if about.expires_at is None or about.issued_at is None:
            return
        start = max(about.issued_at, about.not_before or 0)
        skew = self.tolerance
        require(about.issued_at <= now.earliest + skew, "issued-in-future")
        require(about.expires_at - start <= self.max_lifetime, "lifetime-too-long")
        require(now.latest < about.expires_at + skew, "expired")
        require((about.not_before or 0) <= now.earliest + skew, "not-yet-valid")
