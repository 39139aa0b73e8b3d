"""Settings of the processes that listen: store, collector, dashboard, and how they are guarded."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator

from undertow.settings.base import Port, Section, Size, require_pattern

SCOPES = ("ingest", "read", "write")
BOUNDS = ("service", "environment")


class StoreSettings(Section):
    """Where the store is and what its owner may use."""

    url: str | None = Field(
        default=None, description="Store URL; empty means a live collector, else the file in the data folder"
    )
    port: Port = Field(default=4319, description="Port of the store service (Arrow Flight)")
    memory_limit: Size = Field(default="256MB", description="Most memory that DuckDB may use")
    threads: int = Field(default=1, ge=1, description="Threads that DuckDB may use for one query or commit")
    query_timeout_s: float = Field(default=60.0, gt=0, description="A reader's query is interrupted after this time")


class CollectorSettings(Section):
    """The doors of the collector and their limits."""

    host: str = Field(default="127.0.0.1", description="Address that every door listens on")
    grpc_port: Port = Field(default=4317, description="OTLP over gRPC")
    http_port: Port = Field(default=4318, description="OTLP over HTTP, feedback, changes, health, metrics")
    max_body_bytes: int = Field(default=64 * 2**20, gt=0, description="Largest body after decompression")
    max_backlog_bytes: int = Field(
        default=256 * 2**20, gt=0, description="Requests waiting for the journal, in bytes; beyond it: 503"
    )
    max_journal_bytes: int = Field(
        default=8 * 2**30, gt=0, description="Journal not yet loaded, in bytes; beyond it: 503"
    )
    segment_bytes: int = Field(default=64 * 2**20, gt=0, description="Size at which a journal segment is closed")
    read_timeout_s: float = Field(
        default=20.0, gt=0, description="A client that pauses for longer while it sends a request is refused"
    )
    load_interval_s: float = Field(default=0.5, gt=0, description="Time between two transactions of the loader")
    trace_self: str | None = Field(
        default=None,
        description="Where the collector sends traces of its own work, such as http://127.0.0.1:14318;"
        " true means OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    trace_self_ratio: float = Field(default=0.1, gt=0, le=1, description="Share of requests and loads that is traced")

    @field_validator("trace_self", mode="before")
    @classmethod
    def _endpoint(cls, value: object) -> object:
        text = str(value).strip().lower() if isinstance(value, bool | str) else value
        if text in ("true", "false", ""):
            return "true" if text == "true" else None
        if isinstance(value, str) and not re.match(r"https?://[^/\s]", value):
            raise ValueError(f"{value!r} is no address; write for instance http://127.0.0.1:14318, or true")
        return value


class TlsSettings(Section):
    """Transport security of every door, and whom the clients of the store service trust."""

    certificate: Path | None = Field(
        default=None, description="PEM file of the certificate of every door, with what vouches for it; empty: no TLS"
    )
    key: Path | None = Field(default=None, description="PEM file of the certificate's key, without a passphrase")
    ca: Path | None = Field(
        default=None, description="PEM file of the authorities that clients trust; empty: those of the system"
    )
    terminated_by_proxy: bool = Field(
        default=False, description="A proxy in front of the collector speaks TLS, so its own doors need not"
    )

    @field_validator("certificate", "key", "ca")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value else None

    @model_validator(mode="after")
    def _both_or_neither(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("tls.certificate and tls.key belong together: set both, or neither")
        return self


class RedactionSettings(Section):
    """What is taken out of every string before anything is durable."""

    enabled: bool = Field(default=True, description="Redact personal data and credentials")
    mode: str = Field(
        default="mask",
        pattern="^(mask|hash)$",
        description="mask: [EMAIL], in ids [EMAIL:keyed hash]; hash: this always",
    )
    key: SecretStr | None = Field(
        default=None, description="Key of the keyed hash; empty in mask mode: one is made in the data folder"
    )
    patterns: dict[str, str] = Field(
        default_factory=dict, description="The user's own patterns: name = regular expression (RE2)"
    )

    @field_validator("patterns")
    @classmethod
    def _compiled(cls, value: dict[str, str]) -> dict[str, str]:
        for name, expression in value.items():
            require_pattern(name, expression)
        return value

    @model_validator(mode="after")
    def _key_of_the_hash(self) -> RedactionSettings:
        if self.mode == "hash" and not (self.key and self.key.get_secret_value()):
            raise ValueError("redaction.mode = 'hash' needs redaction.key (UNDERTOW_REDACTION__KEY)")
        return self


class AuthSettings(Section):
    """Who may send, read and write."""

    tokens: dict[str, list[str]] = Field(
        default_factory=dict,
        description="token = [ingest, read, write], and service=NAME or environment=NAME to bind it to them",
        json_schema_extra={"secret": True},
    )

    @field_validator("tokens")
    @classmethod
    def _known_scopes(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        if not all(token.strip() for token in value):
            raise ValueError("a token is empty; use a long random one")
        for entries in value.values():
            bounds = [entry for entry in entries if entry.partition("=")[0] in BOUNDS and entry.partition("=")[2]]
            scopes = set(entries) - set(bounds)
            if not scopes <= set(SCOPES):
                # What stands there may be the token itself, on the wrong side.
                raise ValueError(
                    f"a scope is unknown; the form is token = [scope, …], the scopes are {', '.join(SCOPES)};"
                    f" service=NAME and environment=NAME bind a token"
                )
            if bounds and not scopes:
                raise ValueError("a token is bound to a service or environment, but has no scope")
            if bounds and "write" in scopes:
                raise ValueError("a token bound to a service or environment cannot have the scope write")
        return value


class DashboardSettings(Section):
    """The Streamlit app."""

    port: Port = Field(default=8501, description="Port of the dashboard")
    host: str = Field(default="127.0.0.1", description="Address of the dashboard")
