"""Proves that parts of files are removed and kept within the destination alone, also when a folder
becomes a link at the very moment; and that what goes wrong names the whole path."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from core.allowed_roots import EVERYWHERE, Roots
from core.partial_files import (
    keep_partial_file,
    remove_all_partial_files,
    remove_partial_files,
)
from models.errors import OutsideRoots
from tests.integration.hostile import picture

PARTIAL = ".longshore-partial"
IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
SWAPS = 20_000 if IS_FULL else 600
_renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
_AT_CWD, _RENAME_EXCHANGE = -100, 2


class Scene:
    """A source, a destination that a run was stopped over, and a folder outside that looks alike.

    rsync has left parts in the folder `a`, and in the partial directories of it and of the top.
    """

    def __init__(self, place: Path) -> None:
        self.place, self.outside = place / "root", place / "outside"
        self.source, self.to = self.place / "from", self.place / "to"
        (self.source / "a").mkdir(parents=True)
        (self.source / "a" / "big.iso").write_bytes(b"whole")
        (self.to / "a").mkdir(parents=True)
        for folder in (self.outside, self.outside / "a"):
            self.fill(folder)
            (folder / "big.iso").write_bytes(b"of somebody else")
        self.refill()
        self.before = picture(self.outside)

    def fill(self, folder: Path) -> None:
        """Put parts of files into a folder."""
        (folder / PARTIAL).mkdir(parents=True, exist_ok=True)
        for path in (folder / PARTIAL / "big.iso", folder / ".big.iso.x7Yz09"):
            path.write_bytes(b"half")
            path.chmod(0o600)

    def refill(self) -> None:
        """Put parts of files into the destination."""
        self.fill(self.to)
        self.fill(self.to / "a")

    def swap(self, name: str) -> None:
        """Put a link to what looks alike outside in the place of a folder of the destination."""
        folder = self.place / name
        if not folder.is_symlink():
            folder.rename(self.place / "aside")
            folder.symlink_to(self.outside / os.path.relpath(folder, self.to))

    def is_untouched(self) -> bool:
        """Whether all is outside as it was."""
        return picture(self.outside) == self.before


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """One of the test's own."""
    return Scene(tmp_path)


CALLS: dict[str, Callable[[Scene, Roots], object]] = {
    "top": lambda scene, roots: remove_partial_files(str(scene.to), roots),
    "all": lambda scene, roots: remove_all_partial_files(str(scene.to), roots),
    "keep": lambda scene, roots: keep_partial_file(
        str(scene.source), str(scene.to), b"a/big.iso", roots
    ),
}


@pytest.mark.parametrize("name", ["to", "to/a", f"to/{PARTIAL}", f"to/a/{PARTIAL}"])
@pytest.mark.parametrize("call", ["unlink", "listdir", "scandir", "lstat", "stat", "replace"])
@pytest.mark.parametrize("how", CALLS)
def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, how: str, call: str, name: str
) -> None:
    really: Callable[..., Any] = getattr(os, call)

    def swap_first(*given: Any, **more: Any) -> Any:
        monkeypatch.setattr(os, call, really)
        scene.swap(name)
        return really(*given, **more)

    monkeypatch.setattr(os, call, swap_first)
    with suppress(OSError, OutsideRoots):
        CALLS[how](scene, (str(scene.place),))
    monkeypatch.undo()
    assert scene.is_untouched()


@contextmanager
def swapping(scene: Scene, name: str) -> Iterator[list[int]]:
    """Have a folder become a link and a folder again, as fast as it goes; tells how often."""
    folder, link = scene.place / name, scene.place / "link"
    link.symlink_to(scene.outside / os.path.relpath(folder, scene.to))
    ended, swaps = threading.Event(), [0]
    paths = (_AT_CWD, os.fsencode(folder), _AT_CWD, os.fsencode(link), _RENAME_EXCHANGE)

    def run() -> None:
        is_exchanged = False
        while is_exchanged or not ended.is_set():
            if _renameat2(*paths):
                raise OSError(ctypes.get_errno(), "no exchange")
            is_exchanged = not is_exchanged
            swaps[0] += 1
            # Moments in which all is as it should be, so that something is done as well.
            ended.wait(0.000_1)

    swapper = threading.Thread(target=run)
    swapper.start()
    try:
        yield swaps
    finally:
        ended.set()
        swapper.join()
        link.unlink()


@pytest.mark.parametrize("how", ["all", "keep"])
def test_a_folder_that_is_swapped_all_the_time_leads_nowhere(scene: Scene, how: str) -> None:
    done = 0
    folder = os.open(scene.to / "a", os.O_RDONLY)
    partial = os.open(scene.to / "a" / PARTIAL, os.O_RDONLY)
    with swapping(scene, "to/a") as swaps:
        while swaps[0] < SWAPS or not done:
            with suppress(OSError):
                done += bool(CALLS[how](scene, EVERYWHERE))
            # What was removed or moved is there again, by what is open.
            with suppress(FileExistsError):
                os.mkdir(PARTIAL, dir_fd=folder)
                os.close(partial)
                partial = os.open(PARTIAL, os.O_RDONLY, dir_fd=folder)
            for name, directory in (("big.iso", partial), (".big.iso.x7Yz09", folder)):
                with suppress(FileNotFoundError):
                    os.close(os.open(name, os.O_CREAT, 0o600, dir_fd=directory))
    os.close(folder)
    os.close(partial)
    assert scene.is_untouched()


@pytest.mark.parametrize("how", CALLS)
def test_a_destination_that_leads_out_of_the_allowed_folders_is_refused(
    scene: Scene, how: str
) -> None:
    scene.swap("to")
    with pytest.raises(OutsideRoots, match=r"does not lie within the allowed folders"):
        CALLS[how](scene, (str(scene.place),))
    assert scene.is_untouched()
    scene.to.unlink()
    (scene.place / "aside").rename(scene.to)
    assert CALLS[how](scene, (str(scene.place),))


@pytest.mark.parametrize("depth", [1, 1_500])
def test_an_error_names_the_whole_path_however_deep(tmp_path: Path, depth: int) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    for name in [*["a"] * depth, PARTIAL, "stuck"]:
        os.mkdir(name, dir_fd=folder)
        above, folder = folder, os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(above)
    os.close(folder)
    path = "/".join([str(tmp_path), *["a"] * depth, PARTIAL, "stuck"])
    try:
        with pytest.raises(IsADirectoryError) as caught:
            remove_all_partial_files(str(tmp_path))
    finally:
        # What goes through it by recursion does not come to its end.
        subprocess.run(["rm", "-r", tmp_path / "a"], check=True)
    assert caught.value.filename == path


@pytest.mark.parametrize("name", [b"../big.iso", b"a/../big.iso", b"a//big.iso", b"./big.iso"])
def test_a_name_that_leads_elsewhere_is_no_file_of_the_source(scene: Scene, name: bytes) -> None:
    (scene.source / "big.iso").write_bytes(b"whole")
    (scene.place / "big.iso").write_bytes(b"whole")
    before = picture(scene.place)
    assert not keep_partial_file(str(scene.source), str(scene.to), name)
    assert picture(scene.place) == before


def test_what_cannot_be_kept_names_the_whole_path(scene: Scene) -> None:
    scene.swap("to/a")
    with pytest.raises(NotADirectoryError) as caught:
        CALLS["keep"](scene, EVERYWHERE)
    assert caught.value.filename == f"{scene.to}/a/big.iso"
    assert scene.is_untouched()
