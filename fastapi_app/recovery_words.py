"""What is said of each strategy of recovery while it is not at rest. A sentence names no reason,
which changes from one failure to the next: it is in the details of the event."""

from __future__ import annotations

from core.disks import PREFIX
from core.recovery_states import RecoveryState

TARGET_PREFIX = "notification target "
OF_ERROR_LOG = (
    "The error log cannot be written: what goes wrong meanwhile waits in memory, and what cannot "
    "wait any longer stands in the service’s own log."
)


def of_disk(state: RecoveryState) -> str:
    """Say it of a disk that does not tell its room."""
    mount = state.name.removeprefix(PREFIX)
    return (
        f"The disk at {mount} does not tell how much room it has: what is shown of it is how it "
        "last was."
    )


def of_history(_state: RecoveryState) -> str:
    """Say it of what pages read from the database."""
    return (
        "The database does not answer: parts of pages are missing until it does. Nothing is lost."
    )


def of_remote(state: RecoveryState) -> str:
    """Say it of a remote that is left alone."""
    name = state.name.removeprefix("remote ")
    return (
        f"The remote “{name}” did not answer several times in a row. It is left alone and tried "
        "again every minute; runs over it try for themselves."
    )


def of_target(state: RecoveryState) -> str:
    """Say it of a target of notifications or pings that is left alone."""
    name = state.name.removeprefix(TARGET_PREFIX)
    return (
        f"The notification target “{name}” took nothing several times in a row. It is left alone "
        "and tried again every minute; what is to be told waits."
    )


def of_run_end(_state: RecoveryState) -> str:
    """Say it of the end of a run that is kept in several attempts."""
    return (
        "Another program holds the database: the end of a run is kept as soon as it lets go, and "
        "shown then."
    )
