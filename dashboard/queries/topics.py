"""Topics: the table, the map, the history and examples."""

from dashboard.queries.judged import GROUNDED, THUMBS

_SCOPED = """
        scoped AS (
            SELECT i.interaction_id, i.turn_id, i.start_time, i.cost_usd, a.topic_id, a.x, a.y, a.membership,
                   CASE $field WHEN 'response' THEN i.response ELSE i.prompt END AS said, i.prompt
            FROM interactions_priced i
            LEFT JOIN topic_assignments a ON a.interaction_id = i.interaction_id AND a.field = $field
            WHERE {scope}
        )
"""

# Of the calls of a turn the last that answered.
_ONE_A_TURN = """QUALIFY row_number() OVER (
            PARTITION BY coalesce(s.turn_id, s.interaction_id) ORDER BY i.response IS NULL, s.start_time DESC
        ) = 1"""

# Below a topic: its sub-topics, and what is below those.
_BELOW = """(
            SELECT sub.topic_id FROM topics sub LEFT JOIN topics mid ON mid.topic_id = sub.parent_id
            WHERE sub.parent_id = $chosen OR mid.parent_id = $chosen
        )"""

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
    # One point per place, as equal texts share theirs; every topic has its share of the sample and a few at least.
    # The order by hash makes the sample the same on every read. Texts are sent where there are few enough to read.
    "topic_points": f"""
        WITH {_SCOPED},
        places AS (
            SELECT topic_id, x, y, min(left(said, 80)) AS prompt
            FROM scoped
            WHERE x IS NOT NULL AND y IS NOT NULL
            GROUP BY topic_id, x, y
        ),
        drawn AS (
            SELECT *, row_number() OVER (PARTITION BY topic_id ORDER BY hash(x, y)) AS place,
                   count(*) OVER (PARTITION BY topic_id) AS of_topic, count(*) OVER () AS of_all
            FROM places
        )
        SELECT topic_id, CAST(x AS FLOAT) AS x, CAST(y AS FLOAT) AS y,
               CASE WHEN of_all <= $texts THEN prompt END AS prompt, of_all
        FROM drawn
        WHERE of_all <= $limit OR place <= $least + floor(of_topic * 0.9 * $limit / of_all)
        ORDER BY CASE WHEN place <= $least THEN 0 ELSE hash(x, y) END
        LIMIT $limit
    """,
    "topic_fields": """
        SELECT field, topic_id, count(*) AS calls
        FROM topic_assignments
        WHERE topic_id IS NOT NULL
        GROUP BY field, topic_id
        ORDER BY field, topic_id
        LIMIT 10000
    """,
    "not_in_topics": f"""
        WITH {_SCOPED}
        SELECT count(DISTINCT turn_id) AS turns,
               count(DISTINCT turn_id) FILTER (topic_id = -1) AS outliers,
               count(DISTINCT turn_id) FILTER (topic_id IS NULL AND said IS NOT NULL) AS pending,
               count(DISTINCT turn_id) FILTER (topic_id IS NULL AND said IS NULL) AS wordless
        FROM scoped
    """,
    # Of one topic also what happened to another one and concerned it: where it was split from, what joined it.
    "topic_history": """
        SELECT h.topic_id, h.event, h.happened_at, h.sentence, h.origin, t.label
        FROM topic_history h LEFT JOIN topics t USING (topic_id)
        WHERE h.topic_id = $topic OR list_contains(from_json(coalesce(h.related, '[]'), '["BIGINT"]'), $topic)
        ORDER BY h.happened_at DESC, h.event_id
        LIMIT 25
    """,
    # The births of the first fit of a field are one event: that there are topics.
    "topic_changes": """
        WITH told AS (
            SELECT *, coalesce(origin, 'fit') AS cause, regexp_extract(event_id, ':(response|document):', 1) AS field
            FROM topic_history
        ),
        first AS (
            SELECT DISTINCT ON (field) field, run_id FROM told WHERE cause = 'fit' ORDER BY field, happened_at, event_id
        )
        SELECT h.topic_id, h.event, h.happened_at, h.sentence, t.label, t.state
        FROM told h LEFT JOIN topics t USING (topic_id)
        WHERE NOT (h.event = 'born' AND h.cause = 'fit' AND (h.field, h.run_id) IN (SELECT field, run_id FROM first))
        ORDER BY h.happened_at DESC, h.event_id
        LIMIT 25
    """,
    "topic_examples": f"""
        WITH {_SCOPED},{GROUNDED}
        SELECT s.interaction_id, s.start_time, s.prompt, i.response, i.service_name, g.label AS grounded
        FROM scoped s
        JOIN interactions i ON i.interaction_id = s.interaction_id
        LEFT JOIN grounded g ON g.target_id = s.interaction_id
        WHERE CASE WHEN $chosen IS NULL THEN s.topic_id IS NULL AND s.said IS NOT NULL
                   ELSE s.topic_id = $chosen OR s.topic_id IN {_BELOW} END
        {_ONE_A_TURN}
        ORDER BY CASE WHEN $borderline THEN s.membership END NULLS LAST, s.start_time DESC
        LIMIT 25
    """,
    "points_in": f"""
        WITH {_SCOPED},{GROUNDED}
        SELECT s.interaction_id, s.start_time, s.prompt, i.response, i.service_name, NULL AS grounded
        FROM scoped s JOIN interactions i ON i.interaction_id = s.interaction_id
        WHERE s.x BETWEEN $x0 AND $x1 AND s.y BETWEEN $y0 AND $y1
        {_ONE_A_TURN}
        ORDER BY s.start_time DESC
        LIMIT 25
    """,
    "topics_in": f"""
        WITH {_SCOPED}
        SELECT topic_id, count(DISTINCT turn_id) AS turns
        FROM scoped
        WHERE x BETWEEN $x0 AND $x1 AND y BETWEEN $y0 AND $y1
        GROUP BY topic_id
        ORDER BY turns DESC, topic_id
        LIMIT 1000
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
