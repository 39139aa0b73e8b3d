"""TLS on all three doors, with real clients; processes of the same machine find the certificate by themselves."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.integration.running import PATIENCE_S, Answer, RunningCollector
from undertow.config import load_settings
from undertow.errors import ConfigError, StoreUnavailableError
from undertow.settings.doors import TlsSettings
from undertow.store import endpoint, open_store
from undertow.store.flight import FlightStore
from undertow.tls import Trust, identity_of, trust_of


@dataclass(frozen=True)
class Pair:
    """Certificate, key, and who vouches for it."""

    certificate: Path
    key: Path
    ca: Path

    @property
    def env(self) -> dict[str, str]:
        return {"UNDERTOW_TLS__CERTIFICATE": str(self.certificate), "UNDERTOW_TLS__KEY": str(self.key)}


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def self_signed(folder: Path, name: str, alternative: str) -> Pair:
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}.pem")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    made = ("-keyout", pair.key, "-out", pair.certificate, "-subj", f"/CN={name}")
    openssl("req", "-x509", *curve, *made, "-addext", f"subjectAltName={alternative}", "-days", 2)
    return pair


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def issued(folder: Path) -> Pair:
    """A certificate of this machine that an authority of our own has signed."""
    authority = self_signed(folder, "authority", "DNS:authority.example")
    pair = Pair(folder / "issued.pem", folder / "issued.key", authority.certificate)
    request, names = folder / "issued.csr", folder / "names"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-new", *curve, "-keyout", pair.key, "-out", request, "-subj", "/CN=localhost")
    signing = ("-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial", "-days", 2)
    openssl("x509", "-req", "-in", request, *signing, "-extfile", names, "-out", pair.certificate)
    return pair


class SecureCollector(RunningCollector):
    """A collector whose doors speak TLS."""

    pair: Pair

    def request(
        self, method: str, path: str, body: Any = None, *, timeout_s: float = PATIENCE_S, **headers: str
    ) -> Answer:
        trust = Trust(self.pair.certificate.read_text(), "any").context()
        connection = http.client.HTTPSConnection("127.0.0.1", self.http_port, timeout=timeout_s, context=trust)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def undertow(self, *arguments: str) -> str:
        done = subprocess.run(
            self.command(*arguments), cwd=self.work, env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 3), done.stderr
        return done.stdout


def started(work: Path, pair: Pair, **env: str) -> SecureCollector:
    collector = SecureCollector(work, **pair.env, **env)
    collector.pair = pair
    collector.start()
    return collector


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, issued: Pair) -> Iterator[SecureCollector]:
    collector = started(tmp_path_factory.mktemp("secure"), issued, UNDERTOW_AUTH__TOKENS='{"t0": ["ingest", "write"]}')
    yield collector
    collector.stop()


def send_one(exporter: Any, service: str) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("one").end()
    provider.shutdown()


def test_stock_exporters_reach_both_doors_with_a_certificate_and_a_token(
    secure: SecureCollector, issued: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # `requests` prefers them to what it is given
        monkeypatch.delenv(variable, raising=False)
    bearer = {"authorization": "Bearer t0"}
    url = f"https://localhost:{secure.http_port}/v1/traces"
    send_one(HttpExporter(url, certificate_file=str(issued.ca), headers=bearer), "over-http")
    credentials = grpc.ssl_channel_credentials(issued.ca.read_bytes())
    address = f"localhost:{secure.grpc_port}"
    send_one(GrpcExporter(endpoint=address, credentials=credentials, headers=bearer), "over-grpc")
    secure.undertow("flush")
    sql = "SELECT service_name FROM spans ORDER BY 1"
    assert secure.undertow("query", sql, "--no-header").split() == ["over-grpc", "over-http"]


def test_the_store_service_speaks_tls_to_those_who_trust_the_authority(secure: SecureCollector, issued: Pair) -> None:
    url = f"grpc+tls://127.0.0.1:{secure.store_port}"
    with FlightStore(url, token="t0", trust=trust_of(TlsSettings(ca=issued.ca))) as store:
        assert store.query("SELECT 1 AS one").to_pylist() == [{"one": 1}]
    with pytest.raises(StoreUnavailableError, match=r"tls\.ca"):
        FlightStore(url, token="t0")
    elsewhere = {"STORE__URL": url, "TLS__CA": str(issued.ca), "AUTH__TOKENS": '{"t0": ["read"]}'}
    env = {f"UNDERTOW_{name}": value for name, value in elsewhere.items()}
    settings = load_settings(env=env, folder=secure.work / "nowhere").settings
    with open_store(settings=settings) as store:
        assert store.query("SELECT 1 AS one").num_rows == 1


def test_nobody_gets_in_without_tls_and_no_stranger_is_believed(secure: SecureCollector, issued: Pair) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", secure.http_port, timeout=PATIENCE_S)
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.request("GET", "/readyz")
        plain.getresponse()
    unknown = http.client.HTTPSConnection("127.0.0.1", secure.http_port, timeout=PATIENCE_S)
    with pytest.raises(ssl.SSLCertVerificationError):
        unknown.request("GET", "/readyz")


def test_processes_of_the_same_machine_trust_the_announced_certificate_whatever_its_name(
    tmp_path: Path, folder: Path
) -> None:
    collector = started(tmp_path, self_signed(folder, "far", "DNS:*.example.com"))
    try:
        live = endpoint.find(collector.data)
        assert live is not None
        assert live.http_url.startswith("https://") and live.store_url.startswith("grpc+tls://")
        assert live.server_name == "collector.example.com"
        assert "everything acknowledged is loaded" in collector.undertow("flush")
        assert collector.undertow("query", "SELECT 42 AS x", "--no-header").strip() == "42"
        found = {finding["check"]: finding for finding in json.loads(collector.undertow("doctor", "--json"))}
        assert "certificate of collector.example.com" in found["tls"]["found"]
    finally:
        collector.stop()


def test_a_certificate_that_cannot_serve_is_refused_at_the_start(folder: Path, issued: Pair) -> None:
    expired = folder / "expired.pem"
    openssl("x509", "-in", issued.certificate, "-signkey", issued.key, "-days", "-1", "-out", expired)
    locked = folder / "locked.key"
    openssl("ec", "-in", issued.key, "-out", locked, "-aes256", "-passout", "pass:x")
    other = self_signed(folder, "other", "DNS:other.example")
    text = folder / "text.pem"
    text.write_text("nothing here")
    for certificate, key, message in (
        (issued.certificate, other.key, "cannot be used together"),
        (issued.certificate, locked, "has a passphrase"),
        (expired, issued.key, "is refused: certificate has expired"),
        (text, issued.key, "holds no certificate"),
        (folder / "absent.pem", issued.key, "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message):
            identity_of(TlsSettings(certificate=certificate, key=key))
    with pytest.raises(ConfigError, match=r"tls\.ca"):
        trust_of(TlsSettings(ca=text))
