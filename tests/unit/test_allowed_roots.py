"""Proves that no spelling of a path leads out of the allowed folders: in a definition, in the
folder browser, and before a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core.allowed_roots import is_allowed, names_of, root_faults
from core.definition_check import check_definition
from core.engines.registry import ENGINES
from core.preflight import run_faults, spec_root_faults
from core.real_paths import real_path
from fastapi_app.folders import view_folder
from models.errors import FieldFault, InvalidDefinition
from tests.fakes.builders import a_definition, a_spec
from tests.traversal import SECRET, scene, spellings


class Scene(NamedTuple):
    """An allowed folder, and one that is not."""

    root: Path
    outside: Path
    spellings: tuple[str, ...]

    @property
    def roots(self) -> tuple[str, ...]:
        """The allowed folders."""
        return (str(self.root),)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Scene]:
    """The tree of tests/traversal.py, and every spelling for it."""
    root, outside = scene(tmp_path)
    descriptor = os.open(outside, os.O_RDONLY)
    yield Scene(root, outside, tuple(spellings(root, outside, descriptor)))
    os.close(descriptor)


def is_within(path: str, root: Path) -> bool:
    """Whether a path that exists leads into the folder, as the kernel tells."""
    descriptor = os.open(path, os.O_PATH)
    try:
        real = os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return f"{real}/".startswith(f"{root}/")


async def faults_of(roots: tuple[str, ...] | None, **fields: Any) -> list[FieldFault]:
    """Return what is told of a definition."""
    try:
        await check_definition(a_definition(**fields), roots=roots)
    except InvalidDefinition as error:
        return list(error.faults)
    return []


def test_there_are_more_than_a_hundred_spellings(place: Scene) -> None:
    assert len(set(place.spellings)) >= 200


async def test_no_spelling_is_a_source_outside(place: Scene) -> None:
    taken = []
    for text in place.spellings:
        faults = await faults_of(place.roots, source=text, destination=f"{place.root}/new")
        if not any(fault.field == "source" for fault in faults):
            taken.append(text)
    assert [text for text in taken if not is_within(text, place.root)] == []
    assert [text for text in taken if Path(text).is_dir()] == [f"{place.root}/in/up"]
    assert len(taken) == 1, "of what may be chosen there is one that leads back to the top"


async def test_no_spelling_makes_a_destination_outside(place: Scene) -> None:
    before = sorted(place.root.parent.rglob("*"))
    made = 0
    for text in place.spellings:
        faults = await faults_of(place.roots, source=f"{place.root}/in", destination=text)
        if any(fault.field == "destination" for fault in faults):
            continue
        # It was accepted: so a run would make it, and must make it within.
        os.makedirs(text, exist_ok=True)
        assert is_within(text, place.root), text
        made += 1
    assert made > 50, "names that merely look like a way out are names"
    after = sorted(place.root.parent.rglob("*"))
    assert [path for path in after if path not in before and place.root not in path.parents] == []


def test_no_spelling_shows_a_folder_outside(place: Scene) -> None:
    for text in place.spellings:
        view = view_folder("source", text, place.roots)
        assert view.path == "" or is_within(view.path, place.root), text
        assert view.parent in {None, ""} or is_within(view.parent or "", place.root), text
        assert SECRET not in str(view), text
        for entry in view.entries:
            assert is_within(entry.path, place.root), (text, entry)


def test_no_spelling_begins_a_run_outside(place: Scene) -> None:
    for text in place.spellings:
        if "\0" in text or text.startswith("file") or not text.startswith("/"):
            continue  # None of these is in a spec: the definition has no form for them.
        spec = a_spec(source=text, destination=f"{place.root}/new", tool_path="/bin/sh")
        faults = run_faults(spec._replace(allowed_roots=place.roots), ENGINES["rsync"])
        assert any(fault.field == "source" for fault in faults) or is_within(text, place.root), text


async def test_every_fault_is_told_at_once_and_names_the_folders(place: Scene) -> None:
    faults = await faults_of(
        (str(place.root), "/srv/backup"),
        name="",
        source=str(place.outside),
        destination=f"{place.root}/link/new",
        options={"extra_args": ["--copy-links"], "bandwidth_limit": "fast"},
    )
    fields = [fault.field for fault in faults]
    assert set(fields) >= {
        "name",
        "source",
        "destination",
        "options.extra_args",
        "options.bandwidth_limit",
    }
    for fault in faults:
        if fault.field in {"source", "destination", "options.extra_args"}:
            assert f"the allowed folders ({place.root}, /srv/backup)" in fault.message


async def test_of_what_lies_outside_nothing_else_is_told(place: Scene) -> None:
    hidden = [
        await faults_of(place.roots, source=text, destination=f"{place.root}/new")
        for text in (f"{place.outside}", f"{place.outside}/nothing", f"{place.outside}/file/x")
    ]
    assert hidden[0] == hidden[1] == hidden[2]
    assert [fault.field for fault in hidden[0]] == ["source"]


async def test_the_other_location_is_looked_at_all_the_same(place: Scene) -> None:
    faults = await faults_of(
        place.roots, source=str(place.outside), destination=f"{place.root}/file"
    )
    assert [fault.field for fault in faults] == ["source", "destination"]
    assert "is not a folder" in faults[1].message


async def test_without_allowed_folders_everything_is_as_it_was(place: Scene) -> None:
    assert await faults_of((), source=str(place.outside), destination=f"{place.root}/new") == []
    options = {"extra_args": ["--copy-links"]}
    fields = {"source": str(place.outside), "destination": f"{place.root}/new"}
    assert await faults_of((), **fields, options=options) == []


@pytest.mark.parametrize("location", ["/srv", "/", "ssh://nas/srv"])
def test_when_nobody_knows_the_folders_none_is_allowed(location: str) -> None:
    faults = root_faults(location, None, (), None)
    assert bool(faults) is location.startswith("/")
    assert all("settings.yaml cannot be used" in fault.message for fault in faults)


@pytest.mark.parametrize("location", ["ssh://nas/etc", "rsync://nas/m/x", "rclone://disk/etc"])
def test_what_lies_on_another_machine_is_not_judged(location: str) -> None:
    assert is_allowed(location, ("/srv",))


def test_an_allowed_folder_may_be_a_link_itself_and_the_top_is_everything(place: Scene) -> None:
    (place.root.parent / "alias").symlink_to(place.root)
    alias = (str(place.root.parent / "alias"),)
    assert is_allowed(f"{place.root}/in", alias)
    assert is_allowed(f"{alias[0]}/in/new", alias)
    assert not is_allowed(str(place.outside), alias)
    assert is_allowed(str(place.outside), ("/",))


def test_a_folder_that_is_not_there_yet_is_judged_by_where_it_would_be_made(place: Scene) -> None:
    assert real_path(f"{place.root}/in/up/a//b/./c/") == f"{place.root}/a/b/c"
    assert real_path(f"{place.root}/link/a/b") == f"{place.outside}/a/b"
    for path in ("dangling/a", "loop/a", "a/../b", "file/a"):
        with pytest.raises(OSError, match=r"."):
            real_path(f"{place.root}/{path}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may have its own view of the mounts")
def test_a_link_of_the_kernel_is_judged_by_what_it_opens(place: Scene) -> None:
    # In another view of the file systems the same text names another folder: a process of a
    # container stands there in a folder of an allowed name.
    inside = str(place.root / "in")
    command = f'mount --bind "{place.outside}" "{inside}" && cd "{inside}" && echo in && read _'
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        path = f"/proc/{process.pid}/cwd"
        assert (os.readlink(path), os.listdir(path)) == (inside, os.listdir(place.outside))
        assert not is_allowed(path, place.roots)
        assert view_folder("source", path, place.roots).path == ""
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize(
    ("field", "name", "is_refused"),
    [
        ("source", "data", True),
        ("source", "data/runs/new", True),
        ("source", "link to data/jobs", True),
        ("source", "in", False),
        ("source", "", False),
        ("destination", "data", True),
        ("destination", "data/sample-copy", True),
        ("destination", "link to data", True),
        ("destination", "", True),
        ("destination", "data-twin", False),
        ("destination", "in/new", False),
    ],
)
def test_the_data_directory_lies_in_no_allowed_folder(
    place: Scene, field: str, name: str, is_refused: bool
) -> None:
    data = place.root / "data"
    (data / "jobs").mkdir(parents=True)
    (place.root / "link to data").symlink_to(data)
    location = f"{place.root}/{name}"
    source = location if field == "source" else None
    destination = location if field == "destination" else None
    for data_dir in (str(data), f"{place.root}/link to data", f"{place.root}/in/../data/"):
        faults = root_faults(source, destination, (), place.roots, data_dir=data_dir)
        assert [fault.field for fault in faults] == ([field] if is_refused else [])
        assert all("Longshore’s own data directory" in fault.message for fault in faults)
    # Without any allowed folders whoever makes jobs may have all of it (SECURITY.md).
    assert root_faults(source, destination, (), (), data_dir=str(data)) == []
    spec = a_spec(
        source=source or f"{place.root}/in", destination=destination or f"{place.root}/new"
    )
    faults = spec_root_faults(spec._replace(allowed_roots=place.roots, data_dir=str(data)))
    assert bool(faults) is is_refused


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_nor_does_it_where_it_is_mounted_once_more(place: Scene) -> None:
    (place.outside / "jobs").mkdir()
    where = str(place.root / "in")
    script = (
        "from core.own_folder import meets; import sys; "
        "print([meets(path, sys.argv[1], is_written=False) for path in sys.argv[2:]])"
    )
    command = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"']
    looked = [sys.executable, "-c", script, str(place.outside), f"{where}/jobs", str(place.root)]
    told = subprocess.run(
        [*command, str(place.outside), where, *looked], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[True, False]"


def test_many_folders_are_named_in_part() -> None:
    assert names_of(tuple(f"/{number}" for number in range(12))).endswith("/9 and 2 more")


@pytest.mark.parametrize("argument", ["--copy-links", "--copy-unsafe-links"])
def test_no_run_follows_links_within_the_source_while_there_are_folders(
    place: Scene, argument: str
) -> None:
    def told(source: str) -> list[str]:
        faults = root_faults(source, f"{place.root}/new", (argument, "--update"), place.roots)
        return [fault.field for fault in faults]

    assert told(f"{place.root}/in") == ["options.extra_args"]
    assert told("rsync://nas/m") == []
