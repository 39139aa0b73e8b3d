"""What ingest costs: Undertow beside Phoenix, beside its own floor, and beside what it promises, in one run.

    python bench/ingest.py [--spans 20000] [--parts cost,disturbed,visible,outage,floor,peer,kill]
                           [--transports grpc,http] [--peers-dir FOLDER] [--peer-seconds 30] [--outage-seconds 15]
                           [--work FOLDER] [--json | --markdown]

The full run of the documentation: ``--spans 200000 --outage-seconds 60 --peer-seconds 60 --peers-dir FOLDER``. The load
is made by the script (`bench/load.py`): CHAIN, RETRIEVER, LLM traces of about 3 kB a span in batches of 512 over four
connections. Rates are spans a second of processor time (user and system) of the server and its children, which other
work on the machine hardly changes; wall times and latencies it does change. FOLDER of ``--peers-dir`` takes a virtual
environment with `arize-phoenix` (made once); without it the peer is left out. The loads of the first four
parts end with exact counts, or the benchmark ends with an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import ingest_floor
import ingest_parts
import ingest_peer
from ingest_run import Figure, Run, Transport
from ingest_tables import amount, machine, markdown, show
from load import Bodies, write_bodies

DISTURBED_SPANS = 60_000
FLOOR_SPANS = 30_000
PACED_S = 30


@dataclass
class Bench:
    """One invocation: its options, the bodies made so far, and what the first loads showed."""

    work: Path
    spans: int
    transports: list[Transport]
    peers_dir: Path | None
    peer_seconds: float
    outage_seconds: float
    made: dict[int, Bodies] = field(default_factory=dict)
    runs: dict[Transport, Run] = field(default_factory=dict)

    def bodies(self, spans: int) -> Bodies:
        """Return bodies of about this many spans, never more than asked for on the command line."""
        spans = min(spans, self.spans)
        if spans not in self.made:
            path = self.work / f"bodies-{spans}"
            write_bodies(path, spans)
            self.made[spans] = Bodies(path)
        return self.made[spans]

    def sustained(self, transport: Transport) -> float:
        """Return the spans a second of wall time that become queryable at full load."""
        if transport not in self.runs:
            bodies = self.bodies(FLOOR_SPANS)
            self.runs[transport] = ingest_parts.cost(self.work / f"sustained-{transport}", bodies, transport)[1]
        run = self.runs[transport]
        return run.spans / run.queryable_s

    def paced(self, transport: Transport) -> Bodies:
        """Return bodies that last for a while at half the sustained rate."""
        return self.bodies(int(self.sustained(transport) / 2 * PACED_S))


def cost(bench: Bench) -> Iterator[Figure]:
    for transport in bench.transports:
        figures, run = ingest_parts.cost(bench.work / f"cost-{transport}", bench.bodies(bench.spans), transport)
        bench.runs[transport] = run
        yield from figures


def disturbed(bench: Bench) -> Iterator[Figure]:
    for transport in bench.transports:
        folder, bodies = bench.work / f"disturbed-{transport}", bench.bodies(DISTURBED_SPANS)
        yield from ingest_parts.disturbed(folder, bodies, bench.paced(transport), transport, bench.sustained(transport))


def visible(bench: Bench) -> Iterator[Figure]:
    for transport in bench.transports:
        folder = bench.work / f"visible-{transport}"
        yield from ingest_parts.visible(folder, bench.paced(transport), transport, bench.sustained(transport))


def outage(bench: Bench) -> Iterator[Figure]:
    for transport in bench.transports:
        folder, bodies = bench.work / f"outage-{transport}", bench.bodies(bench.spans)
        yield from ingest_parts.outage(folder, bodies, transport, bench.outage_seconds)


def floor(bench: Bench) -> Iterator[Figure]:
    for transport in bench.transports:
        yield from ingest_floor.shares(bench.work / f"floor-{transport}", bench.bodies(FLOOR_SPANS), transport)


def peer(bench: Bench) -> Iterator[Figure]:
    for transport in bench.transports:
        python = ingest_peer.installed(bench.peers_dir)
        if python is None:
            return
        bench.sustained(transport)
        yield from ingest_peer.ratio(
            bench.work / f"peer-{transport}",
            python,
            bench.bodies(bench.spans),
            transport,
            bench.peer_seconds,
            bench.runs[transport],
        )


def kill(bench: Bench) -> Iterator[Figure]:
    python = ingest_peer.installed(bench.peers_dir)
    for transport in bench.transports:
        yield from ingest_peer.losses(bench.work / f"kill-{transport}", python, bench.bodies(FLOOR_SPANS), transport)


PARTS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    part.__name__: part for part in (cost, disturbed, visible, outage, floor, peer, kill)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--transports", default="grpc,http", help="grpc, http")
    parser.add_argument("--peers-dir", type=Path, help="folder for the peer's virtual environment")
    parser.add_argument("--peer-seconds", type=float, default=30, help="wall time of one load of the peer")
    parser.add_argument("--outage-seconds", type=float, default=15)
    parser.add_argument("--work", type=Path, help="folder for stores and bodies; a temporary one by default")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--markdown", action="store_true", help="the tables of bench/README.md instead")
    options = parser.parse_args()
    unknown = sorted({*options.parts.split(",")} - {*PARTS} | {*options.transports.split(",")} - {"grpc", "http"})
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        bench = Bench(
            Path(folder),
            options.spans,
            options.transports.split(","),
            options.peers_dir,
            options.peer_seconds,
            options.outage_seconds,
        )
        figures: list[Figure] = []
        for name in options.parts.split(","):
            for figure in PARTS[name](bench):
                figures.append(figure)
                told = f"{figure.part}: {figure.name}: {amount(figure)} {figure.note}"
                print(f"{datetime.now(UTC):%H:%M:%S} {told}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"machine": machine(), "figures": [asdict(f) | {"missed": f.missed} for f in figures]}))
    elif options.markdown:
        print(markdown(figures))
    else:
        show(figures)


if __name__ == "__main__":
    main()
