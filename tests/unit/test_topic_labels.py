"""Labels are phrases that people wrote, readable in a sentence, and unique."""

from __future__ import annotations

import tracemalloc

import pytest

from analysis.topics.labels import name_topics
from analysis.topics.phrases import stem

FREEZE = [
    "How do I freeze my card?",
    "Freeze my card please",
    "I want to freeze the card now",
    "can you freeze card ending 1234",
    "freezing my cards",
]
RATES = [
    "What is the exchange rate for euros?",
    "exchange rates today",
    "Is your exchange rate good?",
    "which exchange rate applies abroad",
]
PIN = ["I forgot my PIN", "forgot PIN", "My PIN is forgotten", "I have forgotten the PIN number", "forgot my pin"]


def test_a_label_is_the_phrase_that_most_central_messages_share():
    names = name_topics([FREEZE, RATES, PIN])
    assert names[0].label == "freeze card"
    assert names[1].label == "exchange rate"


def test_words_written_in_capitals_keep_them():
    assert "PIN" in name_topics([FREEZE, RATES, PIN])[2].label


def test_labels_of_different_topics_never_coincide():
    names = [name.label for name in name_topics([FREEZE, FREEZE, FREEZE])]
    assert len(set(names)) == 3


def test_connectives_stay_inside_a_phrase():
    messages = [
        "I lost or stolen card",
        "lost or stolen card help",
        "report lost or stolen card",
        "my lost or stolen card",
    ]
    assert name_topics([messages, RATES])[0].label == "lost or stolen card"


def test_a_particle_may_end_a_phrase():
    messages = ["top-up failed", "my top up failed", "Why has the top up not arrived", "top up pending", "auto top-up"]
    assert name_topics([messages, RATES])[0].label.startswith("top up")


def test_keywords_leave_out_function_words_and_words_inside_chosen_pairs():
    keywords = name_topics([FREEZE, RATES])[0].keywords
    assert "freeze card" in keywords
    assert not {"my", "the", "how", "freeze"} & set(keywords)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [([""], "empty messages"), (["???"], "???"), ([], "unnamed topic"), (["我的卡在哪里"] * 3, "我的卡在哪里")],
)
def test_topics_without_separable_words_still_get_a_name(messages, expected):
    assert name_topics([messages])[0].label == expected


def test_german_function_words_neither_begin_nor_end_a_label():
    messages = [
        "Wie kann ich meine Karte sperren?",
        "Karte sperren bitte",
        "Ich möchte die Karte sperren",
        "Karte sperren",
    ]
    assert name_topics([messages, RATES])[0].label == "karte sperren"


@pytest.mark.parametrize(
    ("a", "b"), [("movie", "movies"), ("card", "cards"), ("freeze", "freezing"), ("stopped", "stop")]
)
def test_inflected_forms_share_a_stem(a, b):
    assert stem(a) == stem(b)


def test_a_lone_word_gives_way_to_a_phrase_around_it():
    messages = [
        "change PIN",
        "I want to change my PIN",
        "PIN blocked",
        "where is my PIN",
        "new PIN",
        "PIN not accepted",
    ]
    label = name_topics([messages, RATES, FREEZE])[0].label
    assert "PIN" in label
    assert len(label.split()) > 1


def test_a_measure_of_time_is_no_subject():
    messages = [
        "I waited two weeks for the parcel",
        "three weeks and no parcel",
        "it has been weeks, where is it",
        "weeks have gone by, parcel missing",
        "after four weeks still nothing, parcel lost",
    ]
    assert "parcel" in name_topics([messages, RATES, FREEZE])[0].label


def test_a_phrase_does_not_cross_punctuation():
    messages = [
        "My laptop is locked: service desk",
        "Laptop locked. Service desk, please",
        "laptop locked; service desk?",
        "the laptop is locked, service desk closed",
    ]
    assert "locked service" not in name_topics([messages, RATES, FREEZE])[0].label


def test_a_phrase_is_not_cut_off_before_the_object_of_its_verb():
    messages = [
        "Does the bank support an evening degree?",
        "Will the bank support a degree?",
        "bank support my evening degree",
        "does the bank support the degree",
    ]
    assert name_topics([messages, RATES, FREEZE])[0].label.endswith("degree")


def test_a_complement_is_not_cut_off_before_its_last_word():
    messages = [
        "interest on a personal loan",
        "What is the interest on a personal loan for a car?",
        "interest on personal loan, how much",
        "the interest on my personal loan",
    ]
    label = name_topics([messages, RATES, FREEZE])[0].label
    assert "personal loan" in label


def test_a_measure_stands_at_the_edge_of_a_phrase_only_with_what_it_measures():
    weeks = [
        f"Can I work remotely for {n} weeks from {place}?" for n in ("two", "three") for place in ("Brazil", "Italy")
    ]
    leave = [
        "How many days of leave do I have?",
        "days of leave left",
        "are my days of leave paid",
        "carry days of leave",
    ]
    first, second = name_topics([weeks, leave, FREEZE])[:2]
    assert first.label.startswith("work remotely")
    assert second.label == "days of leave"


def test_full_width_punctuation_is_not_crossed_either():
    assert name_topics([["如何重置密码？谢谢", "如何重置密码。谢谢"]])[0].label == "如何重置密码"


def test_one_endless_word_costs_no_more_memory_than_itself():
    words = [f"{'abcdefghij'[i % 10]}{'klmnopqrst'[i // 10 % 10]}{'uvwxyz'[i // 100]}" for i in range(600)]
    messages = ["a" * 100_000 + " " + " ".join(words[n * 50 : n * 50 + 50]) for n in range(12)]
    tracemalloc.start()
    name_topics([messages])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000
