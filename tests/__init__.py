"""The tests: see TESTING.md for what each suite proves."""
