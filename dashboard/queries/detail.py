"""One interaction with all that belongs to it, and the queue of reviews."""

NAMED = {
    "review_queue": """
        SELECT r.interaction_id, r.state, r.severity, r.reasons, r.assignee, r.decided_by, r.decided_at,
               i.start_time, i.service_name, left(i.prompt, 200) AS prompt,
               count(*) OVER () AS waiting, count(*) FILTER (r.state = 'escalated') OVER () AS raised
        FROM reviews r JOIN interactions i ON i.interaction_id = r.interaction_id
        WHERE r.state IN ('open', 'escalated') AND {scope}
        ORDER BY r.state = 'escalated' DESC, r.severity DESC, i.start_time DESC, r.interaction_id
        LIMIT 1000
    """,
    "review_row": """
        SELECT interaction_id, state, severity, reasons, assignee, decided_by, decided_at
        FROM reviews WHERE interaction_id = $id
    """,
    "interaction": """
        SELECT * FROM interactions_priced WHERE interaction_id = $id
    """,
    "interaction_topic": """
        SELECT a.topic_id, t.label, a.membership, a.novelty
        FROM topic_assignments a LEFT JOIN topics t USING (topic_id)
        WHERE a.interaction_id = $id AND a.field = 'prompt'
    """,
    "interaction_claims": """
        SELECT claim_id, start_char, end_char, text, support, verdict, document_row_id, evidence, scorer, scorer_version
        FROM claims WHERE interaction_id = $id
        ORDER BY start_char, claim_id
        LIMIT 200
    """,
    "interaction_documents": """
        SELECT document_row_id, rank, document_id, content, relevance, join_confidence, updated_at
        FROM documents WHERE interaction_id = $id
        ORDER BY rank, document_row_id
        LIMIT 50
    """,
    "interaction_evaluations": """
        SELECT name, value, label, direction, explanation, evaluator, evaluator_version, created_at
        FROM evaluations
        WHERE target_id = $id
        ORDER BY name, created_at DESC
        LIMIT 100
    """,
    "interaction_feedback": """
        SELECT kind, value, label, comment, author, source, created_at
        FROM feedback WHERE target_kind = 'interaction' AND target_id = $id
        ORDER BY created_at
        LIMIT 100
    """,
    "trace_spans": """
        SELECT span_id, parent_span_id, name, operation, service_name, start_time, end_time, duration_ms, status,
               error_type, error_message, attributes
        FROM spans WHERE trace_id = $trace
        ORDER BY start_time, span_id
        LIMIT 300
    """,
    "trace_tools": """
        SELECT span_id, name, arguments, result, error_type, duration_ms
        FROM tool_runs WHERE trace_id = $trace
        ORDER BY start_time
        LIMIT 100
    """,
    "same_failure": """
        SELECT r.interaction_id, r.severity, left(i.prompt, 120) AS prompt, i.start_time
        FROM reviews r
        JOIN interactions i ON i.interaction_id = r.interaction_id
        JOIN topic_assignments a ON a.interaction_id = r.interaction_id AND a.field = 'prompt'
        WHERE r.state IN ('open', 'escalated') AND r.interaction_id <> $id AND a.topic_id = $topic
        ORDER BY r.severity DESC, r.interaction_id
        LIMIT 4
    """,
    "latest_interactions": """
        SELECT i.interaction_id, i.start_time, i.service_name, i.request_model, i.duration_ms, i.cost_usd, i.status,
               left(i.prompt, 160) AS prompt
        FROM interactions_priced i
        WHERE {scope}
        ORDER BY i.start_time DESC, i.interaction_id
        LIMIT 25 OFFSET $offset
    """,
}
