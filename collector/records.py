"""The form in which telemetry travels from the dialects to the assembler.

A record is plain data (JSON types only), because it is redacted, journaled and stored as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

Kind = Literal["span", "log", "feedback", "change"]


class Message(TypedDict, total=False):
    """One chat message; parts that are no text stand as ``[image sha256:… 123 kB]``."""

    role: str
    content: str | None
    tool_calls: list[ToolCall]
    tool_call_id: str


class ToolCall(TypedDict, total=False):
    """A call that the model asked for; ``arguments`` is parsed JSON where it parses."""

    id: str | None
    name: str
    arguments: Any


class Document(TypedDict, total=False):
    """One retrieved document, in rank order."""

    document_id: str | None
    content: str | None
    relevance: float | None
    metadata: dict[str, Any] | None
    updated_at: str | None


class Judgement(TypedDict, total=False):
    """An evaluation or a human's feedback that travelled inside telemetry.

    ``scope`` is absent for what judges one span, else ``trace`` or ``session``.
    """

    name: str
    value: float | None
    label: str | None
    explanation: str | None
    evaluator: str | None
    human: bool
    response_id: str | None
    scope: str


class Facts(TypedDict, total=False):
    """What a dialect read from one span or log record, in canonical names. Absent means not said.

    ``input_messages`` holds no system message twice; ``input_tokens`` includes cached tokens. ``fragment`` is true
    for a log record of a single message: the fragments of one span, in order of time, are its conversation.
    """

    provider: str
    request_model: str
    response_model: str
    response_id: str
    system_prompt: str
    input_messages: list[Message]
    response: str
    tool_calls: list[ToolCall]
    finish_reason: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    reported_cost_usd: float
    streaming: bool
    ttft_ms: float
    parameters: dict[str, Any]
    session_id: str
    user_id: str
    agent_name: str
    prompt_name: str
    prompt_version: str
    prompt_template: str
    prompt_variables: dict[str, str]
    query: str
    documents: list[Document]
    rerank: bool
    tool_name: str
    tool_call_id: str
    tool_arguments: Any
    tool_result: Any
    embedding_inputs: list[str]
    judgements: list[Judgement]
    fragment: bool


class Record(TypedDict, total=False):
    """One span, log record, feedback or change.

    ``operation`` is canonical: ``chat``, ``text_completion``, ``embeddings``, ``retrieval``, ``execute_tool``,
    ``invoke_agent``, ``invoke_workflow`` or absent for a span of no known meaning. ``status`` is ``OK``,
    ``ERROR`` or ``UNSET``. Times are nanoseconds since the epoch. ``attributes``, ``events`` and ``resource``
    hold what no dialect mapped. ``sequence`` is the place of a log record in its request: it orders records of
    the same time. ``redactions`` counts by kind what redaction replaced, absent where it replaced nothing.
    """

    record_id: str
    kind: Kind
    trace_id: str | None
    span_id: str | None
    parent_span_id: str | None
    name: str
    operation: str | None
    service_name: str
    environment: str
    scope_name: str
    dialect: str
    start_ns: int
    end_ns: int
    sequence: int
    status: str
    error_type: str | None
    error_message: str | None
    flags: list[str]
    facts: Facts
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    resource: dict[str, Any]
    feedback: dict[str, Any]
    change: dict[str, Any]
    redactions: dict[str, int]


@dataclass(frozen=True)
class Normalised:
    """What one request became.

    Attributes
    ----------
    records : accepted records.
    rejected : how many items of the request were refused.
    ignored : how many log records were accepted and hold nothing that Undertow stores.
    error_message : why, for ``partial_success``; empty when nothing was refused.
    """

    records: list[Record]
    rejected: int = 0
    ignored: int = 0
    error_message: str = ""


@dataclass(frozen=True)
class Assembled:
    """Rows of the store, by table, without ``load_seq``; plain dictionaries with the tables' columns."""

    interactions: list[dict[str, Any]] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    tool_runs: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
