"""What the user asked, without the text that was put around it."""

from __future__ import annotations

from collections.abc import Sequence

from collector.assemble.calls import Call
from collector.assemble.context import CONFIRMED, Joined, contains
from collector.assemble.tree import Tree
from collector.records import Record
from undertow import semconv as names

_VARIABLES = (
    "question",
    "query",
    "user_question",
    "user_query",
    "user_input",
    "user_message",
    "input",
    "message",
    "text",
)


def question(tree: Tree, call: Call, given: Sequence[Joined]) -> str | None:
    """Return the question of a call.

    A retrieval's query that the user's message holds, else a variable of the prompt template that it holds, else
    the last user message without the documents in it. A query that a tool was called with is the model's, not
    the user's; a variable that the message does not hold belongs to some other call.

    Parameters
    ----------
    tree : the call's trace.
    call : a generating call.
    given : the documents joined to it.
    """
    asked = _last_user_text(call)
    if asked is None:
        return None
    for query in _queries(tree, given):
        if contains(asked, query):
            return query
    variables = call.facts.get("prompt_variables", {})
    for name in _VARIABLES:
        value = (variables.get(name) or "").strip()
        if value and contains(asked, value):
            return value
    return without_documents(asked, given)


def _last_user_text(call: Call) -> str | None:
    for message in reversed(call.facts.get("input_messages", [])):
        if message.get("role") == "user" and message.get("content"):
            return (message["content"] or "").strip() or None
    return None


def _queries(tree: Tree, given: Sequence[Joined]) -> list[str]:
    """Return the queries of the joined retrievals that ran outside any tool, each once."""
    queries = []
    for joined in given:
        query = (joined.retrieval["facts"].get("query") or "").strip()
        if query and query not in queries and not _asked_by_model(tree, joined.retrieval):
            queries.append(query)
    return queries


def _asked_by_model(tree: Tree, retrieval: Record) -> bool:
    if retrieval.get("operation") == names.EXECUTE_TOOL:
        return True
    span_id = str(retrieval["span_id"])
    return tree.nearest(span_id, "tool", lambda span: span.get("operation") == names.EXECUTE_TOOL or None) is not None


def without_documents(text: str, given: Sequence[Joined]) -> str:
    """Return a text without the documents that it holds; the whole text if nothing else is in it."""
    rest = text
    for joined in given:
        content = (joined.document.get("content") or "").strip()
        if content and joined.confidence == CONFIRMED:
            rest = rest.replace(content, "")
    if rest is text:
        return text
    lines = [line for line in rest.splitlines() if line.strip()]
    return "\n".join(lines).strip() or text


def template_text(call: Call, given: Sequence[Joined]) -> str | None:
    """Return what names a version of a prompt: its template, else the system prompt without what varies."""
    template = call.facts.get("prompt_template")
    if template:
        return template
    system = call.facts.get("system_prompt")
    if not system:
        return None
    for value in sorted(call.facts.get("prompt_variables", {}).values(), key=len, reverse=True):
        if len(value) >= 3:
            system = system.replace(value, "")
    return without_documents(system, given)
