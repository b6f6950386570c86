"""One exception hierarchy for the whole program: each error carries facts, not prose alone.

The mapping from these to HTTP status codes stands in `fastapi_app/errors.py` and nowhere else.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class FieldFault(NamedTuple):
    """One problem with one field of what a person sent; `field` is a dotted path."""

    field: str
    message: str


class LongshoreError(Exception):
    """The root: everything that Longshore raises on purpose derives from it."""


class InvalidDefinition(LongshoreError):
    """A job definition cannot be accepted; carries every fault at once."""

    def __init__(self, faults: tuple[FieldFault, ...]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in faults))


class InvalidSettings(InvalidDefinition):
    """Settings cannot be accepted; carries every fault at once."""


class SettingsConflict(LongshoreError):
    """Settings were saved on top of a version that is no longer the current one."""

    def __init__(self, expected: str, current: str) -> None:
        self.expected = expected
        self.current = current
        super().__init__(
            f"The settings are at version {current}; the change was made to version "
            f"{expected[:40]!r}."
        )


class RuleNotFound(LongshoreError):
    """No notification rule has this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no notification rule {name!r}.")


class RuleConflict(LongshoreError):
    """A notification rule was saved on top of a version that is no longer the current one."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"The notification rule {name!r} was changed meanwhile.")


class JobNotFound(LongshoreError):
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"There is no job with the id {job_id!r}.")


class JobExists(LongshoreError):
    """A job of this id is there already."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"There is a job with the id {job_id!r} already.")


class RunNotFound(LongshoreError):
    """No run has this id."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"There is no run with the id {run_id!r}.")


class ErrorEventNotFound(LongshoreError):
    """No event of the error log has this id."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        super().__init__(f"There is no error with the id {event_id!r}.")


class NoPreview(LongshoreError):
    """A list of planned changes was asked of a run that was no dry run."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"The run {run_id!r} was no dry run: there is no list of planned changes.")


class VersionConflict(LongshoreError):
    """A definition was saved on top of a version that is no longer the current one."""

    def __init__(self, job_id: str, expected: int, current: int) -> None:
        self.job_id = job_id
        self.expected = expected
        self.current = current
        super().__init__(
            f"Job {job_id!r} is at version {current}; the change was made to version {expected}."
        )


class IllegalTransition(LongshoreError):
    """The state machine has no arrow from this status to that one."""

    def __init__(self, job_id: str, current: str, wanted: str) -> None:
        self.job_id = job_id
        self.current = current
        self.wanted = wanted
        super().__init__(f"Job {job_id!r} is {current}; it cannot become {wanted}.")


class JobIsActive(LongshoreError):
    """The job is queued, running or stopping, and the command needs it at rest."""

    def __init__(self, job_id: str, status: str, command: str) -> None:
        self.job_id = job_id
        self.status = status
        self.command = command
        super().__init__(f"The job is {status}: stop it first to {command} it.")


class NothingToStop(LongshoreError):
    """Stop was asked of a job that neither runs nor waits."""

    def __init__(self, job_id: str, status: str) -> None:
        self.job_id = job_id
        self.status = status
        super().__init__(f"There is nothing to stop: the job is {status}.")


class NothingToDiscard(LongshoreError):
    """Discard was asked of a job that has no half-done run."""

    def __init__(self, job_id: str, status: str) -> None:
        self.job_id = job_id
        self.status = status
        super().__init__(
            f"There is nothing to discard: the job is {status}, not paused or interrupted."
        )


class OutsideRoots(LongshoreError):
    """A command would touch what lies outside of the allowed folders; `reason` is a sentence."""

    def __init__(self, location: str, reason: str) -> None:
        self.location = location
        self.reason = reason
        super().__init__(f"{location}: {reason}")


class RetryRefused(LongshoreError):
    """The failed files of a run cannot be tried again by themselves; `reason` is a sentence."""

    def __init__(self, run_id: str, reason: str) -> None:
        self.run_id = run_id
        self.reason = reason
        super().__init__(reason)


class PutBackRefused(LongshoreError):
    """What a run deleted cannot be put back; `reason` is a sentence."""

    def __init__(self, run_id: str, reason: str) -> None:
        self.run_id = run_id
        self.reason = reason
        super().__init__(reason)


class RemoteNotFound(LongshoreError):
    """rclone's configuration has no remote of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"rclone's configuration has no remote {name!r}.")


class RemotesUnknown(LongshoreError):
    """rclone does not tell which remotes there are; `reason` is a sentence."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class RunnerStartFailed(LongshoreError):
    """The runner process could not be started; `reason` is what it said."""

    def __init__(self, run_id: str, reason: str) -> None:
        self.run_id = run_id
        self.reason = reason
        super().__init__(f"The runner of {run_id} could not be started: {reason}")


class CredentialUnusable(LongshoreError):
    """A run's credential cannot be had; `reason` is the rest of a sentence, without any secret."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"The credential “{name}” cannot be used: {reason}")


class InvalidDocument(LongshoreError):
    """A stored document (YAML, JSON) is not what its format promises."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name}: {reason}")


class DataDirectoryInUse(LongshoreError):
    """Another server holds the data directory."""

    def __init__(self, data_dir: str, holder: str) -> None:
        self.data_dir = data_dir
        self.holder = holder
        super().__init__(f"The data directory {data_dir} is in use by {holder}.")


class StorageFailed(LongshoreError):
    """Something could not be written or read; nothing was half changed."""

    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        self.reason = reason
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """Say it for a person."""
        return f"{self.what} failed: {self.reason}"


class SaveOutcomeUnknown(StorageFailed):
    """A new version is in its place, but the disk did not confirm it; readers were given what
    stands on disk now."""

    def sentence(self) -> str:
        """Say it for a person."""
        return (
            f"{self.what}: the disk did not confirm it ({self.reason}). What is shown now was read "
            "back from it; look whether it is what you wanted, and save again."
        )


class StorageBusy(StorageFailed):
    """Another program holds what was to be written or read: over as soon as it lets go."""


class FileFailed(StorageFailed):
    """One file or folder, at a destination perhaps, could not be read or changed: that says nothing
    of the others."""

    def __init__(self, what: str, error: OSError) -> None:
        where = error.filename
        self.where = os.fsdecode(where) if isinstance(where, (str, bytes, os.PathLike)) else ""
        super().__init__(what, error.strerror or str(error))

    def sentence(self) -> str:
        """Say it for a person."""
        at = f" at {self.where}" if self.where else ""
        return f"{self.what} failed{at}: {self.reason}"


class CircuitOpen(LongshoreError):
    """Something failed again and again and is left alone for a while (core/error_recovery.py)."""

    def __init__(self, name: str, retry_in_seconds: float) -> None:
        self.name = name
        self.retry_in_seconds = retry_in_seconds
        if retry_in_seconds > 0:
            then = f"It is tried again in {max(1, round(retry_in_seconds)):,} s."
        else:
            then = "It is being tried at this moment."
        super().__init__(f"The {name} failed again and again and is left alone for now. {then}")


class SignInBusy(LongshoreError):
    """So many passwords are being checked that another one would have to wait too long."""

    def __init__(self) -> None:
        super().__init__("Too many people sign in at this moment. Try again in a few seconds.")


class TooManyAttempts(LongshoreError):
    """Somebody tries to sign in too often; `retry_in_seconds` tells when the next is looked at."""

    def __init__(self, retry_in_seconds: float) -> None:
        self.retry_in_seconds = retry_in_seconds
        super().__init__("Too many attempts to sign in. Wait a minute, then try again.")


class SignInRefused(LongshoreError):
    """Name or password is wrong; which of the two is nobody's business."""

    def __init__(self) -> None:
        super().__init__("Name or password is wrong.")


class SignInNeeded(LongshoreError):
    """A request does not tell whose it is, and what it asks for is not for everybody."""

    def __init__(self) -> None:
        super().__init__("Sign in first, or send a token.")


class NotAllowed(LongshoreError):
    """Whoever asks has a role that does not allow it."""

    def __init__(self, role: str, needed: str) -> None:
        self.role = role
        self.needed = needed
        super().__init__(f"This needs the role {needed}; yours is {role}.")


class AccountNotFound(LongshoreError):
    """No account, or no token, has this name."""

    def __init__(self, kind: str, name: str) -> None:
        self.name = name
        super().__init__(f"There is no {kind} {name!r}.")


class NoAnswer(LongshoreError):
    """A file system gives no answer, as one on a server that is gone; nothing was done."""

    def __init__(self, place: str, reason: str | None = None) -> None:
        self.place = place
        told = f" ({reason})" if reason else ""
        super().__init__(f"{place} does not answer{told}: is its disk or its server there?")
