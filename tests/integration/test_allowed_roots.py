"""Proves with real runs that nothing is read or written outside of the allowed folders, also when a
folder becomes a link between the check and the start; and that page, API and files say so."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from models.run_spec import TRASH_FOLDER
from tests.integration.command_line import words
from tests.integration.running import ended_server, run_to_end, wait_for_status
from tests.spec_runs import SpecRun
from tests.support import RunningServer, make_tree, tree_of, wait_until
from tests.traversal import SECRET, scene, spellings

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
RCLONE = str(Path(sys.executable).parent / "rclone")
ENGINES: dict[str, dict[str, Any]] = {"rsync": {}, "rclone": {"tool_path": RCLONE}}


class Site:
    """A server with one allowed folder, and one beside it that is not."""

    def __init__(self, place: Path) -> None:
        self.root, self.outside = scene(place)
        make_tree(self.root / "photos", files=5)
        (self.outside / "letter").write_bytes(b"secret")
        self.server = RunningServer(place / "data", LONGSHORE_ALLOWED_ROOTS=f"{self.root}:/nowhere")
        self.before = tree_of(self.outside)

    def faults(self, **fields: Any) -> list[str]:
        """Return which fields of a new job are refused; each must name the allowed folders."""
        definition = {
            "name": "A job",
            "engine": "rsync",
            "source": f"{self.root}/photos",
            "destination": f"{self.root}/copy",
            **fields,
        }
        answer = self.server.http.post("/api/v1/jobs", json=definition)
        assert answer.status_code == 422, answer.text
        for fault in answer.json()["errors"]:
            assert f"the allowed folders ({self.root}, /nowhere)" in fault["message"], fault
        return [fault["field"] for fault in answer.json()["errors"]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for the module; what lies outside is at the end as it was."""
    made = Site(tmp_path_factory.mktemp("roots"))
    with ended_server(made.server):
        yield made
        assert tree_of(made.outside) == made.before


@pytest.fixture
def folder(site: Site, request: pytest.FixtureRequest) -> Path:
    """An allowed folder of the test's own."""
    folder = site.root / f"of {request.node.name.replace('/', ' ')}"
    folder.mkdir()
    return folder


def swap(path: Path, target: Path) -> None:
    """Put a link in the place of a folder or of another link."""
    if path.is_symlink():
        path.unlink()
    else:
        path.rename(path.with_name(f"{path.name} before"))
    path.symlink_to(target)


def test_no_spelling_in_a_url_shows_a_folder_outside(site: Site) -> None:
    descriptor = os.open(site.outside, os.O_RDONLY)
    seen = 0
    try:
        for text in spellings(site.root, site.outside, descriptor):
            # As it is, encoded once and encoded twice.
            once = quote(text, safe="", errors="surrogateescape")
            for spelled in {quote(text, safe="/%&#;", errors="surrogateescape"), once, quote(once)}:
                answer = site.server.http.get(f"/folders?field=source&path={spelled}")
                assert answer.status_code in {200, 400, 414, 422}, (text, answer.status_code)
                assert SECRET not in answer.text, text
                assert "letter" not in answer.text, text
                seen += answer.status_code == 200
    finally:
        os.close(descriptor)
    assert seen > 400


def test_the_page_of_settings_says_which_folders_are_not_there(site: Site) -> None:
    text = site.server.http.get("/settings").text
    assert f"{site.root}:/nowhere" in text
    assert "Not there now: /nowhere." in text
    assert "<code>LONGSHORE_ALLOWED_ROOTS</code> decides this" in text


def test_the_browser_begins_with_the_allowed_folders(site: Site) -> None:
    text = site.server.http.get("/folders?field=source").text
    assert "Allowed folders" in text
    assert f'<span dir="auto">{site.root}</span>' in text
    assert "data-browser-use" not in text
    inside = site.server.http.get(f"/folders?field=source&path={site.root}").text
    assert 'aria-label="Up to the allowed folders"' in inside
    assert '<span dir="auto">photos</span>' in inside
    assert ">link<" not in inside
    assert 'title="Use this file"' in inside


def test_a_new_job_outside_is_refused_with_every_fault(site: Site) -> None:
    assert site.faults(
        source=f"{site.root}/link",
        destination=f"{site.outside}/new",
        options={"extra_args": ["--copy-unsafe-links"]},
    ) == ["source", "destination", "options.extra_args"]


def test_an_edit_and_a_duplicate_are_judged_as_a_new_job_is(site: Site, folder: Path) -> None:
    job_id = site.server.create_job(f"{site.root}/photos", folder / "copy")
    job = site.server.http.get(f"/api/v1/jobs/{job_id}").json()
    for field in ("id", "version", "state", "created_at", "updated_at"):
        job.pop(field)
    answer = site.server.http.put(
        f"/api/v1/jobs/{job_id}",
        json=job | {"source": str(site.outside)},
        headers={"If-Match": '"1"'},
    )
    assert answer.status_code == 422, answer.text
    assert [fault["field"] for fault in answer.json()["errors"]] == ["source"]
    fields = {
        "name": "A job",
        "engine": "rsync",
        "source_kind": "local",
        "destination_kind": "local",
    }
    page = site.server.http.post(
        "/jobs", data=fields | {"source": str(site.outside), "destination": f"{folder}/copy"}
    )
    assert page.status_code == 422
    assert "The source does not lie within the allowed folders" in page.text


def test_what_a_person_writes_into_a_definition_is_judged(site: Site, folder: Path) -> None:
    job_id = site.server.create_job(f"{site.root}/photos", folder / "copy")
    path = site.server.data_dir / "jobs" / f"{job_id}.yaml"
    path.write_text(path.read_text().replace(f"{folder}/copy", f"{site.outside}/copy"))

    def told() -> bool:
        found = site.server.http.get("/api/v1/errors", params={"job_id": job_id}).json()["items"]
        return any(
            "destination: The destination does not lie within" in event["message"]
            for event in found
        )

    wait_until(told, what="the fault of the edit")
    job = site.server.http.get(f"/api/v1/jobs/{job_id}").json()
    assert (job["version"], job["destination"]) == (1, f"{folder}/copy")


@pytest.mark.parametrize("field", ["source", "destination"])
def test_a_folder_that_becomes_a_link_before_the_start_is_refused(
    site: Site, folder: Path, field: str
) -> None:
    make_tree(folder / "source", files=3)
    (folder / "destination").mkdir()
    job_id = site.server.create_job(folder / "source", folder / "destination")
    swap(folder / field, site.outside)
    run = run_to_end(site.server, job_id)
    assert run["outcome"] == "failed"
    assert run["message"] == (
        f"{field.title()}: The {field} does not lie within the allowed folders "
        f"({site.root}, /nowhere), or a link on the way leads out of them."
    )
    assert not [
        line for line in site.server.journal(run["id"]) if line["event"] == "engine_started"
    ]
    assert tree_of(site.outside) == site.before
    if field == "source":
        assert list((folder / "destination").iterdir()) == []


@pytest.mark.parametrize("kind", ["dry_run", "transfer"])
@pytest.mark.parametrize("field", ["source", "destination"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_link_that_is_given_another_target_is_refused_by_the_runner(
    tmp_path: Path, engine: str, field: str, kind: str
) -> None:
    root, outside = scene(tmp_path)
    before = tree_of(outside)
    make_tree(root / "real source" / "inner", files=3)
    copy = root / "real destination" / "inner"
    copy.mkdir(parents=True)
    for name in ("source", "destination"):
        (root / name).symlink_to(root / f"real {name}")
    fields: dict[str, Any] = {
        "source": f"{root}/source/inner",
        "destination": f"{root}/destination/inner",
        "engine": engine,
        "kind": kind,
        "allowed_roots": (str(root),),
        **ENGINES[engine],
    }
    good = SpecRun(tmp_path / "good", **fields)
    assert good.perform()["outcome"] == "completed", good.result()["message"]
    shutil.rmtree(copy)
    copy.mkdir()
    swap(root / field, outside)
    run = SpecRun(tmp_path / "run", **fields)
    result = run.perform()
    assert result["outcome"] == "failed"
    assert "does not lie within the allowed folders" in result["message"]
    assert run.journal("engine_started") == []
    assert tree_of(outside) == before
    assert list(copy.iterdir()) == []


def test_a_run_whose_folders_nobody_knows_does_not_begin(tmp_path: Path) -> None:
    make_tree(tmp_path / "from", files=2)
    places = {"source": str(tmp_path / "from"), "destination": str(tmp_path / "to")}
    result = SpecRun(tmp_path / "run", **places, allowed_roots=None).perform()
    assert result["outcome"] == "failed"
    assert "nobody knows which folders are allowed" in result["message"]
    assert not (tmp_path / "to").exists()


def swapping_tool(path: Path, folder: Path, outside: Path, code: int) -> None:
    """Make a tool that swaps a folder for a link and ends with this code. It is called more than
    once at the same time, also to count what there is: one call swaps, and each waits for that."""
    path.write_text(
        f'#!/bin/sh\nif mkdir "{path}.first" 2>/dev/null; then\n'
        f'mv "{folder}" "{folder}.was" && ln -s "{outside}" "{folder}"\nfi\n'
        f'until [ -L "{folder}" ]; do sleep 0.01; done\nexit {code}\n'
    )
    path.chmod(0o755)


def test_a_link_that_is_swapped_between_two_attempts_is_refused(tmp_path: Path) -> None:
    root, outside = scene(tmp_path)
    make_tree(root / "from", files=2)
    tool = tmp_path / "rsync"
    # It fails as one whose link was cut does (30), and has the source swapped by then.
    swapping_tool(tool, root / "from", outside, 30)
    run = SpecRun(
        tmp_path / "run",
        source=str(root / "from"),
        destination=str(root / "to"),
        tool_path=str(tool),
        allowed_roots=(str(root),),
    )
    result = run.perform()
    assert (result["outcome"], len(run.journal("engine_started"))) == ("failed", 1)
    assert "does not lie within the allowed folders" in result["message"]


@pytest.mark.parametrize("code", [0, 23, 30])
def test_a_destination_that_is_swapped_during_the_transfer_is_told_and_not_tidied(
    tmp_path: Path, code: int
) -> None:
    root, outside = scene(tmp_path)
    make_tree(root / "from", files=2)
    partial = outside / ".longshore-partial" / "file"
    partial.parent.mkdir()
    partial.write_bytes(b"of another")
    tool = tmp_path / "rsync"
    swapping_tool(tool, root / "to", outside, code)
    result = SpecRun(
        tmp_path / "run",
        source=str(root / "from"),
        destination=str(root / "to"),
        tool_path=str(tool),
        cut_off_file="file",
        resume=True,
        allowed_roots=(str(root),),
    ).perform()
    assert result["outcome"] == "failed"
    assert "Destination: The destination does not lie within" in result["message"]
    assert partial.read_bytes() == b"of another"


def test_what_was_moved_aside_is_not_put_back_outside(tmp_path: Path) -> None:
    root, outside = scene(tmp_path)
    make_tree(root / "from", files=2)
    aside = outside / TRASH_FOLDER / "20261127T000000-00000000.aside"
    aside.mkdir(parents=True)
    (aside / "file").write_bytes(b"x")
    swap(root / "from", outside)
    result = SpecRun(
        tmp_path / "run",
        source=str(root / "from"),
        destination=str(root / "to"),
        source_deletion="per_file",
        verification="checksum",
        allowed_roots=(str(root),),
    ).perform()
    assert result["outcome"] == "failed"
    assert (aside / "file").exists()


def test_a_setting_is_in_effect_at_once_also_for_what_waits(
    server: RunningServer, tmp_path: Path
) -> None:
    root, outside = scene(tmp_path)
    make_tree(outside / "from", files=2)
    words(server, "settings", "set", "max_concurrent_runs=1")
    make_tree(root / "from", files=40, largest=100_000)
    slow = server.create_job(root / "from", root / "to", options={"bandwidth_limit": "200K"})
    waiting = server.create_job(outside / "from", root / "other", name="Waits")
    server.start_job(slow)
    wait_for_status(server, slow, "running")
    run_id = server.start_job(waiting)
    assert server.state(waiting)["status"] == "queued"
    assert "in effect at once" in words(server, "settings", "set", f"allowed_roots={root}")
    server.http.post(f"/api/v1/jobs/{slow}/stop")
    run = server.wait_for_end(run_id)
    assert run["outcome"] == "failed"
    assert f"the allowed folders ({root})" in run["message"]
    assert not (root / "other").exists()
    # What was begun before goes on; and its partial files are still within.
    assert wait_for_status(server, slow, "paused")
    assert server.http.post(f"/api/v1/jobs/{slow}/discard").status_code == 200
    words(server, "settings", "unset", "allowed_roots")
    assert run_to_end(server, waiting)["outcome"] == "completed"


def test_an_edit_that_was_refused_is_taken_once_its_folder_is_allowed(
    server: RunningServer, tmp_path: Path
) -> None:
    root, outside = scene(tmp_path)
    make_tree(root / "from", files=2)
    words(server, "settings", "set", f"allowed_roots={root}")
    job_id = server.create_job(root / "from", root / "to")
    path = server.data_dir / "jobs" / f"{job_id}.yaml"
    path.write_text(path.read_text().replace(f"{root}/to", f"{outside}/to"))
    new = server.data_dir / "jobs" / "new-job.yaml"
    new.write_text(f"name: New\nengine: rsync\nsource: {root}/from\ndestination: {outside}/new\n")

    def damaged() -> bool:
        return bool(server.http.get("/api/v1/jobs").json()["damaged"])

    wait_until(damaged, what="the refused definition")
    words(server, "settings", "set", f"allowed_roots={root}:{outside}")
    assert not damaged()
    found = {job["id"]: job["destination"] for job in server.jobs()}
    assert found == {job_id: f"{outside}/to", "new-job": f"{outside}/new"}


def test_import_and_doctor_know_the_folders_without_a_server(tmp_path: Path) -> None:
    root, outside = scene(tmp_path)
    server = RunningServer(tmp_path / "data")
    server.data_dir.mkdir()
    jobs = tmp_path / "jobs.yaml"
    entry = "  - {{id: {0}, name: A, engine: rsync, source: {1}, destination: {1}/to}}\n"
    jobs.write_text("jobs:\n" + entry.format("a-job", root / "in") + entry.format("b-job", outside))
    settings = server.data_dir / "settings.yaml"
    settings.write_text(f"allowed_roots: {root}\n")
    told = words(server, "import", str(jobs), code=1)
    assert "1 imported" in told
    assert told.count(f" does not lie within the allowed folders ({root})") == 2
    assert "allowed folders: " + str(root) in words(server, "doctor")
    settings.write_text(f"allowed_roots: [{outside}]\n")
    told = words(server, "doctor", code=1)
    assert (
        "job a-job does not run: source: The source does not lie within the allowed folders" in told
    )
    found = json.loads(server.cli("doctor", "--json").stdout)
    assert found["allowed_roots"] == [str(outside)]
    assert {(one["id"], one["field"]) for one in found["outside"]} == {
        ("a-job", "source"),
        ("a-job", "destination"),
    }
    settings.write_text("allowed_roots: [relative]\n")
    assert "nobody knows which folders are allowed" in words(server, "doctor", code=1)
    assert "nobody knows which folders" in words(server, "import", str(jobs), code=1)
