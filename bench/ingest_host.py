"""`undertow collect` with two handles that the command has not, for `bench/ingest.py`.

    python bench/ingest_host.py --events FILE [--checkpoint-every SECONDS] [--blocked FILE]

Settings come from the environment as for the command. Every commit and every forced CHECKPOINT is written to the
events file: what, start and end in seconds of the monotonic clock. While the file ``--blocked`` exists, no commit
goes through: that is a database which has stopped answering.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from collector.server import run
from undertow.config import load_settings
from undertow.store.embedded import EmbeddedStore

_POLL_S = 0.05
_commit = EmbeddedStore.commit


def handle_commits(events: Path, checkpoint_every_s: float | None, blocked: Path | None) -> None:
    """Put the handles around every commit of this process."""
    last = 0.0

    def noted(what: str, started: float) -> None:
        with events.open("a") as file:
            file.write(json.dumps([what, started, time.monotonic()]) + "\n")

    def commit(
        self: EmbeddedStore, tables: Mapping[str, pa.Table], *, key: str, delete: Mapping[str, pa.Table] | None = None
    ) -> int:
        nonlocal last
        while blocked is not None and blocked.exists():
            time.sleep(_POLL_S)
        started = time.monotonic()
        seq = _commit(self, tables, key=key, delete=delete)
        noted("commit", started)
        if checkpoint_every_s is not None and time.monotonic() - last >= checkpoint_every_s:
            started = time.monotonic()
            with self._cursor() as cursor:
                cursor.execute("CHECKPOINT")
            noted("checkpoint", started)
            last = time.monotonic()
        return seq

    EmbeddedStore.commit = commit  # type: ignore[method-assign] # the handle is the purpose of this process


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a collector whose commits can be watched and blocked.")
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--checkpoint-every", type=float)
    parser.add_argument("--blocked", type=Path)
    options = parser.parse_args()
    handle_commits(options.events, options.checkpoint_every, options.blocked)
    run(load_settings().settings)


if __name__ == "__main__":
    main()
