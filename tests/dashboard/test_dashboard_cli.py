"""`undertow dashboard`: port, options, and a light import."""

from __future__ import annotations

import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from dashboard import cli
from undertow.errors import ConfigError, PortInUseError


def test_port_in_use_names_the_port_and_the_setting() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError) as caught:
            cli.free_port("127.0.0.1", port)
    for word in (str(port), "dashboard.port", "UNDERTOW_DASHBOARD__PORT", "--port"):
        assert word in str(caught.value)


def test_flags_reach_streamlit(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int, bool]] = []
    monkeypatch.setattr(cli, "run", lambda host, port, *, browser: calls.append((host, port, browser)))
    monkeypatch.setattr(cli, "free_port", lambda host, port: port)
    assert CliRunner().invoke(cli.dashboard, ["--port", "8765", "--headless"]).output == ""
    result = CliRunner().invoke(cli.dashboard, ["--port", "8766", "--no-browser"])
    assert "http://127.0.0.1:8766" in result.output
    assert calls == [("127.0.0.1", 8765, False), ("127.0.0.1", 8766, False)]


def test_address_beyond_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERTOW_DASHBOARD__HOST", "0.0.0.0")
    result = CliRunner().invoke(cli.dashboard, [])
    assert isinstance(result.exception, ConfigError)
    assert "dashboard.host" in str(result.exception)


def test_nothing_is_sent_away_and_only_this_machine_is_served() -> None:
    given = set(cli.options("127.0.0.1", 1, browser=False))
    assert {"--browser.gatherUsageStats=false", "--server.address=127.0.0.1", "--client.showErrorDetails=none"} <= given
    shipped = tomllib.loads((Path(cli.__file__).parent / ".streamlit" / "config.toml").read_text("utf-8"))
    assert shipped["browser"]["gatherUsageStats"] is False
    assert shipped["client"]["showErrorDetails"] == "none"
    assert {"light", "dark"} <= set(shipped["theme"])
    assert "http" not in str(shipped["theme"])


def test_importing_the_command_does_not_import_streamlit() -> None:
    heavy = ("streamlit", "pandas", "plotly", "duckdb")
    code = f"import sys, dashboard.cli; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
