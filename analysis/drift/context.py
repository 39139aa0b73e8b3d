"""Context drift: whether the retriever brings something else, by meaning and by identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.drift.arrays import Floats, Groups
from analysis.drift.comparison import MOST_PERMUTATIONS, compare
from analysis.drift.result import MINIMUM_EFFECT, DriftResult, Verdict
from analysis.drift.shares import Labels, ShareChange, ShareResult, compare_shares

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

    def as_drift(self) -> DriftResult:
        """Return the result on the content with the joined p-value, and what the identities say as its note.

        Where another test speaks louder, statistic and effect are that test's.
        """
        content, made = self.content, self._made()
        if content.verdict == "insufficient":
            return content
        floor = min(1.0, len(made) * min(test.p_floor for test in made.values()))
        told = replace(content, p_value=self.p_value, p_floor=floor, note=self._note(), verdict=self.verdict)
        name = min(made, key=lambda key: made[key].p_value)
        if name == "content":
            return told
        nan = float("nan")
        effect = made[name].effect
        return replace(told, statistic=name, value=effect, effect=effect, effect_interval=(nan, nan))

    def _made(self) -> dict[str, DriftResult | ShareResult]:
        tests: dict[str, DriftResult | ShareResult | None] = {
            "content": self.content,
            "identities": self.identities,
            "sources": self.sources,
            "ages": self.ages,
        }
        return {name: test for name, test in tests.items() if test is not None and test.verdict != "insufficient"}

    def _note(self) -> str:
        """Return what the identities of the documents say, where the verdict is drift."""
        if self.verdict != "drifted":
            return ""
        told = []
        if self.share_known < KNOWN:
            told.append(f"only {self.share_known:.0%} of the documents given were known before")
        elif self.share_rewritten >= REWRITTEN_SHARE:
            told.append(f"{self.share_rewritten:.0%} of the known documents carry another text")
        told += [f"{_moved(change)} come from {change.label}" for change in _dominating(self.sources)[:1]]
        told += [f"{_moved(change)} are out of date" for change in _aged(self.ages)]
        return "; ".join(told).replace("%", " %")


def _moved(change: ShareChange) -> str:
    return f"{change.share_current:.0%} of the documents (was {change.share_reference:.0%})"


@dataclass(frozen=True, eq=False)
class Retrieved:
    """Documents that a window was given, one row each.

    ``vectors`` (n, d); ``ids``, ``groups`` (n,); ``sources`` (n,) or None; ``ages`` (n,), NaN where unknown, or None.
    """

    vectors: Floats
    ids: Labels
    groups: Groups = None
    sources: Labels | None = None
    ages: npt.ArrayLike | None = None


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
    content = compare(
        reference,
        current,
        reference_groups=reference_groups,
        current_groups=current_groups,
        permutations=permutations,
        rng=rng,
        alpha=alpha / TESTS,
    )
    before = Retrieved(np.asarray(reference), reference_ids, reference_groups, reference_sources, reference_ages)
    after = Retrieved(np.asarray(current), current_ids, current_groups, current_sources, current_ages)
    return with_identities(content, before, after, permutations=permutations, rng=rng, alpha=alpha)


def with_identities(  # noqa: PLR0913 - the settings of compare
    content: DriftResult,
    before: Retrieved,
    after: Retrieved,
    *,
    permutations: int = 499,
    rng: int = 0,
    alpha: float = 0.05,
) -> ContextResult:
    """Add to a comparison of contents what ids, sources and ages say; see ``compare_context``.

    As many labellings are drawn as the level of one test needs, where the first do not settle it.
    """
    enough = min(MOST_PERMUTATIONS, max(permutations, ceil(TESTS / alpha)))

    def shares(first: Labels, second: Labels) -> ShareResult:
        return compare_shares(
            first,
            second,
            reference_groups=before.groups,
            current_groups=after.groups,
            permutations=enough,
            rng=rng,
            alpha=alpha / TESTS,
        )

    identities = shares(before.ids, after.ids)
    sources = None
    if before.sources is not None and after.sources is not None:
        sources = shares(before.sources, after.sources)
    old = _old(before.ages, after.ages)
    ages = None if old is None else shares(*old)
    known, rewritten = _known(before.vectors, before.ids, after.vectors, after.ids)
    verdict, p_value = _joined([content, identities, sources, ages], alpha)
    kind = _kind(identities, sources, ages, known, rewritten) if verdict == "drifted" else "none"
    return ContextResult(verdict, p_value, kind, content, identities, sources, ages, known, rewritten)


def _joined(tests: Sequence[DriftResult | ShareResult | None], alpha: float) -> tuple[Verdict, float]:
    made = [test for test in tests if test is not None and test.verdict != "insufficient"]
    if not made:
        return "insufficient", float("nan")
    strongest = min(made, key=lambda test: test.p_value)
    p_value = min(1.0, len(made) * strongest.p_value)
    drifted = p_value <= alpha and strongest.effect >= MINIMUM_EFFECT
    return ("drifted" if drifted else "stable"), p_value


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
    if _dominating(sources) or _dominating(identities):
        return "new source dominates"
    return "stale documents" if _aged(ages) else "mix"


def _dominating(test: ShareResult | None) -> list[ShareChange]:
    changes = () if test is None else test.changes
    return [change for change in changes if change.share_current - change.share_reference >= DOMINATES]


def _aged(test: ShareResult | None) -> list[ShareChange]:
    changes = () if test is None else test.changes
    return [change for change in changes if change.label == "old" and change.share_current > change.share_reference]
