"""Phoenix under the load of `bench/ingest.py`: processor time until queryable, and what a kill -9 costs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import venv
from contextlib import closing
from pathlib import Path

from footprint import free_port
from ingest_run import Figure, Run, Server, Transport, Undertow, clean_environment, sender, spans_of
from load import Bodies

GOAL = 20
KILLS = 3
_PACKAGE = "arize-phoenix"
_WARM_UP = 4
_POLL_S = 0.2
_QUIET_S = 5.0


class Phoenix(Server):
    """Phoenix on free ports with its default store, an SQLite file in the folder."""

    def __init__(self, folder: Path, python: Path) -> None:
        http, grpc = free_port(), free_port()
        self._file = folder / "phoenix.db"
        env = {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(http),
            "PHOENIX_GRPC_PORT": str(grpc),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }
        super().__init__(
            folder,
            [str(python), "-m", "phoenix.server.main", "serve"],
            clean_environment() | env,
            {"grpc": f"grpc://127.0.0.1:{grpc}", "http": f"http://127.0.0.1:{http}"},
            f"http://127.0.0.1:{http}/readyz",
        )

    def count(self) -> int:
        """See the base; read from the file, which costs the server nothing."""
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=60)) as connection:
            return int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])

    def settle(self, spans: int) -> None:
        """See the base; gives up when nothing has come for five minutes."""
        self._wait(spans, quiet_s=300)

    def at_rest(self) -> int:
        """Return how many spans there are once no more come."""
        self._wait(sys.maxsize, quiet_s=_QUIET_S)
        return self.count()

    def _wait(self, spans: int, quiet_s: float) -> None:
        found, since = self.count(), time.monotonic()
        while found < spans and time.monotonic() - since < quiet_s:
            time.sleep(_POLL_S)
            now = self.count()
            if now != found:
                found, since = now, time.monotonic()


def installed(peers: Path | None) -> Path | None:
    """Return the Python of an environment that holds the peer, made when absent; nothing when that cannot be."""
    if peers is None:
        print("the peer is left out: give a folder for its environment with --peers-dir", file=sys.stderr)
        return None
    python = peers.absolute() / "phoenix" / "bin" / "python"
    if not python.exists():
        venv.create(python.parent.parent, with_pip=True)
    if _version(python) is None:
        subprocess.run([python, "-m", "pip", "install", "--quiet", _PACKAGE], check=False)
    if _version(python) is None:
        print(f"the peer is left out: {_PACKAGE} could not be installed", file=sys.stderr)
        return None
    return python


def _version(python: Path) -> str | None:
    asked = f"from importlib.metadata import version; print(version('{_PACKAGE}'))"
    answer = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def ratio(folder: Path, python: Path, bodies: Bodies, transport: Transport, seconds: float, ours: Run) -> list[Figure]:
    """Load as much into the peer as it takes in this wall time, after a warm-up that is not counted."""
    with Phoenix(folder, python) as phoenix:
        warm = phoenix.load(bodies, range(min(_WARM_UP, len(bodies) // 2)), transport)
        wanted = warm.spans / warm.queryable_s * seconds
        last = min(len(bodies), len(warm.sent) + max(1, round(wanted / bodies.spans[0])))
        numbers = range(len(warm.sent), last)
        run = phoenix.load(bodies, numbers, transport)
        missing = spans_of(bodies, range(last)) - phoenix.count()
    part = f"{_PACKAGE} {_version(python)}, {transport}"
    note = f"{run.spans:,} spans in {run.queryable_s:.0f} s"
    return [
        Figure(part, "spans a processor second, until queryable", run.rate, "", note=note),
        Figure(part, "peak resident memory", run.peak_bytes / 1e6, "MB"),
        Figure(part, "acknowledged and never queryable", missing, "spans"),
        Figure(part, "Undertow's spans a processor second", ours.rate, "", note=f"{ours.spans:,} spans"),
        Figure(part, "Undertow over the peer", ours.rate / run.rate, "×", GOAL, at_least=True),
    ]


def losses(folder: Path, python: Path | None, bodies: Bodies, transport: Transport) -> list[Figure]:
    """Kill each server right after the last acknowledgement, start it again, and count what is there."""
    figures = [_loss(Undertow(folder / "undertow"), bodies, transport, "Undertow", 0.0)]
    if python is not None:
        name = f"{_PACKAGE} {_version(python)}"
        figures.append(_loss(Phoenix(folder / "phoenix", python), bodies, transport, name, None))
    return figures


def _loss(server: Server, bodies: Bodies, transport: Transport, name: str, bar: float | None) -> Figure:
    size = len(bodies) // KILLS
    rounds = [range(first, first + min(size, _WARM_UP)) for first in range(0, KILLS * size, size)]
    try:
        shares = [_lost(server, bodies, numbers, transport) for numbers in rounds]
    finally:
        server.stop()
    told = ", ".join(f"{share:.1f} %" for share in shares)
    note = f"{told} of {spans_of(bodies, rounds[0]):,} spans each"
    return Figure(f"kill -9, {transport}", f"{name}: acknowledged and lost", sum(shares) / KILLS, "%", bar, note=note)


def _lost(server: Server, bodies: Bodies, numbers: range, transport: Transport) -> float:
    """Return the share of acknowledged spans, in percent, that a kill -9 costs."""
    before = server.start().at_rest()
    with sender(bodies, numbers, server.urls[transport]) as read:
        acknowledged = sum(one.spans for one in read(server.kill))
    found = server.start().at_rest() - before
    server.stop()
    return 100 * (1 - found / acknowledged)
