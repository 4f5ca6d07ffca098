"""Benchmarks of single parts, with real processes; the gate's own load lives beside this package."""
