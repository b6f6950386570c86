"""How Longshore is: the answer of /health, and by which rules a part is healthy or not.

The models are the published schema (docs/health.schema.json), the rules those of docs/health.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
LONG_HUNG_SECONDS = 5.0
"""After so long a part that every run needs, and that does not answer, is unhealthy."""
LOW_DISK_BYTES = 100_000_000
LOW_DISK_INODES = 1_000


class HealthStatus(StrEnum):
    """How a part is. `unhealthy` means that runs cannot be begun, followed or kept."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class Part(StrEnum):
    """What is looked at."""

    STORAGE = "storage"
    DATABASE = "database"
    MONITOR = "monitor"
    ENGINES = "engines"
    ERROR_TRACKING = "error_tracking"
    DISK = "disk"
    TOOLS = "tools"


class Reason(StrEnum):
    """Why a part is not healthy."""

    HUNG = "hung"
    LONG_HUNG = "long_hung"
    CHECK_FAILED = "check_failed"
    WRITE_FAILED = "write_failed"
    JOBS_DAMAGED = "jobs_damaged"
    SETTINGS_DAMAGED = "settings_damaged"
    ACCESS_DAMAGED = "access_damaged"
    LOCKED = "locked"
    BUSY = "busy"
    NO_ROOM = "no_room"
    READ_ONLY = "read_only"
    DAMAGED = "damaged"
    ENDED = "ended"
    ENGINE_MISSING = "engine_missing"
    NO_ENGINE = "no_engine"
    NOT_RECORDING = "not_recording"
    LOW_ROOM = "low_room"
    LOW_INODES = "low_inodes"
    TOOL_MISSING = "tool_missing"


class Rule(NamedTuple):
    """What a reason makes of some parts, and when it is given."""

    parts: tuple[Part, ...]
    reason: Reason
    status: HealthStatus
    meaning: str


_DEGRADED, _UNHEALTHY = HealthStatus.DEGRADED, HealthStatus.UNHEALTHY
_NEEDED = (Part.STORAGE, Part.DATABASE, Part.MONITOR)
_OTHERS = (Part.ENGINES, Part.ERROR_TRACKING, Part.DISK, Part.TOOLS)
_STORAGE, _DATABASE, _DISK = (Part.STORAGE,), (Part.DATABASE,), (Part.DISK,)
RULES = (
    Rule(_STORAGE, Reason.WRITE_FAILED, _UNHEALTHY, "a file could not be written durably"),
    Rule(_STORAGE, Reason.JOBS_DAMAGED, _DEGRADED, "the file of a job cannot be used"),
    Rule(_STORAGE, Reason.SETTINGS_DAMAGED, _DEGRADED, "settings.yaml cannot be used"),
    Rule(_STORAGE, Reason.ACCESS_DAMAGED, _DEGRADED, "access.yaml cannot be used"),
    Rule(_DATABASE, Reason.LOCKED, _UNHEALTHY, "another program keeps it from being written"),
    Rule(_DATABASE, Reason.BUSY, _DEGRADED, "a write of Longshore’s own takes its time"),
    Rule(_DATABASE, Reason.NO_ROOM, _UNHEALTHY, "there is no room for a write"),
    Rule(_DATABASE, Reason.READ_ONLY, _UNHEALTHY, "it cannot be written to"),
    Rule(_DATABASE, Reason.DAMAGED, _UNHEALTHY, "the file is no usable database"),
    Rule(_DATABASE, Reason.WRITE_FAILED, _UNHEALTHY, "a write or a read failed"),
    Rule((Part.MONITOR,), Reason.ENDED, _UNHEALTHY, "its task is gone: no run is followed"),
    Rule((Part.ENGINES,), Reason.ENGINE_MISSING, _DEGRADED, "the tool of an engine is missing"),
    Rule((Part.ENGINES,), Reason.NO_ENGINE, _UNHEALTHY, "the tools of all engines are missing"),
    Rule(
        (Part.ERROR_TRACKING,),
        Reason.NOT_RECORDING,
        _DEGRADED,
        "the error log cannot be read, or its last entries could not be written",
    ),
    Rule(_DISK, Reason.NO_ROOM, _UNHEALTHY, "no byte or no inode is free"),
    Rule(_DISK, Reason.LOW_ROOM, _DEGRADED, f"less than {LOW_DISK_BYTES // 10**6} MB are free"),
    Rule(_DISK, Reason.LOW_INODES, _DEGRADED, f"less than {LOW_DISK_INODES:,} inodes are free"),
    Rule((Part.TOOLS,), Reason.TOOL_MISSING, _DEGRADED, "a job needs a tool that is missing"),
    Rule(tuple(Part), Reason.HUNG, _DEGRADED, "it has not answered in time"),
    Rule(
        _NEEDED,
        Reason.LONG_HUNG,
        _UNHEALTHY,
        f"it has not answered for {LONG_HUNG_SECONDS:g} s or longer",
    ),
    Rule(_OTHERS, Reason.LONG_HUNG, _DEGRADED, "as above"),
    Rule(tuple(Part), Reason.CHECK_FAILED, _DEGRADED, "the check itself has a defect"),
)
"""All of the rules; a part is as its worst reason says, and healthy without any."""
_STATUS_OF = {(part, rule.reason): rule.status for rule in RULES for part in rule.parts}
OVERDUE_JOBS, LEFT_ALONE, DONE_WITHOUT = "overdue_jobs", "left_alone", "done_without"
TRIED_AGAIN = "tried_again"
CONDITIONS = {
    OVERDUE_JOBS: "jobs are without a success for longer than they should be",
    LEFT_ALONE: "remotes and notification targets that failed again and again are left alone",
    DONE_WITHOUT: "something does not answer, and what it last told is shown, or nothing",
    TRIED_AGAIN: "something failed and is tried again",
}
"""What degrades the whole without being the fault of a part, with when that is."""
_RANK = {status: rank for rank, status in enumerate(HealthStatus)}


def status_for(part: Part, reasons: Iterable[Reason]) -> HealthStatus:
    """Return how a part is, by its reasons."""
    return worst(_STATUS_OF[part, reason] for reason in reasons)


def worst(statuses: Iterable[HealthStatus]) -> HealthStatus:
    """Return the worst of some; healthy when there are none."""
    return max(statuses, key=_RANK.__getitem__, default=HealthStatus.HEALTHY)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PartHealth(_Frozen):
    """What every part tells. A figure that is not known, as of one that hangs, is null."""

    status: HealthStatus
    reasons: tuple[Reason, ...]
    detail: str | None
    """The system's words for what failed."""
    hung_seconds: float | None
    """For how long it has not answered."""


class StorageHealth(PartHealth):
    """Job files, settings and the data directory."""

    jobs: int | None = None
    damaged_jobs: int | None = None
    settings: Literal["usable", "damaged"] | None = None
    access: Literal["usable", "damaged"] | None = None
    write_seconds: float | None = None
    """How long a small durable write took, with its removal."""


class DatabaseHealth(PartHealth):
    """History and error log."""

    schema_version: str | None = None
    write_seconds: float | None = None
    """How long a small durable write took, with a read."""


class MonitorHealth(PartHealth):
    """Who follows the runs."""

    followed_runs: int | None = None
    failed_steps: int | None = None
    clients: int | None = None
    """Browsers with a live connection."""
    last_turn_seconds: float | None = None
    """How long ago it last came round."""


class EnginesHealth(PartHealth):
    """What can run jobs."""

    available: dict[str, str | None] | None = None
    """Engines with the versions of their tools."""
    missing: tuple[str, ...] | None = None
    notices: tuple[str, ...] | None = None
    """What is known against those versions."""


class ErrorTrackingHealth(PartHealth):
    """The error log."""

    unresolved: int | None = None
    unresolved_by_severity: dict[str, int] | None = None
    dropped: int | None = None
    """How many entries never reached the database since the start."""
    waiting: int | None = None
    """How many entries are to be written."""


class DiskHealth(PartHealth):
    """The disk of the data directory."""

    free_bytes: int | None = None
    total_bytes: int | None = None
    free_inodes: int | None = None
    """Null where the file system has no fixed number of them."""
    total_inodes: int | None = None


class ToolsHealth(PartHealth):
    """What the engines' tools and Longshore itself stand on."""

    available: dict[str, str | None] | None = None
    missing: tuple[str, ...] | None = None
    """Those that are not installed; `degraded` only when a job needs one."""


class Components(_Frozen):
    """Every part."""

    storage: StorageHealth
    database: DatabaseHealth
    monitor: MonitorHealth
    engines: EnginesHealth
    error_tracking: ErrorTrackingHealth
    disk: DiskHealth
    tools: ToolsHealth


class Condition(_Frozen):
    """One of `CONDITIONS`."""

    name: str
    status: HealthStatus = HealthStatus.DEGRADED
    count: int


class Health(_Frozen):
    """The answer of GET /health."""

    status: HealthStatus
    timestamp: str
    """When it was looked, in UTC."""
    version: str
    components: Components
    conditions: tuple[Condition, ...]


class Alive(_Frozen):
    """The answer of GET /health/live."""

    status: Literal["alive"] = "alive"
    version: str


class Readiness(_Frozen):
    """The answer of GET /health/ready."""

    status: Literal["ready", "not_ready"]
    unusable: tuple[Part, ...]
    """Storage or database, when it cannot be used."""


def health_schema() -> dict[str, Any]:
    """Return the JSON Schema of the answer of GET /health."""
    return {"$schema": SCHEMA_DIALECT, **Health.model_json_schema(mode="serialization")}
