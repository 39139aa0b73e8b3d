from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from undertow.errors import QueryError
from undertow.finder import Finder
from undertow.search import pack_vectors
from undertow.store.embedded import EmbeddedStore
from undertow.text import content_hash

SUBJECTS = {"card": 0, "lost": 0, "loan": 1, "rate": 1, "leave": 2}
# The accent of the last one is a letter of its own, as some systems send it.
TEXTS = ["my card is lost", "card stolen", "loan terms", "what is the rate", "annual leave at the cafe\u0301"]


class BySubject:
    """Meaning is which subject's words a text has."""

    name = "by-subject"
    dim = 3

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.full((len(texts), 3), 0.05, np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                if word in SUBJECTS:
                    vectors[row, SUBJECTS[word]] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def finder(tmp_path: Path) -> Iterator[Finder]:
    rows = [
        {
            "interaction_id": f"t:{number}",
            "operation": "chat",
            "service_name": "loans" if "loan" in text else "bank",
            "start_time": datetime(2026, 11, 1) + timedelta(hours=number),
            "prompt": text,
            "prompt_text_hash": content_hash(text),
        }
        for number, text in enumerate([*TEXTS, TEXTS[0]])
    ]
    vectors = pack_vectors([content_hash(t) for t in TEXTS], "prompt", BySubject.name, BySubject().encode(TEXTS))
    with EmbeddedStore(tmp_path / "a.duckdb") as store:
        store.commit({"interactions": pa.Table.from_pylist(rows), "embeddings": vectors}, key="fill")
        yield Finder(lambda: store, BySubject, folder=tmp_path / "search")


def test_meaning_finds_what_shares_no_word(finder: Finder):
    found = finder.find("rate", by="meaning", limit=2)
    assert {item.text for item in found} == {
        "what is the rate",
        "loan terms",
    }
    assert all(item.similarity > 0.9 for item in found)


def test_text_finds_the_words_whatever_their_case(finder: Finder):
    found = finder.find("RATE", by="text")
    assert [(item.text, item.worded, item.similarity) for item in found] == [("what is the rate", True, None)]
    assert finder.find("caf\u00c9", by="text") == finder.find("cafe\u0301", by="text") != []


def test_bytes_that_are_no_text_are_searched_for_in_vain(finder: Finder):
    assert finder.find("card \udcff", by="text") == []
    assert finder.find("card \udcff", by="meaning") != []


def test_what_means_and_says_it_comes_first(finder: Finder):
    found = finder.find("card")
    assert {item.text for item in found[:2]} == {"my card is lost", "card stolen"}
    assert all(item.worded and item.similarity for item in found[:2])


def test_a_text_sent_twice_is_one_result_with_its_newest_call(finder: Finder):
    found = finder.find("my card is lost", by="text")[0]
    assert (found.calls, found.interaction_id, found.last_seen) == (2, "t:5", datetime(2026, 11, 1, 5))


def test_a_scope_leaves_out_other_calls_and_still_fills_the_list(finder: Finder):
    found = finder.find("card", by="meaning", limit=1, scope="i.service_name = $service", params={"service": "loans"})
    assert [item.service_name for item in found] == ["loans"]


def test_like_leaves_out_the_text_itself(finder: Finder):
    found = finder.like(content_hash("my card is lost"), limit=2)
    assert found[0].text == "card stolen"
    assert finder.like("0" * 64) == []


def test_searching_for_nothing_is_an_error(finder: Finder):
    with pytest.raises(QueryError, match="nothing to search for"):
        finder.find("  ")


def test_a_field_without_vectors_says_what_to_run(finder: Finder):
    with pytest.raises(QueryError, match="undertow analyze --only embed"):
        finder.find("card", "response")
