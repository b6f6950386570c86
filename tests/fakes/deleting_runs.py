"""A run that is about to delete its sources, without a server: folders, copies, spec and list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.open_tree import Tree
from core.runner.deleting import Deleter
from core.runner.deletion_phase import _PROGRAM
from core.runner.proof import Copies, Proof
from core.runner.selected_files import SELECTED_NAME
from core.runner.trash import Mover, Trash
from models.run_spec import TRASH_FOLDER
from models.source_deletions import PUT_BACK, DeletionOutcome
from tests.fakes.builders import a_spec
from tests.integration.trees import hash_of
from tests.support import PROJECT_ROOT

RUN_ID = "run-1"
NAME = b"folder/photo.jpg"


@dataclass
class DeletingRun:
    """The directories of one run, and the process that deletes for it."""

    source: Path
    destination: Path
    directory: Path
    values: dict[str, Any] = field(default_factory=dict)
    run_id: str = RUN_ID

    def prepare(self, **values: Any) -> None:
        """Write the spec and the list of all files that are in the source now."""
        self.directory.mkdir(parents=True, exist_ok=True)
        spec = a_spec(
            run_id=self.run_id,
            source=str(self.source),
            destination=str(self.destination),
            verification="checksum",
            **{"source_deletion": "verify_then_delete", **self.values, **values},
        )
        (self.directory / "spec.json").write_text(json.dumps(spec.to_document()))
        self.list_names(*names_in(self.source))

    def list_names(self, *names: bytes) -> None:
        """Write the list of what the transfer covered."""
        (self.directory / SELECTED_NAME).write_bytes(b"".join(name + b"\0" for name in names))

    @property
    def command(self) -> list[str]:
        """What the runner starts."""
        python = [sys.executable, "-S", "-E", "-s", "-P"]
        return [*python, "-c", _PROGRAM, str(PROJECT_ROOT), str(self.directory)]

    def perform(self, *before: str) -> subprocess.CompletedProcess[str]:
        """Run the process that deletes, perhaps under a tracer."""
        return subprocess.run(
            [*before, *self.command], capture_output=True, text=True, cwd="/", timeout=60
        )

    def put_back_cut_off(self) -> subprocess.CompletedProcess[str]:
        """Run the process for what a run that was cut off had moved aside."""
        return subprocess.run(
            [*self.command, PUT_BACK], capture_output=True, text=True, cwd="/", timeout=60
        )

    def outcomes(self) -> dict[str, tuple[str, str | None]]:
        """Return what the record says became of each path: the outcome and the reason."""
        path = self.directory / "deletions.jsonl"
        if not path.exists():
            return {}
        paths: dict[int, str] = {}
        found: dict[str, tuple[str, str | None]] = {}
        for line in path.read_bytes().splitlines()[1:]:
            document = json.loads(line)
            paths.setdefault(document["n"], document.get("path", ""))
            found[paths[document["n"]]] = (document["outcome"], document.get("reason"))
        return found


def told(performed: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return what the process said last."""
    document: dict[str, Any] = json.loads(performed.stdout.splitlines()[-1])
    return document


def copy_of(source: Path, destination: Path) -> None:
    """Copy a tree with rsync, hard links as such."""
    subprocess.run(["rsync", "-aH", f"{source}/", f"{destination}/"], check=True)


def names_in(root: Path) -> list[bytes]:
    """Return the files and links beneath a folder, from its top, in a fixed order."""
    top = os.fsencode(root)
    found = []
    for folder, folders, files in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        found += [os.path.relpath(os.path.join(folder, name), top) for name in files + links]
    return sorted(found)


def contents_of(root: Path) -> dict[bytes, str]:
    """Return what is beneath a folder, by name: the hash of a file, or where a link leads."""
    found = {}
    for name in names_in(root):
        path = Path(os.fsdecode(os.path.join(os.fsencode(root), name)))
        found[name] = f"-> {os.readlink(path)}" if path.is_symlink() else hash_of(path)
    return found


def in_trash(run: DeletingRun) -> list[bytes]:
    """Return the files that lie in the trash folder of the source."""
    trash = run.source / TRASH_FOLDER
    return names_in(trash) if trash.exists() else []


def places_of(run: DeletingRun) -> list[dict[bytes, str]]:
    """Return what each place holds in which a file may be whole: source, trash, destination."""
    trash = run.source / TRASH_FOLDER
    runs = [contents_of(folder) for folder in sorted(trash.glob("*"))] if trash.exists() else []
    return [contents_of(run.source), contents_of(run.destination), *runs]


def lost_of(run: DeletingRun, before: dict[bytes, str]) -> list[bytes]:
    """Return the files that are whole in no place any more."""
    places = places_of(run)
    return [
        name
        for name, content in before.items()
        if not any(place.get(name) == content for place in places)
    ]


@contextmanager
def moved_aside(source: Path, name: bytes) -> Iterator[None]:
    """A file that a run has moved aside, and did not delete yet: it lives until the end of the
    block, and is as one that was killed afterwards."""
    tree = Tree.at(str(source))
    trash = Trash(tree, "killed", remembers_folders=False)
    with tree.place(name) as place, trash.place(name) as aside:
        Mover().move(place, aside)
    yield
    os.close(trash._tree.top)
    tree.close()


def nothing(_count: int) -> None:
    """Take no note."""


def prove(run: DeletingRun, name: bytes = NAME, tick: Callable[[int], None] = nothing) -> Proof:
    """Prove one file of a run."""
    source, destination = Tree.at(str(run.source)), Tree.at(str(run.destination))
    try:
        with source.place(name) as place, destination.place(name) as copy:
            copies = Copies(
                tick, sync=lambda _descriptor, _facts: None, claim=lambda _source, _copy: True
            )
            return copies.prove(name, place, copy)
    finally:
        source.close()
        destination.close()


def delete(
    run: DeletingRun, proof: Proof, *, keeps_trash: bool = False
) -> tuple[DeletionOutcome, str | None]:
    """Delete one proven file of a run."""
    source, destination = Tree.at(str(run.source)), Tree.at(str(run.destination))
    trash = Trash(source, run.run_id, remembers_folders=keeps_trash)
    try:
        deleter = Deleter(source, destination, trash, keeps_trash=keeps_trash, tick=nothing)
        return deleter.delete(proof)
    finally:
        trash.close()
        destination.close()
        source.close()


def photo(run: DeletingRun) -> Path:
    """The file's path in the source."""
    return run.source / "folder" / "photo.jpg"


def copy(run: DeletingRun) -> Path:
    """The file's path at the destination."""
    return run.destination / "folder" / "photo.jpg"


def longer_by_a_byte(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


def a_link(path: Path) -> None:
    path.rename(path.with_name("kept elsewhere"))
    path.symlink_to("kept elsewhere")


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_photo_and_its_copy(tmp_path: Path) -> DeletingRun:
    """Return a run over one file in a folder, which has a copy."""
    run = DeletingRun(tmp_path / "from", tmp_path / "to", tmp_path / "run")
    (run.source / "folder").mkdir(parents=True)
    (run.source / "folder" / "photo.jpg").write_bytes(b"the only copy")
    copy_of(run.source, run.destination)
    return run
