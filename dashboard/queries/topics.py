"""Topics: the table, the map, the history and examples."""

from dashboard.queries.judged import GROUNDED, THUMBS

_SCOPED = """
        scoped AS (
            SELECT i.interaction_id, i.turn_id, i.start_time, i.cost_usd, a.topic_id, a.x, a.y, a.novelty, i.prompt
            FROM interactions_priced i
            LEFT JOIN topic_assignments a ON a.interaction_id = i.interaction_id AND a.field = 'prompt'
            WHERE {scope}
        )
"""

NAMED = {
    "topic_table": f"""
        WITH {_SCOPED},
{GROUNDED},{THUMBS}
        SELECT s.topic_id,
               count(DISTINCT s.turn_id) AS turns,
               count(*) FILTER (g.label IN ('grounded', 'ungrounded')) AS evaluated,
               count(*) FILTER (g.label = 'grounded') AS grounded,
               sum(s.cost_usd) AS cost,
               count(s.cost_usd) AS priced,
               coalesce(sum(h.thumbs), 0) AS thumbs,
               coalesce(sum(h.down), 0) AS down
        FROM scoped s
        LEFT JOIN grounded g ON g.target_id = s.interaction_id
        LEFT JOIN thumbs h ON h.target_id = s.interaction_id
        GROUP BY s.topic_id
        ORDER BY turns DESC
        LIMIT 1000
    """,
    "topic_days": f"""
        WITH {_SCOPED}
        SELECT topic_id, time_bucket(to_seconds($width), start_time, CAST($origin AS TIMESTAMP)) AS bucket,
               count(DISTINCT turn_id) AS turns
        FROM scoped
        WHERE topic_id IS NOT NULL
        GROUP BY ALL
        ORDER BY bucket
        LIMIT 20000
    """,
    "topics": """
        SELECT topic_id, label, label_source, keywords, parent_id, level, size, share, exemplars, x, y,
               first_seen, last_seen, state
        FROM topics
        ORDER BY level, size DESC, topic_id
        LIMIT 1000
    """,
    # The order by hash makes the sample the same on every read, and fair to every topic.
    "topic_points": f"""
        WITH {_SCOPED}
        SELECT interaction_id, topic_id, x, y, left(prompt, 90) AS prompt
        FROM scoped
        WHERE x IS NOT NULL AND y IS NOT NULL
        ORDER BY hash(interaction_id)
        LIMIT $limit
    """,
    "topic_history": """
        SELECT h.topic_id, h.event, h.happened_at, h.sentence, t.label
        FROM topic_history h LEFT JOIN topics t USING (topic_id)
        WHERE $topic IS NULL OR h.topic_id = $topic
        ORDER BY h.happened_at DESC, h.event_id
        LIMIT 25
    """,
    "topic_examples": f"""
        WITH {_SCOPED},{GROUNDED}
        SELECT s.interaction_id, s.start_time, s.prompt, i.response, i.service_name, g.label AS grounded
        FROM scoped s
        JOIN interactions i ON i.interaction_id = s.interaction_id
        LEFT JOIN grounded g ON g.target_id = s.interaction_id
        WHERE s.topic_id = $chosen OR s.topic_id IN (SELECT sub.topic_id FROM topics sub WHERE sub.parent_id = $chosen)
        ORDER BY s.start_time DESC
        LIMIT 25
    """,
    "points_in": f"""
        WITH {_SCOPED},{GROUNDED}
        SELECT s.interaction_id, s.start_time, s.prompt, i.response, i.service_name, NULL AS grounded
        FROM scoped s JOIN interactions i ON i.interaction_id = s.interaction_id
        WHERE s.x BETWEEN $x0 AND $x1 AND s.y BETWEEN $y0 AND $y1
        ORDER BY s.start_time DESC
        LIMIT 25
    """,
    "topic_row": """
        SELECT * FROM topics WHERE topic_id = $topic
    """,
    "contributions": """
        SELECT c.drift_id, c.topic_id, t.label, c.share_reference, c.share_current, c.contribution, c.kind, c.exemplars
        FROM drift_contributions c LEFT JOIN topics t USING (topic_id)
        WHERE c.drift_id = $drift
        ORDER BY c.contribution DESC
        LIMIT 12
    """,
    "before_examples": """
        SELECT i.interaction_id, i.start_time, i.prompt, i.response, i.service_name
        FROM interactions i
        LEFT JOIN topic_assignments a ON a.interaction_id = i.interaction_id AND a.field = 'prompt'
        WHERE i.duplicate_of IS NULL AND i.operation IN ('chat', 'text_completion') AND i.service_name = $service
          AND i.start_time >= $start AND i.start_time < $end
          AND coalesce(i.flags, '') NOT LIKE '%time%'
          AND ($topic IS NULL OR a.topic_id = $topic)
        ORDER BY hash(i.interaction_id)
        LIMIT 4
    """,
}
