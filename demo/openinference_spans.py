"""The staff handbook's traces, as OpenInference instrumentations write them: chain, retriever, model."""

from __future__ import annotations

import random

import orjson
from opentelemetry.trace import SpanKind

from demo.script import Turn
from demo.spans import Attribute, Clock, PlannedSpan, nanoseconds, tokens

MODEL = "claude-haiku-4-5"
RESPONSE_MODEL = "claude-haiku-4-5-20251001"
SCOPE = "fenmarrow.handbook"


def staff_spans(turn: Turn) -> list[PlannedSpan]:
    """Plan the spans of one turn; the last one is the model's and holds the answer."""
    rng = random.Random(turn.trace_id)  # noqa: S311 -- a repeatable script, not a secret
    clock = Clock(nanoseconds(turn.start), rng)
    chain = _common(turn, "CHAIN") | {"input.value": turn.question}
    root = PlannedSpan("handbook_chain", SpanKind.INTERNAL, None, clock.now_ns, 0, chain, turn.error)
    clock.pause(2, 8)
    start = clock.now_ns
    retriever = PlannedSpan("HandbookRetriever", SpanKind.INTERNAL, 0, start, clock.pause(20, 80), _retriever(turn))
    clock.pause(1, 5)
    model = _model(turn, clock)
    root.end_ns = clock.pause(1, 6)
    if not turn.error:
        root.attributes["output.value"] = turn.answer
    return [root, retriever, model]


def _common(turn: Turn, kind: str) -> dict[str, Attribute]:
    return {"openinference.span.kind": kind, "session.id": turn.session_id, "user.id": turn.user_id}


def _retriever(turn: Turn) -> dict[str, Attribute]:
    attributes = _common(turn, "RETRIEVER") | {"input.value": turn.question}
    for rank, hit in enumerate(turn.hits):
        prefix = f"retrieval.documents.{rank}.document"
        metadata = {
            "title": hit.passage.title,
            "edition": hit.passage.version,
            "updated_at": hit.passage.updated_at.isoformat() + "Z",
        }
        attributes |= {
            f"{prefix}.id": hit.passage.id,
            f"{prefix}.content": hit.passage.text,
            f"{prefix}.score": hit.relevance,
            f"{prefix}.metadata": _json(metadata),
        }
    return attributes


def _model(turn: Turn, clock: Clock) -> PlannedSpan:
    context = "\n\n".join(hit.passage.text for hit in turn.hits)
    system = turn.prompt.system_template.format(context=context)
    start = clock.now_ns
    attributes = _common(turn, "LLM") | {
        "llm.provider": "anthropic",
        "llm.system": "anthropic",
        "llm.model_name": RESPONSE_MODEL,
        "llm.invocation_parameters": _json({"model": MODEL, "temperature": 0.1, "max_tokens": 400}),
        "llm.prompt_template.template": turn.prompt.system_template,
        "llm.prompt_template.version": turn.prompt.version,
        "llm.prompt_template.variables": _json({"context": context}),
        "prompt.id": turn.prompt.name,
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": system,
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": turn.question,
    }
    if turn.error:
        end = clock.pause(300, 9000)
        return PlannedSpan("ChatAnthropic", SpanKind.INTERNAL, 0, start, end, attributes, turn.error)
    given, written = tokens(system, turn.question), tokens(turn.answer)
    end, _ = clock.model(given, written)
    attributes |= {
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": turn.answer,
        "llm.finish_reason": "stop",
        "llm.token_count.prompt": given,
        "llm.token_count.completion": written,
        "llm.token_count.total": given + written,
    }
    return PlannedSpan("ChatAnthropic", SpanKind.INTERNAL, 0, start, end, attributes)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
