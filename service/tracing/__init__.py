"""Traces: W3C trace context in, OTLP out. Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set, and never on the way of a hit."""
