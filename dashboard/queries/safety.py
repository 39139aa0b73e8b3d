"""What the safety detectors found; a row means a finding, or a text that a detector cannot judge."""

_NAMES = """(
    'personal_data', 'offensive_language', 'prompt_injection', 'system_prompt_leakage', 'unsafe_tool_call', 'policy',
    'context_access', 'document_injection'
)"""
_FOUND = f"""
        found AS (
            SELECT i.interaction_id, i.start_time, e.name, bool_or(e.value IS NOT NULL) AS found
            FROM interactions i JOIN evaluations e ON e.target_id = i.interaction_id
            WHERE {{scope}} AND e.target_kind = 'interaction' AND e.run_id IS NOT NULL
              AND e.evaluator = e.name AND e.name IN {_NAMES}
            GROUP BY ALL
        )
"""

NAMED = {
    "safety_days": f"""
        WITH {_FOUND}
        SELECT time_bucket(to_seconds($width), start_time, CAST($origin AS TIMESTAMP)) AS bucket, name,
               count(*) FILTER (found) AS n
        FROM found
        GROUP BY ALL
        HAVING count(*) FILTER (found) > 0
        ORDER BY bucket, name
        LIMIT 1000
    """,
    "safety_found": f"""
        WITH {_FOUND}
        SELECT f.name, count(*) FILTER (f.found) AS found, count(*) FILTER (NOT f.found) AS not_evaluated,
               max(f.start_time) FILTER (f.found) AS newest,
               arg_max(r.interaction_id, r.severity) FILTER (f.found AND r.state IN ('open', 'escalated')) AS worst
        FROM found f LEFT JOIN reviews r USING (interaction_id)
        GROUP BY f.name
        ORDER BY found DESC, f.name
        LIMIT 50
    """,
    "groups_compared": """
        SELECT version AS calls, created_at, body FROM artifacts WHERE kind = 'bias' ORDER BY created_at DESC LIMIT 1
    """,
    "safety_runs": """
        SELECT count(*) AS n FROM runs WHERE analyzer = 'safety' AND status = 'ok'
    """,
}
