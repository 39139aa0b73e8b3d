"""What `bench/ingest.py` measures of Undertow alone: cost, acknowledgements under disturbance, visibility, outage."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
from ingest_run import Figure, Run, Transport, Undertow, percentiles, spans_of
from load import Bodies

from undertow.errors import StoreError
from undertow.store.compact import Compactable

ACK_P99_MS, VISIBLE_S, RSS_MB = 250, 2, 1000
_CHECKPOINT_EVERY_S = 1.0
_POLL_S = 0.02
_COMPACT_EVERY_S = 3.0
_KINDS = {"checkpoint": "checkpoints", "compact": "compactions", "scan": "full scans"}
_SCANS = ("SELECT * FROM interactions", "SELECT * FROM spans", "SELECT * FROM documents")
Interval = tuple[float, float]


def cost(folder: Path, bodies: Bodies, transport: Transport) -> tuple[list[Figure], Run]:
    """Load all bodies into a fresh collector as fast as it answers."""
    numbers = range(len(bodies))
    with Undertow(folder) as collector:
        idle_bytes = collector.resident_bytes
        run = collector.load(bodies, numbers, transport)
        collector.require_exact(bodies, numbers)
    file = (collector.data / "undertow.duckdb").stat().st_size
    p50, p99 = percentiles(run.latencies_ms(), 50, 99)
    wire = f"{bodies.bytes_a_span:.0f} B on the wire"
    part = f"cost, {transport}"
    return [
        Figure(part, "spans a processor second, until queryable", run.rate, "", note=f"{run.spans:,} spans"),
        Figure(part, "spans a second of wall time, acknowledged", run.spans / run.acknowledged_s, ""),
        Figure(part, "spans a second of wall time, queryable", run.spans / run.queryable_s, "", note="sustained rate"),
        Figure(part, "acknowledgement p50 at full load", p50, "ms", note=f"batches of {bodies.spans[0]}"),
        Figure(part, "acknowledgement p99 at full load", p99, "ms", note=f"{len(run.sent)} batches"),
        Figure(part, "peak resident memory", run.peak_bytes / 1e6, "MB", RSS_MB, note=f"{idle_bytes / 1e6:.0f} idle"),
        Figure(part, "store file a span, after the stop", file / run.spans, "B", note=wire),
        Figure(part, "refusals, all sent again", run.refused, ""),
    ], run


def disturbed(folder: Path, bodies: Bodies, paced: Bodies, transport: Transport, sustained: float) -> list[Figure]:
    """Return acknowledgement times while the database checkpoints, is compacted, and is read as a whole.

    Parameters
    ----------
    sustained : spans a second; checkpoints alone, and all three at once, are measured at half of it, with the bodies
        ``paced``.
    """
    full, half = ("full load", 0.0, bodies), ("half the sustained rate", sustained / 2, paced)
    scenes: list[tuple[tuple[str, ...], tuple[str, float, Bodies]]] = [
        *(((kind,), full) for kind in _KINDS),
        (("checkpoint",), half),
        (tuple(_KINDS), half),
    ]
    figures = []
    for kinds, (load, rate, sent) in scenes:
        name = "-".join((*kinds, load.split()[0]))
        run, seen = _beside(folder / name, sent, transport, rate, kinds)
        commits = f"commits up to {_longest(seen.pop('commit')):.1f} s"
        told = [f"{len(seen[kind])} {_KINDS[kind]} up to {_longest(seen[kind]):.1f} s" for kind in kinds]
        part = f"{', '.join(_KINDS[kind] for kind in kinds)}, {transport}, {load}"
        figures += _acknowledged(part, run, "; ".join([*told, commits]), [one for kind in kinds for one in seen[kind]])
    return figures


def _beside(
    folder: Path, bodies: Bodies, transport: Transport, rate: float, kinds: Sequence[str]
) -> tuple[Run, dict[str, list[Interval]]]:
    """Load bodies beside some disturbances; return when each of them ran."""
    events, numbers = folder / "events", range(len(bodies))
    host = ["--events", str(events)]
    if "checkpoint" in kinds:
        host += ["--checkpoint-every", str(_CHECKPOINT_EVERY_S)]
    with Undertow(folder, host=host) as collector, ExitStack() as stack:
        scans = stack.enter_context(_scanning(collector)) if "scan" in kinds else []
        compactions = stack.enter_context(_compacting(collector)) if "compact" in kinds else []
        run = collector.load(bodies, numbers, transport, rate=rate)
        collector.require_exact(bodies, numbers)
    seen = {"scan": list(scans), "compact": list(compactions)}
    return run, seen | {kind: _intervals(events, kind) for kind in ("checkpoint", "commit")}


def _acknowledged(part: str, run: Run, note: str, during: list[Interval]) -> list[Figure]:
    times = run.latencies_ms(during)
    p50, p99 = percentiles(times, 50, 99)
    return [
        Figure(part, "acknowledgement p50 meanwhile", p50, "ms", note=f"{len(times)} batches"),
        Figure(part, "acknowledgement p99 meanwhile", p99, "ms", ACK_P99_MS, note=note),
    ]


def visible(folder: Path, bodies: Bodies, transport: Transport, sustained: float) -> list[Figure]:
    """Return the time from acknowledgement to a queryable row, at half the sustained rate.

    The n-th acknowledged span counts as visible at the first look that finds n spans.
    """
    rate = sustained / 2
    with Undertow(folder) as collector, _watching(collector) as looks:
        run = collector.load(bodies, range(len(bodies)), transport, rate=rate)
        collector.require_exact(bodies, range(len(bodies)))
    total = np.cumsum([one.spans for one in run.sent])
    found = np.searchsorted(np.array([count for _, count in looks]), total)
    seen = np.array([at for at, _ in looks])[found]
    waits = seen - np.array([one.acknowledged for one in run.sent])
    p50, p95, worst = (*percentiles(waits, 50, 95), float(np.max(waits)))
    ack50, ack99 = percentiles(run.latencies_ms(), 50, 99)
    part = f"visible, {transport}, half the sustained rate"
    return [
        Figure(part, "acknowledged to visible p50", p50, "s", note=f"at {rate:,.0f} spans a second"),
        Figure(part, "acknowledged to visible p95", p95, "s", VISIBLE_S),
        Figure(part, "acknowledged to visible, worst", worst, "s", VISIBLE_S, note=f"{len(waits)} batches"),
        Figure(part, "acknowledgement p50", ack50, "ms"),
        Figure(part, "acknowledgement p99", ack99, "ms", ACK_P99_MS),
    ]


def outage(folder: Path, bodies: Bodies, transport: Transport, seconds: float) -> list[Figure]:
    """Send for some time while the database takes no commit, then let it go on; nothing may be missing."""
    blocked, numbers = folder / "blocked", range(len(bodies))
    folder.mkdir(parents=True)
    blocked.touch()
    spans = spans_of(bodies, numbers)
    loaded, waiting, stopped, drain = 0, 0, 0.0, 0.0
    with Undertow(folder, host=("--events", str(folder / "events"), "--blocked", str(blocked))) as collector:
        started = time.monotonic()

        def answer_again() -> None:
            nonlocal loaded, waiting, stopped, drain
            time.sleep(max(0.0, started + seconds - time.monotonic()))
            health = collector.health()
            loaded, waiting, stopped = health["loaded"], health["journal_bytes"], collector.peak_bytes
            drain = time.monotonic()
            blocked.unlink()

        run = collector.load(bodies, numbers, transport, rate=spans / seconds, before_settling=answer_again)
        drain = time.monotonic() - drain
        collector.require_exact(bodies, numbers)
        left = collector.health()["journal_bytes"]
    if loaded:
        raise SystemExit(f"{loaded} spans were loaded while the database was stopped: nothing was measured")
    p50, p99 = percentiles(run.latencies_ms(), 50, 99)
    part = f"database stopped for {seconds:.0f} s, {transport}"
    return [
        Figure(part, "peak resident memory, while stopped", stopped / 1e6, "MB", RSS_MB),
        Figure(part, "peak resident memory, until drained", run.peak_bytes / 1e6, "MB", RSS_MB),
        Figure(part, "journal when the database came back", waiting / 1e6, "MB", note=f"{spans:,} spans, none loaded"),
        Figure(part, "acknowledgement p50", p50, "ms", note=f"at {spans / seconds:,.0f} spans a second"),
        Figure(part, "acknowledgement p99", p99, "ms", ACK_P99_MS, note=f"{run.refused} refusals"),
        Figure(part, "time to drain", drain, "s", note="counts exact afterwards"),
        Figure(part, "journal afterwards", left / 1e6, "MB"),
    ]


@contextmanager
def _scanning(collector: Undertow) -> Iterator[list[Interval]]:
    """Read whole tables through the store service, one after the other, without a pause."""
    intervals: list[Interval] = []
    number = 0

    def scan() -> None:
        nonlocal number
        started = time.monotonic()
        with collector.store() as store:
            store.query(_SCANS[number % len(_SCANS)])
        intervals.append((started, time.monotonic()))
        number += 1

    with _repeating(scan, 0.0):
        yield intervals


@contextmanager
def _compacting(collector: Undertow) -> Iterator[list[Interval]]:
    """Have the store written anew again and again."""
    intervals: list[Interval] = []

    def compact() -> None:
        started = time.monotonic()
        with collector.store() as store:
            if not isinstance(store, Compactable):
                raise SystemExit(f"{store.url} cannot be compacted")
            store.compact(actor="bench")
        intervals.append((started, time.monotonic()))

    with _repeating(compact, _COMPACT_EVERY_S):
        yield intervals


@contextmanager
def _watching(collector: Undertow) -> Iterator[list[tuple[float, int]]]:
    """Look again and again how many spans there are: (monotonic seconds before the look, number)."""
    looks: list[tuple[float, int]] = []
    with collector.store() as store:

        def look() -> None:
            found = int(store.query("SELECT count(*) FROM spans").column(0)[0].as_py())
            looks.append((time.monotonic(), found))

        with _repeating(look, _POLL_S):
            yield looks
            look()


@contextmanager
def _repeating(work: Callable[[], None], pause_s: float) -> Iterator[None]:
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            with suppress(StoreError):  # a reader that is refused for a moment asks again
                work()
            stop.wait(pause_s)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _intervals(events: Path, kind: str) -> list[Interval]:
    lines = events.read_text().splitlines() if events.exists() else []
    return [(start, end) for what, start, end in map(json.loads, lines) if what == kind]


def _longest(intervals: list[Interval]) -> float:
    return max((end - start for start, end in intervals), default=0.0)
