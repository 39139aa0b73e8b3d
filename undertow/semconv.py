"""Names that Undertow knows from the OpenTelemetry GenAI semantic conventions, and its own canonical values.

Only spellings stand here; what they mean together is the business of the dialects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SPECIFICATION_VERSION: Final = "1.44.0"
"""Version of the semantic conventions that the current names below were read from."""

# --- Canonical operations ----------------------------------------------------------------------------

CHAT: Final = "chat"
TEXT_COMPLETION: Final = "text_completion"
EMBEDDINGS: Final = "embeddings"
RETRIEVAL: Final = "retrieval"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"
INVOKE_WORKFLOW: Final = "invoke_workflow"

GENERATIONS: Final = frozenset({CHAT, TEXT_COMPLETION})
MODEL_CALLS: Final = GENERATIONS | {EMBEDDINGS}

OPERATIONS: Final[Mapping[str, str]] = {
    "chat": CHAT,
    "generate_content": CHAT,
    "generate": CHAT,
    "response": CHAT,
    "responses": CHAT,
    "message": CHAT,
    "text_completion": TEXT_COMPLETION,
    "completion": TEXT_COMPLETION,
    "text_completions": TEXT_COMPLETION,
    "text.completions": TEXT_COMPLETION,
    "chat_completion": CHAT,
    "chat_completions": CHAT,
    "chat.completions": CHAT,
    "embeddings": EMBEDDINGS,
    "embedding": EMBEDDINGS,
    "embed": EMBEDDINGS,
    "retrieval": RETRIEVAL,
    "retrieve": RETRIEVAL,
    "search": RETRIEVAL,
    "rerank": RETRIEVAL,
    "execute_tool": EXECUTE_TOOL,
    "tool": EXECUTE_TOOL,
    "invoke_agent": INVOKE_AGENT,
    "agent": INVOKE_AGENT,
    "invoke_workflow": INVOKE_WORKFLOW,
    "workflow": INVOKE_WORKFLOW,
}
"""What a client may call an operation, in lower case, and what it is called here."""

# --- Canonical roles and finish reasons --------------------------------------------------------------

ROLES: Final[Mapping[str, str]] = {
    "developer": "system",
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "function": "tool",
    "tool_result": "tool",
    "tool-call": "assistant",
    "tool-response": "tool",
}

FINISH_REASONS: Final[Mapping[str, str]] = {
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "complete": "stop",
    "completed": "stop",
    "finished": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_completion_tokens": "length",
    "model_length": "length",
    "incomplete": "length",
    "safety": "content_filter",
    "refusal": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
}

PROVIDERS: Final[Mapping[str, str]] = {
    "open_ai": "openai",
    "google": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "gemini": "gcp.gemini",
    "vertexai": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "mistralai": "mistral_ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Other spellings of the providers that the specification names."""

# --- Resource and common attributes ------------------------------------------------------------------

SERVICE_NAME: Final = "service.name"
ENVIRONMENTS: Final = ("deployment.environment.name", "deployment.environment")
SESSION_IDS: Final = ("gen_ai.conversation.id", "session.id")
USER_IDS: Final = ("user.id", "enduser.id", "enduser.pseudo.id", "gen_ai.request.user", "llm.user")
ERROR_TYPE: Final = "error.type"
EVENT_NAME: Final = "event.name"
EVENT_NAMES: Final = (EVENT_NAME, "event_name")
"""Attributes that name a log record which has no event name of its own."""

EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"

# --- GenAI attributes: the current name first, then older ones ---------------------------------------

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAMES: Final = ("gen_ai.provider.name", "gen_ai.system")
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASON_KEYS: Final = ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason")
STREAM_KEYS: Final = ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming")
TTFT_SECONDS: Final = (
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.server.time_to_first_token",
)
COST_KEYS: Final = ("gen_ai.usage.cost", "gen_ai.cost.total_cost", "operation.cost")
AGENT_NAME: Final = "gen_ai.agent.name"
PROMPT_NAME: Final = "gen_ai.prompt.name"
PROMPT_VERSION: Final = "gen_ai.prompt.version"
PROMPT_TEMPLATE: Final = "gen_ai.prompt.template"
PROMPT_VARIABLE: Final = "gen_ai.prompt.variable."
REQUEST_PREFIX: Final = "gen_ai.request."

USAGE: Final[Mapping[str, tuple[str, ...]]] = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.prompt_tokens_details.cache_read",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.prompt_tokens_details.cache_write",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "gen_ai.usage.completion_tokens_details.reasoning",
    ),
}

INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"

RETRIEVAL_QUERIES: Final = ("gen_ai.retrieval.query.text", "gen_ai.retrieval.query")
RETRIEVAL_DOCUMENTS: Final = "gen_ai.retrieval.documents"

TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_ARGUMENTS: Final = ("gen_ai.tool.call.arguments", "gen_ai.tool.args", "gen_ai.tool.input")
TOOL_RESULTS: Final = ("gen_ai.tool.call.result", "gen_ai.tool.call.response", "gen_ai.tool.output")

# --- GenAI events ------------------------------------------------------------------------------------

CHUNK_EVENTS: Final = ("llm.content.completion.chunk", "gen_ai.content.completion.chunk", "First Token Stream Event")
"""Events on a span of which the first tells when the first token came."""

DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"
EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_VALUE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

CHOICE_EVENT: Final = "gen_ai.choice"
MESSAGE_EVENTS: Final[Mapping[str, str]] = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
"""The older event of one message, and the role that it implies."""

PROMPT_EVENT: Final = "gen_ai.content.prompt"
COMPLETION_EVENT: Final = "gen_ai.content.completion"
OLD_PROMPT: Final = "gen_ai.prompt"
OLD_COMPLETION: Final = "gen_ai.completion"

# --- Flags -------------------------------------------------------------------------------------------
# A flag that speaks of a time keeps its row out of every window and chart: their SQL looks for the word.

FLAG_END_BEFORE_START: Final = "end_time_before_start"
FLAG_IMPOSSIBLE_TIME: Final = "impossible_time"
"""Before the year 2000, or in 2100 or later."""

FLAG_FUTURE_TIME: Final = "time_in_future"
"""More than five minutes after the telemetry arrived."""

FLAG_CLOCK_SKEW: Final = "clock_skew"
"""Earlier than the call from another service that led to it: two clocks disagree, but by little."""
