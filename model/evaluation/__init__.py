"""Benchmarks, metrics and intervals; needs neither torch nor a model."""
