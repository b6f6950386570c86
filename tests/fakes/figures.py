"""What /metrics is made of, where no application runs."""

from __future__ import annotations

from typing import Any

from fastapi_app.counting import Totals
from fastapi_app.metrics import DatabaseFigures, DiskFigures, Figures
from models.health import HealthStatus
from utils.histogram import Histogram


def some_figures(**fields: Any) -> Figures:
    """Return the figures of an application at rest."""
    values: dict[str, Any] = {
        "version": "1.2.3",
        "engines": ("rsync", "rclone"),
        "totals": Totals({}, {}, {}, {}),
        "statuses": {},
        "damaged_jobs": 0,
        "overdue_jobs": 0,
        "not_exported": 0,
        "under_way": (),
        "database": DatabaseFigures({}),
        "disk": DiskFigures(1000, 500),
        "health": {"all": HealthStatus.HEALTHY},
        "not_at_rest": {},
        "errors_waiting": 0,
        "errors_dropped": 0,
        "error_log_fails": False,
        "clients": 0,
        "dropped_clients": 0,
        "sent_frames": 0,
        "waiting_changes": 0,
        "changes": 0,
        "groups": 0,
        "write_latency": Histogram((0.1, 1.0)).picture,
        "monitor_runs": True,
        "failed_steps": 0,
        "turn_age_seconds": 0.0,
        "monitor_lag": Histogram((0.1, 1.0)).picture,
    }
    return Figures(**(values | fields))
