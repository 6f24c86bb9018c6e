"""The worked example of a page: `python -m taskseal_reader.keyset_page PAGE`."""

import re
import sys
from hashlib import sha256
from pathlib import Path

from . import crypto
from .files import flipped
from .keys import kid_of_point
from .keyset import Checkpoint, Pinned
from .policy import Window
from .refusal import Refused

ISSUED, RENEWED, ACCEPTED_UNTIL, ENDED = 1763751000, 1763837400, 1764528600, 1766429400
Situation = tuple[str, Pinned, bytes, Checkpoint | None, int]


def main(page: str) -> int:
    """Reads both keysets of the page and says what is not as it should be."""
    first, second = (listing(part) for part in page.split("### Sequence number ")[1:])
    cases = situations(first, second)
    wrong = [
        f"case {number}: {outcome(*case[1:])} instead of {case[0]}"
        for number, case in enumerate(cases)
        if outcome(*case[1:]) != case[0]
    ]
    wrong += entries(second)
    changed = [data for keyset in (first, second) for _, data in flipped(keyset)]
    pinned = Pinned("prod", (root(),))
    outcomes = [outcome(pinned, data, None, RENEWED) for data in changed]
    survivors = [code for code in outcomes if code == "accepted"]
    for complaint in wrong:
        print(f"keyset: {complaint}")
    print(
        f"keyset: {len(cases)} situations, {len(wrong)} mismatches; "
        f"{len(changed)} with one bit changed, {len(survivors)} accepted"
    )
    return 1 if wrong or survivors else 0


def situations(first: bytes, second: bytes) -> list[Situation]:
    """What is expected, pinned, given, remembered, and the time."""
    pinned = Pinned("prod", (root(),))
    one = pinned.verify(first, None, Window(ISSUED, ISSUED)).checkpoint
    two = pinned.verify(second, None, Window(RENEWED, RENEWED)).checkpoint
    fork, former, later = (
        Checkpoint(1, bytes(32)),
        Checkpoint(2, bytes(32)),
        Checkpoint(3, bytes(32)),
    )
    producer = crypto.public_point(scalar("taskseal example producer signing key"))
    return [
        ("accepted", pinned, first, one, ISSUED - 300),
        ("issued-in-future", pinned, first, one, ISSUED - 301),
        ("accepted", pinned, second, one, RENEWED),
        ("accepted", pinned, second, two, ENDED - 1),
        ("expired", pinned, second, two, ENDED),
        ("rolled-back", pinned, first, two, RENEWED),
        ("rolled-back", pinned, second, later, RENEWED),
        ("forked", pinned, first, fork, RENEWED),
        ("forked", pinned, second, fork, RENEWED),
        ("forked", pinned, second, former, RENEWED),
        ("wrong-name", Pinned("production", (root(),)), second, one, RENEWED),
        ("root-in-keyset", Pinned("prod", (root(), producer)), second, one, RENEWED),
        ("too-many-keys", Pinned("prod", (root(),), 4), second, one, RENEWED),
        ("unknown-root", Pinned("prod", (producer,)), second, one, RENEWED),
        ("rejected", pinned, second[:-1] + b"\x75", one, RENEWED),
        ("malformed", pinned, second + b"\x00", one, RENEWED),
        ("malformed", pinned, second[:-1], one, RENEWED),
        ("too-large", pinned, second.ljust(65_537, b"\x00"), one, RENEWED),
    ]


def entries(second: bytes) -> list[str]:
    """What the entries of the second keyset are not, of what the page says."""
    now = Window(RENEWED, RENEWED)
    keyset = Pinned("prod", (root(),)).verify(second, None, now)
    secrets = {entry.kid: bytes(32) for entry in keyset.entries}
    following = "taskseal example producer signing key 2"
    new = kid_of_point(crypto.public_point(scalar(following)))
    old = kid_of_point(crypto.public_point(scalar(following.removesuffix(" 2"))))
    records = {entry.kid: entry.record(secrets) for entry in keyset.entries}
    verifying = {kid: record for kid, record in records.items() if record is not None}
    worker = kid_of_point(crypto.public_point(scalar("taskseal example worker key")))
    holds = {
        "two keys verify": set(verifying) == {new, old},
        "times": [verifying[kid].valid_until for kid in (new, old)]
        == [None, ACCEPTED_UNTIL],
        "rights": all("email:deliver" in record.types for record in verifying.values()),
        "keys that seal": {entry.kid for entry in keyset.entries if entry.seals(now)}
        == {new, worker},
    }
    return [name for name, right in holds.items() if not right]


def outcome(
    pinned: Pinned, data: bytes, checkpoint: Checkpoint | None, now: int
) -> str:
    """The code of a refusal, or that it is accepted."""
    try:
        pinned.verify(data, checkpoint, Window(now, now))
    except Refused as refused:
        return refused.code
    return "accepted"


def listing(section: str) -> bytes:
    """The bytes of the first listing: hex alone, or between offset and meaning."""
    lines = section.split("```")[1].removeprefix("text\n").splitlines()
    shown = [re.fullmatch(r"(?: *\d+ {2,})?([0-9a-f]+)(?: {2,}.*)?", x) for x in lines]
    return bytes.fromhex("".join(match[1] for match in shown if match))


def root() -> bytes:
    """The public point of the root."""
    return crypto.public_point(scalar("taskseal example keyset root"))


def scalar(label: str) -> int:
    """The private key of a label."""
    digest = int.from_bytes(sha256(label.encode()).digest(), "big")
    return digest % (crypto.ORDER - 1) + 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).read_text(encoding="utf-8")))
