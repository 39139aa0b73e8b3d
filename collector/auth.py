"""Bearer tokens and their scopes, the same for every door."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Literal

from collector.bounds import Bounds

Scope = Literal["ingest", "read", "write"]
# Who may write the store may read it: a commit is decided by what was read.
_GRANTS: Mapping[str, frozenset[str]] = {
    "ingest": frozenset({"ingest"}),
    "read": frozenset({"read"}),
    "write": frozenset({"write", "read"}),
}


class Verdict(Enum):
    """What a door does with a request: take it, ask for a token, or refuse the token's scope."""

    ALLOWED = auto()
    UNKNOWN = auto()
    FORBIDDEN = auto()


class Authenticator:
    """Decides by ``Authorization: Bearer …``; without configured tokens everything is allowed.

    Parameters
    ----------
    tokens : token to its scopes and bounds (``auth.tokens``).
    """

    def __init__(self, tokens: Mapping[str, Sequence[str]]) -> None:
        self._tokens = [
            (token.encode(), frozenset().union(*(_GRANTS.get(entry, frozenset()) for entry in entries)))
            for token, entries in tokens.items()
        ]
        self._bounds = {token.encode(): Bounds.of(entries) for token, entries in tokens.items()}

    def decide(self, authorization: str | None, *scopes: Scope) -> Verdict:
        """Whether a header's token has one of the scopes (any scope when none is named)."""
        if not self._tokens:
            return Verdict.ALLOWED
        presented = _presented(authorization)
        granted: frozenset[str] | None = None
        # Every token is compared, and each in constant time, so that the time taken tells nothing.
        for known, allowed in self._tokens:
            if hmac.compare_digest(known, presented):
                granted = allowed
        if granted is None:
            return Verdict.UNKNOWN
        return Verdict.ALLOWED if not scopes or granted.intersection(scopes) else Verdict.FORBIDDEN

    def bounds(self, authorization: str | None) -> Bounds | None:
        """What the token of an allowed request is bound to; ``None`` for nothing."""
        return self._bounds.get(_presented(authorization))


def _presented(authorization: str | None) -> bytes:
    kind, _, token = (authorization or "").partition(" ")
    return token.strip().encode() if kind.lower() == "bearer" else b""
