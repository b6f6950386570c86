"""browser tests (see TESTING.md)."""
