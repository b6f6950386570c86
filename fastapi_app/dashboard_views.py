"""What the dashboard shows beside jobs and runs: disks, and what went wrong and is unresolved."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from core.disks import Disk
from fastapi_app import formatting
from fastapi_app.moments import Moment, moment
from models.error_event import ErrorEvent, ErrorPage

_MOST_DISKS = 6
_MOST_CHARACTERS = 300
_SEVERITY_WORDS = {"low": "Low", "medium": "Medium", "high": "High", "critical": "Critical"}


@dataclass(frozen=True)
class DiskView:
    """One disk: its room in words, and as a share of the whole in per cent."""

    mount: str
    mount_short: str
    jobs: str
    text: str
    exact: str
    used_percent: int | None
    is_low: bool
    as_of: Moment | None = None
    """When it last answered, if it does not any more."""


@dataclass(frozen=True)
class DisksView:
    """The disks with the least room, and how many there are beside them."""

    items: tuple[DiskView, ...]
    more: int


@dataclass(frozen=True)
class ErrorRow:
    """One unresolved error."""

    id: str
    severity: str
    word: str
    message: str
    count: str
    job_id: str | None
    job_name: str | None
    seen: Moment | None


@dataclass(frozen=True)
class ErrorsView:
    """The newest unresolved errors, and how many there are in all."""

    items: tuple[ErrorRow, ...]
    total: int


def disks_view(disks: Iterable[Disk]) -> DisksView:
    """Return disks for the dashboard."""
    views = tuple(_disk(disk) for disk in disks)
    return DisksView(views[:_MOST_DISKS], max(0, len(views) - _MOST_DISKS))


def errors_view(page: ErrorPage | None, known_jobs: Container[str]) -> ErrorsView | None:
    """Return errors for the dashboard; a job that is gone is named without a link. None when they
    cannot be read now."""
    if page is None:
        return None
    return ErrorsView(tuple(_error(event, known_jobs) for event in page.items), page.total)


def _disk(disk: Disk) -> DiskView:
    jobs = f"{formatting.count(disk.jobs)} {'job' if disk.jobs == 1 else 'jobs'}"
    short = formatting.short_path(disk.mount)
    room = disk.room
    if room is None or not room.total:
        exact = "The disk does not tell how much room it has."
        return DiskView(disk.mount, short, jobs, formatting.UNKNOWN, exact, None, False)
    return DiskView(
        mount=disk.mount,
        mount_short=short,
        jobs=jobs,
        text=f"{formatting.size(room.free)} free of {formatting.size(room.total)}",
        exact=f"{room.free:,} of {room.total:,} bytes are free",
        used_percent=round(100 * (room.total - room.free) / room.total),
        is_low=room.free < room.least_free,
        as_of=moment(disk.as_of),
    )


def _error(event: ErrorEvent, known: Container[str]) -> ErrorRow:
    return ErrorRow(
        id=event.id,
        severity=event.severity,
        word=_SEVERITY_WORDS[event.severity],
        message=formatting.shortened(event.message, _MOST_CHARACTERS),
        count=f"{formatting.count(event.count)} times" if event.count > 1 else "",
        job_id=event.job_id if (event.job_id or "") in known else None,
        job_name=event.job_name or event.job_id,
        seen=moment(event.last_seen),
    )
