"""Fills a store with about 2,000 plausible interactions and everything that analysis writes about them."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tests.dashboard import factory_analysis
from tests.dashboard.factory_texts import HOSTILE, SUBJECTS
from undertow.store.base import Store
from undertow.store.embedded import EmbeddedStore
from undertow.text import content_hash

END = datetime(2026, 3, 15, 14, 0)
DAYS = 42
CHANGE_AT = END - timedelta(days=2, hours=3, minutes=20)
NEW_TOPIC_AT = END - timedelta(days=2, hours=3)
SPIKE_DAY = (END - timedelta(days=1)).date()
NEW_SUBJECT = len(SUBJECTS) - 1
MODELS = ("gpt-4o-mini", "gpt-4o", "house-llm-7b")
SYSTEM = {"v13": "You answer questions of customers from the documents.", "v14": "You answer quickly and always help."}

Rows = list[dict[str, Any]]


@dataclass
class Made:
    """Rows by table, and what the factory knows about them."""

    tables: dict[str, Rows] = field(default_factory=dict)
    subject_of: dict[str, int] = field(default_factory=dict)
    invented: set[str] = field(default_factory=set)

    def add(self, table: str, **row: Any) -> None:
        """Append one row."""
        self.tables.setdefault(table, []).append(row)


def table_of(rows: Rows) -> pa.Table:
    """Arrow table whose all-empty columns are dropped, so that the store fills them with NULL."""
    table = pa.Table.from_pylist(rows)
    keep = [name for name in table.column_names if not pa.types.is_null(table.schema.field(name).type)]
    return table.select(keep)


def fill(store: Store, *, days: int = DAYS, per_day: int = 40, seed: int = 7) -> Made:
    """Write the factory's data into a store in one commit."""
    made = Made()
    rng = conversations(made, days=days, per_day=per_day, seed=seed)
    _hostile(made)
    factory_analysis.add(made, rng, END)
    store.commit({name: table_of(rows) for name, rows in made.tables.items()}, key="factory")
    return made


def conversations(made: Made, *, days: int, per_day: int, seed: int = 7) -> random.Random:
    """Add telemetry alone: interactions, documents and spans."""
    rng = random.Random(seed)
    for day in range(days):
        midnight = datetime.combine((END - timedelta(days=days - 1 - day)).date(), datetime.min.time())
        count = per_day if day < days - 7 else per_day * 2
        for number in range(count):
            minute = min(max(rng.gauss(13.5, 3.6), 0), 23.9) * 60
            start = midnight + timedelta(minutes=minute, seconds=rng.random() * 60)
            if start < END:
                _conversation(made, rng, start, day * 1000 + number)
    return rng


def filled_folder(folder: Path, **options: Any) -> Made:
    """Fill ``undertow.duckdb`` in a data folder and release the file."""
    with EmbeddedStore(folder / "undertow.duckdb") as store:
        return fill(store, **options)


def scale_to(store: Store, copies: int) -> int:
    """Multiply the interactions of a filled store, for measurements; returns how many there are then."""
    rows = store.query("SELECT * EXCLUDE (load_seq) FROM interactions")
    for copy in range(copies):
        changed = rows
        for column in ("interaction_id", "trace_id", "turn_id"):
            values = pc.binary_join_element_wise(changed[column], pa.scalar(f"c{copy}"), "-")
            changed = changed.set_column(changed.schema.get_field_index(column), column, values)
        store.commit({"interactions": changed}, key=f"copy-{copy}")
    return int(store.query("SELECT count(*) AS n FROM interactions")["n"][0].as_py())


def _subject(rng: random.Random, start: datetime) -> int:
    if start > NEW_TOPIC_AT and rng.random() < 0.16:
        return NEW_SUBJECT
    return rng.choices(range(NEW_SUBJECT), [s.weight for s in SUBJECTS[:NEW_SUBJECT]])[0]


def _conversation(made: Made, rng: random.Random, start: datetime, number: int) -> None:
    index = _subject(rng, start)
    subject = SUBJECTS[index]
    trace = hashlib.sha256(f"trace-{number}".encode()).hexdigest()[:32]
    root, retrieval, span = (hashlib.sha256(f"{trace}{part}".encode()).hexdigest()[:16] for part in "abc")
    interaction_id = f"{trace}:{span}"
    service = "staff-handbook" if subject.label.startswith("Staff") else "bank-assistant"
    failed = rng.random() < 0.006
    refused = not failed and rng.random() < (0.02 if start < CHANGE_AT else 0.03)
    new = index == NEW_SUBJECT
    invented = not failed and not refused and rng.random() < (0.5 if new else 0.05)
    answer = _answer(subject, refused, failed, invented)
    question = rng.choice(subject.questions)
    duration = rng.lognormvariate(7.15, 0.35)
    made.subject_of[interaction_id] = index
    if invented:
        made.invented.add(interaction_id)
    offset = 180.0
    row = {
        "interaction_id": interaction_id,
        "trace_id": trace,
        "span_id": span,
        "turn_id": trace,
        "session_id": f"s{number // 3}",
        "user_id": f"u{number % 211}",
        "service_name": service,
        "environment": "production" if rng.random() < 0.9 else "staging",
        "operation": "chat",
        "start_time": start + timedelta(milliseconds=offset),
        "end_time": start + timedelta(milliseconds=offset + duration),
        "duration_ms": duration,
        "ttft_ms": duration * 0.22,
        "provider": "openai",
        **_model_and_tokens(rng, start, question),
        "prompt_name": service,
        "prompt_version": "v14" if start > CHANGE_AT and service == "bank-assistant" else "v13",
        "system_prompt": SYSTEM["v14" if start > CHANGE_AT else "v13"],
        "prompt": question,
        "messages": json.dumps([{"role": "system", "content": SYSTEM["v13"]}, {"role": "user", "content": question}]),
        "response": answer,
        "finish_reason": None if failed else "stop",
        "status": "ERROR" if failed else "OK",
        "error_type": "rate_limit" if failed else None,
        "error_message": "the provider answered 429" if failed else None,
        "language": "en",
        "prompt_text_hash": content_hash(question),
        "response_text_hash": content_hash(answer) if answer else None,
        "content_state": "full",
    }
    made.add("interactions", **row)
    _documents(made, rng, row, subject.document, retrieval, index)
    _spans(made, row, start, root, retrieval, offset)


def _answer(subject: Any, refused: bool, failed: bool, invented: bool) -> str | None:
    if failed:
        return None
    if refused:
        return "I am sorry, I cannot help with that."
    return f"{subject.answer} {subject.invented}" if invented else subject.answer


def _model_and_tokens(rng: random.Random, start: datetime, question: str) -> dict[str, Any]:
    model = rng.choices(MODELS, (86, 11, 3))[0]
    spike = start.date() == SPIKE_DAY and 9 <= start.hour < 12
    tokens = int(rng.gauss(620, 80)) + len(question) // 4
    return {
        "request_model": model,
        "response_model": model,
        "input_tokens": tokens * (30 if spike else 1),
        "output_tokens": int(rng.gauss(70, 15)),
    }


def _documents(made: Made, rng: random.Random, row: dict[str, Any], content: str, retrieval: str, index: int) -> None:
    other = SUBJECTS[(index + 1) % NEW_SUBJECT]
    for rank, (name, text) in enumerate(((f"kb-{index}", content), (f"kb-{index + 1}", other.document)), start=1):
        made.add(
            "documents",
            document_row_id=f"{row['interaction_id']}/{rank}",
            interaction_id=row["interaction_id"],
            trace_id=row["trace_id"],
            retrieval_span_id=retrieval,
            query=row["prompt"],
            rank=rank,
            document_id=name,
            content=text,
            relevance=round(rng.uniform(0.6, 0.95) / rank, 3),
            join_confidence=1.0,
        )


def _spans(made: Made, row: dict[str, Any], start: datetime, root: str, retrieval: str, offset: float) -> None:
    duration = float(row["duration_ms"])
    parts = (
        (root, None, "answer question", "invoke_agent", 0.0, offset + duration + 25),
        (retrieval, root, "search knowledge base", "retrieval", 12.0, offset - 30),
        (row["span_id"], root, f"chat {row['request_model']}", "chat", offset, duration),
    )
    for span, parent, name, operation, begin, length in parts:
        made.add(
            "spans",
            trace_id=row["trace_id"],
            span_id=span,
            parent_span_id=parent,
            name=name,
            operation=operation,
            service_name=row["service_name"],
            environment=row["environment"],
            dialect="otel_genai",
            start_time=start + timedelta(milliseconds=begin),
            end_time=start + timedelta(milliseconds=begin + length),
            duration_ms=length,
            status=row["status"] if operation == "chat" else "OK",
            attributes=json.dumps({"server.address": "127.0.0.1"}),
        )


def _hostile(made: Made) -> None:
    """Turn one flagged interaction into text that must never be rendered."""
    target = sorted(made.invented)[0]
    for row in made.tables["interactions"]:
        if row["interaction_id"] == target:
            row["prompt"] = HOSTILE
            row["response"] = f"{row['response']} {HOSTILE}"
            row["messages"] = json.dumps([{"role": "user", "content": HOSTILE}])
    for row in made.tables["documents"]:
        if row["interaction_id"] == target:
            row["content"] = f"{row['content']} {HOSTILE}"
