"""Verbs of the collector: `undertow collect` and `undertow flush`."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import click

from undertow.clock import parse_duration
from undertow.config import Settings, load_settings
from undertow.errors import UndertowError


@click.command()
@click.option("--data-dir", type=click.Path(file_okay=False), help="Folder of the store and the journal.")
@click.option("--host", help="Address that every door listens on.")
@click.option("--http-port", type=int, help="Port of OTLP over HTTP.")
@click.option("--grpc-port", type=int, help="Port of OTLP over gRPC.")
@click.option("--store-port", type=int, help="Port of the store service.")
def collect(
    data_dir: str | None, host: str | None, http_port: int | None, grpc_port: int | None, store_port: int | None
) -> None:
    """Receive telemetry, keep it, and serve the store to every other process."""
    import logging

    flags = {
        "data_dir": data_dir,
        "collector.host": host,
        "collector.http_port": http_port,
        "collector.grpc_port": grpc_port,
        "store.port": store_port,
    }
    settings = load_settings(flags).settings
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from collector.server import run

    run(settings)


@click.command()
@click.option("--timeout", default="30s", show_default=True, help="How long to wait, such as 30s or 2m.")
def flush(timeout: str) -> None:
    """Wait until everything acknowledged so far can be queried."""
    timeout_s = parse_duration(timeout).total_seconds()
    settings = load_settings().settings
    url = _collector_url(settings)
    status, body = _post(url, f"/v1/flush?timeout_s={timeout_s:g}", timeout_s + 5, _token(settings))
    if status != 200:
        raise UndertowError(f"the collector at {url} answered {status}: {body.get('message', '')}")
    click.echo(f"everything acknowledged is loaded; newest commit {body['last_load_seq']}")


def _collector_url(settings: Settings) -> str:
    from undertow.store import endpoint

    live = endpoint.find(settings.data_dir)
    return live.http_url if live else f"http://{settings.collector.host}:{settings.collector.http_port}"


def _token(settings: Settings) -> str | None:
    return next(iter(settings.auth.tokens), None)


def _post(url: str, path: str, timeout_s: float, token: str | None) -> tuple[int, dict[str, object]]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("POST", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        body = response.read()
    except OSError as error:
        raise UndertowError(
            f"no collector answers at {url} ({error}); start `undertow collect` or `undertow up`"
        ) from None
    finally:
        connection.close()
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = {}
    return response.status, parsed if isinstance(parsed, dict) else {}
