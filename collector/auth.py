"""Bearer tokens and their scopes, the same for every door."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Literal

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
    tokens : token to its scopes (``auth.tokens``).
    """

    def __init__(self, tokens: Mapping[str, Sequence[str]]) -> None:
        self._tokens = [
            (token.encode(), frozenset().union(*(_GRANTS.get(scope, frozenset()) for scope in scopes)))
            for token, scopes in tokens.items()
        ]

    def decide(self, authorization: str | None, *scopes: Scope) -> Verdict:
        """Whether a header's token has one of the scopes (any scope when none is named)."""
        if not self._tokens:
            return Verdict.ALLOWED
        kind, _, token = (authorization or "").partition(" ")
        presented = token.strip().encode() if kind.lower() == "bearer" else b""
        granted: frozenset[str] | None = None
        # Every token is compared, and each in constant time, so that the time taken tells nothing.
        for known, allowed in self._tokens:
            if hmac.compare_digest(known, presented):
                granted = allowed
        if granted is None:
            return Verdict.UNKNOWN
        return Verdict.ALLOWED if not scopes or granted.intersection(scopes) else Verdict.FORBIDDEN
