"""The spans of a trace as a waterfall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.formats import duration, escape
from dashboard.palette import ACCENT, AMBER, RED, REFERENCE

_COLORS = {
    "chat": ACCENT,
    "text_completion": ACCENT,
    "retrieval": "#0072B2",
    "embeddings": "#7E6BB5",
    "execute_tool": AMBER,
}


def html_of(spans: Sequence[Mapping[str, Any]], chosen: str) -> str:
    """A row per span: name indented by depth, bar at its time, duration; the chosen span is bold."""
    begin = min(span["start_time"] for span in spans)
    total = max((span["end_time"] - begin).total_seconds() for span in spans) or 1e-6
    rows = "".join(_row(span, depth, begin, total, chosen) for span, depth in in_tree_order(spans))
    return f'<div class="ut-fall">{rows}</div>'


def in_tree_order(spans: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], int]]:
    """Parents before children, siblings by time; spans without a known parent, and cycles, stand at the top."""
    known = {span["span_id"] for span in spans}
    children: dict[Any, list[Mapping[str, Any]]] = {}
    for span in sorted(spans, key=lambda s: (s["start_time"], s["span_id"])):
        parent = span["parent_span_id"] if span["parent_span_id"] in known else None
        children.setdefault(parent, []).append(span)
    ordered: list[tuple[Mapping[str, Any], int]] = []
    seen: set[Any] = set()
    stack = [(span, 0) for span in reversed(children.get(None, []))]
    while stack:
        span, depth = stack.pop()
        if span["span_id"] in seen:
            continue
        seen.add(span["span_id"])
        ordered.append((span, depth))
        stack.extend((child, depth + 1) for child in reversed(children.get(span["span_id"], [])))
    ordered.extend((span, 0) for span in spans if span["span_id"] not in seen)
    return ordered


def _row(span: Mapping[str, Any], depth: int, begin: Any, total: float, chosen: str) -> str:
    left = 100 * (span["start_time"] - begin).total_seconds() / total
    width = 100 * max((span["end_time"] - span["start_time"]).total_seconds(), 0) / total
    failed = span["status"] == "ERROR"
    color = RED if failed else _COLORS.get(str(span["operation"]), REFERENCE)
    name = escape(span["name"] or "span")
    label = f"<b>{name}</b>" if span["span_id"] == chosen else name
    title = f"{name} · {escape(span['operation'] or 'plain span')}" + (
        f" · {escape(span['error_type'])}" if failed else ""
    )
    indent = f"padding-left:{min(depth, 8) * 14}px"
    place = f"left:{left:.2f}%;width:{min(width, 100 - left):.2f}%;background:{color}"
    return (
        f'<div class="name" style="{indent}" title="{title}">{label}{" ✕ failed" if failed else ""}</div>'
        f'<div class="lane"><div class="bar" style="{place}"></div></div>'
        f'<div class="t">{duration(span["duration_ms"])}</div>'
    )
