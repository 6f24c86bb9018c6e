"""Opens accepted vectors with other libraries: `python -m other_stacks FOLDER...`."""

import sys
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from taskseal_reader.files import flipped

from . import with_cwt, with_pycose
from .case import BATCHED, Batched, Case, cases

SUITES = ("S", "M", "E", "SE", "SP")


class Library(NamedTuple):
    """The operations of a library; each raises an error of that library."""

    open_envelope: Callable[[Case, bytes], bytes]
    verify_receipt: Callable[[Case, bytes, bytes], None]


LIBRARIES = {
    "cwt": Library(with_cwt.open_envelope, with_cwt.verify_receipt),
    "pycose": Library(with_pycose.open_envelope, with_pycose.verify_receipt),
}


def main(folders: list[Path]) -> int:
    """Checks every library with every folder; 1 if anything is wrong."""
    checks = [(name, folder) for folder in folders for name in LIBRARIES]
    return 1 if sum(check(*what) for what in checks) or not folders else 0


def check(name: str, folder: Path) -> int:
    """How much a library gets wrong; a folder with nothing to accept is wrong."""
    library, accepted = LIBRARIES[name], cases(folder, "accepted")
    complaints = [line for case in accepted for line in complain(library, case)]
    suites = Counter(case.suite for case in accepted)
    receipts = [case for case in accepted if case.data[0] == BATCHED]
    # What is malformed in form B is found by the reader, in computing the root.
    malformed = [case for case in cases(folder, "malformed") if case.data[0] != BATCHED]
    lax = sum(opens(library, case, case.data) for case in malformed)
    for complaint in complaints:
        print(f"{name}: {folder.name}: {complaint}")
    opened = ", ".join(f"{suite} {suites[suite]}" for suite in SUITES if suites[suite])
    changed = sum(len(damaged(case)) for case in accepted)
    forged = sum(len(forgeries(case)) for case in receipts)
    print(
        f"{name} {version(name)}: {folder.name}: opened {opened} to the body; "
        f"{changed} changed; {len(receipts)} receipts, {forged} forged ones; "
        f"{len(complaints)} wrong; also opened {lax} of {len(malformed)} malformed ones"
    )
    return len(complaints) + (not accepted)


def complain(library: Library, case: Case) -> list[str]:
    """What a library does with a case that it must not do."""
    outcome, name = attempt(library, case, case.data), case.vector.name
    wrong = [] if outcome == case.body else [f"{name}: {outcome!r}"]
    for changed, data in damaged(case):
        if opens(library, changed, data):
            wrong.append(f"{name}: accepted as {data.hex()}")
    if case.data[0] == BATCHED:
        batched = Batched.read(case.data)
        if not holds(library, case, batched.receipt, batched.root):
            wrong.append(f"{name}: its receipt is refused")
        for receipt, root in forgeries(case):
            if holds(library, case, receipt, root):
                wrong.append(f"{name}: accepted {receipt.hex()} for {root.hex()}")
    return wrong


def damaged(case: Case) -> list[tuple[Case, bytes]]:
    """One bit changed in every fourth byte from the last, or in the body beside it."""
    envelopes = [(case, data) for _, data in flipped(case.data)[::-4]]
    if case.beside is None:
        return envelopes
    bodies = [body for _, body in flipped(case.beside)] + [case.beside + b"\x00"]
    return envelopes + [(case.with_body(body), case.data) for body in bodies]


def forgeries(case: Case) -> list[tuple[bytes, bytes]]:
    """Receipts that are not those of their roots."""
    return Batched.read(case.data).damaged()


def opens(library: Library, case: Case, data: bytes) -> bool:
    """Returns whether a library finds nothing wrong."""
    return isinstance(attempt(library, case, data), bytes)


def attempt(library: Library, case: Case, data: bytes) -> bytes | Exception:
    """The body or, libraries having many kinds of them, the error."""
    try:
        return library.open_envelope(case, data)
    except Exception as error:
        return error


def holds(library: Library, case: Case, receipt: bytes, root: bytes) -> bool:
    """Returns whether a library finds that a receipt is of this root."""
    try:
        library.verify_receipt(case, receipt, root)
    except Exception:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main([Path(folder) for folder in sys.argv[1:]]))
