"""RunSpec: what one run does, as frozen in `spec.json` when the run is submitted.

Engines and the runner know this and not Job, so that a run goes on as it was started whatever
happens to its definition, and so that the runner needs no more than the standard library.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from models.errors import InvalidDocument
from models.remote import is_remote

FORMAT = 1
ONLY_FILES = "only-files"
"""The file beside spec.json that names the files of a run over failed ones."""
KNOWN_HOSTS = "known_hosts"
"""The file at the top of the data directory with the host keys that jobs accepted."""
PASSWORD_VARIABLE = "LONGSHORE_PASSWORD"  # noqa: S105 - the variable's name
KEPT_FOLDER = ".longshore-kept"
"""The folder at the destination, left out of every transfer, that holds what was replaced."""
TRASH_FOLDER = ".longshore-trash"
"""The folder in the source, left out of every transfer, that holds deleted sources for a while."""


class RunKind(StrEnum):
    """What a run is for."""

    TRANSFER = "transfer"
    DRY_RUN = "dry_run"
    """Tells what a transfer would do, and does nothing."""


STOPPED_DRY_RUN = "Stopped: what is listed is not all."
"""What is said of a dry run that a person stopped."""


class RunSpec(NamedTuple):
    """Everything a runner needs. Locations are absolute local paths or URLs (contracts.md); limits
    are in bytes per second, delays in seconds."""

    run_id: str
    job_id: str
    engine: str
    tool_path: str | None
    """The engine's executable, or None when the tool is not installed."""
    source: str
    destination: str
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    bandwidth_limit: int | None = None
    delete_extraneous: bool = False
    max_delete: int | None = None
    verification: str = "off"
    resume: bool = False
    """Whether an earlier run was cut off, so that partial files may wait at the destination."""
    cut_off_file: str | None = None
    """The file that was under way then, relative to the source, as far as its journal told."""
    expected_bytes: int | None = None
    expected_files: int | None = None
    """The totals of the last run of the same definition, as estimates until they are known."""
    max_attempts: int = 10
    first_delay_seconds: float = 1
    max_delay_seconds: float = 60
    stop_grace_seconds: float = 10
    max_log_bytes: int = 20 * 1000 * 1000

    kind: str = RunKind.TRANSFER
    only_failed_of: str | None = None
    """The run whose failed files alone are copied; their names stand beside this spec (ONLY_FILES),
    each as it is on disk, with a zero byte behind it. For rsync there is `./` before a name that it
    would take for a comment."""
    only_files_path: str | None = None
    """Where that file is, as an absolute path: set by the runner, which knows its own directory;
    None in spec.json and in a run over everything."""
    known_hosts_path: str | None = None
    """Where ssh keeps the keys of hosts that a job accepted, as an absolute path: set by the runner
    in the same way."""
    keep_replaced_in: str | None = None
    """The folder, relative to the destination, into which what is replaced or deleted there is
    moved."""
    extra_args: tuple[str, ...] = ()
    timeout_seconds: int | None = None
    hard_links: bool = False
    acls: bool = False
    xattrs: bool = False
    ssh_identity: str | None = None
    ssh_host_keys: str = "strict"
    daemon_user: str | None = None
    """The user's name of the credential for an rsync daemon; its password is handed over in the
    runner's environment (PASSWORD_VARIABLE) and stands nowhere else."""
    transfers: int | None = None
    checkers: int | None = None
    rclone_config: str | None = None
    """The person's rclone configuration; None leaves it to rclone where that is."""
    source_marker: str | None = None
    source_mount: str | None = None
    destination_mount: str | None = None
    source_deletion: str | None = None
    """The mode of source deletion; None deletes nothing."""
    delete_empty_directories: bool = False
    trash_days: int | None = None
    allowed_roots: tuple[str, ...] | None = ()
    """The folders within which the run stays; without any, everywhere. None: nobody knows which
    ones, so it does not begin (core/allowed_roots.py)."""
    data_dir: str | None = None
    """The data directory, which no run reads or writes while there are allowed folders."""
    tool_version: str | None = None
    """The version of the executable, as far as the dashboard knows it: asking costs time."""

    @property
    def source_is_remote(self) -> bool:
        """Whether the source lies on another machine."""
        return is_remote(self.source)

    @property
    def destination_is_remote(self) -> bool:
        """Whether the destination lies on another machine."""
        return is_remote(self.destination)

    @property
    def is_remote(self) -> bool:
        """Whether the run goes through a network."""
        return self.source_is_remote or self.destination_is_remote

    def in_directory(self, directory: str) -> RunSpec:
        """Return the spec as the runner uses it whose run has this directory, an absolute path."""
        has_list = self.only_failed_of is not None
        data_directory = directory.rpartition("/")[0].rpartition("/")[0]
        return self._replace(
            only_files_path=f"{directory}/{ONLY_FILES}" if has_list else None,
            known_hosts_path=f"{data_directory}/{KNOWN_HOSTS}",
        )

    def to_document(self) -> dict[str, Any]:
        """Return what stands in spec.json."""
        return {"format": FORMAT, **self._asdict()}

    @classmethod
    def from_document(cls, document: object) -> RunSpec:
        """Read a document of this format or a newer one, whose unknown keys are passed over.

        Raises InvalidDocument when it is not an object or lacks a key.
        """
        if not isinstance(document, dict):
            raise InvalidDocument("spec.json", "is not a JSON object")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in document.items()
            if key in cls._fields
        }
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidDocument("spec.json", str(error)) from error
