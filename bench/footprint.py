"""What Undertow costs at rest and at the prompt, each figure beside its bar, in one run.

    python bench/footprint.py [--demo FOLDER] [--tries 5]

Seconds are wall-clock seconds of a whole process (or of a page in a browser), the fastest of the tries, since other
work on the machine can only add to them; the median stands beside, and for a process the processor time, which other
work hardly changes. Memory is resident memory of the process and its children at rest, or the peak that the kernel
counted. FOLDER is the data folder of a demo that has been run (`undertow demo --headless`) and stopped; it is copied,
never changed. Everything in it is analysed again, except that texts which are embedded already are not embedded again.
A page counts as painted when its first sentence is visible; beside it stands the time of an app that shows one word,
served by the same Streamlit to the same browser in turn. The first visit to a process comes as soon as it answers.
Pages need Playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from dashboard.cli import options
from undertow.store import endpoint

HELP_BAR_S, QUERY_BAR_S, PAINT_BAR_S = 0.5, 1.0, 1.0
REST_BAR_MB, ANALYSIS_BAR_MB = 250, 2500
SETTLE_S = 3
PATIENCE_S = 120
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
UNDERTOW = (sys.executable, "-m", "undertow")
STREAMLIT = (sys.executable, "-m", "streamlit", "run")
LEAD, BARE_WORD = ".ut-lead", ".bare"


@dataclass(frozen=True)
class Figure:
    """One measured value beside its bar; both in ``unit``."""

    name: str
    measured: float
    bar: float
    unit: str
    note: str = ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(data: Path) -> dict[str, str]:
    """Return an environment in which every process uses this data folder and ports of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("UNDERTOW_") or "MODELS" in key}
    ports = ("COLLECTOR__HTTP_PORT", "COLLECTOR__GRPC_PORT", "STORE__PORT", "DASHBOARD__PORT")
    return kept | {"UNDERTOW_DATA_DIR": str(data)} | {f"UNDERTOW_{port}": str(free_port()) for port in ports}


@contextmanager
def serving(
    env: dict[str, str], health_url: str, *arguments: str, program: Sequence[str] = UNDERTOW
) -> Iterator[psutil.Process]:
    """Run one serving command until its health address answers; stop it at the end."""
    process = psutil.Popen([*program, *arguments], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not answers(health_url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"`{' '.join([*program, *arguments])}` does not answer at {health_url}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def collecting(env: dict[str, str]) -> AbstractContextManager[psutil.Process]:
    return serving(env, f"http://127.0.0.1:{env['UNDERTOW_COLLECTOR__HTTP_PORT']}/readyz", "collect")


def timed(name: str, bar: float, seconds: list[float], note: str = "") -> Figure:
    median = f"median {statistics.median(seconds):.2f} s of {len(seconds)}"
    return Figure(name, min(seconds), bar, "s", f"{median}{note}")


def command(name: str, bar: float, env: dict[str, str], tries: int, *arguments: str) -> Figure:
    """Time a command from start to exit, with the least processor time that a try took."""
    seconds, busy = [], []
    for _ in range(tries):
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*UNDERTOW, *arguments], env=env, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(time.perf_counter() - started)
        busy.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return timed(name, bar, seconds, f"; processor {min(busy):.2f} s")


def resident_mb(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return float(sum(member.memory_info().rss for member in family)) / 1e6


def at_rest(tries: int) -> list[Figure]:
    """Measure an empty store: the prompt, a query through the collector, and the collector at rest."""
    with tempfile.TemporaryDirectory() as folder:
        env = environment(Path(folder))
        shown = command("undertow --help", HELP_BAR_S, env, tries, "--help")
        with collecting(env) as collector:
            time.sleep(SETTLE_S)
            rest = resident_mb(collector)
            asked = command("undertow query", QUERY_BAR_S, env, tries, "query", "SELECT count(*) FROM interactions")
    return [shown, asked, Figure("collector at rest", rest, REST_BAR_MB, "MB", f"{SETTLE_S} s after it was ready")]


def on_demo(demo: Path, tries: int) -> list[Figure]:
    """Measure a copy of a demo's folder: the analysis of all of it, then its first page."""
    live = endpoint.find(demo)
    if live:
        raise SystemExit(f"a collector holds {demo} (process {live.pid}); stop it first")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "demo"
        shutil.copytree(demo, data, ignore=shutil.ignore_patterns(endpoint.FILE_NAME))
        env = environment(data)
        return [analysis_peak(env), *page_paint(env, tries)]


def analysis_peak(env: dict[str, str]) -> Figure:
    """Return the peak resident memory of one run of every analyzer."""
    started = time.perf_counter()
    process = subprocess.Popen([*UNDERTOW, "analyze", "--since", "3650d"], env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"`undertow analyze` ended with {process.returncode}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return Figure("analysis, peak", peak, ANALYSIS_BAR_MB, "MB", f"in {time.perf_counter() - started:.0f} s")


def page_paint(env: dict[str, str], tries: int) -> list[Figure]:
    """Return how long the first page takes a process's first visitor and the next, each in a fresh browser context.

    Between them comes an app of one word, the least that any page of Streamlit can take here.
    """
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    url = f"http://127.0.0.1:{env['UNDERTOW_DASHBOARD__PORT']}"
    first, later, bare = [], [], []
    with ExitStack() as stack:
        stack.enter_context(collecting(env))
        bare_url = stack.enter_context(bare_app(env))
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        painted(browser, bare_url, BARE_WORD)  # the browser itself starts cold
        for _ in range(tries):
            with serving(env, f"{url}/_stcore/health", "dashboard", "--headless"):
                first.append(painted(browser, url, LEAD))
                later.append(painted(browser, url, LEAD))
            bare.append(painted(browser, bare_url, BARE_WORD))
        browser.close()
    return [
        timed("page, first visit", PAINT_BAR_S, first, against(first, bare)),
        timed("page, later visit", PAINT_BAR_S, later, against(later, bare)),
    ]


def painted(browser: Any, url: str, selector: str) -> float:
    """Return the seconds from a fresh context's navigation until an element is visible."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    started = time.perf_counter()
    page.goto(url)
    page.locator(selector).first.wait_for(state="visible", timeout=PATIENCE_S * 1000)
    seconds = time.perf_counter() - started
    page.context.close()
    return seconds


def against(seconds: list[float], bare: list[float]) -> str:
    return f"; {min(seconds) / min(bare):.2f} of a bare app's {min(bare):.2f} s"


@contextmanager
def bare_app(env: dict[str, str]) -> Iterator[str]:
    """Serve an app of one word as the dashboard is served, and give its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(f'import streamlit as st\n\nst.html("<p class={BARE_WORD[1:]}>bare</p>")\n', "utf-8")
        with serving(
            env,
            f"http://127.0.0.1:{port}/_stcore/health",
            *options("127.0.0.1", port, browser=False),
            program=(*STREAMLIT, str(script)),
        ):
            yield f"http://127.0.0.1:{port}"


def show(figures: list[Figure]) -> None:
    load = os.getloadavg()[0]
    table = Table(caption=f"{os.cpu_count()} cores, load {load:.1f}; a ratio above 1 misses the bar")
    for heading in ("what", "measured", "bar", "measured/bar", "note"):
        table.add_column(heading, justify="left" if heading in ("what", "note") else "right")
    for figure in figures:
        digits = 2 if figure.unit == "s" else 0
        values = [f"{value:.{digits}f} {figure.unit}" for value in (figure.measured, figure.bar)]
        table.add_row(figure.name, *values, f"{figure.measured / figure.bar:.2f}", figure.note)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, help="data folder of a demo that has been run and stopped")
    parser.add_argument("--tries", type=int, default=5)
    options = parser.parse_args()
    figures = at_rest(options.tries)
    if options.demo:
        figures += on_demo(options.demo, options.tries)
    show(figures)


if __name__ == "__main__":
    main()
