"""What every page needs: the extent of the data, the choices of the filters, the marks on every chart."""

NAMED = {
    "extent": """
        SELECT
            count(*) AS interactions,
            count(*) FILTER (content_state = 'none') AS without_content,
            min(start_time) AS oldest,
            max(start_time) AS newest,
            (SELECT max(finished_at) FROM runs WHERE status = 'ok') AS analysed,
            (SELECT count(*) FROM spans) AS spans
        FROM interactions i
        WHERE i.duplicate_of IS NULL AND coalesce(i.flags, '') NOT LIKE '%time%'
    """,
    "choices": """
        SELECT 'service' AS field, service_name AS value, count(*) AS n FROM interactions GROUP BY ALL
        UNION ALL SELECT 'environment', environment, count(*) FROM interactions GROUP BY ALL
        UNION ALL SELECT 'model', request_model, count(*) FROM interactions GROUP BY ALL
        UNION ALL SELECT 'prompt_version', prompt_version, count(*) FROM interactions GROUP BY ALL
        ORDER BY field, n DESC, value
    """,
    "topic_labels": """
        SELECT topic_id, label, level, state, size, first_seen, last_seen
        FROM topics
        ORDER BY level, size DESC, topic_id
        LIMIT 1000
    """,
    "changes": """
        SELECT "at" AS moment, kind, name, before, after, source
        FROM changes
        WHERE "at" >= $start AND "at" < $end
        ORDER BY "at" DESC
        LIMIT 26
    """,
    "alert_events": """
        SELECT event_id, alert_id, kind, happened_at, severity, sentence, evidence
        FROM alert_events
        WHERE happened_at >= $start AND happened_at < $end
        ORDER BY happened_at DESC
        LIMIT 1000
    """,
    "open_reviews": """
        SELECT count(*) AS n FROM reviews WHERE state IN ('open', 'escalated')
    """,
}
