"""Benchmarks run through the product's own engine."""
