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
        SELECT segment, n_reference, n_current, effect, effect_low, effect_high, p_value, verdict, sentence
        FROM drift
        WHERE parent_id = $drift
        ORDER BY verdict = 'drifted' DESC, effect DESC, segment
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
