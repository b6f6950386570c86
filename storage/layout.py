"""What stands where in a data directory (contracts.md), for who looks without opening it."""

from __future__ import annotations

DATABASE_NAME = "longshore.db"
COUNTERS_NAME = "counters.json"
"""The counters of /metrics that go on where they stood."""
