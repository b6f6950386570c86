"""Proves what the folder browser lists, and that any typed text leads to some folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_app.folders import MAX_ENTRIES, FolderView, view_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with folders, files and names that no definition can hold."""
    for name in ("b", "A", ".hidden", "grüße 🚢", "-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.txt").write_bytes(b"x")
    (tmp_path / "new\nline").mkdir()
    os.mkdir(os.fsencode(tmp_path) + b"/latin\xff")
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "broken").symlink_to("nowhere")
    return tmp_path


def names(view: FolderView) -> list[str]:
    """Return what is listed, in its order."""
    return [entry.name for entry in view.entries]


def test_folders_in_the_order_of_their_names(root: Path) -> None:
    view = view_folder("destination", str(root))
    assert names(view) == ["-x", ".hidden", "A", "b", "grüße 🚢", "link"]
    assert (view.path, view.parent) == (str(root), str(root.parent))
    assert (view.error, view.truncated) == (None, False)
    assert all(entry.is_folder for entry in view.entries)
    assert view.entries[0].path == f"{root}/-x"


def test_files_too_for_a_source(root: Path) -> None:
    view = view_folder("source", str(root))
    assert names(view)[-2:] == ["broken", "file.txt"]
    assert [entry.is_folder for entry in view.entries] == [True] * 6 + [False] * 2


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("{root}/b/", "{root}/b"),
        ("{root}//b", "{root}/b"),
        ("{root}/b/../A", "{root}/A"),
        ("{root}/b/missing/deeper", "{root}/b"),
        ("{root}/file.txt", "{root}"),
        ("{root}/broken/x", "{root}"),
        ("/", "/"),
        ("//", "/"),
        ("/..", "/"),
        ("", "/"),
        ("relative", "/"),
        ("~", "/"),
        ("host:path", "/"),
        ("{root}\0/b", "/"),
    ],
)
def test_the_nearest_folder_is_shown(root: Path, typed: str, shown: str) -> None:
    assert view_folder("source", typed.format(root=root)).path == shown.format(root=root)


def test_the_top_has_no_parent() -> None:
    assert view_folder("source", "/").parent is None


def test_a_large_folder_is_cut_and_says_so(tmp_path: Path) -> None:
    for number in range(MAX_ENTRIES + 1):
        (tmp_path / f"{number:04d}").mkdir()
    view = view_folder("source", str(tmp_path))
    assert (len(view.entries), view.truncated) == (MAX_ENTRIES, True)
    (tmp_path / "0000").rmdir()
    assert view_folder("source", str(tmp_path)).truncated is False


def test_a_folder_that_cannot_be_read_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    view = view_folder("source", str(tmp_path))
    assert (view.entries, view.error) == ((), "Cannot be read: Permission denied.")


@given(typed=st.text(max_size=40) | st.text(max_size=5000).map("/".__add__))
def test_any_text_leads_somewhere(typed: str) -> None:
    assert os.path.isdir(view_folder("destination", typed).path)
