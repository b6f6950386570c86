"""RunSpec: what one run does, as frozen in `spec.json` when the run is submitted.

Engines and the runner know this and not Job, so that a run goes on as it was started whatever
happens to its definition, and so that the runner needs no more than the standard library.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from models.errors import InvalidDocument
from models.remote import is_remote

FORMAT = 1


class RunSpec(NamedTuple):
    """Everything a runner needs. Locations are absolute local paths, or for one of the two the
    rsync:// URL of a daemon; limits are in bytes per second, delays in seconds."""

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
