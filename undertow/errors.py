"""Every error that Undertow raises on purpose.

::

    UndertowError                 exit code 1
    ├── ConfigError               a setting is unknown, malformed or unsafe (exit code 2)
    ├── StoreError                the store refused or failed
    │   ├── StoreLockedError      another process owns the file
    │   ├── StoreMissingError     there is no store yet, and none may be made
    │   ├── StoreUnavailableError the store service does not answer
    │   ├── QueryError            the SQL is wrong, or not one SELECT
    │   │   └── QueryStoppedError the query ran out of time or memory, or the store was closed or replaced
    │   └── MigrationError        the store was written by a newer version, or a migration failed
    ├── IntakeError               the collector refuses a request
    │   ├── MalformedError        the bytes are not what they say they are
    │   ├── TooLargeError         the body exceeds the limit after decompression
    │   ├── OutOfBoundsError      the token is bound to another service or environment
    │   ├── OverloadedError       the backlog is full; try again later
    │   └── NotDurableError       the journal cannot be written (a full disk); nothing was acknowledged
    ├── PortInUseError            another process listens there
    └── ModelMissingError         a model file is absent; the message names the command that makes it

A message says what happened, what was got, what was expected and what to do.
*Not enough data* is a result (``insufficient``), never an exception.
"""

from __future__ import annotations


class UndertowError(Exception):
    """Base of every error that Undertow raises on purpose."""

    exit_code = 1


class ConfigError(UndertowError):
    """A setting is unknown, malformed or unsafe."""

    exit_code = 2


class StoreError(UndertowError):
    """The store refused or failed."""


class StoreLockedError(StoreError):
    """Another process owns the DuckDB file."""


class StoreMissingError(StoreError):
    """There is no store yet, and who asked may not make one."""


class StoreUnavailableError(StoreError):
    """The store service does not answer."""


class QueryError(StoreError):
    """The SQL is wrong, or is not a single SELECT."""


class QueryStoppedError(QueryError):
    """The query ran out of time or memory, or the store was closed or replaced: it says nothing of the data."""


class MigrationError(StoreError):
    """The store was written by a newer version, or a migration failed."""


class IntakeError(UndertowError):
    """The collector refuses a request; nothing of it was acknowledged."""


class MalformedError(IntakeError):
    """The bytes are not what the request says they are."""


class TooLargeError(IntakeError):
    """The body exceeds the limit after decompression."""


class OutOfBoundsError(IntakeError):
    """The token is bound to services or environments, and this is not of theirs."""


class OverloadedError(IntakeError):
    """The backlog is full; the sender should try again after ``retry_after_s``."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotDurableError(OverloadedError):
    """The journal cannot be written; nothing was acknowledged."""


class PortInUseError(UndertowError):
    """Another process listens on a port that Undertow was told to use."""


class ModelMissingError(UndertowError):
    """A model file is absent; the message names the command that makes it."""
