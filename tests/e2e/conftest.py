"""A dashboard process over a store, and a browser that may talk to it alone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

PATIENCE_MS = 180_000  # what a busy, slow machine needs at most; only a failure waits for so long
CHROMIUMS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Served:
    """A running dashboard."""

    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Watched:
    """A page, and every request of it that left this machine's loopback."""

    page: Any
    outside: list[str] = field(default_factory=list)


def chromium() -> str:
    """Path of a Chromium; without one the test is skipped, or fails where a browser is required."""
    found = next((path for path in CHROMIUMS if Path(path).exists()), None) or shutil.which("chromium")
    if found:
        return found
    reason = f"no Chromium found in {', '.join(CHROMIUMS)} or on the path; install Debian's package chromium"
    if os.environ.get("E2E_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        instance = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield instance
        instance.close()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo's data folder, or the factory's data: verdicts must not reach the original."""
    folder = tmp_path_factory.mktemp("e2e") / "data"
    demo = os.environ.get("E2E_DEMO_DIR")
    if demo:
        shutil.copytree(demo, folder, ignore=shutil.ignore_patterns("collector.json", "*.tmp"))
        return folder
    from tests.dashboard import factory

    factory.filled_folder(folder)
    return folder


@pytest.fixture(scope="session")
def served(browser: Any, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The dashboard as its users start it, from a folder of its own."""
    del browser  # without one nothing is started
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    log = home / "dashboard.log"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("UNDERTOW_", "STREAMLIT_"))
    }
    environment |= {"UNDERTOW_DATA_DIR": str(data_dir), "HOME": str(home)}
    command = [sys.executable, "-m", "undertow", "dashboard", "--headless", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/_stcore/health", process, log)
        yield Served(url, data_dir, process, log)
    finally:
        process.terminate()
        process.wait(timeout=120)


def watch(browser: Any, *, width: int, height: int, scheme: str) -> Watched:
    """Open a page of a size and a colour scheme."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, timezone_id="UTC", locale="en-GB"
    )
    context.set_default_timeout(PATIENCE_MS)
    watched = Watched(context.new_page())

    def note(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname not in ("127.0.0.1", "localhost"):
            watched.outside.append(request.url)

    watched.page.on("request", note)
    watched.page.on("websocket", note)
    return watched


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the dashboard did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
