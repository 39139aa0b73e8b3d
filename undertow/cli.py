"""The `undertow` command: verbs come from the entry-point group ``undertow.commands``.

A verb is loaded when it is called, so that `undertow query` never pays for the others.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from undertow import __version__
from undertow.errors import UndertowError

GROUP = "undertow.commands"


class LazyGroup(click.Group):
    """A click group whose commands are entry points."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._points: dict[str, EntryPoint] | None = None

    @property
    def points(self) -> dict[str, EntryPoint]:
        """Entry points by verb."""
        if self._points is None:
            self._points = {point.name: point for point in entry_points(group=GROUP)}
        return self._points

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in alphabetical order."""
        return sorted(self.points)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one verb."""
        point = self.points.get(cmd_name)
        command: click.Command | None = point.load() if point else None
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="undertow")
def root() -> None:
    """Semantic observability for applications built on large language models."""


def main() -> None:
    """Run the command line; exit codes: 0 well, 1 failure, 2 usage, 3 findings."""
    try:
        code = root.main(standalone_mode=False)  # click returns the code of an Exit
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except UndertowError as error:
        click.echo(f"undertow: {error}", err=True)
        sys.exit(error.exit_code)
