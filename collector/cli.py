"""Verbs of the collector: `undertow collect` and `undertow flush`."""

from __future__ import annotations

import http.client
import json

import click

from undertow.clock import parse_duration
from undertow.config import load_settings
from undertow.errors import UndertowError
from undertow.settings import Settings
from undertow.store import endpoint
from undertow.store.open import own_token
from undertow.tls import http_connection, trust_of


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
    live = endpoint.find(settings.data_dir)
    url = live.http_url if live else _configured_url(settings)
    connection = http_connection(url, timeout_s + 5, live.trust if live else trust_of(settings.tls))
    token = own_token(settings, "write", "read", "ingest")
    status, body = _post(connection, url, f"/v1/flush?timeout_s={timeout_s:g}", token)
    if status != 200:
        raise UndertowError(f"the collector at {url} answered {status}: {body.get('message', '')}")
    click.echo(f"everything acknowledged is loaded; newest commit {body['last_load_seq']}")


def _configured_url(settings: Settings) -> str:
    host = settings.collector.host
    scheme = "https" if settings.tls.certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.collector.http_port}"


def _post(
    connection: http.client.HTTPConnection, url: str, path: str, token: str | None
) -> tuple[int, dict[str, object]]:
    try:
        connection.request("POST", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
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
