"""Counting: plain integers on the hot path, Prometheus and /performance-metrics read them when asked."""
