"""Named SQL that analysis reads with: runs, texts, turns, topics, drift.

Values are bound; ``$after``, ``$head`` and ``$since`` by the run. A *turn* is represented by the last of its calls
that answered. What is known of answers stands in ``answer_reads``, changes and metrics by hour in ``trend_reads``.
"""

from __future__ import annotations

from undertow.store.read_parts import NEW, STANDS_FOR_TURN, TURN

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

# Such a text has one as text of another field: an answer that quotes its document, a question that is also a query.
VECTORS_OF_OTHER_FIELDS = f"""
SELECT DISTINCT ON (t.field, t.content_hash) t.content_hash, t.field, e.model, e.dim, e.dtype, e.vector
FROM ({TEXTS_WITHOUT_VECTOR}) t JOIN embeddings e ON e.content_hash = t.content_hash AND e.model = $model
"""

# Turns with a question that start within [$from, $to), in the order of time. Calls of a turn lie within a day.
TURNS = f"""
WITH stands AS (
    SELECT interaction_id, {TURN} AS turn_id, trace_id, session_id, user_id, service_name,
           start_time, prompt, prompt_text_hash, response_text_hash, request_model, prompt_name, prompt_version,
           prompt_hash, language, load_seq
    FROM semantic_interactions WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head
      AND start_time >= $from - INTERVAL 1 DAY AND start_time < $to + INTERVAL 1 DAY
    QUALIFY {STANDS_FOR_TURN}
)
SELECT * FROM stands WHERE start_time >= $from AND start_time < $to
ORDER BY start_time, interaction_id
"""

SIZE_OF_SERVICE = f"""
SELECT count(DISTINCT {TURN}) AS turns FROM semantic_interactions
WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head AND start_time >= $from AND start_time < $to
  AND coalesce(service_name, '') = $service
"""

# The same of one service, without texts, and one in $every of its sessions: what is drawn is the same at every read.
_DRAWN = "coalesce(service_name, '') = $service AND hash(coalesce(session_id, user_id, trace_id)) % $every = 0"
TURNS_OF_SERVICE = f"""
WITH stands AS (
    SELECT interaction_id, trace_id, session_id, user_id, service_name, start_time, prompt_text_hash,
           response_text_hash, load_seq
    FROM semantic_interactions WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head
      AND start_time >= $from - INTERVAL 1 DAY AND start_time < $to + INTERVAL 1 DAY
      AND {TURN} IN (SELECT {TURN} FROM semantic_interactions
                     WHERE start_time >= $from AND start_time < $to AND {_DRAWN})
    QUALIFY {STANDS_FOR_TURN}
)
SELECT * FROM stands WHERE start_time >= $from AND start_time < $to AND {_DRAWN}
ORDER BY start_time, interaction_id
"""

TURNS_WITH_VECTOR = f"""
WITH stands AS (
    SELECT prompt_text_hash AS content_hash FROM semantic_interactions
    WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head
    QUALIFY {STANDS_FOR_TURN}
)
SELECT count(*) AS turns FROM stands
SEMI JOIN (SELECT content_hash FROM embeddings WHERE field = 'prompt' AND model = $model) USING (content_hash)
"""

# Days (in the zone of day buckets) and services touched by what is new.
TOUCHED_DAYS = f"""
SELECT DISTINCT service_name, CAST(timezone($zone, timezone('UTC', start_time)) AS DATE) AS day
FROM semantic_interactions WHERE {NEW}
"""

_DOCUMENTS = """
SELECT d.interaction_id, d.content_hash, d.document_id, d.updated_at,
       coalesce(json_extract_string(d.metadata, '$.source'), '') AS source
FROM documents d
SEMI JOIN ({given}) USING (interaction_id)
WHERE d.content_hash IS NOT NULL AND d.load_seq <= $head
ORDER BY d.interaction_id, d.rank
"""
TURN_DOCUMENTS = _DOCUMENTS.format(
    given="SELECT interaction_id FROM interactions WHERE start_time >= $from AND start_time < $to"
)
DOCUMENTS_OF = _DOCUMENTS.format(given="SELECT unnest(CAST($ids AS VARCHAR[])) AS interaction_id")

# Questions that need a topic, and whether their call is the one that stands for its turn.
TO_ASSIGN = f"""
SELECT interaction_id, prompt_text_hash, start_time, {STANDS_FOR_TURN} AS stands
FROM semantic_interactions WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head
  AND {TURN} IN (SELECT {TURN} FROM semantic_interactions WHERE {NEW})
QUALIFY load_seq > $after OR start_time >= $since
"""

# Turns by topic, without those that TO_ASSIGN gives.
TURNS_BY_TOPIC = f"""
WITH stands AS (
    SELECT interaction_id, start_time, load_seq FROM semantic_interactions
    WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head
    QUALIFY {STANDS_FOR_TURN}
)
SELECT topic_id, count(*) AS turns, min(start_time) AS first_seen, max(start_time) AS last_seen
FROM stands JOIN topic_assignments USING (interaction_id)
WHERE field = 'prompt' AND NOT (load_seq > $after OR start_time >= $since) GROUP BY topic_id
"""

MONITORS = "SELECT artifact_id, body FROM artifacts WHERE kind = 'monitor' AND version = $version"

ARTIFACTS = """
SELECT artifact_id, body FROM artifacts WHERE artifact_id IN (SELECT unnest(CAST($ids AS VARCHAR[])))
"""

CODED = "SELECT artifact_id, kind, version FROM artifacts WHERE kind IN ('codes', 'codebook')"

LAST_RUN = "SELECT max(started_at) AS at FROM runs WHERE analyzer = $analyzer AND status = 'ok'"

# Comparisons that somebody waits for, the oldest first.
ASKED = """
SELECT request_id, kind, arguments, requested_by, requested_at FROM requests WHERE kind = 'compare' AND state = $state
ORDER BY requested_at, request_id
"""

# Days on which a service and field drifted, before a time.
DRIFTED_DAYS = """
SELECT DISTINCT current_start FROM drift
WHERE field = $field AND coalesce(segment, '') = $service AND parent_id IS NULL AND statistic <> 'monitor'
  AND verdict = 'drifted' AND current_start < $before
"""

OLDEST_TURN = """
SELECT min(start_time) AS oldest FROM semantic_interactions
WHERE prompt_text_hash IS NOT NULL AND load_seq <= $head
"""

# References that people pinned and alarms that they acknowledged, in the order of time.
PINS = """
SELECT request_id, kind, arguments, requested_at FROM requests WHERE kind IN ('pin', 'acknowledge')
ORDER BY requested_at, request_id
"""

NEWEST_ARTIFACT = """
SELECT version, created_at, body FROM artifacts WHERE kind = $kind ORDER BY created_at DESC, artifact_id LIMIT 1
"""

TOPIC_LABELS = "SELECT topic_id, label, label_source, exemplars FROM topics"

ASSIGNED_TOPICS = """
SELECT a.interaction_id, a.topic_id FROM topic_assignments a
SEMI JOIN (SELECT interaction_id FROM interactions WHERE start_time >= $from AND start_time < $to)
    USING (interaction_id)
WHERE a.field = 'prompt'
"""

# The first topic id that nothing in the store refers to.
FREE_TOPIC_ID = """
SELECT coalesce(max(topic_id), -1) + 1 AS free FROM (
    SELECT topic_id FROM topics UNION ALL SELECT topic_id FROM topic_history
    UNION ALL SELECT topic_id FROM topic_assignments UNION ALL SELECT topic_id FROM drift_contributions
)
"""
