"""Context drift: whether the retriever brings something else, by meaning and by identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.drift.arrays import Floats, Groups
from analysis.drift.comparison import compare
from analysis.drift.result import DriftResult, Verdict
from analysis.drift.shares import Labels, ShareResult, compare_shares

ContextKind = Literal["none", "index swapped", "documents rewritten", "new source dominates", "stale documents", "mix"]

KNOWN = 0.5
DOMINATES = 0.25
REWRITTEN_COSINE = 0.98
REWRITTEN_SHARE = 0.2
OLDER_THAN_MOST = 0.9
TESTS = 4


@dataclass(frozen=True)
class ContextResult:
    """What changed in the retrieved documents.

    Attributes
    ----------
    verdict, p_value
        Of all tests joined (Bonferroni over those that were made).
    kind
        ``index swapped``: less than half of the current rows carry a document id of the reference.
        ``documents rewritten``: known ids carry other text. ``new source dominates``: a source or document
        gained a quarter of the traffic. ``stale documents``: the documents are older than they used to be.
        ``mix``: known documents in other shares.
    content, identities, sources, ages
        The tests by themselves; ``None`` where nothing was given.
    share_known
        Share of current rows whose document id the reference has.
    share_rewritten
        Of those, the share whose vector moved.
    """

    verdict: Verdict
    p_value: float
    kind: ContextKind
    content: DriftResult
    identities: ShareResult
    sources: ShareResult | None
    ages: ShareResult | None
    share_known: float
    share_rewritten: float


def compare_context(  # noqa: PLR0913 - two windows of five columns
    reference: Floats,
    reference_ids: Labels,
    current: Floats,
    current_ids: Labels,
    *,
    reference_sources: Labels | None = None,
    current_sources: Labels | None = None,
    reference_ages: npt.ArrayLike | None = None,
    current_ages: npt.ArrayLike | None = None,
    reference_groups: Groups = None,
    current_groups: Groups = None,
    permutations: int = 499,
    rng: int = 0,
    alpha: float = 0.05,
) -> ContextResult:
    """Compare the retrieved documents of two windows: their vectors, ids, sources and ages.

    Parameters
    ----------
    reference, current
        (n, d), (m, d) vectors of the documents; one row for each document given to an interaction.
    reference_ids, current_ids
        (n,), (m,) document ids.
    reference_sources, current_sources
        (n,), (m,) where each document comes from.
    reference_ages, current_ages
        (n,), (m,) seconds since the document was last updated, when it was retrieved; NaN where unknown.
    reference_groups, current_groups
        Session of every row.

    Raises
    ------
    ValueError
        If arrays are malformed or do not fit each other.
    """
    if len(reference) != len(reference_ids) or len(current) != len(current_ids):
        raise ValueError(
            f"expected one id a vector, got {len(reference_ids)} ids of {len(reference)} reference "
            f"and {len(current_ids)} ids of {len(current)} current vectors"
        )

    def shares(first: Labels, second: Labels) -> ShareResult:
        return compare_shares(
            first,
            second,
            reference_groups=reference_groups,
            current_groups=current_groups,
            permutations=permutations,
            rng=rng,
            alpha=alpha / TESTS,
        )

    content = compare(
        reference,
        current,
        reference_groups=reference_groups,
        current_groups=current_groups,
        permutations=permutations,
        rng=rng,
        alpha=alpha / TESTS,
    )
    identities = shares(reference_ids, current_ids)
    sources = None
    if reference_sources is not None and current_sources is not None:
        sources = shares(reference_sources, current_sources)
    old = _old(reference_ages, current_ages)
    ages = None if old is None else shares(*old)
    tests = [test for test in (content, identities, sources, ages) if test is not None]
    known, rewritten = _known(np.asarray(reference), reference_ids, np.asarray(current), current_ids)
    verdict, p_value = _joined(tests)
    kind = _kind(identities, sources, ages, known, rewritten) if verdict == "drifted" else "none"
    return ContextResult(verdict, p_value, kind, content, identities, sources, ages, known, rewritten)


def _joined(tests: list[DriftResult | ShareResult]) -> tuple[Verdict, float]:
    made = [test for test in tests if test.verdict != "insufficient"]
    if not made:
        return "insufficient", float("nan")
    p_value = min(1.0, TESTS * min(test.p_value for test in made))
    return ("drifted" if any(test.verdict == "drifted" for test in made) else "stable"), p_value


def _old(reference: npt.ArrayLike | None, current: npt.ArrayLike | None) -> tuple[Labels, Labels] | None:
    """Return for each row whether it is older than 90 % of the reference, or unknown."""
    if reference is None or current is None:
        return None
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    limit = np.nanquantile(first, OLDER_THAN_MOST) if np.isfinite(first).any() else np.inf
    named = [np.where(np.isnan(ages), "unknown", np.where(ages > limit, "old", "fresh")) for ages in (first, second)]
    return named[0], named[1]


def _known(reference: Floats, reference_ids: Labels, current: Floats, current_ids: Labels) -> tuple[float, float]:
    """Return the share of current rows with a known id, and of those the share whose vector moved."""
    first = {str(name): i for i, name in enumerate(reference_ids)}
    pairs = [(first[str(name)], i) for i, name in enumerate(current_ids) if str(name) in first]
    if not pairs or not len(current):
        return 0.0, 0.0
    before, after = (
        vectors[list(rows)] for vectors, rows in zip((reference, current), zip(*pairs, strict=True), strict=True)
    )
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine = np.einsum("ij,ij->i", before, after) / np.maximum(norms, 1e-12)
    return len(pairs) / len(current), float((cosine < REWRITTEN_COSINE).mean())


def _kind(
    identities: ShareResult, sources: ShareResult | None, ages: ShareResult | None, known: float, rewritten: float
) -> ContextKind:
    if known < KNOWN:
        return "index swapped"
    if rewritten >= REWRITTEN_SHARE:
        return "documents rewritten"
    changes = [change for test in (sources, identities) if test is not None for change in test.changes]
    if any(change.share_current - change.share_reference >= DOMINATES for change in changes):
        return "new source dominates"
    aged = [] if ages is None else [c for c in ages.changes if c.label == "old" and c.share_current > c.share_reference]
    return "stale documents" if aged else "mix"
