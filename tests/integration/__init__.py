"""integration tests (see TESTING.md)."""
