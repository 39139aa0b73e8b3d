"""One run of the demo, step by step."""

from __future__ import annotations

import json
import signal
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.children import Children, DemoError, flush, free_ports
from demo.folder import REPORT_FILE, prepare, write_json, write_truth
from demo.report import DemoReport, make_report
from demo.script import Script, write_script
from demo.send import Sent, send
from undertow.store import open_store

_READY_S = 60
_FLUSH_S = 180


@dataclass(frozen=True)
class Outcome:
    """What a run did and found.

    Attributes
    ----------
    seconds : wall time of each step.
    analysis : what `undertow analyze --json` said.
    """

    folder: Path
    seed: int
    end: datetime
    sent: Sent
    seconds: dict[str, float]
    analysis: list[dict[str, Any]]
    report: DemoReport

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "folder": str(self.folder),
            "seed": self.seed,
            "end": self.end.isoformat(),
            "sent": asdict(self.sent),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "analysis": self.analysis,
            **self.report.to_json(),
        }


@dataclass
class Demo:
    """Plays the script into its own folder; leaving the context stops every process.

    Attributes
    ----------
    until : last midnight of the eventful week, naive UTC; by default the last one that is past.
    port : wanted port of the dashboard.
    """

    folder: Path
    seed: int
    until: datetime | None
    port: int
    console: Console
    _seconds: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Demo:
        prepare(self.folder)
        self._children = Children(self.folder, free_ports(self.port))
        # A polite end from outside stops the children as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self

    def __exit__(self, *details: object) -> None:
        self._children.__exit__(*details)

    def play(self) -> Outcome:
        """Write, send, analyse, judge."""
        ports = self._children.ports
        with self._step("write"):
            script = write_script(self.seed, self.until or last_midnight())
            write_truth(self.folder, script)
        with self._step("send"):
            self._children.start("collector", "collect")
            self._children.wait_until("collector", "/readyz", ports.http, _READY_S)
            sent = self._send(script)
        with self._step("load"):
            flush(ports, _FLUSH_S)
        with self._step("analyse"):
            analysis = self._analyse()
        with open_store(ports.store_url) as store:
            truth = {turn.trace_id: turn.event for turn in script.turns}
            report = make_report(store, script.events.values(), truth)
        outcome = Outcome(self.folder, self.seed, script.end, sent, self._seconds, analysis, report)
        write_json(self.folder / REPORT_FILE, outcome.to_json())
        return outcome

    def serve(self, *, browser: bool) -> None:
        """Show the dashboard until Ctrl-C."""
        ports = self._children.ports
        self._children.start("dashboard", "dashboard", "--port", str(ports.dashboard), "--headless")
        self._children.wait_until("dashboard", "/_stcore/health", ports.dashboard, _READY_S)
        self.console.print(f"Dashboard on {ports.dashboard_url} (Ctrl-C stops everything)", highlight=False)
        if browser:
            webbrowser.open(ports.dashboard_url)
        try:
            self._children.watch()
        except KeyboardInterrupt:
            self.console.print("Stopping")

    def _send(self, script: Script) -> Sent:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        ports = self._children.ports
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task("interactions", total=len(script.turns))
            return send(script, ports.http_url, ports.grpc_url, lambda done: progress.update(task, completed=done))

    def _analyse(self) -> list[dict[str, Any]]:
        code, output = self._children.run("analyze", "--json")
        try:
            runs: list[dict[str, Any]] = json.loads(output)
        except ValueError:
            raise DemoError(f"`undertow analyze` ended with exit code {code} and no report") from None
        failed = [f"{run['analyzer']}: {run['error']}" for run in runs if run["status"] == "failed"]
        if failed:
            self.console.print("[red]analyzers failed:[/red] " + "; ".join(failed))
        return runs

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self.console.rule(f"[bold]{name}", align="left")
        start = time.monotonic()
        yield
        self._seconds[name] = time.monotonic() - start


def last_midnight() -> datetime:
    """Return the last midnight that is past, naive UTC."""
    now = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=1)
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
