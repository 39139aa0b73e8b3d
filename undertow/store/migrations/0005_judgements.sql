-- What a probability was before human verdicts recalibrated it, and what it was learned from.
ALTER TABLE evaluations ADD COLUMN uncalibrated DOUBLE;
ALTER TABLE evaluations ADD COLUMN calibration_set VARCHAR;

-- The product's own calls of a judging model. They are no traffic: nothing that counts interactions sees them.
CREATE TABLE judge_calls (
    call_id VARCHAR, run_id VARCHAR, called_at TIMESTAMP, model VARCHAR, purpose VARCHAR, status VARCHAR,
    input_tokens BIGINT, output_tokens BIGINT, cost_usd DOUBLE, duration_ms DOUBLE
);
