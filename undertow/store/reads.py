"""Named SQL that analysis reads with. Values are bound; ``$after``, ``$head`` and ``$since`` bound by the run.

A *semantic* call is a chat or completion that is told once, at a possible time; a *turn* is represented by the last
of its calls that answered.
"""

from __future__ import annotations

SEMANTIC = (
    "duplicate_of IS NULL AND operation IN ('chat', 'text_completion') AND NOT coalesce(contains(flags, 'time'), false)"
)
_NEW = "load_seq > $after AND load_seq <= $head AND start_time >= $since"

WATERMARK = """
SELECT coalesce(max(watermark), 0) AS watermark FROM runs
WHERE analyzer = $analyzer AND version = $version AND status = 'ok'
"""

# One row per distinct text that has no vector of the model yet.
TEXTS_WITHOUT_VECTOR = f"""
WITH texts AS (
    SELECT 'prompt' AS field, prompt_text_hash AS content_hash, prompt AS text FROM interactions WHERE {SEMANTIC}
    UNION ALL
    SELECT 'response', response_text_hash, response FROM interactions WHERE {SEMANTIC}
    UNION ALL
    SELECT 'document', content_hash, content FROM documents
)
SELECT field, content_hash, any_value(text) AS text
FROM texts ANTI JOIN (SELECT field, content_hash FROM embeddings WHERE model = $model) USING (field, content_hash)
WHERE content_hash IS NOT NULL AND text <> ''
GROUP BY ALL ORDER BY field, content_hash
"""

# Turns with a question, in the order of time.
TURNS = f"""
SELECT interaction_id, coalesce(turn_id, interaction_id) AS turn_id, trace_id, session_id, user_id, service_name,
       start_time, prompt, prompt_text_hash, response_text_hash, load_seq
FROM interactions
WHERE {SEMANTIC} AND prompt_text_hash IS NOT NULL AND load_seq <= $head
QUALIFY row_number() OVER (
    PARTITION BY coalesce(turn_id, interaction_id)
    ORDER BY response_text_hash IS NULL, start_time DESC, interaction_id
) = 1
ORDER BY start_time, interaction_id
"""

# Days (in the zone of day buckets) and services touched by what is new.
TOUCHED_DAYS = f"""
SELECT DISTINCT service_name, CAST(timezone($zone, timezone('UTC', start_time)) AS DATE) AS day
FROM interactions
WHERE {SEMANTIC} AND {_NEW}
"""

TURN_DOCUMENTS = """
SELECT interaction_id, content_hash FROM documents WHERE content_hash IS NOT NULL AND load_seq <= $head
ORDER BY interaction_id, rank
"""

TO_ASSIGN = f"""
SELECT interaction_id, prompt_text_hash FROM interactions
WHERE {SEMANTIC} AND prompt_text_hash IS NOT NULL AND {_NEW}
"""

ANSWERS_WITH_DOCUMENTS = f"""
WITH answers AS (
    SELECT interaction_id, response, prompt, response_text_hash FROM interactions
    WHERE {SEMANTIC} AND response IS NOT NULL AND response <> '' AND {_NEW}
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
SELECT interaction_id, response FROM interactions
WHERE {SEMANTIC} AND response IS NOT NULL AND response <> '' AND {_NEW}
"""

CALLS_TO_PRICE = f"""
SELECT interaction_id, provider, request_model, response_model, start_time,
       input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, reported_cost_usd
FROM interactions WHERE duplicate_of IS NULL AND {_NEW}
"""

PROMPT_VERSIONS = f"""
SELECT prompt_name, prompt_version, prompt_hash, any_value(system_prompt) AS template,
       min(start_time) AS first_seen, max(start_time) AS last_seen, count(*) AS calls
FROM interactions
WHERE {SEMANTIC} AND load_seq <= $head AND prompt_hash IS NOT NULL
  AND prompt_hash IN (SELECT prompt_hash FROM interactions WHERE {_NEW})
GROUP BY ALL
"""

# Each value of a named thing after its first one is a change, at the time it was first seen.
DISCOVERED_CHANGES = f"""
WITH seen AS (
    SELECT 'prompt' AS kind, prompt_name AS name, coalesce(prompt_version, left(prompt_hash, 8)) AS value, start_time
    FROM interactions WHERE {SEMANTIC} AND load_seq <= $head AND prompt_name IS NOT NULL
    UNION ALL
    SELECT 'model', service_name, request_model, start_time
    FROM interactions WHERE {SEMANTIC} AND load_seq <= $head AND request_model IS NOT NULL
), firsts AS (
    SELECT kind, name, value, min(start_time) AS "at" FROM seen WHERE value IS NOT NULL GROUP BY ALL
)
SELECT kind, name, lag(value) OVER chain AS before, value AS after, "at"
FROM firsts QUALIFY lag(value) OVER chain IS NOT NULL
WINDOW chain AS (PARTITION BY kind, name ORDER BY "at", value)
"""

# Hours touched by calls that are new or by feedback or judgements given since.
_TOUCHED_HOURS = f"""
    SELECT DISTINCT service_name, date_trunc('hour', start_time) AS hour FROM interactions WHERE {_NEW}
    UNION
    SELECT DISTINCT i.service_name, date_trunc('hour', i.start_time)
    FROM feedback f JOIN interactions i ON f.target_id = i.interaction_id WHERE f.load_seq > $after
"""

# Rows of `rollups`: (n, total) of every metric, by hour and segment. A rate is total / n.
ROLLUPS = f"""
WITH touched AS ({_TOUCHED_HOURS}),
calls AS (
    SELECT i.*, date_trunc('hour', i.start_time) AS hour, c.cost_usd, ta.topic_id
    FROM interactions i SEMI JOIN touched t ON t.service_name IS NOT DISTINCT FROM i.service_name
         AND t.hour = date_trunc('hour', i.start_time)
    LEFT JOIN costs c USING (interaction_id)
    LEFT JOIN topic_assignments ta ON ta.interaction_id = i.interaction_id AND ta.field = 'prompt'
    WHERE i.duplicate_of IS NULL AND i.load_seq <= $head AND NOT coalesce(contains(i.flags, 'time'), false)
),
semantic AS (SELECT * FROM calls WHERE operation IN ('chat', 'text_completion')),
thumbs AS (
    SELECT target_id AS interaction_id, avg(CASE WHEN value <= 0 THEN 1.0 ELSE 0.0 END) AS negative
    FROM feedback WHERE kind = 'thumb' AND target_kind = 'interaction' GROUP BY ALL
),
grounded AS (
    SELECT target_id AS interaction_id, CAST(label = 'ungrounded' AS INTEGER) AS ungrounded
    FROM evaluations WHERE name = 'groundedness' AND label IN ('grounded', 'ungrounded')
),
refused AS (SELECT DISTINCT target_id AS interaction_id FROM evaluations WHERE name = 'refusal'),
facts AS (
    SELECT hour, service_name, environment, request_model, prompt_version, topic_id,
           unnest([
               {{'metric': 'cost', 'x': cost_usd}},
               {{'metric': 'errors', 'x': CAST(status = 'ERROR' AS DOUBLE)}},
               {{'metric': 'tokens', 'x': CAST(coalesce(input_tokens, 0) + coalesce(output_tokens, 0) AS DOUBLE)}},
               {{'metric': 'duration_ms', 'x': duration_ms}}
           ], recursive := true)
    FROM calls
    UNION ALL
    SELECT hour, service_name, environment, request_model, prompt_version, topic_id,
           unnest([
               {{'metric': 'ungrounded', 'x': CAST(ungrounded AS DOUBLE)}},
               {{'metric': 'feedback_negative', 'x': negative}},
               {{'metric': 'refusals', 'x': CASE WHEN response IS NULL THEN NULL
                                                WHEN r.interaction_id IS NULL THEN 0.0 ELSE 1.0 END}}
           ], recursive := true)
    FROM semantic s LEFT JOIN grounded g USING (interaction_id) LEFT JOIN thumbs f USING (interaction_id)
         LEFT JOIN refused r ON r.interaction_id = s.interaction_id
)
SELECT hour, service_name, environment, request_model, prompt_version, topic_id, metric,
       count(*) AS n, sum(x) AS total
FROM facts WHERE x IS NOT NULL GROUP BY ALL
"""

ROLLUP_HOURS = f"SELECT DISTINCT hour, service_name FROM ({_TOUCHED_HOURS})"

HOURLY_METRIC = """
SELECT service_name, hour, CAST(sum(n) AS BIGINT) AS n, sum(total) AS total FROM rollups
WHERE metric = $metric GROUP BY ALL ORDER BY service_name, hour
"""

NEWEST_ARTIFACT = """
SELECT version, created_at, body FROM artifacts WHERE kind = $kind ORDER BY created_at DESC, artifact_id LIMIT 1
"""

KNOWN_CHANGES = "SELECT change_id FROM changes"

TOPIC_LABELS = "SELECT topic_id, label, label_source FROM topics"

ASSIGNED_TOPICS = "SELECT interaction_id, topic_id FROM topic_assignments WHERE field = 'prompt'"

CHANGES = "SELECT \"at\", kind, coalesce(name, '') AS name, coalesce(after, '') AS after FROM changes ORDER BY \"at\""
