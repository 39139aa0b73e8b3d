"""`undertow up`: collector, scheduled analysis and dashboard as supervised child processes."""

from __future__ import annotations

import click


@click.command()
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
def up(no_browser: bool) -> None:
    """Run collector, scheduled analysis and dashboard in one terminal; Ctrl-C stops them all."""
    from undertow.config import load_settings
    from undertow.errors import ConfigError
    from undertow.supervisor import Child, Supervisor, http_url
    from undertow.tls import SYSTEM, identity_of

    settings = load_settings().settings
    doors = {"collector.http_port": settings.collector.http_port, "dashboard.port": settings.dashboard.port}
    for name, port in doors.items():
        if port == 0:
            raise ConfigError(f"{name} = 0 picks a port that `undertow up` cannot know; set a fixed one")
    identity = identity_of(settings.tls)
    scheme = "https" if identity else "http"
    dashboard = ["dashboard", "--no-browser"] if no_browser else ["dashboard"]
    children = (
        Child(
            "collect",
            ["collect"],
            ready_url=http_url(_near(settings.collector.host), settings.collector.http_port, "/readyz", scheme=scheme),
            trust=identity.trust if identity else SYSTEM,
        ),
        Child("analyze", ["analyze", "--watch", settings.analysis.interval], after="collect"),
        Child(
            "dashboard",
            dashboard,
            ready_url=http_url(settings.dashboard.host, settings.dashboard.port, "/_stcore/health"),
            after="collect",
        ),
    )
    raise click.exceptions.Exit(Supervisor(children).run())


def _near(host: str) -> str:
    """The address on which this machine reaches what listens everywhere."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
