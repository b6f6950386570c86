"""chaos tests (see TESTING.md)."""
