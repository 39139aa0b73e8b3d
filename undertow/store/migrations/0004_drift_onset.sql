-- Since when, how sure, and of which family a segment is part; whose a change is.
ALTER TABLE drift ADD COLUMN parent_id VARCHAR;
ALTER TABLE drift ADD COLUMN effect_low DOUBLE;
ALTER TABLE drift ADD COLUMN effect_high DOUBLE;
ALTER TABLE drift ADD COLUMN onset TIMESTAMP;
ALTER TABLE drift ADD COLUMN onset_low TIMESTAMP;
ALTER TABLE drift ADD COLUMN onset_high TIMESTAMP;
ALTER TABLE changes ADD COLUMN service_name VARCHAR;
