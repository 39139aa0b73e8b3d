"""The dialects of telemetry, in the order in which they are asked whether they claim a span.

One file and one line here add a dialect. The last member claims whatever is left.
"""

from __future__ import annotations

from collector.dialects.base import Dialect
from collector.dialects.openinference import OpenInference
from collector.dialects.otel_genai import OtelGenai
from collector.dialects.otel_genai_old import OtelGenaiOld
from collector.dialects.plain import Plain
from collector.dialects.vercel_ai import VercelAi

DIALECTS: tuple[Dialect, ...] = (
    OpenInference(),
    VercelAi(),
    OtelGenai(),
    OtelGenaiOld(),
    Plain(),
)
