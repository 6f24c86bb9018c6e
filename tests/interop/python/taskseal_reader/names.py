"""Sets of names: what a key may speak for and what a worker handles."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Names, and beginnings of names that end in `*`, compared byte by byte."""

    patterns: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Names":
        """Reads patterns with spaces between them; no pattern is no name."""
        return cls(tuple(text.split()))

    def __contains__(self, name: str) -> bool:
        """Whether a pattern fits the name."""
        return any(
            name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
            for pattern in self.patterns
        )


ANY = Names(("*",))
