"""The tiles of Overview: one row of totals per window, one row per bucket for the sparklines."""

from dashboard.queries.judged import GROUNDED, REFUSED, THUMBS

_JUDGED = f"""
        calls AS (
            SELECT i.interaction_id, i.turn_id, i.start_time, i.duration_ms, i.ttft_ms, i.status, i.finish_reason,
                   i.content_state, i.cost_usd, i.cost_source
            FROM interactions_priced i
            WHERE {{scope}}
        ),
{GROUNDED},{REFUSED},{THUMBS},
        joined AS (
            SELECT c.*, g.label, g.explanation, r.target_id IS NOT NULL AS refusal, t.thumbs, t.down
            FROM calls c
            LEFT JOIN grounded g ON g.target_id = c.interaction_id
            LEFT JOIN refused r ON r.target_id = c.interaction_id
            LEFT JOIN thumbs t ON t.target_id = c.interaction_id
        )
"""

_MEASURES = """
            count(*) AS calls,
            count(DISTINCT turn_id) AS turns,
            count(*) FILTER (content_state = 'none') AS without_content,
            count(*) FILTER (content_state <> 'none') AS with_content,
            count(*) FILTER (label IN ('grounded', 'ungrounded')) AS evaluated,
            count(*) FILTER (label = 'grounded') AS grounded,
            mode(explanation) FILTER (label = 'not_evaluated') AS why_not_evaluated,
            coalesce(sum(thumbs), 0) AS thumbs,
            coalesce(sum(down), 0) AS down,
            sum(cost_usd) AS cost,
            count(*) FILTER (cost_usd IS NOT NULL) AS priced,
            count(*) FILTER (cost_source = 'unknown') AS unpriced,
            quantile_cont(duration_ms, 0.5) AS p50,
            quantile_cont(duration_ms, 0.95) AS p95,
            quantile_cont(ttft_ms, 0.5) AS ttft50,
            quantile_cont(ttft_ms, 0.95) AS ttft95,
            count(*) FILTER (status = 'ERROR') AS errors,
            count(*) FILTER (refusal) AS refusals,
            count(*) FILTER (finish_reason IN ('length', 'max_tokens')) AS truncated
"""

NAMED = {
    "totals": f"""
        WITH {_JUDGED}
        SELECT {_MEASURES} FROM joined
    """,
    # $origin is where the first bucket starts, so that buckets are days of the configured zone.
    "buckets": f"""
        WITH {_JUDGED}
        SELECT time_bucket(to_seconds($width), start_time, CAST($origin AS TIMESTAMP)) AS bucket, {_MEASURES}
        FROM joined
        GROUP BY bucket
        ORDER BY bucket
        LIMIT 1000
    """,
    "drift_in": """
        SELECT drift_id, field, segment, grouping, current_start, current_end, reference_start, reference_end,
               n_reference, n_current, statistic, value, effect, p_value, p_floor, evidence, threshold, verdict,
               sentence, method_version, effect_low, effect_high, onset
        FROM drift
        WHERE parent_id IS NULL AND statistic IS DISTINCT FROM 'monitor'
          AND current_end > $start AND current_start < $end AND ($service IS NULL OR segment = $service)
        ORDER BY current_start, field, segment
        LIMIT 1000
    """,
    "moved_topics": """
        WITH scoped AS (
            SELECT CASE WHEN g.level > 0 THEN g.parent_id ELSE a.topic_id END AS topic_id,
                   i.turn_id, i.start_time >= $split AS recent
            FROM interactions i
            JOIN topic_assignments a ON a.interaction_id = i.interaction_id AND a.field = 'prompt'
            LEFT JOIN topics g ON g.topic_id = a.topic_id
            WHERE {scope}
        ),
        totals AS (
            SELECT count(DISTINCT turn_id) FILTER (recent) AS n_now,
                   count(DISTINCT turn_id) FILTER (NOT recent) AS n_before
            FROM scoped
        )
        SELECT s.topic_id, t.label, t.state, t.exemplars,
               count(DISTINCT s.turn_id) FILTER (s.recent) AS now,
               count(DISTINCT s.turn_id) FILTER (NOT s.recent) AS before,
               any_value(n_now) AS n_now, any_value(n_before) AS n_before
        FROM scoped s
        JOIN topics t ON t.topic_id = s.topic_id AND t.level = 0
        CROSS JOIN totals
        GROUP BY s.topic_id, t.label, t.state, t.exemplars
        ORDER BY abs(now / greatest(any_value(n_now), 1) - before / greatest(any_value(n_before), 1)) DESC, s.topic_id
        LIMIT 6
    """,
    "queue_head": """
        SELECT r.interaction_id, r.state, r.severity, r.reasons, i.start_time, i.prompt
        FROM reviews r JOIN interactions i ON i.interaction_id = r.interaction_id
        WHERE r.state IN ('open', 'escalated') AND {scope}
        ORDER BY r.state = 'escalated' DESC, r.severity DESC, i.start_time DESC
        LIMIT 5
    """,
    "texts_of": """
        SELECT interaction_id, prompt, response, start_time, service_name
        FROM interactions
        WHERE list_contains(CAST(CAST($ids AS JSON) AS VARCHAR[]), interaction_id)
        LIMIT 1000
    """,
}
