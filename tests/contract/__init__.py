"""contract tests (see TESTING.md)."""
