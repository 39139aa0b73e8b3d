"""An application under real instrumentation; run as a script, since instrumentations patch the whole process.

    python instrumented_app.py otel_genai|openinference|both http|grpc

The OpenAI client and the exporters find their endpoints in their usual environment variables.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from openai import OpenAI
from opentelemetry import _logs, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

SYSTEM = "Answer briefly and politely."
QUESTION = "When does the branch in Lisbon open?"
STREAMED = "Which documents prove my address?"
TOOL_QUESTION = "What is the balance of my savings account?"
RAG_QUESTION = "How long is a card blocked after three wrong codes?"
TEXTS = ["first text to embed", "a second one"]
DOCUMENTS = [
    ("kb-7", "After three wrong codes a card stays blocked for 24 hours.", 0.91),
    ("kb-9", "A new card takes five working days to arrive.", 0.42),
]
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"question": {"type": "string"}}},
    },
}
SESSION, USER, MODEL = "session-1", "user-1", "gpt-4o-mini"


def main() -> None:
    instrumentation, protocol = sys.argv[1:]
    providers = start_telemetry(protocol)
    instrument(instrumentation)
    tracer = trace.get_tracer("app")
    client = OpenAI()
    with conversation(instrumentation, tracer):
        ask(client, QUESTION, temperature=0.2)
    stream(client)
    use_tool(client, tracer)
    answer_from_documents(client, tracer)
    client.embeddings.create(model="text-embedding-3-small", input=TEXTS)
    for provider in providers:
        if not provider.force_flush():
            raise SystemExit("telemetry was not delivered")


def start_telemetry(protocol: str) -> tuple[TracerProvider, LoggerProvider]:
    """Send spans and log records by OTLP over HTTP or gRPC, as the SDK's documentation shows."""
    package = import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.trace_exporter")
    log_package = import_module(f"opentelemetry.exporter.otlp.proto.{protocol}._log_exporter")
    traces, logs = TracerProvider(), LoggerProvider()
    traces.add_span_processor(BatchSpanProcessor(package.OTLPSpanExporter()))
    logs.add_log_record_processor(BatchLogRecordProcessor(log_package.OTLPLogExporter()))
    trace.set_tracer_provider(traces)
    _logs.set_logger_provider(logs)
    return traces, logs


def instrument(name: str) -> None:
    if name in ("otel_genai", "both"):
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as OpenTelemetryInstrumentor

        OpenTelemetryInstrumentor().instrument()
    if name in ("openinference", "both"):
        from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInferenceInstrumentor

        OpenInferenceInstrumentor().instrument()


@contextmanager
def conversation(instrumentation: str, tracer: trace.Tracer) -> Iterator[None]:
    """Say who is talking: OpenInference by its context managers, others by the span around the call."""
    if instrumentation == "openinference":
        from openinference.instrumentation import using_session, using_user

        with using_session(SESSION), using_user(USER):
            yield
    else:
        with tracer.start_as_current_span("handle request", attributes={"session.id": SESSION, "user.id": USER}):
            yield


def ask(client: OpenAI, question: str, **options: Any) -> Any:
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    return client.chat.completions.create(model=MODEL, messages=messages, **options)


def stream(client: OpenAI) -> None:
    for _ in ask(client, STREAMED, stream=True, stream_options={"include_usage": True}):
        pass


def use_tool(client: OpenAI, tracer: trace.Tracer) -> None:
    """Ask, let the model ask for a tool, and answer with the tool's result: two calls in one trace."""
    with tracer.start_as_current_span("agent"):
        first = ask(client, TOOL_QUESTION, tools=[TOOL]).choices[0].message
        call = first.tool_calls[0]
        messages: list[Any] = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": TOOL_QUESTION},
            {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
            {"role": "tool", "tool_call_id": call.id, "content": '{"balance": 12}'},
        ]
        tools: list[Any] = [TOOL]
        client.chat.completions.create(model=MODEL, messages=messages, tools=tools)


def answer_from_documents(client: OpenAI, tracer: trace.Tracer) -> None:
    """Retrieve with a span made by hand in OpenInference's words, then ask with what was found."""
    with tracer.start_as_current_span("answer", attributes={"openinference.span.kind": "CHAIN"}):
        with tracer.start_as_current_span("search", attributes=retrieval_attributes()):
            pass
        context = "\n".join(text for _, text, _ in DOCUMENTS)
        ask(client, f"Use this context:\n{context}\n\nQuestion: {RAG_QUESTION}")


def retrieval_attributes() -> dict[str, Any]:
    attributes: dict[str, Any] = {"openinference.span.kind": "RETRIEVER", "input.value": RAG_QUESTION}
    for index, (name, text, score) in enumerate(DOCUMENTS):
        prefix = f"retrieval.documents.{index}.document"
        attributes |= {f"{prefix}.id": name, f"{prefix}.content": text, f"{prefix}.score": score}
        attributes[f"{prefix}.metadata"] = json.dumps({"shelf": index})
    return attributes


if __name__ == "__main__":
    main()
