"""Engines: pure translators between a RunSpec and one tool; nothing here starts a process."""
