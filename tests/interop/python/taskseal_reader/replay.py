"""The replay guard: what was seen before, by issuer and task id (section 7, step 8)."""

from dataclasses import dataclass

from .claims import Claims
from .refusal import require


@dataclass
class Entry:
    """What is remembered of an envelope."""

    digest: bytes
    attempts: int = 0
    finished: bool = False


class Guard:
    """A guard that remembers everything for as long as it lives."""

    def __init__(self) -> None:
        """Remembers nothing yet."""
        self._entries: dict[tuple[str, bytes], Entry] = {}

    def admit(self, claims: Claims, digest: bytes) -> None:
        """Counts an attempt, or refuses it."""
        key = (claims.issuer, claims.task_id)
        entry = self._entries.get(key, Entry(digest))
        require(entry.digest == digest, "conflict")
        require(not entry.finished, "replayed")
        require(
            claims.attempts is None or entry.attempts < claims.attempts,
            "attempts-exhausted",
        )
        entry.attempts += 1
        self._entries[key] = entry

    def finish(self, claims: Claims) -> None:
        """Remembers that a task has run to its end."""
        self._entries[claims.issuer, claims.task_id].finished = True
