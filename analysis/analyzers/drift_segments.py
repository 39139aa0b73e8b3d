"""Where inside an alarmed service and field: by model, prompt version, language and topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from analysis.drift import DriftResult, hierarchical_fdr
from analysis.drift.pooled import MIN_ROWS
from analysis.drift.sentence import segment_sentence
from analysis.study import Study, numbers_of

if TYPE_CHECKING:
    from analysis.analyzers.drift import Comparison

DIMENSIONS: Mapping[str, str] = {"model": "request_model", "prompt_version": "prompt_version", "language": "language"}
MOST_VALUES = 4
MOST_OF_IT = 0.9
_COLUMNS = ("run_id", "field", "grouping", "reference_start", "reference_end", "current_start", "current_end")


def judge_segments(
    study: Study,
    judged: Sequence[Comparison],
    parents: Mapping[str, dict[str, Any]],
    level: float,
    labels: Mapping[int, str],
) -> list[dict[str, Any]]:
    """Return rows of ``drift`` for the segments of the alarmed families.

    A segment with too few messages is left out; a dimension of which one value has nine tenths is the family itself.

    Parameters
    ----------
    judged : all comparisons of a day, corrected.
    parents : their rows, by id.
    level : false-discovery rate of the day.
    labels : of topics, by id.
    """
    by_id = {comparison.drift_id: comparison for comparison in judged}
    tested: dict[str, dict[str, DriftResult]] = {}

    def segments(drift_id: str) -> dict[str, float]:
        comparison = by_id[drift_id]
        if comparison.result.verdict == "drifted":
            tested[drift_id] = dict(_compared(study, comparison, level))
        return {name: result.p_value for name, result in tested.get(drift_id, {}).items()}

    alarmed = hierarchical_fdr({key: c.result.p_value for key, c in by_id.items()}, segments, level)
    return [
        _row(parents[drift_id], (name, labels), result, level / len(results), name in alarmed.get(drift_id, {}))
        for drift_id, results in tested.items()
        for name, result in results.items()
    ]


def _compared(study: Study, comparison: Comparison, level: float) -> Iterator[tuple[str, DriftResult]]:
    for name, mine in _segments(study, comparison):
        reference, current = (
            comparison.reference[mine[comparison.reference]],
            comparison.current[mine[comparison.current]],
        )
        result = study.compare(comparison.field, reference, current, level)
        if result.verdict != "insufficient":
            yield name, result


def _segments(study: Study, comparison: Comparison) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield the segments that have enough messages, with the turns of each, (n,)."""
    columns = {name: study.frame[column].fillna("").to_numpy(object) for name, column in DIMENSIONS.items()}
    for name, values in {**columns, "topic": study.topics}.items():
        found, counts = np.unique(values[comparison.current], return_counts=True)
        large = [value for value, n in sorted(zip(found, counts, strict=True), key=lambda p: -p[1]) if n >= MIN_ROWS]
        known = [value for value in large if value not in ("", -1)]
        if len(found) > 1 and counts.max() <= MOST_OF_IT * counts.sum():
            yield from ((f"{name}={value}", values == value) for value in known[:MOST_VALUES])


def _row(
    parent: Mapping[str, Any], of: tuple[str, Mapping[int, str]], result: DriftResult, level: float, alarmed: bool
) -> dict[str, Any]:
    name, labels = of
    result = replace(result, verdict="drifted" if alarmed and result.verdict == "drifted" else "stable")
    return {
        **{column: parent[column] for column in _COLUMNS},
        **numbers_of(result, level),
        "drift_id": f"{parent['drift_id']}:{name}",
        "parent_id": parent["drift_id"],
        "segment": name,
        "verdict": result.verdict,
        "sentence": segment_sentence(result, parent["field"], _named(name, labels)),
        "method_version": parent["method_version"],
    }


def _named(segment: str, labels: Mapping[int, str]) -> str:
    """Return what a segment is called: ``topic=6`` is the topic's label."""
    dimension, _, value = segment.partition("=")
    if dimension == "topic" and labels.get(int(value)):
        return f"about {labels[int(value)]}"
    return f"of {dimension.replace('_', ' ')} {value}"
