"""The store: tables in, tables out, whatever is behind it."""

from undertow.store import answer_reads, reads, trend_reads
from undertow.store.base import Store, data_version
from undertow.store.open import open_store

__all__ = ["Store", "answer_reads", "data_version", "open_store", "reads", "trend_reads"]
