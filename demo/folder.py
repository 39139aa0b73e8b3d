"""The demo's own folder: made, replaced and read; never anybody else's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from demo.script import Script
from undertow.errors import ConfigError
from undertow.store import endpoint

MARKER = ".undertow-demo"
SCRIPT_FILE = "script.json"
TRUTH_FILE = "truth.parquet"
REPORT_FILE = "report.json"


def prepare(folder: Path) -> None:
    """Make an empty demo folder; what an earlier demo left there is removed.

    Raises
    ------
    ConfigError
        Something that is not a demo lives there, or a demo is running.
    """
    if folder.exists():
        if not folder.is_dir():
            raise ConfigError(f"{folder} is a file; name another folder with --folder")
        if any(folder.iterdir()) and not (folder / MARKER).is_file():
            raise ConfigError(f"{folder} holds something that is not a demo; name another folder with --folder")
        live = endpoint.find(folder)
        if live:
            raise ConfigError(f"a demo is running in {folder} (process {live.pid}); stop it or name another --folder")
        for item in folder.iterdir():
            if item.name != MARKER:
                shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("This folder belongs to `undertow demo`, which replaces its contents.\n", "utf-8")


def write_truth(folder: Path, script: Script) -> None:
    """Store the script as ground truth: the events as JSON, what each turn was as Parquet."""
    events = [event.to_json() for event in script.events.values()]
    write_json(folder / SCRIPT_FILE, {"seed": script.seed, "end": script.end.isoformat(), "events": events})
    pq.write_table(truth_table(script), folder / TRUTH_FILE)


def truth_table(script: Script) -> pa.Table:
    """Return one row a turn: ids, time, intent, event, and whether the answer holds inventions."""
    turns = script.turns
    return pa.table(
        {
            "trace_id": [turn.trace_id for turn in turns],
            "interaction_id": [f"{turn.trace_id}:{turn.answer_span_id}" for turn in turns],
            "service_name": [turn.service for turn in turns],
            "session_id": [turn.session_id for turn in turns],
            "start_time": pa.array([turn.start for turn in turns], pa.timestamp("us")),
            "intent": [turn.intent for turn in turns],
            "event": [turn.event for turn in turns],
            "invented": [turn.invented for turn in turns],
        }
    )


def write_json(path: Path, body: dict[str, Any]) -> None:
    """Write plain values as indented JSON."""
    path.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", "utf-8")
