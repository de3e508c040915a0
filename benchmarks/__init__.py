"""Measurements of Perennial beside its peers; each package runs with `python -m benchmarks.<name>`."""
