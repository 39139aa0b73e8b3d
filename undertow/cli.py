"""The `undertow` command: verbs come from the entry-point group ``undertow.commands``.

A verb is loaded when it is called, so that `undertow query` never pays for the others.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from undertow import __version__
from undertow.errors import UndertowError

GROUP = "undertow.commands"
_DISK_REFUSES = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EROFS, errno.ENOSPC}
_PARENT_CHECK_S = 0.5
_ORPHAN_STOP_S = 20.0


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
@click.option("--parent-pid", type=int, hidden=True, help="Stop when this process is no longer the parent.")
def root(parent_pid: int | None) -> None:
    """Semantic observability for applications built on large language models."""
    if parent_pid is not None:
        threading.Thread(target=_follow, args=(parent_pid,), daemon=True, name="parent").start()


def _follow(parent_pid: int) -> None:
    """End this process after its parent, even one that was killed: an orphan would keep its ports and its files."""
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_CHECK_S)
    nobody = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # who read them is gone: a last word into a broken pipe would disturb the stop
        os.dup2(nobody, stream)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_STOP_S)
    os.kill(os.getpid(), signal.SIGKILL)


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
    except OSError as error:
        if error.errno not in _DISK_REFUSES or error.filename is None:
            raise
        advice = "make room or give it rights, or set another data_dir (UNDERTOW_DATA_DIR)"
        click.echo(f"undertow: {error.filename} cannot be written ({error.strerror}); {advice}", err=True)
        sys.exit(1)
