"""Settings: frozen, read once at the edge, every value with its origin.

Order of precedence: defaults < ``undertow.toml`` < ``UNDERTOW_*`` (nested with ``__``) < command line.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import logging
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin
from zoneinfo import ZoneInfo

from platformdirs import user_cache_path
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from undertow.clock import parse_duration
from undertow.errors import ConfigError

ENV_PREFIX = "UNDERTOW_"
FILE_NAME = "undertow.toml"
MASK = "********"
_PERHAPS_MEANT, _SURELY_MEANT = 0.6, 0.8

_log = logging.getLogger(__name__)
SCOPES = ("ingest", "read", "write")
BOUNDS = ("service", "environment")
RATES = ("input", "output", "cache_read", "cache_write", "reasoning", "request")


def _require_pattern(name: str, expression: str) -> None:
    """Refuse, by its name, an expression that cannot be used on every string."""
    import re2  # most installations have no pattern of their own

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
        raise ValueError(f"pattern {name!r}: a name is a letter and up to 63 letters, digits and underscores")
    options = re2.Options()
    options.log_errors = False  # it would write the pattern to standard error
    try:
        compiled = re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"pattern {name!r} is not a regular expression of RE2: {reason}") from None
    if compiled.search(""):
        raise ValueError(f"pattern {name!r} also matches where nothing stands, so it would mark every place")


def _duration(text: str) -> str:
    try:
        parse_duration(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


def _size(text: str) -> str:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?[KMGT]i?B", text, re.IGNORECASE)
    if found is None or float(found[1]) == 0:
        raise ValueError(f"{text!r} is not a size; write for instance 512MB, 2GB or 1.5GiB")
    return text


Port = Annotated[int, Field(ge=0, le=65535)]
Duration = Annotated[str, AfterValidator(_duration)]
Size = Annotated[str, AfterValidator(_size)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class StoreSettings(_Section):
    """Where the store is and what its owner may use."""

    url: str | None = Field(
        default=None, description="Store URL; empty means a live collector, else the file in the data folder"
    )
    port: Port = Field(default=4319, description="Port of the store service (Arrow Flight)")
    memory_limit: Size = Field(default="256MB", description="Most memory that DuckDB may use")
    threads: int = Field(default=1, ge=1, description="Threads that DuckDB may use for one query or commit")
    query_timeout_s: float = Field(default=60.0, gt=0, description="A reader's query is interrupted after this time")


class CollectorSettings(_Section):
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


class TlsSettings(_Section):
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


class RedactionSettings(_Section):
    """What is taken out of every string before anything is durable."""

    enabled: bool = Field(default=True, description="Redact personal data and credentials")
    mode: str = Field(default="mask", pattern="^(mask|hash)$", description="mask: [EMAIL]; hash: [EMAIL:keyed hash]")
    key: SecretStr | None = Field(default=None, description="Key of the keyed hash")
    patterns: dict[str, str] = Field(
        default_factory=dict, description="The user's own patterns: name = regular expression (RE2)"
    )

    @field_validator("patterns")
    @classmethod
    def _compiled(cls, value: dict[str, str]) -> dict[str, str]:
        for name, expression in value.items():
            _require_pattern(name, expression)
        return value

    @model_validator(mode="after")
    def _key_of_the_hash(self) -> RedactionSettings:
        if self.mode == "hash" and not (self.key and self.key.get_secret_value()):
            raise ValueError("redaction.mode = 'hash' needs redaction.key (UNDERTOW_REDACTION__KEY)")
        return self


class AuthSettings(_Section):
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


class EmbeddingSettings(_Section):
    """The model that turns texts into vectors."""

    model: str | None = Field(
        default=None, description="Empty: the default int8 ONNX model; st:NAME or st:/path: sentence-transformers"
    )


class AnalysisSettings(_Section):
    """Windows and levels of the batch analysis."""

    reference: Duration = Field(default="28d", description="Length of the reference window before it")
    alpha: float = Field(default=0.01, gt=0, lt=1, description="False-discovery rate of the drift tests of one day")
    interval: Duration = Field(default="60s", description="Time between two scheduled runs of `undertow up`")


class GroundednessSettings(_Section):
    """The scorer of groundedness."""

    scorer: str = Field(default="lexical", description="Name of the scorer")


class Rubric(_Section):
    """A question about every answer that the judge grades on a scale."""

    instruction: str = Field(default="", description="What is asked; may be empty for relevance and coherence")
    scale: tuple[int, int] = Field(default=(1, 5), description="Lowest and highest grade")
    threshold: float = Field(default=3.0, description="The worst grade that still passes")
    direction: str = Field(
        default="higher_is_better", pattern="^(higher|lower)_is_better$", description="Which is good"
    )
    sample: float = Field(default=1.0, gt=0, le=1, description="Share of the answers that is graded")

    @model_validator(mode="after")
    def _threshold_on_the_scale(self) -> Rubric:
        low, high = self.scale
        if not low < high:
            raise ValueError(f"scale = {list(self.scale)}: the lowest grade comes first")
        if not low <= self.threshold <= high:
            raise ValueError(f"threshold = {self.threshold} lies outside the scale from {low} to {high}")
        return self


KNOWN_RUBRICS = ("relevance", "coherence")
_RESERVED_RUBRICS = ("groundedness", "refusal", "answer_relevance", "context_relevance", "context_utilisation")


class JudgeSettings(_Section):
    """A language model that judges; nothing is sent anywhere unless an address is given."""

    base_url: str | None = Field(
        default=None, description="Address of an OpenAI-compatible API, such as http://127.0.0.1:11434/v1; empty: none"
    )
    model: str = Field(default="gpt-4.1-mini", description="Model that judges")
    api_key: SecretStr | None = Field(default=None, description="Key of the API, if it wants one")
    timeout_s: float = Field(default=60.0, gt=0, description="One attempt of one call is given up after this time")
    retries: int = Field(default=2, ge=0, description="Further attempts after a timeout, a 429 or a 5xx")
    concurrency: int = Field(default=4, ge=1, le=64, description="Calls under way at the same time")
    max_calls_per_day: int = Field(default=1000, ge=0, description="Most calls in a UTC day")
    max_tokens_per_day: int = Field(default=2_000_000, ge=0, description="Most tokens, in and out, in a UTC day")
    max_usd_per_day: float | None = Field(
        default=None, ge=0, description="Most money in a UTC day; empty: no limit; needs a known price (cost.prices)"
    )
    max_chars: int = Field(default=60_000, gt=0, description="A longer answer with its documents is not judged")
    rubrics: dict[str, Rubric] = Field(
        default_factory=dict,
        description="The user's rubrics: name = {instruction, scale, threshold, direction, sample}",
    )

    @field_validator("base_url", mode="before")
    @classmethod
    def _address(cls, value: object) -> object:
        if isinstance(value, str) and not value.strip():
            return None
        if isinstance(value, str) and not re.match(r"https?://[^/\s]", value):
            raise ValueError(f"{value!r} is no address; write for instance http://127.0.0.1:11434/v1")
        return value

    @field_validator("rubrics")
    @classmethod
    def _usable(cls, value: dict[str, Rubric]) -> dict[str, Rubric]:
        for name, rubric in value.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name in _RESERVED_RUBRICS:
                raise ValueError(
                    f"rubric {name!r}: a name is a small letter and up to 39 small letters, digits and underscores,"
                    f" and none of {', '.join(_RESERVED_RUBRICS)}"
                )
            if not rubric.instruction.strip() and name not in KNOWN_RUBRICS:
                raise ValueError(f"rubric {name!r} needs an instruction; only {', '.join(KNOWN_RUBRICS)} have one")
        return value


class AccessSettings(_Section):
    """Who may be given which documents."""

    document_key: str | None = Field(
        default=None, description="Metadata key of a document that holds its label or labels; empty: nothing is checked"
    )
    user_attribute: str | None = Field(
        default=None, description="Attribute of the model call's span that holds the user's label or labels"
    )
    users: dict[str, list[str]] = Field(default_factory=dict, description="user = [labels whose documents it may see]")
    default: list[str] = Field(default_factory=list, description="Labels that everybody may see")


class SafetySettings(_Section):
    """What the safety detectors are told by the user."""

    tools: dict[str, str] = Field(
        default_factory=dict,
        description="Allow-list of tools: tool = regular expression (RE2) that its arguments must match as a whole;"
        " empty: every tool is allowed, and only the built-in rules apply",
    )
    policies: dict[str, list[str]] = Field(
        default_factory=dict, description="policy = [example sentences that it forbids]"
    )
    access: AccessSettings = Field(default_factory=AccessSettings)

    @field_validator("tools")
    @classmethod
    def _compiled(cls, value: dict[str, str]) -> dict[str, str]:
        import re2  # most installations have no allow-list

        options = re2.Options()
        options.log_errors = False
        for name, expression in value.items():
            try:
                re2.compile(expression, options)
            except re2.error:
                raise ValueError(f"tool {name!r}: {expression!r} is not a regular expression of RE2") from None
        return value


class CostSettings(_Section):
    """Prices beyond the maintained price list."""

    prices: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="model = {input, output, cache_read, cache_write, reasoning} in USD per million tokens,"
        " {request} in USD per call",
    )

    @field_validator("prices")
    @classmethod
    def _known_rates(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for model, rates in value.items():
            for name, rate in rates.items():
                if name not in RATES:
                    raise ValueError(f"model {model!r} has the unknown rate {name!r}; the rates are {', '.join(RATES)}")
                if not (math.isfinite(rate) and rate >= 0):
                    raise ValueError(f"model {model!r}: {name} = {rate} is not a price")
        return value


class DashboardSettings(_Section):
    """The Streamlit app."""

    port: Port = Field(default=8501, description="Port of the dashboard")
    host: str = Field(default="127.0.0.1", description="Address of the dashboard")


class Settings(_Section):
    """All settings. Build it with :func:`load_settings`."""

    data_dir: Path = Field(default=Path("undertow-data"), description="Folder of the store and the journal")
    models_dir: Path = Field(
        default_factory=lambda: user_cache_path("undertow") / "models", description="Folder of exported models"
    )
    timezone: str = Field(default="UTC", description="Time zone of day buckets")
    store: StoreSettings = Field(default_factory=StoreSettings)
    collector: CollectorSettings = Field(default_factory=CollectorSettings)
    redaction: RedactionSettings = Field(default_factory=RedactionSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    tls: TlsSettings = Field(default_factory=TlsSettings)
    embedding: EmbeddingSettings = Field(default_factory=EmbeddingSettings)
    analysis: AnalysisSettings = Field(default_factory=AnalysisSettings)
    groundedness: GroundednessSettings = Field(default_factory=GroundednessSettings)
    judge: JudgeSettings = Field(default_factory=JudgeSettings)
    safety: SafetySettings = Field(default_factory=SafetySettings)
    cost: CostSettings = Field(default_factory=CostSettings)
    dashboard: DashboardSettings = Field(default_factory=DashboardSettings)

    @field_validator("data_dir", "models_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"unknown time zone {value!r}; use a name such as Europe/Berlin") from error
        return value

    @model_validator(mode="after")
    def _guarded_off_loopback(self) -> Settings:
        missing = []
        if not self.auth.tokens:
            missing.append("auth.tokens (UNDERTOW_AUTH__TOKENS)")
        if not (self.tls.certificate or self.tls.terminated_by_proxy):
            missing.append(
                "tls.certificate and tls.key (UNDERTOW_TLS__CERTIFICATE, UNDERTOW_TLS__KEY),"
                " or tls.terminated_by_proxy = true where a proxy in front speaks TLS"
            )
        if missing and not is_loopback(self.collector.host):
            raise ValueError(
                f"collector.host = {self.collector.host!r} is reachable from other machines: set"
                f" {', and '.join(missing)} first"
            )
        return self


@dataclass(frozen=True)
class LoadedSettings:
    """Settings together with where each value came from."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield (dotted name, value with secrets masked, origin, description)."""
        for path, value, field in _leaves(self.settings):
            shown = (MASK if value else "") if _is_secret(field) else "" if value is None else value
            text = json.dumps(shown, default=_plain) if isinstance(shown, dict | list) else str(shown)
            yield path, text, self.origins.get(path, "default"), field.description or ""


def _plain(value: object) -> object:
    """A part of a mapping of settings, such as a rubric, as JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} is no part of a setting")


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(
    flags: Mapping[str, Any] | None = None, *, env: Mapping[str, str] | None = None, folder: Path | None = None
) -> LoadedSettings:
    """Read all layers once.

    Parameters
    ----------
    flags : mapping of dotted name to value, as given on the command line; ``None`` values are skipped.
    env : environment, by default that of the process.
    folder : where ``undertow.toml`` is looked for, by default the working folder.

    Raises
    ------
    ConfigError
        A name is unknown, a value malformed, or the combination unsafe.
    """
    env = os.environ if env is None else env
    known = {path: field for path, _, field in _leaves(Settings())}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers = (_from_file((folder or Path.cwd()) / FILE_NAME, known), _from_env(env, known), _from_flags(flags or {}))
    for layer in layers:
        for path, (value, origin) in layer.items():
            if path not in known:
                if origin.startswith(ENV_PREFIX) and not _close(path, known, _SURELY_MEANT):
                    # Somebody else's variable must not stop this process.
                    _log.warning("%s is no setting of Undertow and is ignored", origin)
                    continue
                raise ConfigError(_unknown(path, origin, known))
            values[path] = value
            origins[path] = origin
    try:
        return LoadedSettings(Settings.model_validate(_nest(values)), origins)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins, known)) from None


def _leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, FieldInfo]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, field


def _is_secret(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return SecretStr in (field.annotation, *get_args(field.annotation)) or (
        isinstance(extra, dict) and bool(extra.get("secret"))
    )


Layer = dict[str, tuple[Any, str]]
Known = Mapping[str, FieldInfo]


def _from_file(path: Path, known: Known) -> Layer:
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None

    def flatten(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in node.items():
            inside = f"{prefix}{key}."
            if isinstance(value, dict) and any(name.startswith(inside) for name in known):
                yield from flatten(value, inside)
            else:  # a mapping is one value, whatever its keys look like
                yield f"{prefix}{key}", value

    return {key: (value, FILE_NAME) for key, value in flatten(tree, "")}


def _from_env(env: Mapping[str, str], known: Known) -> Layer:
    layer: Layer = {}
    for name, text in env.items():
        if name.startswith(ENV_PREFIX):
            path = name.removeprefix(ENV_PREFIX).lower().replace("__", ".")
            whole = next((key for key in known if path.startswith(key + ".")), None)
            if whole is not None:  # the rest of the name may be a token: it is not repeated
                variable = ENV_PREFIX + whole.upper().replace(".", "__")
                raise ConfigError(
                    f"{variable}__… names a part of {whole}, which is read whole: give it in {variable}"
                    + (", as JSON" if _is_mapping(known[whole]) else "")
                )
            layer[path] = (_parse(text), name)
    return layer


def _is_mapping(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _parse(text: str) -> Any:
    """An object or list in JSON; everything else stays text and is coerced by its field."""
    if text[:1] in "{[":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _from_flags(flags: Mapping[str, Any]) -> Layer:
    return {path: (value, "command line") for path, value in flags.items() if value is not None}


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def _close(path: str, known: Known, cutoff: float) -> str | None:
    """The known name that is most like this one, also where single underscores stand for double ones."""
    spellings = (path, path.replace("_", "."), path.replace("_", ".", 1))
    found = (difflib.get_close_matches(spelling, known, n=1, cutoff=cutoff) for spelling in spellings)
    return next((names[0] for names in found if names), None)


def _unknown(path: str, origin: str, known: Known) -> str:
    close = _close(path, known, _PERHAPS_MEANT)
    hint = f"; did you mean {close!r}?" if close else "; `undertow config` lists every setting"
    return f"unknown setting {path!r} (from {origin}){hint}"


def _explain(error: ValidationError, origins: Mapping[str, str], known: Known) -> str:
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"])
        leaf = next((name for name in known if path == name or path.startswith(name + ".")), "")
        if leaf and path != leaf and _is_secret(known[leaf]):
            path = f"{leaf}.{MASK}"
        origin = origins.get(leaf)
        where = f"{path} (from {origin}): " if origin else f"{path}: " if path else ""
        hint = "; give a JSON object" if item["type"] == "dict_type" and path == leaf else ""
        lines.append(where + item["msg"].removeprefix("Value error, ") + hint)
    return "\n".join(lines)
