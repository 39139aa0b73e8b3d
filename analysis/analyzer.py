"""The protocol of an analyzer, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Protocol

import pyarrow as pa

from undertow.embedding import Embedder, load_embedder
from undertow.settings import Settings
from undertow.store import Store

EVER = datetime(1, 1, 2)  # noqa: DTZ001 - times of the store are naive UTC; leaves room for a day before it
"""Earlier than any time of the store."""

NEVER = datetime(9999, 12, 30)  # noqa: DTZ001 - as above
"""Later than any time of the store: a ``$since`` that asks for nothing beyond what is new."""

Report = Callable[[int, int, str], None]
"""Called with (done, total, what) while an analyzer works."""


@dataclass
class Context:
    """What one run of one analyzer may use.

    Attributes
    ----------
    store, settings : where to read and write, and how.
    run_id : names this run in the ledger and in every row it writes.
    now : time of the run, naive UTC.
    watermark : ``load_seq`` up to which this analyzer has already worked; 0 at first.
    head : newest ``load_seq`` at the start of the pipeline; the run works up to it.
    since : how much of the past a run analyses again, beside all that is new; ``None`` means nothing.
    """

    store: Store
    settings: Settings
    run_id: str
    now: datetime
    watermark: int
    head: int
    since: timedelta | None = None
    report: Report = lambda done, total, what: None
    shared: Shared = field(default_factory=lambda: Shared(None))

    @property
    def embedder(self) -> Embedder:
        """The configured embedder, loaded once for all analyzers."""
        return self.shared.embedder

    @property
    def scope(self) -> dict[str, object]:
        """Values that bind ``$after``, ``$head`` and ``$since`` of the named reads."""
        since = NEVER if self.since is None else self.now - self.since
        return {"after": self.watermark, "head": self.head, "since": since}


@dataclass
class Shared:
    """What is expensive to load and the same for every analyzer of a process."""

    settings: Settings | None

    @cached_property
    def embedder(self) -> Embedder:
        """The configured embedder.

        Raises
        ------
        ModelMissingError
            The model has not been made; the message names the command.
        """
        if self.settings is None:
            return load_embedder()
        return load_embedder(self.settings.embedding.model, models_dir=self.settings.models_dir)


@dataclass(frozen=True)
class Batch:
    """Rows to commit together.

    Attributes
    ----------
    tables, delete : as in :meth:`undertow.store.base.Store.commit`.
    rows : how many rows of traffic were looked at, for the ledger.
    """

    tables: Mapping[str, pa.Table]
    delete: Mapping[str, pa.Table] | None = None
    rows: int = 0


class Analyzer(Protocol):
    """Reads what is new, calls a method, yields rows.

    A class attribute satisfies each of the properties.
    """

    @property
    def name(self) -> str:
        """Identity in the ledger."""
        ...

    @property
    def version(self) -> str:
        """A new version starts from the beginning."""
        ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Analyzers whose results this one reads; it is skipped when one of them failed."""
        ...

    def run(self, context: Context) -> Iterator[Batch]:
        """Yield batches; each is committed as it comes, the last together with the ledger row.

        Nothing new means no batch. Running twice over the same traffic changes nothing.
        """
        ...
