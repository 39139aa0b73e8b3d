"""How each instrumentation is told to export the text of prompts and answers.

Every option was read in the source of the package and version that ``checked`` names. A row of the table in
``docs/telemetry.md`` stands for each member of ``HINTS``; a test keeps the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_FAMILY: Final = "opentelemetry.instrumentation.genai."
_LATEST: Final = "OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental"


@dataclass(frozen=True)
class Hint:
    """One instrumentation and its switch.

    Attributes
    ----------
    instrumentation : the package, as its users know it.
    switch : the exact variable or option, ready to be copied.
    note : what else holds, in one sentence or two; may be empty.
    checked : package and version whose source was read.
    scopes : patterns (``*`` stands for anything) of the instrumentation scope's name.
    dialects : dialects of the collector that are certain to come from this instrumentation.
    """

    instrumentation: str
    switch: str
    note: str
    checked: str
    scopes: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()

    def named(self, scope_name: str | None) -> str:
        """Return the name of the package; of a family, the member that the scope belongs to."""
        member = (scope_name or "").removeprefix(_FAMILY).split(".")[0]
        return self.instrumentation.replace("*", member.replace("_", "-") or "*")


# The first member that matches by scope or by dialect is taken, so what is narrower stands first.
HINTS: Final[tuple[Hint, ...]] = (
    Hint(
        "Traceloop OpenLLMetry",
        "TRACELOOP_TRACE_CONTENT=true",
        "On unless set to false; in JavaScript also traceContent: true of initialize.",
        "traceloop-sdk 0.62.4, @traceloop/node-server-sdk 0.27.0",
        (
            "opentelemetry.instrumentation.openai.v*",
            "opentelemetry.instrumentation.anthropic",
            "opentelemetry.instrumentation.langchain",
            "opentelemetry.instrumentation.google_generativeai",
            "traceloop.*",
            "@traceloop/*",
        ),
        ("traceloop", "traceloop_old"),
    ),
    Hint(
        "opentelemetry-instrumentation-genai-*",
        f"{CAPTURE}=span_only",
        "Or event_only or span_and_event, which need exported logs. true is not understood and leaves it off.",
        "opentelemetry-util-genai 1.3b0 with -genai-openai, -genai-anthropic, -genai-langchain, -genai-openai-agents",
        ("opentelemetry.instrumentation.genai.*",),
    ),
    Hint(
        "opentelemetry-util-genai",
        f"{CAPTURE}=span_only",
        "What instrumentations use that were opted into the latest conventions. Or event_only or span_and_event, which"
        " need exported logs; true is not understood and leaves it off.",
        "opentelemetry-util-genai 1.3b0",
        ("opentelemetry.util.genai*",),
    ),
    Hint(
        "opentelemetry-instrumentation-google-genai",
        f"{CAPTURE}=span_only",
        "Or event_only or span_and_event, which need exported logs. true is not understood and leaves it off.",
        "opentelemetry-instrumentation-google-genai 1.3b0",
        ("opentelemetry.instrumentation.google_genai*",),
    ),
    Hint(
        "opentelemetry-instrumentation-openai-v2",
        f"{CAPTURE}=true",
        f"The text comes as log records: export logs too. Or, on the spans: {_LATEST} and {CAPTURE}=span_only.",
        "opentelemetry-instrumentation-openai-v2 2.4b0",
        ("opentelemetry.instrumentation.openai_v2*",),
    ),
    Hint(
        "opentelemetry-instrumentation-vertexai",
        f"{CAPTURE}=true",
        f"The text comes as log records: export logs too. Or, on the spans: {_LATEST} and {CAPTURE}=span_only.",
        "opentelemetry-instrumentation-vertexai 2.2b0",
        ("opentelemetry.instrumentation.vertexai*",),
    ),
    Hint(
        "opentelemetry-instrumentation-openai-agents-v2",
        f"{CAPTURE}=span_and_event",
        "On when unset; no_content and false switch it off.",
        "opentelemetry-instrumentation-openai-agents-v2 0.1.0",
        ("opentelemetry.instrumentation.openai_agents*",),
    ),
    Hint(
        "opentelemetry-instrumentation-botocore (Bedrock)",
        f"{CAPTURE}=true",
        "The text then comes as log records: export logs too.",
        "opentelemetry-instrumentation-botocore 0.66b2",
        ("opentelemetry.instrumentation.botocore*",),
    ),
    Hint(
        "@opentelemetry/instrumentation-openai",
        f"{CAPTURE}=true",
        "Or captureMessageContent: true. The text comes as log records: export logs too.",
        "@opentelemetry/instrumentation-openai 0.21.0, @elastic/opentelemetry-instrumentation-openai 0.5.1",
        ("@opentelemetry/instrumentation-openai", "@elastic/opentelemetry-instrumentation-openai"),
    ),
    Hint(
        "OpenTelemetry Java agent (openai-java)",
        f"{CAPTURE}=true",
        "Or -Dotel.instrumentation.genai.capture-message-content=true. The text comes as log records: export them.",
        "opentelemetry-java-instrumentation, instrumentation/openai",
        ("io.opentelemetry.openai-java*",),
    ),
    Hint(
        "Microsoft.Extensions.AI",
        f"{CAPTURE}=true",
        "Or EnableSensitiveData = true in UseOpenTelemetry(configure: …).",
        "dotnet/extensions, Microsoft.Extensions.AI",
        ("Experimental.Microsoft.Extensions.AI*", "Microsoft.Extensions.AI*"),
    ),
    Hint(
        "Microsoft Agent Framework",
        "ENABLE_SENSITIVE_DATA=true",
        "Or enable_instrumentation(enable_sensitive_data=True).",
        "agent-framework-core 1.23.0",
        ("agent_framework*",),
    ),
    Hint(
        "Semantic Kernel",
        "SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE=true",
        "The text then comes as log records: export the application's logging too.",
        "semantic-kernel 1.45.0",
        ("semantic_kernel*",),
    ),
    Hint(
        "Google Agent Development Kit",
        f"{CAPTURE}=SPAN_AND_EVENT",
        f"With {_LATEST}; without it the text comes as log records alone: export logs too.",
        "google-adk 2.13.0",
        ("gcp.vertex.agent",),
    ),
    Hint(
        "Strands Agents",
        "OTEL_SEMCONV_STABILITY_OPT_IN without gen_ai_unredacted_attributes",
        "On unless that token restricts it to the attributes that it lists.",
        "strands-agents 1.62.0",
        ("strands.*",),
    ),
    Hint(
        "LiteLLM",
        f"{CAPTURE}=span_only",
        "Besides, litellm.turn_off_message_logging must be False and the callback's message_logging not False.",
        "litellm 1.109.1",
        ("litellm*",),
        ("litellm",),
    ),
    Hint(
        "OpenLIT",
        "openlit.init(capture_message_content=True)",
        f"On unless that is False or {CAPTURE}=false.",
        "openlit 1.45.0",
        ("openlit*",),
        ("openlit",),
    ),
    Hint(
        "Pydantic AI",
        "InstrumentationSettings(include_content=True)",
        "On unless it is False; with Logfire the same option of logfire.instrument_pydantic_ai.",
        "pydantic-ai-slim 2.68.0, logfire-sdk 5.4.0",
        ("pydantic-ai*", "pydantic_ai*", "logfire*"),
        ("logfire",),
    ),
    Hint(
        "Vercel AI SDK",
        "experimental_telemetry: { isEnabled: true, recordInputs: true, recordOutputs: true }",
        "Recording is on unless recordInputs or recordOutputs is false, in version 7 too.",
        "ai 6.0.326, @ai-sdk/otel 1.0.173",
        ("ai", "gen_ai"),
        ("vercel_ai",),
    ),
    Hint(
        "Haystack",
        "HAYSTACK_CONTENT_TRACING_ENABLED=true",
        "Off by default; it is read when Haystack is imported.",
        "haystack-ai 3.4.1",
        ("haystack*",),
        ("haystack",),
    ),
    Hint(
        "Anthropic SDK",
        "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE=content",
        "Off by default; a client that is given its telemetry options in code does not read the variable.",
        "anthropic 2.12.0",
        ("com.anthropic.*",),
        ("anthropic_sdk",),
    ),
    Hint(
        "Langfuse SDK",
        "LANGFUSE_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED=true",
        "On unless false; @observe(capture_input=False, capture_output=False) and the client's mask remove text.",
        "langfuse 5.0.4",
        ("langfuse*",),
        ("langfuse",),
    ),
    Hint(
        "LangSmith",
        "LANGSMITH_HIDE_INPUTS=false LANGSMITH_HIDE_OUTPUTS=false",
        "On unless they are true, or Client(hide_inputs=…, hide_outputs=…) says so.",
        "langsmith 0.15.0",
        ("langsmith*",),
        ("langsmith",),
    ),
    Hint(
        "MLflow",
        "mlflow.tracing.configure(span_processors=[])",
        "Always on; only processors that were configured remove it.",
        "mlflow-tracing 3.17.2",
        ("mlflow*",),
        ("mlflow",),
    ),
    Hint(
        "OpenInference",
        "OPENINFERENCE_HIDE_INPUTS=false OPENINFERENCE_HIDE_OUTPUTS=false",
        "On unless these, or the finer OPENINFERENCE_HIDE_INPUT_… and OPENINFERENCE_HIDE_OUTPUT_…, are true.",
        "openinference-instrumentation 0.1.72, @arizeai/openinference-core 2.7.1",
        ("openinference.*", "@arizeai/openinference*"),
        ("openinference",),
    ),
)

UNKNOWN: Final = Hint(
    "an instrumentation that Undertow does not know by name",
    f"{CAPTURE}=span_only",
    "Most instrumentations by OpenTelemetry read it; older ones want true and exported logs. In others look for an"
    " option that captures content, messages or sensitive data. Spans of your own: set gen_ai.input.messages and"
    " gen_ai.output.messages.",
    "",
)
"""What to try when no member of ``HINTS`` matches."""


def hint_for(scope_name: str | None, dialect: str | None) -> Hint:
    """Return how the instrumentation of a span is told to export text.

    Parameters
    ----------
    scope_name : name of the instrumentation scope, as stored in ``spans.scope_name``.
    dialect : the collector's dialect that read the span.

    Examples
    --------
    >>> hint_for("agent_framework", "otel_genai").switch
    'ENABLE_SENSITIVE_DATA=true'
    """
    for hint in HINTS:
        if dialect in hint.dialects or any(fnmatchcase(scope_name or "", pattern) for pattern in hint.scopes):
            return hint
    return UNKNOWN
