"""Comparisons by counts: labels, retrieved documents, a frozen codebook."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from analysis.drift import Codebook, compare_codes, compare_context, compare_shares
from analysis.drift.questions import NearQuestions

D = 24
CENTRES = np.random.default_rng(80).standard_normal((40, D))


def documents(rng: np.random.Generator, n: int, low: int = 0, high: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors and ids of ``n`` retrieved documents ``low`` .. ``high`` - 1."""
    chosen = rng.integers(low, high, n)
    return CENTRES[chosen].astype(np.float32), chosen


def test_a_label_that_became_frequent_is_named_with_its_shares():
    rng = np.random.default_rng(0)
    before = rng.choice(["en", "de"], 500, p=[0.98, 0.02])
    after = rng.choice(["en", "de"], 500, p=[0.85, 0.15])
    result = compare_shares(before, after)
    assert result.verdict == "drifted"
    assert result.effect == pytest.approx(0.13, abs=0.05)
    change = next(c for c in result.changes if c.label == "de")
    assert change.share_current > change.share_reference
    assert change.z > 3


def test_shares_of_labels_alarm_rarely_without_a_change_in_sessions():
    nulls = 60
    found = 0
    for i in range(nulls):
        rng = np.random.default_rng([1, i])
        before, after = (np.repeat(rng.integers(0, 12, 40), 5) for _ in range(2))
        groups = np.repeat(np.arange(40), 5)
        result = compare_shares(before, after, reference_groups=groups, current_groups=groups, permutations=99, rng=i)
        found += result.verdict == "drifted"
    assert found <= binom.ppf(0.9995, nulls, 0.05)


def test_too_few_labels_are_not_judged():
    result = compare_shares(["a"] * 20, ["b"] * 200)
    assert result.verdict == "insufficient"
    assert "30 rows in 10 groups" in result.needed


def test_a_swapped_index_is_called_so():
    rng = np.random.default_rng(2)
    (before, ids), (after, later) = documents(rng, 300), documents(rng, 300)
    result = compare_context(before, ids, after, later + 1_000)
    assert (result.verdict, result.kind, result.share_known) == ("drifted", "index swapped", 0.0)


def test_known_documents_with_other_text_are_called_rewritten():
    rng = np.random.default_rng(3)
    (before, ids), (after, later) = documents(rng, 300), documents(rng, 300)
    result = compare_context(before, ids, after + 0.7 * rng.standard_normal(after.shape).astype(np.float32), later)
    assert (result.verdict, result.kind) == ("drifted", "documents rewritten")
    assert result.share_rewritten > 0.5


def test_a_new_source_that_dominates_is_called_so():
    rng = np.random.default_rng(4)
    (before, ids), (after, later) = documents(rng, 300), documents(rng, 300)
    after[:120], later[:120] = documents(rng, 120, 30, 34)
    sources = np.where(later >= 30, "forum", "handbook")
    result = compare_context(before, ids, after, later, reference_sources=["handbook"] * 300, current_sources=sources)
    assert (result.verdict, result.kind) == ("drifted", "new source dominates")
    assert result.sources is not None
    assert result.sources.changes[0].label in {"forum", "handbook"}


def test_documents_that_grow_old_are_called_stale():
    rng = np.random.default_rng(5)
    (before, ids), (after, later) = documents(rng, 300), documents(rng, 300)
    ages = rng.exponential(1e6, 300)
    result = compare_context(before, ids, after, later, reference_ages=ages, current_ages=4.0 * ages)
    assert (result.verdict, result.kind) == ("drifted", "stale documents")


def test_the_same_retrieval_is_stable():
    rng = np.random.default_rng(6)
    (before, ids), (after, later) = documents(rng, 300), documents(rng, 300)
    result = compare_context(before, ids, after, later)
    assert (result.verdict, result.kind) == ("stable", "none")
    assert compare_context(before[:5], ids[:5], after[:5], later[:5]).verdict == "insufficient"
    with pytest.raises(ValueError, match="one id a vector"):
        compare_context(before, ids[:10], after, later)


def messages(rng: np.random.Generator, n: int, new: int = 0) -> np.ndarray:
    topic = rng.integers(0, 20, n)
    topic[:new] = 35
    return (CENTRES[topic] + 0.5 * rng.standard_normal((n, D))).astype(np.float32)


BOOK = Codebook.fit(messages(np.random.default_rng(7), 3_000), version=3)


def test_stored_codes_find_a_new_topic_and_carry_their_version():
    rng = np.random.default_rng(8)
    before, after = BOOK.encode(messages(rng, 500)), BOOK.encode(messages(rng, 500, new=30))
    result = compare_codes(before, after)
    assert result.verdict == "drifted"
    assert set(result.parts) == {"mix", "cell_excess", "novelty"}
    assert 0.02 < result.effect < 0.2
    assert before.version == 3
    assert before.coarse.itemsize + before.fine.itemsize + before.novelty.itemsize + 4 == 12


def test_stored_codes_alarm_rarely_without_a_change():
    nulls, found = 60, 0
    for i in range(nulls):
        rng = np.random.default_rng([9, i])
        codes = [BOOK.encode(np.repeat(messages(rng, 50), 4, axis=0)) for _ in range(2)]
        groups = np.repeat(np.arange(50), 4)
        result = compare_codes(*codes, reference_groups=groups, current_groups=groups, permutations=99, rng=i)
        found += result.p_value <= 0.05
    assert found <= binom.ppf(0.9995, nulls, 0.05)


def test_codes_of_different_codebooks_are_not_compared():
    rows = messages(np.random.default_rng(10), 100)
    other = Codebook.fit(rows, version=4)
    with pytest.raises(ValueError, match="codebook 3 and of 4"):
        compare_codes(BOOK.encode(rows), other.encode(rows))
    assert compare_codes(BOOK.encode(rows), BOOK.encode(rows[:0])).verdict == "insufficient"
    with pytest.raises(ValueError, match="at least 30 rows"):
        Codebook.fit(rows[:10])


def test_encoding_is_the_same_row_by_row_and_at_once():
    rows = messages(np.random.default_rng(11), 40)
    whole = BOOK.encode(rows)
    single = [BOOK.encode(rows[i : i + 1]) for i in range(40)]
    assert np.array_equal(whole.fine, np.concatenate([codes.fine for codes in single]))
    assert np.allclose(whole.novelty, np.concatenate([codes.novelty for codes in single]), atol=0.01)


def test_stale_documents_are_told_in_the_result_on_the_content():
    rng = np.random.default_rng(12)
    (before, ids), (after, later) = documents(rng, 300), documents(rng, 300)
    behind = np.where(rng.random(300) < 0.4, 3e7, 0.0)
    result = compare_context(before, ids, after, later, reference_ages=np.zeros(300), current_ages=behind).as_drift()
    assert (result.statistic, result.verdict) == ("ages", "drifted")
    assert result.note.endswith("% of the documents (was 0 %) are out of date")
    assert result.effect == pytest.approx(0.4, abs=0.1)
    assert compare_context(before, ids, after, later).as_drift().note == ""


def test_questions_within_a_radius_of_the_first_one_are_one_cluster():
    rng = np.random.default_rng(13)
    rows = np.repeat(rng.standard_normal((40, 4)), 3, axis=0) + 0.2 * rng.standard_normal((120, 4))
    rows = rng.permutation(np.concatenate([rows, rows])).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected: dict[int, int] = {}
    for i in range(len(rows)):
        expected.setdefault(i, i)
        if expected[i] == i:
            expected.update({j: i for j in range(i, len(rows)) if j not in expected and unit[i] @ unit[j] > 0.95})
    found = NearQuestions.of(rows, 0.9).clusters(0.95)
    assert len(np.unique(np.stack([found, [expected[i] for i in range(len(rows))]]), axis=1).T) == len(set(found))
    assert len(set(found)) == len(set(expected.values()))
