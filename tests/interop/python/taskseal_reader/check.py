"""Checks vectors: each has its expected outcome, and each change is refused."""

from collections import Counter
from pathlib import Path

from .files import BY, File
from .keyset_vectors import KeysetVector
from .vectors import Vector


def main(folders: list[Path]) -> int:
    """Prints the mismatches in the folders and the number of vectors."""
    return 1 if sum(check(folder) for folder in folders) or not folders else 0


def check(folder: Path) -> int:
    """Returns the number of mismatches in a folder; a folder without accepted vectors is one."""
    kind: type[File] = KeysetVector if folder.resolve().name == "keyset" else Vector
    vectors = kind.read_all(folder)
    accepted = [vector for vector in vectors if vector.is_accepted]
    makers = Counter(vector.get("by") for vector in vectors)
    refused = ", ".join(f"{by} {makers[by]}" for by in BY)
    outcomes = [(vector, vector.outcome()) for vector in vectors]
    mismatches = [
        f"{vector.name}: {outcome} instead of {vector.expected}"
        for vector, outcome in outcomes
        if outcome != vector.expected
    ]
    changed = [
        (vector.name, what, outcome)
        for vector in accepted
        for what, outcome in vector.changed()
    ]
    survivors = [
        f"{name}: {outcome} with {what} changed"
        for name, what, outcome in changed
        if outcome == "accepted"
    ]
    for complaint in mismatches + survivors:
        print(f"{folder.name}: {complaint}")
    print(
        f"{folder.name}: {len(vectors)} vectors, {len(accepted)} to accept, "
        f"{len(vectors) - len(accepted)} to refuse (by {refused}), "
        f"{len(mismatches)} mismatches; "
        f"{len(changed)} changed, {len(survivors)} accepted"
    )
    return len(mismatches) + len(survivors) + (not accepted)
