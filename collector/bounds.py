"""What a token that is bound to services or environments may send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collector.records import Normalised, Record
from undertow.errors import OutOfBoundsError

_UNNAMED = "unknown_service"
"""What SDKs send where nobody named the service, sometimes with the name of the program behind it."""


@dataclass(frozen=True)
class Bounds:
    """Services and environments of a token; an empty set leaves that side free."""

    services: frozenset[str] = frozenset()
    environments: frozenset[str] = frozenset()

    @classmethod
    def of(cls, entries: Sequence[str]) -> Bounds | None:
        """Read the entries of a token (``auth.tokens``); ``None`` for one that is not bound."""
        found: dict[str, set[str]] = {"service": set(), "environment": set()}
        for kind, sign, name in (entry.partition("=") for entry in entries):
            if sign:
                found[kind].add(name)
        bounds = cls(frozenset(found["service"]), frozenset(found["environment"]))
        return bounds if bounds != cls() else None

    def keep(self, normalised: Normalised) -> Normalised:
        """Refuse what belongs to others; what names no service or environment gets the token's only one."""
        kept = [record for record in normalised.records if self._admits(record)]
        refused = len(normalised.records) - len(kept)
        if not refused:
            return normalised
        message = f"{refused} items are not of the token's {self}"
        told = "; ".join(part for part in (normalised.error_message, message) if part)
        return replace(normalised, records=kept, rejected=normalised.rejected + refused, error_message=told)

    def require_target(self, target: Mapping[str, Any]) -> None:
        """Refuse feedback on anything but a trace, whose id nobody guesses.

        Raises
        ------
        OutOfBoundsError
            The target is named by something that services may share.
        """
        if not target.get("trace_id") or target.get("session_id") or target.get("response_id"):
            raise OutOfBoundsError(f"with a token that is bound to {self}, feedback names its target by trace_id alone")

    def require_no_change(self) -> None:
        """Refuse changes: they are marked on the charts of every service.

        Raises
        ------
        OutOfBoundsError
            Always.
        """
        raise OutOfBoundsError(f"changes are marked for every service; the token is bound to {self}")

    def _admits(self, record: Record) -> bool:
        service = record.get("service_name") or _UNNAMED
        if len(self.services) == 1 and (service == _UNNAMED or service.startswith(f"{_UNNAMED}:")):
            (service,) = self.services
            record["service_name"] = service
        environment = record.get("environment")
        if len(self.environments) == 1 and environment is None:
            (environment,) = self.environments
            record["environment"] = environment
        fits = not self.services or service in self.services
        return fits and (not self.environments or environment in self.environments)

    def __str__(self) -> str:
        sides = (("service", self.services), ("environment", self.environments))
        return " and ".join(f"{kind} {' or '.join(sorted(names))}" for kind, names in sides if names)
