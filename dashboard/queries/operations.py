"""What Health shows: rows per table, runs, lag, and what became of the telemetry."""

from undertow.store import telemetry_reads as reads
from undertow.store.tables import TABLES

_COUNTS = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS n FROM {name}" for name in TABLES)

NAMED = {
    "table_rows": f"SELECT name, n FROM ({_COUNTS}) ORDER BY n DESC, name",
    "last_runs": """
        SELECT analyzer, status, started_at, finished_at, rows, watermark, error, version
        FROM runs
        QUALIFY row_number() OVER (PARTITION BY analyzer ORDER BY started_at DESC) = 1
        ORDER BY started_at, analyzer
        LIMIT 100
    """,
    "lag": """
        SELECT
            (SELECT max(load_seq) FROM interactions) AS newest_seq,
            (SELECT min(seen) FROM (
                SELECT max(watermark) AS seen FROM runs WHERE status = 'ok' GROUP BY analyzer
            )) AS analysed_seq,
            (SELECT max(committed_at) FROM commits) AS committed_at,
            (SELECT count(*) FROM commits) AS commits
    """,
    "arrived_after": reads.ARRIVED_AFTER,
    "without_content": reads.WITHOUT_CONTENT,
    "telemetry_sample": reads.SAMPLE,
    "telemetry_sources": reads.SOURCES,
    "unmapped": reads.UNMAPPED,
    "unread_events": reads.EVENTS,
    "redactions": """
        SELECT kind, CAST(sum(strings) AS BIGINT) AS strings
        FROM redactions
        WHERE hour >= $start - INTERVAL 1 HOUR AND hour < $end
          AND ($service IS NULL OR service_name = $service)
          AND ($environment IS NULL OR environment = $environment)
        GROUP BY kind
        ORDER BY strings DESC, kind
        LIMIT 100
    """,
    "arrivals": """
        SELECT time_bucket(INTERVAL 1 HOUR, start_time) AS bucket, count(*) AS spans
        FROM spans
        WHERE start_time >= $start AND start_time < $end
        GROUP BY bucket
        ORDER BY bucket
        LIMIT 1000
    """,
}
