"""Refusals: why an envelope or a keyset is not accepted."""

CODES = frozenset(
    {
        "unsealed",
        "too-large",
        "malformed",
        "wrong-kind",
        "suite-not-allowed",
        "unknown-key",
        "rejected",
        "key-not-valid",
        "issuer-not-allowed",
        "type-not-allowed",
        "audience-not-allowed",
        "wrong-audience",
        "type-not-handled",
        "clock-not-allowed",
        "issued-in-future",
        "lifetime-too-long",
        "expired",
        "not-yet-valid",
        "wrong-request",
        "replayed",
        "out-of-sequence",
        "conflict",
        "attempts-exhausted",
        "no-decryption-key",
    }
)
"""The codes of section 10 that an envelope can meet outside a queue."""

KEYSET_CODES = frozenset(
    {
        "too-large",
        "malformed",
        "unknown-root",
        "rejected",
        "wrong-name",
        "rolled-back",
        "forked",
        "issued-in-future",
        "expired",
        "root-in-keyset",
        "too-many-keys",
    }
)
"""The codes that a signed keyset can meet."""


class Refused(Exception):
    """What is not accepted, with its code."""

    def __init__(self, code: str) -> None:
        """Takes one of the codes."""
        if code not in CODES | KEYSET_CODES:
            raise ValueError(f"no refusal is called {code}")
        super().__init__(code)
        self.code = code


def require(holds: bool, code: str) -> None:
    """Refuses with the code unless the condition holds."""
    if not holds:
        raise Refused(code)
