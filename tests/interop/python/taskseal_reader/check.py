"""The check of vectors: each comes to what it says, and none bears a changed bit."""

from pathlib import Path

from .reader import Opened
from .vectors import Vector, read_all


def main(folders: list[Path]) -> int:
    """Prints what is wrong in the folders and how many vectors there were."""
    wrong = 0
    for folder in folders:
        vectors = read_all(folder)
        mismatches = [line for vector in vectors for line in mismatch(vector)]
        accepted = [vector for vector in vectors if vector.need("expect") == "accepted"]
        changed = [data for vector in accepted for data in flipped(vector.data)]
        survivors = [line for vector in accepted for line in surviving(vector)]
        print(
            *mismatches,
            *survivors,
            sep="\n",
            end="\n" if mismatches or survivors else "",
        )
        print(
            f"{folder.name}: {len(vectors)} vectors, {len(accepted)} to accept, "
            f"{len(mismatches)} mismatches; "
            f"{len(changed)} with one bit changed, {len(survivors)} accepted"
        )
        wrong += len(mismatches) + len(survivors) + (not accepted)
    return 1 if wrong or not folders else 0


def mismatch(vector: Vector) -> list[str]:
    """What a vector comes to, if that is not what it says."""
    outcome, expected = vector.outcome(), vector.need("expect")
    if isinstance(outcome, Opened):
        outcome = (
            "accepted" if outcome.body.hex() == vector.need("body") else "another body"
        )
    return (
        []
        if outcome == expected
        else [f"{vector.name}: {outcome} instead of {expected}"]
    )


def surviving(vector: Vector) -> list[str]:
    """The changed envelopes that are accepted all the same."""
    return [
        f"{vector.name}: accepted with byte {at} changed"
        for at, data in enumerate(flipped(vector.data))
        if isinstance(vector.outcome(data), Opened)
    ]


def flipped(data: bytes) -> list[bytes]:
    """The bytes with one bit changed, once for each byte."""
    return [
        data[:at] + bytes([byte ^ 1 << at % 8]) + data[at + 1 :]
        for at, byte in enumerate(data)
    ]
