-- Every relation of the store. A subset of SQL that runs unchanged on DuckDB and DuckLake:
-- no sequences, primary keys, function defaults or fixed-size arrays. Keys stand in undertow/store/tables.py.

-- Idempotency ledger of commits; its highest seq is the version of the data.
CREATE TABLE commits (key VARCHAR, seq BIGINT, committed_at TIMESTAMP);

CREATE TABLE spans (
    trace_id VARCHAR, span_id VARCHAR, parent_span_id VARCHAR, name VARCHAR, operation VARCHAR,
    service_name VARCHAR, environment VARCHAR, scope_name VARCHAR, dialect VARCHAR,
    start_time TIMESTAMP, end_time TIMESTAMP, duration_ms DOUBLE,
    status VARCHAR, error_type VARCHAR, error_message VARCHAR,
    attributes VARCHAR, events VARCHAR, resource VARCHAR, flags VARCHAR, load_seq BIGINT
);

-- What the dialects read from each span and log record, kept so that a trace can be assembled again
-- when a late part of it arrives. Private to the collector.
CREATE TABLE records (
    record_id VARCHAR, kind VARCHAR, trace_id VARCHAR, span_id VARCHAR, response_id VARCHAR,
    time TIMESTAMP, body VARCHAR, load_seq BIGINT
);

CREATE TABLE interactions (
    interaction_id VARCHAR, trace_id VARCHAR, span_id VARCHAR, turn_id VARCHAR, session_id VARCHAR, user_id VARCHAR,
    service_name VARCHAR, environment VARCHAR, operation VARCHAR,
    start_time TIMESTAMP, end_time TIMESTAMP, duration_ms DOUBLE, ttft_ms DOUBLE,
    provider VARCHAR, request_model VARCHAR, response_model VARCHAR, response_id VARCHAR,
    prompt_name VARCHAR, prompt_version VARCHAR, prompt_hash VARCHAR,
    system_prompt VARCHAR, prompt VARCHAR, messages VARCHAR, response VARCHAR, tool_calls VARCHAR, finish_reason VARCHAR,
    input_tokens BIGINT, output_tokens BIGINT, cache_read_tokens BIGINT, cache_write_tokens BIGINT, reasoning_tokens BIGINT,
    reported_cost_usd DOUBLE, streaming BOOLEAN, parameters VARCHAR,
    status VARCHAR, error_type VARCHAR, error_message VARCHAR, agent_name VARCHAR, language VARCHAR,
    prompt_text_hash VARCHAR, response_text_hash VARCHAR, content_state VARCHAR,
    duplicate_of VARCHAR, flags VARCHAR, load_seq BIGINT
);

-- What all semantic metrics are about: chats and completions, each told once, at a possible time.
CREATE VIEW semantic_interactions AS
    SELECT * FROM interactions
    WHERE duplicate_of IS NULL AND operation IN ('chat', 'text_completion')
      AND NOT coalesce(contains(flags, 'time'), false);

CREATE TABLE documents (
    document_row_id VARCHAR, interaction_id VARCHAR, trace_id VARCHAR, retrieval_span_id VARCHAR,
    query VARCHAR, rank BIGINT, document_id VARCHAR, content_hash VARCHAR, content VARCHAR,
    relevance DOUBLE, metadata VARCHAR, updated_at TIMESTAMP, join_confidence DOUBLE, load_seq BIGINT
);

CREATE TABLE tool_runs (
    trace_id VARCHAR, span_id VARCHAR, interaction_id VARCHAR, name VARCHAR, arguments VARCHAR, result VARCHAR,
    error_type VARCHAR, start_time TIMESTAMP, duration_ms DOUBLE, load_seq BIGINT
);

CREATE TABLE costs (interaction_id VARCHAR, cost_usd DOUBLE, cost_source VARCHAR, price_version VARCHAR, run_id VARCHAR);

CREATE VIEW interactions_priced AS
    SELECT i.*, c.cost_usd, c.cost_source, c.price_version
    FROM interactions i LEFT JOIN costs c USING (interaction_id);

CREATE TABLE embeddings (content_hash VARCHAR, field VARCHAR, model VARCHAR, dim INTEGER, dtype VARCHAR, vector BLOB);

CREATE TABLE artifacts (
    artifact_id VARCHAR, kind VARCHAR, version VARCHAR, run_id VARCHAR, created_at TIMESTAMP, body BLOB
);

CREATE TABLE topics (
    topic_id BIGINT, label VARCHAR, label_source VARCHAR, keywords VARCHAR, parent_id BIGINT, level INTEGER,
    size BIGINT, share DOUBLE, exemplars VARCHAR, x DOUBLE, y DOUBLE,
    first_seen TIMESTAMP, last_seen TIMESTAMP, state VARCHAR
);

CREATE TABLE topic_assignments (
    interaction_id VARCHAR, field VARCHAR, topic_id BIGINT, membership DOUBLE, novelty DOUBLE,
    x DOUBLE, y DOUBLE, run_id VARCHAR
);

CREATE TABLE topic_history (
    event_id VARCHAR, topic_id BIGINT, event VARCHAR, happened_at TIMESTAMP, related VARCHAR,
    origin VARCHAR, size_before BIGINT, size_after BIGINT, sentence VARCHAR, run_id VARCHAR
);

CREATE TABLE drift (
    drift_id VARCHAR, run_id VARCHAR, field VARCHAR, segment VARCHAR, grouping VARCHAR,
    reference_start TIMESTAMP, reference_end TIMESTAMP, current_start TIMESTAMP, current_end TIMESTAMP,
    n_reference BIGINT, n_current BIGINT, statistic VARCHAR, value DOUBLE, effect DOUBLE,
    p_value DOUBLE, p_floor DOUBLE, evidence DOUBLE, threshold DOUBLE, verdict VARCHAR, sentence VARCHAR,
    method_version VARCHAR
);

CREATE TABLE drift_contributions (
    drift_id VARCHAR, topic_id BIGINT, share_reference DOUBLE, share_current DOUBLE, contribution DOUBLE,
    kind VARCHAR, exemplars VARCHAR
);

CREATE TABLE evaluations (
    evaluation_id VARCHAR, target_kind VARCHAR, target_id VARCHAR, name VARCHAR, value DOUBLE, label VARCHAR,
    explanation VARCHAR, direction VARCHAR, evaluator VARCHAR, evaluator_version VARCHAR,
    run_id VARCHAR, created_at TIMESTAMP, load_seq BIGINT
);

CREATE TABLE claims (
    claim_id VARCHAR, interaction_id VARCHAR, start_char BIGINT, end_char BIGINT, text VARCHAR, support DOUBLE,
    verdict VARCHAR, document_row_id VARCHAR, evidence VARCHAR, scorer VARCHAR, scorer_version VARCHAR, run_id VARCHAR
);

CREATE TABLE feedback (
    feedback_id VARCHAR, target_kind VARCHAR, target_id VARCHAR, kind VARCHAR, value DOUBLE, label VARCHAR,
    comment VARCHAR, author VARCHAR, source VARCHAR, created_at TIMESTAMP, load_seq BIGINT
);

CREATE TABLE reviews (
    interaction_id VARCHAR, state VARCHAR, severity DOUBLE, reasons VARCHAR, assignee VARCHAR,
    decided_by VARCHAR, decided_at TIMESTAMP
);

CREATE TABLE prompts (
    prompt_name VARCHAR, prompt_version VARCHAR, prompt_hash VARCHAR, template VARCHAR,
    first_seen TIMESTAMP, last_seen TIMESTAMP, calls BIGINT
);

CREATE TABLE changes (
    change_id VARCHAR, "at" TIMESTAMP, kind VARCHAR, name VARCHAR, before VARCHAR, after VARCHAR, source VARCHAR
);

CREATE TABLE rollups (
    hour TIMESTAMP, service_name VARCHAR, environment VARCHAR, request_model VARCHAR, prompt_version VARCHAR,
    topic_id BIGINT, metric VARCHAR, n BIGINT, total DOUBLE, histogram VARCHAR
);

CREATE TABLE alerts (alert_id VARCHAR, name VARCHAR, rule VARCHAR, enabled BOOLEAN, created_by VARCHAR, created_at TIMESTAMP);

CREATE TABLE alert_events (
    event_id VARCHAR, alert_id VARCHAR, kind VARCHAR, happened_at TIMESTAMP, severity DOUBLE, sentence VARCHAR,
    evidence VARCHAR, run_id VARCHAR
);

CREATE TABLE requests (
    request_id VARCHAR, kind VARCHAR, arguments VARCHAR, state VARCHAR, result VARCHAR, error VARCHAR,
    requested_by VARCHAR, requested_at TIMESTAMP, finished_at TIMESTAMP
);

CREATE TABLE runs (
    run_id VARCHAR, analyzer VARCHAR, version VARCHAR, status VARCHAR, started_at TIMESTAMP, finished_at TIMESTAMP,
    watermark BIGINT, rows BIGINT, error VARCHAR
);

CREATE TABLE audit_log (
    audit_id VARCHAR, done_at TIMESTAMP, actor VARCHAR, action VARCHAR, target VARCHAR, detail VARCHAR
);
