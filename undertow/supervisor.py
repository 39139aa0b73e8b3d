"""Child processes in one terminal: started in order, restarted with backoff, stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

_STABLE_S = 30.0  # a child that ran this long starts again with the first delay
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 60.0
_READY_S = 60.0
_USAGE = 2


@dataclass(frozen=True)
class Child:
    """One process.

    Attributes
    ----------
    name : shown before each line it prints.
    arguments : verb and options of `undertow`.
    ready_url : answers 200 when the child is ready; empty means ready at once.
    after : name of the child that must be ready first.
    """

    name: str
    arguments: Sequence[str]
    ready_url: str = ""
    after: str = ""


@dataclass
class _Running:
    child: Child
    process: subprocess.Popen[str] | None = None
    started: float = 0.0
    delay_s: float = field(default_factory=lambda: _FIRST_DELAY_S)
    restart_at: float = 0.0
    ready: threading.Event = field(default_factory=threading.Event)


class Supervisor:
    """Runs children until a signal or until one of them cannot be started at all.

    Parameters
    ----------
    children : in the order in which they start; they stop in the reverse order.
    out : where prefixed lines go.
    stop_timeout_s : a child that has not ended this long after SIGTERM is killed.
    """

    def __init__(self, children: Sequence[Child], *, out: TextIO = sys.stderr, stop_timeout_s: float = 20.0) -> None:
        self._running = {child.name: _Running(child) for child in children}
        self._out = out
        self._stop_timeout_s = stop_timeout_s
        self._stop = threading.Event()
        self._width = max(len(child.name) for child in children)

    def run(self) -> int:
        """Supervise until SIGINT or SIGTERM; return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop.set())
        code = 0
        while not self._stop.is_set() and code == 0:
            for entry in self._running.values():
                code = code or self._step(entry)
            self._stop.wait(0.2)
        self.stop()
        return code

    def stop(self) -> None:
        """Stop every child, the last started first."""
        for entry in reversed(self._running.values()):
            if entry.process and entry.process.poll() is None:
                entry.process.terminate()
                try:
                    entry.process.wait(self._stop_timeout_s)
                except subprocess.TimeoutExpired:
                    self._say(entry.child.name, f"did not stop within {self._stop_timeout_s:g} s and is killed")
                    entry.process.kill()
                    entry.process.wait()

    def _step(self, entry: _Running) -> int:
        """Look after one child; a code other than 0 ends the whole."""
        if entry.process is None:
            if self._may_start(entry):
                self._start(entry)
            return 0
        code = entry.process.poll()
        if code is None:
            if not entry.ready.is_set():
                self._probe(entry)
            return 0
        never_ready = bool(entry.child.ready_url) and not entry.ready.is_set()
        if code == _USAGE or (never_ready and entry.delay_s == _FIRST_DELAY_S):
            self._say(entry.child.name, f"ended with code {code} before it was ready; stopping")
            return code or 1
        self._plan_restart(entry, code)
        return 0

    def _may_start(self, entry: _Running) -> bool:
        before = self._running.get(entry.child.after)
        return time.monotonic() >= entry.restart_at and (before is None or before.ready.is_set())

    def _start(self, entry: _Running) -> None:
        command = [sys.executable, "-m", "undertow", *entry.child.arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        entry.process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops children in order
        )
        entry.started = time.monotonic()
        if not entry.child.ready_url:
            entry.ready.set()
        threading.Thread(target=self._relay, args=(entry.child.name, entry.process.stdout), daemon=True).start()

    def _plan_restart(self, entry: _Running, code: int) -> None:
        if time.monotonic() - entry.started > _STABLE_S:
            entry.delay_s = _FIRST_DELAY_S
        self._say(entry.child.name, f"ended unexpectedly with code {code}; starting again in {entry.delay_s:g} s")
        entry.process = None
        entry.ready.clear()
        entry.restart_at = time.monotonic() + entry.delay_s
        entry.delay_s = min(entry.delay_s * 2, _LONGEST_DELAY_S)

    def _probe(self, entry: _Running) -> None:
        try:
            with urllib.request.urlopen(entry.child.ready_url, timeout=1) as answer:  # noqa: S310 - our own loopback URL
                if answer.status == 200:
                    entry.ready.set()
                    self._say(entry.child.name, "ready")
        except (urllib.error.URLError, OSError):
            if time.monotonic() - entry.started > _READY_S:
                self._say(entry.child.name, f"not ready after {_READY_S:g} s; stopping")
                self._stop.set()

    def _relay(self, name: str, lines: TextIO | None) -> None:
        for line in lines or ():
            self._say(name, line.rstrip("\n"))

    def _say(self, name: str, line: str) -> None:
        self._out.write(f"{name:<{self._width}} | {line}\n")
        self._out.flush()
