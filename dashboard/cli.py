"""`undertow dashboard`: runs the Streamlit app with our options. Importing this is light: Streamlit comes later."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from dashboard import warm
from undertow.config import load_settings
from undertow.errors import ConfigError, PortInUseError
from undertow.settings.base import is_loopback

APP = Path(__file__).parent / "app.py"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Port to listen on; 0 picks a free one.")
@click.option("--headless", is_flag=True, help="Serve only: no browser, no greeting.")
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening a browser.")
def dashboard(port: int | None, headless: bool, no_browser: bool) -> None:
    """Show the dashboard in a browser."""
    settings = load_settings({"dashboard.port": port}).settings
    host = settings.dashboard.host
    if not is_loopback(host):
        raise ConfigError(
            f"dashboard.host = {host!r} is reachable from other machines, and the dashboard asks nobody who they are;"
            " leave it on 127.0.0.1 and put a proxy with a sign-in before it"
        )
    chosen = free_port(host, settings.dashboard.port)
    if not headless:
        click.echo(f"Dashboard on http://{host}:{chosen}")
    run(host, chosen, browser=not (headless or no_browser))


def free_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0.

    Raises
    ------
    PortInUseError
        Another process listens there.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUseError(
                f"the dashboard cannot listen on {host}:{port} ({error.strerror or error});"
                " stop what listens there, or choose another port with --port, dashboard.port or"
                " UNDERTOW_DASHBOARD__PORT"
            ) from None
        return int(probe.getsockname()[1])


def options(host: str, port: int, *, browser: bool) -> list[str]:
    """Arguments of ``streamlit run``; theme and look come from ``.streamlit/config.toml`` beside the app."""
    values = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": str(not browser).lower(),
        "server.fileWatcherType": "none",
        "browser.serverAddress": host,
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "logger.hideWelcomeMessage": "true",
        "logger.level": "warning",
    }
    return [f"--{name}={value}" for name, value in values.items()]


def run(host: str, port: int, *, browser: bool) -> None:
    """Serve until the process is told to stop."""
    from streamlit.web.cli import main as streamlit

    warm.imports()
    warm.start(host, port)
    streamlit(["run", str(APP), *options(host, port, browser=browser)], standalone_mode=False)
