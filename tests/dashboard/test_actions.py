"""What a verdict, its undoing and a new name write."""

from __future__ import annotations

import json
from datetime import datetime

import pyarrow as pa
import pytest

from dashboard import actions
from dashboard.queries.topics import NAMED
from undertow.errors import StoreError
from undertow.store.embedded import EmbeddedStore


def first_open(store: EmbeddedStore) -> str:
    rows = store.query("SELECT interaction_id FROM reviews WHERE state = 'open' ORDER BY interaction_id LIMIT 1")
    return str(rows["interaction_id"][0].as_py())


def review(store: EmbeddedStore, key: str) -> dict[str, object]:
    return dict(store.query("SELECT * FROM reviews WHERE interaction_id = ?", [key]).to_pylist()[0])


@pytest.mark.parametrize(
    ("verdict", "state"), [("confirmed", "resolved"), ("dismissed", "archived"), ("escalated", "escalated")]
)
def test_verdict_writes_review_feedback_and_audit_log(
    verdict: actions.Verdict, state: str, own_store: EmbeddedStore
) -> None:
    key = first_open(own_store)
    before = review(own_store, key)
    decision = actions.decide(own_store, key, verdict, author="ada")
    after = review(own_store, key)
    assert (after["state"], after["decided_by"]) == (state, "ada")
    assert (after["severity"], after["reasons"]) == (before["severity"], before["reasons"])
    said = own_store.query("SELECT * FROM feedback WHERE feedback_id = ?", [decision.feedback_id]).to_pylist()[0]
    assert (said["kind"], said["label"], said["target_id"], said["source"]) == ("verdict", verdict, key, "dashboard")
    log = own_store.query("SELECT * FROM audit_log").to_pylist()
    assert [(row["actor"], row["action"], row["target"]) for row in log] == [("ada", f"review.{verdict}", key)]
    assert json.loads(log[0]["detail"]) == {"from": "open", "to": state}


def test_undo_restores_the_review_and_withdraws_the_feedback(own_store: EmbeddedStore) -> None:
    key = first_open(own_store)
    decision = actions.decide(own_store, key, "dismissed", author="ada")
    actions.undo(own_store, decision, author="ada")
    assert review(own_store, key)["state"] == "open"
    said = own_store.query("SELECT * FROM feedback WHERE feedback_id = ?", [decision.feedback_id]).to_pylist()
    assert [(row["label"], row["target_id"]) for row in said] == [("withdrawn", key)]
    actions_logged = own_store.query("SELECT action FROM audit_log ORDER BY done_at")["action"].to_pylist()
    assert actions_logged == ["review.dismissed", "review.undo"]


def test_verdict_on_what_is_not_in_review_is_refused(own_store: EmbeddedStore) -> None:
    with pytest.raises(StoreError, match="not in review"):
        actions.decide(own_store, "nothing:here", "confirmed", author="ada")
    assert own_store.query("SELECT count(*) AS n FROM audit_log")["n"][0].as_py() == 0


def test_renaming_a_topic_keeps_everything_else_and_leaves_a_trace(own_store: EmbeddedStore) -> None:
    before = own_store.query("SELECT * FROM topics WHERE topic_id = 1").to_pylist()[0]
    actions.rename_topic(own_store, 1, "  Limits of\ncards ", author="ada")
    after = own_store.query("SELECT * FROM topics WHERE topic_id = 1").to_pylist()[0]
    assert after == {**before, "label": "Limits of cards", "label_source": "human"}
    event = own_store.query("SELECT * FROM topic_history WHERE event = 'renamed'").to_pylist()[0]
    assert (event["topic_id"], event["sentence"]) == (1, "ada renamed Card limits to Limits of cards")


def test_the_births_of_the_first_fit_of_a_field_are_no_news_and_later_ones_are(own_store: EmbeddedStore) -> None:
    actions.rename_topic(own_store, 1, "Limits", author="ada")
    births = [
        {"event_id": f"{run}:{part}{number}", "topic_id": 100 + number, "event": "born", "run_id": run, "origin": "fit",
         "happened_at": datetime(2026, 11, day), "sentence": f"{run} {part}"}
        for run, part, day in (("one", "response:", 1), ("two", "document:", 2), ("three", "response:", 3))
        for number in range(2)
    ]  # fmt: skip
    own_store.commit({"topic_history": pa.Table.from_pylist(births)}, key="fits")
    told = own_store.query(NAMED["topic_changes"]).to_pylist()
    assert [(row["event"], row["topic_id"]) for row in told] == [("renamed", 1), ("born", 100), ("born", 101)]
    assert {row["sentence"] for row in told[1:]} == {"three response:"}


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_topic_name_that_is_empty_or_too_long_is_refused(name: str, own_store: EmbeddedStore) -> None:
    with pytest.raises(StoreError, match="1 to 80 characters"):
        actions.rename_topic(own_store, 1, name, author="ada")
