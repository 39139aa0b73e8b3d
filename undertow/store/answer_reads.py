"""Named SQL about answers: what scorers and the judge read, their verdicts, and those of people."""

from __future__ import annotations

from undertow.store.read_parts import GROUNDED, NEW, OWN, REFUSED, SAFETY_NAMES, THUMBS

# Documents without text keep their place: answers cite by number.
ANSWERS_WITH_DOCUMENTS = f"""
WITH answers AS (
    SELECT interaction_id, response, prompt, response_text_hash FROM semantic_interactions
    WHERE response IS NOT NULL AND response <> '' AND {NEW}
)
SELECT a.*, d.document_row_ids, d.contents, d.content_hashes
FROM answers a LEFT JOIN (
    SELECT interaction_id, list(document_row_id ORDER BY rank, document_row_id) AS document_row_ids,
           list(coalesce(content, '') ORDER BY rank, document_row_id) AS contents,
           list(coalesce(content_hash, '') ORDER BY rank, document_row_id) AS content_hashes
    FROM documents GROUP BY interaction_id
) d USING (interaction_id)
ORDER BY interaction_id
"""

NEW_ANSWERS = f"""
SELECT interaction_id, coalesce(response, '') AS response FROM semantic_interactions WHERE {NEW}
"""

# What the safety detectors read of each call that is new, or was given documents or tool runs since.
SAFETY_TEXTS = f"""
WITH wanted AS (
    SELECT interaction_id FROM interactions WHERE {NEW}
    UNION SELECT interaction_id FROM tool_runs WHERE load_seq > $after AND load_seq <= $head
    UNION SELECT interaction_id FROM documents WHERE load_seq > $after AND load_seq <= $head
),
given AS (
    SELECT interaction_id, list(content) FILTER (content IS NOT NULL) AS contents,
           list({{'name': coalesce(document_id, document_row_id), 'content': content, 'metadata': metadata}}
                ORDER BY rank, document_row_id) AS documents
    FROM documents SEMI JOIN wanted USING (interaction_id) GROUP BY interaction_id
),
ran AS (
    SELECT interaction_id, list({{'name': name, 'arguments': arguments}} ORDER BY start_time, span_id) AS tool_runs
    FROM tool_runs SEMI JOIN wanted USING (interaction_id) WHERE name IS NOT NULL GROUP BY interaction_id
)
SELECT i.interaction_id, i.user_id, i.language, i.prompt, i.response, i.tool_calls, i.prompt_text_hash,
       i.response_text_hash, concat_ws(' ', i.service_name, i.prompt_name, i.prompt_version) AS prompt_key,
       g.contents, g.documents, r.tool_runs, json_extract_string(s.attributes, $attribute) AS user_labels
FROM semantic_interactions i SEMI JOIN wanted USING (interaction_id)
LEFT JOIN given g USING (interaction_id) LEFT JOIN ran r USING (interaction_id)
LEFT JOIN spans s ON s.trace_id = i.trace_id AND s.span_id = i.span_id
ORDER BY i.interaction_id
"""

# Distinct system prompts of each prompt version of a service, the newest few hundred.
SYSTEM_PROMPTS = """
WITH named AS (
    SELECT concat_ws(' ', service_name, prompt_name, prompt_version) AS prompt_key, system_prompt, start_time
    FROM semantic_interactions WHERE system_prompt IS NOT NULL AND load_seq <= $head
)
SELECT prompt_key, system_prompt FROM named GROUP BY prompt_key, system_prompt
QUALIFY row_number() OVER (PARTITION BY prompt_key ORDER BY max(start_time) DESC, system_prompt) <= 300
"""

# Prompts with what became of their answers: 0 or 1, or nothing where it was not judged.
COUNTERFACTUAL_OUTCOMES = f"""
SELECT i.prompt, CAST(r.interaction_id IS NOT NULL AS DOUBLE) AS refusal,
       CASE g.label WHEN 'ungrounded' THEN 1.0 WHEN 'grounded' THEN 0.0 END AS ungrounded,
       CASE WHEN o.label = 'not_evaluated' THEN NULL ELSE CAST(o.label IS NOT NULL AS DOUBLE) END AS offensive
FROM semantic_interactions i
LEFT JOIN ({GROUNDED}) g USING (interaction_id)
LEFT JOIN ({REFUSED}) r USING (interaction_id)
LEFT JOIN (
    SELECT target_id AS interaction_id, max(label) AS label FROM evaluations
    WHERE name = 'offensive_language' AND evaluator = name AND {OWN}
      AND (label LIKE 'response:%' OR label = 'not_evaluated') GROUP BY ALL
) o USING (interaction_id)
WHERE i.prompt IS NOT NULL AND i.response IS NOT NULL AND i.response <> ''
ORDER BY i.start_time, i.interaction_id
"""

# The newest commit that COUNTERFACTUAL_OUTCOMES reads, and up to which the last comparison of groups had read: null
# where there is none, or it was not made by a run of the pipeline.
COUNTERFACTUAL_SEEN = f"""
SELECT greatest((SELECT coalesce(max(load_seq), 0) FROM interactions),
                (SELECT coalesce(max(load_seq), 0) FROM evaluations
                 WHERE name IN ('groundedness', 'refusal', 'offensive_language') AND {OWN})) AS newest,
       (SELECT max(watermark) FROM runs WHERE run_id IN (SELECT run_id FROM artifacts WHERE kind = 'bias')) AS seen
"""

# What is known about each call that is new, or was judged or commented since.
JUDGED = f"""
WITH wanted AS (
    SELECT interaction_id FROM interactions WHERE {NEW}
    UNION
    SELECT target_id FROM feedback WHERE load_seq > $after AND target_kind = 'interaction'
),
thumbs AS (
    SELECT target_id AS interaction_id, avg(CASE WHEN value <= 0 THEN -1.0 ELSE 1.0 END) AS feedback_value,
           count(*) AS feedback_n {THUMBS}
),
comments AS (
    SELECT DISTINCT target_id AS interaction_id FROM feedback
    WHERE coalesce(comment, '') <> '' AND source IS DISTINCT FROM 'dashboard'
),
claimed AS (
    SELECT interaction_id, count(*) FILTER (verdict <> 'not_a_claim') AS claims,
           count(*) FILTER (verdict IN ('unsupported', 'contradicted')) AS unsupported
    FROM claims GROUP BY ALL
),
grounded AS ({GROUNDED}),
refused AS ({REFUSED}),
unsafe AS (
    SELECT target_id AS interaction_id,
           list({{'name': name, 'label': label, 'explanation': explanation}} ORDER BY name, label) AS unsafe
    FROM evaluations WHERE {OWN} AND value IS NOT NULL
      AND (name IN {SAFETY_NAMES} AND evaluator = name OR evaluator LIKE 'judge:%' AND label = 'fail')
    GROUP BY ALL
),
repeated AS (
    SELECT trace_id, max(times) AS times FROM (
        SELECT trace_id, count(*) AS times FROM tool_runs WHERE name IS NOT NULL GROUP BY trace_id, name, arguments
    ) GROUP BY ALL
)
SELECT i.interaction_id, i.status, i.error_type, i.error_message, i.finish_reason, g.risk, g.label,
       coalesce(c.claims, 0) AS claims, coalesce(c.unsupported, 0) AS unsupported, t.feedback_value,
       coalesce(t.feedback_n, 0) AS feedback_n, m.interaction_id IS NOT NULL AS has_comment,
       r.interaction_id IS NOT NULL AS refused, coalesce(p.times, 0) AS repeated_tool_calls, u.unsafe
FROM semantic_interactions i SEMI JOIN wanted USING (interaction_id)
LEFT JOIN grounded g USING (interaction_id) LEFT JOIN claimed c USING (interaction_id)
LEFT JOIN thumbs t USING (interaction_id) LEFT JOIN comments m USING (interaction_id)
LEFT JOIN refused r USING (interaction_id) LEFT JOIN repeated p USING (trace_id)
LEFT JOIN unsafe u USING (interaction_id)
ORDER BY i.interaction_id
"""

REVIEW_STATES = "SELECT interaction_id, state, severity, assignee, decided_by FROM reviews"

# The history of recalibrations of groundedness: the newest, or the named one.
CALIBRATIONS = """
SELECT artifact_id, created_at, body FROM artifacts
WHERE kind = 'calibration' AND (CAST($id AS VARCHAR) IS NULL OR artifact_id = $id)
ORDER BY created_at DESC, artifact_id LIMIT 1
"""

# What people found of the answers that were scored, one row per answer; a verdict that was withdrawn does not count.
# "Confirmed" and "dismissed" are about a flag: they speak of groundedness only where the flag did.
HUMAN_VERDICTS = """
    WITH told AS (
        SELECT target_id AS interaction_id, arg_max(lower(label), created_at) AS label, max(created_at) AS decided_at
        FROM feedback
        WHERE kind = 'verdict' AND target_kind = 'interaction'
          AND lower(label) IN ('confirmed', 'dismissed', 'grounded', 'supported', 'ungrounded', 'unsupported',
                               'hallucination', 'hallucinated')
        GROUP BY target_id
    ),
    decided AS (
        SELECT interaction_id, decided_at, reasons,
               CASE state WHEN 'resolved' THEN 'confirmed' WHEN 'archived' THEN 'dismissed' END AS label
        FROM reviews WHERE decided_by IS NOT NULL
    ),
    verdicts AS (
        SELECT coalesce(t.interaction_id, d.interaction_id) AS interaction_id, coalesce(t.label, d.label) AS label,
               coalesce(t.decided_at, d.decided_at) AS decided_at, r.reasons
        FROM told t FULL JOIN (SELECT * FROM decided WHERE label IS NOT NULL) d USING (interaction_id)
             LEFT JOIN reviews r ON r.interaction_id = coalesce(t.interaction_id, d.interaction_id)
    ),
    scored AS (
        SELECT target_id AS interaction_id, 1 - value AS risk, 1 - coalesce(uncalibrated, value) AS raw,
               evaluator, split_part(evaluator_version, '+', 1) AS scorer_version
        FROM evaluations
        WHERE name = 'groundedness' AND target_kind = 'interaction' AND run_id IS NOT NULL AND value IS NOT NULL
    )
    SELECT v.interaction_id, v.label NOT IN ('dismissed', 'grounded', 'supported') AS ungrounded, v.decided_at,
           s.risk, s.raw, s.evaluator, s.scorer_version
    FROM verdicts v JOIN scored s USING (interaction_id)
    WHERE v.label NOT IN ('confirmed', 'dismissed') OR v.reasons IS NULL
       OR regexp_matches(lower(v.reasons), 'ungrounded|in no document|hallucinat')
"""

VERDICTS_WITH_ANSWER = f"""
SELECT v.*, coalesce(i.response_text_hash, v.interaction_id) AS answer
FROM ({HUMAN_VERDICTS}) v LEFT JOIN interactions i USING (interaction_id) ORDER BY v.interaction_id
"""

SCORED_GROUNDEDNESS = """
SELECT * FROM evaluations
WHERE name = 'groundedness' AND target_kind = 'interaction' AND run_id IS NOT NULL AND value IS NOT NULL
  AND evaluator = $scorer AND split_part(evaluator_version, '+', 1) = $version
ORDER BY evaluation_id
"""

# Answers with the vectors' keys of question, answer and documents.
RETRIEVALS = f"""
WITH answers AS (
    SELECT interaction_id, prompt_text_hash, response_text_hash, response, language
    FROM semantic_interactions WHERE response IS NOT NULL AND response <> '' AND {NEW}
)
SELECT a.*, d.document_row_ids, d.contents, d.content_hashes
FROM answers a LEFT JOIN (
    SELECT interaction_id, list(document_row_id ORDER BY rank, document_row_id) AS document_row_ids,
           list(content ORDER BY rank, document_row_id) AS contents,
           list(content_hash ORDER BY rank, document_row_id) AS content_hashes
    FROM documents WHERE content IS NOT NULL AND content_hash IS NOT NULL GROUP BY interaction_id
) d USING (interaction_id)
ORDER BY interaction_id
"""

# Answers that may be compared with a new one: same service, prompt version and documents; without documents the same
# question too. The newest 2,000 of each.
REPEATED_ANSWERS = f"""
WITH given AS (
    SELECT interaction_id, md5(string_agg(content_hash, ',' ORDER BY content_hash)) AS context
    FROM documents WHERE content_hash IS NOT NULL GROUP BY interaction_id
),
answers AS (
    SELECT i.interaction_id, i.prompt_text_hash, i.response_text_hash, i.response, i.start_time, i.load_seq,
           concat_ws('|', coalesce(i.service_name, ''), coalesce(i.prompt_hash, ''), coalesce(i.prompt_version, ''),
                     coalesce(g.context, i.prompt_text_hash)) AS bucket
    FROM semantic_interactions i LEFT JOIN given g USING (interaction_id)
    WHERE i.response_text_hash IS NOT NULL AND i.prompt_text_hash IS NOT NULL AND i.response <> ''
      AND i.load_seq <= $head
)
SELECT interaction_id, prompt_text_hash, response_text_hash, response, bucket FROM answers
WHERE bucket IN (SELECT bucket FROM answers WHERE {NEW})
QUALIFY row_number() OVER (PARTITION BY bucket ORDER BY start_time DESC, interaction_id) <= 2000
ORDER BY bucket, prompt_text_hash, interaction_id
"""

# What the judge may grade: what is new, and what was put off until $retry_before.
ANSWERS_TO_GRADE = f"""
WITH put_off AS (
    SELECT DISTINCT target_id AS interaction_id FROM evaluations
    WHERE evaluator LIKE 'judge:%' AND label = 'postponed' AND run_id IS NOT NULL AND created_at < $retry_before
)
SELECT i.interaction_id, coalesce(i.prompt, '') AS prompt, i.response, coalesce(i.system_prompt, '') AS system_prompt,
       d.contents, ({NEW}) AS is_new
FROM semantic_interactions i
LEFT JOIN (SELECT interaction_id, list(content ORDER BY rank, document_row_id) AS contents
           FROM documents WHERE content IS NOT NULL GROUP BY interaction_id) d USING (interaction_id)
WHERE i.response IS NOT NULL AND i.response <> ''
  AND ({NEW} OR i.interaction_id IN (SELECT interaction_id FROM put_off))
ORDER BY i.interaction_id
"""

PUT_OFF = """
SELECT target_id, name FROM evaluations
WHERE evaluator LIKE 'judge:%' AND label = 'postponed' AND run_id IS NOT NULL AND created_at < $retry_before
"""

KNOWN_JUDGE_CALLS = "SELECT call_id FROM judge_calls WHERE call_id IN (SELECT unnest(CAST($ids AS VARCHAR[])))"
