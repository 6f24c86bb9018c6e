"""Opens accepted vectors with other libraries: `python -m other_stacks FOLDER...`."""

import sys
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from taskseal_reader.check import flipped

from . import with_cwt, with_pycose
from .case import Case, cases

Open = Callable[[Case, bytes], bytes]

LIBRARIES: dict[str, Open] = {
    "cwt": with_cwt.open_envelope,
    "pycose": with_pycose.open_envelope,
}


def main(folders: list[Path]) -> int:
    """Checks every library with every accepted vector; 1 if anything is wrong."""
    accepted, malformed = cases(folders, "accepted"), cases(folders, "malformed")
    wrong = 0
    for name, open_envelope in LIBRARIES.items():
        complaints = [
            line for case in accepted for line in complain(open_envelope, case)
        ]
        suites = Counter(case.suite for case in accepted)
        changed = sum(len(damaged(case)) for case in accepted)
        lax = sum(opens(open_envelope, case, case.data) for case in malformed)
        for complaint in complaints:
            print(f"{name}: {complaint}")
        print(
            f"{name} {version(name)}: opened",
            ", ".join(
                f"{suite} {suites[suite]}" for suite in ("S", "M", "E", "SE", "SP")
            ),
            f"to the body; {changed} with one bit changed; {len(complaints)} wrong",
        )
        print(f"{name}: also opened {lax} of {len(malformed)} malformed ones")
        wrong += len(complaints)
    return 1 if wrong or not accepted else 0


def complain(open_envelope: Open, case: Case) -> list[str]:
    """What a library does with a case that it must not do."""
    outcome = attempt(open_envelope, case, case.data)
    wrong = [] if outcome == case.body else [f"{case.vector.name}: {outcome!r}"]
    for data in damaged(case):
        if opens(open_envelope, case, data):
            wrong.append(f"{case.vector.name}: accepted as {data.hex()}")
    return wrong


def damaged(case: Case) -> list[bytes]:
    """The envelope with one bit changed, once for every fourth byte from the last."""
    return flipped(case.data)[::-4]


def opens(open_envelope: Open, case: Case, data: bytes) -> bool:
    """Whether a library finds nothing wrong."""
    return isinstance(attempt(open_envelope, case, data), bytes)


def attempt(open_envelope: Open, case: Case, data: bytes) -> bytes | Exception:
    """The body or, libraries having many kinds of them, the error."""
    try:
        return open_envelope(case, data)
    except Exception as error:
        return error


if __name__ == "__main__":
    sys.exit(main([Path(folder) for folder in sys.argv[1:]]))
