"""Strict CBOR: one byte string for every value of the profile, and no other value."""

import re
from collections.abc import Mapping

import cbor2

TAGS = frozenset({16, 17, 18, 96})
DEPTH = 8
"""Deeper than section 3 nests anything."""

_NAME = re.compile("[!-~]+")


class Malformed(ValueError):
    """Bytes that are not the one encoding of anything in the profile."""


def encode(item: object) -> bytes:
    """Encodes deterministically."""
    return cbor2.dumps(item, canonical=True)


def decode(data: bytes, *, nil: bool = False) -> object:
    """Decodes bytes that are exactly one item in its shortest form."""
    if _skip(data, 0, DEPTH, nil) != len(data):
        raise Malformed("bytes after the item")
    try:
        item = cbor2.loads(data)
    except (ValueError, TypeError, OverflowError, EOFError) as error:
        raise Malformed(str(error)) from error
    if encode(item) != data:
        raise Malformed("another encoding of the same")
    return item


def _skip(data: bytes, at: int, depth: int, nil: bool) -> int:
    """Checks the heads of the item at an offset and gives the offset behind it."""
    major, value, at = _head(data, at, nil)
    if major in (0, 1, 7):
        return at
    if major in (2, 3):
        if value > len(data) - at:
            raise Malformed("a string that goes on beyond the end")
        return at + value
    if depth == 0 or (major == 6 and value not in TAGS):
        raise Malformed("nesting or tag outside the profile")
    for _ in range(1 if major == 6 else value * 2 if major == 5 else value):
        at = _skip(data, at, depth - 1, nil)
    return at


def _head(data: bytes, at: int, nil: bool) -> tuple[int, int, int]:
    """Reads the head at an offset: major type, value, and the offset behind it."""
    if at >= len(data):
        raise Malformed("truncated")
    major, short = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if not (nil and short == 22):
            raise Malformed("a simple value or a float")
        return major, short, at
    if short < 24:
        return major, short, at
    if short > 27:
        raise Malformed("a reserved or indefinite length")
    width = 1 << (short - 24)
    value = int.from_bytes(data[at : at + width], "big")
    if len(data) < at + width or value < (24 if width == 1 else 1 << (4 * width)):
        raise Malformed("a truncated or widened head")
    return major, value, at + width


def uint(item: object, below: int = 1 << 64) -> int:
    """An unsigned integer below a limit."""
    if type(item) is not int or not 0 <= item < below:
        raise Malformed("not an unsigned integer in range")
    return item


def exactly(item: object, value: int | str) -> None:
    """One fixed integer or text."""
    if type(item) is not type(value) or item != value:
        raise Malformed(f"not {value}")


def blob(item: object, least: int, most: int | None = None) -> bytes:
    """A byte string of a length, or of one between two."""
    if type(item) is not bytes or not least <= len(item) <= (
        least if most is None else most
    ):
        raise Malformed("not a byte string of the length")
    return item


def name(item: object, least: int, most: int) -> str:
    """A text of printable ASCII without space."""
    if (
        type(item) is not str
        or not least <= len(item) <= most
        or not _NAME.fullmatch(item)
    ):
        raise Malformed("not a name")
    return item


def array(item: object, length: int) -> list[object]:
    """An array of a length."""
    if type(item) is not list or len(item) != length:
        raise Malformed("not an array of the length")
    return item


def tagged(item: object) -> tuple[int, object]:
    """A tag and what it is on."""
    if not isinstance(item, cbor2.CBORTag):
        raise Malformed("not tagged")
    return item.tag, item.value


def fields(item: object, labels: Mapping[int, bool]) -> dict[int, object]:
    """A map of these labels in this order; those marked true are required."""
    if type(item) is not dict:
        raise Malformed("not a map")
    known = [label for label in labels if label in item]
    if list(item) != known or any(
        needed and label not in item for label, needed in labels.items()
    ):
        raise Malformed("an unknown, missing or misplaced label")
    return item


def only(*labels: int) -> dict[int, bool]:
    """The labels of a map that has all of them."""
    return dict.fromkeys(labels, True)
