"""How often the scorer is right where people judged, what else was judged, and documents behind ungrounded answers."""

from dashboard.queries.judged import GROUNDED
from undertow.store.answer_reads import HUMAN_VERDICTS

NAMED = {
    "reliability": f"""
        SELECT CAST(least(floor(10 * v.risk), 9) AS INTEGER) AS bin, avg(v.risk) AS said,
               count(*) AS n, count(*) FILTER (v.ungrounded) AS k, max(v.decided_at) AS newest
        FROM ({HUMAN_VERDICTS}) v JOIN interactions i USING (interaction_id)
        WHERE {{scope}}
        GROUP BY bin
        ORDER BY bin
    """,
    "scorer_versions": """
        SELECT e.evaluator, e.evaluator_version, count(*) AS n, min(i.start_time) AS oldest, max(i.start_time) AS newest
        FROM evaluations e JOIN interactions i ON i.interaction_id = e.target_id
        WHERE e.name = 'groundedness' AND e.target_kind = 'interaction' AND e.run_id IS NOT NULL
          AND e.value IS NOT NULL AND {scope}
        GROUP BY ALL
        ORDER BY max(e.load_seq) DESC, n DESC
        LIMIT 10
    """,
    "calibration_in_force": """
        SELECT calibration_set, count(*) AS n
        FROM evaluations
        WHERE name = 'groundedness' AND target_kind = 'interaction' AND run_id IS NOT NULL
          AND calibration_set IS NOT NULL
        GROUP BY calibration_set
        ORDER BY max(load_seq) DESC, n DESC, calibration_set
        LIMIT 1
    """,
    "other_judgements": """
        SELECT e.name, max(e.evaluator) AS evaluator,
               count(*) FILTER (e.label NOT IN ('not_evaluated', 'postponed')) AS n,
               count(*) FILTER (e.label IN ('irrelevant', 'unused', 'inconsistent', 'fail')) AS k
        FROM evaluations e JOIN interactions i ON i.interaction_id = e.target_id
        WHERE e.target_kind = 'interaction' AND e.run_id IS NOT NULL
          AND (e.name IN ('answer_relevance', 'context_relevance', 'context_utilisation', 'consistency')
               OR e.evaluator LIKE 'judge:%')
          AND {scope}
        GROUP BY e.name
        ORDER BY e.name
        LIMIT 50
    """,
    "documents_behind": f"""
        WITH {GROUNDED},
        judged AS (
            SELECT target_id, name, value FROM evaluations
            WHERE target_kind = 'document' AND run_id IS NOT NULL
              AND name IN ('context_relevance', 'context_utilisation')
        )
        SELECT coalesce(d.document_id, left(d.content_hash, 8)) AS name, any_value(left(d.content, 120)) AS excerpt,
               count(*) AS n, count(*) FILTER (g.label = 'ungrounded') AS k,
               avg(r.value) AS relevance, avg(u.value) AS utilisation
        FROM documents d JOIN interactions i USING (interaction_id)
             JOIN grounded g ON g.target_id = i.interaction_id AND g.label IN ('grounded', 'ungrounded')
             LEFT JOIN judged r ON r.target_id = d.document_row_id AND r.name = 'context_relevance'
             LEFT JOIN judged u ON u.target_id = d.document_row_id AND u.name = 'context_utilisation'
        WHERE {{scope}}
        GROUP BY 1
        HAVING count(*) >= $least AND count(*) FILTER (g.label = 'ungrounded') > 0
        ORDER BY k DESC, n
        LIMIT 200
    """,
}
