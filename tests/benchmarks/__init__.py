"""benchmarks tests (see TESTING.md)."""
