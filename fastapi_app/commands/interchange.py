"""`longshore import` and `longshore export`: many jobs as one file, on the files alone."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from core.allowed_roots import Roots
from core.definition_check import told_root_faults
from core.questions import Questions
from fastapi_app.commands.console import (
    EXIT_FAILED,
    complain,
    fail,
    out,
    print_json,
    settings,
    write_file,
)
from fastapi_app.commands.noted import note
from fastapi_app.commands.roots import roots_on_disk
from models.audit import Action
from models.errors import InvalidDocument
from storage.import_report import printable
from storage.interchange import MAX_FILE_BYTES, Interchange, export_content, read_jobs
from storage.job_files import JobFiles
from storage.job_import import ImportOutcome, write_jobs
from utils.durable_file import create_file, replace_file
from utils.timestamps import utc_timestamp

_MOST_NAMED = 20
"""How many ids of imported jobs stand in the audit log; of all their number."""


def import_jobs(
    file: Annotated[Path, typer.Argument(help="An older jobs file, or what `export` wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Take jobs over from one file; what is there already stays as it is.

    Exits 1 when something in the file was not taken.
    """
    given = settings()
    data_dir = given.data_dir.absolute()
    found = _read(file, roots_on_disk(given), given.data_dir.absolute())
    outcome = write_jobs(data_dir, found.jobs)
    if outcome.imported:
        details = {"jobs": len(outcome.imported), "first": outcome.imported[:_MOST_NAMED]}
        note(data_dir, Action.IMPORTED, details)
    if as_json:
        print_json(_document(found, outcome))
    else:
        _tell(found, outcome)
    if outcome.failure or outcome.busy or any(remark.is_fault for remark in found.remarks):
        raise typer.Exit(EXIT_FAILED)


def export_jobs(
    file: Annotated[
        Path | None, typer.Argument(help="Where to; without it, standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE when it is there.")] = False,
) -> None:
    """Write all definitions as one file. Exits 1 when one is damaged; the others are written."""
    data_dir = settings().data_dir.absolute()
    if not data_dir.is_dir():
        fail(f"There is no data directory {data_dir}: set LONGSHORE_DATA_DIR.")
    files = JobFiles(data_dir)
    try:
        found = files.look()
    except OSError as error:
        fail(f"{data_dir} cannot be read: {error.strerror}")
    jobs = [record.job for record in found.records.values()]
    content = export_content(jobs, exported_at=utc_timestamp())
    if file is None:
        write_file([content])
    else:
        _write(file, content, force=force)
        out.print(f"{len(jobs)} jobs are in {file}", markup=False, soft_wrap=True)
    note(data_dir, Action.EXPORTED, {"jobs": len(jobs)})
    # Deleted while this looked is not damaged.
    damaged = [job for job in found.damaged.values() if os.path.lexists(files.job_path(job.id))]
    for job in damaged:
        complain(printable(f"{job.id} is damaged and not exported: {job.reason}"))
    if len(content) > MAX_FILE_BYTES:
        complain(f"The file is larger than {MAX_FILE_BYTES:,} bytes: import will not read it whole")
    if damaged or len(content) > MAX_FILE_BYTES:
        raise typer.Exit(EXIT_FAILED)


def _read(file: Path, roots: Roots, data_dir: Path) -> Interchange:
    questions = Questions()
    try:
        with file.open("rb") as source:
            content = source.read(MAX_FILE_BYTES + 1)
        return read_jobs(
            content,
            file.name,
            now=datetime.now(UTC),
            faults_of=lambda job: told_root_faults(job, roots, questions, str(data_dir)),
        )
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except InvalidDocument as error:
        fail(printable(f"{file} {error.reason}"))


def _write(file: Path, content: bytes, *, force: bool) -> None:
    try:
        if force:
            replace_file(file, content)
        else:
            create_file(file, content)
    except FileExistsError:
        fail(f"{file} is there already: --force replaces it.")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")


def _tell(found: Interchange, outcome: ImportOutcome) -> None:
    for text in map(str, found.remarks):
        complain(text)
    lines = {entry.job.id: entry.line for entry in found.jobs}
    names = {entry.job.id: entry.job.name for entry in found.jobs}
    for job_id in outcome.already_there:
        complain(f"line {lines[job_id]}: {job_id} is there already: nothing was changed")
    for job_id in outcome.busy:
        complain(f"line {lines[job_id]}: {job_id} not imported: a run with this id is under way")
    for job_id in outcome.kept_states:
        complain(f"line {lines[job_id]}: {job_id} keeps the state that was there from before")
    for job_id in outcome.imported:
        out.print(printable(f"imported {job_id}  {names[job_id]}"), markup=False, soft_wrap=True)
    not_taken = sum(remark.is_fault for remark in found.remarks)
    refused = found.refused + len(outcome.busy)
    out.print(
        f"{len(outcome.imported)} imported, {len(outcome.already_there)} there already, "
        f"{refused} not imported; {not_taken} lines with something that was not taken",
        soft_wrap=True,
    )
    if outcome.failure:
        complain(
            f"Writing failed: {outcome.failure}. What is listed as imported stays; import the "
            "file again for the rest."
        )


def _document(found: Interchange, outcome: ImportOutcome) -> dict[str, Any]:
    return {
        "imported": outcome.imported,
        "already_there": outcome.already_there,
        "kept_states": outcome.kept_states,
        "busy": outcome.busy,
        "not_imported": found.refused + len(outcome.busy),
        "remarks": [
            {
                "line": remark.line,
                "place": remark.place,
                "message": remark.message,
                "is_fault": remark.is_fault,
            }
            for remark in found.remarks
        ],
        "failure": outcome.failure,
    }
