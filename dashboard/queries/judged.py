"""What our own analyzers and the users said of each call; judgements that came by telemetry have other makers."""

GROUNDED = """
        grounded AS (
            SELECT target_id, max(label) AS label, max(explanation) AS explanation
            FROM evaluations
            WHERE name = 'groundedness' AND target_kind = 'interaction' AND run_id IS NOT NULL
            GROUP BY target_id
        )
"""

REFUSED = """
        refused AS (
            SELECT DISTINCT target_id FROM evaluations
            WHERE name = 'refusal' AND target_kind = 'interaction' AND run_id IS NOT NULL
        )
"""

THUMBS = """
        thumbs AS (
            SELECT target_id, count(value) AS thumbs, count(*) FILTER (value <= 0) AS down
            FROM feedback
            WHERE kind = 'thumb' AND target_kind = 'interaction'
            GROUP BY target_id
        )
"""
