"""Pieces of SQL that several named reads are made of."""

from __future__ import annotations

TURN = "coalesce(turn_id, interaction_id)"

STANDS_FOR_TURN = f"""row_number() OVER (
    PARTITION BY {TURN} ORDER BY response_text_hash IS NULL, start_time DESC, interaction_id
) = 1"""

# What no run has seen yet, and what is to be analysed again.
NEW = "load_seq <= $head AND (load_seq > $after OR start_time >= $since)"

# Judgements of our own: anybody may post evaluations of the same name, and several of them about one call.
OWN = "target_kind = 'interaction' AND run_id IS NOT NULL"

GROUNDED = f"""
    SELECT target_id AS interaction_id, arg_max(1 - value, created_at) AS risk, arg_max(label, created_at) AS label
    FROM evaluations WHERE name = 'groundedness' AND value IS NOT NULL AND {OWN} GROUP BY ALL
"""

REFUSED = f"""
    SELECT DISTINCT target_id AS interaction_id FROM evaluations
    WHERE name = 'refusal' AND evaluator = 'refusal-phrases' AND {OWN}
"""

_SAFETY = (
    "personal_data", "offensive_language", "prompt_injection", "system_prompt_leakage", "unsafe_tool_call", "policy",
    "context_access", "document_injection",
)  # fmt: skip

SAFETY_NAMES = "('" + "', '".join(_SAFETY) + "')"
"""Names of the evaluations that the safety detectors write, as SQL."""

# A thumb without a value says nothing.
THUMBS = "FROM feedback WHERE kind = 'thumb' AND target_kind = 'interaction' AND value IS NOT NULL GROUP BY ALL"
