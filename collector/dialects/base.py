"""What every dialect is: a pure reader of the spans and log records of one family of clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from collector.raw import RawLog, RawSpan
from collector.records import Facts

WITHHELD = "__REDACTED__"
"""What some clients send in place of content that they were told to hide."""


class Reading(NamedTuple):
    """What a dialect understood.

    Attributes
    ----------
    operation : canonical operation, or None for a span of no known meaning.
    facts : what was said, in canonical names.
    used : attribute keys that ``facts`` carries; all others are kept with the span as they are.
    used_events : names of span events that ``facts`` carries.
    failure : what went wrong, perhaps empty, where attributes say that the span failed; None where none does.
    """

    operation: str | None
    facts: Facts
    used: set[str]
    used_events: frozenset[str] = frozenset()
    failure: str | None = None


class Dialect(Protocol):
    """One family of clients. Pure: no state, no clock, and its input stays as it was.

    Attributes
    ----------
    name : stored in ``spans.dialect``.
    """

    name: str

    def claims(self, span: RawSpan) -> bool:
        """Tell whether the span speaks this dialect."""
        ...

    def read_span(self, span: RawSpan) -> Reading:
        """Read a claimed span."""
        ...

    def read_log(self, log: RawLog, event_name: str) -> Reading | None:
        """Read a log record, or return None when it is none of this dialect's."""
        ...


class Bag:
    """Attributes that remember which of them were used. Empty and withheld values count as absent."""

    __slots__ = ("_attributes", "used")

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._attributes = attributes
        self.used: set[str] = set()

    def take(self, *names: str) -> Any:
        """Return the first value that is present under these names; all of them count as used."""
        found = None
        attributes = self._attributes
        for name in names:
            if name in attributes:
                value = attributes[name]
                if value is not None:
                    self.used.add(name)
                    if found is None and value not in ("", WITHHELD):
                        found = value
        return found

    def mentions(self, *pieces: str) -> bool:
        """Tell whether any key holds any of these pieces."""
        keys = "\n".join(self._attributes)
        return any(piece in keys for piece in pieces)

    def take_prefix(self, prefix: str, *, numbered: bool = False) -> dict[str, Any]:
        """Return what stands under a prefix, without it; if ``numbered``, only what goes on with a number."""
        size = len(prefix)
        keys = [key for key in self._attributes if key.startswith(prefix)]
        if not keys:
            return {}
        if numbered:
            keys = [key for key in keys if key[size : size + 1].isdecimal()]
        self.used.update(keys)
        values = {key[size:]: self._attributes[key] for key in keys}
        return {key: value for key, value in values.items() if value not in ("", WITHHELD, None)}
