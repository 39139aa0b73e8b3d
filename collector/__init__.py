"""The OpenTelemetry collector: receives, normalises, redacts, journals, loads and serves."""
