"""Files of vectors: `name: value` lines, an empty line, and bytes in hex."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .policy import Window

BY = ("anyone", "broker", "key holder", "other key holder")
"""The actors that could create a refused vector."""

NUMBER, KID, SHARED = r"\d+", "[0-9a-f]{16}", "[0-9a-f]{16} [0-9a-f]{64}"
HASH, SCALAR, POINT = "[0-9a-f]{64}", "[0-9a-f]{64}", "04[0-9a-f]{128}"
BYTES, KIDS = "([0-9a-f]{2})*", f"({KID}( {KID})*)?"
NAME, PATTERNS = "[!-~]+", "([!-~]+( [!-~]+)*)?"

_LINE = re.compile(r"\s*([a-z0-9-]+):(.*)")
_DATA = re.compile("([0-9a-f]{96}\n)*(([0-9a-f]{2}){1,48}\n)?")
_CHANGES = 2048


@dataclass(frozen=True)
class File(ABC):
    """One file: the state of the verifier, the bytes, and the expected outcome."""

    name: str
    lines: tuple[tuple[str, str], ...]
    data: bytes

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a file that is written as the format demands."""
        head, empty_line, data = path.read_bytes().decode("ascii").partition("\n\n")
        matches = [_LINE.fullmatch(line) for line in head.split("\n")]
        lines = tuple((match[1], match[2].strip()) for match in matches if match)
        if len(lines) != len(matches) or not empty_line or not _DATA.fullmatch(data):
            raise ValueError(f"{path} is not a file of this format")
        file = cls(path.stem, lines, bytes.fromhex(data))
        file.check()
        return file

    @classmethod
    def read_all(cls, folder: Path) -> list[Self]:
        """The vectors of a folder, in the order of their names."""
        return [cls.read(path) for path in sorted(folder.glob("*.txt"))]

    def get(self, name: str) -> str | None:
        """The first value with a name."""
        return next((value for line, value in self.lines if line == name), None)

    def need(self, name: str) -> str:
        """Returns a required value."""
        value = self.get(name)
        if value is None:
            raise self.error(f"has no line {name}")
        return value

    def has(self, name: str) -> bool:
        """Returns whether a line is present; its value may be empty."""
        return self.get(name) is not None

    @property
    def expected(self) -> str:
        """Returns the expected outcome: `accepted` or a code."""
        return self.need("expect")

    @property
    def is_accepted(self) -> bool:
        """Returns whether the bytes are to be accepted."""
        return self.expected == "accepted"

    def now(self) -> Window:
        """One second, or the two ends of a window."""
        ends = [int(end) for end in self.need("now").split()]
        return Window(ends[0], ends[-1])

    def error(self, what: str) -> ValueError:
        """Returns an error about the file itself."""
        return ValueError(f"{self.name}: {what}")

    @abstractmethod
    def check(self) -> None:
        """Refuses a file that this reader would test only in part."""

    @abstractmethod
    def outcome(self) -> str:
        """Returns a code, `accepted`, or the difference from the file."""

    @abstractmethod
    def changed(self) -> Iterator[tuple[str, str]]:
        """Yields each change of an accepted vector, and its outcome."""

    def check_line(self, name: str, value: str, known: Mapping[str, str]) -> None:
        """Refuses a line that is unknown here, or a value that its line cannot have."""
        if name not in known:
            raise self.error(f"the line {name} has no meaning here")
        if not re.fullmatch(known[name], value):
            raise self.error(f"the line {name} cannot be {value!r}")

    def check_presence(self, *, always: tuple[str, ...], out: tuple[str, ...]) -> None:
        """Checks the lines that are always present, and those that only accepted vectors have."""
        for name in always:
            self.need(name)
        for name in out:
            if self.has(name) != self.is_accepted:
                raise self.error(f"{name} goes with what is accepted")
        if self.has("by") == self.is_accepted:
            raise self.error("by goes with what is refused")


def head_lines(codes: frozenset[str]) -> dict[str, str]:
    """The lines that every vector can have."""
    return {
        "expect": "|".join(["accepted", *sorted(codes)]),
        "note": ".+",
        "by": "|".join(BY),
        "now": f"{NUMBER}( {NUMBER})?",
    }


def flipped(data: bytes) -> list[tuple[int, bytes]]:
    """One bit changed in each byte or, of what is long, in some 2048 all over it."""
    # An odd step goes through all eight bits.
    return [
        (at, data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        for at in range(0, len(data), len(data) // _CHANGES | 1)
    ]
