"""fakes tests (see TESTING.md)."""
