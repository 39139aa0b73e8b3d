"""What analysis would have written about the factory's interactions."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from tests.dashboard.factory_texts import SUBJECTS

NEW = len(SUBJECTS) - 1
FIELDS = ("prompt", "context", "response", "behaviour")
PRICES = {"gpt-4o-mini": (0.15, 0.6), "gpt-4o": (2.5, 10.0)}
NEW_SENTENCE = (
    "Since Friday 11:00, 8 % of questions are about cards frozen abroad (before: none), and 46 % of the answers to"
    " them are not"
    " grounded"
)


def add(made: Any, rng: random.Random, end: datetime) -> None:
    """Add topics, drift, claims, evaluations, reviews, costs, alerts, changes and runs."""
    _topics(made, rng, end)
    _drift(made, rng, end)
    for row in made.tables["interactions"]:
        _judge(made, rng, row)
        _price(made, row)
    _alerts(made, end)
    _changes(made, end)
    _runs(made, end)


def _topics(made: Any, rng: random.Random, end: datetime) -> None:
    members: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in made.tables["interactions"]:
        index = made.subject_of[row["interaction_id"]]
        outlier = rng.random() < 0.04 and index != NEW
        angle = 2 * math.pi * index / NEW
        radius = 6.5 if index != NEW else 1.0
        if not outlier:
            members[index].append(row)
        made.add(
            "topic_assignments",
            interaction_id=row["interaction_id"],
            field="prompt",
            topic_id=-1 if outlier else index + 1,
            membership=0.0 if outlier else rng.uniform(0.6, 1.0),
            novelty=rng.random(),
            x=radius * math.cos(angle) + rng.gauss(0, 3.5 if outlier else 0.7),
            y=radius * math.sin(angle) + rng.gauss(0, 3.5 if outlier else 0.7),
            run_id="run-topics",
        )
    total = len(made.tables["interactions"])
    for index, rows in sorted(members.items()):
        _topic(made, index, rows, total, end)


def _topic(made: Any, index: int, rows: list[dict[str, Any]], total: int, end: datetime) -> None:
    subject = SUBJECTS[index]
    born = min(row["start_time"] for row in rows)
    angle = 2 * math.pi * index / NEW
    radius = 6.5 if index != NEW else 1.0
    words = [word.strip("?,.").lower() for question in subject.questions for word in question.split() if len(word) > 4]
    made.add(
        "topics",
        topic_id=index + 1,
        label=subject.label,
        label_source="keywords",
        keywords=json.dumps(words[:6]),
        parent_id=None,
        level=0,
        size=len(rows),
        share=len(rows) / total,
        exemplars=json.dumps([row["interaction_id"] for row in rows[:3]]),
        x=radius * math.cos(angle),
        y=radius * math.sin(angle),
        first_seen=born,
        last_seen=max(row["start_time"] for row in rows),
        state="provisional" if index == NEW else "stable",
    )
    made.add(
        "topic_history",
        event_id=f"born-{index}",
        topic_id=index + 1,
        event="born",
        happened_at=born,
        related="[]",
        size_before=0,
        size_after=len(rows),
        sentence=f"{subject.label} appeared with {len(rows)} questions",
        run_id="run-topics",
    )


def _drift(made: Any, rng: random.Random, end: datetime) -> None:
    last = end.replace(hour=0, minute=0)
    new_ids = [key for key, index in made.subject_of.items() if index == NEW]
    for service in ("bank-assistant", "staff-handbook"):
        for field in FIELDS:
            for back in range(21, -1, -1):
                start = last - timedelta(days=back)
                alarmed = service == "bank-assistant" and back <= 1 and field in ("prompt", "response")
                evidence = rng.uniform(3.2, 4.0) if alarmed else min(rng.expovariate(2.3), 1.6)
                _drift_row(made, service, field, start, evidence, alarmed)
                if alarmed:
                    _contributions(made, f"{service}-{field}-{start:%m%d}", rng, new_ids)


def _drift_row(made: Any, service: str, field: str, start: datetime, evidence: float, alarmed: bool) -> None:
    verdict = (
        "drifted" if alarmed else "insufficient" if service == "staff-handbook" and start.day % 5 == 0 else "stable"
    )
    what = {"prompt": "questions", "context": "retrieved documents", "response": "answers", "behaviour": "behaviour"}[
        field
    ]
    made.add(
        "drift",
        drift_id=f"{service}-{field}-{start:%m%d}",
        run_id="run-drift",
        field=field,
        segment=service,
        grouping="session (0 % without)",
        reference_start=start - timedelta(days=28),
        reference_end=start,
        current_start=start,
        current_end=start + timedelta(days=1),
        n_reference=1100,
        n_current=80,
        statistic="cell_excess",
        value=5.2 if alarmed else 1.1,
        effect=0.14 if alarmed else 0.02,
        p_value=10**-evidence,
        p_floor=1e-4,
        evidence=evidence,
        threshold=2.2,
        verdict=verdict,
        sentence=f"The {what} of {service} changed: 14 % of 80 are unlike the 28 days before (p = {10**-evidence:.1g})"
        if alarmed
        else f"No change found in the {what} of {service}",
        method_version="1",
    )


def _contributions(made: Any, drift_id: str, rng: random.Random, new_ids: list[str]) -> None:
    for topic, (before, after, kind) in enumerate(
        ((0.16, 0.12, "share"), (0.14, 0.13, "within"), (0.11, 0.10, "share"), (0.09, 0.08, "share")), start=1
    ):
        made.add(
            "drift_contributions",
            drift_id=drift_id,
            topic_id=topic,
            share_reference=before,
            share_current=after,
            contribution=rng.uniform(0.01, 0.08),
            kind=kind,
            exemplars="[]",
        )
    made.add(
        "drift_contributions",
        drift_id=drift_id,
        topic_id=NEW + 1,
        share_reference=0.0,
        share_current=0.16,
        contribution=0.71,
        kind="share",
        exemplars=json.dumps(new_ids[:6]),
    )


def _judge(made: Any, rng: random.Random, row: dict[str, Any]) -> None:
    key, answer = row["interaction_id"], row["response"]
    if answer is None:
        return
    if answer.startswith("I am sorry"):
        _evaluation(made, row, "refusal", 1.0, "refusal", "the answer declines", "lower_is_better")
        return
    bad = key in made.invented
    value = rng.uniform(0.05, 0.3) if bad else rng.uniform(0.75, 0.99)
    label = "ungrounded" if bad else "grounded"
    _evaluation(made, row, "groundedness", value, label, "compared with 2 documents", "higher_is_better")
    _claims(made, rng, row, bad)
    if bad:
        state = "open" if rng.random() < 0.8 else "archived"
        made.add(
            "reviews",
            interaction_id=key,
            state=state,
            severity=round(1 - value, 3),
            reasons=json.dumps(["1 of 3 claims is in no document", "The topic is new since Friday"]),
            assignee=None,
            decided_by=None if state == "open" else "earlier@example.com",
            decided_at=None if state == "open" else row["end_time"],
        )
    if rng.random() < 0.12:
        unhappy = rng.random() < (0.45 if bad else 0.08)
        made.add(
            "feedback",
            feedback_id=f"fb-{key}",
            target_kind="interaction",
            target_id=key,
            kind="thumb",
            value=0.0 if unhappy else 1.0,
            label=None,
            comment="That did not work" if unhappy else None,
            author=row["user_id"],
            source="otlp",
            created_at=row["end_time"] + timedelta(minutes=1),
        )


def _evaluation(made: Any, row: dict[str, Any], name: str, value: float, label: str, why: str, direction: str) -> None:
    made.add(
        "evaluations",
        evaluation_id=f"{name}-{row['interaction_id']}",
        target_kind="interaction",
        target_id=row["interaction_id"],
        name=name,
        value=value,
        label=label,
        explanation=why,
        direction=direction,
        evaluator="lexical",
        evaluator_version="1",
        run_id=f"run-{name}",
        created_at=row["end_time"],
    )


def _claims(made: Any, rng: random.Random, row: dict[str, Any], bad: bool) -> None:
    answer = row["response"]
    invented = SUBJECTS[made.subject_of[row["interaction_id"]]].invented
    cut = answer.find(invented) if bad else -1
    pieces = [(0, cut if cut > 0 else len(answer), True)] + ([(cut, cut + len(invented), False)] if cut > 0 else [])
    for number, (start, end, supported) in enumerate(pieces):
        text = answer[start:end].rstrip()
        made.add(
            "claims",
            claim_id=f"{row['interaction_id']}#{number}",
            interaction_id=row["interaction_id"],
            start_char=start,
            end_char=start + len(text),
            text=text,
            support=rng.uniform(0.8, 0.99) if supported else rng.uniform(0.02, 0.2),
            verdict="supported" if supported else "unsupported",
            document_row_id=f"{row['interaction_id']}/1",
            evidence=json.dumps(
                {"text": SUBJECTS[made.subject_of[row["interaction_id"]]].document[:60], "start": 0, "end": 60}
            ),
            scorer="lexical",
            scorer_version="1",
            run_id="run-groundedness",
        )


def _price(made: Any, row: dict[str, Any]) -> None:
    price = PRICES.get(row["request_model"])
    cost = None
    if price:
        cost = (row["input_tokens"] * price[0] + row["output_tokens"] * price[1]) / 1e6
    source = "computed" if price else "unknown"
    made.add(
        "costs",
        interaction_id=row["interaction_id"],
        cost_usd=cost,
        cost_source=source,
        price_version="test",
        run_id="run-cost",
    )


def _alerts(made: Any, end: datetime) -> None:
    day = (end - timedelta(days=1)).replace(hour=9, minute=0)
    rows = (
        ("builtin:new_topic", end - timedelta(days=2, hours=3), 0.9, NEW_SENTENCE, "topic_share", 0.08, 0.0),
        (
            "builtin:drift:prompt",
            day.replace(hour=0),
            0.7,
            "The questions of bank-assistant changed on Saturday",
            "evidence",
            3.6,
            2.2,
        ),
        (
            "builtin:cost",
            day,
            0.6,
            "On Saturday from 9:00 to 12:00, cost ran at 14 times the usual rate",
            "cost_usd",
            0.41,
            0.03,
        ),
        (
            "builtin:groundedness",
            day,
            0.5,
            "On Saturday, 84 % of 71 answers were grounded (usual: 95 %)",
            "grounded",
            0.84,
            0.95,
        ),
    )
    for number, (alert, at, severity, sentence, metric, value, expected) in enumerate(rows):
        evidence = {
            "metric": metric,
            "start": at.isoformat(),
            "end": (at + timedelta(hours=3)).isoformat(),
            "value": value,
            "expected": expected,
            "n": 71,
            "service_name": "bank-assistant",
        }
        if alert == "builtin:new_topic":
            evidence["topic_id"] = NEW + 1
        made.add(
            "alert_events",
            event_id=f"event-{number}",
            alert_id=alert,
            kind="fired",
            happened_at=at,
            severity=severity,
            sentence=sentence,
            evidence=json.dumps(evidence),
            run_id="run-alerts",
        )


def _changes(made: Any, end: datetime) -> None:
    rows = (
        ("change-a", end - timedelta(days=5, hours=6), "knowledge_base", "handbook", "2026-02", "2026-03"),
        ("change-b", end - timedelta(days=2, hours=3, minutes=20), "prompt", "bank-assistant", "v13", "v14"),
    )
    for change_id, at, kind, name, before, after in rows:
        made.add(
            "changes", change_id=change_id, at=at, kind=kind, name=name, before=before, after=after, source="discovered"
        )
    for name, version, first in (
        ("bank-assistant", "v13", end - timedelta(days=42)),
        ("bank-assistant", "v14", end - timedelta(days=2, hours=3)),
        ("staff-handbook", "v13", end - timedelta(days=42)),
    ):
        made.add(
            "prompts",
            prompt_name=name,
            prompt_version=version,
            prompt_hash=f"hash-{name}-{version}",
            template="You answer questions of customers from the documents.\nSay so when they do not hold the answer."
            if version == "v13"
            else "You answer questions of customers from the documents.\nAlways give an answer, and be brief.",
            first_seen=first,
            last_seen=end,
            calls=100,
        )


def _runs(made: Any, end: datetime) -> None:
    for number, name in enumerate(("embed", "topics", "drift", "groundedness", "cost", "feedback", "flags", "alerts")):
        made.add(
            "runs",
            run_id=f"run-{name}",
            analyzer=name,
            version="1",
            status="failed" if name == "feedback" else "ok",
            started_at=end + timedelta(minutes=2, seconds=number * 4),
            finished_at=end + timedelta(minutes=2, seconds=number * 4 + 3),
            watermark=1,
            rows=1800 if name != "feedback" else 0,
            error="QueryError: no column 'thumbs'" if name == "feedback" else None,
        )
