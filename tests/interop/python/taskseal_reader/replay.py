"""The replay guard: known tasks and sequences (section 7, step 8)."""

from dataclasses import dataclass, field

from .claims import NONE
from .envelope import Envelope
from .refusal import require

REMEMBERED = 64
"""How many counters are kept of an issuer without a clock."""


@dataclass
class Entry:
    """The state of one envelope."""

    digest: bytes
    dead_from: int | None = None
    attempts: int = 0
    finished: bool = False


@dataclass
class Recent:
    """The newest sequence of an issuer and kid, and the counters seen before it."""

    epoch: int = -1
    newest: int = -1
    seen: set[int] = field(default_factory=set)

    def check(self, epoch: int, counter: int) -> None:
        """Refuses a sequence that is too old to be known, or was seen."""
        behind = self.newest - counter if epoch == self.epoch else 0
        require(epoch >= self.epoch and behind < REMEMBERED, "out-of-sequence")
        require(epoch > self.epoch or counter not in self.seen, "replayed")

    def note(self, epoch: int, counter: int) -> None:
        """Remembers a sequence, and forgets those of the boot before it."""
        if epoch > self.epoch:
            self.epoch, self.newest, self.seen = epoch, counter, set()
        self.newest = max(self.newest, counter)
        self.seen = {
            old for old in self.seen | {counter} if self.newest - old < REMEMBERED
        }


class Guard:
    """A guard that forgets no task.

    One that goes by sequences may have forgotten a task of an issuer without a clock.
    """

    def __init__(self, *, by_sequence: bool = False) -> None:
        """Creates a guard without state."""
        self._entries: dict[tuple[str, bytes], Entry] = {}
        self._recent: dict[tuple[str, bytes], Recent] = {}
        self._by_sequence = by_sequence

    def admit(self, envelope: Envelope, digest: bytes, now: int) -> None:
        """Counts an attempt made at this second, or refuses it."""
        claims = envelope.claims
        key = (claims.issuer, claims.task_id)
        recent = self._recent.get((claims.issuer, envelope.kid), Recent())
        entry = self._entries.get(key)
        if entry is None:
            entry = Entry(digest)
            if claims.time_to_live is not None:
                entry.dead_from = now + claims.time_to_live
            if self._goes_by_sequence(envelope) and claims.sequence is not None:
                recent.check(*claims.sequence)
        require(entry.digest == digest, "conflict")
        require(not entry.finished, "replayed")
        require(entry.dead_from is None or now < entry.dead_from, "expired")
        require(
            claims.attempts is None or entry.attempts < claims.attempts,
            "attempts-exhausted",
        )
        entry.attempts += 1
        self._entries[key] = entry
        if self._goes_by_sequence(envelope) and claims.sequence is not None:
            self.note(envelope, *claims.sequence)

    def note(self, envelope: Envelope, epoch: int, counter: int) -> None:
        """Remembers a sequence of the envelope's issuer and kid, but no task."""
        key = (envelope.claims.issuer, envelope.kid)
        self._recent.setdefault(key, Recent()).note(epoch, counter)

    def finish(self, envelope: Envelope) -> None:
        """Remembers that a task has run to its end."""
        claims = envelope.claims
        self._entries[claims.issuer, claims.task_id].finished = True

    def _goes_by_sequence(self, envelope: Envelope) -> bool:
        """Returns whether the task may have been forgotten."""
        return self._by_sequence and envelope.claims.clock == NONE
