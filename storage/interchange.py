"""Many jobs as one file: the older single-file layout, and the file that `longshore export` writes.

A translation alone: nothing here reads or writes a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from models.errors import FieldFault, InvalidDocument
from models.job import JOB_ID, Job, faults_of, id_stem
from models.job_state import JobState
from storage import yaml_documents
from storage.import_report import Remark, Report, shortened, spelled
from storage.job_documents import FORMAT
from storage.older_layout import Translation, translate
from storage.yaml_documents import Place
from utils.timestamps import utc_timestamp

FaultsOf = Callable[[Job], Sequence[FieldFault]]
MAX_FILE_BYTES = 32 * 1024 * 1024
"""Some ten thousand jobs with many patterns."""
_LAST_KEY = "count"
"""Written last: an export without it was cut off, perhaps between two jobs."""
_KNOWN = ("format", "exported_at", "jobs", _LAST_KEY)
_EARLIEST_YEAR, _LATEST_YEAR = 1970, 9000
_IDENTITY = ("name", "source", "src", "dest", "destination", "target", "type", "engine")
"""What tells jobs without an id from one another."""


@dataclass(frozen=True)
class ImportedJob:
    """A job as a file tells it; `line` is where it begins there."""

    job: Job
    state: JobState
    line: int | None


@dataclass(frozen=True)
class Interchange:
    """What a file of many jobs holds."""

    jobs: tuple[ImportedJob, ...]
    refused: int
    """How many entries are not among the jobs; the remarks say why."""
    remarks: tuple[Remark, ...]


def read_jobs(
    content: bytes, name: str, *, now: datetime, faults_of: FaultsOf = lambda _job: ()
) -> Interchange:
    """Return the jobs in a file of the older layout or of an export, and what was not taken.

    `faults_of` tells what a definition must not say here, though it is valid.
    Raises InvalidDocument when the file as a whole is neither.
    """
    document, lines = yaml_documents.parse_with_lines(content, name, max_bytes=MAX_FILE_BYTES)
    is_export = "format" in document
    if is_export:
        _check_export(document, name)
    if "jobs" not in document:
        raise InvalidDocument(name, "holds no `jobs:`")
    report = Report(lines)
    for key in document:
        if key not in (_KNOWN if is_export else ("jobs",)):
            report.not_taken((key,), "there is no such field")
    now = now.astimezone(UTC).replace(microsecond=0)
    reader = _Reader(report, is_export=is_export, now=now, faults_of=faults_of)
    for place, original_id, entry in _entries(document["jobs"], name):
        reader.take(place, original_id, entry)
    return Interchange(tuple(reader.jobs), reader.refused, report.remarks)


def export_content(jobs: Iterable[Job], *, exported_at: str) -> bytes:
    """Return definitions as one file, each as it stands in its own."""
    parts = [yaml_documents.render({"format": FORMAT, "exported_at": exported_at})]
    # One by one: an emoji in one name costs the others nothing (yaml_documents.render).
    entries = [
        yaml_documents.render({"jobs": [{"id": job.id, **job.model_dump(mode="json")}]})
        for job in jobs
    ]
    head = b"jobs:\n"
    parts += (
        [head, *(entry.removeprefix(head) for entry in entries)] if entries else [b"jobs: []\n"]
    )
    return b"".join((*parts, yaml_documents.render({_LAST_KEY: len(entries)})))


def _check_export(document: dict[str, Any], name: str) -> None:
    if document["format"] != str(FORMAT):
        raise InvalidDocument(name, f"is not of format {FORMAT}, the one this version reads")
    if _LAST_KEY not in document:
        raise InvalidDocument(
            name,
            f"is cut off: its last line, {_LAST_KEY}, is missing (a file that was written by hand "
            "need not have it, and has no “format” either)",
        )


def _entries(jobs: Any, name: str) -> Iterator[tuple[Place, Any, Any]]:
    if isinstance(jobs, list):
        for index, entry in enumerate(jobs):
            original_id = entry.get("id") if isinstance(entry, dict) else None
            yield ("jobs", index), original_id, entry
    elif isinstance(jobs, dict):
        for key, entry in jobs.items():
            yield ("jobs", key), key, entry
    elif jobs is not None:
        raise InvalidDocument(name, "`jobs:` is neither a list nor a mapping")


@dataclass
class _Reader:
    report: Report
    is_export: bool
    now: datetime
    faults_of: FaultsOf
    jobs: list[ImportedJob] = field(default_factory=list)
    refused: int = 0
    _places: dict[str, Place] = field(default_factory=dict)

    def take(self, place: Place, original_id: Any, entry: Any) -> None:
        """Take one entry, or tell why not."""
        taken = self._taken(place, original_id, entry)
        if taken is None:
            self.refused += 1
        else:
            self.jobs.append(taken)

    def _taken(self, place: Place, original_id: Any, entry: Any) -> ImportedJob | None:
        if not isinstance(entry, dict):
            self.report.not_imported(place, "not imported: a job is a mapping of keys to values")
            return None
        job_id = self._identify(place, original_id, entry)
        if job_id in self._places:
            earlier = spelled(self._places[job_id])
            self.report.not_imported(place, f"not imported: {earlier} has this id already")
            return None
        self._places[job_id] = place
        says = self._translated(place, job_id, entry)
        if says.definition.get("name") is None and isinstance(original_id, str):
            says.definition["name"] = original_id
            self.report.note(place, "has no name: its id stands in for it")
        job = self._valid(place, job_id, says)
        if job is None:
            name = shortened(str(says.definition.get("name") or job_id))
            self.report.not_imported(place, f"not imported: “{name}”")
            return None
        state = says.state or JobState(job_id, changed_at=utc_timestamp(self.now.timestamp()))
        return ImportedJob(job, state, self.report.line_of(place))

    def _identify(self, place: Place, original_id: Any, entry: dict[str, Any]) -> str:
        at: Place = (*place, "id") if "id" in entry else place
        inner = entry.get("id", original_id)
        if inner != original_id:
            self.report.not_taken((*place, "id"), f"the job is called {spelled(place)}")
        if isinstance(original_id, bool):
            original_id = str(original_id).lower()
        if isinstance(original_id, str) and JOB_ID.match(original_id):
            return original_id
        if isinstance(original_id, str):
            job_id = _id_from(original_id, original_id)
            self.report.note(at, f"becomes “{job_id}”: an id has small letters, digits and hyphens")
            return job_id
        if original_id is not None:
            self.report.not_taken(at, "an id is text")
        identity = [entry.get(key) for key in _IDENTITY]
        return _id_from(str(entry.get("name") or ""), json.dumps(identity))

    def _translated(self, place: Place, job_id: str, entry: dict[str, Any]) -> Translation:
        if not self.is_export:
            now = utc_timestamp(self.now.timestamp())
            return translate(entry, place, job_id, self.report, now=now)
        says = Translation({key: value for key, value in entry.items() if key != "id"})
        if says.definition.pop("format", str(FORMAT)) != str(FORMAT):
            self.report.not_taken((*place, "format"), f"this version reads format {FORMAT}")
            says.is_usable = False
        return says

    def _valid(self, place: Place, job_id: str, says: Translation) -> Job | None:
        defaults = {"version": "1", "created_at": self.now, "updated_at": self.now}
        try:
            job = Job.model_validate(defaults | says.definition | {"id": job_id})
        except ValidationError as error:
            for fault in faults_of(error):
                self.report.not_valid(_place_of(fault, place, says), fault.message)
            return None
        refused = self.faults_of(job)
        for fault in refused:
            self.report.not_valid(_place_of(fault, place, says), fault.message)
        if refused:
            return None
        times = {name: getattr(job, name) for name in ("created_at", "updated_at")}
        for name, moment in times.items():
            if not _EARLIEST_YEAR <= moment.year <= _LATEST_YEAR:
                self.report.not_taken((*place, name), "there is no such time")
                return None
        if not says.is_usable:
            return None
        job = job.model_copy(update={name: _in_utc(moment) for name, moment in times.items()})
        return self._without_risk(job, says)

    def _without_risk(self, job: Job, says: Translation) -> Job:
        """Switch the deletion of extraneous files off when settings were lost: a pattern or a
        limit among them may have kept files from being deleted."""
        if not (says.lost_settings and job.options.delete_extraneous):
            return job
        self.report.not_taken(
            says.places["options", "delete_extraneous"],
            "other lines of this job were not: switch it on again after a look at them",
        )
        options = job.options.model_copy(update={"delete_extraneous": False})
        return job.model_copy(update={"options": options})


def _place_of(fault: FieldFault, place: Place, says: Translation) -> Place:
    steps = tuple(fault.field.split("."))
    for length in range(len(steps), 0, -1):
        if steps[:length] in says.places:
            return (*says.places[steps[:length]], *_as_places(steps[length:]))
    return place if fault.field == "job" else (*place, *_as_places(steps))


def _as_places(steps: tuple[str, ...]) -> Place:
    return tuple(int(step) if step.isdecimal() else step for step in steps)


def _id_from(text: str, identity: str) -> str:
    """Return an id that is the same each time the same job is imported."""
    return f"{id_stem(text)}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def _in_utc(moment: datetime) -> datetime:
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return known.astimezone(UTC).replace(microsecond=0)
