from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.text import chunks, content_hash, sentences

MARKS = st.sampled_from(
    [
        ". ",
        ".",
        "! ",
        "?\n",
        "\n",
        "\n\n",
        "- ",
        "\n* ",
        "1. ",
        "e.g. ",
        "。",
        "…",
        '" ',
        ")",
        "[1]",
        "3.5",
        " ",
        "\u2028",
    ]
)
TEXT = st.lists(MARKS | st.text(max_size=8), max_size=30).map("".join)


@given(TEXT)
def test_sentences_are_ordered_disjoint_trimmed_and_cover_everything_but_space(text: str):
    covered = [False] * len(text)
    previous = 0
    for start, end in sentences(text):
        assert previous <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        covered[start:end] = [True] * (end - start)
        previous = end
    assert all(inside or character.isspace() for inside, character in zip(covered, text, strict=True))


@given(st.text())
def test_the_hash_does_not_depend_on_composition(text: str):
    forms = {content_hash(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert forms == {content_hash(text)}


@given(st.text(alphabet="abc é", max_size=6), st.text(alphabet="abc é", max_size=6))
def test_texts_with_one_hash_are_one_text(one: str, other: str):
    assert (content_hash(one) == content_hash(other)) == (one == other)


@given(st.integers(0, 5000), st.integers(1, 300))
@settings(max_examples=200)
def test_chunks_adjoin_cover_the_run_and_respect_the_limit(n_tokens: int, max_tokens: int):
    pieces = chunks(n_tokens, max_tokens)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == n_tokens
    assert all(left[1] == right[0] for left, right in zip(pieces[:-1], pieces[1:], strict=True))
    lengths = [end - start for start, end in pieces]
    assert max(lengths) <= max_tokens
    assert max(lengths) - min(lengths) <= 1
