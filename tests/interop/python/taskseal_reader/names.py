"""Sets of names: those that a key may seal for, and those that a worker handles."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Names, and beginnings of names that end in `*`, compared byte by byte."""

    patterns: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Names":
        """Reads patterns that are separated by spaces; an empty text matches no name."""
        return cls(tuple(text.split()))

    def __contains__(self, name: str) -> bool:
        """Returns whether a pattern matches the name."""
        return any(
            name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
            for pattern in self.patterns
        )


ANY = Names(("*",))
