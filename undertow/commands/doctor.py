"""`undertow doctor`: what is ready, what is not, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from undertow.commands.telemetry import telemetry

if TYPE_CHECKING:
    from undertow.settings import Settings

_ENOUGH_DISK_BYTES = 2 * 2**30
_CLOCK_SLACK = timedelta(minutes=5)
_CERTIFICATE_MARGIN = timedelta(days=14)


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it is well, what was found, what to do."""

    check: str
    ok: bool
    found: str
    advice: str = ""


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Check ports, store, content, model and disk, and say what to do; exit code 3 when something needs doing.

    `undertow doctor telemetry` looks at what arrives.
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("give --json after telemetry: undertow doctor telemetry --json")
        return
    from undertow.config import load_settings

    settings = load_settings().settings
    findings = [finding for check in CHECKS for finding in check(settings)]
    if as_json:
        import json

        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            mark = "ok  " if finding.ok else "FIX "
            click.echo(
                f"{mark} {finding.check}: {finding.found}" + (f"\n     {finding.advice}" if finding.advice else "")
            )
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(3)


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Each port is free, or held by this data folder's own collector."""
    from undertow.store import endpoint
    from undertow.supervisor import answers, http_url

    live = endpoint.find(settings.data_dir)
    if live:
        yield Finding(
            "collector", True, f"running as process {live.pid}: {live.http_url}, {live.grpc_url}, {live.store_url}"
        )
    doors = {
        "collector.grpc_port": (settings.collector.host, settings.collector.grpc_port),
        "collector.http_port": (settings.collector.host, settings.collector.http_port),
        "store.port": (settings.collector.host, settings.store.port),
        "dashboard.port": (settings.dashboard.host, settings.dashboard.port),
    }
    for name, (host, port) in doors.items():
        if live and name != "dashboard.port":
            continue
        taken = _is_taken(host, port)
        streamlit = taken and name == "dashboard.port" and answers(http_url(host, port, "/_stcore/health"))
        who = "in use by a Streamlit app" if streamlit else "in use" if taken else "free"
        if live and streamlit:
            yield Finding(name, True, f"a Streamlit app answers at {host}:{port}, probably the dashboard")
            continue
        advice = (
            f"stop that process or set another {name} (UNDERTOW_{name.upper().replace('.', '__')})" if taken else ""
        )
        yield Finding(name, not taken, f"{host}:{port} is {who}", advice)


def _is_taken(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def check_exposure(settings: Settings) -> Iterator[Finding]:
    """The dashboard, which asks nobody who they are, stays on this machine."""
    from undertow.settings.base import is_loopback

    host = settings.dashboard.host
    if not is_loopback(host):
        yield Finding(
            "dashboard.host",
            False,
            f"{host} is reachable from other machines, so the dashboard does not start",
            "leave it on 127.0.0.1 and put a proxy with a sign-in before it",
        )


def check_tls(settings: Settings) -> Iterator[Finding]:
    """Certificate and key belong together and stay valid for some time."""
    from undertow.clock import utc_now
    from undertow.errors import ConfigError
    from undertow.tls import identity_of, trust_of

    try:
        trust_of(settings.tls)
        identity = identity_of(settings.tls)
    except ConfigError as error:
        yield Finding("tls", False, str(error), "the collector does not start with it")
        return
    if identity is not None:
        left = identity.expires.replace(tzinfo=None) - utc_now()
        advice = "" if left > _CERTIFICATE_MARGIN else "renew it, then start the collector again"
        yield Finding("tls", not advice, f"certificate of {identity.name}, valid until {identity.expires:%F}", advice)


def check_store(settings: Settings) -> Iterator[Finding]:
    """The store opens, and holds something."""
    from undertow.clock import utc_now
    from undertow.errors import StoreMissingError, UndertowError
    from undertow.store import open_store
    from undertow.telemetry_report import without_content

    try:
        with open_store(settings=settings, create=False) as store:
            counts = store.query(
                "SELECT (SELECT count(*) FROM spans) AS spans, (SELECT count(*) FROM interactions) AS interactions,"
                " (SELECT max(start_time) FROM spans) AS newest"
            ).to_pylist()[0]
            hollow = without_content(store)
    except StoreMissingError as error:
        yield Finding("store", True, "no store yet", str(error))
        return
    except UndertowError as error:
        yield Finding("store", False, str(error))
        return
    yield Finding("store", True, f"{store.url}: {counts['spans']} spans, {counts['interactions']} model calls")
    if counts["newest"] and counts["newest"] - utc_now() > _CLOCK_SLACK:
        yield Finding(
            "clock",
            False,
            f"the newest span starts at {counts['newest']:%Y-%m-%d %H:%M} UTC, in the future",
            "set the clock of this machine, or that of the sender",
        )
    for item in hollow:
        advice = f"{'set' if item.known else 'try'} {item.switch} ({item.note})" if item.note else f"set {item.switch}"
        yield Finding("content", False, item.found, advice)


def check_model(settings: Settings) -> Iterator[Finding]:
    """The embedder can be loaded without a network."""
    from undertow.errors import UndertowError

    if importlib.util.find_spec("onnxruntime") is None:
        yield Finding("model", False, "onnxruntime is not installed", "run `make setup`")
        return
    from undertow.embedding import load_embedder

    try:
        name = load_embedder(settings.embedding.model, models_dir=settings.models_dir).name
    except UndertowError as error:
        yield Finding("model", False, str(error))
        return
    yield Finding("model", True, name)


def check_disk(settings: Settings) -> Iterator[Finding]:
    """There is room to write where the data goes."""
    folder = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        yield Finding(
            "data_dir", False, f"{folder} cannot be written", "set another data_dir (UNDERTOW_DATA_DIR) or its rights"
        )
    held = sum(path.stat().st_size for path in settings.data_dir.glob("*.duckdb*") if path.is_file())
    found = f"{free / 2**30:.1f} GiB free at {folder}"
    if free < max(held, _ENOUGH_DISK_BYTES):
        if held > free:
            found += (
                f"; the store takes {held / 2**30:.1f} GiB, so `undertow store compact` has no room to write it anew"
            )
        yield Finding("disk", False, found, "free some space, or set another data_dir (UNDERTOW_DATA_DIR)")
    else:
        yield Finding("disk", True, found)


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    check_ports,
    check_exposure,
    check_tls,
    check_store,
    check_model,
    check_disk,
)

doctor.add_command(telemetry)
