-- How many strings were replaced before anything was stored: counts alone, never what stood there.
CREATE TABLE redactions (
    batch VARCHAR, hour TIMESTAMP, service_name VARCHAR, environment VARCHAR, kind VARCHAR, strings BIGINT,
    load_seq BIGINT
);
