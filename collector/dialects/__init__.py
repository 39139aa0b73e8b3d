"""The dialects of telemetry, in the order in which they are asked whether they claim a span.

One file and one line here add a dialect. The last member claims whatever is left.
"""

from __future__ import annotations

from collector.dialects.anthropic_sdk import AnthropicSdk
from collector.dialects.base import Dialect
from collector.dialects.haystack import Haystack
from collector.dialects.langfuse import Langfuse
from collector.dialects.langsmith import Langsmith
from collector.dialects.litellm import Litellm
from collector.dialects.logfire import Logfire
from collector.dialects.mlflow import Mlflow
from collector.dialects.openinference import OpenInference
from collector.dialects.openlit import Openlit
from collector.dialects.otel_genai import OtelGenai
from collector.dialects.otel_genai_old import OtelGenaiOld
from collector.dialects.plain import Plain
from collector.dialects.traceloop import Traceloop
from collector.dialects.traceloop_old import TraceloopOld
from collector.dialects.vercel_ai import VercelAi

DIALECTS: tuple[Dialect, ...] = (
    Langfuse(),
    Langsmith(),
    OpenInference(),
    Mlflow(),
    VercelAi(),
    Litellm(),
    Openlit(),
    Logfire(),
    Haystack(),
    AnthropicSdk(),
    # Traceloop's own names beside a GenAI operation; without one, they come after it.
    Traceloop(),
    OtelGenai(),
    TraceloopOld(),
    OtelGenaiOld(),
    Plain(),
)
