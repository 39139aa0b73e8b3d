"""SQL about the telemetry itself: who sends what, what no dialect mapped, what could not be joined.

All of it reads rows that the loader wrote; no analysis needs to have run. ``$after`` is a ``load_seq``: rows of later
commits are looked at.
"""

from __future__ import annotations

from typing import Final

RECENT_CALLS: Final = 1000
"""Newest calls of a service in which calls without text are looked for."""

JUDGED_CALLS: Final = 50
"""Newest calls of one instrumentation that decide: as many calls after the switch was turned, nothing is said."""

HOLLOW_SHARE: Final = 0.1
"""From this share of calls without text an instrumentation is named."""

# Calls that a text is expected of: a failed one has no answer, and often no question either.
_GENERATIONS = (
    """operation IN ('chat', 'text_completion') AND duplicate_of IS NULL AND status IS DISTINCT FROM 'ERROR'"""
)

# Commits within $within_s seconds before the newest one: time of arrival, which no sender's clock can spoil.
ARRIVED_AFTER: Final = """
SELECT coalesce(max(seq), 0) AS after FROM commits
WHERE committed_at < (SELECT max(committed_at) FROM commits) - to_seconds($within_s)
"""

ARRIVED_BEFORE: Final = "SELECT coalesce(max(seq), 0) AS after FROM commits WHERE committed_at < $before"

# Where the newest $limit spans begin.
SAMPLE: Final = """
SELECT count(*) AS spans,
       (SELECT min(load_seq) FROM (
            SELECT load_seq FROM spans WHERE load_seq > $after ORDER BY load_seq DESC LIMIT $limit
       )) - 1 AS after
FROM spans WHERE load_seq > $after
"""

# One row per instrumentation whose newest calls arrive without text. The join with spans is only worked out for
# services that have such a call among their newest ones.
WITHOUT_CONTENT: Final = f"""
WITH cut AS (
    SELECT service_name, environment, list_min(max(load_seq, {RECENT_CALLS})) AS since
    FROM interactions WHERE {_GENERATIONS} AND load_seq > $after GROUP BY ALL
),
recent AS (
    SELECT i.service_name, i.environment, i.trace_id, i.span_id, i.content_state, i.start_time, i.load_seq
    FROM interactions i
    JOIN cut c ON c.service_name = i.service_name AND c.environment IS NOT DISTINCT FROM i.environment
        AND i.load_seq >= c.since
    WHERE {_GENERATIONS}
),
suspected AS (
    SELECT service_name, environment FROM recent GROUP BY ALL HAVING count(*) FILTER (content_state <> 'full') > 0
),
judged AS (
    SELECT r.service_name, r.environment, s.scope_name, s.dialect, r.content_state, r.start_time
    FROM recent r
    SEMI JOIN suspected u ON u.service_name = r.service_name AND u.environment IS NOT DISTINCT FROM r.environment
    LEFT JOIN spans s ON s.trace_id = r.trace_id AND s.span_id = r.span_id
    QUALIFY row_number() OVER (
        PARTITION BY r.service_name, r.environment, s.scope_name, s.dialect
        ORDER BY r.load_seq DESC, r.start_time DESC
    ) <= {JUDGED_CALLS}
)
SELECT service_name, environment, scope_name, dialect, count(*) AS calls,
       count(*) FILTER (content_state = 'none') AS without_text,
       count(*) FILTER (content_state = 'partial') AS partly,
       max(start_time) AS newest
FROM judged GROUP BY ALL
HAVING count(*) FILTER (content_state <> 'full') >= {HOLLOW_SHARE} * count(*)
ORDER BY without_text DESC, partly DESC, service_name, environment, scope_name
LIMIT 100
"""

SOURCES: Final = """
SELECT service_name, environment, scope_name, dialect, count(*) AS spans,
       count(*) FILTER (operation IN ('chat', 'text_completion', 'embeddings')) AS calls, max(start_time) AS newest
FROM spans WHERE load_seq > $after GROUP BY ALL
ORDER BY service_name, environment, spans DESC, scope_name
LIMIT 1000
"""

# Numbers inside a key count its parts; long runs of hexadecimal digits are ids.
_NUMBERED = r"'\.\d+(\.|$)', '.N\1', 'g'"
_KEY = f"""regexp_replace(
    regexp_replace(regexp_replace(key, {_NUMBERED}), {_NUMBERED}), '[0-9a-fA-F]{{8}}[0-9a-fA-F-]{{8,}}', '*', 'g'
)"""
_READ = "operation IN ('chat', 'text_completion', 'embeddings', 'retrieval', 'execute_tool')"

# What no dialect mapped stays in spans.attributes; types and lengths are told, values never.
UNMAPPED: Final = f"""
WITH pairs AS (
    SELECT s.service_name, s.scope_name, s.dialect, s.trace_id, s.span_id, coalesce(s.{_READ}, false) AS meant,
           {_KEY} AS attribute, type, length(CAST(value AS VARCHAR)) - 2 * CAST(type = 'VARCHAR' AS INTEGER) AS length
    FROM spans s, json_each(s.attributes)
    WHERE s.load_seq > $after AND s.attributes IS NOT NULL AND s.attributes <> '{{}}'
)
SELECT service_name, scope_name, dialect, meant, left(attribute, 120) AS attribute,
       count(DISTINCT (trace_id, span_id)) AS spans, mode(type) AS type, CAST(median(length) AS BIGINT) AS length
FROM pairs GROUP BY ALL
ORDER BY spans DESC, service_name, scope_name, attribute
LIMIT 2000
"""

EVENTS: Final = """
SELECT service_name, scope_name, dialect, left(event, 120) AS event, count(*) AS events
FROM (
    SELECT service_name, scope_name, dialect, unnest(json_extract_string(events, '$[*].name')) AS event
    FROM spans WHERE load_seq > $after AND events IS NOT NULL AND events <> '[]'
)
GROUP BY ALL
ORDER BY events DESC, service_name, event
LIMIT 500
"""

CALL_PROBLEMS: Final = f"""
SELECT count(*) AS calls,
       count(*) FILTER ({_GENERATIONS} AND input_tokens IS NULL AND output_tokens IS NULL) AS without_tokens,
       count(*) FILTER (duplicate_of IS NULL AND request_model IS NULL AND response_model IS NULL) AS without_model,
       count(*) FILTER ({_GENERATIONS}) AS generations,
       count(*) FILTER ({_GENERATIONS} AND session_id IS NULL) AS without_session,
       count(*) FILTER (duplicate_of IS NOT NULL) AS duplicates
FROM interactions WHERE load_seq > $after
"""

SPAN_PROBLEMS: Final = """
WITH sampled AS (
    SELECT trace_id, span_id, parent_span_id, operation, flags FROM spans WHERE load_seq > $after
),
retrievals AS (
    SELECT trace_id, span_id FROM sampled WHERE operation = 'retrieval'
    AND trace_id NOT IN (SELECT trace_id FROM documents WHERE trace_id IS NOT NULL)
)
SELECT count(*) AS spans,
       count(*) FILTER (contains(flags, 'time')) AS impossible_times,
       count(*) FILTER (contains(flags, 'clock_skew')) AS skewed,
       (SELECT count(*) FROM sampled c WHERE c.parent_span_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM spans p WHERE p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
       )) AS orphans,
       count(*) FILTER (operation = 'retrieval') AS retrievals,
       (SELECT count(*) FROM retrievals WHERE trace_id NOT IN (SELECT trace_id FROM interactions)) AS apart,
       (SELECT count(*) FROM retrievals WHERE trace_id IN (SELECT trace_id FROM interactions)) AS unjoined
FROM sampled
"""
