"""Slices of quality, cost by day and model, versions of prompts."""

from dashboard.queries.judged import GROUNDED, REFUSED

_SLICE = """
        SELECT '{title}' AS slice, CAST({column} AS VARCHAR) AS name,
               count(*) FILTER (g.label IN ('grounded', 'ungrounded')) AS evaluated,
               count(*) FILTER (g.label = 'ungrounded') AS ungrounded
        FROM scoped s LEFT JOIN grounded g ON g.target_id = s.interaction_id
        GROUP BY ALL
"""

NAMED = {
    "slices": f"""
        WITH {GROUNDED},
        scoped AS (
            SELECT i.interaction_id, i.request_model, i.prompt_version, i.service_name, t.label AS topic, t.topic_id
            FROM interactions i
            LEFT JOIN topic_assignments a ON a.interaction_id = i.interaction_id AND a.field = 'prompt'
            LEFT JOIN topics t ON t.topic_id = a.topic_id
            WHERE {{scope}}
        )
        {_SLICE.format(title="topic", column="topic")}
        UNION ALL {_SLICE.format(title="model", column="request_model")}
        UNION ALL {_SLICE.format(title="prompt version", column="prompt_version")}
        ORDER BY slice, evaluated DESC
        LIMIT 300
    """,
    "cost_by_model": """
        SELECT time_bucket(to_seconds($width), i.start_time, CAST($origin AS TIMESTAMP)) AS bucket,
               i.request_model AS model, sum(i.cost_usd) AS cost, count(*) AS calls,
               count(*) FILTER (i.cost_usd IS NULL) AS unpriced,
               sum(i.input_tokens) AS input_tokens, sum(i.output_tokens) AS output_tokens
        FROM interactions_priced i
        WHERE {scope}
        GROUP BY ALL
        ORDER BY bucket, model
        LIMIT 1000
    """,
    "model_table": """
        SELECT i.request_model AS model, count(*) AS calls, sum(i.cost_usd) AS cost,
               count(*) FILTER (i.cost_usd IS NULL) AS unpriced,
               sum(i.input_tokens) AS input_tokens, sum(i.output_tokens) AS output_tokens,
               sum(i.cache_read_tokens) AS cache_read_tokens, quantile_cont(i.duration_ms, 0.95) AS p95
        FROM interactions_priced i
        WHERE {scope}
        GROUP BY ALL
        ORDER BY cost DESC NULLS LAST, calls DESC
        LIMIT 100
    """,
    "prompt_versions": f"""
        WITH {GROUNDED},{REFUSED}
        SELECT coalesce(i.prompt_name, '') AS prompt_name, coalesce(i.prompt_version, '') AS prompt_version,
               count(*) AS calls, min(i.start_time) AS first_seen, max(i.start_time) AS last_seen,
               count(*) FILTER (g.label IN ('grounded', 'ungrounded')) AS evaluated,
               count(*) FILTER (g.label = 'grounded') AS grounded,
               count(i.response) AS answered, count(r.target_id) AS refused,
               sum(i.cost_usd) AS cost, count(i.cost_usd) AS priced,
               quantile_cont(i.duration_ms, 0.95) AS p95
        FROM interactions_priced i
        LEFT JOIN grounded g ON g.target_id = i.interaction_id
        LEFT JOIN refused r ON r.target_id = i.interaction_id
        WHERE {{scope}} AND (i.prompt_version IS NOT NULL OR i.prompt_name IS NOT NULL)
        GROUP BY ALL
        ORDER BY prompt_name, first_seen DESC
        LIMIT 200
    """,
    "prompt_templates": """
        SELECT prompt_name, prompt_version, template, first_seen
        FROM prompts
        WHERE template IS NOT NULL
        ORDER BY prompt_name, first_seen DESC
        LIMIT 200
    """,
}
