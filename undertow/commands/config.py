"""`undertow config`: every setting with its value and origin."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def config(as_json: bool) -> None:
    """Print every setting with its value and origin; secrets are masked."""
    from undertow.config import load_settings

    rows = list(load_settings().rows())
    if as_json:
        import json

        click.echo(json.dumps({name: {"value": value, "origin": origin} for name, value, origin, _ in rows}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("setting", "value", "from", "what it is"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
