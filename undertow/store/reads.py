"""Named SQL that analysis reads with. Values are bound; ``$after``, ``$head`` and ``$since`` by the run.

A *turn* is represented by the last of its calls that answered.
"""

from __future__ import annotations

_TURN = "coalesce(turn_id, interaction_id)"
_STANDS_FOR_TURN = f"""row_number() OVER (
    PARTITION BY {_TURN} ORDER BY response_text_hash IS NULL, start_time DESC, interaction_id
) = 1"""

# What no run has seen yet, and what is to be analysed again.
_NEW = "load_seq <= $head AND (load_seq > $after OR start_time >= $since)"

# Judgements of our own: anybody may post evaluations of the same name, and several of them about one call.
_OWN = "target_kind = 'interaction' AND run_id IS NOT NULL"
_GROUNDED = f"""
    SELECT target_id AS interaction_id, arg_max(1 - value, created_at) AS risk, arg_max(label, created_at) AS label
    FROM evaluations WHERE name = 'groundedness' AND value IS NOT NULL AND {_OWN} GROUP BY ALL
"""
_REFUSED = f"""
    SELECT DISTINCT target_id AS interaction_id FROM evaluations
    WHERE name = 'refusal' AND evaluator = 'refusal-phrases' AND {_OWN}
"""

_SAFETY = (
    "personal_data", "offensive_language", "prompt_injection", "system_prompt_leakage", "unsafe_tool_call", "policy",
    "context_access",
)  # fmt: skip
SAFETY_NAMES = "('" + "', '".join(_SAFETY) + "')"
"""Names of the evaluations that the safety detectors write, as SQL."""

# A thumb without a value says nothing.
_THUMBS = "FROM feedback WHERE kind = 'thumb' AND target_kind = 'interaction' AND value IS NOT NULL GROUP BY ALL"

WATERMARK = """
SELECT coalesce(max(watermark), 0) AS watermark FROM runs
WHERE analyzer = $analyzer AND version = $version AND status = 'ok'
"""

# The newest commit that brought something to analyse; our own results are commits too.
NEWEST_TRAFFIC = """
SELECT coalesce(max(load_seq), 0) AS newest
FROM (SELECT load_seq FROM interactions UNION ALL SELECT load_seq FROM feedback)
"""

# One row per distinct text that has no vector of the model yet.
TEXTS_WITHOUT_VECTOR = """
WITH texts AS (
    SELECT 'prompt' AS field, prompt_text_hash AS content_hash, prompt AS text FROM semantic_interactions
    UNION ALL
    SELECT 'response', response_text_hash, response FROM semantic_interactions
    UNION ALL
    SELECT 'document', content_hash, content FROM documents
)
SELECT field, content_hash, any_value(text) AS text
FROM texts ANTI JOIN (SELECT field, content_hash FROM embeddings WHERE model = $model) USING (field, content_hash)
WHERE content_hash IS NOT NULL AND text <> ''
GROUP BY ALL ORDER BY field, content_hash
"""

# Turns with a question that start within [$from, $to), in the order of time. Calls of a turn lie within a day.
TURNS = f"""
WITH stands AS (
    SELECT interaction_id, {_TURN} AS turn_id, trace_id, session_id, user_id, service_name,
           start_time, prompt, prompt_text_hash, response_text_hash, request_model, prompt_name, prompt_version,
           prompt_hash, language, load_seq
    FROM semantic_interactions WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head
      AND start_time >= $from - INTERVAL 1 DAY AND start_time < $to + INTERVAL 1 DAY
    QUALIFY {_STANDS_FOR_TURN}
)
SELECT * FROM stands WHERE start_time >= $from AND start_time < $to
ORDER BY start_time, interaction_id
"""

TURNS_WITH_VECTOR = f"""
WITH stands AS (
    SELECT prompt_text_hash AS content_hash FROM semantic_interactions
    WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head
    QUALIFY {_STANDS_FOR_TURN}
)
SELECT count(*) AS turns FROM stands
SEMI JOIN (SELECT content_hash FROM embeddings WHERE field = 'prompt' AND model = $model) USING (content_hash)
"""

# Days (in the zone of day buckets) and services touched by what is new.
TOUCHED_DAYS = f"""
SELECT DISTINCT service_name, CAST(timezone($zone, timezone('UTC', start_time)) AS DATE) AS day
FROM semantic_interactions WHERE {_NEW}
"""

TURN_DOCUMENTS = """
SELECT d.interaction_id, d.content_hash FROM documents d
SEMI JOIN (SELECT interaction_id FROM interactions WHERE start_time >= $from AND start_time < $to)
    USING (interaction_id)
WHERE d.content_hash IS NOT NULL AND d.load_seq <= $head
ORDER BY d.interaction_id, d.rank
"""

# Questions that need a topic, and whether their call is the one that stands for its turn.
TO_ASSIGN = f"""
SELECT interaction_id, prompt_text_hash, start_time, {_STANDS_FOR_TURN} AS stands
FROM semantic_interactions WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head
  AND {_TURN} IN (SELECT {_TURN} FROM semantic_interactions WHERE {_NEW})
QUALIFY load_seq > $after OR start_time >= $since
"""

# Turns by topic, without those that TO_ASSIGN gives.
TURNS_BY_TOPIC = f"""
WITH stands AS (
    SELECT interaction_id, start_time, load_seq FROM semantic_interactions
    WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head
    QUALIFY {_STANDS_FOR_TURN}
)
SELECT topic_id, count(*) AS turns, min(start_time) AS first_seen, max(start_time) AS last_seen
FROM stands JOIN topic_assignments USING (interaction_id)
WHERE field = 'prompt' AND NOT (load_seq > $after OR start_time >= $since) GROUP BY topic_id
"""

ANSWERS_WITH_DOCUMENTS = f"""
WITH answers AS (
    SELECT interaction_id, response, prompt, response_text_hash FROM semantic_interactions
    WHERE response IS NOT NULL AND response <> '' AND {_NEW}
)
SELECT a.*, d.document_row_ids, d.contents, d.content_hashes
FROM answers a LEFT JOIN (
    SELECT interaction_id, list(document_row_id ORDER BY rank, document_row_id) AS document_row_ids,
           list(content ORDER BY rank, document_row_id) AS contents,
           list(content_hash ORDER BY rank, document_row_id) AS content_hashes
    FROM documents WHERE content IS NOT NULL GROUP BY interaction_id
) d USING (interaction_id)
ORDER BY interaction_id
"""

NEW_ANSWERS = f"""
SELECT interaction_id, coalesce(response, '') AS response FROM semantic_interactions WHERE {_NEW}
"""

# What the safety detectors read of each call that is new, or was given documents or tool runs since.
SAFETY_TEXTS = f"""
WITH wanted AS (
    SELECT interaction_id FROM interactions WHERE {_NEW}
    UNION SELECT interaction_id FROM tool_runs WHERE load_seq > $after AND load_seq <= $head
    UNION SELECT interaction_id FROM documents WHERE load_seq > $after AND load_seq <= $head
),
given AS (
    SELECT interaction_id, list(content) FILTER (content IS NOT NULL) AS contents,
           list(metadata) FILTER (metadata IS NOT NULL) AS metadata
    FROM documents SEMI JOIN wanted USING (interaction_id) GROUP BY interaction_id
),
ran AS (
    SELECT interaction_id, list({{'name': name, 'arguments': arguments}} ORDER BY start_time, span_id) AS tool_runs
    FROM tool_runs SEMI JOIN wanted USING (interaction_id) WHERE name IS NOT NULL GROUP BY interaction_id
)
SELECT i.interaction_id, i.user_id, i.language, i.prompt, i.response, i.tool_calls, i.prompt_text_hash,
       i.response_text_hash, concat_ws(' ', i.service_name, i.prompt_name, i.prompt_version) AS prompt_key,
       g.contents, g.metadata, r.tool_runs, json_extract_string(s.attributes, $attribute) AS user_labels
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
LEFT JOIN ({_GROUNDED}) g USING (interaction_id)
LEFT JOIN ({_REFUSED}) r USING (interaction_id)
LEFT JOIN (
    SELECT target_id AS interaction_id, max(label) AS label FROM evaluations
    WHERE name = 'offensive_language' AND evaluator = name AND {_OWN}
      AND (label LIKE 'response:%' OR label = 'not_evaluated') GROUP BY ALL
) o USING (interaction_id)
WHERE i.prompt IS NOT NULL AND i.response IS NOT NULL AND i.response <> ''
ORDER BY i.start_time, i.interaction_id
"""

CALLS_TO_PRICE = f"""
SELECT interaction_id, provider, request_model, response_model, start_time,
       input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, reported_cost_usd
FROM interactions WHERE duplicate_of IS NULL AND {_NEW}
"""

PROMPT_VERSIONS = f"""
SELECT prompt_name, prompt_version, prompt_hash, any_value(system_prompt) AS template,
       min(start_time) AS first_seen, max(start_time) AS last_seen, count(*) AS calls
FROM semantic_interactions WHERE load_seq <= $head AND prompt_hash IS NOT NULL
  AND prompt_hash IN (SELECT prompt_hash FROM interactions WHERE {_NEW})
GROUP BY ALL
"""

# Each value of a named thing after its first one is a change, at the time it was first seen. A prompt that several
# services use is nobody's in particular.
DISCOVERED_CHANGES = """
WITH seen AS (
    SELECT 'prompt' AS kind, prompt_name AS name, coalesce(prompt_version, left(prompt_hash, 8)) AS value, start_time,
           service_name
    FROM semantic_interactions WHERE load_seq <= $head AND prompt_name IS NOT NULL
    UNION ALL
    SELECT 'prompt', service_name, left(prompt_hash, 8), start_time, service_name
    FROM semantic_interactions WHERE load_seq <= $head AND prompt_name IS NULL AND prompt_hash IS NOT NULL
      AND service_name IN (
          SELECT service_name FROM semantic_interactions WHERE prompt_name IS NULL AND prompt_hash IS NOT NULL
          GROUP BY service_name HAVING count(DISTINCT prompt_hash) <= 0.02 * count(*))
    UNION ALL
    SELECT 'model', service_name, request_model, start_time, service_name
    FROM semantic_interactions WHERE load_seq <= $head AND request_model IS NOT NULL
    UNION ALL
    SELECT 'embedding_model', service_name, request_model, start_time, service_name
    FROM interactions WHERE load_seq <= $head AND operation = 'embeddings' AND request_model IS NOT NULL
      AND duplicate_of IS NULL
    UNION ALL
    SELECT 'deployment', service_name, json_extract_string(resource, '$."service.version"'), start_time, service_name
    FROM spans WHERE load_seq <= $head AND contains(resource, 'service.version')
), firsts AS (
    SELECT kind, name, value, min(start_time) AS "at",
           CASE WHEN count(DISTINCT service_name) = 1 THEN min(service_name) END AS service_name
    FROM seen WHERE value IS NOT NULL AND value <> '' GROUP BY kind, name, value
)
SELECT kind, name, lag(value) OVER chain AS before, value AS after, "at", service_name
FROM firsts WINDOW chain AS (PARTITION BY kind, name ORDER BY "at", value)
QUALIFY lag(value) OVER chain IS NOT NULL
"""

# When each document, in each of its texts, was first given, by service; how often a service retrieves at all.
DOCUMENTS_FIRST_GIVEN = """
SELECT i.service_name, coalesce(d.document_id, d.content_hash) AS document, d.content_hash,
       min(i.start_time) AS first_given, count(*) AS given
FROM documents d JOIN interactions i USING (interaction_id)
WHERE d.content_hash IS NOT NULL AND d.load_seq <= $head AND i.service_name IS NOT NULL
GROUP BY ALL ORDER BY first_given, document
"""

MONITORS = "SELECT artifact_id, body FROM artifacts WHERE kind = 'monitor' AND version = $version"

LAST_RUN = "SELECT max(started_at) AS at FROM runs WHERE analyzer = $analyzer AND status = 'ok'"

# Comparisons that somebody waits for, the oldest first.
ASKED = """
SELECT request_id, kind, arguments, requested_by, requested_at FROM requests WHERE kind = 'compare' AND state = $state
ORDER BY requested_at, request_id
"""

# References that people pinned and alarms that they acknowledged, in the order of time.
PINS = """
SELECT request_id, kind, arguments, requested_at FROM requests WHERE kind IN ('pin', 'acknowledge')
ORDER BY requested_at, request_id
"""

# Hours touched by turns with calls that are new, or by feedback given since.
_TOUCHED_HOURS = f"""
    SELECT DISTINCT service_name, date_trunc('hour', start_time) AS hour FROM interactions
    WHERE {_TURN} IN (SELECT {_TURN} FROM interactions WHERE {_NEW})
    UNION
    SELECT DISTINCT i.service_name, date_trunc('hour', i.start_time)
    FROM feedback f JOIN interactions i ON f.target_id = i.interaction_id WHERE f.load_seq > $after
"""

# Rows of `rollups`: (n, total) of every metric, by hour and segment. A rate is total / n.
# Topics are no segment here: a refit moves calls between them in hours that nothing else touches.
ROLLUPS = f"""
WITH touched AS ({_TOUCHED_HOURS}),
counted AS (
    SELECT *, {_TURN} AS turn, date_trunc('hour', start_time) AS hour FROM interactions
    WHERE duplicate_of IS NULL AND load_seq <= $head AND NOT coalesce(contains(flags, 'time'), false)
),
within AS (
    SELECT i.* FROM counted i
    SEMI JOIN touched t ON t.service_name IS NOT DISTINCT FROM i.service_name AND t.hour = i.hour
),
turns AS (SELECT turn, count(*) AS calls FROM counted SEMI JOIN within USING (turn) GROUP BY turn),
calls AS (
    SELECT i.*, t.calls, c.cost_usd
    FROM within i JOIN turns t USING (turn) LEFT JOIN costs c USING (interaction_id)
),
semantic AS (SELECT * FROM calls WHERE operation IN ('chat', 'text_completion')),
thumbs AS (
    SELECT target_id AS interaction_id, avg(CASE WHEN value <= 0 THEN 1.0 ELSE 0.0 END) AS negative {_THUMBS}
),
grounded AS (
    SELECT interaction_id, CAST(label = 'ungrounded' AS INTEGER) AS ungrounded
    FROM ({_GROUNDED}) WHERE label IN ('grounded', 'ungrounded')
),
refused AS ({_REFUSED}),
facts AS (
    SELECT hour, service_name, environment, request_model, prompt_version,
           unnest([
               {{'metric': 'cost', 'x': cost_usd}},
               {{'metric': 'errors', 'x': CAST(status = 'ERROR' AS DOUBLE)}},
               {{'metric': 'tokens', 'x': CAST(coalesce(input_tokens, 0) + coalesce(output_tokens, 0) AS DOUBLE)}},
               {{'metric': 'duration_ms', 'x': duration_ms}},
               {{'metric': 'turns', 'x': 1.0 / calls}}
           ], recursive := true)
    FROM calls
    UNION ALL
    SELECT hour, service_name, environment, request_model, prompt_version,
           unnest([
               {{'metric': 'ungrounded', 'x': CAST(ungrounded AS DOUBLE)}},
               {{'metric': 'feedback_negative', 'x': negative}},
               {{'metric': 'refusals', 'x': CASE WHEN response IS NULL THEN NULL
                                                WHEN r.interaction_id IS NULL THEN 0.0 ELSE 1.0 END}}
           ], recursive := true)
    FROM semantic s LEFT JOIN grounded g USING (interaction_id) LEFT JOIN thumbs f USING (interaction_id)
         LEFT JOIN refused r ON r.interaction_id = s.interaction_id
)
SELECT hour, service_name, environment, request_model, prompt_version, CAST(NULL AS BIGINT) AS topic_id, metric,
       count(*) AS n, sum(x) AS total
FROM facts WHERE x IS NOT NULL GROUP BY ALL
"""

ROLLUP_HOURS = f"SELECT DISTINCT hour, service_name FROM ({_TOUCHED_HOURS})"

NEWEST_ARTIFACT = """
SELECT version, created_at, body FROM artifacts WHERE kind = $kind ORDER BY created_at DESC, artifact_id LIMIT 1
"""

# What is recorded already: by id, and what people posted about the same thing within a day.
KNOWN_CHANGES = """
SELECT change_id, "at", kind, after, source FROM changes
"""

TOPIC_LABELS = "SELECT topic_id, label, label_source, exemplars FROM topics"

ASSIGNED_TOPICS = """
SELECT a.interaction_id, a.topic_id FROM topic_assignments a
SEMI JOIN (SELECT interaction_id FROM interactions WHERE start_time >= $from AND start_time < $to)
    USING (interaction_id)
WHERE a.field = 'prompt'
"""

CHANGES = """
SELECT "at", kind, coalesce(name, '') AS name, coalesce(after, '') AS after, coalesce(service_name, '') AS service
FROM changes ORDER BY "at"
"""

# Which service uses which prompt; one row with an empty prompt for a service that names none.
SERVICE_PROMPTS = """
SELECT DISTINCT service_name, prompt_name FROM semantic_interactions
"""

# Exposure and total of a metric by hour, over all segments of a service. Cost is held against turns.
HOURLY = """
SELECT service_name, hour, CAST(sum(n) AS DOUBLE) AS n, sum(total) AS total FROM rollups
WHERE metric = $metric GROUP BY ALL ORDER BY service_name, hour
"""

HOURLY_COST = """
SELECT service_name, hour, sum(total) FILTER (metric = 'turns') AS n,
       coalesce(sum(total) FILTER (metric = 'cost'), 0) AS total
FROM rollups WHERE metric IN ('turns', 'cost') GROUP BY ALL ORDER BY service_name, hour
"""

# Onsets of drift. A day that is not over is looked at again and again, and tells nothing yet; a monitor may be looked
# at whenever one likes, and tells at once. Segments tell nothing that their parent does not.
DRIFTED = """
SELECT drift_id, field, segment, current_start, current_end, effect, p_value, sentence, verdict, statistic,
       lag(verdict) OVER (PARTITION BY segment, field, statistic = 'monitor' ORDER BY current_start) AS before
FROM drift
WHERE verdict <> 'insufficient' AND parent_id IS NULL AND (current_end <= $now OR statistic = 'monitor')
QUALIFY verdict = 'drifted' AND before IS DISTINCT FROM 'drifted'
"""

NEW_TOPICS = """
SELECT h.event_id, h.topic_id, h.happened_at, h.sentence, t.share
FROM topic_history h JOIN topics t USING (topic_id)
WHERE h.event = 'born' AND h.origin = 'emerging'
"""

# What is known about each call that is new, or was judged or commented since.
JUDGED = f"""
WITH wanted AS (
    SELECT interaction_id FROM interactions WHERE {_NEW}
    UNION
    SELECT target_id FROM feedback WHERE load_seq > $after AND target_kind = 'interaction'
),
thumbs AS (
    SELECT target_id AS interaction_id, avg(CASE WHEN value <= 0 THEN -1.0 ELSE 1.0 END) AS feedback_value,
           count(*) AS feedback_n {_THUMBS}
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
grounded AS ({_GROUNDED}),
refused AS ({_REFUSED}),
unsafe AS (
    SELECT target_id AS interaction_id,
           list({{'name': name, 'label': label, 'explanation': explanation}} ORDER BY name, label) AS unsafe
    FROM evaluations WHERE {_OWN} AND value IS NOT NULL
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

FIRINGS = """
SELECT event_id, alert_id, happened_at, severity, sentence, evidence FROM alert_events
WHERE alert_id LIKE 'builtin:%' AND kind = 'fired'
"""

# The first topic id that nothing in the store refers to.
FREE_TOPIC_ID = """
SELECT coalesce(max(topic_id), -1) + 1 AS free FROM (
    SELECT topic_id FROM topics UNION ALL SELECT topic_id FROM topic_history
    UNION ALL SELECT topic_id FROM topic_assignments UNION ALL SELECT topic_id FROM drift_contributions
)
"""

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
    FROM semantic_interactions WHERE response IS NOT NULL AND response <> '' AND {_NEW}
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
WHERE bucket IN (SELECT bucket FROM answers WHERE {_NEW})
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
       d.contents, ({_NEW}) AS is_new
FROM semantic_interactions i
LEFT JOIN (SELECT interaction_id, list(content ORDER BY rank, document_row_id) AS contents
           FROM documents WHERE content IS NOT NULL GROUP BY interaction_id) d USING (interaction_id)
WHERE i.response IS NOT NULL AND i.response <> ''
  AND ({_NEW} OR i.interaction_id IN (SELECT interaction_id FROM put_off))
ORDER BY i.interaction_id
"""

PUT_OFF = """
SELECT target_id, name FROM evaluations
WHERE evaluator LIKE 'judge:%' AND label = 'postponed' AND run_id IS NOT NULL AND created_at < $retry_before
"""

KNOWN_JUDGE_CALLS = "SELECT call_id FROM judge_calls WHERE call_id IN (SELECT unnest(CAST($ids AS VARCHAR[])))"
