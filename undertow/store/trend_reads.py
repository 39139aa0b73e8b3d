"""Named SQL about what changes with time: prices, prompt versions, metrics by hour, what alerts look at."""

from __future__ import annotations

from undertow.store.read_parts import GROUNDED, NEW, REFUSED, THUMBS, TURN

CALLS_TO_PRICE = f"""
SELECT interaction_id, provider, request_model, response_model, start_time,
       input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, reported_cost_usd
FROM interactions WHERE duplicate_of IS NULL AND {NEW}
"""

PROMPT_VERSIONS = f"""
SELECT prompt_name, prompt_version, prompt_hash, any_value(system_prompt) AS template,
       min(start_time) AS first_seen, max(start_time) AS last_seen, count(*) AS calls
FROM semantic_interactions WHERE load_seq <= $head AND prompt_hash IS NOT NULL
  AND prompt_hash IN (SELECT prompt_hash FROM interactions WHERE {NEW})
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

# Hours touched by turns with calls that are new, or by feedback given since.
_TOUCHED_HOURS = f"""
    SELECT DISTINCT service_name, date_trunc('hour', start_time) AS hour FROM interactions
    WHERE {TURN} IN (SELECT {TURN} FROM interactions WHERE {NEW})
    UNION
    SELECT DISTINCT i.service_name, date_trunc('hour', i.start_time)
    FROM feedback f JOIN interactions i ON f.target_id = i.interaction_id WHERE f.load_seq > $after
"""

# Rows of `rollups`: (n, total) of every metric, by hour and segment. A rate is total / n.
# Topics are no segment here: a refit moves calls between them in hours that nothing else touches.
ROLLUPS = f"""
WITH touched AS ({_TOUCHED_HOURS}),
counted AS (
    SELECT *, {TURN} AS turn, date_trunc('hour', start_time) AS hour FROM interactions
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
    SELECT target_id AS interaction_id, avg(CASE WHEN value <= 0 THEN 1.0 ELSE 0.0 END) AS negative {THUMBS}
),
grounded AS (
    SELECT interaction_id, CAST(label = 'ungrounded' AS INTEGER) AS ungrounded
    FROM ({GROUNDED}) WHERE label IN ('grounded', 'ungrounded')
),
refused AS ({REFUSED}),
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

# What is recorded already: by id, and what people posted about the same thing within a day.
KNOWN_CHANGES = """
SELECT change_id, "at", kind, after, source FROM changes
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

FIRINGS = """
SELECT event_id, alert_id, happened_at, severity, sentence, evidence FROM alert_events
WHERE alert_id LIKE 'builtin:%' AND kind = 'fired'
"""
