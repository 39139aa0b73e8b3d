"""`undertow up`: collector, scheduled analysis and dashboard as supervised child processes."""

from __future__ import annotations

import click


@click.command()
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
def up(no_browser: bool) -> None:
    """Run collector, scheduled analysis and dashboard in one terminal; Ctrl-C stops them all."""
    from undertow.config import load_settings
    from undertow.supervisor import Child, Supervisor

    settings = load_settings().settings
    dashboard = ["dashboard", "--no-browser"] if no_browser else ["dashboard"]
    children = (
        Child(
            "collect", ["collect"], ready_url=f"http://{settings.collector.host}:{settings.collector.http_port}/readyz"
        ),
        Child("analyze", ["analyze", "--watch", settings.analysis.interval], after="collect"),
        Child("dashboard", dashboard, after="collect"),
    )
    raise click.exceptions.Exit(Supervisor(children).run())
