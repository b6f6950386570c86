"""unit tests (see TESTING.md)."""
