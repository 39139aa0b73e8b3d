"""All settings, as frozen models that forbid unknown keys; :mod:`undertow.config` reads them."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from platformdirs import user_cache_path
from pydantic import Field, field_validator, model_validator

from undertow.settings.analysis import (
    AnalysisSettings,
    CostSettings,
    EmbeddingSettings,
    GroundednessSettings,
    JudgeSettings,
    SafetySettings,
)
from undertow.settings.base import Section, is_loopback
from undertow.settings.doors import (
    AuthSettings,
    CollectorSettings,
    DashboardSettings,
    RedactionSettings,
    StoreSettings,
    TlsSettings,
)


class Settings(Section):
    """All settings. Build it with :func:`undertow.config.load_settings`."""

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
