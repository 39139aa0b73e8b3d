"""Settings of the analysis: models, windows, scorers, judge, rules of safety, prices."""

from __future__ import annotations

import math
import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from undertow.settings.base import Duration, Section

RATES = ("input", "output", "cache_read", "cache_write", "reasoning", "request")
KNOWN_RUBRICS = ("relevance", "coherence")
_RESERVED_RUBRICS = ("groundedness", "refusal", "answer_relevance", "context_relevance", "context_utilisation")


class EmbeddingSettings(Section):
    """The model that turns texts into vectors."""

    model: str | None = Field(
        default=None, description="Empty: the default int8 ONNX model; st:NAME or st:/path: sentence-transformers"
    )


class AnalysisSettings(Section):
    """Windows and levels of the batch analysis."""

    reference: Duration = Field(default="28d", description="Length of the reference window before it")
    alpha: float = Field(default=0.01, gt=0, lt=1, description="False-discovery rate of the drift tests of one day")
    interval: Duration = Field(default="60s", description="Time between two scheduled runs of `undertow up`")
    topic_fields: tuple[Literal["prompt", "response", "document"], ...] = Field(
        default=("prompt",),
        description="What is divided into topics: prompt (always), and response or document on request",
    )


class GroundednessSettings(Section):
    """The scorer of groundedness."""

    scorer: str = Field(
        default="lexical", description="`lexical`, `encoder`, `judge`, or `nli:/path/to/a/cross-encoder`"
    )


class Rubric(Section):
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


class JudgeSettings(Section):
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


class AccessSettings(Section):
    """Who may be given which documents."""

    document_key: str | None = Field(
        default=None, description="Metadata key of a document that holds its label or labels; empty: nothing is checked"
    )
    user_attribute: str | None = Field(
        default=None, description="Attribute of the model call's span that holds the user's label or labels"
    )
    users: dict[str, list[str]] = Field(default_factory=dict, description="user = [labels whose documents it may see]")
    default: list[str] = Field(default_factory=list, description="Labels that everybody may see")


class SafetySettings(Section):
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


class CostSettings(Section):
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
