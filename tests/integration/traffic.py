"""A small history of turns, written straight into a store: what the pipeline's tests analyse."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pyarrow as pa

from undertow.store import Store
from undertow.text import content_hash

START = datetime(2026, 3, 2)
_INTENTS = {
    "lost card": "{} my {} card is lost, how do I {} it",
    "exchange rate": "{} what is the {} exchange rate to {} dollars",
    "mortgage": "{} can I repay my {} mortgage {} the end of the term",
    "salary account": "{} which {} fee does the salary account have {} this year",
    "branch hours": "{} when does the {} branch open {} Saturday",
}
_NEW = "{} my {} transfer is stuck in the instant payment outage, {} will it arrive"
_FILL = (
    ["Hello,", "Hi,", "Please,", "Tell me,"],
    ["new", "old", "second", "business"],
    ["before", "block", "on", "after"],
)
_DOCUMENT = (
    "The {} costs 4.50 euros a month and can be changed in the app within 14 days. Staff in the branch can help."
)


def write_history(store: Store, *, days: int = 40, per_day: int = 40, new_from: int = 37, seed: int = 0) -> None:
    """Write ``days`` of turns; from day ``new_from`` on, a quarter of them are about a new subject."""
    rng = random.Random(seed)
    rows, documents = [], []
    for day in range(days):
        for number in range(per_day):
            fresh = day >= new_from and rng.random() < 0.25
            intent = "instant payments" if fresh else rng.choice(list(_INTENTS))
            template = _NEW if fresh else _INTENTS[intent]
            prompt = template.format(*(rng.choice(words) for words in _FILL))
            document = _DOCUMENT.format(intent)
            invented = day == days - 1 and number % 4 == 0
            response = (
                f"The {intent} costs 97.80 euros per week and was approved by Minister Alder in 1984."
                if invented
                else f"The {intent} costs 4.50 euros a month and can be changed in the app within 14 days."
            )
            at = START + timedelta(days=day, hours=8 + number % 10, minutes=rng.randrange(60))
            trace = f"{day * 10_000 + number:032x}"
            rows.append(_interaction(trace, at, prompt, response, f"s{day}-{number // 2}"))
            documents.append(_document(trace, document, prompt))
    store.commit(
        {"interactions": pa.Table.from_pylist(rows), "documents": pa.Table.from_pylist(documents)},
        key=f"h{seed}:{days}",
    )


def call(number: int, at: datetime, **columns: object) -> dict[str, object]:
    """Return one answered call, its id made from ``number``."""
    answer = "The card costs 4.50 euros a month."
    return {**_interaction(f"{number:032x}", at, "what does the card cost", answer, f"s{number}"), **columns}


def _interaction(trace: str, at: datetime, prompt: str, response: str, session: str) -> dict[str, object]:
    return {
        "interaction_id": f"{trace}:{'1' * 16}",
        "trace_id": trace,
        "span_id": "1" * 16,
        "turn_id": trace,
        "session_id": session,
        "service_name": "bank",
        "operation": "chat",
        "start_time": at,
        "end_time": at + timedelta(seconds=2),
        "duration_ms": 2000.0,
        "provider": "openai",
        "request_model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini",
        "prompt": prompt,
        "response": response,
        "input_tokens": 200,
        "output_tokens": 40,
        "status": "OK",
        "language": "en",
        "prompt_text_hash": content_hash(prompt),
        "response_text_hash": content_hash(response),
        "content_state": "full",
    }


def _document(trace: str, content: str, query: str) -> dict[str, object]:
    return {
        "document_row_id": f"{trace}:0",
        "interaction_id": f"{trace}:{'1' * 16}",
        "trace_id": trace,
        "query": query,
        "rank": 0,
        "document_id": content_hash(content)[:8],
        "content_hash": content_hash(content),
        "content": content,
    }
