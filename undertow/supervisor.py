"""Child processes in one terminal: started in order, restarted with backoff, stopped together."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO
from urllib.parse import urlsplit

from undertow.tls import SYSTEM, Trust, http_connection

_STABLE_S = 30.0  # a child that ran this long works, and starts again with the first delay
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 60.0
_READY_S = 60.0
_FIRST_TRIES = 3  # of a child that cannot say when it is ready
_LAST_WORDS_S = 1.0
_USAGE = 2
_PROBE_S = 1.0


def http_url(host: str, port: int, path: str, *, scheme: str = "http") -> str:
    """The address of one of our own HTTP doors."""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"


def answers(url: str, trust: Trust = SYSTEM) -> bool:
    """Whether a URL answers 200 within a second; no proxy of the environment stands in between."""
    connection = http_connection(url, _PROBE_S, trust)
    try:
        connection.request("GET", urlsplit(url).path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True)
class Child:
    """One process.

    Attributes
    ----------
    name : shown before each line it prints.
    arguments : verb and options of `undertow`.
    ready_url : answers 200 when the child is ready; empty means ready at once.
    trust : whom to believe there.
    after : name of the child that must be ready first.
    """

    name: str
    arguments: Sequence[str]
    ready_url: str = ""
    after: str = ""
    trust: Trust = SYSTEM


@dataclass
class _Running:
    """A child and what became of it.

    Attributes
    ----------
    proven : it has worked once, so that another start may help.
    foreign : somebody else answered at its URL when it was started.
    """

    child: Child
    process: subprocess.Popen[str] | None = None
    relay: threading.Thread | None = None
    started: float = 0.0
    starts: int = 0
    delay_s: float = field(default_factory=lambda: _FIRST_DELAY_S)
    restart_at: float = 0.0
    remind_at: float = 0.0
    proven: bool = False
    foreign: bool = False
    ready: threading.Event = field(default_factory=threading.Event)


class Supervisor:
    """Runs children until a signal, or until one of them turns out unable to work at all.

    A child that ends before it was ever ready ends everything; so does one that is not ready in time at its first
    start. A child that has worked is started again for as long as it takes.

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
            self._hear_out(entry)

    def _step(self, entry: _Running) -> int:
        """Look after one child; a code other than 0 ends the whole."""
        if entry.process is None:
            if self._may_start(entry):
                self._start(entry)
            return 0
        code = entry.process.poll()
        if code is None:
            return self._look_after(entry)
        self._hear_out(entry)
        if code == _USAGE or self._is_hopeless(entry):
            self._say(entry.child.name, f"ended with code {code}; another start would not help; stopping")
            return code if code > 0 else 128 - code if code < 0 else 1
        self._plan_restart(entry, code)
        return 0

    def _look_after(self, entry: _Running) -> int:
        """Watch a live child become ready and prove itself."""
        now = time.monotonic()
        if entry.ready.is_set():
            entry.proven = entry.proven or now - entry.started > _STABLE_S
        elif not entry.foreign and answers(entry.child.ready_url, entry.child.trust):
            entry.ready.set()
            entry.proven = True
            self._say(entry.child.name, "ready")
        elif now >= entry.remind_at:
            entry.remind_at = now + _READY_S
            waited = f"not ready after {now - entry.started:.0f} s"
            if not entry.proven:
                self._say(entry.child.name, f"{waited}; stopping")
                return 1
            self._say(entry.child.name, f"{waited}; still waiting")
        return 0

    def _is_hopeless(self, entry: _Running) -> bool:
        """Whether an ended child has never worked, so that starting it again would not help."""
        return not entry.proven and (bool(entry.child.ready_url) or entry.starts >= _FIRST_TRIES)

    def _may_start(self, entry: _Running) -> bool:
        before = self._running.get(entry.child.after)
        return time.monotonic() >= entry.restart_at and (before is None or before.ready.is_set())

    def _start(self, entry: _Running) -> None:
        command = [sys.executable, "-m", "undertow", "--parent-pid", str(os.getpid()), *entry.child.arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        entry.foreign = bool(entry.child.ready_url) and answers(entry.child.ready_url, entry.child.trust)
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
        entry.starts += 1
        entry.remind_at = entry.started + _READY_S
        if not entry.child.ready_url:
            entry.ready.set()
        entry.relay = threading.Thread(
            target=self._relay, args=(entry.child.name, entry.process.stdout), daemon=True, name=entry.child.name
        )
        entry.relay.start()

    def _plan_restart(self, entry: _Running, code: int) -> None:
        if time.monotonic() - entry.started > _STABLE_S:
            entry.delay_s = _FIRST_DELAY_S
        self._say(entry.child.name, f"ended unexpectedly with code {code}; starting again in {entry.delay_s:g} s")
        entry.process = None
        entry.ready.clear()
        entry.restart_at = time.monotonic() + entry.delay_s
        entry.delay_s = min(entry.delay_s * 2, _LONGEST_DELAY_S)

    def _hear_out(self, entry: _Running) -> None:
        """Wait for the last lines of an ended child, which say why."""
        if entry.relay is not None:
            entry.relay.join(_LAST_WORDS_S)

    def _relay(self, name: str, lines: TextIO | None) -> None:
        for line in lines or ():
            self._say(name, line.rstrip("\n"))

    def _say(self, name: str, line: str) -> None:
        self._out.write(f"{name:<{self._width}} | {line}\n")
        self._out.flush()
