"""`longshore jobs create|edit|duplicate|tag|discard|delete`: what changes a job."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from fastapi_app.commands.client import Refusal, as_part, ask, call
from fastapi_app.commands.console import EXIT_FAILED, complain, fail, out, print_json
from fastapi_app.commands.definition_file import conflict, definition_from, edit_definition
from fastapi_app.commands.definition_options import (
    Typed,
    definition_in,
    merged,
    takes_definition,
)
from fastapi_app.commands.jobs import JobId, JobIds, JsonFlag
from fastapi_app.commands.several import each_of
from storage.import_report import printable

_CONFLICT = 412
_TRIES = 5
_MAX_NAME = 120
_PROPOSED = {"engine": "rsync", "verification": "fast"}


@takes_definition
def create_job(
    *,
    typed: Typed,
    from_file: Annotated[
        str, typer.Option("--from", help="A YAML or JSON definition; - is standard input.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Create a job from options, or from a definition with the options put into it."""
    definition = definition_from(from_file) if from_file else _PROPOSED
    job = call("POST", "/jobs", json=merged(definition, typed))
    _print_job(job, as_json=as_json)


@takes_definition
def edit_job(*, typed: Typed, job_id: JobId, as_json: JsonFlag = False) -> None:
    """Change a job: by options, or without any in $VISUAL or $EDITOR.

    A repeatable option replaces the whole list; an empty text takes a value away.
    """
    job = call("GET", f"/jobs/{as_part(job_id)}")
    if typed:
        saved = _change_by_options(job, typed)
    else:
        saved = edit_definition(
            definition_in(job),
            title=f"{job['name']} ({job_id}), version {job['version']}",
            save=lambda definition: _save(job, definition),
        )
    if saved is None:
        complain("Nothing was changed.")
    if as_json:
        print_json(saved or job)


def duplicate_job(
    job_id: JobId,
    name: Annotated[str, typer.Option(help="What the new one is called.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Create a job with the definition of another one; its runs stay with that one."""
    job = call("GET", f"/jobs/{as_part(job_id)}")
    suffix = " (copy)"
    chosen = name or job["name"][: _MAX_NAME - len(suffix)] + suffix
    made = call("POST", "/jobs", json={**definition_in(job), "name": chosen})
    _print_job(made, as_json=as_json)


def tag_jobs(
    job_ids: JobIds,
    add: Annotated[list[str] | None, typer.Option(help="A tag to add; repeatable.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to remove; repeatable.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Add tags to jobs and remove some."""
    if not add and not remove:
        fail("Say which tags: --add TAG, --remove TAG.")
    done = each_of(job_ids, lambda job_id: _tag(job_id, add or [], remove or []))
    if as_json:
        done.print_json()
    done.exit_with_faults()


def discard_jobs(job_ids: JobIds, as_json: JsonFlag = False) -> None:
    """Give up what paused or interrupted jobs had begun: removes their partial files."""
    done = each_of(job_ids, lambda job_id: ask("POST", f"/jobs/{as_part(job_id)}/discard"))
    if as_json:
        done.print_json()
    done.exit_with_faults()


def delete_jobs(
    job_ids: JobIds,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Delete jobs and their history; what they copied stays.

    Asks first: of a job that has run, its name must be typed. Without a terminal it takes --yes.
    """
    if not yes and not sys.stdin.isatty():
        fail("Nothing was deleted: without a terminal to ask at, say --yes.")
    done = each_of(job_ids, lambda job_id: _delete(job_id, asks=not yes))
    if as_json:
        done.print_json()
    done.exit_with_faults()


def add_to(jobs: typer.Typer) -> None:
    """Put these commands among those of `longshore jobs`."""
    jobs.command("create")(create_job)
    jobs.command("edit")(edit_job)
    jobs.command("duplicate")(duplicate_job)
    jobs.command("tag")(tag_jobs)
    jobs.command("discard")(discard_jobs)
    jobs.command("delete")(delete_jobs)


def _change_by_options(job: dict[str, Any], typed: Typed) -> Any | None:
    before = definition_in(job)
    wanted = merged(before, typed)
    if wanted == before:
        return None
    try:
        return _save(job, wanted)
    except Refusal as refusal:
        if refusal.status == _CONFLICT:
            fail(conflict(refusal))
        refusal.tell()
        raise typer.Exit(EXIT_FAILED) from None


def _save(job: dict[str, Any], definition: dict[str, Any]) -> Any:
    headers = {"If-Match": f'"{job["version"]}"'}
    return ask("PUT", f"/jobs/{as_part(job['id'])}", json=definition, headers=headers)


def _tag(job_id: str, add: list[str], remove: list[str]) -> Any:
    tries = 0
    while True:
        tries += 1
        job = ask("GET", f"/jobs/{as_part(job_id)}")
        tags = [tag for tag in job["tags"] if tag not in remove]
        tags += [tag for tag in dict.fromkeys(add) if tag not in tags]
        if tags == job["tags"]:
            return job
        try:
            return _save(job, {**definition_in(job), "tags": tags})
        except Refusal as refusal:
            # What somebody else changed in between is kept: the tags go into the newer version.
            if refusal.status != _CONFLICT or tries == _TRIES:
                raise


def _delete(job_id: str, *, asks: bool) -> Any:
    path = f"/jobs/{as_part(job_id)}"
    if asks:
        _ask_before_deleting(ask("GET", path), has_history=_has_run(path))
    return ask("DELETE", path)


def _has_run(path: str) -> bool:
    return bool(ask("GET", f"{path}/runs", params={"limit": 1})["items"])


def _ask_before_deleting(job: dict[str, Any], *, has_history: bool) -> None:
    """Raises Refusal when it is not to be deleted."""
    name = printable(job["name"])
    if not has_history:
        is_meant = typer.confirm(f"Delete the job “{name}”?", err=True)
    else:
        question = f"Its history goes with it. Type the job's name ({name}) to delete it"
        is_meant = typer.prompt(question, default="", show_default=False, err=True) == job["name"]
    if not is_meant:
        raise Refusal(0, f"“{name}” was not deleted.")


def _print_job(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        out.print(job["id"], markup=False)
