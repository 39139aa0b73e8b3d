from __future__ import annotations

import subprocess
import sys
import time

import pytest

from undertow.text import chunks, content_hash, detect_language, normalise, sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def test_the_hash_is_sha256_of_the_composed_utf8():
    assert content_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert content_hash("cafe\u0301") == content_hash("caf\u00e9")
    assert normalise("cafe\u0301") == "caf\u00e9"


def test_a_lone_surrogate_still_has_a_hash():
    assert len(content_hash("broken \ud83d half")) == 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("no end mark", ["no end mark"]),
        ("Dr. Smith met Mr. J. Jones at 3.5 p.m. on Monday.", ["Dr. Smith met Mr. J. Jones at 3.5 p.m. on Monday."]),
        ("The fee is 2.50 EUR. It rose by 1.2 percent.", ["The fee is 2.50 EUR.", "It rose by 1.2 percent."]),
        ("Use tools, e.g. a hammer, i.e. something heavy. Then stop.",
         ["Use tools, e.g. a hammer, i.e. something heavy.", "Then stop."]),
        ("She moved to the U.S. in 1999. He stayed.", ["She moved to the U.S. in 1999.", "He stayed."]),
        ("Bring pens, paper, etc. Then wait.", ["Bring pens, paper, etc.", "Then wait."]),
        ("i lost my card. can you help? it is urgent", ["i lost my card.", "can you help?", "it is urgent"]),
        ('"Really?" he asked. "Yes." She left.', ['"Really?" he asked.', '"Yes."', "She left."]),
        ("Wait ... there is more. Done…", ["Wait ... there is more.", "Done…"]),
        ("It was founded in 1901. It grew.[1] It fell (in 1929). End",
         ["It was founded in 1901.", "It grew.[1]", "It fell (in 1929).", "End"]),
        ("See https://example.com/a.b?c=d.e for more. Bye.", ["See https://example.com/a.b?c=d.e for more.", "Bye."]),
        ("Am 3. mai war z. B. frei. Danach nicht.", ["Am 3. mai war z. B. frei.", "Danach nicht."]),
        ("今日は晴れです。明日は雨でしょう！本当ですか？", ["今日は晴れです。", "明日は雨でしょう！", "本当ですか？"]),
        ("यह एक वाक्य है। यह दूसरा है।", ["यह एक वाक्य है।", "यह दूसरा है।"]),
        ("هل هذا صحيح؟ نعم، هذا صحيح.", ["هل هذا صحيح؟", "نعم، هذا صحيح."]),
        ("Steps:\n1. Open the app.\n2. Tap Cards\n3. Tap Block\n\nThat is all.",
         ["Steps:", "1. Open the app.", "2. Tap Cards", "3. Tap Block", "That is all."]),
        ("Do this: 1. Open it. 2. Close it. Then 3 more.", ["Do this: 1. Open it.", "2. Close it.", "Then 3 more."]),
        ("Options:\n- red\n- green\n  or teal\n- blue\nPick one.",
         ["Options:", "- red", "- green\n  or teal", "- blue", "Pick one."]),
        ("# Title\nA line that\nwraps. Next.", ["# Title", "A line that\nwraps.", "Next."]),
        ("Fees\r\n\r\nNo fee\r\n- one\r\n- two\r\nEnd", ["Fees", "No fee", "- one", "- two", "End"]),
        ("**Note.** Keep it. *Thanks!* Bye", ["**Note.**", "Keep it.", "*Thanks!*", "Bye"]),
    ],
)  # fmt: skip
def test_sentences_are_split_where_a_reader_would(text: str, expected: list[str]):
    assert split(text) == expected


def test_a_hostile_text_is_split_in_linear_time():
    pieces = (".", "a. ", "(", "\n- ", " \n", "1)", "\n", " ", ".)", ".[1", "?!", "\n \n", "。")
    for text in [start + piece * 30_000 + end for piece in pieces for start in ("", "\n", ".") for end in ("", "x")]:
        started = time.process_time()
        sentences(text)
        assert time.process_time() - started < 2.0, (text[:8], text[-8:])


def test_chunks_are_few_and_nearly_equal():
    assert chunks(0, 254) == [(0, 0)]
    assert chunks(254, 254) == [(0, 254)]
    assert chunks(255, 254) == [(0, 127), (127, 255)]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Could you please tell me how I can block my card?", "en"),
        ("Wie kann ich meine Karte sperren?", "de"),
        ("¿Cómo puedo bloquear mi tarjeta de crédito?", "es"),
        ("Comment puis-je bloquer ma carte bancaire ?", "fr"),
        ("私のカードをブロックするにはどうすればいいですか", "ja"),
        ("如何冻结我的卡", "zh"),
        ("Как мне заблокировать свою карту?", "ru"),
    ],
)
def test_the_language_of_a_plain_question_is_named(text: str, language: str):
    assert detect_language(text) == language


@pytest.mark.parametrize("text", ["", "ok", "thanks", "12345 67890 12345 67890", "asdf qwer zxcv uiop", "\ud83d" * 40])
def test_no_language_is_named_when_there_is_too_little_to_go_by(text: str):
    assert detect_language(text) is None


def test_importing_the_module_loads_no_numerical_library():
    program = "import sys, undertow.text; print('numpy' in sys.modules, 'py3langid' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
