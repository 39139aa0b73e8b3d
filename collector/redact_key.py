"""The key with which redaction tells ids apart, of an installation that has none in its settings."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from collector.journal import sync_folder
from undertow.errors import StoreError

FILE_NAME = "redaction.key"
_BYTES = 32


def installation_key(data_dir: Path) -> bytes:
    """Return the key of a data folder; it is made, for its owner alone, when there is none yet.

    Raises
    ------
    StoreError
        The file cannot be read or written, or holds no key.
    """
    path = data_dir / FILE_NAME
    try:
        if not path.exists():
            _write(path, secrets.token_hex(_BYTES))
        return _read(path)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the key of redaction in {path} cannot be used ({error}); make the folder writable, restore the file from"
            " a backup, or remove it: ids that were redacted before will then not be those that come"
        ) from None


def _read(path: Path) -> bytes:
    key = bytes.fromhex(path.read_text("ascii"))
    if len(key) != _BYTES:
        raise ValueError(f"{len(key)} bytes, expected {_BYTES}")
    return key


def _write(path: Path, key: str) -> None:
    """Write the file as a whole or not at all, and durably: what is journalled next is marked with it."""
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
