"""The Drift page: monitors, segments, and comparisons that somebody asked for."""

NAMED = {
    "monitors_in": """
        SELECT drift_id, field, segment, reference_start, reference_end, current_start, current_end, n_current, value,
               evidence, threshold, verdict, sentence
        FROM drift
        WHERE statistic = 'monitor' AND current_end > $start AND current_start < $end
          AND ($service IS NULL OR segment = $service)
        ORDER BY current_start, field, segment
        LIMIT 1000
    """,
    "segments_of": """
        SELECT d.segment, t.label, d.n_reference, d.n_current, d.effect, d.effect_low, d.effect_high, d.p_value,
               d.verdict, d.sentence
        FROM drift d LEFT JOIN topics t ON d.segment = 'topic=' || CAST(t.topic_id AS VARCHAR)
        WHERE d.parent_id = $drift
        ORDER BY d.verdict = 'drifted' DESC, d.effect DESC, d.segment
        LIMIT 100
    """,
    "request_of": """
        SELECT request_id, kind, arguments, state, result, error, requested_at, finished_at
        FROM requests
        WHERE request_id = $request
    """,
    "choices_made": """
        SELECT kind, arguments, requested_by, requested_at
        FROM requests
        WHERE kind IN ('pin', 'acknowledge')
        ORDER BY requested_at
        LIMIT 1000
    """,
}
