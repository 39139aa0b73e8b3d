"""The store: tables in, tables out, whatever is behind it."""

from undertow.store import reads
from undertow.store.base import Store, data_version
from undertow.store.open import open_store

__all__ = ["Store", "data_version", "open_store", "reads"]
