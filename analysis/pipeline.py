"""Runs the analyzers in order: a ledger row each, a watermark each, failures kept apart."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa

from analysis.analyzer import Analyzer, Batch, Context, Report, Shared
from analysis.analyzers import ANALYZERS
from undertow.clock import utc_now
from undertow.errors import ConfigError
from undertow.settings import Settings
from undertow.store import Store, data_version, reads

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What became of one analyzer in one pass; a row of ``runs`` when it did anything.

    Attributes
    ----------
    status : ``ok``, ``idle`` (nothing new), ``failed`` or ``skipped`` (something it requires failed).
    """

    run_id: str
    analyzer: str
    status: str
    rows: int = 0
    duration_s: float = 0.0
    error: str = ""


class Pipeline:
    """All analyzers over one store.

    Parameters
    ----------
    store, settings : where to work and how.
    only : names of the analyzers to run; by default all.

    Raises
    ------
    ConfigError
        A name in ``only`` is no analyzer.
    """

    def __init__(self, store: Store, settings: Settings, *, only: Sequence[str] = ()) -> None:
        names = [analyzer.name for analyzer in ANALYZERS]
        unknown = [name for name in only if name not in names]
        if unknown:
            raise ConfigError(f"there is no analyzer {', '.join(unknown)}; the analyzers are {', '.join(names)}")
        self._store = store
        self._settings = settings
        self._shared = Shared(settings)
        self._analyzers = [analyzer for analyzer in ANALYZERS if not only or analyzer.name in only]

    @property
    def shared(self) -> Shared:
        """What the analyzers have loaded."""
        return self._shared

    def run(
        self, *, since: timedelta | None = None, report: Callable[[str], Report] = lambda name: lambda *_: None
    ) -> list[Run]:
        """Run every analyzer once.

        Parameters
        ----------
        since : analyse this much of the past again, beside all that is new.
        report : gives, for the name of an analyzer, the function that it reports progress to.
        """
        head, newest = data_version(self._store), self._newest_traffic()
        broken: set[str] = set()
        runs = []
        for analyzer in self._analyzers:
            missing = broken & set(analyzer.requires)
            if missing:
                run = self._skip(analyzer, f"requires {', '.join(sorted(missing))}")
            else:
                run = self._run_one(analyzer, head, since, report(analyzer.name))
            if run.status in ("failed", "skipped"):
                broken.add(analyzer.name)
            runs.append(run)
        self._settle([run for run in runs if run.status == "idle"], head, newest)
        return runs

    def _run_one(self, analyzer: Analyzer, head: int, since: timedelta | None, report: Report) -> Run:
        run_id, started, clock = uuid.uuid4().hex, utc_now(), time.monotonic()
        watermark = self._watermark(analyzer)
        context = Context(self._store, self._settings, run_id, started, watermark, head, since, report, self._shared)
        rows = 0
        held: Batch | None = None
        try:
            for index, batch in enumerate(analyzer.run(context)):
                if held is not None:
                    self._store.commit(held.tables, delete=held.delete, key=f"{run_id}:{index}")
                rows += batch.rows
                held = batch
            report(rows, rows, "")
            if held is None:
                return Run(run_id, analyzer.name, "idle", duration_s=time.monotonic() - clock)
            ledger = _ledger(run_id, analyzer, "ok", started, head, rows)
            self._store.commit({**held.tables, "runs": ledger}, delete=held.delete, key=run_id)
        except Exception as error:  # one analyzer must not stop the others; the ledger tells
            _log.exception("analyzer %s failed", analyzer.name)
            ledger = _ledger(run_id, analyzer, "failed", started, watermark, rows, f"{type(error).__name__}: {error}")
            self._store.commit({"runs": ledger}, key=f"{run_id}:failed")
            return Run(run_id, analyzer.name, "failed", rows, time.monotonic() - clock, str(error))
        return Run(run_id, analyzer.name, "ok", rows, time.monotonic() - clock)

    def _skip(self, analyzer: Analyzer, why: str) -> Run:
        run_id = uuid.uuid4().hex
        ledger = _ledger(run_id, analyzer, "skipped", utc_now(), self._watermark(analyzer), 0, why)
        self._store.commit({"runs": ledger}, key=run_id)
        return Run(run_id, analyzer.name, "skipped", error=why)

    def _settle(self, idle: Sequence[Run], head: int, newest: int) -> None:
        """Note that analyzers have seen traffic which held nothing for them; one row each, for ever the same.

        The watermark is compared with the newest *traffic*: this row is a commit too, and must not call for another.
        """
        known = {analyzer.name: analyzer for analyzer in self._analyzers}
        behind = [analyzer for run in idle if self._watermark(analyzer := known[run.analyzer]) < newest]
        if behind:
            now = utc_now()
            rows = [_ledger(f"idle:{analyzer.name}", analyzer, "ok", now, head, 0) for analyzer in behind]
            self._store.commit({"runs": pa.concat_tables(rows)}, key=uuid.uuid4().hex)

    def _newest_traffic(self) -> int:
        return int(self._store.query(reads.NEWEST_TRAFFIC).column("newest")[0].as_py())

    def _watermark(self, analyzer: Analyzer) -> int:
        found = self._store.query(reads.WATERMARK, {"analyzer": analyzer.name, "version": analyzer.version})
        return int(found.column("watermark")[0].as_py())


def _ledger(  # noqa: PLR0913, PLR0917 - one argument a column
    run_id: str, analyzer: Analyzer, status: str, started: object, watermark: int, rows: int, error: str | None = None
) -> pa.Table:
    row: Mapping[str, object] = {
        "run_id": run_id,
        "analyzer": analyzer.name,
        "version": analyzer.version,
        "status": status,
        "started_at": started,
        "finished_at": utc_now(),
        "watermark": watermark,
        "rows": rows,
        "error": error,
    }
    return pa.Table.from_pylist([dict(row)])
