"""The demo's script: repeatable, within its limits, events at their times, quiet weeks quiet."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta

import pytest

from demo.events import first_eventful_day, planted_events
from demo.grammar import mistype
from demo.knowledge import CUSTOMER, STAFF, load_knowledge
from demo.retrieval import Retriever
from demo.script import Script, Turn, write_script

END = datetime(2026, 11, 22)
_NAMES_THAT_EXIST = re.compile(r"\b(visa|mastercard|paypal|barclays|santander|ing|revolut|google|apple|amazon)\b", re.I)


@pytest.fixture(scope="module")
def script() -> Script:
    return write_script(7, END)


def _eventful(turns: tuple[Turn, ...]) -> list[Turn]:
    return [turn for turn in turns if turn.start >= first_eventful_day(END)]


def test_the_same_seed_and_day_give_the_same_script(script: Script) -> None:
    assert write_script(7, END) == script


def test_another_seed_gives_another_script(script: Script) -> None:
    other = write_script(8, END)

    assert {turn.trace_id for turn in other.turns}.isdisjoint(turn.trace_id for turn in script.turns)


def test_the_script_stays_within_the_limits_of_the_design(script: Script) -> None:
    assert 9_000 <= len(script.turns) <= 11_000
    assert len({turn.question for turn in script.turns}) <= 3_500
    assert len({turn.answer for turn in script.turns}) <= 4_000


def test_six_weeks_of_about_a_hundred_turns_a_day_come_before_a_week_of_seven_hundred(script: Script) -> None:
    days = Counter(turn.start.date() for turn in script.turns)
    quiet = [n for day, n in days.items() if day < first_eventful_day(END).date()]
    eventful = [n for day, n in days.items() if day >= first_eventful_day(END).date()]

    assert (len(quiet), len(eventful)) == (42, 7)
    assert 85 <= sum(quiet) / 42 <= 120
    assert 650 <= sum(eventful) / 7 <= 850


def test_every_turn_lies_before_the_end_and_in_order(script: Script) -> None:
    starts = [turn.start for turn in script.turns]

    assert starts == sorted(starts)
    assert starts[-1] < END


def test_quiet_answers_are_made_of_sentences_of_the_retrieved_passages(script: Script) -> None:
    for turn in script.turns:
        if turn.event or turn.invented or turn.error:
            continue
        passages = " ".join(hit.passage.text for hit in turn.hits)
        body = re.sub(r"^(Sure|Certainly|Good question|Happy to help)\. ", "", turn.answer)
        for sentence in re.split(r"(?<=[.?]) (?=[A-ZÄÖÜ¿])", body):
            assert sentence in passages, turn.answer


def test_no_event_leaves_a_trace_in_the_quiet_weeks(script: Script) -> None:
    quiet = [turn for turn in script.turns if turn.start < first_eventful_day(END)]

    assert {turn.event for turn in quiet} == {""}
    assert {turn.prompt.version for turn in quiet if turn.service == CUSTOMER} == {"3"}
    assert not any("Travel Shield" in turn.question for turn in quiet)


def test_each_event_shapes_turns_of_its_service_and_time_only(script: Script) -> None:
    kinds = Counter(turn.event for turn in script.turns)

    for kind in ("new_topic", "prompt_edit", "ungrounded", "cost_spike", "old_edition", "injection"):
        assert kinds[kind] > 0
    for turn in script.turns:
        if turn.event:
            event = planted_events(END)[turn.event]  # type: ignore[index] # a kind by construction
            assert turn.service == event.service
            assert event.start <= turn.start < event.end + timedelta(minutes=20)


def test_the_new_topic_takes_a_share_of_six_to_ten_percent_of_its_first_full_day(script: Script) -> None:
    day = first_eventful_day(END) + timedelta(days=2)
    turns = [turn for turn in script.turns if day <= turn.start < day + timedelta(days=1)]

    assert 0.04 <= sum(turn.event == "new_topic" for turn in turns) / len(turns) <= 0.12


def test_about_half_of_the_handbook_answers_of_the_burst_are_invented(script: Script) -> None:
    burst = script.events["ungrounded"]
    turns = [turn for turn in script.turns if turn.service == STAFF and burst.covers(turn.start)]

    assert 0.35 <= sum(turn.invented for turn in turns) / len(turns) <= 0.65


def test_inventions_outside_the_burst_are_rare(script: Script) -> None:
    turns = [turn for turn in script.turns if turn.event != "ungrounded"]

    assert 0 < sum(turn.invented for turn in turns) / len(turns) < 0.03


def test_sessions_ask_the_same_thing_in_nearly_the_same_words(script: Script) -> None:
    sessions: dict[str, list[Turn]] = {}
    for turn in script.turns:
        sessions.setdefault(turn.session_id, []).append(turn)
    longer = [turns for turns in sessions.values() if len(turns) > 1]
    alike = [turns[0].intent == turns[1].intent for turns in longer]

    assert 0.25 <= len(longer) / len(sessions) <= 0.6
    assert sum(alike) / len(alike) > 0.7
    assert all(turn.user_id == turns[0].user_id for turns in longer for turn in turns)


def test_the_share_of_each_intent_is_alike_in_early_and_late_quiet_weeks(script: Script) -> None:
    middle = first_eventful_day(END) - timedelta(days=21)
    early = Counter(turn.intent for turn in script.turns if turn.start < middle)
    late = Counter(t.intent for t in script.turns if middle <= t.start < first_eventful_day(END))

    for intent in early:
        assert abs(early[intent] / early.total() - late[intent] / late.total()) < 0.03


def test_no_text_names_a_company_that_exists(script: Script) -> None:
    texts = {turn.question for turn in script.turns} | {turn.answer for turn in script.turns}

    assert not [text for text in texts if _NAMES_THAT_EXIST.search(text.replace("visa office", ""))]


def test_most_questions_find_the_passage_about_their_subject(script: Script) -> None:
    english = [t for t in script.turns if t.intent != "other languages" and t.event in ("", "prompt_edit")]
    right = [_subject(turn.intent) in turn.hits[0].passage.id for turn in english]

    assert sum(right) / len(right) > 0.85


def _subject(intent: str) -> str:
    return {"remote work": "remote", "identity checks": "identity"}.get(intent, intent.replace(" ", "-"))


def test_the_new_topic_is_unknown_until_the_article_is_there(script: Script) -> None:
    article = script.events["article"]
    asked = [turn for turn in script.turns if turn.event == "new_topic"]

    for turn in asked:
        found = any(hit.passage.id == "travel-shield-1" for hit in turn.hits)
        assert found == article.covers(turn.start)


def test_dates_of_passages_count_back_from_the_last_day() -> None:
    bases = load_knowledge(END)

    assert all(passage.updated_at < END for base in bases.usual.values() for passage in base)
    assert len({passage.id for passage in bases.with_article}) == len(bases.with_article)


def test_a_typo_does_not_change_what_is_found() -> None:
    retriever = Retriever(load_knowledge(END).usual[CUSTOMER])

    (right,), (wrong,) = (
        retriever.search([q], k=1)[0]
        for q in ("Three wrong tries, please unlock my PIN", "Three wrong tires, please unlcok my PIN")
    )

    assert right.passage.id == wrong.passage.id == "pin-3"


def test_a_typo_changes_one_word_only() -> None:
    import random

    text = "How long does a transfer take that I made yesterday evening?"
    changed = [mistype(text, random.Random(seed)) for seed in range(50)]

    for other in changed:
        different = [a for a, b in zip(text.split(), other.split(), strict=True) if a != b]
        assert len(different) == 1
