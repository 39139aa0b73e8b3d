"""An answer with its claims marked, and the sources beside it with the closest passage marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.components.text import status
from dashboard.formats import escape, json_value

MARKED = ("unsupported", "contradicted", "supported")
MAX_SOURCE = 1_600


def numbered(claims: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """Claims in reading order with the number that stands on the screen; without those that claim nothing."""
    shown = [claim for claim in claims if claim["verdict"] in MARKED]
    return list(enumerate(shown, start=1))


def answer_html(response: str, claims: Sequence[Mapping[str, Any]]) -> str:
    """The answer; offsets that overlap or lie outside are skipped, the text stays whole."""
    parts: list[str] = []
    position = 0
    for number, claim in numbered(claims):
        start, end = int(claim["start_char"]), int(claim["end_char"])
        if start < position or end <= start or end > len(response):
            continue
        parts.append(escape(response[position:start]))
        parts.append(
            f'<span class="ut-claim {claim["verdict"]}">{escape(response[start:end])}<sup>{number}</sup></span>'
        )
        position = end
    parts.append(escape(response[position:]))
    return f'<div class="ut-text">{"".join(parts)}</div>'


def source_html(document: Mapping[str, Any], claims: Sequence[Mapping[str, Any]]) -> str:
    """One source with the passages that are closest to the claims."""
    content = str(document["content"] or "")
    spans: dict[tuple[int, int], list[str]] = {}
    numbers = []
    for number, claim in numbered(claims):
        if claim["document_row_id"] != document["document_row_id"]:
            continue
        numbers.append(str(number))
        evidence = json_value(claim["evidence"])
        span = _span(evidence)
        if span is not None:
            spans.setdefault(span, []).append(str(number))
    closest = f" · closest to claim {', '.join(numbers)}" if numbers else ""
    relevance = f" · relevance {float(document['relevance']):.2f}" if document["relevance"] is not None else ""
    head = f"{escape(document['document_id'] or 'document')} · rank {document['rank']}{relevance}{closest}"
    body = f'<div class="ut-text">{_marked(content, spans)}</div>'
    return f'<div class="ut-source"><div class="head">{head}</div>{body}</div>'


def claim_notes(claims: Sequence[Mapping[str, Any]]) -> str:
    """One line for each claim that no source supports."""
    lines = [
        f"<li>Claim {number}: {status(str(claim['verdict']))}, probability of support {claim['support'] or 0:.2f}</li>"
        for number, claim in numbered(claims)
        if claim["verdict"] != "supported"
    ]
    return f'<ul class="ut-note">{"".join(lines)}</ul>' if lines else ""


def _span(evidence: Any) -> tuple[int, int] | None:
    if not isinstance(evidence, dict):
        return None
    start, end = evidence.get("start"), evidence.get("end")
    return (start, end) if isinstance(start, int) and isinstance(end, int) else None


def _marked(content: str, spans: Mapping[tuple[int, int], Sequence[str]]) -> str:
    parts: list[str] = []
    position = 0
    for (start, end), numbers in sorted(spans.items()):
        if start < position or end <= start or end > len(content):
            continue
        parts.append(escape(content[position:start]))
        parts.append(f"<mark>{escape(content[start:end])}</mark><sup>{','.join(numbers)}</sup>")
        position = end
    rest = content[position:]
    cut = MAX_SOURCE if position < MAX_SOURCE else 200
    parts.append(escape(rest[:cut]) + (" …" if len(rest) > cut else ""))
    return "".join(parts)
