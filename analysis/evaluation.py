"""A row of ``evaluations`` as our own analyzers write it."""

from __future__ import annotations

import hashlib
from typing import Any

from analysis.analyzer import Context


def evaluation(  # noqa: PLR0913 - one argument a column
    context: Context,
    target_id: str,
    name: str,
    *,
    value: float | None,
    label: str,
    evaluator: str,
    version: str,
    explanation: str | None = None,
    target_kind: str = "interaction",
    direction: str = "higher_is_better",
    calibration_set: str | None = None,
) -> dict[str, Any]:
    """Return one row; the same target, name and evaluator replace it."""
    identity = f"{target_kind}:{target_id}:{evaluator}:{name}"
    return {
        "evaluation_id": hashlib.sha256(identity.encode()).hexdigest()[:32],
        "target_kind": target_kind,
        "target_id": target_id,
        "name": name,
        "value": value,
        "label": label,
        "explanation": explanation,
        "direction": direction,
        "evaluator": evaluator,
        "evaluator_version": version,
        "run_id": context.run_id,
        "created_at": context.now,
        "calibration_set": calibration_set,
    }
